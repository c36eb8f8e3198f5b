package settings

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// value decodes a node into v, the place of field f, and checks f's rules. An
// entry of a list or a map is decoded with a field of its own type.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field, path string) {
	n = resolve(n)
	t := v.Type()
	switch {
	case t == reflect.TypeFor[yaml.Node]():
		v.Set(reflect.ValueOf(*n))
		return
	case isNull(n):
		d.null(n, t, f, path)
		return
	case n.Kind == yaml.ScalarNode && !plainTag(n):
		d.fail(n, nil, path, "has the YAML tag "+quote(n.ShortTag())+", which is not supported: remove it")
		return
	case f.secret && n.Value == Masked:
		d.fail(n, f, path, "is the placeholder for a secret, not a secret: remove the line to keep the stored one, or give a new one")
		return
	}
	if t.Kind() == reflect.Pointer {
		elem := reflect.New(t.Elem())
		before := len(d.problems)
		inner := *f
		inner.typ = t.Elem()
		d.value(n, elem.Elem(), &inner, path)
		if len(d.problems) == before {
			v.Set(elem)
		}
		return
	}
	if ownText(t) {
		d.own(n, v, f, path)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		d.structFields(n, v, path)
	case reflect.Slice:
		d.list(n, v, f, path)
	case reflect.Map:
		d.mapping(n, v, f, path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(plain(n)))
	default:
		if message := setScalar(n, v, f); message != "" {
			d.fail(n, f, path, message)
		} else {
			d.rules(n, v, f, path)
		}
	}
}

// rules checks a decoded value and takes it back when it breaks a rule.
func (d *decoder) rules(n *yaml.Node, v reflect.Value, f *field, path string) {
	if message := checkRules(v, f); message != "" {
		v.SetZero()
		d.fail(n, f, path, message)
	}
}

// plainTag says that a scalar is of a kind that JSON has, or text that YAML
// takes for a date.
func plainTag(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return true
	}
	return false
}

func (d *decoder) null(n *yaml.Node, t reflect.Type, f *field, path string) {
	switch {
	case f.required:
		d.fail(n, nil, path, "is empty: "+remedy(f))
	case f.secret, f.nullable, f.requiredWhen, t.Kind() == reflect.Interface: // see presence for requiredWhen
	default:
		d.fail(n, nil, path, "is empty: give a value or remove the line")
	}
}

// own decodes into a type that has its own reading; its errors are written for
// people.
func (d *decoder) own(n *yaml.Node, v reflect.Value, f *field, path string) {
	t := v.Type()
	composite := t.Kind() == reflect.Struct || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
	if n.Kind != yaml.ScalarNode && !composite {
		d.fail(n, f, path, "must be a single value, is "+nodeKind(n)+hint(f))
		return
	}
	text, err := json.Marshal(plain(n))
	if err != nil {
		d.fail(n, f, path, "cannot be read: "+err.Error())
		return
	}
	value, err := setOwn(t, text)
	if t == reflect.TypeFor[fleet.Cores]() && n.ShortTag() == "!!str" {
		if value, err = setOwn(t, []byte(n.Value)); err == nil {
			err = fmt.Errorf("%q is text: write the number without quotes", n.Value)
		}
	}
	switch {
	case err != nil && f.secret:
		d.fail(n, f, path, "is not valid")
	case err != nil:
		d.fail(n, f, path, clip(err.Error()))
	default:
		v.Set(value)
		d.rules(n, v, f, path)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f *field, path string) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		d.fail(n, nil, path, "cannot be set: fields of bytes are not supported")
		return
	}
	if n.Kind != yaml.SequenceNode {
		message := "must be a list, is " + nodeKind(n)
		if n.Kind == yaml.ScalarNode && !f.secret {
			message += ": write [" + clip(n.Value) + "]"
		}
		d.fail(n, f, path, message)
		return
	}
	length := len(n.Content)
	if least, ok := f.tagInt("minItems"); ok && length < least {
		d.fail(n, nil, path, fmt.Sprintf("has %s: give at least %d", countOf(length, "entry"), least))
	}
	if most, ok := f.tagInt("maxItems"); ok && length > most {
		d.fail(n, nil, path, fmt.Sprintf("has %s: give at most %d", countOf(length, "entry"), most))
		return
	}
	entry := f.entry(v.Type().Elem())
	list := reflect.MakeSlice(v.Type(), length, length)
	for i, c := range n.Content {
		d.value(c, list.Index(i), &entry, index(path, i))
	}
	v.Set(list)
	if f.tag.Get("uniqueItems") == "true" {
		d.unique(n, list, &entry, path)
	}
}

