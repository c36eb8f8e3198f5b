package simulate

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Report is a comparison of policies under one demand.
type Report struct {
	Demand  string    `json:"demand"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Seed    uint64    `json:"seed"`
	Assumed []string  `json:"assumed"` // of every policy
	Results []*Result `json:"policies"`
}

// NewReport compares results of one demand.
func NewReport(t *Trace, s Setting, results []*Result) *Report {
	s.defaults()
	from, to := t.Span()
	return &Report{
		Demand: t.Name, From: from, To: to, Seed: s.Seed, Results: results,
		Assumed: []string{
			fmt.Sprintf("whoever waits longer than %s gives up", fleet.Duration(s.Patience)),
			fmt.Sprintf("the policy is at work for %s before the demand begins; that time is not counted", fleet.Duration(s.WarmUp)),
			"a machine costs from the create call until the cloud no longer has it",
			"calls to the cloud take no time, and machines are never silent",
		},
	}
}

// figure is a row of the table.
type figure struct {
	title string
	value func(r *Result) string
	shown func(r *Result) bool // nil: always; else when it holds for any policy
}

func figures() []figure {
	count := func(f func(*Result) int64) func(*Result) string {
		return func(r *Result) string { return grouped(f(r)) }
	}
	span := func(f func(*Result) fleet.Duration) func(*Result) string {
		return func(r *Result) string { return f(r).String() }
	}
	return []figure{
		{"sessions asked for", count(func(r *Result) int64 { return r.Sessions.Asked }), nil},
		{"  served", count(func(r *Result) int64 { return r.Sessions.Served }), nil},
		{"  gave up waiting", count(func(r *Result) int64 { return r.Sessions.GaveUp }), nil},
		{"  refused", count(func(r *Result) int64 { return r.Sessions.Refused }), func(r *Result) bool { return r.Sessions.Refused > 0 }},
		{"  lost their machine", count(func(r *Result) int64 { return r.Sessions.Short }), func(r *Result) bool { return r.Sessions.Short > 0 }},
		{"found a warm place", func(r *Result) string { return percent(r.Sessions.Share) }, nil},
		{"waited p50", span(func(r *Result) fleet.Duration { return tidy(r.Waiting.P50) }), nil},
		{"       p95", span(func(r *Result) fleet.Duration { return tidy(r.Waiting.P95) }), nil},
		{"       p99", span(func(r *Result) fleet.Duration { return tidy(r.Waiting.P99) }), nil},
		{"       longest", span(func(r *Result) fleet.Duration { return tidy(r.Waiting.Max) }), nil},
		{"machine hours", func(r *Result) string { return decimal(r.Machines.Hours, 1) }, nil},
		{"  per session hour", func(r *Result) string {
			if r.Machines.PerSessionHour == 0 {
				return "-"
			}
			return decimal(r.Machines.PerSessionHour, 2)
		}, nil},
		{"machines at most", count(func(r *Result) int64 { return r.Machines.Most }), nil},
		{"  made", count(func(r *Result) int64 { return r.Machines.Made }), nil},
		{"  deleted", count(func(r *Result) int64 { return r.Machines.Deleted }), nil},
		{"cost", func(r *Result) string {
			var parts []string
			for _, c := range r.Costs {
				parts = append(parts, decimal(c.Amount, 2)+" "+c.Currency)
			}
			return fleet.Or(strings.Join(parts, " + "), "-")
		}, func(r *Result) bool { return len(r.Costs) > 0 }},
		{"held back by a ceiling", func(r *Result) string {
			return tidy(r.Machines.AtCeiling).String() + " (" + percent(r.Machines.CeilingShare) + ")"
		}, nil},
	}
}

// rows are the titles and values of the figures that are shown.
func (r *Report) rows() (titles []string, values [][]string) {
	for _, f := range figures() {
		if f.shown != nil && !slices.ContainsFunc(r.Results, f.shown) {
			continue
		}
		row := make([]string, len(r.Results))
		for i, one := range r.Results {
			row[i] = f.value(one)
		}
		titles, values = append(titles, f.title), append(values, row)
	}
	return titles, values
}

// The layout of the table.
const (
	lineWidth = 80
	maxName   = 24
)

// WriteTable writes the comparison for people, at most 80 columns wide: more
// policies than fit side by side follow below.
func (r *Report) WriteTable(to io.Writer) error {
	var b strings.Builder
	titles, values := r.rows()
	left := 0
	for _, t := range titles {
		left = max(left, utf8.RuneCountInString(t))
	}
	widths := make([]int, len(r.Results))
	for i, one := range r.Results {
		widths[i] = min(utf8.RuneCountInString(one.Policy), maxName)
		for _, row := range values {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for first := 0; first < len(r.Results); {
		last, width := first, left
		for last < len(r.Results) && (last == first || width+2+widths[last] <= lineWidth) {
			width += 2 + widths[last]
			last++
		}
		if first > 0 {
			b.WriteByte('\n')
		}
		line := func(title string, cell func(i int) string) {
			text := title + strings.Repeat(" ", left-utf8.RuneCountInString(title))
			for i := first; i < last; i++ {
				c := cell(i)
				text += strings.Repeat(" ", 2+widths[i]-utf8.RuneCountInString(c)) + c
			}
			b.WriteString(strings.TrimRight(text, " ") + "\n")
		}
		line("POLICY", func(i int) string { return shorten(r.Results[i].Policy, maxName) })
		for n, title := range titles {
			line(title, func(i int) string { return values[n][i] })
		}
		first = last
	}
	b.WriteByte('\n')
	wrap(&b, "", r.about())
	b.WriteString("Assumed:\n")
	for _, text := range r.assumptions() {
		wrap(&b, "- ", text)
	}
	for _, one := range r.Results {
		for _, note := range one.Notes {
			wrap(&b, "", "Note, "+one.Policy+": "+note)
		}
	}
	_, err := io.WriteString(to, b.String())
	return err
}

func (r *Report) about() string {
	return fmt.Sprintf("Demand: %s, from %s to %s. Seed %d.", r.Demand, r.From.UTC().Format("2006-01-02 15:04"), r.To.UTC().Format("2006-01-02 15:04 MST"), r.Seed)
}

// assumptions are those of every policy, and those of one with its name.
func (r *Report) assumptions() []string {
	var out []string
	for i, one := range r.Results {
		for _, text := range one.Assumed {
			common := true
			for _, other := range r.Results {
				common = common && slices.Contains(other.Assumed, text)
			}
			switch {
			case !common:
				out = append(out, one.Policy+": "+text)
			case i == 0:
				out = append(out, text)
			}
		}
	}
	return append(out, r.Assumed...)
}

// wrap writes a text in lines of at most 80 columns.
func wrap(b *strings.Builder, bullet, text string) {
	indent := strings.Repeat(" ", len(bullet))
	line := bullet
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > lineWidth:
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// tidy drops digits that nobody reads.
func tidy(d fleet.Duration) fleet.Duration {
	t := d.D()
	switch {
	case t < time.Second:
		return fleet.Duration(t.Round(time.Millisecond))
	case t < time.Minute:
		return fleet.Duration(t.Round(100 * time.Millisecond))
	}
	return fleet.Duration(t.Round(time.Second))
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'f', 1, 64) + "%" }

func decimal(f float64, digits int) string {
	text := strconv.FormatFloat(f, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return text
	}
	return grouped(n) + "." + rest
}

// grouped is a number with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
