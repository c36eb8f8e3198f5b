package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

const (
	overridePath = "config_override"
	wrapper      = "launch_instance_details"
	modelName    = "OCI_MODEL_NAME" // Oracle's Python tools put the name of the class there
)

// notOverridden are keys that the settings decide on, or that would make what
// could not be found again, each with what to do instead.
var notOverridden = map[string]string{ //nolint:gochecknoglobals // never changed
	"availability_domain":         "is chosen among availability_domains: leave it out",
	"compartment_id":              "is compartment_ocid: leave it out",
	"display_name":                "is Headroom's to choose: leave it out",
	"shape":                       "is chosen among shape: leave it out",
	"image_id":                    "is image_ocid: leave it out",
	"subnet_id":                   "is subnet_ocid: leave it out",
	"hostname_label":              "would be the same for every machine: leave it out",
	"preemptible_instance_config": "is the setting preemptible: leave it out",
	"launch_volume_attachments":   "would make or attach volumes that bear no tags, so that nobody could find them again: leave it out",
	"instance_configuration_id":   "would bring in settings that cannot be seen here: write them out instead",

	"source_details.source_type":             "must be image: machines are made of image_ocid",
	"source_details.image_id":                "is image_ocid: leave it out",
	"source_details.boot_volume_id":          "would be the same for every machine: leave it out",
	"create_vnic_details.subnet_id":          "is subnet_ocid: leave it out",
	"create_vnic_details.display_name":       "is Headroom's to choose: leave it out",
	"create_vnic_details.hostname_label":     "would be the same for every machine: leave it out",
	"create_vnic_details.private_ip":         "would be the same for every machine: leave it out",
	"create_vnic_details.private_ip_id":      "would be the same for every machine: leave it out",
	"create_vnic_details.vlan_id":            "cannot be used with subnet_ocid: leave it out",
	"metadata." + keyUserData:                "carries the startup script: write it into startup_script of the VM provider",
	"extended_metadata." + keyUserData:       "carries the startup script: write it into startup_script of the VM provider",
	"source_details.is_preserve_boot_volume": "would leave disks behind: leave it out",
}

// overrideDocument takes the wrapper off, and the names of classes out of
// objects that the API has types for. path is where the rest stands.
func overrideDocument(raw map[string]any) (doc map[string]any, path string) {
	path = overridePath
	if inner, ok := raw[wrapper].(map[string]any); ok && onlyWrapper(raw) {
		raw, path = inner, path+"."+wrapper
	}
	if len(raw) == 0 {
		return nil, path
	}
	doc, _ = unnamedModels(raw, "").(map[string]any)
	return doc, path
}

func onlyWrapper(raw map[string]any) bool {
	for key := range raw {
		if key != wrapper && key != modelName {
			return false
		}
	}
	return true
}

// freeMaps hold keys of people's own.
var freeMaps = []string{"metadata", "extended_metadata", "freeform_tags", "defined_tags", "security_attributes"} //nolint:gochecknoglobals // never changed

func unnamedModels(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		if slices.Contains(freeMaps, key) {
			return v
		}
		out := make(map[string]any, len(v))
		for k, inner := range v {
			if k != modelName {
				out[k] = unnamedModels(inner, k)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = unnamedModels(inner, key)
		}
		return out
	}
	return v
}

// snake spells a name of the REST API as Oracle's Python SDK does:
// bootVolumeSizeInGBs is boot_volume_size_in_gbs.
func snake(name string) string {
	for _, unit := range []string{"GBs", "MBs", "TBs"} {
		name = strings.ReplaceAll(name, unit, unit[:1]+strings.ToLower(unit[1:]))
	}
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

func snakeNames(f reflect.StructField) (string, bool) {
	name, ok := settings.JSONNames(f)
	return snake(name), ok && f.Tag.Get("json") != ""
}

// camel undoes snake but for the case of letters that stand for units, which
// encoding/json does not look at.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

// camelCased spells a document as the REST API does.
func camelCased(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		if slices.Contains(freeMaps, key) {
			return v
		}
		out := make(map[string]any, len(v))
		for k, inner := range v {
			out[camel(k)] = camelCased(inner, k)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = camelCased(inner, key)
		}
		return out
	}
	return v
}

