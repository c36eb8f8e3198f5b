package settings

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// MergePatch lays patch over base as RFC 7396 says: objects are merged, null
// removes a key, everything else replaces. Neither is changed.
func MergePatch(base, patch map[string]any) map[string]any {
	out := make(map[string]any, len(base)+len(patch))
	for key, value := range base {
		out[key] = value
	}
	for key, value := range patch {
		switch inner, isObject := value.(map[string]any); {
		case value == nil:
			delete(out, key)
		case isObject:
			below, _ := out[key].(map[string]any)
			out[key] = MergePatch(below, inner)
		default:
			out[key] = value
		}
	}
	return out
}

// Naming tells how a document spells a field of a vendor's type; ok is false
// for fields that documents do not have.
type Naming func(reflect.StructField) (name string, ok bool)

// JSONNames spells fields as encoding/json does.
func JSONNames(f reflect.StructField) (string, bool) {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case name == "-":
		return "", false
	case name == "":
		return f.Name, true
	}
	return name, true
}

// GoNames spells fields by their names in Go, for vendors whose documents use
// the same.
func GoNames(f reflect.StructField) (string, bool) { return f.Name, true }

// CheckOverride finds keys of a document that the vendor's type does not have,
// at any depth: decoding would drop them without a word. path is put before the
// paths of what it finds. Maps, interfaces and types with their own way of
// reading JSON take any key.
func CheckOverride(doc map[string]any, target reflect.Type, naming Naming, path string) []fleet.FieldError {
	for target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	var found []fleet.FieldError
	if target.Kind() == reflect.Map {
		for _, key := range sortedKeys(doc) {
			found = append(found, checkOverridden(doc[key], target.Elem(), naming, join(path, key))...)
		}
		return found
	}
	if target.Kind() != reflect.Struct || ownJSON(target) {
		return nil
	}
	fields := namedFields(target, naming)
	for _, key := range sortedKeys(doc) {
		at := join(path, key)
		typ, ok := fields[key]
		if !ok {
			found = append(found, fleet.FieldError{Path: at, Message: Unknown("key", key, sortedKeys(fields))})
			continue
		}
		found = append(found, checkOverridden(doc[key], typ, naming, at)...)
	}
	return found
}

// checkOverridden checks one value of a document against its type.
func checkOverridden(value any, typ reflect.Type, naming Naming, path string) []fleet.FieldError {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if value == nil || ownJSON(typ) || typ.Kind() == reflect.Interface {
		return nil
	}
	wrong := func(want string) []fleet.FieldError {
		return []fleet.FieldError{{Path: path, Value: value, Message: fmt.Sprintf("is %s where the vendor's API wants %s", kindOf(value), want)}}
	}
	switch v := value.(type) {
	case map[string]any:
		if typ.Kind() != reflect.Struct && typ.Kind() != reflect.Map {
			return wrong(typeNoun(typ))
		}
		return CheckOverride(v, typ, naming, path)
	case []any:
		if typ.Kind() != reflect.Slice && typ.Kind() != reflect.Array {
			return wrong(typeNoun(typ))
		}
		var found []fleet.FieldError
		for i, inner := range v {
			found = append(found, checkOverridden(inner, typ.Elem(), naming, index(path, i))...)
		}
		return found
	case string:
		if bytes := typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8; typ.Kind() != reflect.String && !bytes {
			return wrong(typeNoun(typ))
		}
	case bool:
		if typ.Kind() != reflect.Bool {
			return wrong(typeNoun(typ))
		}
	default:
		if !isNumber(typ.Kind()) {
			return wrong(typeNoun(typ))
		}
	}
	return nil
}

func isNumber(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Float64 }

// namedFields lists the fields of a type by their names in documents, those of
// embedded structs included.
func namedFields(t reflect.Type, naming Naming) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.Anonymous && tag == "" && baseType(f.Type).Kind() == reflect.Struct {
			for name, typ := range namedFields(baseType(f.Type), naming) {
				if _, outer := fields[name]; !outer {
					fields[name] = typ
				}
			}
			continue
		}
		if name, ok := naming(f); ok && f.IsExported() {
			fields[name] = f.Type
		}
	}
	return fields
}

// ownJSON says that the type reads JSON in its own way. A type that merely
// embeds or promotes such a method is none of our business to look through
// either.
func ownJSON(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
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

func typeNoun(t reflect.Type) string {
	switch k := t.Kind(); {
	case k == reflect.Struct || k == reflect.Map:
		return "an object"
	case k == reflect.String || k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "text"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	case k == reflect.Bool:
		return "true or false"
	}
	return "a number"
}
