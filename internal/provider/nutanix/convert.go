package nutanix

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func ptr[T any](v T) *T { return &v }

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func orDefault(v, otherwise int64) int64 {
	if v == 0 {
		return otherwise
	}
	return v
}

func reference(kind, id string) *v3.Reference {
	if id == "" {
		return nil
	}
	return &v3.Reference{Kind: &kind, UUID: &id}
}

// input is the request that makes a machine.
func (d *driver) input(req provider.Request, id string, refs *references) (*v3.VMIntentInput, error) {
	guest, err := d.guest(req, id)
	if err != nil {
		return nil, err
	}
	shape := d.settings.shape(req.Shape)
	categories := maps.Clone(d.settings.Categories)
	if categories == nil {
		categories = map[string]string{}
	}
	categories[markKey] = id
	res := &v3.VMResources{
		ParentReference: reference("vm", refs.candidate.id),
		DiskList:        []*v3.VMDisk{{DataSourceReference: reference("vm", refs.candidate.id)}},
		PowerState:      ptr("ON"),
		// A clone has its shape in full, so that the candidate may change.
		NumSockets:         ptr(fleet.Or(wholeCores(shape.Cores), refs.candidate.sockets)),
		NumVcpusPerSocket:  ptr(int64(1)),
		MemorySizeMib:      ptr(fleet.Or(shape.MemoryMiB, refs.candidate.memoryMiB)),
		GuestCustomization: guest,
	}
	if shape.Cores == 0 {
		res.NumVcpusPerSocket = ptr(refs.candidate.perSocket)
	}
	if refs.subnet != "" {
		res.NicList = []*v3.VMNic{{SubnetReference: reference("subnet", refs.subnet), IsConnected: ptr(true)}}
	}
	return &v3.VMIntentInput{
		APIVersion: ptr("3.1.0"),
		Metadata: &v3.Metadata{
			Kind: ptr("vm"), UUID: &id, Categories: categories,
			ProjectReference: reference("project", refs.project),
		},
		Spec: &v3.VM{
			Name:             ptr(req.Name),
			Description:      ptr(fmt.Sprintf("Machine of Headroom, server %s of provider %s.", req.Tags.Server, req.Tags.Provider)),
			ClusterReference: reference("cluster", refs.cluster),
			Resources:        res,
		},
	}, nil
}

// wholeCores rounds up: Prism has no parts of a virtual CPU.
func wholeCores(c fleet.Cores) int64 { return int64((c + fleet.Core - 1) / fleet.Core) }

// guest is what the guest is told at its first boot, as the v3 API takes it.
func (d *driver) guest(req provider.Request, id string) (*v3.GuestCustomization, error) {
	g, err := d.settings.guest(req, id)
	switch {
	case err != nil:
		return nil, err
	case g.answers != "":
		return &v3.GuestCustomization{Sysprep: &v3.GuestCustomizationSysprep{InstallType: ptr("PREPARED"), UnattendXML: &g.answers}}, nil
	}
	return &v3.GuestCustomization{CloudInit: &v3.GuestCustomizationCloudInit{UserData: &g.userData, MetaData: &g.metadata}}, nil
}

// guest is what a guest is told, in base64: an answer file, or user data and
// metadata.
type guest struct{ answers, userData, metadata string }

