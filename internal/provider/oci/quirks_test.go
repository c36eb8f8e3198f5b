package oci_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

var firstOffer = "VM.Standard.E5.Flex@" + fakeoci.Domain(1)

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.NewTimer(20*time.Second)
	defer tick.Stop()
	defer over.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatal(wrong)
		}
	}
}

func created(t *testing.T, d provider.Driver, server string) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), request(server))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func listed(t *testing.T, d provider.Driver) map[string]provider.Instance {
	t.Helper()
	out := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil {
			t.Fatal(err)
		}
		out[i.ID] = i
	}
	return out
}

func running(t *testing.T, d provider.Driver, id string) provider.Instance {
	t.Helper()
	var i provider.Instance
	eventually(t, func() string {
		if i = listed(t, d)[id]; i.State != provider.StateRunning {
			return "the machine is " + string(i.State)
		}
		return ""
	})
	return i
}

// TestErrors: codes of the service, as its page of errors lists them and as
// launches have been seen to answer.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status        int
		code, message string
		launch, get   provider.Class
	}{
		{500, "InternalError", "Out of host capacity.", provider.NoCapacity, provider.NoCapacity},
		{500, "InternalError", "Out of capacity for shape VM.Standard.A1.Flex in availability domain AD-1.", provider.NoCapacity, provider.NoCapacity},
		{500, "OutOfHostCapacity", "Out of host capacity.", provider.NoCapacity, provider.NoCapacity},
		{500, "InternalError", "An internal server error has occurred.", provider.Unavailable, provider.Unavailable},
		{400, "LimitExceeded", "The following service limits were exceeded: standard-e4-core-count.", provider.Quota, provider.Quota},
		{400, "QuotaExceeded", "The following compartment quotas were exceeded: standard-e4-core-count.", provider.Quota, provider.Quota},
		{404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.", provider.Forbidden, provider.NotFound},
		{404, "NotAuthorizedOrNotFound", "shape VM.Standard.E2.1.Micro not found", provider.NoCapacity, provider.NotFound},
		{400, "RelatedResourceNotAuthorizedOrNotFound", "Subnet not found", provider.Invalid, provider.Invalid},
		{400, "InvalidParameter", "Shape VM.Standard.A1.Flex is not valid for image x.", provider.Invalid, provider.Invalid},
		{400, "MissingParameter", "x is missing", provider.Invalid, provider.Invalid},
		{400, "CannotParseRequest", "x", provider.Invalid, provider.Invalid},
		{401, "NotAuthenticated", "The required information to complete authentication was not provided or was incorrect.", provider.Unauthenticated, provider.Unauthenticated},
		{402, "SignUpRequired", "x", provider.Forbidden, provider.Forbidden},
		{403, "NotAuthorized", "x", provider.Forbidden, provider.Forbidden},
		{405, "MethodNotAllowed", "x", provider.Unsupported, provider.Unsupported},
		{409, "IncorrectState", "x", provider.Conflict, provider.Conflict},
		{409, "ExternalServerIncorrectState", "x", provider.Unavailable, provider.Unavailable},
		{409, "InvalidatedRetryToken", "x", provider.Conflict, provider.Conflict},
		{409, "NotAuthorizedOrResourceAlreadyExists", "x", provider.Conflict, provider.Conflict},
		{412, "NoEtagMatch", "x", provider.Conflict, provider.Conflict},
		{413, "RequestEntityTooLarge", "x", provider.Invalid, provider.Invalid},
		{429, "TooManyRequests", "Too many requests for the user", provider.RateLimited, provider.RateLimited},
		{501, "MethodNotImplemented", "x", provider.Unsupported, provider.Unsupported},
		{503, "ServiceUnavailable", "x", provider.Unavailable, provider.Unavailable},
	} {
		s, of := tenancy(t)
		d := opened(t, s)
		f := fakeoci.Fault{Path: "/instances", Status: c.status, Code: c.code, Message: c.message}
		of.Spoil(f)
		_, err := d.Create(t.Context(), request("a"))
		if provider.ClassOf(err) != c.launch || !strings.Contains(err.Error(), c.message) {
			t.Errorf("launch, %d %s %s: %v, expected %s", c.status, c.code, c.message, err, c.launch)
		}
		if left := of.Objects(); len(left) > 0 {
			t.Errorf("%s: left: %v", c.code, left)
		}
		of.Spoil(f)
		if _, err := d.Get(t.Context(), gone); provider.ClassOf(err) != c.get {
			t.Errorf("get, %d %s %s: %v, expected %s", c.status, c.code, c.message, err, c.get)
		}
	}
}

