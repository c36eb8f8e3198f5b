package fleet

import (
	"fmt"
	"testing"
	"time"
)

func allDays() []Weekday { return []Weekday{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

// TestWindowsOnDaysWhenClocksAreChanged: where a window begins and ends on the
// days on which clocks are put forward and back, east and west of Greenwich.
func TestWindowsOnDaysWhenClocksAreChanged(t *testing.T) {
	t.Parallel()
	const layout = "2006-01-02 15:04"
	for _, tc := range []struct {
		zone, start, end string
		day              string // noon of it in UTC
		from, to         string // in UTC
	}{
		// 02:00 becomes 03:00 at 01:00 UTC.
		{"Europe/Berlin", "22:00", "06:00", "2026-03-28", "2026-03-28 21:00", "2026-03-29 04:00"},
		{"Europe/Berlin", "01:30", "02:30", "2026-03-29", "2026-03-29 00:30", "2026-03-29 01:30"},
		{"Europe/Berlin", "02:15", "02:45", "2026-03-29", "2026-03-29 01:15", "2026-03-29 01:45"},
		// 03:00 becomes 02:00 at 01:00 UTC.
		{"Europe/Berlin", "22:00", "06:00", "2026-10-24", "2026-10-24 20:00", "2026-10-25 05:00"},
		{"Europe/Berlin", "02:30", "03:30", "2026-10-25", "2026-10-25 00:30", "2026-10-25 02:30"},
		// 02:00 becomes 03:00 at 07:00 UTC.
		{"America/New_York", "01:30", "02:30", "2026-03-08", "2026-03-08 06:30", "2026-03-08 07:30"},
		{"America/New_York", "01:45", "02:15", "2026-03-08", "2026-03-08 06:45", "2026-03-08 07:15"},
		{"America/New_York", "02:15", "02:45", "2026-03-08", "2026-03-08 07:15", "2026-03-08 07:45"},
		// 02:00 becomes 01:00 at 06:00 UTC.
		{"America/New_York", "01:30", "02:30", "2026-11-01", "2026-11-01 05:30", "2026-11-01 07:30"},
		{"America/New_York", "00:00", "24:00", "2026-11-01", "2026-11-01 04:00", "2026-11-02 05:00"},
		// Half an hour.
		{"Australia/Lord_Howe", "01:45", "02:15", "2026-10-04", "2026-10-03 15:15", "2026-10-03 15:45"},
		{"UTC", "12:00", "12:00", "2026-10-04", "2026-10-04 12:00", "2026-10-05 12:00"},
	} {
		name := fmt.Sprintf("%s-%s in %s on %s", tc.start, tc.end, tc.zone, tc.day)
		loc, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, err := time.Parse(time.DateOnly, tc.day)
		if err != nil {
			t.Fatal(err)
		}
		from, to := windowOf(t, tc.start, tc.end).span(day.Year(), day.Month(), day.Day(), loc)
		if got := from.UTC().Format(layout); got != tc.from {
			t.Errorf("%s begins at %s, want %s", name, got, tc.from)
		}
		if got := to.UTC().Format(layout); got != tc.to {
			t.Errorf("%s ends at %s, want %s", name, got, tc.to)
		}
	}
}

func windowOf(t *testing.T, start, end string) Window {
	t.Helper()
	parse := func(text string) TimeOfDay {
		at, err := ParseTimeOfDay(text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	return Window{Days: allDays(), Start: parse(start), End: parse(end)}
}

// TestNextChangeIsWhenAWindowBeginsOrEnds: what a schedule says every
// five minutes changes at the moments that it announces and at no others, over weeks
// in which clocks are changed. Each window holds once each day.
func TestNextChangeIsWhenAWindowBeginsOrEnds(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"} {
		for _, begin := range []time.Time{
			time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 3, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 23, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC),
		} {
			s := ScheduleSpec{TimeZone: zone, Windows: []Window{windowOf(t, "22:00", "01:40"), windowOf(t, "01:40", "02:20"), windowOf(t, "02:20", "06:00")}}
			began := map[int]int{}
			was := -2
			next := begin
			for now := begin; now.Before(begin.Add(96 * time.Hour)); now = now.Add(5 * time.Minute) {
				_, index, ok, err := s.Active(now)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					index = -1
				}
				if index != was {
					if was != -2 && !now.Equal(next) {
						t.Fatalf("%s: at %s window %d follows %d, announced for %s", zone, now, index, was, next)
					}
					if was != -2 && index >= 0 {
						began[index]++
					}
					was = index
				}
				if !now.Before(next) {
					if next, err = s.NextChange(now); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range s.Windows {
				if began[i] < 3 || began[i] > 5 {
					t.Errorf("%s from %s on: window %d began %d times in four days", zone, begin.Format(time.DateOnly), i, began[i])
				}
			}
		}
	}
}