func (s Settings) guest(req provider.Request, id string) (guest, error) {
	script, encode := req.Bootstrap.UserData, base64.StdEncoding.EncodeToString
	if limit := Kind().Channel(&s).Limit; len(script) > limit {
		return guest{}, provider.Errorf(provider.Invalid, "the startup script of machine %s has %d bytes, %d are the most that guest customization carries", req.Name, len(script), limit)
	}
	if s.Windows {
		file, err := answerFile(req.Name, script)
		if err != nil {
			return guest{}, provider.Errorf(provider.Invalid, "the answer file of machine %s cannot be written: %w", req.Name, err)
		}
		return guest{answers: encode(file)}, nil
	}
	// The keys of a config drive, version 2, which is how AHV hands this on.
	meta := map[string]any{"uuid": id, "hostname": req.Name}
	if key := strings.TrimSpace(s.SSHPublicKey); key != "" {
		meta["public_keys"] = map[string]string{"headroom": key}
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return guest{}, provider.Errorf(provider.Unknown, "the metadata of machine %s cannot be written: %w", req.Name, err)
	}
	if len(script) == 0 {
		script = []byte("#cloud-config\n{}\n") // the API wants user data or nothing at all
	}
	return guest{userData: encode(script), metadata: encode(text)}, nil
}

// maskGuest takes out what may hold tokens, which base64 hides from those who
// look for them.
func maskGuest(g *v3.GuestCustomization) {
	masked := func(s *string) *string { return ptr(maskedText(deref(s))) }
	if g.CloudInit != nil {
		g.CloudInit.UserData = masked(g.CloudInit.UserData)
	}
	if g.Sysprep != nil {
		g.Sysprep.UnattendXML = masked(g.Sysprep.UnattendXML)
	}
}

func maskedText(s string) string {
	return fmt.Sprintf("(%d characters of base64, not shown)", len(s))
}

func vmID(vm *v3.VMIntentResource) string {
	if vm == nil || vm.Metadata == nil {
		return ""
	}
	return deref(vm.Metadata.UUID)
}

// instance is a virtual machine as the contract shows it.
func instance(id string, m mark, vm *v3.VMIntentResource) provider.Instance {
	i := provider.Instance{ID: id, Name: m.Name, Tags: m.tags(), CreatedAt: m.Created, State: provider.StatePending}
	if vm.Metadata != nil && vm.Metadata.CreationTime != nil {
		i.CreatedAt = *vm.Metadata.CreationTime
	}
	if vm.Spec != nil && i.Name == "" {
		i.Name = deref(vm.Spec.Name)
	}
	s := vm.Status
	if s == nil {
		return i
	}
	if i.Name == "" {
		i.Name = deref(s.Name)
	}
	res := s.Resources
	if res == nil {
		res = &v3.VMResourcesDefStatus{}
	}
	i.State = state(deref(s.State), deref(res.PowerState))
	switch i.State {
	case provider.StateFailed:
		all := messagesOf(s.MessageList)
		i.Fault, i.FaultClass = join(all), faultClass(all)
	case provider.StateStopped:
		i.Fault = "its power is " + deref(res.PowerState)
	default:
	}
	i.Capacity = fleet.Resources{
		Cores:     fleet.Cores(deref(res.NumSockets)*orDefault(deref(res.NumVcpusPerSocket), 1)) * fleet.Core,
		MemoryMiB: deref(res.MemorySizeMib),
	}
	for _, nic := range res.NicList {
		for _, ip := range nic.IPEndpointList {
			if a, err := netip.ParseAddr(deref(ip.IP)); err == nil && !a.IsLinkLocalUnicast() {
				i.Addresses = append(i.Addresses, a.String())
			}
		}
	}
	return i
}

func messagesOf(list []*v3.MessageResource) []message {
	var all []message
	for _, m := range list {
		all = append(all, message{Message: deref(m.Message), Reason: deref(m.Reason)})
	}
	return all
}

// state weighs the state of the entity, which is about the last change that was
// asked for, and its power. A machine that runs is running whatever became of a
// later change; one whose power Prism does not know, since its cluster is out
// of reach, is believed to be.
func state(entity, power string) provider.State {
	switch {
	case strings.HasPrefix(entity, "DELET"):
		return provider.StateDeleting
	case power == "ON", power == "UNKNOWN" && entity == "COMPLETE":
		return provider.StateRunning
	case entity == "ERROR":
		return provider.StateFailed
	case entity == "COMPLETE":
		return provider.StateStopped
	}
	return provider.StatePending
}
