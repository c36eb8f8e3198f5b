package gcp

import (
	"reflect"
	"strings"

	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// enumerations are the values that fields of an instance take, by the name of the
// schema and of the field. The SDK has them in comments only; a test holds them
// against the API's description, which comes with the SDK.
var enumerations = map[string][]string{
	"AccessConfig.networkTier":                            {"FIXED_STANDARD", "PREMIUM", "STANDARD", "STANDARD_OVERRIDES_FIXED_STANDARD"},
	"AccessConfig.type":                                   {"DIRECT_IPV6", "ONE_TO_ONE_NAT"},
	"AdvancedMachineFeatures.performanceMonitoringUnit":   {"ARCHITECTURAL", "ENHANCED", "PERFORMANCE_MONITORING_UNIT_UNSPECIFIED", "STANDARD"},
	"AttachedDisk.architecture":                           {"ARCHITECTURE_UNSPECIFIED", "ARM64", "X86_64"},
	"AttachedDisk.interface":                              {"NVME", "SCSI"},
	"AttachedDisk.mode":                                   {"READ_ONLY", "READ_WRITE"},
	"AttachedDisk.type":                                   {"PERSISTENT", "SCRATCH"},
	"AttachedDiskInitializeParams.architecture":           {"ARCHITECTURE_UNSPECIFIED", "ARM64", "X86_64"},
	"AttachedDiskInitializeParams.onUpdateAction":         {"RECREATE_DISK", "RECREATE_DISK_IF_SOURCE_CHANGED", "USE_EXISTING_DISK"},
	"ConfidentialInstanceConfig.confidentialInstanceType": {"BMSAI", "CCA", "CONFIDENTIAL_INSTANCE_TYPE_UNSPECIFIED", "SEV", "SEV_SNP", "TDX"},
	"ConfidentialParavisorConfig.confidentialTpmType":     {"CONFIDENTIAL_TPM_TYPE_UNSPECIFIED", "EPHEMERAL", "NO_CC_TPM"},
	"ConfidentialParavisorConfig.sevSnpIrqMode":           {"RESTRICTED", "SEV_SNP_IRQ_MODE_UNSPECIFIED", "UNRESTRICTED"},
	"FileContentBuffer.fileType":                          {"BIN", "UNDEFINED", "X509"},
	"GuestOsFeature.type":                                 {"BARE_METAL_LINUX_COMPATIBLE", "BMSAI_CAPABLE", "CCA_CAPABLE", "FEATURE_TYPE_UNSPECIFIED", "GVNIC", "IDPF", "MULTI_IP_SUBNET", "SECURE_BOOT", "SEV_CAPABLE", "SEV_LIVE_MIGRATABLE", "SEV_LIVE_MIGRATABLE_V2", "SEV_SNP_CAPABLE", "SNP_SVSM_CAPABLE", "SUSPEND_SAFE_FPR", "TDX_CAPABLE", "UEFI_COMPATIBLE", "VIRTIO_SCSI_MULTIQUEUE", "WINDOWS"},
	"Instance.keyRevocationActionType":                    {"KEY_REVOCATION_ACTION_TYPE_UNSPECIFIED", "NONE", "STOP"},
	"Instance.localSsdEncryptionMode":                     {"EPHEMERAL_KEY_ENCRYPTION", "LOCAL_SSD_ENCRYPTION_MODE_UNSPECIFIED", "STANDARD_ENCRYPTION"},
	"Instance.privateIpv6GoogleAccess":                    {"ENABLE_BIDIRECTIONAL_ACCESS_TO_GOOGLE", "ENABLE_OUTBOUND_VM_ACCESS_TO_GOOGLE", "INHERIT_FROM_SUBNETWORK"},
	"NetworkInterface.igmpQuery":                          {"IGMP_QUERY_DISABLED", "IGMP_QUERY_V2"},
	"NetworkInterface.ipv6AccessType":                     {"EXTERNAL", "INTERNAL"},
	"NetworkInterface.nicType":                            {"GVNIC", "IDPF", "IRDMA", "MRDMA", "UNSPECIFIED_NIC_TYPE", "VIRTIO_NET"},
	"NetworkInterface.stackType":                          {"IPV4_IPV6", "IPV4_ONLY", "IPV6_ONLY"},
	"NetworkPerformanceConfig.totalEgressBandwidthTier":   {"DEFAULT", "TIER_1"},
	"ReservationAffinity.consumeReservationType":          {"ANY_RESERVATION", "NO_RESERVATION", "SPECIFIC_RESERVATION", "UNSPECIFIED"},
	"Scheduling.instanceTerminationAction":                {"DELETE", "INSTANCE_TERMINATION_ACTION_UNSPECIFIED", "STOP"},
	"Scheduling.onHostMaintenance":                        {"MIGRATE", "TERMINATE"},
	"Scheduling.protectionTier":                           {"PROTECTION_TIER_CAPACITY_OPTIMIZED", "PROTECTION_TIER_STANDARD", "PROTECTION_TIER_UNSPECIFIED"},
	"Scheduling.provisioningModel":                        {"FLEX_START", "RESERVATION_BOUND", "SPOT", "STANDARD"},
	"SchedulingNodeAffinity.operator":                     {"IN", "NOT_IN", "OPERATOR_UNSPECIFIED"},
	"WorkloadIdentityConfig.identityType":                 {"AGENT_IDENTITY", "IDENTITY_TYPE_UNSPECIFIED", "SERVICE_ACCOUNT"},
}

// growing are lists to which Google adds kinds of hardware and of machines: a
// value that is not known here may be right, and is only warned of.
var growing = map[string]bool{
	"AdvancedMachineFeatures.performanceMonitoringUnit":   true,
	"AttachedDisk.architecture":                           true,
	"AttachedDisk.interface":                              true,
	"AttachedDiskInitializeParams.architecture":           true,
	"ConfidentialInstanceConfig.confidentialInstanceType": true,
	"ConfidentialParavisorConfig.confidentialTpmType":     true,
	"GuestOsFeature.type":                                 true,
	"NetworkInterface.nicType":                            true,
	"NetworkPerformanceConfig.totalEgressBandwidthTier":   true,
	"Scheduling.protectionTier":                           true,
}

// valuesOf are what a field takes. Google reads them as they are written, the
// case included.
func valuesOf(owner reflect.Type, f reflect.StructField) settings.Values {
	name, _ := settings.JSONNames(f)
	key := owner.Name() + "." + name
	return settings.Values{Known: enumerations[key], Grows: growing[key]}
}

// checkApplied says what of an override that has only known keys cannot be used,
// and what may be wrong with it.
func checkApplied(raw map[string]any) (problems []fleet.FieldError, warnings []string) {
	out, err := applyOverride(&compute.Instance{}, raw)
	if err != nil {
		return []fleet.FieldError{{Path: overridePath, Message: strings.TrimPrefix(err.Error(), string(provider.Invalid)+": ")}}, nil
	}
	doc, err := plain(raw)
	if err != nil {
		return []fleet.FieldError{{Path: overridePath, Message: "cannot be read: " + err.Error()}}, nil
	}
	return settings.CheckValues(doc, reflect.ValueOf(out), settings.MembersBy(settings.JSONNames), valuesOf, overridePath)
}