// TestShapeNotOffered falls through like a lack of capacity.
func TestShapeNotOffered(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	s.AvailabilityDomains = []string{fakeoci.Domain(3)}
	req := request("a")
	req.Offer = "VM.Standard.E4.Flex@" + fakeoci.Domain(3)
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "not offered") {
		t.Errorf("%v", err)
	}
}

// TestStillborn: a launch that is accepted and then finds no room is told with
// the class that lets the next offer have its turn, by Get and, while it is seen
// to end, by List.
func TestStillborn(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	of.SellOut(firstOffer, "later")
	i := created(t, d, "a")
	var got provider.Instance
	eventually(t, func() (wrong string) {
		var err error
		if got, err = d.Get(t.Context(), i.ID); err != nil || got.State != provider.StateFailed {
			return fmt.Sprintf("%+v, %v", got, err)
		}
		return ""
	})
	if got.FaultClass != provider.NoCapacity || !strings.Contains(got.Fault, "Out of host capacity") || got.Tags != request("a").Tags {
		t.Errorf("%+v", got)
	}
	if all := listed(t, d); all[i.ID].State != provider.StateFailed || all[i.ID].FaultClass != provider.NoCapacity {
		t.Errorf("what has just failed is listed as %v", all)
	}
	of.Age(i.ID, 2*time.Minute)
	if all := listed(t, d); len(all) != 0 {
		t.Errorf("what failed a while ago is listed: %v", all)
	}
	of.State(i.ID, "TERMINATING")
	if all := listed(t, d); all[i.ID].State != provider.StateFailed || all[i.ID].FaultClass != provider.NoCapacity {
		t.Errorf("as it ends it is listed as %+v", all)
	}
	eventually(t, func() string {
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
			return fmt.Sprintf("delete: %v", err)
		}
		return ""
	})
	of.Lack("WORKREQUEST_INSPECT") // details only: not to know them is no error
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("without the right to look: %v", err)
	}
	of.Lack()
	of.Age(i.ID, time.Hour)
	calls := of.Calls()
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound || of.Calls()-calls != 1 {
		t.Errorf("an older machine is asked %d calls: %v", of.Calls()-calls, err)
	}
}

// TestOwnDeleteIsNoFailure: a young machine that we delete is not said to have
// failed.
func TestOwnDeleteIsNoFailure(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	d := opened(t, s)
	i := created(t, d, "a")
	running(t, d, i.ID)
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		got, err := d.Get(t.Context(), i.ID)
		if err == nil && got.State == provider.StateFailed {
			t.Fatalf("%+v", got)
		}
		if provider.ClassOf(err) != provider.NotFound {
			return fmt.Sprintf("%+v, %v", got, err)
		}
		return ""
	})
}

