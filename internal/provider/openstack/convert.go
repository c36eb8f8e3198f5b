package openstack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// server is what we read of a server of nova, from microversion 2.47 on.
type server struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Status   string            `json:"status"`
	Task     string            `json:"OS-EXT-STS:task_state"`
	Metadata map[string]string `json:"metadata"`
	Created  time.Time         `json:"created"`
	Updated  time.Time         `json:"updated"`
	Flavor   struct {
		Cores int64             `json:"vcpus"`
		MiB   int64             `json:"ram"`
		Extra map[string]string `json:"extra_specs"`
	} `json:"flavor"`
	Addresses map[string][]struct {
		Address string `json:"addr"`
		Kind    string `json:"OS-EXT-IPS:type"`
	} `json:"addresses"`
	Fault struct {
		Message string `json:"message"`
	} `json:"fault"`
}

// partial says that the cell with the server's record does not answer: nova
// then shows its id and no more.
func (s *server) partial() bool { return s.Status == "UNKNOWN" && s.Metadata == nil }

// faultLag is how long after a server went to ERROR its fault may still be
// missing: nova writes the two one after the other.
const faultLag = 20 * time.Second

func (s *server) instance(now time.Time) provider.Instance {
	i := provider.Instance{
		ID: s.ID, Name: s.Name, Tags: tagsOf(s.Metadata), State: s.state(now), Addresses: s.addresses(), CreatedAt: s.Created,
		Capacity: fleet.Resources{
			Cores: fleet.Cores(s.Flavor.Cores) * fleet.Core, MemoryMiB: s.Flavor.MiB, GPUs: gpus(s.Flavor.Extra),
		},
	}
	switch i.State {
	case provider.StateFailed:
		i.Fault = short(s.Fault.Message)
		i.FaultClass = faultClass(s.Fault.Message)
	case provider.StateStopped:
		i.Fault = "nova shows it as " + s.Status
	default: // there is nothing to explain
	}
	return i
}

func (s *server) state(now time.Time) provider.State {
	if s.Task == "deleting" || s.Task == "soft-deleting" {
		return provider.StateDeleting
	}
	switch s.Status {
	case "BUILD", "REBUILD", "UNKNOWN":
		return provider.StatePending
	case "ACTIVE", "PASSWORD", "REBOOT", "HARD_REBOOT", "MIGRATING", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "RESCUE":
		return provider.StateRunning
	case "ERROR":
		if age := now.Sub(s.Updated); s.Fault.Message == "" && age.Abs() < faultLag {
			return provider.StatePending
		}
		return provider.StateFailed
	case "SOFT_DELETED", "DELETED":
		return provider.StateDeleting
	case "SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED":
		return provider.StateStopped
	}
	return provider.StatePending
}

// addresses puts the floating ones first: who gives a machine one wants it to be
// reached there. IPv4 comes before IPv6.
func (s *server) addresses() []string {
	type address struct {
		text string
		rank int
	}
	var all []address
	for _, network := range sortedKeys(s.Addresses) {
		for _, a := range s.Addresses[network] {
			ip, err := netip.ParseAddr(a.Address)
			if err != nil {
				continue
			}
			rank := 0
			if a.Kind != "floating" {
				rank += 2
			}
			if ip.Is6() {
				rank++
			}
			all = append(all, address{a.Address, rank})
		}
	}
	slices.SortStableFunc(all, func(a, b address) int { return a.rank - b.rank })
	var out []string
	for _, a := range all {
		out = append(out, a.text)
	}
	return out
}

// gpus counts the virtual and whole GPUs that a flavor asks placement for.
func gpus(extra map[string]string) int64 {
	var n int64
	for key, value := range extra {
		if gpuResource.MatchString(key) {
			count, err := strconv.ParseInt(value, 10, 32)
			if err == nil && count > 0 {
				n += count
			}
		}
	}
	return n
}

// gpuResource are extra specs such as resources:VGPU and resources1:PGPU.
var gpuResource = regexp.MustCompile(`^resources\w*:[VP]GPU$`)

// metadataOf marks a server or a volume.
func metadataOf(t provider.Tags, own map[string]string) map[string]string {
	m := make(map[string]string, len(own)+4)
	for k, v := range own {
		m[k] = v
	}
	m[provider.TagInstallation], m[provider.TagServer] = t.Installation, t.Server
	m[provider.TagAutoscale], m[provider.TagProvider] = t.AutoscaleConfig, t.Provider
	return m
}

func tagsOf(m map[string]string) provider.Tags {
	return provider.Tags{
		Installation: m[provider.TagInstallation], Server: m[provider.TagServer],
		AutoscaleConfig: m[provider.TagAutoscale], Provider: m[provider.TagProvider],
	}
}

// mark is how ports and floating addresses are marked: they have no metadata,
// and their tags are set by a second call, between which and the first a crash
// would leave an object without a mark. Their description takes 255 characters.
func mark(t provider.Tags) string {
	return strings.Join([]string{"headroom", t.Installation, t.Provider, t.Server, t.AutoscaleConfig}, " ")
}

// tagsOfMark reads a description; it answers empty tags for any other.
func tagsOfMark(description string) provider.Tags {
	parts := strings.Split(description, " ")
	if len(parts) != 5 || parts[0] != "headroom" {
		return provider.Tags{}
	}
	return provider.Tags{Installation: parts[1], Provider: parts[2], Server: parts[3], AutoscaleConfig: parts[4]}
}

// idFault answers NotFound for what cannot be the id of anything: a request with
// it would be for another path.
func idFault(id string) error {
	if uuid.MatchString(id) {
		return nil
	}
	return provider.Errorf(provider.NotFound, "%s is no ID of OpenStack, so that no such machine exists", strconv.Quote(fmt.Sprintf("%.80s", id)))
}
