package settings

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
)

// field is one field of a settings struct with what its tags say.
type field struct {
	name     string // in JSON and YAML
	index    []int  // for reflect.Value.FieldByIndex
	typ      reflect.Type
	tag      reflect.StructTag
	required bool
	secret   bool
	nullable bool
	access   bool
	when     *condition

	requiredWhen bool // required while the condition holds; required is false then
}

// condition is a parsed when tag: the neighbour's name and the values that
// satisfy it.
type condition struct {
	field  string
	values []string
}

func (c *condition) String() string { return c.field + " is " + orList(c.values) }

// fieldsOf lists the fields of a struct type in the order of their
// declaration. Embedded structs without a JSON name are flattened as
// encoding/json does; an outer field hides an inner one of the same name.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	seen := map[string]bool{}
	var walk func(t reflect.Type, index []int)
	walk = func(t reflect.Type, index []int) {
		for i := range t.NumField() {
			sf := t.Field(i)
			at := append(append([]int{}, index...), i)
			name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
			if sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct {
				continue
			}
			if !sf.IsExported() || name == "-" || seen[name] {
				continue
			}
			if name == "" {
				name = sf.Name
			}
			seen[name] = true
			fields = append(fields, newField(sf, name, options, at))
		}
		for i := range t.NumField() {
			sf := t.Field(i)
			name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
			if sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct {
				walk(sf.Type, append(append([]int{}, index...), i))
			}
		}
	}
	walk(t, nil)
	return fields
}

func newField(sf reflect.StructField, name, options string, index []int) field {
	f := field{
		name:     name,
		index:    index,
		typ:      sf.Type,
		tag:      sf.Tag,
		required: !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero"),
		secret:   sf.Tag.Get("secret") == "true",
		nullable: sf.Tag.Get("nullable") == "true",
		access:   sf.Tag.Get("access") == "true",
	}
	if r, ok := sf.Tag.Lookup("required"); ok {
		f.required = r == "true"
	}
	if neighbour, values, ok := strings.Cut(sf.Tag.Get("when"), "="); ok {
		f.when = &condition{field: neighbour, values: strings.Split(values, "|")}
		f.required, f.requiredWhen = false, f.required
	}
	return f
}

// enum lists the values that the field may have; none: any.
func (f *field) enum() []string {
	if v := f.tag.Get("enum"); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

// tagInt reads a whole number from a tag.
func (f *field) tagInt(key string) (n int, ok bool) {
	n, err := strconv.Atoi(f.tag.Get(key))
	return n, err == nil
}

// errNotText is the answer to a value that should be text.
var errNotText = errors.New("is not text: put it in quotes")

// ownText says that values of the type have their own reading in JSON or text.
func ownText(t reflect.Type) bool {
	if t == reflect.TypeFor[json.RawMessage]() {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// setOwn reads JSON, or text in quotes, into a type that has its own reading.
func setOwn(t reflect.Type, jsonText []byte) (reflect.Value, error) {
	v := reflect.New(t)
	switch u := v.Interface().(type) {
	case json.Unmarshaler:
		return v.Elem(), u.UnmarshalJSON(jsonText)
	case encoding.TextUnmarshaler:
		var text string
		if err := json.Unmarshal(jsonText, &text); err != nil {
			return v.Elem(), errNotText
		}
		return v.Elem(), u.UnmarshalText([]byte(text))
	}
	return v.Elem(), errNotText
}

// parseTag reads a tag's text into a type that has its own reading, first as
// text in quotes and then as it stands.
func parseTag(t reflect.Type, text string) (reflect.Value, error) {
	quoted, err := json.Marshal(text)
	if err != nil {
		return reflect.Value{}, err
	}
	v, err := setOwn(t, quoted)
	if err == nil {
		return v, nil
	}
	if json.Valid([]byte(text)) {
		return setOwn(t, []byte(text))
	}
	return v, err
}

// structType is the struct behind v, a struct or a pointer to one.
func structType(v any) reflect.Type {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// nestedStruct is the struct type behind a field's type, if it is one that is
// described by its own fields.
func nestedStruct(t reflect.Type) (reflect.Type, bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && !ownText(t)
}
