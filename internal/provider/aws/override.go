package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

const (
	overridePath = "config_override"
	overrideKey  = "instance_config"
)

// notOverridden are parameters that the settings decide on, or that would leave
// machines behind, each with what to do instead.
var notOverridden = map[string]string{
	"ClientToken":           "is Headroom's to choose: leave it out",
	"MinCount":              "is always 1: leave it out",
	"MaxCount":              "is always 1: leave it out",
	"DryRun":                "would make no machine: leave it out; `headroom provider check` does it",
	"TagSpecifications":     "marks the machine as Headroom's: write further tags into tags",
	"UserData":              "carries the startup script: write it into startup_script of the VM provider",
	"ImageId":               "is chosen by ami_id: leave it out",
	"InstanceType":          "is chosen among instance_types: leave it out",
	"SubnetId":              "is chosen among subnet_ids: leave it out",
	"SecurityGroupIds":      "is chosen by security_group_ids: leave it out",
	"SecurityGroups":        "names groups of EC2-Classic: write their ids into security_group_ids",
	"Operator":              "would hand the machine to another service, which alone could delete it: leave it out",
	"DisableApiTermination": "would keep machines from being deleted: leave it out",
	"PrivateIpAddress":      "would give all machines one address: leave it out",
	"Ipv6Addresses":         "would give all machines one address: write Ipv6AddressCount into NetworkInterfaces",
	"Ipv6AddressCount":      "belongs to the interface: write it into NetworkInterfaces",
	"EnablePrimaryIpv6":     "belongs to the interface: write PrimaryIpv6 into NetworkInterfaces",
}

// harmless says that a parameter says what holds anyway, as requests that are
// copied from programs do.
func harmless(key string, value any) bool {
	switch key {
	case "MinCount", "MaxCount":
		return value == json.Number("1")
	case "DryRun", "DisableApiTermination":
		return value == false
	}
	return false
}

// inner takes off the key that boto3's users put around the document.
func inner(raw map[string]any) (doc map[string]any, path string, err error) {
	if len(raw) == 0 {
		return nil, overridePath, nil
	}
	doc, err = plainDocument(raw)
	if err != nil {
		return nil, overridePath, err
	}
	wrapped, is := doc[overrideKey]
	if !is {
		return doc, overridePath, nil
	}
	below, isObject := wrapped.(map[string]any)
	switch {
	case len(doc) > 1:
		return nil, overridePath, fmt.Errorf("has %s and other keys beside it: put everything below %s, or leave it out", overrideKey, overrideKey)
	case !isObject && wrapped != nil:
		return nil, overridePath + "." + overrideKey, fmt.Errorf("is no object")
	}
	return below, overridePath + "." + overrideKey, nil
}

// checkOverride says what of the override cannot be used.
func (s *Settings) checkOverride() []fleet.FieldError {
	doc, path, err := inner(s.ConfigOverride)
	if err != nil {
		return []fleet.FieldError{{Path: path, Message: err.Error()}}
	}
	if len(doc) == 0 {
		return nil
	}
	problems := settings.CheckOverride(doc, reflect.TypeFor[ec2.RunInstancesInput](), settings.GoNames, path)
	for _, key := range sortedKeys(doc) {
		if why, ok := notOverridden[key]; ok && !harmless(key, doc[key]) {
			problems = append(problems, fleet.FieldError{Path: path + "." + key, Message: why})
		}
	}
	if doc["InstanceMarketOptions"] != nil && !s.Spot {
		problems = append(problems, fleet.FieldError{Path: path + ".InstanceMarketOptions", Message: "is for spot machines: set spot: true besides, so that they are watched for interruptions"})
	}
	if len(problems) > 0 {
		return problems
	}
	problems, _ = s.checkApplied(doc, path)
	return problems
}

// applyOverride lays the override over a request.
func (s *Settings) applyOverride(in *ec2.RunInstancesInput) error {
	doc, _, err := inner(s.ConfigOverride)
	if err != nil {
		return provider.Errorf(provider.Invalid, "config_override %w", err)
	}
	if len(doc) == 0 {
		return nil
	}
	fault := func(err error) error {
		return provider.Errorf(provider.Invalid, "cannot be laid over the request: %w", err)
	}
	below, err := document(in)
	if err != nil {
		return fault(err)
	}
	patch, _ := respell(doc, reflect.TypeFor[ec2.RunInstancesInput]()).(map[string]any)
	merged := settings.MergePatch(below, patch)
	text, err := json.Marshal(merged)
	if err != nil {
		return fault(err)
	}
	out := &ec2.RunInstancesInput{}
	if err := json.Unmarshal(text, out); err != nil {
		return fault(err)
	}
	again, err := document(out)
	if err != nil {
		return fault(err)
	}
	if want, _ := prune(merged, reflect.TypeFor[ec2.RunInstancesInput]()).(map[string]any); !reflect.DeepEqual(want, again) {
		text, _ := json.Marshal(again) // it was read from JSON
		return provider.Errorf(provider.Invalid, "changes its meaning when the SDK reads it: it becomes %s", text[:min(len(text), 300)])
	}
	*in = *out
	return nil
}

// document is a request as JSON has it, with the names of the API and without
// what is unset.
func document(in *ec2.RunInstancesInput) (map[string]any, error) {
	doc, err := plainDocument(in)
	if err != nil {
		return nil, err
	}
	out, _ := prune(doc, reflect.TypeFor[ec2.RunInstancesInput]()).(map[string]any)
	return out, nil
}

// plainDocument is a value as JSON has it, with numbers as they are written.
func plainDocument(v any) (map[string]any, error) {
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

// prune drops what is not sent: null, empty lists, and values of enumerations
// that are empty. Other empty text is sent: an empty NoDevice takes a device away.
func prune(v any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			typ := reflect.TypeFor[any]()
			if t.Kind() == reflect.Struct {
				if f, ok := t.FieldByName(key); ok {
					typ = f.Type
				}
			}
			list, isList := value.([]any)
			if value == nil || isList && len(list) == 0 || value == "" && typ.Kind() == reflect.String {
				continue
			}
			out[key] = prune(value, typ)
		}
		return out
	case []any:
		typ := reflect.TypeFor[any]()
		if t.Kind() == reflect.Slice {
			typ = t.Elem()
		}
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = prune(value, typ)
		}
		return out
	}
	return v
}

// respell writes moments as Go reads them, in UTC: people write a date alone, or
// another zone.
func respell(value any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, below := range v {
			out[key] = below
			if t.Kind() != reflect.Struct {
				continue
			}
			if f, ok := t.FieldByName(key); ok && f.IsExported() {
				out[key] = respell(below, f.Type)
			}
		}
		return out
	case []any:
		if t.Kind() != reflect.Slice {
			return value
		}
		out := make([]any, len(v))
		for i, below := range v {
			out[i] = respell(below, t.Elem())
		}
		return out
	case string:
		if t != reflect.TypeFor[time.Time]() {
			return value
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
			if at, err := time.Parse(layout, v); err == nil {
				return at.UTC().Format(time.RFC3339Nano)
			}
		}
	}
	return value
}
