package store

import (
	"math"
	"slices"
	"testing"
)

// TestSkip compares skip with looking at every vector there is: it must leave
// out none that fits, and it must go on.
func TestSkip(t *testing.T) {
	t.Parallel()
	const top = 3
	var all [][]int64
	for g := range int64(top) {
		for c := range int64(top) {
			for m := range int64(top) {
				all = append(all, []int64{g, c, m})
			}
		}
	}
	for _, spread := range []bool{false, true} {
		w := newClaimWay(false, spread)
		for _, need := range all {
			for _, free := range all {
				if fits(free, need) {
					continue
				}
				var want []int64 // the first that fits on the way from free
				for _, v := range all {
					onTheWay := slices.Compare(v, free) > 0
					nearer := want == nil || slices.Compare(v, want) < 0
					if spread {
						onTheWay = slices.Compare(v, free) < 0
						nearer = want == nil || slices.Compare(v, want) > 0
					}
					if fits(v, need) && onTheWay && nearer {
						want = v
					}
				}
				got := w.skip(free, need)
				if got == nil {
					if want != nil {
						t.Errorf("spread %t, need %v, free %v: gave up before %v", spread, need, free, want)
					}
					continue
				}
				if d := slices.Compare(got, free); d == 0 || d > 0 == spread {
					t.Errorf("spread %t, need %v, free %v: went to %v, which is no way forward", spread, need, free, got)
				}
				if want == nil {
					continue // it finds nothing from there on
				}
				for i, n := range got {
					if n == math.MaxInt64 {
						got[i] = top - 1
					}
				}
				if slices.Compare(got, want) != 0 {
					t.Errorf("spread %t, need %v, free %v: went to %v, want %v", spread, need, free, got, want)
				}
			}
		}
	}
}

func TestPlainMarks(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"SELECT 1":                          "SELECT 1",
		"VALUES ($1, $2, $3)":               "VALUES (?, ?, ?)",
		"VALUES ($1, $1, $2)":               "VALUES ($1, $1, $2)",
		"WHERE a = $2 AND b = $1":           "WHERE a = $2 AND b = $1",
		"$1$2$3$4$5$6$7$8$9$10 AND $11 < 5": "?????????? AND ? < 5",
	} {
		if got := plainMarks(query); got != want {
			t.Errorf("plainMarks(%q) = %q, want %q", query, got, want)
		}
	}
}
