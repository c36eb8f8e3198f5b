package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/headroom-dev/headroom/internal/settings"
)

// Change is one difference between two specs. An absent value is nil.
type Change struct {
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// Diff lists the differences between two specs in the order of their paths.
// Mappings are compared field by field and lists entry by entry; numbers are
// equal when they mean the same, and so are absent, null, an empty mapping and
// an empty list. The values at the secret paths are masked, with a change shown
// as one.
func Diff(old, new map[string]any, secrets ...string) []Change {
	d := differ{secrets: secrets}
	d.maps("", old, new)
	return d.changes
}

type differ struct {
	secrets []string
	changes []Change
}

func (d *differ) maps(path string, old, new map[string]any) {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, new)
	for _, key := range sortedKeys(all) {
		at := settings.JoinKey(path, key)
		d.values(at, old[key], new[key])
	}
}

func (d *differ) values(path string, old, new any) {
	old, new = emptyToNil(old), emptyToNil(new)
	oldMap, oldIsMap := old.(map[string]any)
	newMap, newIsMap := new.(map[string]any)
	oldList, oldIsList := old.([]any)
	newList, newIsList := new.([]any)
	switch {
	case slices.Contains(d.secrets, path):
		if !equal(old, new) {
			d.add(path, mask(old), mask(new))
		}
	case (oldIsMap || old == nil) && (newIsMap || new == nil) && (oldIsMap || newIsMap):
		d.maps(path, oldMap, newMap)
	case oldIsList && newIsList:
		for i := range max(len(oldList), len(newList)) {
			d.values(fmt.Sprintf("%s[%d]", path, i), entry(oldList, i), entry(newList, i))
		}
	case !equal(old, new):
		d.add(path, old, new)
	}
}

func (d *differ) add(path string, old, new any) {
	d.changes = append(d.changes, Change{path, old, new})
}

func entry(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func emptyToNil(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

func mask(v any) any {
	if v == nil || v == "" {
		return nil
	}
	return settings.Masked
}

// equal compares by JSON text; 1, 1.0 and int64(1) are equal there.
func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
