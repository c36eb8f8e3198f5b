package nutanix

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
)

// untilV4 looks at the machine until ok is content.
func untilV4(t *testing.T, d provider.Driver, id string, ok func(provider.Instance, error) bool) provider.Instance {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(20 * time.Second)
	defer over.Stop()
	for {
		i, err := d.Get(t.Context(), id)
		if ok(i, err) {
			return i
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("in the end: %+v, %v", i, err)
		}
	}
}

func is(want provider.State) func(provider.Instance, error) bool {
	return func(i provider.Instance, err error) bool { return err == nil && i.State == want }
}

func createV4(t *testing.T, d provider.Driver, req provider.Request) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func goneV4(t *testing.T, s *fake4.Server, d provider.Driver, id string) {
	t.Helper()
	untilV4(t, d, id, func(provider.Instance, error) bool { return isNotFound(d.Delete(t.Context(), id)) })
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, ok := s.Find("", fake4.ID("golden")); !ok {
		t.Fatal("what machines are cloned from is gone")
	}
}

func listedV4(t *testing.T, d *driver4) map[string]provider.Instance {
	t.Helper()
	all := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), owner()) {
		if err != nil {
			t.Fatal(err)
		}
		all[i.ID] = i
	}
	return all
}

func laterV4(d *driver4, by time.Duration) *driver4 {
	now := func() time.Time { return time.Now().Add(by) }
	return &driver4{settings: d.settings, api: &api4{d.api.connection, now}, now: now}
}
