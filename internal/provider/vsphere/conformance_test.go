package vsphere

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/provider/vsphere/fakevsphere"
	"github.com/headroom-dev/headroom/internal/settings"
)

// newSettings are the fake's with changes; a change to nil removes a setting.
func newSettings(t *testing.T, s *fakevsphere.Server, change map[string]any) *Settings {
	t.Helper()
	var out Settings
	if wrong := settings.DecodeMap(settings.MergePatch(s.Settings(), change), &out, settings.Options{}); len(wrong) > 0 {
		t.Fatalf("the settings of the test are wrong: %v", wrong)
	}
	settings.ApplyDefaults(&out)
	return &out
}

// full clones with guest operations are what most people have.
func TestConformance(t *testing.T) {
	t.Parallel()
	conform(t, nil)
}

func TestConformanceLinkedGuestinfo(t *testing.T) {
	t.Parallel()
	conform(t, map[string]any{
		"clone_type": "linked", "template": nil, "source_vm": fakevsphere.SourceVM, "snapshot": fakevsphere.Snapshot,
		"script_method": "guestinfo", "guest_username": nil, "guest_password": nil, "ssh_public_key": "ssh-ed25519 AAAA",
	})
}

func TestConformanceInstant(t *testing.T) {
	t.Parallel()
	conform(t, map[string]any{"clone_type": "instant", "template": nil, "source_vm": fakevsphere.SourceVM})
}

func conform(t *testing.T, change map[string]any) {
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account { return account(t, change) }})
}

func account(t *testing.T, change map[string]any) providertest.Account {
	t.Helper()
	s := fakevsphere.New(t)
	set := newSettings(t, s, change)
	wrong := *set
	wrong.CABundle = s.OtherCA
	var skew atomic.Int64
	cloneCall := "CloneVM_Task"
	if set.CloneType == Instant {
		cloneCall = "InstantClone_Task"
	}
	kind := Kind()
	really := kind.Open
	kind.Open = func(ctx context.Context, settings any, host provider.Host) (provider.Driver, error) {
		opened, err := really(ctx, settings, host)
		if d, ok := opened.(*driver); ok {
			d.page = 2
		}
		return opened, err
	}
	refused := func(f types.BaseMethodFault) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			s.Fault(cloneCall, f)
			_, err := d.Create(t.Context(), wish(900))
			return err
		}
	}
	a := providertest.Account{
		Kind: kind, Settings: set, WrongCA: &wrong, Patience: 8 * time.Second,
		Host:    provider.Host{Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }},
		Secrets: []string{fakevsphere.Password, fakevsphere.GuestPassword},
		Foreign: func(t *testing.T) string { return foreign(t, s) },
		Exists: func(t *testing.T, id string) bool {
			m, ok := parseID(id)
			return ok && slices.ContainsFunc(s.Machines(), func(vm mo.VirtualMachine) bool { return vm.Config.InstanceUuid == m.UUID || vm.Config.Uuid == m.UUID })
		},
		Leftovers: func(t *testing.T) []string {
			var names []string
			for _, vm := range s.Machines() {
				names = append(names, vm.Name)
			}
			slices.Sort(names)
			return names
		},
		LoseCreate: func(*testing.T) { s.Lose(cloneCall) },
		LoseDelete: func(*testing.T) { s.Lose("PowerOffVM_Task") },
		BreakList: func(*testing.T) {
			s.Fault("ContinueRetrievePropertiesEx", &types.SystemError{Reason: "as the test wants it"})
		},
		Pages: 5,
		Tagged: func(t *testing.T) map[string]provider.Tags {
			all := map[string]provider.Tags{}
			for _, vm := range s.Machines() {
				var m mark
				if err := json.Unmarshal([]byte(extra(vm, guestOwnerKey)), &m); err != nil {
					t.Errorf("machine %s has no mark: %v", vm.Name, err)
				}
				all[vm.Name] = m.tags()
			}
			return all
		},
		Expire: func(*testing.T) func() {
			s.Expire(true)
			return func() {
				s.Expire(false)
				skew.Add(int64(2 * refusedFor))
			}
		},
		Hang:      func(*testing.T) { s.Hang("FindByUuid") },
		Calls:     s.Calls,
		LifeCalls: 10,
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error {
				_, err := d.Get(t.Context(), markOf(wish(901)).id())
				return err
			},
			provider.Invalid:   refused(&types.InvalidArgument{InvalidProperty: "spec.location.pool"}),
			provider.Forbidden: refused(&types.NoPermission{PrivilegeId: "Resource.AssignVMToPool"}),
			provider.Quota:     refused(&types.InsufficientMemoryResourcesFault{}),
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				s.Expire(true)
				t.Cleanup(func() { s.Expire(false); skew.Add(int64(2 * refusedFor)) })
				_, err := d.Get(t.Context(), markOf(wish(902)).id())
				return err
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				s.SetFree(fakevsphere.Datastore, 1<<30)
				t.Cleanup(func() { s.SetFree(fakevsphere.Datastore, 500<<30) })
				_, err := d.Create(t.Context(), wish(903))
				return err
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				s.Status("FindByUuid", http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}})
				_, err := d.Get(t.Context(), markOf(wish(904)).id())
				if provider.RetryAfter(err) != 7*time.Second {
					t.Errorf("the time to wait got lost: %v", provider.RetryAfter(err))
				}
				return err
			},
			provider.Conflict: func(t *testing.T, d provider.Driver) error {
				if _, err := d.Create(t.Context(), wish(905)); err != nil {
					t.Fatal(err)
				}
				id := markOf(wish(905)).id()
				isRunning(t, d, id)
				s.Fault("PowerOffVM_Task", &types.ResourceInUse{})
				var err error
				within(t, 20*time.Second, func() string {
					if err = d.Delete(t.Context(), id); err == nil {
						return "the delete is accepted: the clone has not quite ended"
					}
					return ""
				})
				return err
			},
			provider.Unavailable: func(t *testing.T, d provider.Driver) error {
				s.Status("FindByUuid", http.StatusServiceUnavailable, nil)
				_, err := d.Get(t.Context(), markOf(wish(906)).id())
				return err
			},
			provider.Unsupported: refused(&types.NotSupported{}),
		},
	}
	if set.ScriptMethod == Guestinfo {
		a.UserData = func(t *testing.T, id string) []byte {
			for _, vm := range s.Machines() {
				if m, _ := parseID(id); vm.Config.InstanceUuid != m.UUID {
					continue
				}
				if e := extra(vm, "guestinfo.userdata.encoding"); e != "base64" {
					t.Errorf("the encoding is %q", e)
				}
				b, err := base64.StdEncoding.DecodeString(extra(vm, "guestinfo.userdata"))
				if err != nil {
					t.Error(err)
				}
				return b
			}
			return nil
		}
	} else {
		a.ScriptRuns = func(t *testing.T, id string) int {
			for _, vm := range s.Machines() {
				if m, _ := parseID(id); vm.Config.InstanceUuid == m.UUID || vm.Config.Uuid == m.UUID {
					return s.ScriptRuns(vm.Self)
				}
			}
			t.Error("there is no machine " + id)
			return 0
		}
	}
	return a
}

