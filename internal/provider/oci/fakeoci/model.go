package fakeoci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// fill reads a request into the SDK's own struct for it, by the tags from which
// the SDK writes requests, and says what the struct has no place for, what it
// must have, and what has another type.
func fill(into any, r *http.Request, path map[string]string, body []byte) (wrong []string) {
	v := reflect.ValueOf(into).Elem()
	query := r.URL.Query()
	known := map[string]bool{}
	hasBody := false
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, mandatory := f.Tag.Get("name"), f.Tag.Get("mandatory") == "true"
		var text string
		var given bool
		switch f.Tag.Get("contributesTo") {
		case "path":
			text, given = path[name]
			known["path "+name] = true
		case "query":
			given = query.Has(name)
			text = query.Get(name)
			known["query "+name] = true
			if len(query[name]) > 1 {
				wrong = append(wrong, fmt.Sprintf("parameter %s is given twice", name))
			}
		case "header":
			text = r.Header.Get(name)
			given = text != ""
		case "body":
			hasBody = true
			wrong = append(wrong, fillBody(v.Field(i).Addr().Interface(), body)...)
			continue
		default:
			continue
		}
		switch {
		case !given && mandatory:
			wrong = append(wrong, name+" is mandatory")
		case given:
			if err := setText(v.Field(i), text); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s is %q: %v", name, text, err))
			}
		}
	}
	for name := range path {
		if !known["path "+name] {
			wrong = append(wrong, "the operation has no part "+name+" of its path")
		}
	}
	for name := range query {
		if !known["query "+name] {
			wrong = append(wrong, "the operation has no parameter "+name)
		}
	}
	if !hasBody && len(body) > 0 {
		wrong = append(wrong, "the operation takes no body")
	}
	if m := reflect.ValueOf(into).MethodByName("ValidateEnumValue"); m.IsValid() {
		if err, ok := m.Call(nil)[1].Interface().(error); ok {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

func setText(v reflect.Value, text string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("is no number")
		}
		v.SetInt(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("is neither true nor false")
		}
		v.SetBool(b)
	default:
		return fmt.Errorf("has a type that the stand-in does not read")
	}
	return nil
}

// fillBody decodes a body as the SDK does and walks through both.
func fillBody(into any, body []byte) []string {
	if err := json.Unmarshal(body, into); err != nil {
		return []string{"the body cannot be read: " + err.Error()}
	}
	var raw any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return []string{"the body cannot be read: " + err.Error()}
	}
	return walk(reflect.ValueOf(into).Elem(), raw, "body")
}

// walk finds members of a document that the decoded value has no field for, and
// mandatory fields that it lacks.
func walk(v reflect.Value, raw any, path string) (wrong []string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			if raw != nil {
				return []string{path + " has not come through"}
			}
			return nil
		}
		v = v.Elem()
	}
	if m := v.MethodByName("ValidateEnumValue"); m.IsValid() && v.Kind() == reflect.Struct {
		if err, ok := m.Call(nil)[1].Interface().(error); ok {
			wrong = append(wrong, path+": "+err.Error())
		}
	}
	switch {
	case v.Kind() == reflect.Struct && v.Type().Name() != "SDKTime":
		doc, ok := raw.(map[string]any)
		if !ok {
			return append(wrong, path+" is no object")
		}
		fields := map[string]reflect.StructField{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				fields[name] = f
				if f.Tag.Get("mandatory") == "true" && doc[name] == nil {
					wrong = append(wrong, path+"."+name+" is mandatory")
				}
			}
		}
		for name, inner := range doc {
			f, ok := fields[name]
			switch {
			case ok && inner == nil:
				wrong = append(wrong, path+"."+name+" is null")
			case ok:
				wrong = append(wrong, walk(v.FieldByIndex(f.Index), inner, path+"."+name)...)
			case name != discriminator(v):
				wrong = append(wrong, path+"."+name+" is not known")
			}
		}
	case v.Kind() == reflect.Slice:
		list, ok := raw.([]any)
		if !ok || len(list) != v.Len() {
			return append(wrong, path+" is no such list")
		}
		for i := range list {
			wrong = append(wrong, walk(v.Index(i), list[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return wrong
}

// discriminator is the member by which a type that stands for one of several is
// known: the SDK writes it without a field.
func discriminator(v reflect.Value) string {
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return ""
	}
	var doc map[string]any
	_ = json.Unmarshal(text, &doc) // it was just written
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		delete(doc, name)
	}
	for name := range doc {
		return name
	}
	return ""
}

// shown is an object as the API shows it: without members that are null.
func shown(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var doc any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		panic(err)
	}
	return stripped(doc)
}

func stripped(doc any) any {
	switch doc := doc.(type) {
	case map[string]any:
		for key, inner := range doc {
			if inner == nil {
				delete(doc, key)
				continue
			}
			doc[key] = stripped(inner)
		}
	case []any:
		for i := range doc {
			doc[i] = stripped(doc[i])
		}
	}
	return doc
}

// lacks names the mandatory fields of an answer that are not set: an answer that
// the real service would never give.
func lacks(v any) []string {
	return missing(reflect.ValueOf(v), "answer")
}

func missing(v reflect.Value, path string) (wrong []string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			wrong = append(wrong, missing(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Tag.Get("mandatory") == "true" && v.Field(i).IsZero() {
				wrong = append(wrong, path+"."+f.Name+" is mandatory")
			}
		}
	default:
	}
	return wrong
}

// matched takes a path apart by a template such as /20160918/instances/{instanceId}.
func matched(template, path string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	parts := map[string]string{}
	for i := range want {
		switch name, isPart := strings.CutPrefix(want[i], "{"); {
		case isPart && got[i] != "":
			parts[strings.TrimSuffix(name, "}")] = got[i]
		case want[i] != got[i]:
			return nil, false
		}
	}
	return parts, true
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
