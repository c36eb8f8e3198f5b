package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// maxShown is how many values of a list a message names.
const maxShown = 12

// Values are what a field of a vendor's type takes.
type Values struct {
	Known []string // none: any text
	// Grows says that the vendor adds values faster than this program learns of
	// them: an unknown one may be right.
	Grows   bool
	AnyCase bool // the vendor reads them whatever their case is
}

// Check says what is wrong with a text, "" when nothing is. What is not refused
// is to be told as a warning.
func (v Values) Check(text string) (wrong string, refused bool) {
	for _, known := range v.Known {
		switch {
		case text == known, v.AnyCase && strings.EqualFold(text, known):
			return "", false
		case strings.EqualFold(text, known):
			return fmt.Sprintf("%s is not one of its values: it is spelled %s", quote(text), known), true
		}
	}
	if len(v.Known) == 0 {
		return "", false
	}
	v.Known = slices.Sorted(slices.Values(v.Known)) // some SDKs list them in another order each time
	if v.Grows && text != "" {
		wrong = fmt.Sprintf("%s is none of the values that this version knows, and is sent as it is", quote(text))
		if near := Nearest(text, v.Known); near != "" {
			wrong += ": did you mean " + near + "?"
		}
		return wrong, false
	}
	return fmt.Sprintf("%s is not one of its values: write %s", quote(text), v.list(text)), true
}

// list names the values, which are sorted; the likeliest ones when there are many.
func (v Values) list(text string) string {
	shown := v.Known
	if len(shown) <= maxShown {
		return orList(shown)
	}
	more := fmt.Sprintf(" or one of %d more", len(shown)-maxShown)
	if near := Nearest(text, shown); near != "" && !slices.Contains(shown[:maxShown], near) {
		shown = append([]string{near}, shown...)
	}
	return strings.Join(shown[:maxShown], ", ") + more
}

// Members tells the fields of a vendor's type by their names in documents.
type Members func(reflect.Type) map[string]reflect.StructField

// MembersBy are the fields of types whose names follow from the fields alone.
func MembersBy(naming Naming) Members {
	return func(t reflect.Type) map[string]reflect.StructField {
		out := map[string]reflect.StructField{}
		for _, f := range reflect.VisibleFields(t) {
			if name, ok := naming(f); ok && f.IsExported() && !f.Anonymous {
				out[name] = f
			}
		}
		return out
	}
}

// Enumeration tells what a field of a vendor's type takes.
type Enumeration func(owner reflect.Type, field reflect.StructField) Values

// CheckValues finds text in a document that the vendor's API does not take, at
// any depth. read is what the document became when the vendor's SDK read it: it
// tells the types of what can be one of several. path is put before the paths of
// what is found. Warnings begin with a path.
func CheckValues(doc any, read reflect.Value, members Members, enum Enumeration, path string) (refused []fleet.FieldError, warnings []string) {
	for read.Kind() == reflect.Pointer || read.Kind() == reflect.Interface {
		if read.IsNil() {
			return nil, nil
		}
		read = read.Elem()
	}
	add := func(more []fleet.FieldError, texts []string) {
		refused, warnings = append(refused, more...), append(warnings, texts...)
	}
	switch d := doc.(type) {
	case map[string]any:
		if read.Kind() != reflect.Struct {
			return nil, nil // a map: its keys and values are the people's own
		}
		fields := members(read.Type())
		for _, key := range sortedKeys(d) {
			f, ok := fields[key]
			if !ok || d[key] == nil {
				continue
			}
			if v := enum(read.Type(), f); len(v.Known) > 0 {
				add(checkValue(d[key], v, join(path, key)))
				continue
			}
			field, err := read.FieldByIndexErr(f.Index)
			if err != nil { // inside of an embedded pointer that is nil
				continue
			}
			add(CheckValues(d[key], field, members, enum, join(path, key)))
		}
	case []any:
		if read.Kind() != reflect.Slice || read.Len() != len(d) {
			return nil, nil
		}
		for i := range d {
			add(CheckValues(d[i], read.Index(i), members, enum, index(path, i)))
		}
	}
	return refused, warnings
}

// checkValue checks one text, or each of a list.
func checkValue(value any, v Values, path string) (refused []fleet.FieldError, warnings []string) {
	switch value := value.(type) {
	case string:
		switch wrong, isRefused := v.Check(value); {
		case isRefused:
			refused = append(refused, fleet.FieldError{Path: path, Value: value, Message: wrong})
		case wrong != "":
			warnings = append(warnings, path+": "+wrong)
		}
	case []any:
		for i, one := range value {
			more, texts := checkValue(one, v, index(path, i))
			refused, warnings = append(refused, more...), append(warnings, texts...)
		}
	}
	return refused, warnings
}

// Listed are the values of one type of a vendor's SDK.
type Listed struct {
	typ   reflect.Type
	known []string
}

// List takes the list that an SDK has of a type's values.
func List[T ~string](values []T) Listed {
	l := Listed{typ: reflect.TypeFor[T]()}
	for _, v := range values {
		l.known = append(l.known, string(v))
	}
	return l
}

// Lists are values by the type of the field that takes them, or takes lists of
// them.
func Lists(all ...Listed) map[reflect.Type][]string {
	out := make(map[reflect.Type][]string, len(all))
	for _, l := range all {
		out[l.typ] = l.known
	}
	return out
}

// ValueType is the type whose values a field takes.
func ValueType(f reflect.StructField) reflect.Type {
	typ := f.Type
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	return typ
}
