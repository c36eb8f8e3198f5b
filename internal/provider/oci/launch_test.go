package oci_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

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
