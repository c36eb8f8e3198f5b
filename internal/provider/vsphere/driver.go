package vsphere

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

type driver struct {
	settings Settings
	now      func() time.Time
	link     *link
	page     int32 // machines in one answer to a listing
}

var (
	_ provider.Driver       = (*driver)(nil)
	_ provider.Renderer     = (*driver)(nil)
	_ provider.Catalog      = (*driver)(nil)
	_ provider.ScriptRunner = (*driver)(nil)
)

func open(_ context.Context, s Settings, host provider.Host) (*driver, error) {
	now := host.Now
	if now == nil {
		return nil, provider.Errorf(provider.Invalid, "the vsphere provider needs a clock")
	}
	return &driver{settings: s, now: now, link: newLink(s, now), page: page}, nil
}

// Close ends the session at vCenter.
func (d *driver) Close(ctx context.Context) error {
	return failure("logging out from vCenter "+d.settings.VCenter, d.link.close(ctx))
}

// Create starts the clone of a machine. A machine of the same token, and one
// that is just being made, is answered as it is.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	doing := "making machine " + req.Name
	switch limit := channel(d.settings).Limit; {
	case fleet.CheckName(req.Name) != nil:
		return provider.Instance{}, provider.Errorf(provider.Invalid, "%s: %v", doing, fleet.CheckName(req.Name))
	case req.Token == "":
		return provider.Instance{}, provider.Errorf(provider.Invalid, "%s: the request has no token", doing)
	case limit > 0 && len(req.Bootstrap.UserData) > limit:
		return provider.Instance{}, provider.Errorf(provider.Invalid, "%s: its user data takes %d bytes, %d are the most in guestinfo: shorten the script, or use script_method guest_operations",
			doing, len(req.Bootstrap.UserData), limit)
	}
	if err := d.checkShape(req.Shape); err != nil {
		return provider.Instance{}, failure(doing, err)
	}
	var i provider.Instance
	err := d.link.with(ctx, func(s *session) (err error) {
		i, err = d.create(ctx, s, req)
		return err
	})
	return i, failure(doing, err)
}

func (d *driver) create(ctx context.Context, s *session, req provider.Request) (provider.Instance, error) {
	m := markOf(req)
	found, ok, err := d.byUUID(ctx, s, m)
	if err != nil || ok {
		return d.adopt(found, m, err)
	}
	p, err := d.known(ctx, s)
	if err != nil {
		return provider.Instance{}, err
	}
	o, err := s.readOrigin(ctx, p)
	if isFault(err, "ManagedObjectNotFound") {
		s.forget()
		return provider.Instance{}, provider.Errorf(provider.Conflict, "the source or the datastore is gone; its name is looked up again: %w", err)
	}
	if err != nil {
		return provider.Instance{}, err
	}
	if err := d.fit(o); err != nil {
		return provider.Instance{}, err
	}
	if err := d.recentFailure(ctx, s, p, o); err != nil {
		return provider.Instance{}, err
	}
	task, err := d.begin(ctx, s, req, m, p, o)
	if err != nil {
		return provider.Instance{}, err
	}
	info, err := s.glance(ctx, task)
	switch {
	case err != nil:
		return provider.Instance{}, provider.Errorf(provider.Unavailable, "the clone was begun, and its task cannot be looked at: %w", err)
	case info.State == types.TaskInfoStateError:
		return d.rejected(ctx, s, m, info.Error)
	}
	i := provider.Instance{ID: m.id(), Name: m.Name, Tags: m.tags(), State: provider.StatePending, Capacity: d.settings.shape(req.Shape)}
	return i, nil
}

// adopt answers a machine that has the UUID of the request. The UUID is proof
// enough while the marks are not to be seen yet.
func (d *driver) adopt(found machine, m mark, err error) (provider.Instance, error) {
	if err == nil && found.mark != (mark{}) && found.mark != m {
		err = provider.Errorf(provider.Conflict, "machine %s has the UUID %s of the request, and its marks are those of server %q: somebody has changed them",
			found.vm.Name, m.UUID, found.mark.Server)
	}
	if err != nil {
		return provider.Instance{}, err
	}
	return d.shown(found, m), nil
}

// shown is a machine that was found by the UUID of a mark, which it bears in
// its own writing unless that is not there yet or was removed.
func (d *driver) shown(found machine, m mark) provider.Instance {
	if found.mark == (mark{}) {
		found.mark = m
	}
	i := found.instance(d.now())
	i.ID = m.id()
	return i
}

