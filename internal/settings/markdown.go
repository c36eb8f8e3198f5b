package settings

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Markdown is a section with a table of the fields of a settings struct, for
// the documentation.
func Markdown(title string, v any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", title)
	b.WriteString("| Field | Type | Required | Default | Rule | Description |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- |\n")
	writeRows(&b, structType(v), "")
	return b.String()
}

func writeRows(b *strings.Builder, t reflect.Type, path string) {
	fields := fieldsOf(t)
	for i := range fields {
		f := &fields[i]
		at := join(path, f.name)
		def := ""
		if d := f.tag.Get("default"); d != "" {
			def = "`" + d + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n",
			at, cell(typeName(f.typ)), requiredText(f), cell(def), cell(ruleText(f)), cell(f.tag.Get("doc")))
		if inner, ok := nestedStruct(f.typ); ok && inner != t {
			writeRows(b, inner, at)
		} else if inner, ok := nestedStruct(baseType(f.typ)); ok && inner != t {
			writeRows(b, inner, at+"[]")
		}
	}
}

// cell keeps text inside its cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

func requiredText(f *field) string {
	switch {
	case f.requiredWhen:
		return "when " + cell(f.when.String())
	case f.required:
		return "yes"
	}
	return "no"
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[fleet.Cores]():
		return "cores"
	case reflect.TypeFor[fleet.Memory]():
		return "memory"
	case reflect.TypeFor[fleet.Duration]():
		return "duration"
	case reflect.TypeFor[fleet.TimeOfDay]():
		return "time of day"
	case reflect.TypeFor[fleet.Weekday]():
		return "weekday"
	}
	if ownText(t) && t.Kind() != reflect.Pointer {
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "mapping"
	case reflect.Struct:
		return "fields"
	case reflect.Bool:
		return "true/false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Interface:
		return "any"
	}
	return "whole number"
}

// ruleText says in words what the tags demand.
func ruleText(f *field) string {
	var rules []string
	add := func(format string, args ...any) { rules = append(rules, fmt.Sprintf(format, args...)) }
	if values := f.enum(); len(values) > 0 {
		add("`%s`", strings.Join(values, "`, `"))
	}
	low, high := f.tag.Get("minimum"), f.tag.Get("maximum")
	switch {
	case low != "" && high != "":
		add("%s to %s", low, high)
	case low != "":
		add("at least %s", low)
	case high != "":
		add("at most %s", high)
	}
	counts := func(least, most, noun string) {
		a, hasA := f.tagInt(least)
		b, hasB := f.tagInt(most)
		switch {
		case hasA && hasB && a == b:
			add("%s", countOf(a, noun))
		case hasA && hasB:
			add("%d to %s", a, countOf(b, noun))
		case hasA:
			add("at least %s", countOf(a, noun))
		case hasB:
			add("at most %s", countOf(b, noun))
		}
	}
	counts("minLength", "maxLength", "character")
	counts("minItems", "maxItems", "entry")
	if f.tag.Get("uniqueItems") == "true" {
		add("no repetition")
	}
	if about := f.tag.Get("patternDescription"); about != "" {
		add("%s", about)
	} else if pattern := f.tag.Get("pattern"); pattern != "" {
		add("matches `%s`", pattern)
	}
	if f.when != nil && !f.requiredWhen {
		add("only when %s", f.when)
	}
	if f.secret {
		add("secret")
	}
	if f.access {
		add("access alone")
	}
	if f.tag.Get("immutable") == "true" {
		add("cannot be changed")
	}
	return strings.Join(rules, "; ")
}
