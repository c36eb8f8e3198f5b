package nutanix

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

// A listing does not page through what others run on the Prism Central, and it
// still finds a machine that somebody has renamed.
func TestListingAmongOthers(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{PageLength: 5})
	d := driverOf(t, settingsOf(s))
	for range 50 {
		s.AddVM("somebody's")
	}
	first := create(t, d, wish("first")).ID
	create(t, d, wish("second"))
	before := s.Calls()
	if all := listed(t, d); len(all) != 2 || s.Calls()-before != 2 {
		t.Errorf("a listing shows %d machines for %d requests, expected 2 for 2", len(all), s.Calls()-before)
	}
	s.Rename(first, "Ann's favourite")
	if all := listed(t, later(d, grace)); len(all) != 2 || all[first].Name != fleet.ServerName("first") {
		t.Errorf("after a machine was renamed, the listing shows %v", all)
	}
	if left := remnantsOf(t, d); len(left) != 0 {
		t.Errorf("the mark of a renamed machine is taken for a remnant: %v", left)
	}
}

func TestCommonName(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"":                  nil,
		"vm_name==hr-abc.*": {"hr-abc"},
		"vm_name==hr-.*":    {"hr-abc", "hr-xyz", "hr-a"},
		"vm_name==hr.*":     {"hr-abc", "hr"},
	} {
		all := map[string]mark{}
		for _, n := range names {
			all[n] = mark{Name: n}
		}
		if got := commonName(all); got != want {
			t.Errorf("%v: %q, expected %q", names, got, want)
		}
	}
	if got := commonName(map[string]mark{"a": {Name: "x"}, "b": {Name: "y"}}); got != "" {
		t.Errorf("nothing in common: %q", got)
	}
	if got := commonName(map[string]mark{"a": {Name: "ü(.*"}}); got != "" {
		t.Errorf("a name with traps: %q", got)
	}
}

// Prism does not list what it could not make. It is shown once it has had time
// to appear, with the reason, and can be deleted.
func TestMachineThatPrismGaveUp(t *testing.T) {
	t.Parallel()
	for _, byTask := range []bool{false, true} {
		s := prismCentral(t, fakenutanix.Options{DeleteTime: time.Nanosecond})
		d := driverOf(t, settingsOf(s))
		i := create(t, d, wish("failed"))
		s.Fail(i.ID, "RESOURCE_SHORTAGE", "No host has enough memory", byTask)
		if all := listed(t, d); len(all) != 0 {
			t.Errorf("Prism lists %v", all)
		}
		got := listed(t, later(d, grace))[i.ID]
		if got.State != provider.StateFailed || !strings.Contains(got.Fault, "No host has enough memory") || got.Tags.Server != "failed" {
			t.Errorf("by task %v: the machine is shown as %+v", byTask, got)
		}
		if left := remnantsOf(t, d); len(left) != 0 {
			t.Errorf("its mark is taken for a remnant: %v", left)
		}
		for range 2 {
			if err := d.Delete(t.Context(), i.ID); err != nil && !isNotFound(err) {
				t.Fatal(err)
			}
		}
		if left := s.Leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// A machine that runs stays one whatever becomes of changes that others make.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		entity, power string
		want          provider.State
	}{
		{"PENDING", "OFF", provider.StatePending},
		{"RUNNING", "OFF", provider.StatePending},
		{"", "", provider.StatePending},
		{"PENDING", "ON", provider.StateRunning},
		{"COMPLETE", "ON", provider.StateRunning},
		{"ERROR", "ON", provider.StateRunning},
		{"COMPLETE", "UNKNOWN", provider.StateRunning},
		{"COMPLETE", "OFF", provider.StateStopped},
		{"COMPLETE", "PAUSED", provider.StateStopped},
		{"ERROR", "OFF", provider.StateFailed},
		{"ERROR", "UNKNOWN", provider.StateFailed},
		{"DELETE_PENDING", "ON", provider.StateDeleting},
		{"DELETE_IN_PROGRESS", "OFF", provider.StateDeleting},
	} {
		if got := state(tt.entity, tt.power); got != tt.want {
			t.Errorf("%s with power %s is %s, expected %s", tt.entity, tt.power, got, tt.want)
		}
	}
}

func TestAnswersThatAreNoneOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		header http.Header
		text   string
		want   provider.Class
		after  time.Duration
		says   string
	}{
		"a gateway":                {http.StatusBadGateway, nil, "<html>bad gateway</html>", provider.Unavailable, 0, "502"},
		"a gateway says when":      {http.StatusServiceUnavailable, http.Header{"Retry-After": {"11"}}, "", provider.RateLimited, 11 * time.Second, "503"},
		"nothing and 500":          {http.StatusInternalServerError, nil, "", provider.Unavailable, 0, "500"},
		"not Prism Central":        {http.StatusNotFound, nil, "<html>404</html>", provider.Unsupported, 0, "host and port"},
		"success that is no JSON":  {http.StatusOK, nil, "<html>welcome</html>", provider.Unknown, 0, "host and port"},
		"a redirect to a login":    {http.StatusFound, http.Header{"Location": {"/console"}}, "x", provider.Unknown, 0, "302"},
		"throttled without a word": {http.StatusTooManyRequests, nil, "", provider.RateLimited, 0, "429"},
		"a status that is a word":  {http.StatusBadRequest, nil, `{"status":"failure","message":"nonsense","reason":"INVALID_REQUEST"}`, provider.Invalid, 0, "nonsense"},
		"a status in a status":     {http.StatusUnprocessableEntity, nil, `{"status":{"state":"ERROR","message_list":[{"message":"deep","reason":"RESOURCE_SHORTAGE"}]}}`, provider.NoCapacity, 0, "deep"},
	} {
		s := prismCentral(t, fakenutanix.Options{})
		d := driverOf(t, settingsOf(s))
		s.RefuseRaw(fakenutanix.GetVM, 1, tt.status, tt.header, tt.text)
		_, err := d.Get(t.Context(), uuid.NewString())
		if provider.ClassOf(err) != tt.want || provider.RetryAfter(err) != tt.after || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v (after %v), expected %s, %v and %q", name, err, provider.RetryAfter(err), tt.want, tt.after, tt.says)
		}
	}
}
