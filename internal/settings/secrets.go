package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Masked stands for a secret where one is stored and must not be shown.
const Masked = "********"

// SecretPaths lists the secret fields of a settings struct: "token",
// "auth.password".
func SecretPaths(v any) []string {
	var paths []string
	eachField(structType(v), "", func(f *field, path string) {
		if f.secret {
			paths = append(paths, path)
		}
	})
	return paths
}

// eachField calls f for each field of a struct and of the structs inside it,
// lists and maps apart.
func eachField(t reflect.Type, path string, f func(f *field, path string)) {
	fields := fieldsOf(t)
	for i := range fields {
		at := join(path, fields[i].name)
		f(&fields[i], at)
		if inner, ok := nestedStruct(fields[i].typ); ok && inner != t {
			eachField(inner, at, f)
		}
	}
}

// SplitSecrets separates the secret fields from the others. v is a map as JSON
// has it or a struct; proto is the settings struct that says which fields are
// secret. v stays as it is.
//
// A secret that v does not mention is absent from secrets. One that is null or
// empty there has the value "": whoever gave it wants the stored one cleared.
// [UpdateSecrets] applies that. A struct cannot tell absent from empty; its
// empty secrets count as absent.
func SplitSecrets(v, proto any) (public map[string]any, secrets map[string]string, err error) {
	m, isMap := v.(map[string]any)
	if !isMap {
		if m, err = toMap(v); err != nil {
			return nil, nil, err
		}
	}
	public, secrets = copyMap(m), map[string]string{}
	for _, path := range SecretPaths(proto) {
		value, ok := take(public, strings.Split(path, "."))
		if !ok {
			continue
		}
		text, isText := value.(string)
		if value != nil && !isText {
			return nil, nil, fmt.Errorf("secret %s is not text", path)
		}
		if isMap || text != "" {
			secrets[path] = text
		}
	}
	return public, secrets, nil
}

// UpdateSecrets applies given secrets to stored ones: one that is not given
// stays, an empty one is cleared.
func UpdateSecrets(stored, given map[string]string) map[string]string {
	merged := maps.Clone(stored)
	if merged == nil {
		merged = map[string]string{}
	}
	for path, value := range given {
		if value == "" {
			delete(merged, path)
			continue
		}
		merged[path] = value
	}
	return merged
}

// MergeSecrets puts secrets back to their paths in a copy of the public
// settings.
func MergeSecrets(public map[string]any, secrets map[string]string) map[string]any {
	merged := copyMap(public)
	for _, path := range sortedKeys(secrets) {
		m, names := merged, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			inner, ok := m[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
				m[name] = inner
			}
			m = inner
		}
		m[names[len(names)-1]] = secrets[path]
	}
	return merged
}

// Mask is a copy of settings in which [Masked] stands in place of each secret
// that is set.
func Mask(m map[string]any, proto any) map[string]any {
	masked := copyMap(m)
	for _, path := range SecretPaths(proto) {
		inner, names := masked, strings.Split(path, ".")
		for len(names) > 1 && inner != nil {
			inner, _ = inner[names[0]].(map[string]any)
			names = names[1:]
		}
		if value, ok := inner[names[0]]; ok && value != nil && value != "" {
			inner[names[0]] = Masked
		}
	}
	return masked
}

// CheckImmutable compares two maps of settings and reports each field with the
// tag immutable that differs. A field that was not set may be set.
func CheckImmutable(old, new map[string]any, proto any, path string) []fleet.FieldError {
	var problems []fleet.FieldError
	eachField(structType(proto), "", func(f *field, at string) {
		if f.tag.Get("immutable") != "true" {
			return
		}
		was, now := lookUp(old, at), lookUp(new, at)
		if was == nil || was == "" || same(was, now) {
			return
		}
		e := fleet.FieldError{Path: joinPath(path, at), Message: "cannot be changed: make a new object with the other value and remove this one"}
		if !f.secret {
			e.Value = now
			e.Message = fmt.Sprintf("cannot be changed from %v: make a new object with the other value and remove this one", was)
		}
		problems = append(problems, e)
	})
	return problems
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func lookUp(m map[string]any, path string) any {
	names := strings.Split(path, ".")
	for len(names) > 1 && m != nil {
		m, _ = m[names[0]].(map[string]any)
		names = names[1:]
	}
	return m[names[0]]
}

// take removes and returns the value at a path.
func take(m map[string]any, names []string) (any, bool) {
	for len(names) > 1 && m != nil {
		m, _ = m[names[0]].(map[string]any)
		names = names[1:]
	}
	value, ok := m[names[0]]
	delete(m, names[0])
	return value, ok
}

// copyMap copies a map with the maps inside it; lists are shared, since nothing
// here changes them.
func copyMap(m map[string]any) map[string]any {
	c := make(map[string]any, len(m))
	for k, v := range m {
		if inner, ok := v.(map[string]any); ok {
			v = copyMap(inner)
		}
		c[k] = v
	}
	return c
}

// toMap is a struct as JSON has it, with whole numbers as int64.
func toMap(v any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing settings as JSON: %w", err)
	}
	n, err := ParseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("reading settings back: %w", err)
	}
	m, ok := plain(n).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("settings of type %T are no struct", v)
	}
	return m, nil
}

// Map is a settings struct as a map of JSON values, whole numbers as int64.
func Map(v any) (map[string]any, error) { return toMap(v) }
