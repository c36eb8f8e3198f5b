package vsphere

import (
	"context"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// labelsPerListing bounds what a listing spends on custom attributes.
const labelsPerListing = 8

// label fills in the custom attributes of machines, for people who look at them
// in the vSphere Client, where an administrator has defined attributes of our
// names. Ownership does not depend on them: what hinders it is no error, and
// once it is forbidden it is not tried again in this session.
func (s *session) label(ctx context.Context, machines []machine) {
	s.mu.Lock()
	p := s.places
	s.mu.Unlock()
	if p == nil || len(p.fields) == 0 {
		return
	}
	left := labelsPerListing
	for _, m := range machines {
		for name, value := range attributesOf(m.mark.tags()) {
			key, defined := p.fields[name]
			if !defined || hasValue(m.vm.CustomValue, key, value) {
				continue
			}
			if left--; left < 0 {
				return
			}
			_, err := methods.SetField(ctx, s.client, &types.SetField{
				This: *s.client.ServiceContent.CustomFieldsManager, Entity: m.ref, Key: key, Value: value,
			})
			if err == nil {
				continue
			}
			if isFault(err, "NoPermission") {
				without := *p
				without.fields = nil
				s.mu.Lock()
				if s.places == p {
					s.places = &without
				}
				s.mu.Unlock()
			}
			return
		}
	}
}

func attributesOf(t provider.Tags) map[string]string {
	return map[string]string{
		provider.TagInstallation: t.Installation, provider.TagServer: t.Server,
		provider.TagAutoscale: t.AutoscaleConfig, provider.TagProvider: t.Provider,
	}
}

func hasValue(values []types.BaseCustomFieldValue, key int32, want string) bool {
	for _, v := range values {
		if text, ok := v.(*types.CustomFieldStringValue); ok && text.Key == key {
			return text.Value == want
		}
	}
	return false
}