// rejected is what a task that failed at once means.
func (d *driver) rejected(ctx context.Context, s *session, m mark, fault *types.LocalizedMethodFault) (provider.Instance, error) {
	if fault != nil {
		if _, taken := fault.Fault.(*types.DuplicateName); taken {
			// Another call with the same token was faster, or the name is somebody else's.
			found, ok, err := d.byUUID(ctx, s, m)
			if err != nil || ok {
				return d.adopt(found, m, err)
			}
		}
	}
	return provider.Instance{}, taskFailure("cloning "+m.Name, fault)
}

// byUUID looks for the machine of a mark, whatever it is called now.
func (d *driver) byUUID(ctx context.Context, s *session, m mark) (machine, bool, error) {
	resp, err := methods.FindByUuid(ctx, s.client, &types.FindByUuid{
		This: *s.client.ServiceContent.SearchIndex, Uuid: m.UUID, VmSearch: true, InstanceUuid: types.NewBool(d.settings.CloneType != Instant),
	})
	if err != nil || resp.Returnval == nil {
		return machine{}, false, err
	}
	all, err := s.read(ctx, types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: *resp.Returnval}},
		PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: vmPaths}},
	})
	if isFault(err, "ManagedObjectNotFound") || err == nil && len(all) == 0 {
		return machine{}, false, nil // removed between the two calls
	}
	if err != nil {
		return machine{}, false, err
	}
	found, err := d.machineOf(all[0])
	return found, err == nil, err
}

// Get looks at one machine, also while its clone is under way and after it has
// failed.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	m, ok := parseID(id)
	if !ok {
		return provider.Instance{}, notFound(id)
	}
	var i provider.Instance
	err := d.link.with(ctx, func(s *session) (err error) {
		i, err = d.look(ctx, s, m)
		return err
	})
	return i, failure("looking at machine "+m.Name, err)
}

func (d *driver) look(ctx context.Context, s *session, m mark) (provider.Instance, error) {
	found, ok, f, err := d.find(ctx, s, m)
	if err != nil {
		return provider.Instance{}, err
	}
	if ok {
		return d.shown(found, m), nil
	}
	i := provider.Instance{ID: m.id(), Name: m.Name, Tags: m.tags()}
	switch {
	case f.failed != nil:
		i.State = provider.StateFailed
		i.Fault = taskFailure("its clone failed", f.failed).Error()
	case f.running != nil:
		i.State = provider.StatePending
	default:
		return provider.Instance{}, notFound(m.Name)
	}
	return i, nil
}

// find looks for a machine, and for its clone when it is not there. The clone
// may end between these two looks; only a third proves that there is neither.
func (d *driver) find(ctx context.Context, s *session, m mark) (found machine, ok bool, f flight, err error) {
	if found, ok, err = d.byUUID(ctx, s, m); err != nil || ok {
		return found, ok, f, err
	}
	p, err := d.known(ctx, s)
	if err != nil {
		return found, false, f, err
	}
	if f, err = d.flightOf(ctx, s, p, m); err != nil || f.running != nil || f.failed != nil {
		return found, false, f, err
	}
	found, ok, err = d.byUUID(ctx, s, m)
	return found, ok, f, err
}

func notFound(name string) error {
	return provider.Errorf(provider.NotFound, "vCenter has no machine %q", name)
}

// List yields the owner's machines below the folder of the settings, with one
// call for each page.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		begun := false
		err := d.link.with(ctx, func(s *session) error {
			err := d.list(ctx, s, owner, func(i provider.Instance) bool {
				begun = true
				return yield(i, nil)
			})
			if begun && isFault(err, "NotAuthenticated") {
				return fmt.Errorf("the session ended in the middle: %s", err.Error()) // not to be begun again
			}
			return err
		})
		if err != nil {
			yield(provider.Instance{}, failure("listing machines", err))
		}
	}
}

