package nutanix

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/provider"
)

// memory is how long the meaning of names is remembered: long enough that a
// machine does not cost four look-ups, short enough that a new golden image of
// the same name is picked up.
const memory = 5 * time.Minute

// candidate is the virtual machine that is cloned.
type candidate struct {
	id, name, cluster             string
	sockets, perSocket, memoryMiB int64
	power                         string
	volumeGroups                  int
	deleted                       bool
}

// references are the UUIDs of what the settings name.
type references struct {
	at                       time.Time
	candidate                candidate
	cluster, subnet, project string // empty: not chosen, except for the cluster
}

// references looks up what the settings name, or remembers it.
func (d *driver) references(ctx context.Context) (*references, error) {
	d.mu.Lock()
	known := d.known
	d.mu.Unlock()
	if known != nil && d.now().Sub(known.at) < memory {
		return known, nil
	}
	found := &references{at: d.now()}
	var err error
	if found.candidate, err = d.candidate(ctx); err != nil {
		return nil, err
	}
	if found.cluster, err = d.cluster(ctx, found.candidate); err != nil {
		return nil, err
	}
	if found.subnet, err = d.subnet(ctx, found.cluster); err != nil {
		return nil, err
	}
	if found.project, err = d.project(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.known = found
	d.mu.Unlock()
	return found, nil
}

// forget makes the next create look names up again.
func (d *driver) forget() {
	d.mu.Lock()
	d.known = nil
	d.mu.Unlock()
}

// one picks the object that a setting names from those that bear the name.
func one(setting, name, noun string, ids []string) (string, error) {
	slices.Sort(ids)
	switch ids = slices.Compact(ids); len(ids) {
	case 0:
		return "", provider.Errorf(provider.Invalid, "%s: Prism shows no %s named %q to this user: check the spelling, or the user's rights", setting, noun, name)
	case 1:
		return ids[0], nil
	}
	return "", provider.Errorf(provider.Invalid, "%s: %d %ss are named %q: give the UUID of the one that is meant: %s", setting, len(ids), noun, name, strings.Join(ids, ", "))
}

// reference classifies a failed look at an object by its UUID.
func (d *driver) referenceFailure(ctx context.Context, setting, noun, id string, err error) *provider.Error {
	failed := d.failure(ctx, "looking up "+setting, err)
	if failed.Class == provider.NotFound {
		return provider.Errorf(provider.Invalid, "%s: Prism shows no %s with UUID %s to this user", setting, noun, id)
	}
	return failed
}

// plain is a name that means itself in a filter.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// nameFilter lets Prism pre-select by name where the name cannot be mistaken
// for the filter's own language; the exact comparison is made here either way.
func nameFilter(attribute, name string) string {
	if !plain.MatchString(name) {
		return ""
	}
	return attribute + "==" + name
}

func (d *driver) candidate(ctx context.Context) (candidate, error) {
	const setting, noun = "vm_candidate", "virtual machine"
	name := d.settings.VMCandidate
	if uuid.Validate(name) == nil {
		vm, err := sdk.GetVM(ctx, name)
		if err != nil {
			return candidate{}, d.referenceFailure(ctx, setting, noun, name, err)
		}
		return asCandidate((*v3.VMIntentResource)(vm))
	}
	found := map[string]*v3.VMIntentResource{}
	err := d.vms(ctx, nameFilter("vm_name", name), func(vm *v3.VMIntentResource) bool {
		if vm.Spec != nil && deref(vm.Spec.Name) == name || vm.Status != nil && deref(vm.Status.Name) == name {
			found[vmID(vm)] = vm
		}
		return true
	})
	if err != nil {
		return candidate{}, err
	}
	var ids []string
	for id := range found {
		ids = append(ids, id)
	}
	id, err := one(setting, name, noun, ids)
	if err != nil {
		return candidate{}, err
	}
	return asCandidate(found[id])
}

func asCandidate(vm *v3.VMIntentResource) (candidate, error) {
	c := candidate{id: vmID(vm)}
	if vm.Status == nil || vm.Status.Resources == nil || c.id == "" {
		return c, provider.Errorf(provider.Unavailable, "vm_candidate: Prism does not show the state of virtual machine %s yet", c.id)
	}
	res := vm.Status.Resources
	c.name, c.power = deref(vm.Status.Name), deref(res.PowerState)
	c.sockets, c.perSocket, c.memoryMiB = orDefault(deref(res.NumSockets), 1), orDefault(deref(res.NumVcpusPerSocket), 1), deref(res.MemorySizeMib)
	c.deleted = state(deref(vm.Status.State), c.power) == provider.StateDeleting
	if r := vm.Status.ClusterReference; r != nil {
		c.cluster = deref(r.UUID)
	}
	for _, disk := range res.DiskList {
		if p := disk.DeviceProperties; p != nil && deref(p.DeviceType) == "VOLUME_GROUP" || disk.VolumeGroupReference != nil {
			c.volumeGroups++
		}
	}
	if c.deleted {
		return c, provider.Errorf(provider.Invalid, "vm_candidate: virtual machine %s is being deleted", c.id)
	}
	if c.memoryMiB == 0 {
		return c, provider.Errorf(provider.Invalid, "vm_candidate: Prism does not show the size of virtual machine %s: check that its making has succeeded", c.id)
	}
	return c, nil
}

func (d *driver) cluster(ctx context.Context, c candidate) (string, error) {
	const setting, noun = "cluster", "cluster"
	name := d.settings.Cluster
	if name == "" {
		return c.cluster, nil
	}
	if uuid.Validate(name) == nil {
		if _, err := sdk.GetCluster(ctx, name); err != nil {
			return "", d.referenceFailure(ctx, setting, noun, name, err)
		}
		return name, nil
	}
	var ids []string
	err := d.clusters(ctx, func(c *v3.ClusterIntentResponse) {
		if clusterName(c) == name && !c.IsPrismCentral() {
			ids = append(ids, deref(c.Metadata.UUID))
		}
	})
	if err != nil {
		return "", err
	}
	return one(setting, name, noun, ids)
}

func clusterName(c *v3.ClusterIntentResponse) string {
	if c.Status == nil {
		return ""
	}
	return c.Status.Name
}

// subnet finds a subnet of the cluster, or one that is bound to none. VLANs of
// one name on several clusters are the rule.
func (d *driver) subnet(ctx context.Context, cluster string) (string, error) {
	const setting, noun = "subnet", "subnet"
	name := d.settings.Subnet
	switch {
	case name == "":
		return "", nil
	case uuid.Validate(name) == nil:
		s, err := sdk.GetSubnet(ctx, name)
		if err != nil {
			return "", d.referenceFailure(ctx, setting, noun, name, err)
		}
		if on := subnetCluster(s); on != "" && cluster != "" && on != cluster {
			return "", provider.Errorf(provider.Invalid, "subnet: %s is one of cluster %s, machines are made on cluster %s: choose a subnet of that cluster", name, on, cluster)
		}
		return name, nil
	}
	var ids, elsewhere []string
	err := d.subnets(ctx, nameFilter("name", name), func(s *v3.SubnetIntentResponse) {
		switch on := subnetCluster(s); {
		case subnetName(s) != name:
		case on == "" || cluster == "" || on == cluster:
			ids = append(ids, deref(s.Metadata.UUID))
		default:
			elsewhere = append(elsewhere, on)
		}
	})
	if err != nil {
		return "", err
	}
	if len(ids) == 0 && len(elsewhere) > 0 {
		return "", provider.Errorf(provider.Invalid, "subnet: %q exists, but not on cluster %s, where machines are made: choose a subnet of that cluster", name, cluster)
	}
	return one(setting, name, noun, ids)
}

func subnetName(s *v3.SubnetIntentResponse) string {
	if s.Status == nil {
		return ""
	}
	return deref(s.Status.Name)
}

func subnetCluster(s *v3.SubnetIntentResponse) string {
	if s.Status == nil || s.Status.ClusterReference == nil {
		return ""
	}
	return fmt.Sprint(deref(s.Status.ClusterReference.UUID))
}

func (d *driver) project(ctx context.Context) (string, error) {
	const setting, noun = "project", "project"
	name := d.settings.Project
	switch {
	case name == "":
		return "", nil
	case uuid.Validate(name) == nil:
		if _, err := sdk.GetProject(ctx, name); err != nil {
			return "", d.referenceFailure(ctx, setting, noun, name, err)
		}
		return name, nil
	}
	var ids []string
	err := d.projects(ctx, nameFilter("name", name), func(p *v3.Project) {
		if projectName(p) == name {
			ids = append(ids, deref(p.Metadata.UUID))
		}
	})
	if err != nil {
		return "", err
	}
	return one(setting, name, noun, ids)
}

func projectName(p *v3.Project) string {
	if p.Status == nil {
		return ""
	}
	return p.Status.Name
}
