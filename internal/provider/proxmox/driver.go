package proxmox

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// machineName is how names of machines begin. A machine that has just been
// cloned bears its marks in its notes only, which a listing does not show: its
// name is the reason to look there.
const machineName = "hr-"

type driver struct {
	settings Settings
	api      *api
	now      func() time.Time
	from, to int // of the range of VMIDs

	// claimed are the VMIDs that creates under way have chosen, so that two of
	// one moment do not choose the same. It holds nothing once they have ended,
	// and nothing depends on it: the cluster refuses a VMID that is taken.
	mu      sync.Mutex
	claimed map[int]string // to the mark
	started map[string]started
}

// cloneMemory is how long a clone may take before its task is forgotten.
const cloneMemory = 2 * time.Hour

// placed is a driver whose settings name nodes for the machines.
type placed struct{ *driver }

var (
	_ provider.Driver       = (*driver)(nil)
	_ provider.ScriptRunner = (*driver)(nil)
	_ provider.Renderer     = (*driver)(nil)
	_ provider.Catalog      = (*driver)(nil)
	_ provider.Offerer      = placed{}
)

func open(_ context.Context, s Settings, host provider.Host) (provider.Driver, error) {
	from, to, err := s.vmids()
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "vmid_range %w", err)
	}
	a, err := newAPI(s, host.Now)
	if err != nil {
		return nil, err
	}
	d := &driver{settings: s, api: a, now: host.Now, from: from, to: to, claimed: map[int]string{}, started: map[string]started{}}
	if len(s.TargetNodes) > 0 {
		return placed{d}, nil
	}
	return d, nil
}

// Offers names the nodes of the settings in their order.
func (d placed) Offers() []string { return slices.Clone(d.settings.TargetNodes) }

func (d *driver) offerOf(node string) string {
	if slices.Contains(d.settings.TargetNodes, node) {
		return node
	}
	return ""
}

// List yields the owner's machines and takes those that are on their way one
// step further.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		all, err := d.api.resources(ctx, "vm")
		if err == nil {
			err = d.believe(ctx, all)
		}
		if err != nil {
			yield(provider.Instance{}, failure("listing machines", err))
			return
		}
		steps := budget(maxSteps)
		for _, r := range all {
			i, ours, err := d.look(ctx, r, owner, &steps)
			if err != nil {
				yield(provider.Instance{}, failure("listing machines", err))
				return
			}
			if ours && !yield(i, nil) {
				return
			}
		}
		for _, s := range d.missing(all, owner) {
			if !steps.take(1) {
				return
			}
			i, failed, err := d.ended(ctx, s)
			if err != nil && fatal(ctx, err) {
				yield(provider.Instance{}, failure("listing machines", err))
				return
			}
			if failed && !yield(i, nil) {
				return
			}
		}
	}
}

// believe refuses a listing that may be short for want of a right: Proxmox VE
// leaves out what the token may not see, and says nothing. The template is
// seen with the same right.
func (d *driver) believe(ctx context.Context, all []resource) error {
	if len(d.settings.templates(all, true)) > 0 {
		return nil
	}
	have, err := d.api.permissions(ctx)
	if err != nil {
		return err
	}
	if !have.has("/vms", privAudit) {
		return provider.Errorf(provider.Forbidden, "the API token lacks %s on /vms, so that the list of machines cannot be trusted: give it to the token, or to its user and the token", privAudit)
	}
	return nil
}

// look makes an instance of a line of the listing if it is the owner's.
func (d *driver) look(ctx context.Context, r resource, owner provider.Owner, steps *budget) (provider.Instance, bool, error) {
	if r.VMID == 0 || bool(r.Template) {
		return provider.Instance{}, false, nil
	}
	if t, _, ours := decodeTags(r.Tags, r.VMID); ours {
		if t.tags.Owner() != owner {
			return provider.Instance{}, false, nil
		}
		i := d.instance(r, t)
		if t.fresh {
			d.settle(ctx, r, t, &i, steps)
		}
		return i, true, nil
	}
	if !candidate(r) {
		return provider.Instance{}, false, nil
	}
	if !steps.take(1) {
		// Whose it is has to wait for the next listing; it is young.
		return provider.Instance{}, false, nil
	}
	c, err := d.api.config(ctx, r.Node, r.VMID)
	var n notes
	ok := false
	if err == nil {
		n, ok = parseNotes(c.text("description"), r.VMID)
	}
	switch {
	case err != nil && fatal(ctx, err):
		return provider.Instance{}, false, err
	case !ok || n.owned().Owner() != owner: // or it has gone, or its node does not answer
		return provider.Instance{}, false, nil //nolint:nilerr // one machine hinders no listing
	}
	i := d.unfinished(r, n)
	if c.text("lock") == "" {
		d.finish(ctx, r, n, c, &i, steps)
	}
	return i, true, nil
}

// candidate says that the resource may be a clone of ours that has no tags
// yet.
func candidate(r resource) bool {
	return len(r.Name) > len(machineName) && r.Name[:len(machineName)] == machineName && r.Status != "running"
}

// fatal says that an error is that of the whole cluster and not of one machine
// or node, so that a listing cannot go on.
func fatal(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	if isNode(err) {
		return false
	}
	switch provider.ClassOf(failure("", err)) {
	case provider.Unauthenticated, provider.RateLimited, provider.Unavailable:
		return true
	}
	return false
}

