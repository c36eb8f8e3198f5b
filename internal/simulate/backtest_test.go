package simulate_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const estate = `
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default}
spec: {}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: p}
spec: {type: docker_agent}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: cloud}
spec: {provider: sim, max_instances: %d, settings: {cores: 4, memory: 8Gi, boot_time: 90s}}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: c}
spec:
  pool: p
  zone: default
  vm_providers: [cloud]
  standby: {cores: %d}
  downscale_backoff: 10m
`

func kinds() []provider.Kind {
	return []provider.Kind{sim.Kind(func(string) *sim.Cloud { return nil })}
}

// policy keeps so many cores free, with machines of four cores.
func policy(name string, most, standby int) simulate.Policy {
	return simulate.Policy{Name: name, Documents: []service.ApplyDocument{{Source: name + ".yaml", Text: fmt.Sprintf(estate, most, standby)}}}
}

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func trace(t *testing.T, text string) *simulate.Trace {
	t.Helper()
	out, err := simulate.ReadTrace("demand.csv", strings.NewReader(text), monday)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func backTest(t *testing.T, demand *simulate.Trace, s simulate.Setting, policies ...simulate.Policy) *simulate.Report {
	t.Helper()
	s.Kinds = kinds()
	var results []*simulate.Result
	for _, p := range policies {
		r, err := simulate.BackTest(t.Context(), p, demand, s)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	return simulate.NewReport(demand, s, results)
}

// three people ask for a whole machine each. Without standby the first two
// wait for a machine to boot, 90 s. The third finds the machine of the first,
// which was left at 11m30s. Until the end at 22m the machines have existed for
// 22m and 17m: the backoff keeps the second one.
const three = "at,duration,cores,memory\n0,10m,4,8Gi\n300,10m,4,8Gi\n720,10m,4,8Gi\n"

// TestByHand compares the table of a demand that can be followed by hand: with
// no standby (above), with a machine kept free, and with one machine at most.
//
// A machine kept free: nobody waits. One is there before the beginning, the
// second is made at 0 and the third at 5m, when the first ask and the second
// take one each. From 10m the first is free again; the surplus lasts until the
// third ask at 12m and comes back at 15m, so that nothing is deleted before
// the end: 22m + 22m + 17m.
//
// One machine at most: the second waits from 5m until 11m30s, which is less
// than its patience, and leaves at 21m30s; the third would have to wait from
// 12m until then and is still served, 9m30s later. Somebody waits for a second
// machine from 5m until 11m30s and from 12m until 21m30s, 16m of 22m.
func TestByHand(t *testing.T) {
	t.Parallel()
	s := simulate.Setting{Seed: 1, Prices: map[string]float64{"cloud": 0.5}}
	r := backTest(t, trace(t, three), s, policy("none free", 10, 0), policy("one free", 10, 4), policy("one at most", 1, 0))
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `POLICY                  none free   one free  one at most
sessions asked for              3          3            3
  served                        3          3            3
  gave up waiting               0          0            0
found a warm place          33.3%     100.0%         0.0%
waited p50                  1m30s         0s        6m30s
       p95                  1m30s         0s        9m30s
       p99                  1m30s         0s        9m30s
       longest              1m30s         0s        9m30s
machine hours                 0.7        1.0          0.4
  per session hour           1.30       2.03         1.07
machines at most                2          3            1
  made                          2          2            1
  deleted                       0          0            0
cost                     0.33 USD   0.51 USD     0.18 USD
held back by a ceiling  0s (0.0%)  0s (0.0%)  16m (72.7%)
`
	got, _, _ := strings.Cut(b.String(), "\n\n")
	if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// busy is a demand that leaves no machine unused for long.
func busy() string {
	var b strings.Builder
	b.WriteString("at,duration,cores,memory,user\n")
	for i := range 60 {
		fmt.Fprintf(&b, "%d,%dm,%d,2Gi,user%d\n", i*i*7, 5+i%17, 1+i%3, i%5)
	}
	return b.String()
}

// TestASeedTellsAll repeats a back-test with chance in it.
func TestASeedTellsAll(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		s := simulate.Setting{Seed: seed, Boot: map[string]time.Duration{"": 2 * time.Minute}, BootLaw: "lognormal"}
		b, err := json.Marshal(backTest(t, trace(t, busy()), s, policy("a", 10, 4)).Results)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first, again, other := run(5), run(5), run(6)
	if first != again {
		t.Error("the same seed gave another result:", cmp.Diff(first, again))
	}
	if first == other {
		t.Error("another seed gave the same result: nothing is drawn from it")
	}
}

// TestMoreStandbyWaitsLessAndCostsMore is what a comparison is for.
func TestMoreStandbyWaitsLessAndCostsMore(t *testing.T) {
	t.Parallel()
	r := backTest(t, trace(t, busy()), simulate.Setting{Seed: 1}, policy("0", 20, 0), policy("4", 20, 4), policy("12", 20, 12))
	for i, next := range r.Results[1:] {
		before := r.Results[i]
		if next.Sessions.Share <= before.Sessions.Share || next.Waiting.Mean >= before.Waiting.Mean || next.Machines.Hours <= before.Machines.Hours {
			t.Errorf("with %s cores free: %+v %+v %+v\nwith %s: %+v %+v %+v", before.Policy, before.Sessions, before.Waiting, before.Machines,
				next.Policy, next.Sessions, next.Waiting, next.Machines)
		}
	}
}

func TestWhoWaitsTooLongGivesUp(t *testing.T) {
	t.Parallel()
	r := backTest(t, trace(t, three), simulate.Setting{Patience: time.Minute}, policy("a", 10, 0)).Results[0]
	// Both wait a minute for nothing. The machines come up all the same, and
	// the third ask finds one.
	want := simulate.SessionFigures{Asked: 3, Served: 1, GaveUp: 2, Warm: 1, Share: 0.333333, Hours: 0.1667}
	if diff := cmp.Diff(want, r.Sessions); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	if r.Waiting.Max != fleet.Duration(time.Minute) {
		t.Errorf("the longest wait is %s", r.Waiting.Max)
	}
}

func TestWhatFitsNoMachineIsRefused(t *testing.T) {
	t.Parallel()
	r := backTest(t, trace(t, "at,duration,cores\n0,1m,5\n60,1m,1\n"), simulate.Setting{}, policy("a", 10, 4)).Results[0]
	if r.Sessions.Refused != 1 || r.Sessions.Served != 1 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "1 refused: ") {
		t.Errorf("%+v, notes %q", r.Sessions, r.Notes)
	}
}

// TestShapeAndBoot overrides what the settings say.
func TestShapeAndBoot(t *testing.T) {
	t.Parallel()
	s := simulate.Setting{
		Boot:   map[string]time.Duration{"": time.Hour, "cloud": 30 * time.Second},
		Shapes: map[string]fleet.Shape{"cloud": {Cores: 8 * fleet.Core, Memory: 16 * fleet.GiB}},
	}
	r := backTest(t, trace(t, "at,duration,cores,memory\n0,10m,8,16Gi\n"), s, policy("a", 10, 0)).Results[0]
	if r.Sessions.Served != 1 || r.Waiting.Max != fleet.Duration(30*time.Second) {
		t.Errorf("%+v %+v %q", r.Sessions, r.Waiting, r.Notes)
	}
	if want := "cloud (sim): 8 cores, 16Gi, ready after 30s, at most 10 machines"; r.Assumed[0] != want {
		t.Errorf("assumed %q, want %q", r.Assumed[0], want)
	}
}

// TestDemandMustFitThePolicy reports rows that the policy cannot serve.
func TestDemandMustFitThePolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trace   string
		setting simulate.Setting
		want    []string
	}{
		"pool, zone and need": {
			trace: "at,duration,pool,zone,cores\n0,1m,q,,1\n1,1m,p,north,1\n2,1m,p,,\n",
			want: []string{
				`demand.csv:2: pool: the policy has no pool "q": it has p`,
				`demand.csv:3: zone: the policy has no zone "north": it has default`,
				`demand.csv:4: cores: pool p is of type docker_agent: say how many cores or how much memory the session takes`,
			},
		},
		"a price without a provider": {
			trace: three, setting: simulate.Setting{Prices: map[string]float64{"clod": 1}},
			want: []string{`--price names provider "clod", which the policy does not have: it has cloud`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.setting.Kinds = kinds()
			_, err := simulate.BackTest(t.Context(), policy("a", 10, 4), trace(t, c.trace), c.setting)
			if diff := cmp.Diff(c.want, problems(err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// problems are the lines of an error for people.
func problems(err error) []string {
	var e *fleet.Error
	if !errors.As(err, &e) {
		return []string{fmt.Sprint("no error for people: ", err)}
	}
	if len(e.Fields) == 0 {
		return []string{e.Message}
	}
	var out []string
	for _, f := range e.Fields {
		out = append(out, f.String())
	}
	return out
}

// TestReports looks at the files: the picture and the page are well-formed, the
// table has at most 80 columns however many policies there are.
func TestReports(t *testing.T) {
	t.Parallel()
	var many []simulate.Policy
	for i := range 7 {
		many = append(many, policy(fmt.Sprintf("policy <%d> & a name that goes on", i), 10, i))
	}
	r := backTest(t, trace(t, three), simulate.Setting{}, many...)
	var table, svg, page bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteSVG(&svg), r.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(table.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if n := strings.Count(table.String(), "POLICY"); n < 2 {
		t.Errorf("%d blocks for seven policies:\n%s", n, table.String())
	}
	for d := xml.NewDecoder(&svg); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal("the picture is not well-formed:", err)
		}
	}
	if strings.Contains(page.String(), "policy <0>") || strings.Count(page.String(), "<svg") != 1 || strings.Contains(page.String(), "src=") {
		t.Error("the page is not escaped, has no chart or needs other files")
	}
}

// BenchmarkTwoWeeks is the size that people ask about: 5,000 sessions on up to
// 50 machines.
func BenchmarkTwoWeeks(b *testing.B) {
	var text strings.Builder
	text.WriteString("at,duration,cores,memory\n")
	for i := range 5000 {
		day, slot := i/357, i%357
		at := time.Duration(day)*24*time.Hour + 8*time.Hour + time.Duration(slot*slot%36000)*time.Second
		fmt.Fprintf(&text, "%d,%dm,2,2Gi\n", int(at.Seconds()), 20+i%60)
	}
	demand, err := simulate.ReadTrace("demand.csv", strings.NewReader(text.String()), monday)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := simulate.BackTest(b.Context(), policy("a", 50, 16), demand, simulate.Setting{Kinds: kinds()})
		if err != nil || r.Sessions.Served != 5000 {
			b.Fatal(r, err)
		}
	}
}
