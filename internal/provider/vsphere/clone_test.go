package vsphere

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/vsphere/fakevsphere"
)

// newDriver is a driver for a new vCenter server; ahead is added to its clock.
func newDriver(t *testing.T, change map[string]any) (*driver, *fakevsphere.Server) {
	t.Helper()
	s := fakevsphere.New(t)
	d, err := open(t.Context(), *newSettings(t, s, change), provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d, s
}

func linked() map[string]any {
	return map[string]any{"clone_type": "linked", "template": nil, "source_vm": fakevsphere.SourceVM, "snapshot": fakevsphere.Snapshot}
}

func option(all []types.BaseOptionValue, key string) string {
	for _, o := range all {
		if v := o.GetOptionValue(); v.Key == key {
			text, _ := v.Value.(string)
			return text
		}
	}
	return ""
}

// The simulator ignores much of a clone request, so the request is looked at.
func TestFullCloneRequest(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, map[string]any{"resource_pool": fakevsphere.ResourcePool, "cpus": 4, "memory": "8Gi", "network": fakevsphere.Network})
	req := wish(1)
	req.Shape = fleet.Resources{MemoryMiB: 4096} // an override goes before the settings
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	got := s.Clones()[0]
	p := d.link.current.places
	loc, config := got.Spec.Location, got.Spec.Config
	if got.Name != "hr-1" || got.Folder != p.folder || loc.Pool == nil || *loc.Pool != *p.pool || loc.Datastore == nil || *loc.Datastore != *p.datastore {
		t.Errorf("the clone goes to %+v as %s in %v", loc, got.Name, got.Folder)
	}
	if !got.Spec.PowerOn || got.Spec.Template || got.Spec.Snapshot != nil || loc.DiskMoveType != "" {
		t.Errorf("the clone is no full one that is switched on: %+v", got.Spec)
	}
	if config.NumCPUs != 4 || config.MemoryMB != 4096 || config.InstanceUuid != markOf(req).UUID || !strings.Contains(config.Annotation, "01jserver0001") {
		t.Errorf("the machine is to be %+v", config)
	}
	if i.State != provider.StatePending || i.Capacity != (fleet.Resources{Cores: 4000, MemoryMiB: 4096}) {
		t.Errorf("the answer is %+v", i)
	}
	for _, key := range []string{ownerKey, guestOwnerKey} {
		var m mark
		if err := json.Unmarshal([]byte(option(config.ExtraConfig, key)), &m); err != nil || m != markOf(req) {
			t.Errorf("%s says %+v: %v", key, m, err)
		}
	}
	if option(config.ExtraConfig, "guestinfo.userdata") != "" {
		t.Error("user data is given although the script is run by VMware Tools")
	}
	if len(loc.DeviceChange) != 1 {
		t.Fatalf("the network card is not changed: %+v", loc.DeviceChange)
	}
	card := loc.DeviceChange[0].GetVirtualDeviceConfigSpec()
	backing, ok := card.Device.GetVirtualDevice().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
	if card.Operation != types.VirtualDeviceConfigSpecOperationEdit || !ok || backing.Port.PortgroupKey == "" {
		t.Errorf("the network card becomes %+v", card)
	}
	isRunning(t, d, i.ID)
}

func TestLinkedCloneRequest(t *testing.T) {
	t.Parallel()
	change := linked()
	change["script_method"], change["guest_username"], change["guest_password"] = "guestinfo", nil, nil
	change["ssh_public_key"], change["cluster"], change["datastore"] = "ssh-ed25519 AAAA", nil, nil
	d, s := newDriver(t, change)
	if _, err := d.Create(t.Context(), wish(1)); err != nil {
		t.Fatal(err)
	}
	got := s.Clones()[0].Spec
	if got.Snapshot == nil || got.Location.DiskMoveType != "createNewChildDiskBacking" {
		t.Errorf("the clone shares no disks: %+v", got)
	}
	if got.Location.Pool != nil || got.Location.Datastore != nil {
		t.Errorf("without cluster and datastore the clone stays where its source is, not %+v", got.Location)
	}
	want := map[string]string{"instance-id": markOf(wish(1)).UUID, "local-hostname": "hr-1", "public-keys-data": "ssh-ed25519 AAAA"}
	var meta map[string]string
	text, err := base64.StdEncoding.DecodeString(option(got.Config.ExtraConfig, "guestinfo.metadata"))
	if err != nil || json.Unmarshal(text, &meta) != nil {
		t.Fatalf("metadata %q: %v", text, err)
	}
	if diff := cmp.Diff(want, meta); diff != "" {
		t.Error(diff)
	}
	user, err := base64.StdEncoding.DecodeString(option(got.Config.ExtraConfig, "guestinfo.userdata"))
	if err != nil || string(user) != string(wish(1).Bootstrap.UserData) {
		t.Errorf("user data %q: %v", user, err)
	}
}

