package vsphere

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// origin is the machine or template that is cloned, as it is now.
type origin struct {
	vm         mo.VirtualMachine
	tasks      []types.TaskInfo // its recent clone tasks
	datastores []mo.Datastore   // those that may take the clone
	pod        *mo.StoragePod
}

// readOrigin reads with one call all that a clone depends on: the source with
// its recent tasks, and the datastores.
func (s *session) readOrigin(ctx context.Context, p *places) (origin, error) {
	toTasks := &types.TraversalSpec{Type: "VirtualMachine", Path: "recentTask"}
	source := types.ObjectSpec{Obj: p.source, SelectSet: []types.BaseSelectionSpec{toTasks}}
	objects := []types.ObjectSpec{source}
	switch {
	case p.pod != nil:
		objects = append(objects, types.ObjectSpec{
			Obj: *p.pod, SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "Folder", Path: "childEntity"}},
		})
	case p.datastore != nil:
		objects = append(objects, types.ObjectSpec{Obj: *p.datastore})
	default:
		source.SelectSet = append(source.SelectSet, &types.TraversalSpec{Type: "VirtualMachine", Path: "datastore"})
		objects[0] = source
	}
	all, err := s.read(ctx, types.PropertyFilterSpec{
		ObjectSet: objects,
		PropSet: []types.PropertySpec{
			{Type: "VirtualMachine", PathSet: []string{
				"name", "config.template", "config.hardware", "config.files.vmPathName", "snapshot", "summary.storage", "runtime.powerState", "runtime.connectionState",
			}},
			{Type: "Task", PathSet: []string{"info"}},
			{Type: "Datastore", PathSet: []string{"name", "summary"}},
			{Type: "StoragePod", PathSet: []string{"name", "podStorageDrsEntry"}},
		},
	})
	if err != nil {
		return origin{}, err
	}
	var o origin
	for _, content := range all {
		switch content.Obj.Type {
		case "VirtualMachine":
			err = load(content, &o.vm)
		case "Task":
			var t mo.Task
			if err = load(content, &t); isClone(t.Info) {
				o.tasks = append(o.tasks, t.Info)
			}
		case "Datastore":
			var ds mo.Datastore
			err = load(content, &ds)
			o.datastores = append(o.datastores, ds)
		case "StoragePod":
			o.pod = &mo.StoragePod{}
			err = load(content, o.pod)
		}
		if err != nil {
			return origin{}, err
		}
	}
	if p.pod == nil && p.datastore == nil {
		o.datastores = slices.DeleteFunc(o.datastores, func(ds mo.Datastore) bool { return !o.livesOn(ds) })
	}
	return o, nil
}

// livesOn says that the datastore holds the source's configuration, and so
// would hold that of a clone without a datastore of its own.
func (o origin) livesOn(ds mo.Datastore) bool {
	var path object.DatastorePath
	return o.vm.Config != nil && path.FromString(o.vm.Config.Files.VmPathName) && path.Datastore == ds.Name
}

func isClone(t types.TaskInfo) bool {
	id := strings.ToLower(t.DescriptionId)
	return strings.HasPrefix(id, "virtualmachine.") && strings.Contains(id, "clone")
}

func unfinished(t types.TaskInfo) bool {
	return t.State == types.TaskInfoStateQueued || t.State == types.TaskInfoStateRunning
}

// need is how many bytes a clone takes at once: its disks as the source fills
// them now, unless it shares them, and a swap file as large as its memory.
func (d *driver) need(o origin, shape fleet.Resources) int64 {
	memory := shape.MemoryMiB
	if memory == 0 && o.vm.Config != nil {
		memory = int64(o.vm.Config.Hardware.MemoryMB)
	}
	need := memory << 20
	if d.settings.CloneType.or() == Full && o.vm.Summary.Storage != nil {
		need += o.vm.Summary.Storage.Committed
	}
	return need
}

