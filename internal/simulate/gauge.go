package simulate

import "time"

// window is the stretch of time that is measured, cut into samples.
type window struct {
	from, to time.Time
	step     time.Duration
}

// maxSamples bounds the samples of a window.
const maxSamples = 672 // an hour each in four weeks

// newWindow cuts a stretch into samples of a length that people can read off.
func newWindow(from, to time.Time) window {
	w := window{from, to, 0}
	for _, step := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour,
	} {
		if w.step = step; to.Sub(from) <= maxSamples*step {
			break
		}
	}
	return w
}

func (w window) samples() int { return int((w.to.Sub(w.from) + w.step - 1) / w.step) }

// gauge is a number that changes at moments. Only what lies in its window
// counts.
type gauge struct {
	w     window
	value float64
	since time.Time
	peak  float64
	sums  []float64 // value times seconds, of each sample
}

func newGauge(w window) *gauge {
	return &gauge{w: w, since: w.from, sums: make([]float64, w.samples())}
}

func (g *gauge) add(now time.Time, by float64) { g.set(now, g.value+by) }

// set gives the gauge another value from now on.
func (g *gauge) set(now time.Time, value float64) {
	if value == g.value {
		return
	}
	g.advance(now)
	if g.value = value; !now.Before(g.w.from) && now.Before(g.w.to) {
		g.peak = max(g.peak, value)
	}
}

// advance counts the value until now.
func (g *gauge) advance(now time.Time) {
	if now.After(g.w.to) {
		now = g.w.to
	}
	for g.since.Before(now) {
		g.peak = max(g.peak, g.value)
		i := int(g.since.Sub(g.w.from) / g.w.step)
		until := g.w.from.Add(time.Duration(i+1) * g.w.step)
		if until.After(now) {
			until = now
		}
		g.sums[i] += g.value * until.Sub(g.since).Seconds()
		g.since = until
	}
}

// hours is the sum of value times hours.
func (g *gauge) hours() float64 {
	total := 0.0
	for _, s := range g.sums {
		total += s
	}
	return total / 3600
}

// means are the mean values of the samples.
func (g *gauge) means() []float64 {
	out := make([]float64, len(g.sums))
	for i, s := range g.sums {
		from := g.w.from.Add(time.Duration(i) * g.w.step)
		out[i] = s / min(g.w.step, g.w.to.Sub(from)).Seconds()
	}
	return out
}
