package gcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

const overridePath = "config_override"

// notOverridden are keys of an instance that the settings decide on, or that
// would leave machines behind, each with what to do instead.
var notOverridden = map[string]string{
	"name":               "is Headroom's to choose: leave it out",
	"zone":               "is chosen among zones: leave it out",
	"machineType":        "is chosen among machine_type: leave it out",
	"deletionProtection": "would keep machines from being deleted: leave it out",
}

// checkOverride says what of an override cannot be used.
func checkOverride(raw map[string]any) []fleet.FieldError {
	if len(raw) == 0 {
		return nil
	}
	doc, err := plain(raw)
	if err != nil {
		return []fleet.FieldError{{Path: overridePath, Message: "cannot be read: " + err.Error()}}
	}
	numbers, _ := respell(doc, reflect.TypeFor[compute.Instance](), false).(map[string]any)
	problems := settings.CheckOverride(numbers, reflect.TypeFor[compute.Instance](), settings.JSONNames, overridePath)
	for _, key := range sortedKeys(doc) {
		unprotected := key == "deletionProtection" && doc[key] == false // as copies of requests say
		if why, ok := notOverridden[key]; ok && !unprotected {
			problems = append(problems, fleet.FieldError{Path: overridePath + "." + key, Message: why})
		}
	}
	labels, _ := doc["labels"].(map[string]any)
	for _, key := range sortedKeys(labels) {
		if strings.HasPrefix(key, ownPrefix) {
			problems = append(problems, fleet.FieldError{Path: overridePath + ".labels." + key, Message: "is Headroom's own: take another key"})
		}
	}
	metadata, _ := doc["metadata"].(map[string]any)
	items, _ := metadata["items"].([]any)
	for i, item := range items {
		entry, _ := item.(map[string]any)
		if key, _ := entry["key"].(string); slices.Contains(scriptKeys, key) {
			problems = append(problems, fleet.FieldError{Path: fmt.Sprintf("%s.metadata.items[%d]", overridePath, i), Value: key, Message: "carries the startup script: write it into startup_script of the VM provider"})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	problems, _ = checkApplied(raw)
	return problems
}

// applyOverride lays an override over an instance. What the override says is
// sent even where it is zero, false or empty, which the SDK would leave out.
func applyOverride(base *compute.Instance, raw map[string]any) (*compute.Instance, error) {
	if len(raw) == 0 {
		return base, nil
	}
	fault := func(err error) error {
		return provider.Errorf(provider.Invalid, "cannot be laid over the instance: %w", err)
	}
	doc, err := plain(raw)
	if err != nil {
		return nil, fault(err)
	}
	doc, _ = respell(doc, reflect.TypeFor[compute.Instance](), true).(map[string]any)
	below, err := plain(base)
	if err != nil {
		return nil, fault(err)
	}
	merged := settings.MergePatch(below, doc)
	text, err := json.Marshal(merged)
	if err != nil {
		return nil, fault(err)
	}
	out := &compute.Instance{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fault(err)
	}
	forceZeroes(reflect.ValueOf(out), merged)
	again, err := plain(out)
	if err != nil {
		return nil, fault(err)
	}
	if want := settings.MergePatch(map[string]any{}, merged); !reflect.DeepEqual(want, again) {
		return nil, provider.Errorf(provider.Invalid, "changes its meaning when Google's SDK reads it: it becomes %s", brief(again))
	}
	return out, nil
}

func brief(v any) string {
	text, _ := json.Marshal(v) // it was read from JSON
	return string(text[:min(len(text), 300)])
}

// plain is a value as JSON has it, with numbers as they are written.
func plain(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out map[string]any
	err = d.Decode(&out)
	return out, err
}

// respell writes the numbers that the API spells as text, such as diskSizeGb, as
// text or as numbers: people write either, the SDK reads only the first.
func respell(value any, t reflect.Type, asText bool) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[key] = inner
			if t.Kind() == reflect.Map {
				out[key] = respell(inner, t.Elem(), asText)
			}
			if t.Kind() != reflect.Struct {
				continue
			}
			if f, ok := fieldOf(t, key); ok {
				out[key] = respell(inner, f.Type, asText)
				if strings.Contains(f.Tag.Get("json"), ",string") {
					out[key] = respellNumber(inner, asText)
				}
			}
		}
		return out
	case []any:
		if t.Kind() != reflect.Slice {
			return value
		}
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = respell(inner, t.Elem(), asText)
		}
		return out
	}
	return value
}

func respellNumber(value any, asText bool) any {
	switch v := value.(type) {
	case json.Number:
		if asText {
			return v.String()
		}
	case string:
		if _, err := strconv.ParseInt(v, 10, 64); err == nil && !asText {
			return json.Number(v)
		}
	}
	return value
}

// fieldOf finds the field that JSON calls by a name.
func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if got, ok := settings.JSONNames(f); ok && got == name && f.Tag.Get("json") != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// forceZeroes names the fields of v that are zero and that the document gives,
// so that the SDK sends them.
func forceZeroes(v reflect.Value, doc any) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch d := doc.(type) {
	case map[string]any:
		if v.Kind() != reflect.Struct {
			return
		}
		force := v.FieldByName("ForceSendFields")
		for key, inner := range d {
			f, ok := fieldOf(v.Type(), key)
			if !ok || inner == nil {
				continue
			}
			field := v.FieldByIndex(f.Index)
			isList := field.Kind() == reflect.Slice || field.Kind() == reflect.Map
			if force.IsValid() && (field.IsZero() || isList && field.Len() == 0) {
				force.Set(reflect.Append(force, reflect.ValueOf(f.Name)))
			}
			forceZeroes(field, inner)
		}
	case []any:
		if v.Kind() != reflect.Slice {
			return
		}
		for i := range min(v.Len(), len(d)) {
			forceZeroes(v.Index(i), d[i])
		}
	}
}
