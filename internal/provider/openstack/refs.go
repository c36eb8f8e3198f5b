package openstack

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	networkAuto = "auto"
	networkNone = "none"
)

// refLife is how long it is believed which ID a name stands for: an image is
// renamed when a newer one takes its name.
const refLife = 5 * time.Minute

// references remembers which IDs the names of the settings stand for.
type references struct {
	mu    sync.Mutex
	known map[string]reference
}

type reference struct {
	id string
	at time.Time
}

func (r *references) get(key string, now time.Time) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, ok := r.known[key]
	return ref.id, ok && now.Sub(ref.at).Abs() < refLife
}

func (r *references) put(key, id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[key] = reference{id, now}
}

func (r *references) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
}

// named is what we read of flavors, images, networks and groups.
type named struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Status   string `json:"status"`
	External bool   `json:"router:external"`
	MinDisk  int64  `json:"min_disk"`
	MinMiB   int64  `json:"min_ram"`
	Cores    int64  `json:"vcpus"`
	MiB      int64  `json:"ram"`
	DiskGiB  int64  `json:"disk"`
}

func namedID(n named) string { return n.ID }

// collection is where objects of a kind are listed.
type collection struct {
	service  service
	path     string
	key      string
	setting  string
	noun     string
	filtered bool // the service filters by name; otherwise all are listed
	alwaysID bool // only a UUID is an ID; flavors may have any text for one
}

func flavorsOf(setting string) collection {
	return collection{service: nova, path: "flavors/detail", key: "flavors", setting: setting, noun: "flavor"}
}

func imagesOf(setting string) collection {
	return collection{service: glance, path: "images", key: "images", setting: setting, noun: "image", filtered: true, alwaysID: true}
}

func networksOf(setting string) collection {
	return collection{service: neutron, path: "networks", key: "networks", setting: setting, noun: "network", filtered: true, alwaysID: true}
}

func groupsOf(setting string) collection {
	return collection{service: neutron, path: "security-groups", key: "security_groups", setting: setting, noun: "security group", filtered: true, alwaysID: true}
}

// lookUp finds the ID of what a setting names.
func (d *driver) lookUp(ctx context.Context, c collection, value string) (string, error) {
	if c.alwaysID && uuid.MatchString(value) {
		return value, nil
	}
	key := c.key + "\x00" + value
	if id, ok := d.refs.get(key, d.now()); ok {
		return id, nil
	}
	found, err := d.candidates(ctx, c, value)
	if err != nil {
		return "", err
	}
	n, err := only(c, value, found)
	if err != nil {
		return "", err
	}
	d.refs.put(key, n.ID, d.now())
	return n.ID, nil
}

// candidates lists the objects of that ID or name.
func (d *driver) candidates(ctx context.Context, c collection, value string) ([]named, error) {
	sc, err := d.session.service(ctx, c.service)
	if err != nil {
		return nil, err
	}
	var query url.Values
	if c.filtered {
		query = url.Values{"name": {value}}
	}
	all, err := collect(ctx, sc, c.service, c.path, c.key, query, namedID)
	if provider.ClassOf(err) == provider.Forbidden && c.alwaysID {
		return nil, provider.Errorf(provider.Forbidden, "the %s %q cannot be looked up by its name: put its ID into %s, or allow it: %w", c.noun, value, c.setting, err)
	}
	if err != nil {
		return nil, err
	}
	var found []named
	for _, n := range all {
		if n.ID == value {
			return []named{n}, nil
		}
		if n.Name == value {
			found = append(found, n)
		}
	}
	return found, nil
}

func only(c collection, value string, found []named) (named, error) {
	switch len(found) {
	case 0:
		return named{}, provider.Errorf(provider.Invalid, "%s %q does not exist, or the project does not see it: check %s", c.noun, value, c.setting)
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, n := range found {
		ids = append(ids, n.ID)
	}
	return named{}, provider.Errorf(provider.Invalid, "%d %ss are called %q (%s): put the ID of one into %s", len(found), c.noun, value, strings.Join(ids, ", "), c.setting)
}

// resolve turns the names in the settings into IDs.
func (d *driver) resolve(ctx context.Context) (parts, error) {
	s := d.settings
	var p parts
	var err error
	if p.flavor, err = d.lookUp(ctx, flavorsOf("flavor"), s.Flavor); err != nil {
		return p, err
	}
	if p.image, err = d.lookUp(ctx, imagesOf("image"), s.Image); err != nil {
		return p, err
	}
	if s.Network != networkAuto && s.Network != networkNone {
		if p.network, err = d.lookUp(ctx, networksOf("network"), s.Network); err != nil {
			return p, err
		}
	}
	if s.FloatingIPPool != "" {
		for _, g := range s.SecurityGroups {
			id, err := d.lookUp(ctx, groupsOf("security_groups"), g)
			if err != nil {
				return p, err
			}
			p.groups = append(p.groups, id)
		}
	}
	return p, nil
}

// getOne reads one object by its ID.
func getOne(ctx context.Context, sc *gophercloud.ServiceClient, which service, path, key string) (named, error) {
	var wrapped map[string]named
	if key == "" {
		var n named
		resp, err := sc.Get(ctx, sc.ServiceURL(path), &n, nil) //nolint:bodyclose // the SDK has read and closed it
		_, _, err = gophercloud.ParseResponse(resp, err)
		return n, classify(err, which)
	}
	resp, err := sc.Get(ctx, sc.ServiceURL(path), &wrapped, nil) //nolint:bodyclose // the SDK has read and closed it
	if _, _, err = gophercloud.ParseResponse(resp, err); err != nil {
		return named{}, classify(err, which)
	}
	n, ok := wrapped[key]
	if !ok {
		return n, provider.Errorf(provider.Unavailable, "the answer of %s holds no %s", which.name(), key)
	}
	return n, nil
}

func describeFlavor(n named) string {
	return fmt.Sprintf("%d cores, %d MiB of memory, %d GiB of disk", n.Cores, n.MiB, n.DiskGiB)
}
