package proxmox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// A clone that is not written in full at once gets this share of its disks, and
// at least leastReserve: a storage that is full stops every machine on it.
const (
	reserveShare = 0.1
	leastReserve = 1 << 30
)

// withRoom is the first plan whose disks have room. It reads the configuration of
// each template once, where a listing says how full storages are at all.
func (d *driver) withRoom(ctx context.Context, all []resource, plans []plan) (plan, error) {
	if !slices.ContainsFunc(all, func(r resource) bool { return r.Type == "storage" && r.MaxDisk > 0 }) {
		return plans[0], nil // the token lacks Datastore.Audit: a clone without room fails by itself
	}
	disks := map[int]map[string]float64{}
	var lacks []string
	for _, p := range plans {
		id := p.template.VMID
		if _, known := disks[id]; !known {
			c, err := d.api.config(ctx, p.template.Node, id)
			if err != nil {
				return plan{}, err
			}
			disks[id] = c.disks()
		}
		lack := d.shortage(all, p, disks[id])
		if lack == "" {
			return p, nil
		}
		if !slices.Contains(lacks, lack) {
			lacks = append(lacks, lack)
		}
	}
	return plan{}, provider.Errorf(provider.NoCapacity, "no room for the disks of a clone: %s", strings.Join(lacks, "; "))
}

// disks are the bytes that the disks of a configuration may hold, by storage.
func (c vmConfig) disks() map[string]float64 {
	all := map[string]float64{}
	for key := range c {
		value := c.text(key)
		priv, known := optionPrivilege(key)
		storage, rest, disk := strings.Cut(value, ":")
		if !known || priv != privDisk || !disk || strings.Contains(value, "media=cdrom") {
			continue
		}
		for part := range strings.SplitSeq(rest, ",") {
			if size, ok := strings.CutPrefix(part, "size="); ok {
				all[storage] += bytesOf(size)
			}
		}
	}
	return all
}

// bytesOf reads a size as Proxmox VE writes it, such as 8G; 0 when it cannot.
func bytesOf(size string) float64 {
	number := strings.TrimRight(size, "KMGT")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 {
		return 0
	}
	for _, unit := range "KMGT" {
		if v *= 1 << 10; strings.HasSuffix(size, string(unit)) {
			return v
		}
	}
	return v / (1 << 40) // without a unit
}

// shortage says what a plan lacks; empty where it has room, or nobody knows.
func (d *driver) shortage(all []resource, p plan, disks map[string]float64) string {
	full := fleet.Value(d.settings.FullClone, true)
	need := disks
	if full && d.settings.Storage != "" {
		need = map[string]float64{}
		for _, size := range disks {
			need[d.settings.Storage] += size
		}
	}
	var lacks []string
	for name, size := range need {
		s, known := storageOn(all, name, p)
		if !known || s.MaxDisk <= 0 || size <= 0 {
			continue
		}
		what := fmt.Sprintf("the clone takes %s", gib(size))
		if !full || s.Plugin != "lvm" && s.Plugin != "" { // grows as it is written
			size = max(size*reserveShare, leastReserve)
			what = fmt.Sprintf("%s are kept for a clone", gib(size))
		}
		if left := max(s.MaxDisk-s.Disk, 0); left < size {
			lacks = append(lacks, fmt.Sprintf("storage %s on node %s has %s left, %s", name, s.Node, gib(left), what))
		}
	}
	slices.Sort(lacks)
	return strings.Join(lacks, " and ")
}

func gib(n float64) string { return fmt.Sprintf("%.1f GiB", n/(1<<30)) }

// storageOn is the line of a storage where a plan's disks go. A shared one is the
// same everywhere.
func storageOn(all []resource, name string, p plan) (resource, bool) {
	var found *resource
	for i, r := range all {
		if r.Type != "storage" || r.Storage != name || r.Status != "available" {
			continue
		}
		if r.Node == p.target {
			return r, true
		}
		if bool(r.Shared) || r.Node == p.template.Node {
			found = &all[i]
		}
	}
	if found == nil {
		return resource{}, false
	}
	return *found, true
}

// started is a clone that this process has begun.
type started struct {
	instance provider.Instance
	node     string // that carries the task out
	task     string
}

// remember keeps the task of a clone for as long as it may fail, so that its
// reason can be told: Proxmox VE removes what it could not clone, and with it all
// that bears a mark. Nothing else depends on it.
func (d *driver) remember(i provider.Instance, node, task string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.started[i.ID] = started{i, node, task}
	for id, s := range d.started {
		if d.now().Sub(s.instance.CreatedAt) > cloneMemory {
			delete(d.started, id)
		}
	}
}

func (d *driver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.started, id)
}

// missing are the clones of an owner that have been begun and are not among what
// the cluster shows.
func (d *driver) missing(all []resource, owner provider.Owner) (list []started) {
	there := vmids(all)
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, s := range d.started {
		want, ok := parseID(id)
		r, shown := there[want.vmid]
		switch {
		case !ok || shown && !nameless(r):
			delete(d.started, id) // it is what a listing says of it
		case !shown && s.instance.Tags.Owner() == owner:
			list = append(list, s)
		}
	}
	return list
}

// ended looks whether a clone that is not there has failed, and makes a machine
// of it that says why.
func (d *driver) ended(ctx context.Context, s started) (provider.Instance, bool, error) {
	status, err := d.api.taskEnd(ctx, s.node, s.task)
	if err != nil || status == "" || status == "OK" || strings.HasPrefix(status, "WARNINGS") {
		return provider.Instance{}, false, err
	}
	i := s.instance
	i.State, i.Fault = provider.StateFailed, "the clone failed: "+status
	if c := classOfText(&refusal{text: status}); c.FallsThrough() {
		i.FaultClass = c
	}
	return i, true, nil
}

// failedClone is ended for the id of a machine that is not there.
func (d *driver) failedClone(ctx context.Context, id identity) (provider.Instance, error) {
	d.mu.Lock()
	s, known := d.started[id.String()]
	d.mu.Unlock()
	if known {
		i, failed, err := d.ended(ctx, s)
		if err != nil && fatal(ctx, err) {
			return i, err
		}
		if failed {
			return i, nil
		}
	}
	return provider.Instance{}, notFound(id.String())
}

// gone forgets the clone of a machine of which nothing is there.
func (d *driver) gone(id string, err error) error {
	var e *provider.Error
	if errors.As(err, &e) && e.Class == provider.NotFound {
		d.forget(id)
	}
	return err
}