// Get looks at one machine, and takes it one step further as a listing does.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	what := "looking at machine " + strconv.Quote(id)
	want, ok := parseID(id)
	if err := ctx.Err(); err != nil {
		return provider.Instance{}, failure(what, err)
	}
	if !ok {
		return provider.Instance{}, notFound(id)
	}
	r, err := d.locate(ctx, want)
	if provider.ClassOf(err) == provider.NotFound {
		i, err := d.failedClone(ctx, want)
		return i, failure(what, err)
	}
	if err != nil {
		return provider.Instance{}, failure(what, err)
	}
	if !nameless(r) {
		d.forget(id)
	}
	steps := budget(stepsOfOne)
	if t, _, ours := decodeTags(r.Tags, r.VMID); ours {
		if t.identity != want {
			return provider.Instance{}, notFound(id)
		}
		i := d.instance(r, t)
		if t.fresh {
			d.settle(ctx, r, t, &i, &steps)
		}
		return i, nil
	}
	c, err := d.api.config(ctx, r.Node, r.VMID)
	if err == nil {
		err = owned(c, r, want)
	}
	if err != nil {
		return provider.Instance{}, failure(what, goneOr(err, want))
	}
	n, _ := parseNotes(c.text("description"), r.VMID)
	i := d.unfinished(r, n)
	if c.text("lock") == "" && c.text("tags") == r.Tags {
		d.finish(ctx, r, n, c, &i, &steps)
	}
	return i, nil
}

// locate finds what has the VMID now; NotFound only when that is certain.
func (d *driver) locate(ctx context.Context, id identity) (resource, error) {
	all, err := d.api.resources(ctx, "vm")
	if err != nil {
		return resource{}, err
	}
	for _, r := range all {
		if r.VMID == id.vmid {
			return r, nil
		}
	}
	have, err := d.api.permissions(ctx)
	if err != nil {
		return resource{}, err
	}
	if !have.has("/vms", privAudit) {
		return resource{}, provider.Errorf(provider.Forbidden,
			"the API token lacks %s on /vms, so that nobody can say whether the machine is gone: give it to the token, or to its user and the token", privAudit)
	}
	return resource{}, notFound(id.String())
}

// owned refuses what is at the VMID of a machine and is not that machine. The
// notes must say that it is, and the tags must not say anything else.
func owned(c vmConfig, r resource, want identity) error {
	n, noted := parseNotes(c.text("description"), r.VMID)
	t, _, marked := decodeTags(c.text("tags"), r.VMID)
	switch {
	case noted && n.identity() == want && (!marked || t.identity == want):
		return nil
	case noted && n.identity() == want:
		return provider.Errorf(provider.Conflict, "the notes of VM %d say that it is machine %s, its tags say %s: it is not touched; correct the tags, or remove it by hand", r.VMID, want, t.identity)
	case !noted && marked && t.identity == want:
		return provider.Errorf(provider.Conflict, "VM %d bears the tags of machine %s, but the line of its notes that begins with %q is gone: it is not touched; remove it by hand, or the tags", r.VMID, want, notesPrefix)
	case !noted && !marked && (c.text("lock") == "clone" || c.text("lock") == "create"):
		return provider.Errorf(provider.Conflict,
			"VM %d is being cloned on node %s and bears no mark yet; if no task is cloning it any more, since its node went down meanwhile, remove what is left by hand: qm unlock %d, qm destroy %d", r.VMID, r.Node, r.VMID, r.VMID)
	}
	return notFound(want.String())
}

// Delete stops a machine that runs, and removes one that does not.
func (d *driver) Delete(ctx context.Context, id string) error {
	what := "deleting machine " + strconv.Quote(id)
	want, ok := parseID(id)
	if err := ctx.Err(); err != nil {
		return failure(what, err)
	}
	if !ok {
		return notFound(id)
	}
	return d.gone(id, failure(what, d.remove(ctx, want)))
}

func (d *driver) remove(ctx context.Context, want identity) error {
	r, err := d.locate(ctx, want)
	if err != nil {
		return err
	}
	// Read anew: what the listing says of state and tags may be old, and this is
	// the last look before something is destroyed.
	c, err := d.api.config(ctx, r.Node, r.VMID)
	if err != nil {
		return goneOr(err, want)
	}
	if err := owned(c, r, want); err != nil {
		return err
	}
	s, err := d.api.status(ctx, r.Node, r.VMID)
	if err != nil {
		return goneOr(err, want)
	}
	if s.Lock != "" {
		return provider.Errorf(provider.Conflict, "VM %d is locked (%s): Proxmox VE works on it; it is removed afterwards", r.VMID, s.Lock)
	}
	if n, _ := parseNotes(c.text("description"), r.VMID); n.Configure != nil && c.text("protection") == "1" {
		// The template's protection was copied, and the machine was not finished.
		return goneOr(d.api.configure(ctx, r.Node, r.VMID, map[string]any{"protection": 0, "digest": c.text("digest")}), want)
	}
	if s.Status != "stopped" {
		return goneOr(d.api.post(ctx, vmPath(r.Node, r.VMID, "/status/stop"), nil), want)
	}
	return goneOr(d.api.destroy(ctx, r.Node, r.VMID), want)
}

// goneOr turns "there is no such configuration" into NotFound of the machine.
func goneOr(err error, id identity) error {
	var known *provider.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if provider.ClassOf(failure("", err)) == provider.NotFound {
		// It may have moved to another node since the listing; the next look tells.
		return provider.Errorf(provider.Conflict, "VM %d is no longer where it was; it is looked for again", id.vmid)
	}
	return err
}
