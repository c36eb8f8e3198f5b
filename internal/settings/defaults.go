package settings

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// ApplyDefaults sets each field of the struct behind v that is zero, or a nil
// pointer, to the default of its tag, inside nested structs and lists of
// structs too. A field with a condition gets its default only while the
// condition holds. A default that cannot be read is a defect of the definition
// (see [CheckDefinition]) and leaves the field as it is.
func ApplyDefaults(v any) {
	applyDefaults(reflect.ValueOf(v).Elem())
}

func applyDefaults(v reflect.Value) {
	fields := fieldsOf(v.Type())
	for _, conditional := range []bool{false, true} { // conditions look at the values of the first round
		for i := range fields {
			f := &fields[i]
			if (f.when != nil) != conditional {
				continue
			}
			if f.when != nil {
				if _, holds := conditionHolds(v, fields, f.when); !holds {
					continue
				}
			}
			fv := v.FieldByIndex(f.index)
			if text, ok := f.tag.Lookup("default"); ok && fv.IsZero() {
				if def, err := parseDefault(f.typ, text); err == nil {
					fv.Set(def)
				}
			}
			applyInside(fv)
		}
	}
}

func applyInside(v reflect.Value) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Struct && !ownText(v.Type()):
		applyDefaults(v)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			applyInside(v.Index(i))
		}
	}
}

// parseDefault reads the text of a default tag: lists are separated by commas.
func parseDefault(t reflect.Type, text string) (reflect.Value, error) {
	if t.Kind() == reflect.Pointer {
		v, err := parseDefault(t.Elem(), text)
		if err != nil {
			return v, err
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(v)
		return p, nil
	}
	if ownText(t) {
		return parseTag(t, text)
	}
	v := reflect.New(t).Elem()
	var err error
	switch t.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		i, err = strconv.ParseInt(text, 10, t.Bits())
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var u uint64
		u, err = strconv.ParseUint(text, 10, t.Bits())
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, t.Bits())
		v.SetFloat(x)
	case reflect.Slice:
		for part := range strings.SplitSeq(text, ",") {
			entry, err := parseDefault(t.Elem(), strings.TrimSpace(part))
			if err != nil {
				return v, err
			}
			v = reflect.Append(v, entry)
		}
	default:
		err = fmt.Errorf("a field of type %s cannot have a default", t)
	}
	return v, err
}
