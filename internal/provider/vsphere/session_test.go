package vsphere

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/vsphere/fakevsphere"
)

// vCenter limits sessions: one serves all calls, one that has ended is replaced
// by one, and none is left when the driver is closed.
func TestSessions(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	list := func() {
		t.Helper()
		for _, err := range d.List(t.Context(), wish(1).Tags.Owner()) {
			if err != nil {
				t.Errorf("list: %v", err)
			}
		}
	}
	if s.Calls() != 0 {
		t.Error("opening a driver makes calls")
	}
	i, err := d.Create(t.Context(), wish(1))
	if err != nil {
		t.Fatal(err)
	}
	isRunning(t, d, i.ID)
	list()
	list()
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins, one is enough", n)
	}
	s.EndSessions()
	list()
	if _, err := d.Get(t.Context(), i.ID); err != nil {
		t.Error(err)
	}
	if n := s.Logins(); n != 2 {
		t.Errorf("%d logins after the session has ended, expected one more", n)
	}
	if err := d.Close(t.Context()); err != nil || s.Logouts() != 1 {
		t.Errorf("close: %v, %d logouts", err, s.Logouts())
	}
	if err := d.Close(t.Context()); err != nil || s.Logouts() != 1 {
		t.Errorf("close of a closed driver: %v, %d logouts", err, s.Logouts())
	}
	list() // a call that comes late logs in again
}

// vCenter locks an account after some failures: a refused login is not repeated
// by every call.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	s := fakevsphere.New(t)
	var skew atomic.Int64
	set := newSettings(t, s, map[string]any{"password": "another"})
	d, err := open(t.Context(), *set, provider.Host{Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	try := func() {
		t.Helper()
		_, err := d.Get(t.Context(), markOf(wish(1)).id())
		if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "does not accept the user name or the password") {
			t.Errorf("a wrong password: %v", err)
		}
	}
	for range 5 {
		try()
	}
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins in a moment", n)
	}
	skew.Store(int64(refusedFor))
	try()
	if n := s.Logins(); n != 2 {
		t.Errorf("%d logins after a minute", n)
	}
}

func TestThumbprint(t *testing.T) {
	t.Parallel()
	s := fakevsphere.New(t)
	get := func(change map[string]any) error {
		t.Helper()
		d, err := open(t.Context(), *newSettings(t, s, change), provider.Host{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Get(t.Context(), markOf(wish(1)).id())
		return err
	}
	for _, pin := range []string{s.SHA256, strings.ToLower(strings.ReplaceAll(s.SHA256, ":", ""))} {
		if err := get(map[string]any{"ca_bundle": nil, "thumbprint": pin}); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("the right fingerprint %s: %v", pin, err)
		}
	}
	err := get(map[string]any{"ca_bundle": nil, "thumbprint": strings.Repeat("00:", 31) + "00"})
	if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), s.SHA256) {
		t.Errorf("a wrong fingerprint: %v, expected the right one named", err)
	}
	if err := get(map[string]any{"ca_bundle": nil}); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "ca_bundle") {
		t.Errorf("without the authority: %v", err)
	}
	if s.Logins() != 2 {
		t.Errorf("the password was sent %d times, expected to the verified server only", s.Logins())
	}
}

// What is wrong with the way to vCenter reads differently from an outage.
func TestNoWayToVCenter(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	ask := func() error {
		_, err := d.Get(t.Context(), markOf(wish(1)).id())
		return err
	}
	s.Status("RetrieveServiceContent", http.StatusNotFound, nil)
	if err := ask(); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "is it a vCenter server") {
		t.Errorf("something else than vCenter: %v", err)
	}
	s.Status("RetrieveServiceContent", http.StatusServiceUnavailable, nil)
	if err := ask(); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("vCenter that starts: %v", err)
	}
	if err := ask(); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("vCenter that is up again: %v", err)
	}
	set := d.settings
	set.Port = 1
	closed, err := open(t.Context(), set, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Get(t.Context(), markOf(wish(1)).id()); provider.ClassOf(err) != provider.Unavailable || !strings.Contains(err.Error(), "nothing listens") {
		t.Errorf("a wrong port: %v", err)
	}
}

// A machine that somebody made by cloning ours has our marks and another UUID.
func TestCopiedMarks(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	foreign(t, s)
	for i, err := range d.List(t.Context(), wish(7).Tags.Owner()) {
		t.Errorf("a copy is taken for ours: %+v, %v", i, err)
	}
}

// One listing reads all machines of the folder; marks that may not be read make
// it incomplete.
func TestListing(t *testing.T) {
	t.Parallel()
	d, s := newDriver(t, nil)
	for n := range 3 {
		i, err := d.Create(t.Context(), wish(n))
		if err != nil {
			t.Fatal(err)
		}
		isRunning(t, d, i.ID)
	}
	count := func() (int64, int, error) {
		from, n := s.Calls(), 0
		for _, err := range d.List(t.Context(), wish(1).Tags.Owner()) {
			if err != nil {
				return s.Calls() - from, n, err
			}
			n++
		}
		return s.Calls() - from, n, nil
	}
	if _, n, err := count(); n != 3 || err != nil {
		t.Errorf("%d machines, %v", n, err)
	}
	if cost, n, err := count(); cost != 1 || n != 3 || err != nil {
		t.Errorf("a listing of 3 machines costs %d calls, shows %d: %v", cost, n, err)
	}
	s.Fault("RetrievePropertiesEx", &types.NoPermission{PrivilegeId: "System.Read"})
	if _, _, err := count(); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("a listing that is not allowed: %v", err)
	}
}
