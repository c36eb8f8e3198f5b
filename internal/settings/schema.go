package settings

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// The extensions of a schema for whatever renders a form.
const (
	extOrder     = "x-headroom-order"     // of an object: its fields in the order of their definition
	extType      = "x-headroom-type"      // cores, memory, duration, time-of-day or weekday
	extSecret    = "x-headroom-secret"    // never shown; absent means unchanged
	extWhen      = "x-headroom-when"      // {field, values}: may be given only then
	extRequired  = "x-headroom-required"  // required while x-headroom-when holds
	extLookup    = "x-headroom-lookup"    // name of the choices that the provider can list
	extGroup     = "x-headroom-group"     // section of the form
	extImmutable = "x-headroom-immutable" // cannot be changed later
	extAccess    = "x-headroom-access"    // who asks and by which way: a change makes no machine outdated
	extAdvanced  = "x-headroom-advanced"  // hidden until asked for
	extMultiline = "x-headroom-multiline" // text of several lines
	extMinimum   = "x-headroom-minimum"   // bound of a value that is written as text
	extMaximum   = "x-headroom-maximum"
)

// Schema is the JSON Schema of a settings struct, complete in itself: nested
// types are written out, not referred to.
func Schema(v any) *huma.Schema {
	s := newRegistry(true).Schema(structType(v), false, "")
	s.PrecomputeMessages()
	return s
}

// structSchema lets huma describe a struct and adds what huma cannot know:
// defaults and examples of types that are written as text, and our own tags.
func (r *registry) structSchema(t reflect.Type) *huma.Schema {
	transforms := reflect.PointerTo(t).Implements(reflect.TypeFor[huma.SchemaTransformer]())
	fields := fieldsOf(t)
	described := t
	if !transforms {
		described = withoutOwnTags(t, fields)
	}
	s := huma.SchemaFromType(r, described)
	var order []string
	for i := range fields {
		f := &fields[i]
		p := s.Properties[f.name]
		if p == nil {
			continue
		}
		order = append(order, f.name)
		extend(p, f)
		if r.inline && p.Type == huma.TypeArray {
			p.Nullable = f.nullable // huma's default is for Go's nil in answers
		}
		if f.when != nil {
			s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return name == f.name })
		}
	}
	if len(order) > 0 && !transforms {
		setExtension(s, extOrder, order)
	}
	s.PrecomputeMessages()
	return s
}

// withoutOwnTags is a copy of a struct type whose fields of our text-like types
// have no tags that huma would read as JSON of the Go type.
func withoutOwnTags(t reflect.Type, fields []field) reflect.Type {
	if !slices.ContainsFunc(fields, func(f field) bool { return fleetSchema(baseType(f.typ)) != nil }) {
		return t
	}
	copies := make([]reflect.StructField, 0, len(fields))
	for i := range fields {
		sf := t.FieldByIndex(fields[i].index)
		if fleetSchema(baseType(sf.Type)) != nil {
			tag := `json:"` + sf.Tag.Get("json") + `"`
			for _, key := range []string{"doc", "required", "nullable", "minItems", "maxItems", "uniqueItems", "readOnly", "writeOnly", "deprecated", "hidden"} {
				if v, ok := sf.Tag.Lookup(key); ok {
					tag += " " + key + ":" + strconv.Quote(v)
				}
			}
			sf.Tag = reflect.StructTag(tag)
		}
		copies = append(copies, reflect.StructField{Name: sf.Name, Type: sf.Type, Tag: sf.Tag})
	}
	return reflect.StructOf(copies)
}

