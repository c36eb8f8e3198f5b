package azure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

const overridePath = "config_override"

const onlyRead = "can only be read: leave it out"

// notOverridden are members of a machine that the settings decide on, or that
// would let its parts be left or its secrets be seen, each with what to do instead.
var notOverridden = []struct{ path, why string }{
	{"location", "is chosen by region: leave it out"},
	{"zones", "is chosen among availability_zones: leave it out"},
	{"properties.hardwareProfile.vmSize", "is chosen among vm_size: leave it out"},
	{"properties.osProfile.computerName", "is Headroom's to choose: leave it out"},
	{"properties.osProfile.customData", "carries the startup script: write it into startup_script of the VM provider"},
	{"properties.osProfile.adminPassword", "would be stored unsealed: write it into os_password"},
	{"id", onlyRead},
	{"name", onlyRead},
	{"type", onlyRead},
	{"etag", onlyRead},
	{"managedBy", onlyRead},
	{"resources", onlyRead},
	{"systemData", onlyRead},
	{"properties.instanceView", onlyRead},
	{"properties.provisioningState", onlyRead},
	{"properties.timeCreated", onlyRead},
	{"properties.vmId", onlyRead},
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
	problems := checkMembers(doc, reflect.TypeFor[armcompute.VirtualMachine](), overridePath)
	for _, n := range notOverridden {
		if _, there := lookup(doc, n.path); there {
			problems = append(problems, fleet.FieldError{Path: overridePath + "." + n.path, Message: n.why})
		}
	}
	if p, there := doc["properties"]; there && p == nil {
		problems = append(problems, fleet.FieldError{Path: overridePath + ".properties", Message: "cannot be removed: they are the machine"})
	}
	if tags, _ := doc["tags"].(map[string]any); tags != nil {
		for _, key := range sortedKeys(tags) {
			if strings.HasPrefix(strings.ToLower(key), ownPrefix) {
				problems = append(problems, fleet.FieldError{Path: overridePath + ".tags." + key, Message: "is Headroom's own: take another name"})
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	problems, _ = checkApplied(raw)
	return problems
}

// lookup finds a member of a document by its path; null is no member.
func lookup(doc map[string]any, path string) (any, bool) {
	key, rest, deeper := strings.Cut(path, ".")
	value, there := doc[key]
	if !deeper {
		return value, there && value != nil
	}
	inner, _ := value.(map[string]any)
	return lookup(inner, rest)
}

// applyOverride lays an override over a machine. What the SDK's type would drop
// or change is an error.
func applyOverride(base *armcompute.VirtualMachine, raw map[string]any) (*armcompute.VirtualMachine, error) {
	if len(raw) == 0 {
		return base, nil
	}
	fault := func(err error) error {
		return provider.Errorf(provider.Invalid, "cannot be laid over the machine: %w", err)
	}
	doc, err := plain(raw)
	if err != nil {
		return nil, fault(err)
	}
	below, err := plain(base)
	if err != nil {
		return nil, fault(err)
	}
	merged := settings.MergePatch(below, doc)
	text, err := json.Marshal(merged)
	if err != nil {
		return nil, fault(err)
	}
	out := &armcompute.VirtualMachine{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fault(err)
	}
	again, err := plain(out)
	if err != nil {
		return nil, fault(err)
	}
	if path := difference(settings.MergePatch(map[string]any{}, merged), again, ""); path != "" {
		return nil, provider.Errorf(provider.Invalid, "changes its meaning when Azure's SDK reads it, at %s", path)
	}
	if out.Properties == nil {
		return nil, provider.Errorf(provider.Invalid, "takes the properties of the machine away")
	}
	return out, nil
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

// difference is the path of the first value that two documents do not share.
func difference(want, got any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return path
		}
		for _, key := range sortedKeys(w) {
			if w[key] == nil {
				continue
			}
			if at := difference(w[key], g[key], settings.JoinKey(path, key)); at != "" {
				return at
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return path
		}
		for i := range w {
			if at := difference(w[i], g[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
		return ""
	case json.Number:
		g, ok := got.(json.Number)
		x, err1 := w.Float64()
		y, err2 := g.Float64()
		if !ok || err1 != nil || err2 != nil || x != y {
			return path
		}
		return ""
	}
	if want != got {
		return path
	}
	return ""
}