// bare is the type without its own way of reading JSON, so that its fields can
// be looked at.
type bare core.LaunchInstanceDetails

// checkOverride says what of an override cannot be used.
func checkOverride(raw map[string]any) []fleet.FieldError {
	if len(raw) == 0 {
		return nil
	}
	plain, err := asJSON(raw)
	if err != nil {
		return []fleet.FieldError{{Path: overridePath, Message: "cannot be read: " + err.Error()}}
	}
	doc, path := overrideDocument(plain)
	problems := settings.CheckOverride(doc, reflect.TypeFor[bare](), snakeNames, path)
	problems = append(problems, forbiddenKeys(doc, path)...)
	if len(problems) > 0 {
		return problems
	}
	problems, _ = checkTypes(doc, path)
	return problems
}

func forbiddenKeys(doc map[string]any, path string) []fleet.FieldError {
	var problems []fleet.FieldError
	for _, at := range sorted(notOverridden) {
		value, ok := lookUp(doc, strings.Split(at, ".")...)
		if !ok || at == "source_details.source_type" && value == "image" {
			continue
		}
		problems = append(problems, fleet.FieldError{Path: path + "." + at, Value: value, Message: notOverridden[at]})
	}
	for _, at := range [][]string{{"freeform_tags"}, {"create_vnic_details", "freeform_tags"}} {
		value, _ := lookUp(doc, at...)
		tags, _ := value.(map[string]any)
		for _, key := range sorted(tags) {
			if strings.HasPrefix(key, ownPrefix) {
				problems = append(problems, fleet.FieldError{Path: path + "." + strings.Join(at, ".") + "." + key, Message: "is Headroom's own: take another key"})
			}
		}
	}
	for _, at := range []string{"source_details", "create_vnic_details"} { // without them there is no machine
		if value, ok := lookUp(doc, at); ok && value == nil {
			problems = append(problems, fleet.FieldError{Path: path + "." + at, Message: "cannot be taken away: leave it out"})
		}
	}
	return problems
}

// lookUp follows keys into a document.
func lookUp(doc map[string]any, keys ...string) (value any, ok bool) {
	for _, key := range keys {
		if value, ok = doc[key]; !ok {
			return nil, false
		}
		doc, _ = value.(map[string]any)
	}
	return value, ok
}

// checkTypes decodes the override as the SDK does, and encodes it again: what
// has not come through, at any depth, is not known. That finds what is wrong in
// types that stand for one of several, such as platform_config.
func checkTypes(doc map[string]any, path string) (problems []fleet.FieldError, warnings []string) {
	refuse := func(path, why string) ([]fleet.FieldError, []string) {
		return []fleet.FieldError{{Path: path, Message: why}}, nil
	}
	sent, _ := camelCased(doc, "").(map[string]any)
	if source, ok := sent["sourceDetails"].(map[string]any); ok { // machines are made of images
		sent["sourceDetails"] = settings.MergePatch(map[string]any{"sourceType": "image"}, source)
	}
	text, err := json.Marshal(sent)
	if err != nil {
		return refuse(path, "cannot be read: "+err.Error())
	}
	var details core.LaunchInstanceDetails
	if err := json.Unmarshal(text, &details); err != nil {
		at := path
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			var parts []string
			for _, p := range strings.Split(wrong.Field, ".") {
				parts = append(parts, snake(p))
			}
			return refuse(at+"."+strings.Join(parts, "."), "is "+wrong.Value+" where Oracle's API wants "+wrong.Type.String())
		}
		return refuse(at, "cannot be read: "+err.Error())
	}
	again, err := asJSON(details)
	if err != nil {
		return refuse(path, "cannot be encoded: "+err.Error())
	}
	if problems := compare(doc, again, path, ""); len(problems) > 0 {
		return problems, nil
	}
	return checkValues(doc, details, path)
}

