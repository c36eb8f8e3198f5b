package gcp_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestInsertAfterAFailedOne: the service answers a repeated request id with the
// operation of the first call, also when that failed. A fault that has passed must
// not stick to the machine for as long as the service remembers it.
func TestInsertAfterAFailedOne(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	for range 2 {
		p.SellOut(firstOffer, "INTERNAL_ERROR")
		if _, err := d.Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Unavailable {
			t.Fatalf("an insert that fails: %v, expected unavailable", err)
		}
	}
	p.SellOut(firstOffer, "")
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatalf("the create after them: %v", err)
	}
	if again, err := d.Create(t.Context(), request("a")); err != nil || again.ID != i.ID || p.Instances() != 1 {
		t.Errorf("repeated: %+v, %v; %d instances", again, err, p.Instances())
	}
}