// TestLostRightsAreNotGone: a policy that was taken away makes no machine pass
// for gone. The service answers as if nothing were there.
func TestLostRightsAreNotGone(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	i := created(t, d, "a")
	running(t, d, i.ID)
	of.Lack("INSTANCE_READ")
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("get: %v", err)
	}
	for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if provider.ClassOf(err) != provider.Forbidden {
			t.Errorf("list: %v", err)
		}
	}
	of.Lack("INSTANCE_READ", "INSTANCE_DELETE")
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("delete: %v", err)
	}
	for _, permission := range []string{"INSTANCE_DELETE", "VNIC_DELETE", "SUBNET_DETACH"} {
		of.Lack(permission)
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "manage instances") {
			t.Errorf("delete without %s: %v", permission, err)
		}
	}
	for _, permission := range []string{"VNIC_ATTACHMENT_READ", "INSTANCE_INSPECT", "PRIVATE_IP_READ"} {
		of.Lack(permission)
		failed := false
		for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			failed = provider.ClassOf(err) == provider.Forbidden && err != nil
		}
		if !failed {
			t.Errorf("without %s the listing is not refused", permission)
		}
	}
	of.Lack()
	if got := listed(t, d)[i.ID]; got.State != provider.StateRunning {
		t.Errorf("after all: %+v", got)
	}
	of.Purge(i.ID)
	for op, err := range map[string]error{"get": func() error { _, err := d.Get(t.Context(), i.ID); return err }(), "delete": d.Delete(t.Context(), i.ID)} {
		if provider.ClassOf(err) != provider.NotFound {
			t.Errorf("%s of what the service has forgotten: %v", op, err)
		}
	}
}

// TestRepeatedDelete, however the service refuses it.
func TestRepeatedDelete(t *testing.T) {
	t.Parallel()
	for _, is404 := range []bool{false, true} {
		s, of := tenancy(t)
		of.GoneIs404(is404)
		d := opened(t, s)
		i := created(t, d, "a")
		running(t, d, i.ID)
		for range 2 {
			if err := d.Delete(t.Context(), i.ID); err != nil && provider.ClassOf(err) != provider.NotFound {
				t.Errorf("%v: %v", is404, err)
			}
		}
		eventually(t, func() string {
			if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
				return fmt.Sprint(err)
			}
			return ""
		})
		if left := of.Objects(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestRepeatedLaunch of a machine that has been deleted since.
func TestRepeatedLaunch(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	d := opened(t, s)
	i := created(t, d, "a")
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	_, err := d.Create(t.Context(), request("a"))
	if provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "has been deleted since") {
		t.Errorf("%v", err)
	}
}

// TestAddresses come with the listing, public ones first, for a number of calls
// that does not depend on the number of machines.
func TestAddresses(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	of.Plant("somebody-elses", nil)
	i := running(t, d, created(t, d, "a").ID)
	if len(i.Addresses) != 2 || !strings.HasPrefix(i.Addresses[0], "203.0.") || !strings.HasPrefix(i.Addresses[1], "10.0.") {
		t.Errorf("addresses %v", i.Addresses)
	}
	if want := (fleet.Resources{Cores: 4 * fleet.Core, MemoryMiB: 16 << 10}); i.Capacity != want {
		t.Errorf("capacity %+v, expected %+v", i.Capacity, want)
	}
	s.ConfigOverride = document(t, `{"create_vnic_details": {"assign_public_ip": false, "assign_ipv6_ip": true}}`)
	private := opened(t, s)
	for _, server := range []string{"b", "c", "d"} {
		created(t, private, server)
	}
	for _, server := range []string{"b", "c", "d"} {
		eventually(t, func() string {
			for _, i := range listed(t, private) {
				if i.Tags.Server == server && len(i.Addresses) == 2 && strings.HasPrefix(i.Addresses[0], "10.0.") && strings.HasPrefix(i.Addresses[1], "2001:db8:") {
					return ""
				}
			}
			return fmt.Sprintf("%s: %+v", server, listed(t, private))
		})
	}
	for driver, want := range map[provider.Driver]int64{d: 5, private: 4} { // instances, attachments, private, two domains of public or IPv6
		calls := of.Calls()
		if n := len(listed(t, driver)); n != 4 || of.Calls()-calls != want {
			t.Errorf("%d machines cost %d calls, expected %d", n, of.Calls()-calls, want)
		}
	}
	calls := of.Calls()
	for i, err := range d.List(t.Context(), provider.Owner{Installation: "01ji", Provider: "other"}) {
		t.Errorf("%+v, %v", i, err)
	}
	if n := of.Calls() - calls; n != 1 {
		t.Errorf("a listing without machines cost %d calls", n)
	}
}

// TestStates: what the lifecycle states mean here.
func TestStates(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.Preemptible = true
	spot := opened(t, s)
	plain := *s
	plain.Preemptible = false
	d := opened(t, &plain)
	id, preemptible := created(t, d, "a").ID, created(t, spot, "b").ID
	running(t, d, id)
	running(t, spot, preemptible)
	for _, one := range []string{id, preemptible} {
		of.Age(one, time.Hour)
	}
	for state, want := range map[string]provider.State{
		"PROVISIONING": provider.StatePending, "STARTING": provider.StatePending, "RUNNING": provider.StateRunning, "MOVING": provider.StateRunning,
		"STOPPING": provider.StateStopped, "STOPPED": provider.StateStopped, "CREATING_IMAGE": provider.StateStopped, "SOMETHING_NEW": provider.StatePending,
	} {
		of.Slow(time.Hour)
		of.State(id, state)
		got, err := d.Get(t.Context(), id)
		if err != nil || got.State != want || want == provider.StateStopped && !strings.Contains(got.Fault, state) {
			t.Errorf("%s is %+v, %v; expected %s", state, got, err, want)
		}
	}
	of.State(id, "TERMINATING")
	if got, err := d.Get(t.Context(), id); err != nil || got.State != provider.StateDeleting {
		t.Errorf("TERMINATING is %+v, %v", got, err)
	}
	of.State(preemptible, "TERMINATING")
	if got := listed(t, spot)[preemptible]; got.State != provider.StateStopped || !strings.Contains(got.Fault, "capacity back") {
		t.Errorf("a preemptible instance that is taken back is %+v", got)
	}
	of.State(preemptible, "TERMINATED")
	if _, err := spot.Get(t.Context(), preemptible); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a preemptible instance that was taken back: %v", err)
	}
}

