package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// column describes one column of a table.
type column struct {
	title string
	wide  bool // only with -o wide
	flex  bool // may be cut with … to fit the terminal; never a name or an id
	drop  int  // columns that do not fit are left out, the highest number first; 0: never
	aged  bool // changes by the passing of time alone
	color func(string) string
}

const (
	gap     = 2  // spaces between columns
	minFlex = 16 // width of a column that is cut below which other columns are left out
	minCut  = 4  // narrowest form of it when there is nothing more to leave out
)

// layout is a table whose columns have been fitted.
type layout struct {
	columns []column
	index   []int // of the cells of a row that are shown
	widths  []int
	color   bool
}

// fit chooses columns and widths for the rows. A width of 0 is unlimited.
func fit(columns []column, rows [][]string, width int, wide, color bool) layout {
	l := layout{color: color}
	for i, c := range columns {
		if c.wide && !wide {
			continue
		}
		w := utf8.RuneCountInString(c.title)
		for _, row := range rows {
			w = max(w, utf8.RuneCountInString(row[i]))
		}
		l.columns, l.index, l.widths = append(l.columns, c), append(l.index, i), append(l.widths, w)
	}
	if width <= 0 {
		return l
	}
	for !wide && l.narrowest() > width && l.dropOne() {
	}
	if over := l.total() - width; over > 0 {
		for i, c := range l.columns {
			if c.flex {
				l.widths[i] = max(l.widths[i]-over, min(minCut, l.widths[i]))
			}
		}
	}
	return l
}

func (l *layout) total() int {
	n := gap * (len(l.widths) - 1)
	for _, w := range l.widths {
		n += w
	}
	return n
}

// narrowest is the width with the flexible column at its smallest.
func (l *layout) narrowest() int {
	n := l.total()
	for i, c := range l.columns {
		if c.flex {
			n -= max(0, l.widths[i]-minFlex)
		}
	}
	return n
}

// dropOne leaves out the least important column; false when all are needed.
func (l *layout) dropOne() bool {
	worst := -1
	for i, c := range l.columns {
		if c.drop > 0 && (worst < 0 || c.drop >= l.columns[worst].drop) {
			worst = i
		}
	}
	if worst < 0 {
		return false
	}
	l.columns = append(l.columns[:worst:worst], l.columns[worst+1:]...)
	l.index = append(l.index[:worst:worst], l.index[worst+1:]...)
	l.widths = append(l.widths[:worst:worst], l.widths[worst+1:]...)
	return true
}

func (l *layout) header(w io.Writer) error {
	var b strings.Builder
	for i, c := range l.columns {
		l.cell(&b, i, c.title, nil)
	}
	return endLine(w, &b)
}

func (l *layout) row(w io.Writer, cells []string) error {
	var b strings.Builder
	for i, c := range l.columns {
		l.cell(&b, i, cells[l.index[i]], c.color)
	}
	return endLine(w, &b)
}

func (l *layout) cell(b *strings.Builder, i int, text string, color func(string) string) {
	n := utf8.RuneCountInString(text)
	if n > l.widths[i] && l.columns[i].flex {
		text, n = cut(text, l.widths[i]), l.widths[i]
	}
	if l.color && color != nil {
		text = color(text)
	}
	b.WriteString(text)
	if i < len(l.columns)-1 {
		b.WriteString(strings.Repeat(" ", max(0, l.widths[i]-n)+gap))
	}
}

func endLine(w io.Writer, b *strings.Builder) error {
	_, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	return err
}

// cut shortens text to n runes, the last of them an ellipsis.
func cut(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	if n < 1 {
		return ""
	}
	return strings.TrimRight(string(runes[:n-1]), " ") + "…"
}

// printable makes foreign text safe for a terminal: machines and clouds must
// not be able to send escape sequences. Line breaks and tabs are kept.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) || unicode.IsSpace(r) && r != '\r' {
			return r
		}
		if r == '\r' {
			return -1
		}
		return '\uFFFD'
	}, s)
}

// oneLine is printable text on a single line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(printable(s)), " ")
}

// paint is an ANSI colour.
func paint(code string) func(string) string {
	return func(s string) string {
		if s == "" || s == "-" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
}

// stateColor shows at a glance what is well, on its way or wrong.
func stateColor(s string) string {
	switch s {
	case "ready", "active", "ok", "closed", "created", "info":
		return paint("32")(s)
	case "failed", "error", "missing", "open", "lost":
		return paint("31")(s)
	case "draining", "deleting", "queued", "warning", "warn", "frozen", "half_open", "blocked":
		return paint("33")(s)
	case "planned", "creating", "booting", "configuring", "staged":
		return paint("36")(s)
	case "gone", "ended":
		return paint("2")(s)
	}
	return s
}
