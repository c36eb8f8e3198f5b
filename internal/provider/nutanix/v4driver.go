package nutanix

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
)

// cloneGrace is how long a clone whose answer was lost may take to show: until
// then, a mark that names no task proves nothing.
const cloneGrace = 10 * time.Minute

// driver4 makes machines through the v4 API.
type driver4 struct {
	settings Settings
	api      *api4
	now      func() time.Time

	mu    sync.Mutex
	known *references4
}

func openV4(s Settings, c *connection, host provider.Host) *driver4 {
	return &driver4{settings: s, api: &api4{connection: c, now: host.Now}, now: host.Now}
}

// Create marks the machine and starts its clone, or the deployment of its
// template. Listings finish the machine.
func (d *driver4) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	refs, err := d.references(ctx)
	if err != nil {
		return provider.Instance{}, err
	}
	id := machineID(req)
	c, err := d.clone(req, id, refs)
	if err != nil {
		return provider.Instance{}, err
	}
	m := newMark(req, d.now())
	m.API = v4Name
	found, made, err := d.makeMark(ctx, id, m)
	if err != nil {
		return provider.Instance{}, err
	}
	if !made {
		steps := budget4(stepsOfOne4)
		switch i, err := d.look(ctx, found, &steps); {
		case err == nil:
			return i, nil
		case !isNotFound(err):
			return provider.Instance{}, err
		case found.Task != "" || found.API == "":
			return provider.Instance{}, provider.Errorf(provider.Conflict, "creating machine %s: it was made before and is being removed", req.Name)
		}
	}
	if c.path == "" { // of a virtual machine, which is changed as it were
		path := vmsV4 + "/" + refs.source.id
		var now vm4
		c.path = path + "/$actions/clone"
		if c.etag, err = d.api.get(ctx, "looking at vm_candidate", path, &now); err != nil {
			return d.refused(ctx, found, err)
		}
	}
	task, err := d.api.task(ctx, c)
	if err != nil {
		return d.refused(ctx, found, err)
	}
	// What is not kept is found again by the name of the machine.
	if err := d.keepMark(ctx, found, func(m *mark) { m.Task = task }); err == nil {
		found.Task = task
	}
	return d.pending(found), nil
}

// pending is a machine that is on its way.
func (d *driver4) pending(m marked) provider.Instance {
	return provider.Instance{ID: m.id, Name: m.Name, Tags: m.tags(), State: provider.StatePending, CreatedAt: m.Created}
}

// refused handles a clone that was refused: an earlier request may have made
// it, and the mark of a machine that was not made is taken away.
func (d *driver4) refused(ctx context.Context, m marked, cause error) (provider.Instance, error) {
	class := provider.ClassOf(cause)
	if !class.MadeNothing() && class != provider.NotFound {
		return provider.Instance{}, cause
	}
	steps := budget4(0)
	i, err := d.look(ctx, m, &steps)
	switch {
	case err == nil:
		return i, nil
	case !isNotFound(err):
		return provider.Instance{}, provider.Errorf(provider.Unavailable, "%s (whether an earlier request made the machine could not be found out: %w)", cause.Error(), err)
	}
	d.forget()
	_ = d.deleteMark(ctx, m) // what stays is a remnant, which the sweep finds
	if class == provider.NotFound {
		return provider.Instance{}, provider.Errorf(provider.Invalid, "%w", cause)
	}
	return provider.Instance{}, cause
}

// clone is the request that makes a machine; without a path where it needs the
// ETag of the virtual machine that is cloned.
func (d *driver4) clone(req provider.Request, id string, refs *references4) (call4, error) {
	g, err := d.settings.guest(req, id)
	if err != nil {
		return call4{}, err
	}
	shape := d.settings.shape(req.Shape)
	body := clone4{kind4: ahv("CloneOverrideParams"), Name: req.Name, Memory: shape.MemoryMiB << 20, Guest: g.v4()}
	if n := wholeCores(shape.Cores); n > 0 {
		body.Sockets, body.PerSocket, body.Threads = n, 1, 1
	}
	if refs.subnet != "" {
		body.NICs = []nic4{{
			kind4: ahv("Nic"), Backing: backing4{kind4: ahv("EmulatedNic"), Connected: true},
			Network: newNetwork4{kind4: ahv("NicNetworkInfo"), NICType: "NORMAL_NIC", Subnet: reference4{ahv("SubnetReference"), refs.subnet}},
		}}
	}
	c := call4{doing: "creating machine " + req.Name, method: http.MethodPost, token: requestID("clone", id), body: body}
	if refs.source.template {
		body.kind4 = kind4{"vmm.v4.content.VmConfigOverride"}
		c.path = templatesV4 + "/" + refs.source.id + "/$actions/deploy"
		c.body = deployment4{kind4{"vmm.v4.content.TemplateDeployment"}, refs.cluster, 1, map[string]clone4{"0": body}}
	}
	return c, nil
}