// baseType is what a pointer or list is of.
func baseType(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// extend adds our own tags to the schema of a field.
func extend(p *huma.Schema, f *field) {
	if title := f.tag.Get("title"); title != "" {
		p.Title = title
	}
	if fleetSchema(baseType(f.typ)) != nil {
		if def, err := parseDefault(f.typ, f.tag.Get("default")); err == nil && f.tag.Get("default") != "" {
			p.Default = jsonOf(def)
		}
		if example, err := parseDefault(f.typ, f.tag.Get("example")); err == nil && f.tag.Get("example") != "" {
			p.Examples = []any{jsonOf(example)}
		}
		for key, ext := range map[string]string{"minimum": extMinimum, "maximum": extMaximum} {
			if v := f.tag.Get(key); v != "" {
				setExtension(p, ext, v)
			}
		}
	}
	if f.secret {
		p.WriteOnly = true
		p.Nullable = p.Ref == ""
		setExtension(p, extSecret, true)
	}
	if f.when != nil {
		setExtension(p, extWhen, map[string]any{"field": f.when.field, "values": f.when.values})
		if f.requiredWhen {
			setExtension(p, extRequired, true)
		}
	}
	for key, ext := range map[string]string{"lookup": extLookup, "group": extGroup} {
		if v := f.tag.Get(key); v != "" {
			setExtension(p, ext, v)
		}
	}
	for key, ext := range map[string]string{"immutable": extImmutable, "access": extAccess, "advanced": extAdvanced, "multiline": extMultiline} {
		if f.tag.Get(key) == "true" {
			setExtension(p, ext, true)
		}
	}
}

func setExtension(s *huma.Schema, key string, value any) {
	if s.Extensions == nil {
		s.Extensions = map[string]any{}
	}
	s.Extensions[key] = value
}

// jsonOf is a value as JSON shows it.
func jsonOf(v reflect.Value) any {
	data, err := json.Marshal(v.Interface())
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(data, &out) != nil {
		return nil
	}
	return out
}

// fleetSchema describes the types of package fleet that JSON writes in their
// own way; nil for every other type. Each call makes a new schema, because huma
// changes what it gets.
func fleetSchema(t reflect.Type) *huma.Schema {
	zero, most := 0.0, 1e6
	switch t {
	case reflect.TypeFor[fleet.Cores]():
		return &huma.Schema{
			Type: huma.TypeNumber, Minimum: &zero, Maximum: &most,
			Description: "CPU cores, to a thousandth of a core.",
			Examples:    []any{2, 0.5},
			Extensions:  map[string]any{extType: "cores"},
		}
	case reflect.TypeFor[fleet.Memory]():
		return textOrNumber("memory", `^\s*[0-9.]+(e[0-9]+)?\s*([MGT]i(B)?)?\s*$`,
			"Memory with its unit (Mi, Gi, Ti); a bare number means MiB.", "512Mi", "4Gi")
	case reflect.TypeFor[fleet.Duration]():
		return textOrNumber("duration", "^[^-]+$",
			"Length of time such as 90s, 10m, 1h30m or 7d; a bare number means seconds.", "90s", "10m")
	case reflect.TypeFor[fleet.TimeOfDay]():
		return &huma.Schema{
			Type: huma.TypeString, Pattern: `^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$`,
			PatternDescription: "HH:MM from 00:00 to 24:00",
			Description:        "Time of the day, 24-hour clock.",
			Examples:           []any{"07:30"},
			Extensions:         map[string]any{extType: "time-of-day"},
		}
	case reflect.TypeFor[fleet.Weekday]():
		return &huma.Schema{
			Type: huma.TypeString, Enum: []any{"mon", "tue", "wed", "thu", "fri", "sat", "sun"},
			Description: "Day of the week.",
			Extensions:  map[string]any{extType: "weekday"},
		}
	}
	return nil
}

func textOrNumber(kind, pattern, about string, examples ...any) *huma.Schema {
	zero := 0.0
	return &huma.Schema{
		AnyOf: []*huma.Schema{
			{Type: huma.TypeString, Pattern: pattern},
			{Type: huma.TypeInteger, Minimum: &zero},
		},
		Description: about,
		Examples:    examples,
		Extensions:  map[string]any{extType: kind},
	}
}