func (d *decoder) unique(n *yaml.Node, list reflect.Value, entry *field, path string) {
	first := map[string]int{}
	for i, c := range n.Content {
		at := index(path, i)
		if d.bad[at] {
			continue
		}
		key, err := json.Marshal(list.Index(i).Interface())
		if err != nil {
			continue
		}
		if earlier, ok := first[string(key)]; ok {
			d.fail(c, entry, at, "repeats "+index(path, earlier)+": remove one of them")
			continue
		}
		first[string(key)] = i
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, f, path, "must be a mapping of keys to values, is "+nodeKind(n))
		return
	}
	entry := f.entry(v.Type().Elem())
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, func(key, value *yaml.Node, at string) {
		elem := reflect.New(v.Type().Elem()).Elem()
		if elem.Kind() == reflect.Interface {
			d.freeForm(value, at)
		}
		d.value(value, elem, &entry, at)
		m.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), elem)
	})
	v.Set(m)
}

// freeForm finds repeated and impossible keys in values without a definition.
func (d *decoder) freeForm(n *yaml.Node, path string) {
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		d.pairs(n, path, func(_, value *yaml.Node, at string) { d.freeForm(value, at) })
	case yaml.SequenceNode:
		for i, c := range n.Content {
			d.freeForm(c, index(path, i))
		}
	}
}

// entry is the field of one entry of a list or map: the rules about numbers
// and text hold for each.
func (f *field) entry(t reflect.Type) field {
	e := *f
	e.typ, e.required, e.requiredWhen, e.nullable = t, false, false, false
	return e
}

// setScalar sets text, a number or a truth value and answers what is wrong.
func setScalar(n *yaml.Node, v reflect.Value, f *field) string {
	switch v.Kind() {
	case reflect.String:
		tag := n.ShortTag()
		switch {
		case n.Kind != yaml.ScalarNode:
			return "must be text, is " + nodeKind(n)
		case tag != "!!str" && tag != "!!timestamp":
			return "must be text, is " + nodeKind(n) + ": put it in quotes"
		case n.Value == "" && f.required:
			return "is empty: " + remedy(f)
		case n.Value == "" && f.hasTextRule():
			return "is empty: give a value or remove the line"
		}
		v.SetString(n.Value)
		return ""
	case reflect.Bool:
		var b bool
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && n.Decode(&b) == nil {
			v.SetBool(b)
			return ""
		}
		return shown(n, f) + " is not true or false: write true or false, without quotes"
	case reflect.Float32, reflect.Float64:
		_, x, _, ok := number(n)
		if !ok || v.OverflowFloat(x) {
			return notNumber(n, f, "a number")
		}
		v.SetFloat(x)
		return ""
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, _, whole, _ := number(n)
		if !whole {
			return notNumber(n, f, "a whole number")
		}
		if i < 0 || v.OverflowUint(uint64(i)) {
			return shown(n, f) + " is out of range: write a whole number from 0"
		}
		v.SetUint(uint64(i))
		return ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, _, whole, _ := number(n)
		if !whole {
			return notNumber(n, f, "a whole number")
		}
		if v.OverflowInt(i) {
			return shown(n, f) + " is out of range"
		}
		v.SetInt(i)
		return ""
	}
	return "cannot be set: fields of type " + v.Type().String() + " are not supported"
}

// hasTextRule says that empty text breaks a rule of the field. Empty text
// clears a secret.
func (f *field) hasTextRule() bool {
	least, _ := f.tagInt("minLength")
	return !f.secret && (f.tag.Get("enum") != "" || least > 0)
}

func notNumber(n *yaml.Node, f *field, what string) string {
	if n.Kind != yaml.ScalarNode {
		return "must be " + what + ", is " + nodeKind(n)
	}
	if _, err := strconv.ParseFloat(n.Value, 64); err == nil && n.ShortTag() == "!!str" {
		return shown(n, f) + " is text: write the number without quotes"
	}
	if _, x, _, ok := number(n); ok && (x >= 1<<53 || x <= -1<<53) {
		return shown(n, f) + " is out of range"
	}
	return shown(n, f) + " is not " + what + hint(f)
}

// shown is how a value appears in an error: never, if it is a secret.
func shown(n *yaml.Node, f *field) string {
	switch {
	case f.secret:
		return "the value"
	case n.Kind != yaml.ScalarNode:
		return nodeKind(n)
	case n.ShortTag() == "!!str":
		return quote(n.Value)
	}
	return clip(n.Value)
}

// nodeKind names what a node is.
func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "text"
}

// hint gives an example of the field, with its leading colon.
func hint(f *field) string {
	if example := f.tag.Get("example"); example != "" {
		return ": write for example " + example
	}
	return ""
}

// remedy says how to give a field that is missing.
func remedy(f *field) string {
	if values := f.enum(); len(values) > 0 && f.typ.Kind() != reflect.Slice {
		return "write " + orList(values)
	}
	if example := f.tag.Get("example"); example != "" {
		return "write for example " + f.name + ": " + example
	}
	if about := f.tag.Get("doc"); about != "" {
		sentence, _, _ := strings.Cut(about, ". ")
		return "add it (" + strings.TrimSuffix(sentence, ".") + ")"
	}
	return "add it"
}

func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:197]) + "…"
	}
	return s
}
