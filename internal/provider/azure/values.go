package azure

import (
	"reflect"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// enumerations are the SDK's lists of values of what an override can say. Sizes
// are none of them: vm_size chooses.
var enumerations = settings.Lists( //nolint:gochecknoglobals // a constant in all but name
	settings.List(armcompute.PossibleCachingTypesValues()),
	settings.List(armcompute.PossibleDeleteOptionsValues()),
	settings.List(armcompute.PossibleDiffDiskOptionsValues()),
	settings.List(armcompute.PossibleDiffDiskPlacementValues()),
	settings.List(armcompute.PossibleDiskAPIVersionValues()),
	settings.List(armcompute.PossibleDiskControllerTypesValues()),
	settings.List(armcompute.PossibleDiskCreateOptionTypesValues()),
	settings.List(armcompute.PossibleDiskDeleteOptionTypesValues()),
	settings.List(armcompute.PossibleDiskDetachOptionTypesValues()),
	settings.List(armcompute.PossibleDomainNameLabelScopeTypesValues()),
	settings.List(armcompute.PossibleExtendedLocationTypesValues()),
	settings.List(armcompute.PossibleIPVersionsValues()),
	settings.List(armcompute.PossibleLinuxPatchAssessmentModeValues()),
	settings.List(armcompute.PossibleLinuxVMGuestPatchAutomaticByPlatformRebootSettingValues()),
	settings.List(armcompute.PossibleLinuxVMGuestPatchModeValues()),
	settings.List(armcompute.PossibleModeValues()),
	settings.List(armcompute.PossibleModesValues()),
	settings.List(armcompute.PossibleNetworkAPIVersionValues()),
	settings.List(armcompute.PossibleNetworkInterfaceAuxiliaryModeValues()),
	settings.List(armcompute.PossibleNetworkInterfaceAuxiliarySKUValues()),
	settings.List(armcompute.PossibleOperatingSystemTypesValues()),
	settings.List(armcompute.PossibleProcessorModeValues()),
	settings.List(armcompute.PossibleProtocolTypesValues()),
	settings.List(armcompute.PossiblePublicIPAddressSKUNameValues()),
	settings.List(armcompute.PossiblePublicIPAddressSKUTierValues()),
	settings.List(armcompute.PossiblePublicIPAllocationMethodValues()),
	settings.List(armcompute.PossibleResourceIdentityTypeValues()),
	settings.List(armcompute.PossibleSecurityEncryptionTypesValues()),
	settings.List(armcompute.PossibleSecurityTypesValues()),
	settings.List(armcompute.PossibleSettingNamesValues()),
	settings.List(armcompute.PossibleStorageAccountTypesValues()),
	settings.List(armcompute.PossibleStorageFaultDomainAlignmentTypeValues()),
	settings.List(armcompute.PossibleVirtualMachineDiskDelayActionValues()),
	settings.List(armcompute.PossibleVirtualMachineDiskNetworkAccessPolicyValues()),
	settings.List(armcompute.PossibleVirtualMachineEvictionPolicyTypesValues()),
	settings.List(armcompute.PossibleVirtualMachinePriorityTypesValues()),
	settings.List(armcompute.PossibleWindowsPatchAssessmentModeValues()),
	settings.List(armcompute.PossibleWindowsVMGuestPatchAutomaticByPlatformRebootSettingValues()),
	settings.List(armcompute.PossibleWindowsVMGuestPatchModeValues()),
	settings.List(armcompute.PossibleZonePlacementPolicyTypeValues()),
)

// growing are lists to which Azure adds versions and kinds of hardware: a value
// that the SDK does not know yet may be right, and is only warned of.
var growing = []reflect.Type{
	reflect.TypeFor[armcompute.DiskAPIVersion](),
	reflect.TypeFor[armcompute.DiskControllerTypes](),
	reflect.TypeFor[armcompute.NetworkAPIVersion](),
	reflect.TypeFor[armcompute.NetworkInterfaceAuxiliaryMode](),
	reflect.TypeFor[armcompute.NetworkInterfaceAuxiliarySKU](),
	reflect.TypeFor[armcompute.ProcessorMode](),
	reflect.TypeFor[armcompute.PublicIPAddressSKUName](),
	reflect.TypeFor[armcompute.SecurityEncryptionTypes](),
	reflect.TypeFor[armcompute.SecurityTypes](),
	reflect.TypeFor[armcompute.StorageAccountTypes](),
}

// valuesOf are what a member takes. Azure reads them whatever their case is; its
// own pages write "evictionPolicy": "delete".
func valuesOf(_ reflect.Type, f reflect.StructField) settings.Values {
	typ := settings.ValueType(f)
	return settings.Values{Known: enumerations[typ], Grows: slices.Contains(growing, typ), AnyCase: true}
}

// checkApplied says what of an override that has only known keys cannot be used,
// and what may be wrong with it.
func checkApplied(raw map[string]any) (problems []fleet.FieldError, warnings []string) {
	out, err := applyOverride(&armcompute.VirtualMachine{Properties: &armcompute.VirtualMachineProperties{}}, raw)
	if err != nil {
		return []fleet.FieldError{{Path: overridePath, Message: strings.TrimPrefix(err.Error(), string(provider.Invalid)+": ")}}, nil
	}
	doc, err := plain(raw)
	if err != nil {
		return []fleet.FieldError{{Path: overridePath, Message: "cannot be read: " + err.Error()}}, nil
	}
	return settings.CheckValues(doc, reflect.ValueOf(out), members, valuesOf, overridePath)
}

// Warnings implements settings.Warner: values of an override that only Azure may
// know.
func (s *Settings) Warnings() []string {
	if len(s.ConfigOverride) == 0 {
		return nil
	}
	_, warnings := checkApplied(s.ConfigOverride)
	return warnings
}