// v4 is what the guest is told as the v4 API takes it.
func (g guest) v4() *guest4 {
	if g.answers != "" {
		config, script := ahv("Sysprep"), ahv("Unattendxml")
		return &guest4{ahv("GuestCustomizationParams"), config.Type, sysprep4{config, "PREPARED", script.Type, value4{script, g.answers}}}
	}
	config, script := ahv("CloudInit"), ahv("Userdata")
	return &guest4{ahv("GuestCustomizationParams"), config.Type, cloudInit4{config, "CONFIG_DRIVE_V2", g.metadata, script.Type, value4{script, g.userData}}}
}

// masked is the same without what may hold tokens.
func (g guest) masked() guest {
	if g.answers != "" {
		g.answers = maskedText(g.answers)
	}
	if g.userData != "" {
		g.userData = maskedText(g.userData)
	}
	return g
}

// List joins the owner's marks with the virtual machines that Prism shows, and
// takes those that are not finished a step further.
func (d *driver4) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		left, err := d.marks(ctx, owner)
		if err != nil || len(left) == 0 {
			if err != nil {
				yield(provider.Instance{}, err)
			}
			return
		}
		found, err := d.join(ctx, left)
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		steps := budget4(maxSteps4)
		for _, f := range found {
			delete(left, f.mark.id)
			if !yield(d.advance(ctx, f.mark, f.vm, &steps), nil) {
				return
			}
		}
		// The rest is not listed: it is being cloned, could not be made, was renamed,
		// or is gone.
		for _, m := range left {
			if m.Task == "" && m.vm() == "" || m.vm() != "" && d.now().Sub(m.Created) < grace {
				continue
			}
			if m.vm() == "" && !steps.take(2) { // the next listing asks for its task
				if !yield(d.pending(m), nil) {
					return
				}
				continue
			}
			i, err := d.look(ctx, m, &steps)
			if isNotFound(err) {
				continue
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
	}
}

// pair is a mark with its virtual machine.
type pair struct {
	mark marked
	vm   vm4
}

