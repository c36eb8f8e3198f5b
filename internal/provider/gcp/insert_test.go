package gcp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
)

// TestFailedInsert: what the operation says within the wait is the answer of
// the create, and nothing was made.
func TestFailedInsert(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]provider.Class{
		"ZONE_RESOURCE_POOL_EXHAUSTED": provider.NoCapacity, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": provider.NoCapacity,
		"STOCKOUT": provider.NoCapacity, "RESOURCE_OPERATION_RATE_EXCEEDED": provider.RateLimited, "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED": provider.RateLimited, "RESOURCE_NOT_READY": provider.Conflict,
		"QUOTA_EXCEEDED": provider.Quota, "IP_SPACE_EXHAUSTED_WITH_DETAILS": provider.Quota, "RATE_LIMIT_EXCEEDED": provider.RateLimited,
		"RESOURCE_NOT_FOUND": provider.Invalid, "PERMISSIONS_ERROR": provider.Forbidden, "INTERNAL_ERROR": provider.Unavailable,
		"SOMETHING_NEW": provider.NoCapacity, "INVALID_USAGE": provider.NoCapacity, // by the text
	} {
		s, p := project(t)
		p.SellOut(firstOffer, code)
		_, err := opened(t, s).Create(t.Context(), request("a"))
		if provider.ClassOf(err) != want || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, expected %s", code, err, want)
		}
		if left := p.Objects(); len(left) > 0 {
			t.Errorf("%s: left: %v", code, left)
		}
	}
}

// TestLateFailure: an insert that fails after the create answered is shown by
// Get, with the class that lets the next offer have its turn; it is never listed
// and can be deleted.
func TestLateFailure(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	p.SellOut(firstOffer, "ZONE_RESOURCE_POOL_EXHAUSTED")
	p.Slow(2 * time.Second)
	p.Spoil(fakegcp.Fault{Path: "/wait", Status: http.StatusServiceUnavailable, Reason: "backendError", Message: "Backend Error"})
	i, err := d.Create(t.Context(), request("a"))
	if err != nil || i.State != provider.StatePending {
		t.Fatalf("create: %+v, %v", i, err)
	}
	if got, err := d.Get(t.Context(), i.ID); err != nil || got.State != provider.StatePending || got.Tags != request("a").Tags {
		t.Errorf("while the insert is under way: %+v, %v", got, err)
	}
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("delete of what is not there yet: %v, expected unavailable", err)
	}
	var got provider.Instance
	eventually(t, func() string {
		if got, err = d.Get(t.Context(), i.ID); err != nil || got.State != provider.StateFailed {
			return "the failure is not shown"
		}
		return ""
	})
	if got.FaultClass != provider.NoCapacity || !strings.Contains(got.Fault, "does not have enough resources") || got.Tags != request("a").Tags || got.ID != i.ID {
		t.Errorf("the failed machine: %+v", got)
	}
	for l, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		t.Errorf("it is listed: %+v, %v", l, err)
	}
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete: %v", err)
	}
	// Ten minutes later it is forgotten; without the right to ask it never was.
	later, err := gcp.Kind().Open(t.Context(), s, provider.Host{Now: func() time.Time { return time.Now().Add(11 * time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("eleven minutes later: %v", err)
	}
	p.Lack("compute.zoneOperations.list")
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("without the right to list operations: %v", err)
	}
}

// TestForgottenRequest: when the service no longer knows the request id, the
// name is what keeps a second machine from being made.
func TestForgottenRequest(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	first, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	p.Forget()
	again, err := opened(t, s).Create(t.Context(), request("a"))
	if err != nil || again.ID != first.ID || p.Instances() != 1 {
		t.Errorf("the second create: %+v, %v; %d instances", again, err, p.Instances())
	}
	// A lost answer, and the service forgets besides.
	p.Spoil(fakegcp.Fault{Method: http.MethodPost, Path: "/instances", Lose: true})
	if _, err := d.Create(t.Context(), request("b")); provider.ClassOf(err).MadeNothing() || err == nil {
		t.Errorf("a lost answer: %v", err)
	}
	p.Forget()
	if _, err := d.Create(t.Context(), request("b")); err != nil || p.Instances() != 2 {
		t.Errorf("after it: %v; %d instances", err, p.Instances())
	}
}

// TestTypesOfZones: a machine type that a zone lacks lets the next offer have its
// turn.
func TestTypesOfZones(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	s.Zones, s.MachineType = []string{"europe-west3-c", "europe-west3-a"}, []string{"n2-standard-4"}
	d := opened(t, s)
	_, err := d.Create(t.Context(), request("a"))
	if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "not offered in the zone") {
		t.Errorf("a type that the zone lacks: %v", err)
	}
	req := request("a")
	req.Token, req.Offer = "t-a-2", "n2-standard-4@europe-west3-a"
	if _, err := d.Create(t.Context(), req); err != nil {
		t.Error(err)
	}
	req.Offer = "n2-standard-4@us-east4-a"
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("an offer of nobody's: %v", err)
	}
}
