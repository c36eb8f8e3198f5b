package aws

import (
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// growing are the lists to which AWS adds kinds of hardware: a value that the SDK
// does not know yet may be right, and is only warned of.
var growing = []reflect.Type{
	reflect.TypeFor[types.InstanceType](), reflect.TypeFor[types.VolumeType](), reflect.TypeFor[types.InstanceBandwidthWeighting](),
}

// valuesOf are what a parameter takes: the SDK's types for enumerations list
// their values. EC2 reads them as they are written, the case included.
func valuesOf(_ reflect.Type, f reflect.StructField) settings.Values {
	typ := settings.ValueType(f)
	list, is := typ.MethodByName("Values")
	if typ.Kind() != reflect.String || !is {
		return settings.Values{}
	}
	all := list.Func.Call([]reflect.Value{reflect.Zero(typ)})[0]
	out := settings.Values{Known: make([]string, all.Len())}
	for i := range out.Known {
		out.Known[i] = all.Index(i).String()
	}
	out.Grows = slices.Contains(growing, typ)
	return out
}

// checkApplied says what of an override that has only known keys cannot be used,
// and what may be wrong with it.
func (s *Settings) checkApplied(doc map[string]any, path string) (problems []fleet.FieldError, warnings []string) {
	in := &ec2.RunInstancesInput{}
	if err := s.applyOverride(in); err != nil {
		return []fleet.FieldError{{Path: path, Message: strings.TrimPrefix(err.Error(), string(provider.Invalid)+": ")}}, nil
	}
	return settings.CheckValues(doc, reflect.ValueOf(in), settings.MembersBy(settings.GoNames), valuesOf, path)
}

// Warnings implements settings.Warner: values of an override that only EC2 may
// know.
func (s *Settings) Warnings() []string {
	doc, path, err := inner(s.ConfigOverride)
	if err != nil || len(doc) == 0 {
		return nil
	}
	_, warnings := s.checkApplied(doc, path)
	return warnings
}
