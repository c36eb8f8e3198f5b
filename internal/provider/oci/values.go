package oci

import (
	"reflect"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// enumerations are the SDK's lists of values of what an override can say.
var enumerations = settings.Lists( //nolint:gochecknoglobals // never changed
	settings.List(core.GetAmdMilanBmGpuLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetAmdMilanBmLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetAmdRomeBmGpuLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetAmdRomeBmLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetComputeClusterLogicalPlacementConstraintEnumValues()),
	settings.List(core.GetGenericBmLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetInstanceAgentPluginConfigDetailsDesiredStateEnumValues()),
	settings.List(core.GetIntelIcelakeBmLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetIntelSkylakeBmLaunchInstancePlatformConfigNumaNodesPerSocketEnumValues()),
	settings.List(core.GetLaunchInstanceAvailabilityConfigDetailsRecoveryActionEnumValues()),
	settings.List(core.GetLaunchInstanceLicensingConfigLicenseTypeEnumValues()),
	settings.List(core.GetLaunchInstanceShapeConfigDetailsBaselineOcpuUtilizationEnumValues()),
	settings.List(core.GetLaunchInstanceShapeConfigDetailsResourceManagementEnumValues()),
	settings.List(core.GetLaunchOptionsBootVolumeTypeEnumValues()),
	settings.List(core.GetLaunchOptionsFirmwareEnumValues()),
	settings.List(core.GetLaunchOptionsNetworkTypeEnumValues()),
	settings.List(core.GetLaunchOptionsRemoteDataVolumeTypeEnumValues()),
)

// valuesOf are what a key takes. Oracle's Python SDK, whose spelling the override
// has, takes values as they are written, the case included. How a processor is
// cut into NUMA nodes comes with the processors: such a value may be newer than
// the SDK, and is only warned of.
func valuesOf(_ reflect.Type, f reflect.StructField) settings.Values {
	typ := settings.ValueType(f)
	return settings.Values{Known: enumerations[typ], Grows: strings.HasSuffix(typ.Name(), "NumaNodesPerSocketEnum")}
}

// checkValues says what of an override that the SDK has read cannot be used, and
// what may be wrong with it.
func checkValues(doc map[string]any, read core.LaunchInstanceDetails, path string) (problems []fleet.FieldError, warnings []string) {
	return settings.CheckValues(doc, reflect.ValueOf(read), settings.MembersBy(snakeNames), valuesOf, path)
}

// Warnings implements settings.Warner: values of an override that only Oracle may
// know.
func (s *Settings) Warnings() []string {
	plain, err := asJSON(s.ConfigOverride)
	if err != nil || len(plain) == 0 {
		return nil
	}
	doc, path := overrideDocument(plain)
	_, warnings := checkTypes(doc, path)
	return warnings
}