// compare finds keys of a document that its other spelling does not have, and
// values that became others.
func compare(doc, again any, path, key string) []fleet.FieldError {
	switch want := doc.(type) {
	case map[string]any:
		got, ok := again.(map[string]any)
		if !ok {
			return []fleet.FieldError{{Path: path, Value: doc, Message: "is none of the objects that Oracle's API knows here: see its type, or another key that says which it is"}}
		}
		names := map[string]any{}
		for name, value := range got {
			if !slices.Contains(freeMaps, key) {
				name = snake(name)
			}
			names[name] = value
		}
		if _, raw := got["JsonData"]; raw { // how the SDK shows a type that it does not know
			return []fleet.FieldError{{Path: path + ".type", Value: want["type"], Message: "is no type that Oracle's API knows here"}}
		}
		var problems []fleet.FieldError
		for _, k := range sorted(want) {
			value, ok := names[k]
			switch {
			case want[k] == nil:
			case !ok:
				problems = append(problems, fleet.FieldError{Path: path + "." + k, Message: settings.Unknown("key", k, sorted(names))})
			default:
				problems = append(problems, compare(want[k], value, path+"."+k, k)...)
			}
		}
		return problems
	case []any:
		got, _ := again.([]any)
		if len(got) != len(want) {
			return []fleet.FieldError{{Path: path, Message: "is no list that Oracle's API knows here"}}
		}
		var problems []fleet.FieldError
		for i := range want {
			problems = append(problems, compare(want[i], got[i], fmt.Sprintf("%s[%d]", path, i), key)...)
		}
		return problems
	case json.Number:
		a, errA := want.Float64()
		number, _ := again.(json.Number)
		b, errB := number.Float64()
		if errA == nil && errB == nil && float32(a) == float32(b) { // the SDK keeps some numbers with less precision
			return nil
		}
	}
	if !reflect.DeepEqual(doc, again) {
		return []fleet.FieldError{{Path: path, Value: doc, Message: fmt.Sprintf("becomes %v when Oracle's SDK reads it", again)}}
	}
	return nil
}

// applyOverride lays an override over a launch.
func applyOverride(base core.LaunchInstanceDetails, raw map[string]any) (core.LaunchInstanceDetails, error) {
	fault := func(err error) (core.LaunchInstanceDetails, error) {
		return base, provider.Errorf(provider.Invalid, "config_override cannot be laid over the launch: %w", err)
	}
	plain, err := asJSON(raw)
	if err != nil {
		return fault(err)
	}
	doc, _ := overrideDocument(plain)
	if len(doc) == 0 {
		return base, nil
	}
	below, err := asJSON(base)
	if err != nil {
		return fault(err)
	}
	over, _ := camelCased(doc, "").(map[string]any)
	text, err := json.Marshal(settings.MergePatch(below, properCase(over, below)))
	if err != nil {
		return fault(err)
	}
	var out core.LaunchInstanceDetails
	if err := json.Unmarshal(text, &out); err != nil {
		return fault(err)
	}
	// The SDK makes empty lists of absent ones.
	if len(out.LaunchVolumeAttachments) == 0 {
		out.LaunchVolumeAttachments = nil
	}
	if len(out.LicensingConfigs) == 0 {
		out.LicensingConfigs = nil
	}
	return out, nil
}

// properCase spells keys as the document below does, so that they replace
// instead of standing beside: bootVolumeSizeInGbs is bootVolumeSizeInGBs.
func properCase(over, below map[string]any) map[string]any {
	out := make(map[string]any, len(over))
	for key, value := range over {
		for known := range below {
			if strings.EqualFold(known, key) {
				key = known
			}
		}
		inner, isObject := value.(map[string]any)
		under, both := below[key].(map[string]any)
		if isObject && both {
			value = properCase(inner, under)
		}
		out[key] = value
	}
	return out
}

// asJSON is a value as JSON has it, with numbers as they are written.
func asJSON(v any) (map[string]any, error) {
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

func sizeOf(v any) int {
	if v == nil {
		return 0
	}
	text, _ := json.Marshal(v) // it was read from JSON
	return len(text)
}