func extra(vm mo.VirtualMachine, key string) string {
	for _, o := range vm.Config.ExtraConfig {
		if v := o.GetOptionValue(); v.Key == key {
			text, _ := v.Value.(string)
			return text
		}
	}
	return ""
}

// foreign makes a machine as people do, by cloning one of ours if there is one:
// it bears the marks of another machine then.
func foreign(t *testing.T, s *fakevsphere.Server) string {
	t.Helper()
	ctx := t.Context()
	ref, err := object.NewSearchIndex(s.Admin()).FindByInventoryPath(ctx, "/DC0/vm/"+fakevsphere.SourceVM)
	if err != nil || ref == nil {
		t.Fatal(err)
	}
	folder, err := object.NewSearchIndex(s.Admin()).FindByInventoryPath(ctx, "/DC0/vm/"+fakevsphere.Folder)
	if err != nil || folder == nil {
		t.Fatal(err)
	}
	copied := markOf(wish(7))
	copied.UUID = "0d5b0fd2-2d0a-4b8e-9a2d-0123456789ab"
	task, err := object.NewVirtualMachine(s.Admin(), ref.Reference()).Clone(ctx, object.NewFolder(s.Admin(), folder.Reference()), "somebodys", types.VirtualMachineCloneSpec{
		PowerOn: true,
		Config:  &types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: ownerKey, Value: copied.text()}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, vm := range s.Machines() {
		if vm.Self == info.Result {
			return mark{Name: "somebodys", UUID: strings.ToLower(vm.Config.InstanceUuid)}.id()
		}
	}
	t.Fatal("the foreign machine is not to be seen")
	return ""
}

func wish(n int) provider.Request {
	server := fmt.Sprintf("01jserver%04d", n)
	return provider.Request{
		Token: "token-" + server, Name: "hr-" + fmt.Sprint(n),
		Tags:      provider.Tags{Installation: "01jconformance1", Provider: "cloud-a", Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
	}
}

// within waits until look says nothing.
func within(t *testing.T, limit time.Duration, look func() string) {
	t.Helper()
	providertest.Eventually(t, limit, look)
}

func isRunning(t *testing.T, d provider.Driver, id string) provider.Instance {
	t.Helper()
	var i provider.Instance
	within(t, 20*time.Second, func() string {
		var err error
		if i, err = d.Get(t.Context(), id); err != nil || i.State != provider.StateRunning {
			return fmt.Sprintf("%s is %s (%s), %v", id, i.State, i.Fault, err)
		}
		return ""
	})
	return i
}
