package nutanix

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// maxSteps4 is how many requests one listing spends on machines that are on
	// their way; the rest waits for the next one.
	maxSteps4 = 30
	// stepsOfOne4 is the same for a look at one machine.
	stepsOfOne4 = 4
)

// budget4 is how many requests are left.
type budget4 int

func (b *budget4) take(n budget4) bool {
	if *b < n {
		return false
	}
	*b -= n
	return true
}

// find looks for the virtual machine of a mark, and at the task of its clone
// where only that can tell. NotFound says that there is none.
func (d *driver4) find(ctx context.Context, m marked) (vm vm4, etag string, task *task4, err error) {
	doing := "looking at machine " + m.Name
	if id := m.vm(); id != "" {
		etag, err = d.api.get(ctx, doing, vmsV4+"/"+id, &vm)
		return vm, etag, nil, err
	}
	if m.Task == "" {
		found, err := d.join(ctx, map[string]marked{m.id: m})
		if err != nil || len(found) == 0 {
			if err == nil {
				err = notFound(m.id)
			}
			return vm, "", nil, err
		}
		etag, err = d.api.get(ctx, doing, vmsV4+"/"+found[0].vm.ExtID, &vm)
		return vm, etag, nil, err
	}
	task = &task4{}
	if _, err = d.api.get(ctx, "looking at the clone of machine "+m.Name, tasksV4+"/"+m.Task, task); err != nil {
		if isNotFound(err) { // Prism forgets tasks
			vm, etag, _, err = d.find(ctx, marked{mark: m.withoutTask(), id: m.id, category: m.category})
			task = nil
		}
		return vm, etag, task, err
	}
	for _, id := range task.vms() {
		vm = vm4{}
		etag, err = d.api.get(ctx, doing, vmsV4+"/"+id, &vm)
		switch {
		case err == nil && (vm.Name == m.Name || vm.bears(m.category)):
			return vm, etag, task, nil // and not what it was cloned from
		case err != nil && !isNotFound(err):
			return vm, "", task, err
		}
	}
	return vm4{}, "", task, notFound(m.id)
}

func (m mark) withoutTask() mark {
	m.Task = ""
	return m
}

func (vm vm4) bears(category string) bool {
	return slices.Contains(vm.Categories, id4{category})
}

// look asks for one machine of which the mark is known, and takes it a step
// further. NotFound says that it has no virtual machine and will have none.
func (d *driver4) look(ctx context.Context, m marked, steps *budget4) (provider.Instance, error) {
	vm, _, task, err := d.find(ctx, m)
	switch {
	case err == nil:
		return d.advance(ctx, m, vm, steps), nil
	case !isNotFound(err) || task == nil:
		return provider.Instance{}, err
	}
	i := d.pending(m)
	switch {
	case task.failed():
		all := task.messages()
		i.State, i.Fault, i.FaultClass = provider.StateFailed, "the clone failed: "+join(all), faultClass(all)
	case task.done() && d.now().Sub(m.Created) >= cloneGrace:
		return provider.Instance{}, notFound(m.id)
	}
	return i, nil
}

// advance shows a machine and does what is missing of it: first it is put into
// its categories, so that their policies hold when it starts, then it is
// switched on. What goes wrong leaves it as it is, for the next look.
func (d *driver4) advance(ctx context.Context, m marked, vm vm4, steps *budget4) provider.Instance {
	i := d.pending(m)
	if !vm.Created.IsZero() {
		i.CreatedAt = vm.Created
	}
	i.Capacity = fleet.Resources{
		Cores:     fleet.Cores(vm.Sockets*orDefault(vm.PerSocket, 1)*orDefault(vm.Threads, 1)) * fleet.Core,
		MemoryMiB: vm.MemoryBytes >> 20,
	}
	i.Addresses = vm.addresses()
	switch {
	case vm.Power == "ON" || vm.Power == "UNDETERMINED": // its cluster is out of reach, and nothing is known to be wrong
		i.State = provider.StateRunning
		if m.API != "" && m.Power == "" && steps.take(2) {
			_ = d.keepMark(ctx, m, func(k *mark) { k.VM, k.Power = vm.ExtID, "on" }) // the next look repeats it
		}
		if m.API != "" && !vm.bears(m.category) {
			d.associate(ctx, m, vm, &i, steps)
		}
	case m.API != "" && m.Power == "" && !vm.bears(m.category):
		d.associate(ctx, m, vm, &i, steps)
	case m.API != "" && m.Power == "":
		d.powerOn(ctx, m, vm, &i, steps)
	default:
		d.stopped(ctx, m, vm, &i, steps)
	}
	return i
}

