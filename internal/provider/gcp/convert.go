package gcp

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	ownPrefix = "headroom-"
	maxLabels = 60 // of the 64 that an object may have, 4 are ours
	// All metadata of an instance hold 512 KiB.
	maxMetadata = 512<<10 - scriptLimit - 1<<10
)

// ownLabels are the tags as labels. Names and ids of Headroom are lower-case
// letters, digits and hyphens, at most 63, which is what labels take.
func ownLabels(t provider.Tags) map[string]string {
	return map[string]string{
		provider.TagInstallation: t.Installation, provider.TagServer: t.Server,
		provider.TagAutoscale: t.AutoscaleConfig, provider.TagProvider: t.Provider,
	}
}

func tagsOf(labels map[string]string) provider.Tags {
	return provider.Tags{
		Installation: labels[provider.TagInstallation], Server: labels[provider.TagServer],
		AutoscaleConfig: labels[provider.TagAutoscale], Provider: labels[provider.TagProvider],
	}
}

// ownerFilter lets the service pick what is the owner's.
func ownerFilter(o provider.Owner) string {
	return `(labels.` + provider.TagInstallation + ` = "` + o.Installation + `") (labels.` + provider.TagProvider + ` = "` + o.Provider + `")`
}

// machine is what the id of a machine says: where the instance is, and whose,
// since an instance whose creation failed has no labels that could tell.
type machine struct {
	zone, name string
	tags       provider.Tags
}

func (m machine) id() string {
	return m.zone + "/" + m.name + "@" + strings.Join([]string{m.tags.Installation, m.tags.Provider, m.tags.AutoscaleConfig, m.tags.Server}, ":")
}

func parseID(id string) (machine, error) {
	place, marks, ok := strings.Cut(id, "@")
	zone, name, _ := strings.Cut(place, "/")
	parts := strings.Split(marks, ":")
	if !ok || len(parts) != 4 || regionOf(zone) == "" || !nameRule.MatchString(name) {
		return machine{}, provider.Errorf(provider.Invalid, "%q is no id of an instance", id)
	}
	return machine{zone: zone, name: name, tags: provider.Tags{Installation: parts[0], Provider: parts[1], AutoscaleConfig: parts[2], Server: parts[3]}}, nil
}

// offer is a machine type in a zone.
type offer struct{ machineType, zone string }

func (o offer) String() string { return o.machineType + "@" + o.zone }

// requestID makes the UUID that the service wants of a token: the same of the
// same, by the rules of version 8 (RFC 9562, section 5.8).
func requestID(token string) string {
	sum := sha256.Sum256([]byte("headroom create " + token))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// instance is an instance as the contract shows it.
func instance(i *compute.Instance) provider.Instance {
	m := machine{zone: tail(i.Zone), name: i.Name, tags: tagsOf(i.Labels)}
	machineType := tail(i.MachineType)
	out := provider.Instance{
		ID: m.id(), Name: i.Name, Tags: m.tags, Offer: offer{machineType, m.zone}.String(),
		Capacity: capacity(machineType, i.GuestAccelerators),
	}
	out.CreatedAt, _ = time.Parse(time.RFC3339, i.CreationTimestamp) // zero where the cloud does not tell
	out.State, out.Fault = state(i)
	for _, external := range []bool{true, false} {
		for _, n := range i.NetworkInterfaces {
			if external {
				for _, a := range append(append([]*compute.AccessConfig{}, n.AccessConfigs...), n.Ipv6AccessConfigs...) {
					out.Addresses = addAddress(addAddress(out.Addresses, a.NatIP), a.ExternalIpv6)
				}
				continue
			}
			out.Addresses = addAddress(addAddress(out.Addresses, n.NetworkIP), n.Ipv6Address)
		}
	}
	return out
}

func addAddress(list []string, text string) []string {
	if a, err := netip.ParseAddr(text); err == nil {
		list = append(list, a.String())
	}
	return list
}

// state reads the status. An instance that is being deleted and one that is
// being stopped look alike (STOPPING): both no longer serve.
// https://cloud.google.com/compute/docs/instances/instance-lifecycle
func state(i *compute.Instance) (provider.State, string) {
	switch i.Status {
	case "RUNNING":
		return provider.StateRunning, ""
	case "STOPPING", "PENDING_STOP", "STOPPED", "TERMINATED", "SUSPENDING", "SUSPENDED", "DEPROVISIONING":
		fault := "the instance is " + i.Status
		if i.StatusMessage != "" {
			fault += ": " + i.StatusMessage
		} else if i.Scheduling != nil && i.Scheduling.ProvisioningModel == "SPOT" {
			fault += "; a spot instance is stopped when Google wants its capacity back"
		}
		return provider.StateStopped, fault
	}
	return provider.StatePending, "" // PENDING, PROVISIONING, STAGING, REPAIRING
}

var (
	typeRule   = regexp.MustCompile(`^([a-z][a-z0-9]*)-(standard|highmem|highcpu|megamem|ultramem|hypermem)-([0-9]{1,4})(?:-.*|g)?$`)
	customRule = regexp.MustCompile(`^(?:[a-z][a-z0-9]*-)?custom-([0-9]{1,4})-([0-9]{1,7})(?:-ext)?$`)
)

// perCore is the memory of a core in MiB, where it is the same for all sizes of
// a class: by family, then by class. Families that are not named here have the
// usual 4, 8 and 1 GiB.
// https://cloud.google.com/compute/docs/general-purpose-machines
var perCore = map[string]int64{
	"n1-standard": 3840, "n1-highmem": 6656, "n1-highcpu": 921,
	"c3-highcpu": 2048, "c3d-highcpu": 2048, "c4-highcpu": 2048, "c4a-highcpu": 2048, "c4d-highcpu": 2048, "n4-highcpu": 2048, "n4a-highcpu": 2048, "n4d-highcpu": 2048,
	"n2d-standard": 4096, "c3d-standard": 4096, "t2d-standard": 4096,
}

// capacity is what the name of a machine type tells; zero where it does not.
func capacity(machineType string, gpus []*compute.AcceleratorConfig) fleet.Resources {
	var out fleet.Resources
	for _, g := range gpus {
		out.GPUs += g.AcceleratorCount
	}
	number := func(text string) int64 { n, _ := strconv.ParseInt(text, 10, 64); return n } // the expressions let digits pass only
	if m := customRule.FindStringSubmatch(machineType); m != nil {
		out.Cores, out.MemoryMiB = fleet.Cores(number(m[1]))*fleet.Core, number(m[2])
		return out
	}
	m := typeRule.FindStringSubmatch(machineType)
	if m == nil {
		return out
	}
	out.Cores = fleet.Cores(number(m[3])) * fleet.Core
	usual := map[string]int64{"standard": 4096, "highmem": 8192, "highcpu": 1024}[m[2]]
	switch m[1] {
	case "n1", "n2", "n2d", "e2", "c2", "c2d", "c3", "c3d", "c4", "c4a", "c4d", "n4", "n4a", "n4d", "t2d", "t2a", "g2":
		out.MemoryMiB = number(m[3]) * fleet.Or(perCore[m[1]+"-"+m[2]], usual)
	}
	return out
}

// Shape implements provider.Shaped: what the first machine type offers.
func (s *Settings) Shape() fleet.Resources {
	if len(s.MachineType) == 0 {
		return fleet.Resources{}
	}
	return capacity(s.MachineType[0], s.accelerators(""))
}
