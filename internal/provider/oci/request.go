package oci

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	keyUserData = "user_data"
	keySSH      = "ssh_authorized_keys"
	// All metadata of an instance have 32,000 bytes, user data as base64.
	// https://docs.oracle.com/en-us/iaas/api/#/en/iaas/latest/datatypes/LaunchInstanceDetails
	maxMetadataBytes = 32000
	metadataReserve  = 256 // for the names of the two keys and what stands around them
)

// userDataLimit is what startup scripts may have, before the encoding, beside
// other metadata of the given size.
func userDataLimit(others int) int {
	return max((maxMetadataBytes-metadataReserve-others)/4*3, 0)
}

func (s *Settings) userDataLimit() int {
	others := sizeOf(s.SSHPublicKey)
	if doc, _ := overrideDocument(s.ConfigOverride); doc != nil {
		others += sizeOf(doc["metadata"]) + sizeOf(doc["extended_metadata"])
	}
	return userDataLimit(others)
}

// offerOf reads an offer; empty stands for the first.
func (s *Settings) offerOf(text string) (offer, error) {
	all := s.offers()
	if text == "" && len(all) > 0 {
		return all[0], nil
	}
	for _, o := range all {
		if o.String() == text {
			return o, nil
		}
	}
	return offer{}, provider.Errorf(provider.Invalid, "%q is not one of the config's shapes and availability domains", text)
}

func (s *Settings) offers() []offer {
	var out []offer
	for _, shape := range s.Shapes {
		for _, d := range s.AvailabilityDomains {
			out = append(out, offer{shape, d})
		}
	}
	return out
}

// details is the launch that is asked for.
func (s *Settings) details(req provider.Request, o offer) (core.LaunchInstanceDetails, error) {
	if n, limit := len(req.Bootstrap.UserData), s.userDataLimit(); n > limit {
		return core.LaunchInstanceDetails{}, provider.Errorf(provider.Invalid, "the startup script has %d bytes, and %d are left of an instance's 32,000 bytes of metadata, which hold it as base64", n, limit)
	}
	image := core.InstanceSourceViaImageDetails{ImageId: &s.ImageOCID}
	if s.BootVolumeSize > 0 {
		image.BootVolumeSizeInGBs = &s.BootVolumeSize
	}
	if s.BootVolumeVPUsPerGB > 0 {
		image.BootVolumeVpusPerGB = &s.BootVolumeVPUsPerGB
	}
	out := core.LaunchInstanceDetails{
		SourceDetails: image,
		CreateVnicDetails: &core.CreateVnicDetails{
			SubnetId: &s.SubnetOCID, NsgIds: slices.Clone(s.NSGOCIDs), FreeformTags: maps.Clone(s.FreeformTags), DefinedTags: s.definedTags(),
		},
		FreeformTags: maps.Clone(s.FreeformTags), DefinedTags: s.definedTags(), ShapeConfig: s.shapeConfig(o.shape),
		Metadata: map[string]string{},
	}
	if s.SSHPublicKey != "" {
		out.Metadata[keySSH] = strings.TrimSpace(s.SSHPublicKey)
	}
	if s.Preemptible {
		out.PreemptibleInstanceConfig = &core.PreemptibleInstanceConfigDetails{PreemptionAction: core.TerminatePreemptionAction{PreserveBootVolume: new(false)}}
	}
	out, err := applyOverride(out, s.ConfigOverride)
	if err != nil {
		return core.LaunchInstanceDetails{}, err
	}
	s.seal(&out, req, o)
	return out, nil
}

func (s *Settings) shapeConfig(shape string) *core.LaunchInstanceShapeConfigDetails {
	if !isFlexible(shape) {
		return nil
	}
	out := &core.LaunchInstanceShapeConfigDetails{
		Ocpus:                   new(float32(s.FlexOCPUs)),
		BaselineOcpuUtilization: core.LaunchInstanceShapeConfigDetailsBaselineOcpuUtilizationEnum(s.BaselineOCPUUtilization),
	}
	if s.FlexMemory > 0 {
		out.MemoryInGBs = new(float32(s.FlexMemory))
	}
	return out
}

func (s *Settings) definedTags() map[string]map[string]any {
	if len(s.DefinedTags) == 0 {
		return nil
	}
	out := map[string]map[string]any{}
	for space, tags := range s.DefinedTags {
		out[space] = map[string]any{}
		for key, value := range tags {
			out[space][key] = value
		}
	}
	return out
}

// seal sets what no override may change: where the machine is, what it is found
// by, and what it runs.
func (s *Settings) seal(out *core.LaunchInstanceDetails, req provider.Request, o offer) {
	out.CompartmentId, out.AvailabilityDomain, out.Shape, out.DisplayName = &s.CompartmentOCID, &o.domain, &o.shape, &req.Name
	if out.CreateVnicDetails == nil {
		out.CreateVnicDetails = &core.CreateVnicDetails{}
	}
	vnic := out.CreateVnicDetails
	vnic.SubnetId, vnic.DisplayName = &s.SubnetOCID, &req.Name
	own := ownTags(req.Tags)
	for _, tags := range []*map[string]string{&out.FreeformTags, &vnic.FreeformTags} {
		if *tags == nil {
			*tags = map[string]string{}
		}
		maps.Copy(*tags, own)
	}
	if len(req.Bootstrap.UserData) > 0 {
		if out.Metadata == nil {
			out.Metadata = map[string]string{}
		}
		out.Metadata[keyUserData] = base64.StdEncoding.EncodeToString(req.Bootstrap.UserData)
	}
}