func (vm vm4) addresses() (all []string) {
	add := func(text string) {
		a, err := netip.ParseAddr(text)
		if err == nil && !a.IsLinkLocalUnicast() && !slices.Contains(all, a.String()) {
			all = append(all, a.String())
		}
	}
	for _, nic := range vm.NICs {
		for _, n := range []network4{nic.Newer, nic.Network} {
			add(n.Config.Address.Value)
			for _, a := range slices.Concat(n.IPv4.Learned, n.IPv6.Learned) {
				add(a.Value)
			}
		}
	}
	return all
}

// changed sends an action on a virtual machine, with the ETag that it has now.
// ok says that what the driver knows of it is still so.
func (d *driver4) changed(ctx context.Context, vm vm4, action, doing string, body any, ok func(vm4) bool) (task string, err error) {
	path := vmsV4 + "/" + vm.ExtID
	var now vm4
	etag, err := d.api.get(ctx, doing, path, &now)
	if err != nil {
		return "", err
	}
	if !ok(now) {
		return "", provider.Errorf(provider.Conflict, "%s: it has just been changed", doing)
	}
	return d.api.task(ctx, call4{
		doing: doing, method: http.MethodPost, path: path + "/$actions/" + action, etag: etag, token: requestID(action, vm.ExtID, etag), body: body,
	})
}

func associated(categories []string, mark string) associate4 {
	body := associate4{kind4: ahv("AssociateVmCategoriesParams")}
	for _, id := range append([]string{mark}, categories...) {
		body.Categories = append(body.Categories, reference4{ahv("CategoryReference"), id})
	}
	return body
}

func (d *driver4) associate(ctx context.Context, m marked, vm vm4, i *provider.Instance, steps *budget4) {
	if !steps.take(2) {
		return
	}
	refs, err := d.references(ctx)
	if err != nil {
		blame(i, err)
		return
	}
	_, err = d.changed(ctx, vm, "associate-categories", "putting machine "+m.Name+" into its categories", associated(refs.categories, m.category),
		func(now vm4) bool { return !now.bears(m.category) })
	blame(i, err)
}

// blame keeps why a machine does not get on, unless it was only too early. What
// can never work, and what there is no room for, fails the machine; what needs a
// right or a moment leaves it pending, so that it goes on once that is there.
func blame(i *provider.Instance, err error) {
	var e *provider.Error
	if !errors.As(err, &e) || e.Class == provider.Conflict {
		return
	}
	i.Fault = e.Message
	switch {
	case e.Class.FallsThrough():
		i.State, i.FaultClass = provider.StateFailed, e.Class
	case e.Class == provider.Invalid || e.Class == provider.Unsupported:
		i.State = provider.StateFailed
	}
}

func (d *driver4) powerOn(ctx context.Context, m marked, vm vm4, i *provider.Instance, steps *budget4) {
	if !steps.take(4) {
		return
	}
	task, err := d.changed(ctx, vm, "power-on", "switching machine "+m.Name+" on", nil, func(now vm4) bool { return now.Power == "OFF" })
	if err == nil {
		err = d.keepMark(ctx, m, func(k *mark) { k.VM, k.Power = vm.ExtID, task })
	}
	blame(i, err)
}

// stopped says why a machine that was switched on is off.
func (d *driver4) stopped(ctx context.Context, m marked, vm vm4, i *provider.Instance, steps *budget4) {
	i.State, i.Fault = provider.StateStopped, "its power is "+vm.Power
	if m.API == "" || m.Power == "on" || vm.Power != "OFF" || !steps.take(1) {
		return
	}
	var t task4
	if _, err := d.api.get(ctx, "looking at the start of machine "+m.Name, tasksV4+"/"+m.Power, &t); err != nil {
		return
	}
	switch {
	case t.failed():
		all := t.messages()
		i.State, i.Fault, i.FaultClass = provider.StateFailed, "it could not be switched on: "+join(all), faultClass(all)
	case !t.done():
		i.State, i.Fault = provider.StatePending, ""
	}
}
