package azure

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// members lists the names that JSON has for the fields of a type of the SDK. The
// types have no tags: they read and write JSON by methods, which are asked one
// field at a time.
func members(t reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		v := reflect.New(t)
		field := v.Elem().Field(i)
		switch f.Type.Kind() {
		case reflect.Pointer:
			field.Set(reflect.New(f.Type.Elem()))
		case reflect.Slice:
			field.Set(reflect.MakeSlice(f.Type, 0, 0))
		case reflect.Map:
			field.Set(reflect.MakeMap(f.Type))
		case reflect.Interface:
			field.Set(reflect.ValueOf(map[string]any{}))
		default:
			continue
		}
		text, err := json.Marshal(v.Interface())
		var doc map[string]json.RawMessage
		if err != nil || json.Unmarshal(text, &doc) != nil || len(doc) != 1 {
			continue
		}
		for name := range doc {
			out[name] = f
		}
	}
	return out
}

// checkMembers finds keys of a document that a type of the SDK does not have, and
// values of another kind, at any depth: decoding would drop the first without a
// word.
func checkMembers(value any, t reflect.Type, path string) []fleet.FieldError {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if value == nil || t.Kind() == reflect.Interface {
		return nil
	}
	wrong := func(want string) []fleet.FieldError {
		return []fleet.FieldError{{Path: path, Value: value, Message: "is " + kindOf(value) + " where Azure's API wants " + want}}
	}
	var found []fleet.FieldError
	switch {
	case t == reflect.TypeFor[time.Time]():
		if _, ok := value.(string); !ok {
			return wrong("text")
		}
	case t.Kind() == reflect.Struct:
		doc, ok := value.(map[string]any)
		if !ok {
			return wrong("an object")
		}
		known := members(t)
		for _, key := range sortedKeys(doc) {
			at := settings.JoinKey(path, key)
			if inner, ok := known[key]; ok {
				found = append(found, checkMembers(doc[key], inner.Type, at)...)
				continue
			}
			message := settings.Unknown("key", key, sortedKeys(known))
			for name := range known {
				if strings.EqualFold(name, key) {
					message = "is spelled " + name
				}
			}
			found = append(found, fleet.FieldError{Path: at, Message: message})
		}
	case t.Kind() == reflect.Map:
		doc, ok := value.(map[string]any)
		if !ok {
			return wrong("an object")
		}
		for _, key := range sortedKeys(doc) {
			found = append(found, checkMembers(doc[key], t.Elem(), settings.JoinKey(path, key))...)
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		list, ok := value.([]any)
		if !ok {
			return wrong("a list")
		}
		for i, inner := range list {
			found = append(found, checkMembers(inner, t.Elem(), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case t.Kind() == reflect.Bool:
		if _, ok := value.(bool); !ok {
			return wrong("true or false")
		}
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		if _, ok := value.(json.Number); !ok {
			return wrong("a number")
		}
	default:
		if _, ok := value.(string); !ok {
			return wrong("text")
		}
	}
	return found
}

func kindOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "text"
	case bool:
		return "true or false"
	}
	return "a number"
}
