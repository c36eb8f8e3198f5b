package manifest

import (
	"fmt"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Ref is the mention of another object in a spec.
type Ref struct {
	Kind fleet.Kind
	Name string
	Path string // where: spec.vm_providers[1]
}

// References lists the objects that must exist for the document to make sense,
// in the order of its fields.
func References(doc Document) []Ref {
	var refs []Ref
	add := func(kind fleet.Kind, name, path string) {
		if name != "" {
			refs = append(refs, Ref{kind, name, path})
		}
	}
	switch s := doc.Spec.(type) {
	case *fleet.AutoscaleConfigSpec:
		add(fleet.KindPool, s.Pool, "spec.pool")
		add(fleet.KindZone, s.Zone, "spec.zone")
		for i, name := range s.VMProviders {
			add(fleet.KindVMProvider, name, fmt.Sprintf("spec.vm_providers[%d]", i))
		}
		add(fleet.KindDNSProvider, s.DNSProvider, "spec.dns_provider")
	case *fleet.ScheduleSpec:
		add(fleet.KindAutoscaleConfig, s.AutoscaleConfig, "spec.autoscale_config")
	case *fleet.StagingSpec:
		add(fleet.KindPool, s.Pool, "spec.pool")
		add(fleet.KindZone, s.Zone, "spec.zone")
	}
	return refs
}
