package settings

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Options tune a decoding.
type Options struct {
	Source    string // name of the document, for FieldError.Source
	FirstLine int    // line of Source at which the node's text begins, less one
	Path      string // path of the decoded value, put before the paths of its fields

	// KeepSecrets says that secrets which are absent are kept from elsewhere:
	// a required secret may be absent then. Decode the merged settings with
	// KeepSecrets off before they are used.
	KeepSecrets bool
}

// Validator is a settings struct with rules that involve several fields.
// Validate is called when every field is right by itself. The paths are
// relative to the struct. Defaults have not been applied.
type Validator interface {
	Validate() []fleet.FieldError
}

// Warner is a settings struct that can be right and yet not what was meant.
// Warnings is called on valid settings with their defaults; each begins with the
// path of a field, relative to the struct.
type Warner interface {
	Warnings() []string
}

// DecodeYAML decodes a node into target, a pointer to a struct, and returns
// everything that is wrong, in the order of the lines. Fields that are right
// are set in any case. FieldError.Source is "source:line".
func DecodeYAML(n *yaml.Node, target any, o Options) []fleet.FieldError {
	if err := CheckTree(n); err != nil {
		return []fleet.FieldError{{Source: sourceAt(o, n.Line), Path: o.Path, Message: err.Error()}}
	}
	d := decoder{Options: o, bad: map[string]bool{}}
	v := reflect.ValueOf(target).Elem()
	switch root := resolve(n); {
	case isNull(root):
		d.structFields(&yaml.Node{Kind: yaml.MappingNode, Line: root.Line}, v, o.Path)
	default:
		d.structFields(root, v, o.Path)
	}
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	var fields []fleet.FieldError
	for _, p := range d.problems {
		fields = append(fields, p.FieldError)
	}
	return fields
}

// DecodeJSON is DecodeYAML for JSON text; FieldError.Source is Options.Source.
func DecodeJSON(data []byte, target any, o Options) []fleet.FieldError {
	n, err := ParseJSON(data)
	if err != nil {
		return []fleet.FieldError{{Source: o.Source, Path: o.Path, Message: err.Error()}}
	}
	return DecodeYAML(n, target, o)
}

// DecodeMap is DecodeYAML for values such as encoding/json reads.
func DecodeMap(m map[string]any, target any, o Options) []fleet.FieldError {
	n, err := nodeOf(m)
	if err != nil {
		return []fleet.FieldError{{Source: o.Source, Path: o.Path, Message: err.Error()}}
	}
	return DecodeYAML(n, target, o)
}

// problem is a field error with the line that it is sorted by.
type problem struct {
	fleet.FieldError
	line int
}

type decoder struct {
	Options
	problems []problem
	bad      map[string]bool // paths that have a problem
}

func sourceAt(o Options, line int) string {
	if line <= 0 || o.Source == "" {
		return o.Source
	}
	return fmt.Sprintf("%s:%d", o.Source, o.FirstLine+line)
}

// fail notes a problem. The value of the node is shown unless the field is a
// secret.
func (d *decoder) fail(n *yaml.Node, f *field, path, message string) {
	e := fleet.FieldError{Source: sourceAt(d.Options, n.Line), Path: path, Message: message}
	if f != nil && !f.secret {
		e.Value = scalar(resolve(n))
		if s, ok := e.Value.(string); ok && len(s) > 200 {
			e.Value = strings.ToValidUTF8(s[:200], "") + "…"
		}
	}
	d.problems = append(d.problems, problem{e, n.Line})
	d.bad[path] = true
}

