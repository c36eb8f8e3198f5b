package fakeoci

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/workrequests"
)

func invalid(format string, args ...any) reply {
	return fault(http.StatusBadRequest, "InvalidParameter", fmt.Sprintf(format, args...))
}

// launch makes an instance.
func (t *Tenancy) launch(r core.LaunchInstanceRequest) reply {
	d := r.LaunchInstanceDetails
	text, _ := json.Marshal(d) // it was just read
	if r.OpcRetryToken == nil || len(*r.OpcRetryToken) > 64 {
		return invalid("opc-retry-token is missing or longer than 64 characters")
	}
	if before, again := t.tokensOf[*r.OpcRetryToken]; again {
		m := t.instances[before.instance]
		switch {
		case before.body != string(text):
			return invalid("The retry token was used with another request")
		case m.LifecycleState == core.InstanceLifecycleStateTerminated || m.LifecycleState == core.InstanceLifecycleStateTerminating:
			return fault(http.StatusConflict, "InvalidatedRetryToken", "The retry token you provided was used in an earlier request that resulted in a system update, but a subsequent operation has invalidated the token.")
		}
		return ok(m.Instance)
	}
	if out, bad := t.refuses(d); bad {
		return out
	}
	living := 0
	for _, m := range t.instances {
		if m.LifecycleState != core.InstanceLifecycleStateTerminated {
			living++
		}
	}
	if living >= t.limit {
		return fault(http.StatusBadRequest, "LimitExceeded", "The following service limits were exceeded: standard-core-count.")
	}
	how := t.soldOut[*d.Shape+"@"+*d.AvailabilityDomain]
	if how == "at once" {
		return fault(http.StatusInternalServerError, "InternalError", "Out of host capacity.")
	}
	m := t.build(d)
	if how == "later" {
		m.fails = "Out of host capacity."
	}
	t.tokensOf[*r.OpcRetryToken] = used{*m.Id, string(text)}
	out := ok(m.Instance)
	out.header = map[string]string{"Opc-Work-Request-Id": *t.work[len(t.work)-1].Id, "Etag": "1"}
	return out
}

// refuses says what of a launch the service does not take.
func (t *Tenancy) refuses(d core.LaunchInstanceDetails) (reply, bool) {
	image, isImage := d.SourceDetails.(core.InstanceSourceViaImageDetails)
	switch {
	case *d.CompartmentId != t.Compartment, isImage && *image.ImageId != t.Image && *image.ImageId != t.Windows && *image.ImageId != t.Arm:
		return absent(), true
	case !isImage || d.CreateVnicDetails == nil || d.Shape == nil:
		return invalid("sourceDetails, createVnicDetails and shape are needed"), true
	case *d.CreateVnicDetails.SubnetId != t.Subnet:
		return absent(), true
	case len(d.CreateVnicDetails.NsgIds) > 0 && (t.lacking["NETWORK_SECURITY_GROUP_UPDATE_MEMBERS"] || t.lacking["VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP"]):
		return absent(), true
	case len(d.FreeformTags) > 10 || len(d.CreateVnicDetails.FreeformTags) > 10:
		return invalid("a resource can have at most 10 free-form tags"), true
	case image.BootVolumeSizeInGBs != nil && *image.BootVolumeSizeInGBs < 50:
		return invalid("bootVolumeSizeInGBs must be at least 50"), true
	}
	metadata, _ := json.Marshal(d.Metadata)         // text always encodes
	extended, _ := json.Marshal(d.ExtendedMetadata) // it came as JSON
	if n := len(metadata) + len(extended); n > metadataSize {
		return invalid("metadata and extendedMetadata have %d bytes, %d is the maximum", n, metadataSize), true
	}
	if _, err := base64.StdEncoding.DecodeString(d.Metadata["user_data"]); err != nil {
		return invalid("user_data must be base64-encoded"), true
	}
	for _, s := range shapes {
		if s.name != *d.Shape {
			continue
		}
		switch {
		case !s.in(*d.AvailabilityDomain):
			return fault(http.StatusNotFound, "NotAuthorizedOrNotFound", "shape "+s.name+" not found"), true
		case s.flexible() && (d.ShapeConfig == nil || d.ShapeConfig.Ocpus == nil):
			return invalid("shapeConfig is needed for flexible shapes"), true
		case !s.flexible() && d.ShapeConfig != nil && d.ShapeConfig.Ocpus != nil:
			return invalid("shapeConfig is for flexible shapes only"), true
		case s.arm != (*image.ImageId == t.Arm):
			return invalid("Shape %s is not valid for image %s.", s.name, *image.ImageId), true
		}
		return reply{}, false
	}
	return fault(http.StatusNotFound, "NotAuthorizedOrNotFound", "shape "+*d.Shape+" not found"), true
}