// TestMaintenance is told before, and no longer once the machine has stopped.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	id := created(t, d, "a").ID
	running(t, d, id)
	of.Maintain(id, time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC))
	if got := listed(t, d)[id]; !strings.Contains(got.Interruption, "2026-12-24T18:00:00Z") {
		t.Errorf("%+v", got)
	}
	of.State(id, "STOPPED")
	if got := listed(t, d)[id]; got.Interruption != "" {
		t.Errorf("%+v", got)
	}
}

// TestLag: a listing that does not show a new machine yet says nothing about it.
func TestLag(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	of.Lag(time.Hour)
	i := created(t, d, "a")
	if all := listed(t, d); len(all) != 0 {
		t.Errorf("%v", all)
	}
	if got, err := d.Get(t.Context(), i.ID); err != nil || got.ID != i.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if again := created(t, d, "a"); again.ID != i.ID {
		t.Errorf("a second machine %s beside %s", again.ID, i.ID)
	}
}

func remnants(t *testing.T, d provider.Driver) []provider.Remnant {
	t.Helper()
	r, ok := d.(provider.Remnants)
	if !ok {
		t.Fatal("the driver lists no remnants")
	}
	var out []provider.Remnant
	for left, err := range r.ListRemnants(t.Context(), request("a").Tags.Owner()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, left)
	}
	return out
}

