package oci

import (
	"reflect"
	"testing"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestEnumerations: each list of values that an override can meet is checked. The
// SDK knows the types behind its interfaces by their discriminators only; they
// are named here.
func TestEnumerations(t *testing.T) {
	t.Parallel()
	n := providertest.Enumerated(t, func(typ reflect.Type) bool { return len(enumerations[typ]) > 0 }, nil,
		reflect.TypeFor[core.LaunchInstanceDetails](), reflect.TypeFor[core.InstanceSourceViaImageDetails](), reflect.TypeFor[core.LaunchInstanceWindowsLicensingConfig](),
		reflect.TypeFor[core.HostGroupPlacementConstraintDetails](), reflect.TypeFor[core.ComputeBareMetalHostPlacementConstraintDetails](), reflect.TypeFor[core.ComputeClusterPlacementConstraintDetails](),
		reflect.TypeFor[core.AmdMilanBmGpuLaunchInstancePlatformConfig](), reflect.TypeFor[core.AmdMilanBmLaunchInstancePlatformConfig](), reflect.TypeFor[core.AmdRomeBmGpuLaunchInstancePlatformConfig](),
		reflect.TypeFor[core.AmdRomeBmLaunchInstancePlatformConfig](), reflect.TypeFor[core.AmdVmLaunchInstancePlatformConfig](), reflect.TypeFor[core.GenericBmLaunchInstancePlatformConfig](),
		reflect.TypeFor[core.IntelIcelakeBmLaunchInstancePlatformConfig](), reflect.TypeFor[core.IntelSkylakeBmLaunchInstancePlatformConfig](), reflect.TypeFor[core.IntelVmLaunchInstancePlatformConfig]())
	if n != len(enumerations) {
		t.Errorf("an override can meet %d lists, %d are known", n, len(enumerations))
	}
}