// guard refuses a clone that would leave less than the reserve on a datastore.
// Clones of the same source that are under way count as if they had not begun
// to write.
func (d *driver) guard(ds mo.Datastore, o origin, shape fleet.Resources) error {
	sum := ds.Summary
	switch {
	case !sum.Accessible:
		return provider.Errorf(provider.Unavailable, "datastore %s is not accessible", ds.Name)
	case sum.MaintenanceMode != "" && sum.MaintenanceMode != string(types.DatastoreSummaryMaintenanceModeStateNormal):
		return provider.Errorf(provider.NoCapacity, "datastore %s is in maintenance mode", ds.Name)
	}
	running := int64(0)
	for _, t := range o.tasks {
		if unfinished(t) {
			running++
		}
	}
	need := d.need(o, shape)
	share := fleet.Or(d.settings.DatastoreReserve, 10)
	reserve := sum.Capacity / 100 * share
	if left := sum.FreeSpace - need*(running+1); left < reserve {
		also := ""
		if running > 0 {
			also = fmt.Sprintf(", %d clones under way need %s", running, gib(need*running))
		}
		return provider.Errorf(provider.NoCapacity,
			"datastore %s has %s free of %s: the clone needs %s%s, and %d %% (%s) must stay free; free some space or lower datastore_reserve",
			ds.Name, gib(sum.FreeSpace), gib(sum.Capacity), gib(need), also, share, gib(reserve))
	}
	return nil
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

// snapshotOf finds a snapshot by its name.
func (o origin) snapshotOf(name string) (*types.ManagedObjectReference, error) {
	var found []types.ManagedObjectReference
	var names []string
	var walk func([]types.VirtualMachineSnapshotTree)
	walk = func(all []types.VirtualMachineSnapshotTree) {
		for _, t := range all {
			names = append(names, t.Name)
			if t.Name == name {
				found = append(found, t.Snapshot)
			}
			walk(t.ChildSnapshotList)
		}
	}
	if o.vm.Snapshot != nil {
		walk(o.vm.Snapshot.RootSnapshotList)
	}
	switch {
	case len(found) == 1:
		return &found[0], nil
	case len(found) > 1:
		return nil, provider.Errorf(provider.Invalid, "snapshot: source_vm %s has %d snapshots called %s: give one of them another name", o.vm.Name, len(found), name)
	case len(names) == 0:
		return nil, provider.Errorf(provider.Invalid, "snapshot: source_vm %s has no snapshots: take one called %s", o.vm.Name, name)
	}
	return nil, provider.Errorf(provider.Invalid, "snapshot: source_vm %s has no snapshot %s, it has: %s", o.vm.Name, name, strings.Join(names, ", "))
}

// fit finds what hinders cloning of the source as the settings say.
func (d *driver) fit(o origin) error {
	path, setting := d.settings.source()
	if o.vm.Config == nil {
		return provider.Errorf(provider.Unavailable, "%s: vCenter does not tell the configuration of %s: it is %s", setting, path, o.vm.Runtime.ConnectionState)
	}
	switch d.settings.CloneType.or() {
	case Full:
		if !o.vm.Config.Template && o.vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
			return provider.Errorf(provider.Invalid, "template: %s is neither a template nor switched off: convert it to a template", path)
		}
	case Linked:
		if _, err := o.snapshotOf(d.settings.Snapshot); err != nil {
			return err
		}
	case Instant:
		if o.vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
			return provider.Errorf(provider.Invalid, "source_vm: %s does not run: instant clones are forked from a machine that runs; switch it on", path)
		}
	}
	if d.settings.Network != "" && o.card() == nil {
		return provider.Errorf(provider.Invalid, "network: %s has no network card that could be connected: add one to it", path)
	}
	return nil
}

func (o origin) card() types.BaseVirtualDevice {
	if o.vm.Config == nil {
		return nil
	}
	cards := object.VirtualDeviceList(o.vm.Config.Hardware.Device).SelectByType((*types.VirtualEthernetCard)(nil))
	if len(cards) == 0 {
		return nil
	}
	return cards[0]
}

// location is where the clone goes, and to which network it is connected.
func (d *driver) location(p *places, o origin) types.VirtualMachineRelocateSpec {
	loc := types.VirtualMachineRelocateSpec{Pool: p.pool, Datastore: p.datastore}
	if card := o.card(); p.backing != nil && card != nil {
		card.GetVirtualDevice().Backing = p.backing
		if eth, ok := card.(types.BaseVirtualEthernetCard); ok {
			e := eth.GetVirtualEthernetCard()
			e.MacAddress, e.AddressType = "", string(types.VirtualEthernetCardMacTypeGenerated)
		}
		loc.DeviceChange = []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: card,
		}}
	}
	return loc
}

// cloneSpec is what vCenter is asked for.
func (d *driver) cloneSpec(req provider.Request, m mark, p *places, o origin) (types.VirtualMachineCloneSpec, error) {
	shape := d.settings.shape(req.Shape)
	spec := types.VirtualMachineCloneSpec{
		Location: d.location(p, o),
		PowerOn:  true,
		Config: &types.VirtualMachineConfigSpec{
			InstanceUuid: m.UUID,
			Annotation:   "Made and removed by Headroom, provider " + m.Provider + ", server " + m.Server + ". Do not clone it, take its template.",
			NumCPUs:      int32(shape.Cores / fleet.Core), //nolint:gosec // at most 768 by the rule of the setting
			MemoryMB:     shape.MemoryMiB,
			ExtraConfig:  d.extraConfig(m, req),
		},
	}
	if d.settings.CloneType == Linked {
		ref, err := o.snapshotOf(d.settings.Snapshot)
		if err != nil {
			return spec, err
		}
		spec.Snapshot = ref
		spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	}
	return spec, nil
}

func (d *driver) instantSpec(req provider.Request, m mark, p *places, o origin) types.VirtualMachineInstantCloneSpec {
	spec := types.VirtualMachineInstantCloneSpec{Name: m.Name, Location: d.location(p, o), Config: d.extraConfig(m, req), BiosUuid: m.UUID}
	spec.Location.Folder = &p.folder
	return spec
}