// TestBootVolumes that a termination left are found, with tags of their own and
// without, and never while a machine of the same server lives.
func TestBootVolumes(t *testing.T) {
	t.Parallel()
	for _, untagged := range []bool{false, true} {
		s, of := tenancy(t)
		if untagged {
			of.Untagged()
		}
		of.KeepVolumes(true)
		d := opened(t, s)
		id := created(t, d, "a").ID
		running(t, d, id)
		if left := remnants(t, d); len(left) != 0 {
			t.Errorf("untagged %v: the volume of a machine that lives is left: %+v", untagged, left)
		}
		eventually(t, func() string {
			if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.NotFound {
				return fmt.Sprint(err)
			}
			return ""
		})
		left := remnants(t, d)
		if len(left) != 1 || left[0].Kind != "disk" || left[0].Tags != request("a").Tags || left[0].CreatedAt.IsZero() {
			t.Fatalf("untagged %v: %+v", untagged, left)
		}
		other := request("b")
		other.Tags.Server, other.Name = "a", "hr-a2" // the same server again
		if _, err := d.Create(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if left := remnants(t, d); len(left) != 0 {
			t.Errorf("untagged %v: its server lives, and its volume is left: %+v", untagged, left)
		}
		r, _ := d.(provider.Remnants)
		if err := r.DeleteRemnant(t.Context(), left[0]); err != nil {
			t.Error(err)
		}
		if err := r.DeleteRemnant(t.Context(), left[0]); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("a second time: %v", err)
		}
		left[0].ID = "../instances/" + id
		if err := r.DeleteRemnant(t.Context(), left[0]); provider.ClassOf(err) != provider.Invalid {
			t.Errorf("a remnant that is none: %v", err)
		}
	}
}

// TestConsole: a capture is made, read and removed; one that is not done in time
// is removed as well, and one that cannot be removed is a remnant.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	reads, ok := d.(provider.ConsoleReader)
	if !ok {
		t.Fatal("the driver reads no consoles")
	}
	id := created(t, d, "a").ID
	running(t, d, id)
	text, err := reads.Console(t.Context(), id, 7)
	if err != nil || string(text) != "login: " {
		t.Errorf("console: %q, %v", text, err)
	}
	text, err = reads.Console(t.Context(), id, 1<<20)
	if err != nil || !strings.HasPrefix(string(text), "[    0.0") {
		t.Errorf("console: %.20q, %v", text, err)
	}
	if left := slices.DeleteFunc(of.Objects(), func(o string) bool { return !strings.HasPrefix(o, "console") }); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	of.Spoil(fakeoci.Fault{Method: http.MethodGet, Path: "/data", Status: 500, Code: "InternalError", Message: "x"})
	of.Spoil(fakeoci.Fault{Method: http.MethodDelete, Path: "/instanceConsoleHistories", Status: 500, Code: "InternalError", Message: "x"})
	if _, err := reads.Console(t.Context(), id, 100); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("%v", err)
	}
	left := remnants(t, d)
	if len(left) != 1 || left[0].Kind != "console history" || left[0].Tags != request("a").Tags {
		t.Fatalf("left: %+v", left)
	}
	r, _ := d.(provider.Remnants)
	if err := r.DeleteRemnant(t.Context(), left[0]); err != nil {
		t.Error(err)
	}
	if left := remnants(t, d); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	for _, permission := range []string{"CONSOLE_HISTORY_CREATE", "CONSOLE_HISTORY_READ"} {
		of.Lack(permission)
		of.Looks(2)
		if _, err := reads.Console(t.Context(), id, 100); err == nil {
			t.Errorf("without %s", permission)
		}
	}
	if _, err := reads.Console(t.Context(), gone, 100); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("of no machine: %v", err)
	}
}

// TestConsoleNeverDone: a capture whose reader went away is removed all the same.
func TestConsoleNeverDone(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	of.Looks(0)
	d := opened(t, s)
	id := created(t, d, "a").ID
	running(t, d, id)
	reads, _ := d.(provider.ConsoleReader)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := reads.Console(ctx, id, 100); provider.ClassOf(err) != provider.Unavailable || err == nil {
		t.Errorf("%v", err)
	}
	if left := remnants(t, d); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// TestOffers: shapes before availability domains.
func TestOffers(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	o, _ := opened(t, s).(provider.Offerer)
	got := o.Offers()
	want := []string{
		"VM.Standard.E5.Flex@" + fakeoci.Domain(1), "VM.Standard.E5.Flex@" + fakeoci.Domain(2),
		"VM.Standard.E4.Flex@" + fakeoci.Domain(1), "VM.Standard.E4.Flex@" + fakeoci.Domain(2),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	req := request("a")
	req.Offer = "VM.Standard.E5.Flex@elsewhere"
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("an offer that is none: %v", err)
	}
}
