package oci_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

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