// checkShape refuses sizes that vSphere cannot give.
func (d *driver) checkShape(shape fleet.Resources) error {
	switch {
	case d.settings.CloneType == Instant && shape != (fleet.Resources{}):
		return provider.Errorf(provider.Invalid, "an instant clone has the size of its source_vm: remove the overrides of cores and memory from the autoscale config")
	case shape.Cores%fleet.Core != 0:
		return provider.Errorf(provider.Invalid, "vSphere gives whole CPUs only, not %s", shape.Cores)
	case shape.MemoryMiB%4 != 0:
		return provider.Errorf(provider.Invalid, "vSphere gives memory in steps of 4 MiB only, not %d MiB", shape.MemoryMiB)
	case shape.GPUs != 0:
		return provider.Errorf(provider.Invalid, "GPUs are part of the template on vSphere: remove the override of GPUs from the autoscale config")
	}
	return nil
}

// begin starts the clone and answers its task.
func (d *driver) begin(ctx context.Context, s *session, req provider.Request, m mark, p *places, o origin) (types.ManagedObjectReference, error) {
	if d.settings.CloneType == Instant {
		if err := d.guardAny(o, req.Shape); err != nil {
			return types.ManagedObjectReference{}, err
		}
		resp, err := methods.InstantClone_Task(ctx, s.client, &types.InstantClone_Task{This: p.source, Spec: d.instantSpec(req, m, p, o)})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return resp.Returnval, nil
	}
	spec, err := d.cloneSpec(req, m, p, o)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	if p.pod != nil {
		ref, err := d.pickMember(ctx, s, m, p, o, spec, req.Shape)
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		spec.Location.Datastore = ref
	} else if err := d.guardAny(o, req.Shape); err != nil {
		return types.ManagedObjectReference{}, err
	}
	resp, err := methods.CloneVM_Task(ctx, s.client, &types.CloneVM_Task{This: p.source, Folder: p.folder, Name: m.Name, Spec: spec})
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	return resp.Returnval, nil
}

// guardAny guards the only datastore in question.
func (d *driver) guardAny(o origin, override fleet.Resources) error {
	for _, ds := range o.datastores {
		if err := d.guard(ds, o, d.settings.shape(override)); err != nil {
			return err
		}
	}
	return nil
}

// pickMember chooses the member of a datastore cluster.
func (d *driver) pickMember(ctx context.Context, s *session, m mark, p *places, o origin, spec types.VirtualMachineCloneSpec, override fleet.Resources) (*types.ManagedObjectReference, error) {
	shape := d.settings.shape(override)
	if len(o.datastores) == 0 {
		return nil, provider.Errorf(provider.Invalid, "datastore: the datastore cluster %s has no datastores that the account can see", d.settings.Datastore)
	}
	if o.pod == nil || !drsEnabled(*o.pod) {
		best := slices.MaxFunc(o.datastores, func(a, b mo.Datastore) int { return cmp.Compare(usable(a), usable(b)) })
		return &best.Self, d.guard(best, o, shape)
	}
	resp, err := methods.RecommendDatastores(ctx, s.client, &types.RecommendDatastores{
		This: *s.client.ServiceContent.StorageResourceManager,
		StorageSpec: types.StoragePlacementSpec{
			Type: string(types.StoragePlacementSpecPlacementTypeClone),
			Vm:   &p.source, Folder: &p.folder, ResourcePool: p.pool, CloneName: m.Name, CloneSpec: &spec,
			PodSelectionSpec: types.StorageDrsPodSelectionSpec{
				StoragePod:      p.pod,
				InitialVmConfig: []types.VmPodConfigForPlacement{{StoragePod: *p.pod}},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("asking Storage DRS for a datastore: %w", err)
	}
	var full error
	for _, r := range resp.Returnval.Recommendations {
		for _, a := range r.Action {
			place, ok := a.(*types.StoragePlacementAction)
			if !ok {
				continue
			}
			i := slices.IndexFunc(o.datastores, func(ds mo.Datastore) bool { return ds.Self == place.Destination })
			if i < 0 {
				continue // it joined the cluster a moment ago; the next create sees it
			}
			err := d.guard(o.datastores[i], o, shape)
			if err == nil {
				return &o.datastores[i].Self, nil
			}
			full = cmp.Or(full, err)
		}
	}
	if full != nil {
		return nil, full
	}
	return nil, provider.Errorf(provider.NoCapacity, "Storage DRS recommends no datastore of the cluster %s for the clone", d.settings.Datastore)
}

// usable is the free space of a datastore, none where clones cannot go.
func usable(ds mo.Datastore) int64 {
	if !ds.Summary.Accessible || ds.Summary.MaintenanceMode != string(types.DatastoreSummaryMaintenanceModeStateNormal) && ds.Summary.MaintenanceMode != "" {
		return -1
	}
	return ds.Summary.FreeSpace
}

func drsEnabled(p mo.StoragePod) bool {
	return p.PodStorageDrsEntry != nil && p.PodStorageDrsEntry.StorageDrsConfig.PodConfig.Enabled
}
