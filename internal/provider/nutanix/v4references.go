package nutanix

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
)

// source4 is what machines are cloned from: a virtual machine or a template.
type source4 struct {
	id, name string
	template bool
	vm       vm4 // of a virtual machine
}

// references4 are the ids of what the settings name.
type references4 struct {
	at              time.Time
	source          source4
	cluster, subnet string
	categories      []string
}

// references looks up what the settings name, or remembers it.
func (d *driver4) references(ctx context.Context) (*references4, error) {
	d.mu.Lock()
	known := d.known
	d.mu.Unlock()
	if known != nil && d.now().Sub(known.at) < memory {
		return known, nil
	}
	found := &references4{at: d.now()}
	var err error
	if found.source, err = d.source(ctx); err != nil {
		return nil, err
	}
	if found.cluster, err = d.cluster(ctx, found.source); err != nil {
		return nil, err
	}
	if found.subnet, err = d.subnet(ctx, found.cluster); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(d.settings.Categories)) {
		id, err := d.category(ctx, key, d.settings.Categories[key])
		if err != nil {
			return nil, err
		}
		found.categories = append(found.categories, id)
	}
	d.mu.Lock()
	d.known = found
	d.mu.Unlock()
	return found, nil
}

// forget makes the next create look names up again.
func (d *driver4) forget() {
	d.mu.Lock()
	d.known = nil
	d.mu.Unlock()
}

// byID looks at an object that a setting names by its UUID.
func (d *driver4) byID(ctx context.Context, setting, noun, path, id string, out any) error {
	_, err := d.api.get(ctx, "looking up "+setting, path+"/"+id, out)
	if isNotFound(err) {
		return provider.Errorf(provider.Invalid, "%s: Prism shows no %s with UUID %s to this user", setting, noun, id)
	}
	return err
}

func (d *driver4) source(ctx context.Context) (source4, error) {
	const setting, noun = "vm_candidate", "virtual machine or template"
	name := d.settings.VMCandidate
	if uuid.Validate(name) == nil {
		var vm vm4
		_, err := d.api.get(ctx, "looking up "+setting, vmsV4+"/"+name, &vm)
		if err == nil {
			return source4{id: name, name: vm.Name, vm: vm}, nil
		}
		if !isNotFound(err) {
			return source4{}, err
		}
		var t template4
		if err := d.byID(ctx, setting, noun, templatesV4, name, &t); err != nil {
			return source4{}, err
		}
		return source4{id: name, name: t.Name, template: true}, nil
	}
	found := map[string]source4{}
	err := list4(ctx, d.api, "looking up "+setting, vmsV4, equals("name", name), func(vm vm4) bool {
		if vm.Name == name {
			found[vm.ExtID] = source4{id: vm.ExtID, name: name, vm: vm}
		}
		return true
	})
	if err != nil {
		return source4{}, err
	}
	err = list4(ctx, d.api, "looking up "+setting, templatesV4, equals("templateName", name), func(t template4) bool {
		if t.Name == name {
			found[t.ExtID] = source4{id: t.ExtID, name: name, template: true}
		}
		return true
	})
	if err != nil {
		return source4{}, err
	}
	id, err := one(setting, name, noun, slices.Collect(maps.Keys(found)))
	return found[id], err
}

func (d *driver4) cluster(ctx context.Context, from source4) (string, error) {
	const setting, noun = "cluster", "cluster"
	name := d.settings.Cluster
	var id string
	switch {
	case name == "" && from.template:
		return "", provider.Errorf(provider.Invalid, "cluster: is empty, and a template belongs to no cluster: name the one that machines shall run on")
	case name == "":
		return from.vm.Cluster.ExtID, nil
	case uuid.Validate(name) == nil:
		var c cluster4
		if err := d.byID(ctx, setting, noun, clustersV4, name, &c); err != nil {
			return "", err
		}
		id = name
	default:
		var ids []string
		err := d.clusters(ctx, equals("name", name), func(c cluster4) {
			if c.Name == name && !c.central() {
				ids = append(ids, c.ExtID)
			}
		})
		if err != nil {
			return "", err
		}
		if id, err = one(setting, name, noun, ids); err != nil {
			return "", err
		}
	}
	if on := from.vm.Cluster.ExtID; !from.template && on != "" && on != id {
		return "", provider.Errorf(provider.Invalid, "cluster: the v4 API clones a virtual machine on the cluster where it is, %s is on %s: choose that cluster, or a template", from.name, on)
	}
	return id, nil
}

