package azure_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
)

// TestAddresses: public ones come first, from get and from list alike, and a listing
// costs four calls.
func TestAddresses(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	shown, listed := reaches(t, d, i.ID, provider.StateRunning)
	if diff := cmp.Diff(shown.Addresses, listed.Addresses); diff != "" || len(shown.Addresses) != 2 || !strings.HasPrefix(shown.Addresses[0], "203.0.113.") || !strings.HasPrefix(shown.Addresses[1], "10.") {
		t.Errorf("addresses %v, listed %v", shown.Addresses, listed.Addresses)
	}
	from := p.Calls()
	for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := p.Calls() - from; n != 4 {
		t.Errorf("a listing cost %d calls", n)
	}
	from = p.Calls()
	if _, err := d.Get(t.Context(), i.ID); err != nil {
		t.Error(err)
	}
	if n := p.Calls() - from; n != 2 {
		t.Errorf("a look cost %d calls", n)
	}
}

// TestListings: each part of a listing that fails makes all of it an error, also
// when the group is gone.
func TestListings(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]provider.Class{
		"statusOnly=true": provider.Unavailable, "/networkInterfaces?": provider.Unavailable, "/publicIPAddresses?": provider.Unavailable, "/virtualMachines?api": provider.Unavailable,
	} {
		s, p := subscription(t)
		d := opened(t, s)
		if _, err := d.Create(t.Context(), request("a")); err != nil {
			t.Fatal(err)
		}
		p.Spoil(fakeazure.Fault{Path: path, Status: http.StatusBadGateway, Text: "<html>Bad Gateway</html>"})
		var last error
		for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			last = err
		}
		if provider.ClassOf(last) != want || last == nil {
			t.Errorf("%s: %v", path, last)
		}
	}
	s, _ := subscription(t)
	s.ResourceGroup = "nowhere"
	d := opened(t, s)
	var last error
	for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		last = err
	}
	if provider.ClassOf(last) != provider.Invalid || !strings.Contains(last.Error(), "resource_group") {
		t.Errorf("a group that is not there: %v", last)
	}
	if _, err := d.Get(t.Context(), "hr-a"); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a machine of a group that is gone: %v", err)
	}
}

// TestRubbish: an answer that is none of Azure's neither makes a machine twice nor
// lets one pass for gone.
func TestRubbish(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 302, 403, 404, 502} {
		s, p := subscription(t)
		d := opened(t, s)
		spoil := func() {
			p.Spoil(fakeazure.Fault{Path: "/virtualMachines/", Status: status, Text: "<html>captive portal</html>"})
		}
		spoil()
		if _, err := d.Get(t.Context(), "hr-a"); err == nil || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("%d: get: %v", status, err)
		}
		spoil()
		if i, err := d.Create(t.Context(), request("a")); err == nil && status >= 300 || provider.ClassOf(err).MadeNothing() && err != nil {
			t.Errorf("%d: create: %+v, %v", status, i, err)
		}
		spoil()
		if err := d.Delete(t.Context(), "hr-a"); err == nil && status >= 300 || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("%d: delete: %v", status, err)
		}
	}
}
