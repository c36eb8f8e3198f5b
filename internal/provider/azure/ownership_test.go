package azure_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestAdoption: somebody else's machine of the name is never touched, and one that
// is being removed is not taken for the new one.
func TestAdoption(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	other := request("a").Tags
	other.Provider = "another"
	p.Plant("hr-a", tags(other))
	if _, err := d.Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "not this server's") {
		t.Errorf("another's machine: %v", err)
	}
	if len(p.Asked("hr-a")) != 0 {
		t.Error("another's machine was written to")
	}
	p.Slow(200 * time.Millisecond)
	i, err := d.Create(t.Context(), request("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), request("b")); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("while the old one is being removed: %v", err)
	}
}

// TestLeak: what Azure leaves of a machine is found and removed, the address after
// its interface.
func TestLeak(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	s.ConfigOverride = map[string]any{"properties": map[string]any{"storageProfile": map[string]any{"dataDisks": []any{map[string]any{"lun": 0, "createOption": "Empty", "diskSizeGB": 8, "deleteOption": "Detach"}}}}}
	d := opened(t, s)
	p.Leak(true)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, d, i.ID, provider.StateRunning)
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if p.Machines() > 0 {
			return "the machine is there"
		}
		return ""
	})
	r, ok := d.(provider.Remnants)
	if !ok {
		t.Fatal("finds no remnants")
	}
	var kinds []string
	for range 3 {
		for left, err := range r.ListRemnants(t.Context(), request("a").Tags.Owner()) {
			if err != nil || left.Tags != request("a").Tags {
				t.Fatalf("%+v, %v", left, err)
			}
			kinds = append(kinds, left.Kind)
			if err := r.DeleteRemnant(t.Context(), left); err != nil {
				t.Error(err)
			}
		}
	}
	if left := p.Objects(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	slices.Sort(kinds)
	if diff := cmp.Diff([]string{"disk", "disk", "interface"}, kinds); diff != "" { // the address goes with its interface
		t.Error(diff)
	}
	for _, kind := range []string{"disk", "interface", "address"} {
		if err := r.DeleteRemnant(t.Context(), provider.Remnant{Kind: kind, ID: "gone", Tags: request("a").Tags}); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("a %s that is gone: %v", kind, err)
		}
	}
}