// join finds the virtual machines of marks: the one that the mark names, the one
// that bears it, or, for a clone that bears nothing yet, the one with its name.
func (d *driver4) join(ctx context.Context, marks map[string]marked) (found []pair, err error) {
	byVM, byCategory, byName := map[string]marked{}, map[string]marked{}, map[string]marked{}
	for _, m := range marks {
		byCategory[m.category] = m
		if id := m.vm(); id != "" {
			byVM[id] = m
		} else {
			byName[m.Name] = m
		}
	}
	seen := map[string]bool{}
	var unmarked []pair
	err = list4(ctx, d.api, "listing virtual machines", vmsV4, commonPrefix(marks), func(vm vm4) bool {
		m, ours := byVM[vm.ExtID]
		for _, c := range vm.Categories {
			if bears, ok := byCategory[c.ExtID]; ok && !ours {
				m, ours = bears, ok
			}
		}
		switch {
		case ours && !seen[m.id]:
			seen[m.id] = true
			found = append(found, pair{m, vm})
		case !ours:
			if m, named := byName[vm.Name]; named && m.mayBe(vm) {
				unmarked = append(unmarked, pair{m, vm})
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	// The oldest of a name is the clone; later ones are copies that somebody made.
	slices.SortStableFunc(unmarked, func(a, b pair) int { return a.vm.Created.Compare(b.vm.Created) })
	for _, p := range unmarked {
		if !seen[p.mark.id] {
			seen[p.mark.id] = true
			found = append(found, p)
		}
	}
	return found, nil
}

// mayBe says whether a virtual machine with the name of the mark can be its
// machine: it is not older, apart from clocks that differ.
func (m marked) mayBe(vm vm4) bool {
	return m.API != "" && vm.Name == m.Name && !vm.Created.Before(m.Created.Add(-5*time.Minute))
}

// commonPrefix is a filter that shows all virtual machines whose names are as in
// the marks; empty where there is none.
func commonPrefix(all map[string]marked) string {
	prefix, first := "", true
	for _, m := range all {
		if first {
			prefix, first = m.Name, false
		}
		for !strings.HasPrefix(m.Name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	if !plain.MatchString(prefix) {
		return ""
	}
	return "startswith(name," + quoted(prefix) + ")"
}

// Get looks at one machine. A mark without virtual machine is a machine that is
// being deleted.
func (d *driver4) Get(ctx context.Context, id string) (provider.Instance, error) {
	if uuid.Validate(id) != nil {
		return provider.Instance{}, notFound(id)
	}
	m, err := d.findMark(ctx, id)
	if err != nil {
		return provider.Instance{}, err
	}
	steps := budget4(stepsOfOne4)
	i, err := d.look(ctx, m, &steps)
	if isNotFound(err) {
		i = d.pending(m)
		i.State, err = provider.StateDeleting, nil
	}
	return i, err
}

// Delete begins the removal of the machine; once it is gone, its mark goes.
func (d *driver4) Delete(ctx context.Context, id string) error {
	if uuid.Validate(id) != nil {
		return notFound(id)
	}
	m, err := d.findMark(ctx, id)
	if err != nil {
		return err
	}
	vm, etag, task, err := d.find(ctx, m)
	switch {
	case err == nil:
		_, err = d.api.do(ctx, call4{
			doing: "deleting machine " + m.Name, method: http.MethodDelete, path: vmsV4 + "/" + vm.ExtID, etag: etag, token: requestID("delete", vm.ExtID, etag),
		})
		if !isNotFound(err) {
			return err
		}
	case !isNotFound(err):
		return err
	case task != nil && !task.failed() && !task.done():
		return provider.Errorf(provider.Conflict, "deleting machine %s: it is still being cloned, and is removed once that has ended", m.Name)
	case m.API != "" && m.Task == "" && m.VM == "" && d.now().Sub(m.Created) < grace:
		return provider.Errorf(provider.Conflict, "deleting machine %s: whether Prism clones it will show in a moment", m.Name)
	}
	if err := d.deleteMark(ctx, m); err != nil {
		return err
	}
	return notFound(id)
}

// ListRemnants yields marks whose machines do not exist.
func (d *driver4) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		left, err := d.marks(ctx, owner)
		if err == nil && len(left) > 0 {
			var found []pair
			found, err = d.join(ctx, left)
			for _, f := range found {
				delete(left, f.mark.id)
			}
		}
		if err != nil {
			yield(provider.Remnant{}, err)
			return
		}
		for id, m := range left {
			switch is, err := d.isRemnant(ctx, m); {
			case err != nil:
				yield(provider.Remnant{}, err)
				return
			case !is:
				continue
			}
			if !yield(provider.Remnant{Kind: remnantKind, ID: id, Name: m.Name, Tags: m.tags(), CreatedAt: m.Created}, nil) {
				return
			}
		}
	}
}

// isRemnant says that nothing belongs to the mark, and that nothing will.
func (d *driver4) isRemnant(ctx context.Context, m marked) (bool, error) {
	if m.API != "" && m.Task == "" && d.now().Sub(m.Created) < cloneGrace {
		return false, nil
	}
	steps := budget4(0)
	_, err := d.look(ctx, m, &steps)
	if isNotFound(err) {
		return true, nil
	}
	return false, err
}

// DeleteRemnant removes a mark, unless its machine has come to be meanwhile.
func (d *driver4) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	if r.Kind != remnantKind || uuid.Validate(r.ID) != nil {
		return provider.Errorf(provider.NotFound, "there is no %s %q", r.Kind, r.ID)
	}
	m, err := d.findMark(ctx, r.ID)
	if err != nil {
		return err
	}
	switch is, err := d.isRemnant(ctx, m); {
	case err != nil:
		return err
	case !is:
		return provider.Errorf(provider.Conflict, "the mark %s belongs to a machine", r.ID)
	}
	return d.deleteMark(ctx, m)
}

// Render shows the requests of a create.
func (d *driver4) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	refs, err := d.references(ctx)
	if err != nil {
		return nil, err
	}
	id, m := machineID(req), newMark(req, d.now())
	m.API = v4Name
	category, err := m.category(id)
	if err != nil {
		return nil, failure(ctx, d.now(), v4Name, "marking the machine", err)
	}
	c, err := d.clone(req, id, refs)
	if err != nil {
		return nil, err
	}
	g, err := d.settings.guest(req, id)
	if err != nil {
		return nil, err
	}
	switch body := c.body.(type) {
	case clone4:
		body.Guest, c.path = g.masked().v4(), vmsV4+"/"+refs.source.id+"/$actions/clone"
		c.body = body
	case deployment4:
		vm := body.Overrides["0"]
		vm.Guest = g.masked().v4()
		body.Overrides["0"] = vm
	}
	return []provider.RenderedCall{
		{Call: http.MethodPost + " /api" + categoriesV4, Body: category},
		{Call: http.MethodPost + " /api" + c.path, Body: c.body},
		{Call: http.MethodPost + " /api" + vmsV4 + "/{the clone}/$actions/associate-categories", Body: associated(refs.categories, "{the category of the mark}")},
		{Call: http.MethodPost + " /api" + vmsV4 + "/{the clone}/$actions/power-on"},
	}, nil
}