func (d *driver) list(ctx context.Context, s *session, owner provider.Owner, yield func(provider.Instance) bool) error {
	view, err := d.machinesView(ctx, s)
	if err != nil {
		return err
	}
	var unlabelled []machine
	err = s.retrieve(ctx, inView(view, types.PropertySpec{Type: "VirtualMachine", PathSet: vmPaths}), d.page, func(o types.ObjectContent) (bool, error) {
		if err := readable(o, mustRead); err != nil {
			return false, err
		}
		m, err := d.machineOf(o)
		if err != nil {
			return false, err
		}
		if m.mark == (mark{}) || m.mark.tags().Owner() != owner {
			return true, nil
		}
		unlabelled = append(unlabelled, m)
		return yield(m.instance(d.now())), nil
	})
	if err == nil {
		s.label(ctx, unlabelled)
	}
	if isFault(err, "ManagedObjectNotFound") {
		s.mu.Lock()
		s.view, s.places = nil, nil
		s.mu.Unlock()
		// A view lives as long as its session, so the session is gone as well, or
		// the folder is; with a new session it is seen which.
		return vimFault{&types.NotAuthenticated{}}
	}
	return err
}

// machinesView is the view of all machines below the folder. It is made once in
// a session and follows what happens.
func (d *driver) machinesView(ctx context.Context, s *session) (types.ManagedObjectReference, error) {
	s.mu.Lock()
	view := s.view
	s.mu.Unlock()
	if view != nil {
		return *view, nil
	}
	p, err := d.known(ctx, s)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	made, err := s.viewOf(ctx, p.folder, "VirtualMachine")
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		s.view = &made
	}
	return *s.view, nil
}

// Delete takes the removal of a machine one step further: a clone under way is
// cancelled, a machine that runs is switched off, one that is off is destroyed
// with its disks. It is repeated until nothing is left.
func (d *driver) Delete(ctx context.Context, id string) error {
	m, ok := parseID(id)
	if !ok {
		return notFound(id)
	}
	err := d.link.with(ctx, func(s *session) error { return d.remove(ctx, s, m) })
	if isFault(err, "TaskInProgress", "ManagedObjectNotFound", "InvalidPowerState") {
		return nil // an earlier call is at work; the next one sees what came of it
	}
	return failure("deleting machine "+m.Name, err)
}

func (d *driver) remove(ctx context.Context, s *session, m mark) error {
	found, ok, f, err := d.find(ctx, s, m)
	switch {
	case err != nil:
		return err
	case !ok && f.running != nil:
		return s.cancel(ctx, f.running)
	case !ok:
		return notFound(m.Name)
	}
	run := found.vm.Runtime
	switch {
	case run.ConnectionState == types.VirtualMachineConnectionStateOrphaned || run.ConnectionState == types.VirtualMachineConnectionStateInvalid:
		_, err = methods.UnregisterVM(ctx, s.client, &types.UnregisterVM{This: found.ref})
	case run.ConnectionState == types.VirtualMachineConnectionStateInaccessible || run.ConnectionState == types.VirtualMachineConnectionStateDisconnected:
		return provider.Errorf(provider.Unavailable, "vCenter calls the machine %s: its host or its datastore cannot be reached, and its disks could not be removed", run.ConnectionState)
	case run.PowerState == types.VirtualMachinePowerStatePoweredOff:
		_, err = methods.Destroy_Task(ctx, s.client, &types.Destroy_Task{This: found.ref})
	default:
		_, err = methods.PowerOffVM_Task(ctx, s.client, &types.PowerOffVM_Task{This: found.ref})
	}
	return err
}

// Render shows the call that a create would make.
func (d *driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	var calls []provider.RenderedCall
	err := d.link.with(ctx, func(s *session) error {
		p, err := d.known(ctx, s)
		if err != nil {
			return err
		}
		o, err := s.readOrigin(ctx, p)
		if err != nil {
			return err
		}
		if err := d.fit(o); err != nil {
			return err
		}
		m := markOf(req)
		if d.settings.CloneType == Instant {
			calls = []provider.RenderedCall{{Call: "InstantClone_Task", Body: types.InstantClone_Task{This: p.source, Spec: d.instantSpec(req, m, p, o)}}}
			return nil
		}
		spec, err := d.cloneSpec(req, m, p, o)
		if err != nil {
			return err
		}
		if p.pod != nil {
			if spec.Location.Datastore, err = d.pickMember(ctx, s, m, p, o, spec, req.Shape); err != nil {
				return err
			}
		}
		calls = []provider.RenderedCall{{Call: "CloneVM_Task", Body: types.CloneVM_Task{This: p.source, Folder: p.folder, Name: m.Name, Spec: spec}}}
		return nil
	})
	return calls, failure("showing the request for machine "+req.Name, err)
}
