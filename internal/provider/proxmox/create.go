package proxmox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	pve "github.com/luthermonson/go-proxmox"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// takenAttempts is how many VMIDs one create tries that the cluster refuses
// although its listing does not show them.
const takenAttempts = 5

// Create starts the clone of a machine, whose VMID is derived from the token of
// the request. Listings finish the machine.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	what := "making machine " + req.Name
	if err := ctx.Err(); err != nil {
		return provider.Instance{}, failure(what, err)
	}
	mark, start := markOf(req)
	all, err := d.api.resources(ctx, "")
	if err != nil {
		return provider.Instance{}, failure(what, err)
	}
	made, found, err := d.madeBefore(ctx, all, req, mark)
	if err != nil || found {
		return made, failure(what, err)
	}
	plans, err := d.plans(all, req.Offer)
	if err != nil {
		return provider.Instance{}, err
	}
	p, err := d.withRoom(ctx, all, plans)
	if err != nil {
		return provider.Instance{}, failure(what, err)
	}
	if err := d.refuseWithoutRights(ctx, p); err != nil {
		return provider.Instance{}, err
	}
	taken := vmids(all)
	for range takenAttempts {
		vmid, young, err := d.claim(taken, mark, start)
		if err != nil {
			return provider.Instance{}, failure(what, err)
		}
		i := provider.Instance{ID: identity{vmid, mark}.String(), Name: req.Name, Tags: req.Tags, State: provider.StatePending, Offer: d.offerOf(p.target), CreatedAt: d.now().UTC().Truncate(time.Second)}
		if young {
			mine, err := d.maybeMine(ctx, taken[vmid], mark)
			if err != nil || mine {
				return i, failure(what, err)
			}
			taken[vmid] = stranger(vmid)
			continue
		}
		task, err := d.clone(ctx, p, req, i)
		d.unclaim(vmid, mark)
		switch {
		case err == nil:
			d.remember(i, p.template.Node, task)
			return i, nil
		case !says(err, saysTaken...):
			return provider.Instance{}, failure(what, err)
		}
		// Somebody was faster, perhaps another call with this very token.
		if all, err = d.api.resources(ctx, ""); err != nil {
			return provider.Instance{}, failure(what, err)
		}
		made, found, err := d.madeBefore(ctx, all, req, mark)
		if err != nil || found {
			return made, failure(what, err)
		}
		if now := vmids(all); now[vmid].VMID != 0 {
			taken = now
		} else {
			taken[vmid] = stranger(vmid)
		}
	}
	return provider.Instance{}, provider.Errorf(provider.Conflict,
		"%s: %d VMIDs in a row are taken by virtual machines that the API token cannot see or that others have just made: give it VM.Audit on /vms, and set vmid_range to VMIDs that nobody else uses", what, takenAttempts)
}

// stranger stands for a virtual machine that is known not to be the one that
// is asked for.
func stranger(vmid int) resource { return resource{VMID: vmid, Name: "a stranger"} }

// maybeMine looks at what has no name and no tags yet at the VMID of this
// token: an earlier call of ours is being cloned there, or a stranger who chose
// the same. While it bears no notes nobody can know, and it is not made again;
// the mark that it bears in the end tells.
func (d *driver) maybeMine(ctx context.Context, r resource, mark string) (bool, error) {
	c, err := d.api.config(ctx, r.Node, r.VMID)
	if err != nil {
		if provider.ClassOf(failure("", err)) == provider.NotFound {
			return false, provider.Errorf(provider.Conflict, "VM %d has just gone away", r.VMID)
		}
		return false, err
	}
	if n, ok := parseNotes(c.text("description"), r.VMID); ok {
		return n.Mark == mark, nil
	}
	return c.text("lock") == "clone", nil
}

// madeBefore finds the machine of an earlier call with the same token.
func (d *driver) madeBefore(ctx context.Context, all []resource, req provider.Request, mark string) (provider.Instance, bool, error) {
	for _, r := range all {
		if r.VMID == 0 || bool(r.Template) {
			continue
		}
		if t, _, ours := decodeTags(r.Tags, r.VMID); ours {
			if t.mark == mark {
				i := d.instance(r, t)
				i.Name = req.Name
				return i, true, nil
			}
			continue
		}
		if r.Name != req.Name || r.Lock != "" {
			continue
		}
		c, err := d.api.config(ctx, r.Node, r.VMID)
		if err != nil {
			return provider.Instance{}, false, err
		}
		if n, ok := parseNotes(c.text("description"), r.VMID); ok && n.Mark == mark {
			return d.unfinished(r, n), true, nil
		}
	}
	return provider.Instance{}, false, nil
}

// unfinished shows a machine that bears its marks in the notes only.
func (d *driver) unfinished(r resource, n notes) provider.Instance {
	return provider.Instance{
		ID: n.identity().String(), Name: r.Name, Tags: n.owned(), State: provider.StatePending,
		Offer: d.offerOf(r.Node), CreatedAt: time.Unix(n.Created, 0).UTC(),
	}
}

