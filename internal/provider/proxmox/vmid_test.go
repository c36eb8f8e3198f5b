package proxmox

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

// TestLostRace: two controllers clone to one VMID at a moment; the cluster
// accepts both calls and one task fails.
func TestLostRace(t *testing.T) {
	t.Parallel()
	var late atomic.Bool
	began := time.Now()
	s := newSite(t, func(o *fakeproxmox.Options) {
		o.CloneDelay = time.Minute
		o.Now = func() time.Time {
			if late.Load() {
				return began.Add(2 * time.Minute)
			}
			return began
		}
	})
	change := func(c *Settings) { c.VMIDRange = "1000-1000" }
	a, b := s.driver(t, change), s.driver(t, change)
	first, err := a.Create(t.Context(), request("01jfirst"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Create(t.Context(), request("01jsecond"))
	if err != nil || strings.Split(second.ID, "-")[0] != "1000" || second.ID == first.ID {
		t.Fatalf("the race did not happen: %s and %s, %v", first.ID, second.ID, err)
	}
	late.Store(true)
	until(t, func() string {
		if i := list(t, a)[first.ID]; i.State != provider.StateRunning {
			return "the first is " + string(i.State)
		}
		return ""
	})
	if _, err := b.Get(t.Context(), second.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("get of the loser: %v", err)
	}
	if err := b.Delete(t.Context(), second.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of the loser: %v", err)
	}
	if v := vmOf(t, s, first); v.Status != "running" {
		t.Errorf("the winner is %s", v.Status)
	}
}

// TestTightRange fills a range to its last VMID from several controllers at
// once.
func TestTightRange(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, id := range []int{1002, 1005} {
		s.AddVM(id, "other", "pve1", nil)
	}
	drivers := []provider.Driver{}
	for range 3 {
		drivers = append(drivers, s.driver(t, func(c *Settings) { c.VMIDRange = "1000-1009" }))
	}
	ids := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			server := fmt.Sprintf("01jtight%d", n)
			until(t, func() string {
				i, err := drivers[n%3].Create(t.Context(), request(server))
				if err != nil {
					return err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				ids[i.ID] = server
				return ""
			})
		})
	}
	wg.Wait()
	until(t, func() string {
		if all := list(t, drivers[0]); len(all) != 8 {
			return fmt.Sprintf("the listing shows %d machines of 8 (%v)", len(all), ids)
		}
		return ""
	})
	_, err := drivers[0].Create(t.Context(), request("01jtoo-many"))
	if provider.ClassOf(err) != provider.Quota || !strings.Contains(err.Error(), "1000-1009") {
		t.Errorf("create in a full range: %v", err)
	}
	if v := s.VMs()[1002]; v.Config["name"] != "other" || v.Config["tags"] != "" {
		t.Errorf("the stranger is %+v", v)
	}
}

// TestKilledBetweenCalls: a new controller goes on wherever the old one was
// killed, and finds one machine.
func TestKilledBetweenCalls(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		listCall, "GET /access/permissions", cloneCall, "GET /nodes/{node}/qemu/{vmid}/config", configCall,
		"POST /nodes/{node}/qemu/{vmid}/status/start", "GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(o *fakeproxmox.Options) { o.CloneTime = 30 * time.Millisecond })
			s.Inject(call, fakeproxmox.Fault{Lost: true})
			_, err := s.driver(t, nil).Create(t.Context(), request("01jkilled"))
			if err != nil && provider.ClassOf(err).MadeNothing() && call == cloneCall {
				t.Errorf("the lost clone call: %v", err)
			}
			for range s.driver(t, nil).List(t.Context(), testOwner) { //nolint:revive // the fault may hit here
			}
			i := running(t, s.driver(t, nil), "01jkilled")
			if n := len(s.VMs()); n != 2 {
				t.Errorf("there are %d virtual machines, the template included", n)
			}
			d := s.driver(t, nil)
			until(t, func() string {
				if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
					return fmt.Sprint(err)
				}
				return ""
			})
		})
	}
}
