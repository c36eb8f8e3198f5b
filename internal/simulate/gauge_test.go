package simulate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestGaugeCountsItsWindowOnly changes a gauge before, in and after a window of
// ten seconds with samples of a second.
func TestGaugeCountsItsWindowOnly(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return from.Add(time.Duration(s * float64(time.Second))) }
	g := newGauge(newWindow(from, at(10)))
	for _, c := range []struct{ at, value float64 }{{-5, 9}, {-1, 2}, {2.5, 4}, {4, 0}, {9, 1}, {11, 7}} {
		g.set(at(c.at), c.value)
	}
	g.advance(at(20))
	if diff := cmp.Diff([]float64{2, 2, 3, 4, 0, 0, 0, 0, 0, 1}, g.means()); diff != "" {
		t.Errorf("means (-want +got):\n%s", diff)
	}
	if g.peak != 4 || g.hours()*3600 != 12 {
		t.Errorf("peak %g, want 4; sum %g, want 12", g.peak, g.hours()*3600)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Second)
	}
	w := waiting(hundred)
	want := WaitingFigures{P50: 50e9, P95: 95e9, P99: 99e9, Max: 100e9, Mean: 50.5e9}
	if diff := cmp.Diff(want, w); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
}
