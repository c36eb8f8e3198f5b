package nutanix

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

func TestMachineIsDeletedWithItsMark(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{DeleteTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	id := create(t, d, wish("deleted")).ID
	if err := d.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	// The VM is gone, its mark is not: the machine is not gone yet.
	if i, err := d.Get(t.Context(), id); err != nil || i.State != provider.StateDeleting || i.Tags.Server != "deleted" {
		t.Errorf("%+v, %v", i, err)
	}
	if len(remnantsOf(t, d)) != 1 {
		t.Error("a mark without machine is no remnant")
	}
	if err := d.Delete(t.Context(), id); !isNotFound(err) {
		t.Errorf("the second delete answered %v", err)
	}
	if _, err := d.Get(t.Context(), id); !isNotFound(err) {
		t.Errorf("get of what is gone: %v", err)
	}
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRemnantThatBecameAMachine(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	i := create(t, d, wish("machine"))
	if err := d.DeleteRemnant(t.Context(), provider.Remnant{Kind: remnantKind, ID: i.ID, Tags: i.Tags}); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("the mark of a machine: %v", err)
	}
	for _, r := range []provider.Remnant{{Kind: "disk", ID: i.ID}, {Kind: remnantKind, ID: "../x"}, {Kind: remnantKind, ID: uuid.NewString()}} {
		if err := d.DeleteRemnant(t.Context(), r); !isNotFound(err) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// Values that others put into the category, and listings that do not say how
// long they are, do no harm.
func TestMarksOfOthers(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{Uncounted: true, PageLength: 3})
	d := driverOf(t, settingsOf(s))
	for _, text := range []string{"", "made by hand", "{}", `{"server":7}`, `["x"]`} {
		s.Mark(markKey, uuid.NewString(), text)
	}
	for _, server := range []string{"a", "b", "c", "d"} {
		create(t, d, wish(server))
	}
	if all := listed(t, d); len(all) != 4 {
		t.Errorf("the listing shows %d machines", len(all))
	}
	if left := remnantsOf(t, d); len(left) != 0 {
		t.Errorf("remnants: %v", left)
	}
}

func TestLongAndOddTags(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	req := wish("odd")
	req.Tags.AutoscaleConfig = strings.Repeat("ü", 63) + `"<&\/`
	create(t, d, req)
	for _, i := range listed(t, d) {
		if i.Tags != req.Tags {
			t.Errorf("tags %+v", i.Tags)
		}
	}
	req = wish("longest")
	req.Tags.AutoscaleConfig = strings.Repeat("x", maxDescription)
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "shorten") {
		t.Errorf("tags that do not fit: %v", err)
	}
	if n := s.Machines(); n != 1 {
		t.Errorf("%d machines", n)
	}
}
