package simulate_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/simulate"
)

func TestReadTrace(t *testing.T) {
	t.Parallel()
	got := trace(t, "\ufeff# a comment\nduration, At ,pool,cores,memory,gpus,user,zone\n45m,2026-03-02T09:00:00+01:00,p,0.5,512Mi,1,ann,north\n\n90s,1.5,,,,,,\n")
	want := []simulate.Ask{
		{At: monday.Add(1500 * time.Millisecond), Duration: 90 * time.Second, Line: 5},
		{
			At: monday.Add(8 * time.Hour), Duration: 45 * time.Minute, Pool: "p", Zone: "north", User: "ann",
			Need: fleet.Shape{Cores: fleet.Core / 2, Memory: 512, GPUs: 1}, Line: 3,
		},
	}
	if diff := cmp.Diff(want, got.Asks); diff != "" {
		t.Errorf("asks (-want +got):\n%s", diff)
	}
	from, to := got.Span()
	if !from.Equal(want[0].At) || !to.Equal(monday.Add(8*time.Hour+45*time.Minute)) {
		t.Errorf("from %s to %s", from, to)
	}
	var b bytes.Buffer
	if err := simulate.WriteTrace(&b, got); err != nil {
		t.Fatal(err)
	}
	again := trace(t, b.String())
	for i := range again.Asks {
		again.Asks[i].Line = want[i].Line
	}
	if diff := cmp.Diff(want, again.Asks); diff != "" {
		t.Errorf("written and read again (-want +got):\n%s", diff)
	}
}

func TestReadTraceErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":  {"", []string{"demand.csv:1: is empty: it needs the header at,duration and a row for each session"}},
		"no row": {"at,duration\n", []string{"demand.csv:2: has no row: write one for each session"}},
		"header": {"at,length,at\n0,1m,1\n", []string{
			"demand.csv:1: length: is no column of a demand trace: those are at, duration, pool, cores, memory, gpus, user, zone",
			"demand.csv:1: at: is there twice",
			"demand.csv:1: duration: is missing in the header: the first line must name the columns, for example at,duration,pool,cores,memory",
		}},
		"every row": {"at,duration,cores,memory,gpus\n0,1m,1,1Gi,0\nnoon,0,x,1Q,-1\n# comment\n-5,400d,1,1Gi\n\"a\"b,1m,1,1Gi,0\n", []string{
			`demand.csv:3: at: "noon" is not a moment: write RFC 3339, as 2026-03-02T08:15:00Z, or seconds from the start, as 900`,
			`demand.csv:3: duration: "0" is out of range: write more than 0 and at most 366d`,
			`demand.csv:3: cores: "x" is not a number of cores: write for example 2 or 0.5`,
			`demand.csv:3: memory: "1Q" is not an amount of memory: write for example 512Mi or 4Gi`,
			`demand.csv:3: gpus: "-1" is not a number of GPUs: write 0 to 1000`,
			`demand.csv:5: has 4 fields, the header has 5`,
			`demand.csv:6: is no CSV: extraneous or missing " in quoted-field`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := simulate.ReadTrace("demand.csv", strings.NewReader(c.text), monday)
			if diff := cmp.Diff(c.want, problems(err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a bound", func(t *testing.T) {
		t.Parallel()
		_, err := simulate.ReadTrace("demand.csv", strings.NewReader("at,duration\n"+strings.Repeat("x,1m\n", 1000)), monday)
		if got := problems(err); len(got) != 21 || got[20] != "demand.csv: there are more than 20 problems: only the first ones are shown" {
			t.Errorf("%d problems, the last is %q", len(got), got[len(got)-1])
		}
	})
}

func TestFromSessions(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return monday.Add(time.Duration(minutes) * time.Minute) }
	p := func(t time.Time) *time.Time { return &t }
	need := fleet.Resources{Cores: fleet.Core, MemoryMiB: 512}
	got := simulate.FromSessions("history", []fleet.Session{
		{ID: "active", State: fleet.SessionActive, Pool: "p", Need: need, CreatedAt: at(30), AssignedAt: p(at(31))},
		{ID: "short", State: fleet.SessionEnded, Pool: "p", User: "ann", Need: need, CreatedAt: at(20), AssignedAt: p(at(22)), EndedAt: p(at(27))},
		{ID: "gave up", State: fleet.SessionEnded, Pool: "p", Need: need, CreatedAt: at(25), EndedAt: p(at(35))},
		{ID: "too old", State: fleet.SessionEnded, Pool: "p", Need: need, CreatedAt: at(5), AssignedAt: p(at(5)), EndedAt: p(at(9))},
		{ID: "staged", State: fleet.SessionEnded, Pool: "p", Owner: "staging/s", Need: need, CreatedAt: at(20), AssignedAt: p(at(20)), EndedAt: p(at(21))},
		{ID: "desk", State: fleet.SessionEnded, Pool: "d", Zone: "z", Need: fleet.Resources{Places: 1}, CreatedAt: at(40), AssignedAt: p(at(40)), EndedAt: p(at(47))},
	}, at(10), at(60))
	shape := fleet.Shape{Cores: fleet.Core, Memory: 512}
	want := []simulate.Ask{
		{At: at(20), Duration: 5 * time.Minute, Pool: "p", User: "ann", Need: shape},
		{At: at(25), Duration: 7 * time.Minute, Pool: "p", Need: shape}, // the median
		{At: at(30), Duration: 29 * time.Minute, Pool: "p", Need: shape},
		{At: at(40), Duration: 7 * time.Minute, Pool: "d", Zone: "z"},
	}
	if diff := cmp.Diff(want, got.Asks); diff != "" {
		t.Errorf("asks (-want +got):\n%s", diff)
	}
}
