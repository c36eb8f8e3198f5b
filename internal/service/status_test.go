package service_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// What is over is told as over, although the row that remembers it stays.
func TestStatusOfAProviderIsThatOfNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.write(func(tx *store.Tx) error {
		return tx.SaveProviderState(store.ProviderState{
			Provider: "cloud1", Circuit: "open", Stillborn: 5, Error: "no boot", OpenUntil: w.clock.Now().Add(time.Minute),
			BlockedUntil: w.clock.Now().Add(30 * time.Second), BlockedReason: "quota",
		})
	})
	want := func(circuit, blocked, explained string) {
		t.Helper()
		r, err := w.Object(w.ctx, viewer, fleet.KindVMProvider, "cloud1")
		if err != nil {
			t.Fatal(err)
		}
		v := r.Status.(*service.VMProviderStatus)
		if v.Circuit != circuit || v.BlockedReason != blocked || v.BlockedUntil.IsZero() != (blocked == "") || v.Failures != 5 {
			t.Errorf("want circuit %s, blocked by %q: %+v", circuit, blocked, v)
		}
		e, err := w.ExplainPool(w.ctx, viewer, "desk")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(e.Lines, func(l service.ExplainLine) bool { return strings.Contains(l.Text, explained) }) {
			t.Errorf("nothing says %q: %+v", explained, e.Lines)
		}
	}
	want("open", "quota", "circuit open after 5 failures in a row: no boot")
	w.clock.Step(40 * time.Second)
	want("open", "", "circuit open after 5 failures in a row: no boot")
	w.clock.Step(40 * time.Second)
	want("half_open", "", "circuit half open after 5 failures in a row, one machine at a time is tried: no boot")
}