// structFields decodes a mapping into a struct: each field, then what is
// missing, then what the struct says of itself.
func (d *decoder) structFields(n *yaml.Node, v reflect.Value, path string) {
	before := len(d.problems)
	if n = resolve(n); n.Kind != yaml.MappingNode {
		d.fail(n, nil, path, "must be a mapping of fields, is "+nodeKind(n))
		return
	}
	fields := fieldsOf(v.Type())
	given := map[string]*yaml.Node{}
	d.pairs(n, path, func(key, value *yaml.Node, at string) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			// The value is not shown: it may be a secret under a misspelt name.
			d.fail(key, nil, at, Unknown("field", key.Value, fieldNames(fields)))
			return
		}
		given[key.Value] = value
		d.value(value, v.FieldByIndex(fields[i].index), &fields[i], at)
	})
	for i := range fields {
		d.presence(n, v, fields, &fields[i], given, path)
	}
	if rules, ok := v.Addr().Interface().(Validator); ok && len(d.problems) == before {
		d.validate(rules, fields, given, n, path)
	}
}

// pairs calls f for each key and value of a mapping. Keys that are repeated or
// no text are problems.
func (d *decoder) pairs(n *yaml.Node, path string, f func(key, value *yaml.Node, path string)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.fail(key, nil, path, "has a key that is "+nodeKind(key)+": a key must be text")
			continue
		case key.ShortTag() == "!!merge":
			d.fail(key, nil, path, "merge keys (<<) are not supported: write the fields out")
			continue
		}
		at := join(path, key.Value)
		if earlier, ok := first[key.Value]; ok {
			where := ""
			if earlier.Line > 0 {
				where = fmt.Sprintf(", first in line %d", d.FirstLine+earlier.Line)
			}
			d.fail(key, nil, at, "is given twice"+where+": remove one of them")
			continue
		}
		first[key.Value] = key
		f(key, value, at)
	}
}

// presence checks required and conditional fields.
func (d *decoder) presence(n *yaml.Node, v reflect.Value, fields []field, f *field, given map[string]*yaml.Node, path string) {
	at := join(path, f.name)
	value, isGiven := given[f.name]
	if f.when != nil {
		if d.bad[join(path, f.when.field)] {
			return
		}
		neighbour, holds := conditionHolds(v, fields, f.when)
		if !holds {
			if isGiven && !isNull(resolve(value)) {
				d.fail(value, f, at, fmt.Sprintf("may only be set when %s (it is %s): remove it or change %s",
					f.when, neighbour, f.when.field))
			}
			return
		}
		if value := resolve(cmp.Or(value, n)); isGiven && f.requiredWhen && !d.bad[at] &&
			value.Kind == yaml.ScalarNode && (isNull(value) || value.Value == "") {
			d.fail(value, f, at, "is empty, but required when "+f.when.String()+": "+remedy(f))
		}
	}
	if isGiven || !f.required && !f.requiredWhen || f.secret && d.KeepSecrets {
		return
	}
	message := "is required"
	if f.when != nil {
		message += " when " + f.when.String()
	}
	d.fail(n, nil, at, message+": "+remedy(f))
}

// validate adds what the struct says about its fields together.
func (d *decoder) validate(rules Validator, fields []field, given map[string]*yaml.Node, n *yaml.Node, path string) {
	for _, e := range rules.Validate() {
		name := e.Path[:len(e.Path)-len(strings.TrimLeft(e.Path, nameCharacters))]
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i >= 0 && fields[i].secret {
			e.Value = nil
			if given[name] == nil && d.KeepSecrets {
				continue
			}
		}
		line := find(n, e.Path).Line
		e.Source, e.Path = sourceAt(d.Options, line), joinPath(path, e.Path)
		d.problems = append(d.problems, problem{e, line})
	}
}

// conditionHolds evaluates a when tag; an absent neighbour counts with its
// default.
func conditionHolds(v reflect.Value, fields []field, c *condition) (value string, holds bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == c.field })
	if i < 0 {
		return "", false
	}
	fv := v.FieldByIndex(fields[i].index)
	if fv.IsZero() {
		value = fields[i].tag.Get("default")
	}
	for fv.Kind() == reflect.Pointer && !fv.IsNil() {
		fv = fv.Elem()
	}
	if value == "" && fv.Kind() != reflect.Pointer {
		value = fmt.Sprint(fv.Interface())
	}
	if value == "" {
		return "not set", slices.Contains(c.values, "")
	}
	return value, slices.Contains(c.values, value)
}

func fieldNames(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}
