package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// meter measures one back-test.
type meter struct {
	window   window
	figures  SessionFigures
	waits    []time.Duration
	phase    map[string]fleet.Phase // by server id
	made     map[string]bool        // servers whose machine the cloud has accepted
	births   int64
	deaths   int64
	active   *gauge // in machines
	waiting  *gauge // in machines
	inUse    *gauge // sessions
	ready    *gauge
	comingUp *gauge
	machines *gauge // that exist in the cloud
	ceiling  *gauge
}

func newMeter(from, to time.Time) *meter {
	w := newWindow(from, to)
	return &meter{
		window: w, phase: map[string]fleet.Phase{}, made: map[string]bool{},
		active: newGauge(w), waiting: newGauge(w), inUse: newGauge(w), ready: newGauge(w), comingUp: newGauge(w),
		machines: newGauge(w), ceiling: newGauge(w),
	}
}

// server follows a server from phase to phase.
func (m *meter) server(now time.Time, id string, to fleet.Phase) {
	from, known := m.phase[id]
	count := func(p fleet.Phase, by float64) {
		switch {
		case p == fleet.PhaseReady:
			m.ready.add(now, by)
		case p.ComingUp() || p == fleet.PhasePlanned:
			m.comingUp.add(now, by)
		}
	}
	if known {
		count(from, -1)
	}
	count(to, 1)
	inside := !now.Before(m.window.from) && now.Before(m.window.to)
	switch to {
	case fleet.PhaseBooting, fleet.PhaseConfiguring, fleet.PhaseReady:
		if !m.made[id] && inside {
			m.births++
		}
		m.made[id] = true
	case fleet.PhaseGone:
		if m.made[id] && inside {
			m.deaths++
		}
		delete(m.made, id)
		delete(m.phase, id)
		return
	default:
	}
	m.phase[id] = to
}

// result sums up.
func (b *backTest) result(name string) *Result {
	m := b.meter
	to := m.window.to
	for _, g := range []*gauge{m.active, m.waiting, m.inUse, m.ready, m.comingUp, m.machines, m.ceiling} {
		g.advance(to)
	}
	r := &Result{Policy: name, Sessions: m.figures, Waiting: waiting(m.waits), Provider: []ProviderFigure{}, Assumed: b.assumed}
	r.Sessions.Hours = round(m.inUse.hours(), 4)
	if r.Sessions.Asked > 0 {
		r.Sessions.Share = round(float64(m.figures.Warm)/float64(m.figures.Asked), 6)
	}
	r.Machines = MachineFigures{
		Hours: round(m.machines.hours(), 4), Most: int64(m.machines.peak), Made: m.births, Deleted: m.deaths,
		AtCeiling:    fleet.Duration(time.Duration(m.ceiling.hours() * float64(time.Hour)).Round(time.Second)),
		CeilingShare: round(m.ceiling.hours()/to.Sub(m.window.from).Hours(), 6),
	}
	if h := m.inUse.hours(); h > 0 {
		r.Machines.PerSessionHour = round(m.machines.hours()/h, 4)
	}
	b.price(r)
	for _, why := range slices.Sorted(maps.Keys(b.refusals)) {
		r.Notes = append(r.Notes, fmt.Sprintf("%d refused: %s", b.refusals[why], why))
	}
	if n := len(b.asked); n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d sessions were still waiting at the end", n))
	}
	r.Samples = Samples{
		From: m.window.from, Step: fleet.Duration(m.window.step), Active: rounded(m.active), Waiting: rounded(m.waiting),
		Ready: rounded(m.ready), ComingUp: rounded(m.comingUp),
	}
	return r
}

// price tells what each provider did and what it costs, each currency by itself.
func (b *backTest) price(r *Result) {
	var left []string
	sums := map[string]float64{}
	for _, p := range b.providers {
		p.count.advance(b.meter.window.to)
		f := ProviderFigure{Name: p.name, Hours: round(p.count.hours(), 4), Most: int64(p.count.peak)}
		if q := p.quote; q.PerHour != nil {
			f.Price, f.Currency, f.Origin = q.PerHour, q.Currency, q.Lines[0].Origin
			sums[q.Currency] += p.count.hours() * *q.PerHour
		}
		if f.Hours > 0 && !p.quote.Known() {
			note := "the cost leaves out provider " + p.name + ", which has no price"
			if f.Price != nil {
				note = "the cost of provider " + p.name + " leaves out what has no price: " + strings.Join(p.quote.Missing, ", ")
			}
			left = append(left, note)
		}
		r.Provider = append(r.Provider, f)
	}
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		r.Costs = append(r.Costs, Cost{Currency: currency, Amount: round(sums[currency], 4)})
	}
	if len(r.Costs) > 0 {
		r.Notes = append(r.Notes, left...)
	}
}

func rounded(g *gauge) []float64 {
	out := g.means()
	for i := range out {
		out[i] = round(out[i], 3)
	}
	return out
}