// build makes an instance with its boot volume.
func (t *Tenancy) build(d core.LaunchInstanceDetails) *machine {
	s, now := t.server, t.server.now()
	text, _ := json.Marshal(shown(d)) // it was just read
	m := &machine{asked: d, text: string(text), launched: now, Instance: core.Instance{
		AvailabilityDomain: d.AvailabilityDomain, CompartmentId: d.CompartmentId, Id: new(s.id("instance", Region)), LifecycleState: core.InstanceLifecycleStateProvisioning,
		Region: new(Region), Shape: d.Shape, TimeCreated: stamp(now), DisplayName: d.DisplayName, FreeformTags: d.FreeformTags, DefinedTags: d.DefinedTags, Metadata: d.Metadata,
		SourceDetails: d.SourceDetails, PreemptibleInstanceConfig: d.PreemptibleInstanceConfig,
	}}
	m.ShapeConfig = &core.InstanceShapeConfig{Ocpus: new(float32(1)), Vcpus: new(2), MemoryInGBs: new(float32(15))}
	if c := d.ShapeConfig; c != nil && c.Ocpus != nil {
		m.ShapeConfig.Ocpus, m.ShapeConfig.Vcpus = c.Ocpus, new(int(*c.Ocpus*2))
		if c.MemoryInGBs != nil {
			m.ShapeConfig.MemoryInGBs = c.MemoryInGBs
		}
	}
	t.instances[*m.Id] = m
	t.order = append(t.order, *m.Id)
	volume := &core.BootVolume{
		AvailabilityDomain: d.AvailabilityDomain, CompartmentId: d.CompartmentId, Id: new(s.id("bootvolume", Region)), LifecycleState: core.BootVolumeLifecycleStateAvailable,
		SizeInMBs: new(int64(51200)), TimeCreated: stamp(now), DisplayName: new(nameOf(d) + " (Boot Volume)"),
	}
	if !t.untagged {
		volume.FreeformTags, volume.DefinedTags = d.FreeformTags, d.DefinedTags
	}
	t.volumes[*volume.Id] = volume
	t.boots = append(t.boots, &core.BootVolumeAttachment{
		AvailabilityDomain: d.AvailabilityDomain, BootVolumeId: volume.Id, CompartmentId: d.CompartmentId, Id: m.Id, InstanceId: m.Id,
		LifecycleState: core.BootVolumeAttachmentLifecycleStateAttached, TimeCreated: stamp(now),
	})
	t.work = append(t.work, &workRequest{of: *m.Id, WorkRequestSummary: workrequests.WorkRequestSummary{
		OperationType: new("LaunchInstance"), Status: workrequests.WorkRequestSummaryStatusInProgress, Id: new(s.id("coreservicesworkrequest", Region)),
		CompartmentId: d.CompartmentId, PercentComplete: new(float32(1)), TimeAccepted: stamp(now),
	}})
	return m
}

func nameOf(d core.LaunchInstanceDetails) string {
	if d.DisplayName != nil {
		return *d.DisplayName
	}
	return "instance"
}

func (t *Tenancy) listInstances(r core.ListInstancesRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	var all []core.Instance
	for _, id := range t.order {
		m := t.instances[id]
		if !m.hidden && t.server.now().Sub(m.launched) >= t.lag {
			all = append(all, m.Instance)
		}
	}
	return paged(all, r.Limit, r.Page)
}

func (t *Tenancy) getInstance(r core.GetInstanceRequest) reply {
	if m := t.instances[*r.InstanceId]; m != nil {
		return ok(m.Instance)
	}
	return absent()
}

func (t *Tenancy) terminate(r core.TerminateInstanceRequest) reply {
	m := t.instances[*r.InstanceId]
	ended := m != nil && (m.LifecycleState == core.InstanceLifecycleStateTerminated || m.LifecycleState == core.InstanceLifecycleStateTerminating)
	switch {
	case m == nil, ended && t.how404:
		return absent()
	case ended:
		return fault(http.StatusConflict, "IncorrectState", "The resource is in an incorrect state: "+string(m.LifecycleState))
	}
	if r.PreserveBootVolume == nil || *r.PreserveBootVolume {
		t.server.broken = append(t.server.broken, "an instance is terminated without saying that its boot volume goes with it")
	}
	m.LifecycleState = core.InstanceLifecycleStateTerminating
	return reply{status: http.StatusNoContent}
}

func (t *Tenancy) credentials(r core.GetWindowsInstanceInitialCredentialsRequest) reply {
	m := t.instances[*r.InstanceId]
	if m == nil || m.password == "" {
		return absent()
	}
	return ok(core.InstanceCredentials{Username: new("opc"), Password: new(m.password)})
}

func (t *Tenancy) listVnicAttachments(r core.ListVnicAttachmentsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	return paged(t.vnics, r.Limit, r.Page)
}

