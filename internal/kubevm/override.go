package kubevm

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// placeholders in a manifest become the machine's name. The second is that of
// manifests that were written for another product.
var placeholders = []string{"$HEADROOM_NAME", "$KASM_NAME"}

const (
	apiVersion = "kubevirt.io/v1"
	vmKind     = "VirtualMachine"
	overridden = "config_override"
)

// guest is the type of a guest's spec without its own way of reading JSON, which
// drops unknown keys.
type guest virt.VirtualMachineInstanceSpec

// checkOverride finds everything in a manifest that KubeVirt's types do not
// know or that cannot work for more than one machine.
func checkOverride(doc map[string]any) []fleet.FieldError {
	wrong := settings.CheckOverride(doc, reflect.TypeFor[virt.VirtualMachine](), settings.JSONNames, overridden)
	if spec, found, _ := unstructured.NestedFieldNoCopy(doc, "spec", "template", "spec"); found {
		if fields, ok := spec.(map[string]any); ok {
			wrong = append(wrong, settings.CheckOverride(fields, reflect.TypeFor[guest](), settings.JSONNames, overridden+".spec.template.spec")...)
		} else {
			wrong = append(wrong, fleet.FieldError{Path: overridden + ".spec.template.spec", Message: "is no object: give the spec of a VirtualMachineInstance"})
		}
	}
	say := func(path, format string, args ...any) {
		wrong = append(wrong, fleet.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	for key, want := range map[string]string{"apiVersion": apiVersion, "kind": vmKind} {
		if have, given := doc[key]; given && have != want {
			say(overridden+"."+key, "is %v: the manifest must be a %s of %s", have, vmKind, apiVersion)
		}
	}
	if _, given := doc["status"]; given {
		say(overridden+".status", "is what the cluster says, not what is wished: remove it")
	}
	if len(wrong) > 0 {
		return wrong
	}
	vm, err := decodeOverride(doc, "machine")
	if err != nil {
		say(overridden, "cannot be read as a %s: %s", vmKind, err)
		return wrong
	}
	if vm.Spec.Template == nil {
		say(overridden+".spec", "has no template: give the whole manifest of a %s", vmKind)
		return wrong
	}
	spec := &vm.Spec.Template.Spec
	for i, d := range spec.Domain.Devices.Disks {
		if d.Name == configDrive {
			say(fmt.Sprintf("%s.spec.template.spec.domain.devices.disks[%d].name", overridden, i), "%s is the disk that Headroom adds for the startup script: name it otherwise", configDrive)
		}
	}
	for i := range spec.Volumes {
		if spec.Volumes[i].Name == configDrive {
			say(fmt.Sprintf("%s.spec.template.spec.volumes[%d].name", overridden, i), "%s is the volume that Headroom adds for the startup script: name it otherwise", configDrive)
		}
	}
	again, err := runtime.DefaultUnstructuredConverter.ToUnstructured(vm)
	if err != nil {
		say(overridden, "cannot be read as a %s: %s", vmKind, err)
		return wrong
	}
	if path := dropped(doc, again, overridden); path != "" { // types that read JSON their own way
		say(path, "is not known to KubeVirt: remove it, or look whether it belongs elsewhere")
		return wrong
	}
	other, err := decodeOverride(doc, "another")
	if err != nil {
		say(overridden, "cannot be read as a %s: %s", vmKind, err)
		return wrong
	}
	for i := range vm.Spec.DataVolumeTemplates {
		if name := vm.Spec.DataVolumeTemplates[i].Name; name == "" || name == other.Spec.DataVolumeTemplates[i].Name {
			say(fmt.Sprintf("%s.spec.dataVolumeTemplates[%d].metadata.name", overridden, i), "is %q for every machine, so that the second finds the volume of the first: write for example $HEADROOM_NAME-pvc", name)
		}
	}
	return wrong
}

// dropped is the path of something in a document that is not there any more
// after it was read and written again; empty when nothing is. Empty values may
// go.
func dropped(doc, again any, path string) string {
	switch d := doc.(type) {
	case map[string]any:
		a, _ := again.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(d)) {
			value, there := a[key]
			if !there && !strings.Contains(key, "$") && !empty(d[key]) {
				return path + "." + key
			}
			if there {
				if at := dropped(d[key], value, path+"."+key); at != "" {
					return at
				}
			}
		}
	case []any:
		a, _ := again.([]any)
		for i := range d {
			if i < len(a) {
				if at := dropped(d[i], a[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
					return at
				}
			}
		}
	}
	return ""
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return reflect.ValueOf(v).IsZero()
}

// decodeOverride reads a manifest with its placeholders replaced. Values that
// KubeVirt's types read in their own way, such as quantities, are checked here.
func decodeOverride(doc map[string]any, name string) (*virt.VirtualMachine, error) {
	vm := &virt.VirtualMachine{}
	named, _ := replaceNames(doc, name).(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(named, vm, true); err != nil {
		return nil, err
	}
	return vm, nil
}

// replaceNames is a copy of a document in which every placeholder, in keys as
// well, is the machine's name.
func replaceNames(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[named(key, name)] = replaceNames(value, name)
		}
		return out
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = replaceNames(out[i], name)
		}
		return out
	case string:
		return named(v, name)
	case int: // YAML readers make them, and Kubernetes' deep copies know no int
		return int64(v)
	}
	return v
}

func named(text, name string) string {
	for _, p := range placeholders {
		text = strings.ReplaceAll(text, p, name)
	}
	return text
}
