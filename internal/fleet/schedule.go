package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Weekday is a day of the week written as "mon" … "sun".
type Weekday string

var weekdays = []Weekday{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// UnmarshalJSON accepts "mon", "Mon" and "monday".
func (d *Weekday) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a weekday is text such as mon")
	}
	for i, w := range weekdays {
		if strings.EqualFold(s, string(w)) || strings.EqualFold(s, time.Weekday(i).String()) {
			*d = w
			return nil
		}
	}
	return fmt.Errorf("%q is not a weekday: write mon, tue, wed, thu, fri, sat or sun", s)
}

// TimeOfDay is a wall-clock time in minutes since midnight, written "07:30".
type TimeOfDay int

// MarshalJSON writes "07:30".
func (t TimeOfDay) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads "07:30"; "24:00" is the end of the day.
func (t *TimeOfDay) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a time of day is text such as \"07:30\" (quote it)")
	}
	v, err := ParseTimeOfDay(s)
	if err != nil {
		return err
	}
	*t = v
	return nil
}

// ParseTimeOfDay reads "07:30"; "24:00" is the end of the day.
func ParseTimeOfDay(s string) (TimeOfDay, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	at, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time of day: write HH:MM from 00:00 to 24:00", s)
	}
	return TimeOfDay(at.Hour()*60 + at.Minute()), nil
}

// String is the time as "07:30".
func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

// span is the moment range of the window that begins on the given calendar
// day.
func (w Window) span(year int, month time.Month, day int, loc *time.Location) (from, to time.Time) {
	endDay := day
	if w.End <= w.Start {
		endDay++
	}
	return w.Start.on(year, month, day, loc), w.End.on(year, month, endDay, loc)
}

// on is the moment of a wall-clock time. When clocks are put forward, a time that
// is skipped comes as much later as the clocks were put forward, so that no
// window is lost; when they are put back, a time that comes twice is the first
// one. time.Date promises neither, and does otherwise west of Greenwich.
func (t TimeOfDay) on(year int, month time.Month, day int, loc *time.Location) time.Time {
	wall := time.Date(year, month, day, 0, int(t), 0, 0, time.UTC)
	at := func(off int) (moment time.Time, exists bool) {
		moment = wall.Add(-time.Duration(off) * time.Second).In(loc)
		_, have := moment.Zone()
		return moment, have == off
	}
	_, before := wall.Add(-24 * time.Hour).In(loc).Zone()
	_, after := wall.Add(24 * time.Hour).In(loc).Zone()
	first, exists := at(before)
	if exists {
		return first
	}
	if second, exists := at(after); exists {
		return second
	}
	return first
}

// locations are the time zones that have been asked for: each time anew one
// would be read from a file.
var locations sync.Map //nolint:gochecknoglobals // what it keeps never changes

func location(name string) (*time.Location, error) {
	if known, ok := locations.Load(name); ok {
		if loc, ok := known.(*time.Location); ok {
			return loc, nil
		}
	}
	loc, err := time.LoadLocation(name)
	if err == nil { // there are as many as the system has, and no more
		locations.Store(name, loc)
	}
	return loc, err
}

// Active returns the first window that holds now. The index counts from 0; ok
// is false outside of every window. An unknown time zone is an error.
func (s ScheduleSpec) Active(now time.Time) (w Window, index int, ok bool, err error) {
	loc, err := location(s.TimeZone)
	if err != nil {
		return Window{}, 0, false, fmt.Errorf("time zone %q is not known: use an IANA name such as Europe/Berlin", s.TimeZone)
	}
	local := now.In(loc)
	for i, w := range s.Windows {
		for back := range 2 { // a window over midnight began yesterday
			begin := time.Date(local.Year(), local.Month(), local.Day()-back, 12, 0, 0, 0, loc)
			if !slices.Contains(w.Days, weekdays[begin.Weekday()]) {
				continue
			}
			from, to := w.span(begin.Year(), begin.Month(), begin.Day(), loc)
			if !now.Before(from) && now.Before(to) {
				return w, i, true, nil
			}
		}
	}
	return Window{}, 0, false, nil
}

// NextChange is the next moment after now at which a window begins or ends;
// zero when there is none within eight days.
func (s ScheduleSpec) NextChange(now time.Time) (time.Time, error) {
	loc, err := location(s.TimeZone)
	if err != nil {
		return time.Time{}, fmt.Errorf("time zone %q is not known", s.TimeZone)
	}
	var next time.Time
	local := now.In(loc)
	for _, w := range s.Windows {
		for ahead := -1; ahead <= 8; ahead++ {
			begin := time.Date(local.Year(), local.Month(), local.Day()+ahead, 12, 0, 0, 0, loc)
			if !slices.Contains(w.Days, weekdays[begin.Weekday()]) {
				continue
			}
			from, to := w.span(begin.Year(), begin.Month(), begin.Day(), loc)
			for _, t := range []time.Time{from, to} {
				if t.After(now) && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
	}
	return next, nil
}
