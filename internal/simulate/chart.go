package simulate

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// The layout of a chart, in pixels.
const (
	chartWidth  = 920
	panelHeight = 200
	panelGap    = 58
	marginLeft  = 52
	marginRight = 16
	marginTop   = 56
)

// chartStyle gives the colours for light and dark surroundings. Lines differ
// in their dashes too, so that no meaning hangs on a colour.
const chartStyle = `<style>
.chart{--ink:#1c2430;--dim:#5d6875;--grid:#dfe3e8;--paper:#ffffff;--active:#7fb2e5;--waiting:#e0723c;--ready:#1f5fa8;--coming:#7a5ab5;
font:12px system-ui,-apple-system,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){.chart{--ink:#e6eaf0;--dim:#9aa6b4;--grid:#323b47;--paper:#161b22;--active:#3d6f9f;--waiting:#f0905a;--ready:#8cc4ff;--coming:#c3a8f5}}
.chart .paper{fill:var(--paper)}.chart text{fill:var(--ink)}.chart .dim{fill:var(--dim)}.chart .grid{stroke:var(--grid);stroke-width:1}
.chart .name{font-weight:600;font-size:13px}
.chart .active{fill:var(--active)}.chart .waiting{fill:var(--waiting)}
.chart .ready{fill:none;stroke:var(--ready);stroke-width:1.6}
.chart .coming{fill:none;stroke:var(--coming);stroke-width:1.2;stroke-dasharray:4 3}
</style>`

// WriteSVG writes the chart as a picture of its own: for each policy what the
// sessions needed, in machines, and the machines that were there for them.
func (r *Report) WriteSVG(to io.Writer) error {
	_, err := io.WriteString(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"+r.svg())
	return err
}

func (r *Report) svg() string {
	top := 1.0
	for _, one := range r.Results {
		s := one.Samples
		for i := range s.Active {
			top = max(top, s.Active[i]+s.Waiting[i], s.Ready[i]+s.ComingUp[i])
		}
	}
	step := niceStep(top)
	top = math.Ceil(top/step) * step
	height := marginTop + len(r.Results)*(panelHeight+panelGap)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="chart-title chart-about">`+"\n", chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, "<title id=\"chart-title\">Demand and machines</title>\n<desc id=\"chart-about\">%s</desc>\n%s\n", html.EscapeString(r.about()), chartStyle)
	fmt.Fprintf(&b, `<rect class="paper" width="%d" height="%d"/>`+"\n", chartWidth, height)
	legend(&b)
	for i, one := range r.Results {
		p := panel{b: &b, s: one.Samples, from: r.From, to: r.To, y: float64(marginTop + i*(panelHeight+panelGap) + 18), top: top, step: step}
		fmt.Fprintf(&b, `<text class="name" x="%d" y="%.0f">%s</text>`+"\n", marginLeft, p.y-7, html.EscapeString(one.Policy))
		p.draw()
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func legend(b *strings.Builder) {
	x := marginLeft
	for _, l := range []struct {
		class, text string
		area        bool
		width       int
	}{
		{"active", "in use", true, 84},
		{"waiting", "waiting", true, 92},
		{"ready", "machines ready", false, 140},
		{"coming", "with those coming up", false, 0},
	} {
		if l.area {
			fmt.Fprintf(b, `<rect class="%s" x="%d" y="17" width="20" height="10"/>`, l.class, x)
		} else {
			fmt.Fprintf(b, `<path class="%s" d="M%d 22h20"/>`, l.class, x)
		}
		fmt.Fprintf(b, `<text x="%d" y="26">%s</text>`+"\n", x+26, l.text)
		x += l.width
	}
	fmt.Fprintf(b, `<text class="dim" x="%d" y="46">Unit: machines. What a session needs counts as the part of a machine that it fills.</text>`+"\n", marginLeft)
}

// panel draws one policy.
type panel struct {
	b         *strings.Builder
	s         Samples
	from, to  time.Time
	y         float64 // of its upper edge
	top, step float64
}

func (p panel) x(t time.Time) float64 {
	share := float64(t.Sub(p.from)) / float64(max(p.to.Sub(p.from), 1))
	return marginLeft + share*(chartWidth-marginLeft-marginRight)
}

func (p panel) at(v float64) float64 { return p.y + panelHeight*(1-v/p.top) }

func (p panel) draw() {
	for v := 0.0; v <= p.top+1e-9; v += p.step {
		fmt.Fprintf(p.b, `<path class="grid" d="M%d %.1fH%d"/><text class="dim" x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", marginLeft, p.at(v), chartWidth-marginRight, marginLeft-8, p.at(v)+4, v)
	}
	sum := func(a, b []float64) []float64 {
		out := make([]float64, len(a))
		for i := range a {
			out[i] = a[i] + b[i]
		}
		return out
	}
	base := fmt.Sprintf("V%.1fH%dZ", p.at(0), marginLeft)
	fmt.Fprintf(p.b, `<path class="waiting" d="%s%s"/>`+"\n", p.steps(sum(p.s.Active, p.s.Waiting)), base)
	fmt.Fprintf(p.b, `<path class="active" d="%s%s"/>`+"\n", p.steps(p.s.Active), base)
	fmt.Fprintf(p.b, `<path class="coming" d="%s"/>`+"\n", p.steps(sum(p.s.Ready, p.s.ComingUp)))
	fmt.Fprintf(p.b, `<path class="ready" d="%s"/>`+"\n", p.steps(p.s.Ready))
	every, layout := timeStep(p.to.Sub(p.from))
	for t := p.from.Truncate(every); !t.After(p.to); t = t.Add(every) {
		if t.Before(p.from) {
			continue
		}
		fmt.Fprintf(p.b, `<path class="grid" d="M%.1f %.1fv4"/><text class="dim" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", p.x(t), p.at(0), p.x(t), p.at(0)+17, t.UTC().Format(layout))
	}
}

// steps is the path of values that hold from one sample to the next.
func (p panel) steps(values []float64) string {
	var b strings.Builder
	last := math.NaN()
	for i, v := range values {
		x, y := p.x(p.s.From.Add(time.Duration(i)*p.s.Step.D())), p.at(v)
		switch {
		case i == 0:
			fmt.Fprintf(&b, "M%.1f %.1f", x, y)
		case y != last:
			fmt.Fprintf(&b, "H%.1fV%.1f", x, y)
		}
		last = y
	}
	fmt.Fprintf(&b, "H%.1f", p.x(p.to))
	return b.String()
}

// niceStep is the distance of at most six lines that reach up to top.
func niceStep(top float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if top <= 6*n*unit {
				return n * unit
			}
		}
	}
}

// timeStep is the distance of marks on the axis of time.
func timeStep(span time.Duration) (time.Duration, string) {
	const day = 24 * time.Hour
	for _, s := range []struct {
		step   time.Duration
		layout string
	}{
		{10 * time.Second, "15:04:05"},
		{time.Minute, "15:04"},
		{5 * time.Minute, "15:04"},
		{15 * time.Minute, "15:04"},
		{time.Hour, "15:04"},
		{3 * time.Hour, "15:04"},
		{6 * time.Hour, "Mon 15:04"},
		{12 * time.Hour, "Mon 15:04"},
		{day, "Mon 2 Jan"},
		{2 * day, "2 Jan"},
		{7 * day, "2 Jan"},
	} {
		if span <= 11*s.step {
			return s.step, s.layout
		}
	}
	return 30 * day, "2 Jan"
}