func (t *Tenancy) listPrivateIPs(r core.ListPrivateIpsRequest) reply {
	if r.SubnetId == nil || *r.SubnetId != t.Subnet {
		return absent()
	}
	return paged(t.private, r.Limit, r.Page)
}

func (t *Tenancy) listPublicIPs(r core.ListPublicIpsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	if r.Scope == core.ListPublicIpsScopeAvailabilityDomain && r.AvailabilityDomain == nil {
		return fault(http.StatusBadRequest, "MissingParameter", "availabilityDomain is needed")
	}
	return paged(without(t.public, func(p *core.PublicIp) bool { return *p.AvailabilityDomain != *r.AvailabilityDomain }), r.Limit, r.Page)
}

func (t *Tenancy) listIPv6s(r core.ListIpv6sRequest) reply {
	if r.SubnetId == nil || *r.SubnetId != t.Subnet {
		return absent()
	}
	return paged(t.v6, r.Limit, r.Page)
}

func (t *Tenancy) listBootVolumes(r core.ListBootVolumesRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	var all []*core.BootVolume
	for _, id := range sortedKeys(t.volumes) {
		all = append(all, t.volumes[id])
	}
	return paged(all, r.Limit, r.Page)
}

func (t *Tenancy) deleteBootVolume(r core.DeleteBootVolumeRequest) reply {
	if t.volumes[*r.BootVolumeId] == nil {
		return absent()
	}
	for _, b := range t.boots {
		if *b.BootVolumeId == *r.BootVolumeId && b.LifecycleState == core.BootVolumeAttachmentLifecycleStateAttached {
			return fault(http.StatusConflict, "IncorrectState", "The boot volume is attached")
		}
	}
	delete(t.volumes, *r.BootVolumeId)
	return reply{status: http.StatusNoContent}
}

func (t *Tenancy) listBootVolumeAttachments(r core.ListBootVolumeAttachmentsRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	return paged(without(t.boots, func(b *core.BootVolumeAttachment) bool { return *b.AvailabilityDomain != *r.AvailabilityDomain }), r.Limit, r.Page)
}

func (t *Tenancy) capture(r core.CaptureConsoleHistoryRequest) reply {
	m := t.instances[*r.InstanceId]
	if m == nil {
		return absent()
	}
	if m.LifecycleState == core.InstanceLifecycleStateTerminated {
		return fault(http.StatusConflict, "IncorrectState", "The instance is TERMINATED")
	}
	h := &core.ConsoleHistory{
		AvailabilityDomain: m.AvailabilityDomain, CompartmentId: m.CompartmentId, Id: new(t.server.id("consolehistory", Region)), InstanceId: m.Id,
		LifecycleState: core.ConsoleHistoryLifecycleStateRequested, TimeCreated: stamp(t.server.now()), FreeformTags: r.FreeformTags, DisplayName: r.DisplayName,
	}
	t.histories[*h.Id] = h
	return ok(h)
}

func (t *Tenancy) listHistories(r core.ListConsoleHistoriesRequest) reply {
	if !t.inside(r.CompartmentId) {
		return absent()
	}
	var all []*core.ConsoleHistory
	for _, id := range sortedKeys(t.histories) {
		all = append(all, t.histories[id])
	}
	return paged(all, r.Limit, r.Page)
}

func (t *Tenancy) getHistory(r core.GetConsoleHistoryRequest) reply {
	h := t.histories[*r.InstanceConsoleHistoryId]
	if h == nil {
		return absent()
	}
	if t.looked[*h.Id]++; t.looked[*h.Id] >= t.looks && t.looks > 0 {
		h.LifecycleState = core.ConsoleHistoryLifecycleStateSucceeded
	}
	return ok(h)
}

// Console is what every instance writes to its console.
var Console = strings.Repeat("[    0.000000] Linux version\n", 100) + "desktop login: " //nolint:gochecknoglobals // never changed

func (t *Tenancy) historyContent(r core.GetConsoleHistoryContentRequest) reply {
	h := t.histories[*r.InstanceConsoleHistoryId]
	switch {
	case h == nil:
		return absent()
	case h.LifecycleState != core.ConsoleHistoryLifecycleStateSucceeded:
		return fault(http.StatusConflict, "IncorrectState", "The console has not been captured")
	}
	length := 10240
	if r.Length != nil {
		length = *r.Length
	}
	return reply{status: http.StatusOK, body: plainText(Console[:min(length, len(Console))])}
}

func (t *Tenancy) deleteHistory(r core.DeleteConsoleHistoryRequest) reply {
	if t.histories[*r.InstanceConsoleHistoryId] == nil {
		return absent()
	}
	delete(t.histories, *r.InstanceConsoleHistoryId)
	return reply{status: http.StatusNoContent}
}
