package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// report is what a run came to, for people and for programs.
type report struct {
	At      time.Time `json:"at"`
	Go      string    `json:"go"`
	System  string    `json:"system"`
	CPU     string    `json:"cpu"`
	Cores   int       `json:"cores"`
	Load    string    `json:"load_at_begin"` // what else kept the machine busy
	LoadEnd string    `json:"load_at_end"`
	Figures []figure  `json:"figures"`
}

// figure is one number with its goal, if it has one.
type figure struct {
	What  string  `json:"what"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal,omitempty"`
	Met   *bool   `json:"met,omitempty"`
}

var (
	figuresMu sync.Mutex //nolint:gochecknoglobals // of the run of this test binary
	figures   []figure   //nolint:gochecknoglobals // likewise
)

// note adds a figure. goal is "<= n", ">= n" or empty.
func note(b *testing.B, name string, value float64, unit, goal string) {
	b.Helper()
	b.ReportMetric(value, strings.ReplaceAll(name+"-"+unit, " ", "-"))
	f := figure{What: strings.TrimPrefix(b.Name(), "Benchmark"), Name: name, Value: value, Unit: unit, Goal: goal}
	var limit float64
	if n, err := fmt.Sscanf(strings.TrimLeft(goal, "<>= "), "%g", &limit); n == 1 && err == nil {
		met := value <= limit
		if strings.HasPrefix(goal, ">=") {
			met = value >= limit
		}
		f.Met = &met
	}
	figuresMu.Lock()
	defer figuresMu.Unlock()
	// A benchmark function runs more than once; the last run counts.
	figures = slices.DeleteFunc(figures, func(o figure) bool { return o.What == f.What && o.Name == f.Name })
	figures = append(figures, f)
}

func TestMain(m *testing.M) {
	r := report{At: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuName(), Cores: runtime.NumCPU(), Load: load()} //nolint:forbidigo // when it was measured
	code := m.Run()
	r.LoadEnd, r.Figures = load(), append(figures, more(os.Getenv("HEADROOM_BENCH_MORE"))...)
	r.Figures = append(r.Figures, toLimit(r.Figures)...)
	if len(figures) > 0 {
		if err := r.write(os.Getenv("HEADROOM_BENCH_JSON")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = cmp.Or(code, 1)
		}
	}
	os.Exit(code)
}

func (r report) write(path string) error {
	fmt.Printf("\n%s, %s, %d cores (%s); load average %s at the begin, %s at the end\n\n", r.Go, r.System, r.Cores, r.CPU, r.Load, r.LoadEnd)
	for _, f := range r.Figures {
		verdict := ""
		if f.Met != nil {
			verdict = map[bool]string{true: "met", false: "MISSED"}[*f.Met]
		}
		fmt.Printf("%-44s %-28s %12.5g %-12s %-9s %s\n", f.What, f.Name, f.Value, f.Unit, f.Goal, verdict)
	}
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err == nil {
		fmt.Println("\nwritten to", path)
	}
	return err
}

// more are the figures of benchmarks that write the usual lines of Go: name,
// runs, and pairs of value and unit.
func more(path string) (list []figure) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // none was asked for
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				list = append(list, figure{What: "store " + plainName(f[0]), Name: "one", Value: v, Unit: f[i+1]})
			}
		}
	}
	return list
}

// plainName is the name of a benchmark without what Go adds to it.
func plainName(name string) string {
	name = strings.TrimPrefix(name, "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

// toLimit compares rates of acquires with what the bare statements came to in
// the same run, where both were measured on pools of the same number of servers.
func toLimit(all []figure) (list []figure) {
	value := func(what, name, unit string) float64 {
		for _, f := range all {
			if f.What == what && f.Name == name && f.Unit == unit {
				return f.Value
			}
		}
		return 0
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, servers := range []int{100, 10_000} {
			limit := value(fmt.Sprintf("store AcquireLimit/%s/servers=%d", kind, servers), "one", "acquires/s")
			for _, whole := range []struct {
				what, name string
				rate       float64
			}{
				{fmt.Sprintf("store Acquire/%s/servers=%d", kind, servers), "to the bare limit", value(fmt.Sprintf("store Acquire/%s/servers=%d", kind, servers), "one", "acquires/s")},
				{fmt.Sprintf("Acquire/%s/places=%d", kind, servers*placesOfOne), "in process, to the bare limit", value(fmt.Sprintf("Acquire/%s/places=%d", kind, servers*placesOfOne), "in process rate", "/s")},
			} {
				if limit == 0 || whole.rate == 0 {
					continue
				}
				met := whole.rate/limit >= 0.5
				list = append(list, figure{What: whole.what, Name: whole.name, Value: whole.rate / limit, Unit: "x", Goal: ">= 0.5", Met: &met})
			}
		}
	}
	return list
}

func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown"
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// cpuTime is what this process has used so far. Unlike the time on the wall it
// hardly depends on what else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// percentile of sorted durations, in milliseconds.
func percentile(took []time.Duration, p int) float64 {
	return float64(took[(len(took)-1)*p/100].Microseconds()) / 1000
}
