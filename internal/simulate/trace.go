package simulate

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Bounds of a demand trace.
const (
	MaxTraceBytes = 256 << 20
	MaxTraceRows  = 2_000_000
	maxRowErrors  = 20
	maxTraceSpan  = 366 * 24 * time.Hour
)

// Ask is somebody who wants a session.
type Ask struct {
	At       time.Time
	Duration time.Duration // of use, from the moment at which the session is served
	Pool     string        // empty: the only pool of the policy
	Zone     string
	User     string
	Need     fleet.Shape
	Line     int // of the trace file; 0: it came from elsewhere
}

// Trace is a demand over time.
type Trace struct {
	Name string // file name, or where it came from
	Asks []Ask  // in order of time
}

// Span is from the first ask until the last session would end if each was
// served at once.
func (t *Trace) Span() (from, to time.Time) {
	for i, a := range t.Asks {
		if end := a.At.Add(a.Duration); i == 0 || end.After(to) {
			to = end
		}
	}
	if len(t.Asks) > 0 {
		from = t.Asks[0].At
	}
	return from, to
}

// columns are what a trace file can have, in the order in which it is written.
func columns() []string {
	return []string{"at", "duration", "pool", "cores", "memory", "gpus", "user", "zone"}
}

// ReadTrace reads a demand trace: CSV with a header that names the columns at,
// duration and, where wanted, pool, cores, memory, gpus, user and zone. Seconds
// in the column at count from start. Every wrong row is reported, with file and
// line, up to a bound.
func ReadTrace(name string, r io.Reader, start time.Time) (*Trace, error) {
	limited := &io.LimitedReader{R: r, N: MaxTraceBytes + 1}
	text := bufio.NewReaderSize(limited, 1<<16)
	if mark, err := text.Peek(3); err == nil && string(mark) == "\ufeff" { // spreadsheets write it
		_, _ = text.Discard(len(mark))
	}
	c := csv.NewReader(text)
	c.Comment, c.TrimLeadingSpace, c.ReuseRecord, c.FieldsPerRecord = '#', true, true, -1
	p := traceParser{name: name, start: start, trace: &Trace{Name: name}}
	header := true
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var wrong *csv.ParseError
		switch {
		case limited.N <= 0:
			return nil, fleet.Errorf(fleet.CodeTooLarge, "the demand trace %s is larger than %d bytes", name, MaxTraceBytes)
		case errors.As(err, &wrong):
			p.bad(wrong.Line, "", nil, "is no CSV: "+wrong.Err.Error())
			if p.full() {
				return nil, p.err()
			}
			continue
		case err != nil:
			return nil, fleet.Errorf(fleet.CodeInvalid, "the demand trace %s cannot be read: %w", name, err)
		}
		line, _ := c.FieldPos(0)
		if header {
			if header = false; !p.header(record, line) {
				return nil, p.err()
			}
			continue
		}
		if p.row(record, line); p.full() {
			return nil, p.err()
		}
		if len(p.trace.Asks) > MaxTraceRows {
			return nil, fleet.Errorf(fleet.CodeTooLarge, "the demand trace %s has more than %d rows", name, MaxTraceRows)
		}
	}
	if header {
		p.bad(1, "", nil, "is empty: it needs the header at,duration and a row for each session")
	} else if len(p.trace.Asks) == 0 && len(p.wrong) == 0 {
		p.bad(2, "", nil, "has no row: write one for each session")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	p.trace.sort()
	if from, to := p.trace.Span(); to.Sub(from) > maxTraceSpan {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the demand trace %s lasts from %s until %s: a back-test covers at most 366 days", name, from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return p.trace, nil
}

func (t *Trace) sort() {
	slices.SortStableFunc(t.Asks, func(a, b Ask) int { return a.At.Compare(b.At) })
}

type traceParser struct {
	name  string
	start time.Time
	index map[string]int // column → field
	trace *Trace
	wrong []fleet.FieldError
}

func (p *traceParser) full() bool { return len(p.wrong) > maxRowErrors }

func (p *traceParser) err() error {
	if p.full() {
		p.wrong = append(p.wrong[:maxRowErrors], fleet.FieldError{Source: p.name, Message: fmt.Sprintf("there are more than %d problems: only the first ones are shown", maxRowErrors)})
	}
	return fleet.Invalid("demand trace", p.wrong)
}

func (p *traceParser) bad(line int, column string, value any, message string) {
	p.wrong = append(p.wrong, fleet.FieldError{Source: p.name + ":" + strconv.Itoa(line), Path: column, Value: value, Message: message})
}

// header reads the names of the columns; false when the rows cannot be read.
func (p *traceParser) header(record []string, line int) bool {
	p.index = map[string]int{}
	for i, name := range record {
		name = strings.ToLower(strings.TrimSpace(name))
		switch _, twice := p.index[name]; {
		case !slices.Contains(columns(), name):
			p.bad(line, name, nil, "is no column of a demand trace: those are "+strings.Join(columns(), ", "))
		case twice:
			p.bad(line, name, nil, "is there twice")
		}
		p.index[name] = i
	}
	for _, name := range columns()[:2] {
		if _, ok := p.index[name]; !ok {
			p.bad(line, name, nil, "is missing in the header: the first line must name the columns, for example at,duration,pool,cores,memory")
		}
	}
	return len(p.wrong) == 0
}

func (p *traceParser) row(record []string, line int) {
	if len(record) != len(p.index) {
		p.bad(line, "", nil, fmt.Sprintf("has %d fields, the header has %d", len(record), len(p.index)))
		return
	}
	a, before := Ask{Line: line}, len(p.wrong)
	parse := func(column string, read func(string) error) {
		i, ok := p.index[column]
		if !ok {
			return
		}
		text := strings.TrimSpace(record[i])
		if text == "" && column != "at" && column != "duration" {
			return
		}
		if err := read(text); err != nil {
			p.bad(line, column, text, err.Error())
		}
	}
	parse("at", func(s string) (err error) {
		a.At, err = moment(s, p.start)
		return err
	})
	parse("duration", func(s string) error {
		d, err := fleet.ParseDuration(s)
		a.Duration = d.D()
		if err == nil && (d <= 0 || d.D() > maxTraceSpan) {
			err = fmt.Errorf("%q is out of range: write more than 0 and at most 366d", s)
		}
		return err
	})
	parse("cores", func(s string) (err error) {
		a.Need.Cores, err = fleet.ParseCores(s)
		return err
	})
	parse("memory", func(s string) (err error) {
		a.Need.Memory, err = fleet.ParseMemory(s)
		return err
	})
	parse("gpus", func(s string) (err error) {
		if a.Need.GPUs, err = strconv.ParseInt(s, 10, 64); err != nil || a.Need.GPUs < 0 || a.Need.GPUs > 1000 {
			return fmt.Errorf("%q is not a number of GPUs: write 0 to 1000", s)
		}
		return nil
	})
	for _, f := range []struct {
		column string
		to     *string
	}{{"pool", &a.Pool}, {"user", &a.User}, {"zone", &a.Zone}} {
		parse(f.column, func(s string) error {
			if *f.to = s; len(s) > 255 {
				return errors.New("is longer than 255 bytes")
			}
			return nil
		})
	}
	if len(p.wrong) == before {
		p.trace.Asks = append(p.trace.Asks, a)
	}
}

// moment reads RFC 3339 or a number of seconds from start.
func moment(s string, start time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(seconds >= 0 && seconds <= maxTraceSpan.Seconds()) {
		return time.Time{}, fmt.Errorf("%q is not a moment: write RFC 3339, as 2026-03-02T08:15:00Z, or seconds from the start, as 900", s)
	}
	return start.Add(time.Duration(seconds * float64(time.Second))), nil
}

// WriteTrace writes a trace as CSV that ReadTrace reads.
func WriteTrace(w io.Writer, t *Trace) error {
	c := csv.NewWriter(w)
	if err := c.Write(columns()); err != nil {
		return fmt.Errorf("writing the demand trace: %w", err)
	}
	for _, a := range t.Asks {
		amount := func(zero bool, s string) string {
			if zero {
				return ""
			}
			return s
		}
		err := c.Write([]string{
			a.At.UTC().Format(time.RFC3339Nano), fleet.Duration(a.Duration).String(), a.Pool,
			amount(a.Need.Cores == 0, a.Need.Cores.String()), amount(a.Need.Memory == 0, a.Need.Memory.String()),
			amount(a.Need.GPUs == 0, strconv.FormatInt(a.Need.GPUs, 10)), a.User, a.Zone,
		})
		if err != nil {
			return fmt.Errorf("writing the demand trace: %w", err)
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("writing the demand trace: %w", err)
	}
	return nil
}

// FromSessions makes a trace of the sessions that were asked for since a
// moment. Those that were never served would have lasted as long as half of
// the others at least; those that still live count as ending now. Sessions that
// a staging made are no demand.
func FromSessions(name string, sessions []fleet.Session, since, now time.Time) *Trace {
	t := &Trace{Name: name}
	var lengths []time.Duration
	var unserved []int
	for _, s := range sessions {
		if s.CreatedAt.Before(since) || s.State == fleet.SessionStaged || strings.HasPrefix(s.Owner, "staging/") {
			continue
		}
		a := Ask{
			At: s.CreatedAt.UTC(), Pool: s.Pool, Zone: s.Zone, User: s.User,
			Need: fleet.Shape{Cores: s.Need.Cores, Memory: fleet.Memory(s.Need.MemoryMiB), GPUs: s.Need.GPUs},
		}
		if s.AssignedAt == nil {
			unserved = append(unserved, len(t.Asks))
		} else {
			a.Duration = max(fleet.Value(s.EndedAt, now).Sub(*s.AssignedAt), time.Second)
			lengths = append(lengths, a.Duration)
		}
		t.Asks = append(t.Asks, a)
	}
	slices.Sort(lengths)
	median := 10 * time.Minute
	if len(lengths) > 0 {
		median = lengths[len(lengths)/2]
	}
	for _, i := range unserved {
		t.Asks[i].Duration = median
	}
	t.sort()
	return t
}
