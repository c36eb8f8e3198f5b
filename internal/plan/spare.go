package plan

import (
	"slices"
	"time"
)

// maxSpare bounds how many moments are remembered at which a surplus grew.
const maxSpare = 64

// stillSpare brings what was remembered of a surplus up to date: n machines
// could be spared now. What could not be spared for a moment begins anew, and
// what could all the time goes on.
func stillSpare(before []Spare, n int64, now time.Time) []Spare {
	var out []Spare
	have := int64(0)
	for _, l := range append(slices.Clone(before), Spare{Machines: n, Since: now}) {
		if l.Since.After(now) { // the clock was set back
			l.Since = now
		}
		if l.Machines = min(l.Machines, n); l.Machines <= have {
			continue
		}
		have = l.Machines
		out = append(out, l)
	}
	for len(out) > maxSpare { // the two nearest moments become the later one
		nearest := 0
		for i := range len(out) - 1 {
			if out[i+1].Since.Sub(out[i].Since) < out[nearest+1].Since.Sub(out[nearest].Since) {
				nearest = i
			}
		}
		out = slices.Delete(out, nearest, nearest+1)
	}
	return out
}

// without is a surplus after n of its machines have been given up.
func without(levels []Spare, n int64) (out []Spare) {
	for _, l := range levels {
		if l.Machines -= n; l.Machines > 0 {
			out = append(out, l)
		}
	}
	return out
}
