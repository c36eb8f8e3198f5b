package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// CheckDefinition looks for mistakes in a settings struct itself, such as a
// default that breaks its own rule, and lists them. Tests of every settings
// struct call it; an empty answer is good.
func CheckDefinition(v any) []string {
	c := definitionCheck{seen: map[reflect.Type]bool{}}
	c.check(structType(v), "", false)
	return c.problems
}

type definitionCheck struct {
	problems []string
	seen     map[reflect.Type]bool
}

func (c *definitionCheck) check(t reflect.Type, path string, inList bool) {
	if c.seen[t] {
		return
	}
	c.seen[t] = true
	defer delete(c.seen, t)
	fields := fieldsOf(t)
	for i := range fields {
		f := &fields[i]
		at := join(path, f.name)
		fail := func(format string, args ...any) {
			c.problems = append(c.problems, at+": "+fmt.Sprintf(format, args...))
		}
		if f.tag.Get("doc") == "" {
			if _, nested := nestedStruct(f.typ); !nested {
				fail("has no doc tag")
			}
		}
		checkTags(f, fail)
		// Package provider asks for choices by this tag, and people by the field.
		if lookup := f.tag.Get("lookup"); path == "" && lookup != "" && lookup != f.name {
			fail("tag lookup is %q: give the field's own name", lookup)
		}
		if f.secret && (f.typ.Kind() != reflect.String || inList) {
			fail("a secret must be text outside of lists")
		}
		switch {
		case f.access && f.secret:
			fail("a secret needs no tag access")
		case f.access && path != "":
			fail("tag access has no effect inside of another field")
		case f.access && f.tag.Get("lookup") != "":
			fail("what the provider lists choices for is no mere access: remove the tag access or lookup")
		}
		checkWhen(f, fields, fail)
		inner, ok := nestedStruct(baseType(f.typ))
		if ok && c.seen[inner] {
			fail("contains itself")
		} else if ok {
			c.check(inner, at, inList || f.typ.Kind() == reflect.Slice)
		}
	}
}

func checkTags(f *field, fail func(string, ...any)) {
	for _, key := range []string{"secret", "required", "nullable", "immutable", "access", "advanced", "multiline", "uniqueItems"} {
		if v, ok := f.tag.Lookup(key); ok && v != "true" && v != "false" {
			fail("tag %s is %q, not true or false", key, v)
		}
	}
	for _, key := range []string{"minLength", "maxLength", "minItems", "maxItems"} {
		if v, ok := f.tag.Lookup(key); ok {
			if _, err := strconv.Atoi(v); err != nil {
				fail("tag %s is %q, not a whole number", key, v)
			}
		}
	}
	if _, err := regexp.Compile(f.tag.Get("pattern")); err != nil {
		fail("tag pattern: %v", err)
	}
	scalarType := baseType(f.typ)
	for _, key := range []string{"minimum", "maximum"} {
		if v, ok := f.tag.Lookup(key); ok {
			if _, ok := bound(f, key, scalarType); !ok {
				fail("tag %s is %q, which cannot be read", key, v)
			}
		}
	}
	for _, key := range []string{"default", "example"} {
		text, ok := f.tag.Lookup(key)
		if !ok || scalarType.Kind() == reflect.Struct && !ownText(scalarType) {
			continue
		}
		v, err := parseDefault(f.typ, text)
		if err != nil {
			fail("tag %s: %v", key, err)
			continue
		}
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() == reflect.Slice {
			continue
		}
		if message := checkRules(v, f); message != "" {
			fail("tag %s: %s", key, message)
		}
	}
	if f.secret && f.tag.Get("default") != "" {
		fail("a secret must not have a default")
	}
	if f.required && f.tag.Get("default") != "" {
		fail("a required field must not have a default: add omitempty")
	}
}

func checkWhen(f *field, fields []field, fail func(string, ...any)) {
	text, ok := f.tag.Lookup("when")
	if !ok {
		return
	}
	if f.when == nil {
		fail("tag when is %q: write field=value", text)
		return
	}
	i := slices.IndexFunc(fields, func(other field) bool { return other.name == f.when.field })
	if i < 0 {
		fail("tag when names the unknown field %s", f.when.field)
		return
	}
	if values := fields[i].enum(); len(values) > 0 {
		for _, v := range f.when.values {
			if !slices.Contains(values, v) {
				fail("tag when wants %s=%s, but its values are %s", f.when.field, v, strings.Join(values, ", "))
			}
		}
	}
}
