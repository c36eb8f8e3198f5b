package oci_test

import (
	"fmt"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

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
