package fakevsphere

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// source is a machine that clones are made of.
type source struct {
	*simulator.VirtualMachine
	s *Server
}

// Clones are the requests for clones so far.
func (s *Server) Clones() []types.CloneVM_Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]types.CloneVM_Task(nil), s.clones...)
}

// InstantClones are the requests for instant clones so far.
func (s *Server) InstantClones() []types.InstantClone_Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]types.InstantClone_Task(nil), s.instant...)
}

// FailClone lets the task of the next clone fail.
func (s *Server) FailClone(f types.BaseMethodFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = append(s.fail, f)
}

// HoldClones lets clones that begin from now on stay under way until
// ReleaseClones.
func (s *Server) HoldClones() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = true
}

// ReleaseClones ends the clones that were held: with f by failing when it is
// not nil. Those that were cancelled stay so.
func (s *Server) ReleaseClones(f types.BaseMethodFault) {
	s.mu.Lock()
	held := s.held
	s.hold, s.held = false, nil
	if f != nil {
		s.fail = append(s.fail, f)
	}
	s.mu.Unlock()
	for _, end := range held {
		end(nil)
	}
}

func (s *Server) popFail() types.BaseMethodFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fail) == 0 {
		return nil
	}
	f := s.fail[0]
	s.fail = s.fail[1:]
	return f
}

// CloneVMTask keeps the request, and lets the clone fail or take its time as
// the test wants it.
func (v *source) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	v.s.mu.Lock()
	v.s.clones = append(v.s.clones, *req)
	hold := v.s.hold
	v.s.mu.Unlock()
	if hold {
		return answer(v.heldTask(ctx, req))
	}
	if f := v.s.popFail(); f != nil {
		v.post(ctx, v.begun(req))
		task := simulator.CreateTask(v, "clone", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) { return nil, f })
		v.post(ctx, v.failed(req, f))
		return answer(task.Run(ctx))
	}
	return v.make(ctx, req)
}

// make lets the simulator clone. Until it has ended, the machine cannot be
// touched.
func (v *source) make(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	making := func(on bool) {
		v.s.mu.Lock()
		defer v.s.mu.Unlock()
		v.s.making[req.Name] = on
	}
	making(true)
	res := v.VirtualMachine.CloneVMTask(ctx, req)
	body, ok := res.(*methods.CloneVM_TaskBody)
	if !ok || body.Res == nil {
		making(false)
		return res
	}
	if task, ok := ctx.Map.Get(body.Res.Returnval).(*simulator.Task); ok {
		v.s.guests.wg.Go(func() {
			task.Wait()
			making(false)
		})
	}
	return res
}

// InstantCloneTask makes an instant clone, which the simulator does not know.
func (v *source) InstantCloneTask(ctx *simulator.Context, req *types.InstantClone_Task) soap.HasFault {
	v.s.mu.Lock()
	v.s.instant = append(v.s.instant, *req)
	v.s.mu.Unlock()
	body := &methods.InstantClone_TaskBody{}
	if v.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		body.Fault_ = simulator.Fault("", &types.InvalidPowerState{RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: v.Runtime.PowerState})
		return body
	}
	spec := types.VirtualMachineCloneSpec{
		Location: req.Spec.Location, PowerOn: true,
		Config: &types.VirtualMachineConfigSpec{Uuid: req.Spec.BiosUuid, ExtraConfig: req.Spec.Config},
	}
	folder := *v.Parent
	if f := req.Spec.Location.Folder; f != nil {
		folder = *f
	}
	clone := v.make(ctx, &types.CloneVM_Task{This: req.This, Folder: folder, Name: req.Spec.Name, Spec: spec})
	made, ok := clone.(*methods.CloneVM_TaskBody)
	if !ok || made.Res == nil {
		body.Fault_ = clone.Fault()
		return body
	}
	body.Res = &types.InstantClone_TaskResponse{Returnval: made.Res.Returnval}
	return body
}

func answer(task types.ManagedObjectReference) soap.HasFault {
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task}}
}

// heldTask is a clone that is under way, until it is released.
func (v *source) heldTask(ctx *simulator.Context, req *types.CloneVM_Task) types.ManagedObjectReference {
	begun := v.begun(req)
	v.post(ctx, begun)
	task := simulator.CreateTask(v, "clone", nil)
	task.Info.State, task.Info.Cancelable, task.Info.EventChainId = types.TaskInfoStateRunning, true, begun.ChainId
	ref := ctx.Map.Put(task).Reference()
	task.Info.Key, task.Info.Task = ref.Value, ref
	later := *ctx
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	v.s.held = append(v.s.held, func(*simulator.Context) {
		if task.Info.State != types.TaskInfoStateRunning {
			v.post(&later, v.failed(req, &types.RequestCanceled{}))
			return
		}
		if f := v.s.popFail(); f != nil {
			v.post(&later, v.failed(req, f))
			end(&later, task, nil, f)
			return
		}
		body, ok := v.make(&later, req).(*methods.CloneVM_TaskBody)
		if !ok || body.Res == nil {
			end(&later, task, nil, &types.SystemError{})
			return
		}
		real, ok := later.Map.Get(body.Res.Returnval).(*simulator.Task)
		if !ok {
			end(&later, task, nil, &types.SystemError{})
			return
		}
		real.Wait()
		end(&later, task, real.Info.Result, nil)
	})
	return ref
}

func end(ctx *simulator.Context, task *simulator.Task, result types.AnyType, f types.BaseMethodFault) {
	state := types.TaskInfoStateSuccess
	var fault any
	if f != nil {
		state, fault = types.TaskInfoStateError, types.LocalizedMethodFault{Fault: f}
	}
	ctx.Map.AtomicUpdate(ctx, task, []types.PropertyChange{
		{Name: "info.state", Val: state}, {Name: "info.result", Val: result}, {Name: "info.error", Val: fault},
	})
}

func (v *source) event() types.VmEvent {
	return types.VmEvent{Event: types.Event{Vm: &types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: v.Name}, Vm: v.Self}}}
}

func (v *source) begun(req *types.CloneVM_Task) *types.VmBeingClonedEvent {
	return &types.VmBeingClonedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: v.event()},
		DestFolder:   types.FolderEventArgument{Folder: req.Folder}, DestName: req.Name,
	}
}

func (v *source) failed(req *types.CloneVM_Task, f types.BaseMethodFault) *types.VmCloneFailedEvent {
	return &types.VmCloneFailedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: v.event()},
		DestFolder:   types.FolderEventArgument{Folder: req.Folder}, DestName: req.Name,
		Reason: types.LocalizedMethodFault{Fault: f},
	}
}

func (v *source) post(ctx *simulator.Context, e types.BaseEvent) {
	m := ctx.Map.EventManager()
	ctx.Map.WithLock(ctx, m, func() { m.PostEvent(ctx, &types.PostEvent{EventToPost: e}) })
}
