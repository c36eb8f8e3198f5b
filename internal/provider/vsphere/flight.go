package vsphere

import (
	"context"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// failuresFor is how long a clone that failed for lack of something makes
	// further creates fail in the same way.
	failuresFor = 2 * time.Minute
	// flightFor is how far back the beginning of a clone is looked for.
	flightFor = 12 * time.Hour
)

// cloneEvents are what vCenter has written down about clones of the source, the
// oldest first.
func (s *session) cloneEvents(ctx context.Context, source types.ManagedObjectReference, since time.Time, kinds ...string) ([]types.BaseEvent, error) {
	resp, err := methods.QueryEvents(ctx, s.client, &types.QueryEvents{
		This: *s.client.ServiceContent.EventManager,
		Filter: types.EventFilterSpec{
			Entity:             &types.EventFilterSpecByEntity{Entity: source, Recursion: types.EventFilterSpecRecursionOptionSelf},
			Time:               &types.EventFilterSpecByTime{BeginTime: &since},
			DisableFullMessage: types.NewBool(true),
			EventTypeId:        kinds,
		},
	})
	if err != nil {
		return nil, err
	}
	return resp.Returnval, nil
}

// flight is the clone that was to become a machine which is not there.
type flight struct {
	begun   bool
	failed  *types.LocalizedMethodFault
	running *types.TaskInfo
}

// flightOf finds out what became of a clone: from the recent tasks of its
// source, and, if there is one in question, from its events.
func (d *driver) flightOf(ctx context.Context, s *session, p *places, m mark) (flight, error) {
	tasks, err := s.recentClones(ctx, p.source)
	if err != nil {
		return flight{}, err
	}
	open := false
	for _, t := range tasks {
		open = open || t.State != types.TaskInfoStateSuccess
	}
	if !open {
		return flight{}, nil
	}
	events, err := s.cloneEvents(ctx, p.source, d.now().Add(-flightFor), "VmBeingClonedEvent", "VmCloneFailedEvent")
	if err != nil {
		return flight{}, err
	}
	var f flight
	var chain int32
	for _, e := range events {
		switch e := e.(type) {
		case *types.VmBeingClonedEvent:
			if e.DestName == m.Name && e.DestFolder.Folder == p.folder {
				f, chain = flight{begun: true}, e.ChainId
			}
		case *types.VmCloneFailedEvent:
			// A second clone of the same name fails while the first one has it.
			if _, rival := e.Reason.Fault.(*types.DuplicateName); e.DestName == m.Name && e.DestFolder.Folder == p.folder && !rival {
				f.failed = &e.Reason
			}
		}
	}
	if !f.begun || f.failed != nil {
		return f, nil
	}
	for i, t := range tasks {
		// A task without a chain of events may be this one.
		if ours := t.EventChainId == 0 || t.EventChainId == chain; ours && unfinished(t) {
			f.running = &tasks[i]
		} else if ours && t.EventChainId != 0 && t.State == types.TaskInfoStateError {
			f.failed = t.Error
		}
	}
	return f, nil
}

// recentClones are the clone tasks of a machine that vCenter still knows of:
// those that run, and those that ended a few minutes ago.
func (s *session) recentClones(ctx context.Context, source types.ManagedObjectReference) ([]types.TaskInfo, error) {
	all, err := s.read(ctx, types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{
			Obj: source, Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "VirtualMachine", Path: "recentTask"}},
		}},
		PropSet: []types.PropertySpec{{Type: "Task", PathSet: []string{"info"}}},
	})
	if err != nil {
		return nil, err
	}
	var clones []types.TaskInfo
	for _, o := range all {
		var t mo.Task
		if err := load(o, &t); err != nil {
			return nil, err
		}
		if isClone(t.Info) {
			clones = append(clones, t.Info)
		}
	}
	return clones, nil
}

// recentFailure answers the error of a clone of ours that failed a moment ago
// for lack of something: another one would fail as well, after having begun to
// fill a datastore. It costs a call only when a task has failed like that.
func (d *driver) recentFailure(ctx context.Context, s *session, p *places, o origin) error {
	since := d.now().Add(-failuresFor)
	suspect := false
	for _, t := range o.tasks {
		suspect = suspect || t.State == types.TaskInfoStateError && t.Error != nil && t.Error.Fault != nil &&
			classOf(t.Error.Fault).FallsThrough() && t.CompleteTime != nil && t.CompleteTime.After(since)
	}
	if !suspect {
		return nil
	}
	events, err := s.cloneEvents(ctx, p.source, since, "VmCloneFailedEvent")
	if err != nil {
		return err
	}
	for _, e := range events {
		failed, ok := e.(*types.VmCloneFailedEvent)
		if ok && failed.DestFolder.Folder == p.folder && failed.UserName == s.user && failed.Reason.Fault != nil && classOf(failed.Reason.Fault).FallsThrough() {
			return taskFailure("the clone "+failed.DestName+" failed a moment ago, and so would this one", &failed.Reason)
		}
	}
	return nil
}

// glance looks once at a task that was just started.
func (s *session) glance(ctx context.Context, task types.ManagedObjectReference) (types.TaskInfo, error) {
	var t mo.Task
	err := s.one(ctx, task, &t, "info")
	return t.Info, err
}

// cancel asks vCenter to give up a clone.
func (s *session) cancel(ctx context.Context, t *types.TaskInfo) error {
	if t.EventChainId == 0 || !t.Cancelable {
		return provider.Errorf(provider.Conflict, "its clone is under way and cannot be cancelled; the machine is removed when it is there")
	}
	_, err := methods.CancelTask(ctx, s.client, &types.CancelTask{This: t.Task})
	return err
}