func (c cluster4) central() bool { return slices.Contains(c.Config.Functions, "PRISM_CENTRAL") }

func (d *driver4) clusters(ctx context.Context, filter string, f func(cluster4)) error {
	return list4(ctx, d.api, "listing clusters", clustersV4, filter, func(c cluster4) bool { f(c); return true })
}

// subnet finds a subnet of the cluster, or one that is bound to none.
func (d *driver4) subnet(ctx context.Context, cluster string) (string, error) {
	const setting, noun = "subnet", "subnet"
	name := d.settings.Subnet
	switch {
	case name == "":
		return "", nil
	case uuid.Validate(name) == nil:
		var s subnet4
		if err := d.byID(ctx, setting, noun, subnetsV4, name, &s); err != nil {
			return "", err
		}
		if !s.on(cluster) {
			return "", provider.Errorf(provider.Invalid, "subnet: %s is not on cluster %s, where machines are made: choose a subnet of that cluster", name, cluster)
		}
		return name, nil
	}
	var ids []string
	elsewhere := false
	err := list4(ctx, d.api, "listing subnets", subnetsV4, equals("name", name), func(s subnet4) bool {
		switch {
		case s.Name != name:
		case s.on(cluster):
			ids = append(ids, s.ExtID)
		default:
			elsewhere = true
		}
		return true
	})
	if err != nil {
		return "", err
	}
	if len(ids) == 0 && elsewhere {
		return "", provider.Errorf(provider.Invalid, "subnet: %q exists, but not on cluster %s, where machines are made: choose a subnet of that cluster", name, cluster)
	}
	return one(setting, name, noun, ids)
}

// category finds the id of a key and a value.
func (d *driver4) category(ctx context.Context, key, value string) (id string, err error) {
	err = list4(ctx, d.api, "looking up category "+key, categoriesV4, equals("key", key)+" and "+equals("value", value), func(c category4) bool {
		if c.Key == key && c.Value == value {
			id = c.ExtID
		}
		return id == ""
	})
	if err == nil && id == "" {
		err = provider.Errorf(provider.Invalid, "categories.%s: Prism shows no value %q of that category to this user: make it in Prism Central under Administration, Categories, or correct the setting", key, value)
	}
	return id, err
}

// Choices lists what a setting can name, by UUID, since names need not be
// unique.
func (d *driver4) Choices(ctx context.Context, setting string) (all []provider.Choice, err error) {
	add := func(id, name, about string) {
		all = append(all, provider.Choice{Value: id, Label: name, Description: about})
	}
	switch setting {
	case "vm_candidate":
		ours := map[string]bool{}
		if err := list4(ctx, d.api, "listing the marks of machines", categoriesV4, equals("key", markKey), func(c category4) bool { ours[c.ExtID] = true; return true }); err != nil {
			return nil, err
		}
		err = list4(ctx, d.api, "listing virtual machines", vmsV4, "", func(vm vm4) bool {
			for _, c := range vm.Categories {
				if ours[c.ExtID] {
					return true
				}
			}
			add(vm.ExtID, vm.Name, "power "+vm.Power)
			return true
		})
		if err == nil {
			err = list4(ctx, d.api, "listing templates", templatesV4, "", func(t template4) bool { add(t.ExtID, t.Name, "template"); return true })
		}
	case "cluster":
		err = d.clusters(ctx, "", func(c cluster4) {
			if !c.central() {
				add(c.ExtID, c.Name, "")
			}
		})
	case "subnet":
		err = list4(ctx, d.api, "listing subnets", subnetsV4, "", func(s subnet4) bool {
			add(s.ExtID, s.Name, "cluster "+s.Cluster)
			return true
		})
	case "project":
		return nil, provider.Errorf(provider.Unsupported, "project cannot be chosen with api_version v4")
	default:
		return nil, provider.Errorf(provider.Unsupported, "there are no choices for setting %q", setting)
	}
	return all, err
}