func TestInstantCloneRequest(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, map[string]any{"clone_type": "instant", "template": nil, "source_vm": fakevsphere.SourceVM})
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	got := s.InstantClones()[0].Spec
	if got.Name != "hr-1" || got.BiosUuid != markOf(wish(1)).UUID || got.Location.Folder == nil || *got.Location.Folder != d.link.current.places.folder {
		t.Errorf("the instant clone is to be %+v", got)
	}
	if option(got.Config, guestOwnerKey) == "" || option(got.Config, ownerKey) != "" {
		t.Errorf("an instant clone takes values of its guest only: %+v", got.Config)
	}
	if got := isRunning(t, d, i.ID); got.Tags != wish(1).Tags {
		t.Errorf("tags: %+v", got.Tags)
	}
	req := wish(2)
	req.Shape = fleet.Resources{Cores: 1000}
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("an instant clone of another size: %v", err)
	}
}

func TestDatastoreCluster(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, map[string]any{"datastore": fakevsphere.DatastoreCluster, "datastore_cluster": true})
	name := func(n int) string {
		t.Helper()
		o, err := d.link.current.readOrigin(t.Context(), d.link.current.places)
		if err != nil {
			t.Fatal(err)
		}
		for _, ds := range o.datastores {
			if ref := s.Clones()[n].Spec.Location.Datastore; ref != nil && ds.Self == *ref {
				return ds.Name
			}
		}
		return ""
	}
	s.SetStorageDRS(false)
	s.SetFree("LocalDS_1", 300<<30)
	if _, err := d.Create(t.Context(), wish(1)); err != nil {
		t.Fatal(err)
	}
	if got := name(0); got != "LocalDS_2" {
		t.Errorf("the clone goes to %q, LocalDS_2 has most free space", got)
	}
	s.SetFree("LocalDS_2", 1<<30)
	if _, err := d.Create(t.Context(), wish(2)); err != nil {
		t.Fatal(err)
	}
	if got := name(1); got != "LocalDS_1" {
		t.Errorf("the clone goes to %q, only LocalDS_1 has room", got)
	}
	s.SetStorageDRS(true)
	from := s.Calls()
	if _, err := d.Create(t.Context(), wish(3)); err != nil {
		t.Fatal(err)
	}
	if cost := s.Calls() - from; cost != 5 {
		t.Errorf("a create with Storage DRS costs %d calls, the page says 5", cost)
	}
	if got := name(2); got != "LocalDS_1" {
		t.Errorf("with Storage DRS the clone goes to %q", got)
	}
	s.SetFree("LocalDS_1", 1<<30)
	if _, err := d.Create(t.Context(), wish(4)); provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "1.0 GiB free of 1024.0 GiB") {
		t.Errorf("a create in a full datastore cluster: %v", err)
	}
	if n := len(s.Clones()); n != 3 {
		t.Errorf("%d clones were asked for", n)
	}
}

// The space that clones under way will take is not free.
func TestSpaceOfClonesUnderWay(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	s.SetFree(fakevsphere.Datastore, (103+31)<<30) // 102.4 GiB of reserve, and room for three clones of 10 GiB
	s.HoldClones()
	for n := range 3 {
		if _, err := d.Create(t.Context(), wish(n)); err != nil {
			t.Fatalf("clone %d: %v", n, err)
		}
	}
	_, err := d.Create(t.Context(), wish(3))
	if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "3 clones under way need 30.") {
		t.Errorf("a fourth clone: %v", err)
	}
	s.ReleaseClones(nil)
}

func TestSourceThatCannotBeCloned(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change map[string]any
		says   string
	}{
		"no such template":     {map[string]any{"template": "nothing"}, "template: there is no virtual machine or template at /DC0/vm/nothing"},
		"a running template":   {map[string]any{"template": fakevsphere.SourceVM}, "neither a template nor switched off"},
		"no such snapshot":     {map[string]any{"clone_type": "linked", "template": nil, "source_vm": fakevsphere.SourceVM, "snapshot": "x"}, "has no snapshot x, it has: base"},
		"a source that sleeps": {map[string]any{"clone_type": "instant", "template": nil, "source_vm": fakevsphere.Template}, "does not run"},
		"a folder for a name":  {map[string]any{"template": fakevsphere.Folder}, "is a Folder, not a virtual machine"},
		"a datastore cluster":  {map[string]any{"datastore": fakevsphere.DatastoreCluster}, "set datastore_cluster to true"},
		"a plain datastore":    {map[string]any{"datastore_cluster": true}, "set datastore_cluster to false"},
		"no such network":      {map[string]any{"network": "nowhere"}, "network: there is no network or port group at /DC0/network/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := newDriver(t, tt.change)
			if _, err := d.Create(t.Context(), wish(1)); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("create answered %v, expected invalid with %q", err, tt.says)
			}
			if len(s.Clones()) > 0 || len(s.Machines()) > 0 {
				t.Error("something was made")
			}
			r, err := d.Check(t.Context())
			if err != nil || r.OK() || !slices.ContainsFunc(r.Findings, func(f provider.Finding) bool {
				return strings.Contains(f.Message, strings.TrimSpace(tt.says[strings.Index(tt.says, ":")+1:]))
			}) {
				t.Errorf("the check does not say it: %+v, %v", r, err)
			}
		})
	}
}