func vmids(all []resource) map[int]resource {
	taken := map[int]resource{}
	for _, r := range all {
		if r.VMID != 0 {
			taken[r.VMID] = r
		}
	}
	return taken
}

// claim chooses the VMID for a mark: the first in the range that is free,
// beginning at start and going round. young says that what is there has no name
// and no tags yet, so that it may be what this mark has made before.
func (d *driver) claim(taken map[int]resource, mark string, start uint64) (vmid int, young bool, err error) {
	size := d.to - d.from + 1
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range min(size, len(taken)+len(d.claimed)+1) {
		vmid := d.from + int((start+uint64(i))%uint64(size))
		if owner, claimed := d.claimed[vmid]; claimed {
			if owner == mark {
				return 0, false, provider.Errorf(provider.Conflict, "another call makes the machine at this moment")
			}
			continue
		}
		r, there := taken[vmid]
		if !there {
			d.claimed[vmid] = mark
			return vmid, false, nil
		}
		if nameless(r) {
			return vmid, true, nil
		}
	}
	return 0, false, provider.Errorf(provider.Quota, "all %d VMIDs of vmid_range %d-%d are taken: make the range larger", size, d.from, d.to)
}

func (d *driver) unclaim(vmid int, mark string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claimed[vmid] == mark {
		delete(d.claimed, vmid)
	}
}

// nameless says that the resource has neither tags of ours nor a name: Proxmox
// VE keeps such a placeholder at a VMID while it copies the disks, and tells
// names some seconds late.
func nameless(r resource) bool {
	_, _, ours := decodeTags(r.Tags, r.VMID)
	return !ours && (r.Name == "" || r.Name == "VM "+strconv.Itoa(r.VMID))
}

// clone starts the clone, at the other node if the template can go there, and
// gives its task.
func (d *driver) clone(ctx context.Context, p plan, req provider.Request, i provider.Instance) (upid string, err error) {
	o, err := d.cloneOptions(p, req, i)
	if err != nil {
		return "", err
	}
	path := vmPath(p.template.Node, p.template.VMID, "/clone")
	err = d.api.client.Post(ctx, path, o, &upid)
	if err != nil && says(err, saysLocal...) && !p.fixed && o.Target != "" {
		o.Target = "" // the template cannot leave its node
		err = d.api.client.Post(ctx, path, o, &upid)
	}
	return upid, err
}

func (d *driver) cloneOptions(p plan, req provider.Request, i provider.Instance) (*pve.VirtualMachineCloneOptions, error) {
	id, _ := parseID(i.ID)
	n := notes{
		Version: notesVersion, VMID: id.vmid, Mark: id.mark, Created: i.CreatedAt.Unix(), Tags: map[string]string{},
		More: d.settings.Tags, Configure: d.wanted(), Bridge: d.settings.NetworkBridge, VLAN: d.settings.NetworkVLAN, Agent: true,
	}
	for _, kv := range ownerPairs(req.Tags) {
		n.Tags[kv[0]] = kv[1]
	}
	text, err := n.text()
	if err != nil {
		return nil, err
	}
	o := &pve.VirtualMachineCloneOptions{
		NewID: id.vmid, Name: req.Name, Description: text, Pool: d.settings.Pool,
		Full: pve.IntOrBool(fleet.Value(d.settings.FullClone, true)),
	}
	if o.Full {
		o.Storage = d.settings.Storage
	}
	if p.target != p.template.Node {
		o.Target = p.target
	}
	return o, nil
}

// refuseWithoutRights looks whether the token has every right that the machine
// will need: one that is missing later would leave half a machine.
func (d *driver) refuseWithoutRights(ctx context.Context, p plan) error {
	have, err := d.api.permissions(ctx)
	if err != nil {
		return failure("reading the permissions of the API token", err)
	}
	at := place{template: "/vms/" + strconv.Itoa(p.template.VMID), machine: "/vms"}
	if d.settings.Storage != "" {
		at.storages = []string{d.settings.Storage}
	}
	if b := d.bridge(); b != "" {
		at.bridges = []string{b}
	}
	lacks := missing(have, d.needs(at, 0))
	if len(lacks) == 0 {
		return nil
	}
	var names []string
	for _, n := range lacks {
		names = append(names, n.name())
	}
	return provider.Errorf(provider.Forbidden, "the API token lacks %s: give it to the token, or to its user and the token", joinAnd(names))
}

func (d *driver) bridge() string {
	b := d.settings.NetworkBridge
	if b != "" && d.settings.NetworkVLAN != 0 {
		b += "/" + formatInt(d.settings.NetworkVLAN)
	}
	return b
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// joinAnd writes a list for people.
func joinAnd(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return fmt.Sprintf("%s and %s", strings.Join(list[:last], ", "), list[last])
}
