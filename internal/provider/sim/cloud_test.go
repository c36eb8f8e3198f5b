package sim_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newCloud(o sim.Options) (*sim.Cloud, *clocktesting.FakeClock) {
	c := clocktesting.NewFakeClock(start)
	o.Clock = c
	return sim.NewCloud(o), c
}

func request(server string) provider.Request {
	return provider.Request{
		Token: "token-" + server, Name: "name-" + server,
		Tags:      provider.Tags{Installation: "inst", Provider: "cloud", Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{RegistrationToken: "registration-" + server},
	}
}

func owner() provider.Owner { return request("").Tags.Owner() }

func mustCreate(t *testing.T, d provider.Driver, server string) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), request(server))
	if err != nil {
		t.Fatalf("create %s: %v", server, err)
	}
	return i
}

func list(t *testing.T, d provider.Driver) (ids []string, err error) {
	t.Helper()
	for i, err := range d.List(t.Context(), owner()) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, i.ID)
	}
	return ids, nil
}

func TestStatesFollowTheClock(t *testing.T) {
	t.Parallel()
	cloud, c := newCloud(sim.Options{})
	d := cloud.Driver(sim.Behaviour{Boot: sim.Always(10 * time.Second), DeleteTime: sim.Always(5 * time.Second)})
	faults := map[string]sim.Fault{
		"never": {NeverBoot: true}, "fails": {FailAfter: 3 * time.Second}, "dies": {DieAfter: 20 * time.Second},
	}
	cloud.Script(func(call sim.Call) sim.Fault { return faults[call.Server] })
	servers := []string{"plain", "never", "fails", "dies"}
	ids := map[string]string{}
	for _, s := range servers {
		ids[s] = mustCreate(t, d, s).ID
	}
	states := func() map[string]provider.State {
		got := map[string]provider.State{}
		for _, s := range servers {
			i, err := d.Get(t.Context(), ids[s])
			if err != nil {
				got[s] = provider.State(provider.ClassOf(err))
				continue
			}
			if (i.State == provider.StateRunning) != (len(i.Addresses) == 1) {
				t.Errorf("%s is %s with addresses %v", s, i.State, i.Addresses)
			}
			got[s] = i.State
		}
		return got
	}
	const pending, running, failed, stopped = provider.StatePending, provider.StateRunning, provider.StateFailed, provider.StateStopped
	for _, step := range []struct {
		after time.Duration
		want  map[string]provider.State
	}{
		{0, map[string]provider.State{"plain": pending, "never": pending, "fails": pending, "dies": pending}},
		{3 * time.Second, map[string]provider.State{"plain": pending, "never": pending, "fails": failed, "dies": pending}},
		{7 * time.Second, map[string]provider.State{"plain": running, "never": pending, "fails": failed, "dies": running}},
		{20 * time.Second, map[string]provider.State{"plain": running, "never": pending, "fails": failed, "dies": stopped}},
	} {
		if step.after > 0 {
			next, ok := cloud.NextChange(c.Now())
			if !ok || next.Sub(c.Now()) != step.after {
				t.Errorf("the next change is said to come after %v, expected %v", next.Sub(c.Now()), step.after)
			}
		}
		c.Step(step.after)
		if diff := cmp.Diff(step.want, states()); diff != "" {
			t.Errorf("states at %v:\n%s", c.Now().Sub(start), diff)
		}
	}
	if err := d.Delete(t.Context(), ids["plain"]); err != nil {
		t.Fatal(err)
	}
	c.Step(4 * time.Second)
	if got := states()["plain"]; got != provider.StateDeleting {
		t.Errorf("4 s after the delete the machine is %s", got)
	}
	c.Step(time.Second)
	if got := states()["plain"]; got != provider.State(provider.NotFound) {
		t.Errorf("5 s after the delete the machine is %s", got)
	}
	if _, ok := cloud.NextChange(c.Now()); ok {
		t.Error("something is said to change though everything has come to rest")
	}
}

func TestListLag(t *testing.T) {
	t.Parallel()
	cloud, c := newCloud(sim.Options{})
	d := cloud.Driver(sim.Behaviour{ListLag: sim.Always(30 * time.Second)})
	i := mustCreate(t, d, "a")
	shown := func(want int) {
		t.Helper()
		if ids, err := list(t, d); err != nil || len(ids) != want {
			t.Errorf("after %v the listing shows %v, %v; expected %d", c.Now().Sub(start), ids, err, want)
		}
	}
	shown(0)
	if again := mustCreate(t, d, "a"); again.ID != i.ID {
		t.Errorf("the token lags: %s and %s", i.ID, again.ID)
	}
	c.Step(30 * time.Second)
	shown(1)
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound || err == nil {
		t.Errorf("get after the delete: %v", err)
	}
	c.Step(29 * time.Second)
	shown(1)
	c.Step(time.Second)
	shown(0)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options   sim.Options
		behaviour sim.Behaviour
		change    func(*sim.Cloud)
		want      provider.Class
		frees     bool // a delete makes room
	}{
		"quota of the account": {sim.Options{Quota: 1}, sim.Behaviour{}, nil, provider.Quota, true},
		"quota of the owner":   {sim.Options{}, sim.Behaviour{Quota: 1}, nil, provider.Quota, true},
		"stock":                {sim.Options{}, sim.Behaviour{}, func(c *sim.Cloud) { c.SetStock("", 1) }, provider.NoCapacity, true},
		"request rate":         {sim.Options{}, sim.Behaviour{RequestRate: 1}, nil, provider.RateLimited, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, _ := newCloud(tc.options)
			if tc.change != nil {
				tc.change(cloud)
			}
			d := cloud.Driver(tc.behaviour)
			first := mustCreate(t, d, "a")
			_, err := d.Create(t.Context(), request("b"))
			if err == nil || provider.ClassOf(err) != tc.want {
				t.Fatalf("second create: %v, expected %s", err, tc.want)
			}
			if n := len(cloud.Instances()); n != 1 {
				t.Errorf("%d machines exist", n)
			}
			if !tc.frees {
				return
			}
			if err := d.Delete(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			mustCreate(t, d, "c")
		})
	}
}

func TestFaultsOfCreateAndDelete(t *testing.T) {
	t.Parallel()
	cloud, _ := newCloud(sim.Options{})
	d := cloud.Driver(sim.Behaviour{})
	refusal := sim.Refuse(provider.Unavailable)
	refusal.LeaveDisk = true
	for _, tc := range []struct {
		name            string
		fault           sim.Fault
		machines, disks int // added
		fails           bool
	}{
		{"refused", sim.Refuse(provider.Forbidden), 0, 0, true},
		{"half made", refusal, 0, 1, true},
		{"lost", sim.Fault{Lost: true}, 1, 0, true},
		{"twice", sim.Fault{Twice: true}, 2, 0, false},
	} {
		machines, disks := len(cloud.Instances()), len(cloud.Remnants())
		cloud.Script(func(sim.Call) sim.Fault { return tc.fault })
		_, err := d.Create(t.Context(), request(tc.name))
		if (err != nil) != tc.fails {
			t.Errorf("%s: %v", tc.name, err)
		}
		if m, k := len(cloud.Instances())-machines, len(cloud.Remnants())-disks; m != tc.machines || k != tc.disks {
			t.Errorf("%s: made %d machines and %d disks, expected %d and %d", tc.name, m, k, tc.machines, tc.disks)
		}
	}
	cloud.Script(func(sim.Call) sim.Fault { return sim.Fault{LeaveDisk: true, Lost: true} })
	disks := len(cloud.Remnants())
	for _, m := range cloud.Instances() {
		if err := d.Delete(t.Context(), m.ID); provider.ClassOf(err) != provider.Unavailable || err == nil {
			t.Errorf("lost delete: %v", err)
		}
	}
	if m, k := len(cloud.Instances()), len(cloud.Remnants())-disks; m != 0 || k != 3 {
		t.Errorf("after the deletes %d machines are left and %d disks were added, expected 0 and 3", m, k)
	}
}

func TestFaultsOfList(t *testing.T) {
	t.Parallel()
	cloud, _ := newCloud(sim.Options{})
	d := cloud.Driver(sim.Behaviour{Page: 3})
	for i := range 5 {
		mustCreate(t, d, fmt.Sprint(i))
	}
	for name, tc := range map[string]struct {
		fault sim.Fault
		shown int
		fails bool
	}{
		"none":     {sim.Fault{}, 5, false},
		"at once":  {sim.Fault{FailList: true}, 0, true},
		"midway":   {sim.Fault{FailList: true, After: 2}, 2, true},
		"silently": {sim.Fault{CutList: true, After: 2}, 2, false},
		"empty":    {sim.Fault{CutList: true}, 0, false},
		"repeated": {sim.Fault{Repeat: true}, 10, false},
	} {
		cloud.Script(func(sim.Call) sim.Fault { return tc.fault })
		ids, err := list(t, d)
		if len(ids) != tc.shown || (err != nil) != tc.fails {
			t.Errorf("%s: %d machines, %v; expected %d", name, len(ids), err, tc.shown)
		}
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	cloud, c := newCloud(sim.Options{})
	d := cloud.Driver(sim.Behaviour{})
	cloud.Outage(start.Add(time.Minute), start.Add(2*time.Minute), "")
	for _, want := range []bool{true, false, true} {
		if _, err := list(t, d); (err == nil) != want || err != nil && provider.ClassOf(err) != provider.Unavailable {
			t.Errorf("at %v: %v", c.Now().Sub(start), err)
		}
		c.Step(time.Minute)
	}
}

func TestMaxExisted(t *testing.T) {
	t.Parallel()
	cloud, c := newCloud(sim.Options{})
	d := cloud.Driver(sim.Behaviour{DeleteTime: sim.Always(time.Second)})
	for round := range 200 { // long enough for the cloud to drop what is gone
		a, b := mustCreate(t, d, fmt.Sprint("a", round)), mustCreate(t, d, fmt.Sprint("b", round))
		for _, id := range []string{a.ID, b.ID} {
			if err := d.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		c.Step(time.Second)
	}
	cloud.Plant("foreign", provider.Tags{})
	if n := cloud.MaxExisted(owner()); n != 2 {
		t.Errorf("at most %d machines existed at once, expected 2", n)
	}
	if n := cloud.MaxExisted(provider.Owner{}); n != 2 {
		t.Errorf("at most %d machines of all owners existed at once, expected 2", n)
	}
	if ids, err := list(t, d); err != nil || len(ids) != 0 {
		t.Errorf("the listing shows %v, %v", ids, err)
	}
	// A late repetition of a create must not bring a machine back.
	if i, err := d.Create(t.Context(), request("a0")); provider.ClassOf(err) != provider.Conflict || err == nil {
		t.Errorf("create with the token of a machine that is gone: %+v, %v", i, err)
	}
}

// The same seed gives the same run, whatever the order of concurrent calls;
// another seed gives another.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, concurrent bool) map[string]string {
		cloud, c := newCloud(sim.Options{Seed: seed})
		d := cloud.Driver(sim.Behaviour{
			Boot:  sim.Spread{Law: sim.Lognormal, Mean: time.Minute},
			Rates: sim.Rates{FailCall: 0.2, LoseCreate: 0.2, NeverBoot: 0.2, Die: 0.3, LeaveDisk: 0.1},
		})
		var mu sync.Mutex
		out := map[string]string{}
		var wg sync.WaitGroup
		for n := range 50 {
			create := func() {
				_, err := d.Create(context.Background(), request(fmt.Sprint(n)))
				mu.Lock()
				defer mu.Unlock()
				out[fmt.Sprint(n)] = fmt.Sprint(err)
			}
			if concurrent {
				wg.Go(create)
			} else {
				create()
			}
		}
		wg.Wait()
		c.Step(time.Minute)
		for _, m := range cloud.Instances() {
			out[m.Tags.Server] += " " + string(m.State)
		}
		return out
	}
	first := run(7, false)
	if diff := cmp.Diff(first, run(7, true)); diff != "" {
		t.Errorf("the order of the calls changed the run:\n%s", diff)
	}
	if cmp.Diff(first, run(8, false)) == "" {
		t.Error("another seed gave the same run")
	}
}

func TestSpreads(t *testing.T) {
	t.Parallel()
	for _, law := range []sim.Law{"", sim.Fixed, sim.Uniform, sim.Exponential, sim.Lognormal} {
		cloud, c := newCloud(sim.Options{Seed: 3})
		d := cloud.Driver(sim.Behaviour{Boot: sim.Spread{Law: law, Mean: time.Minute, Max: 5 * time.Minute}})
		const n = 2000
		for i := range n {
			mustCreate(t, d, fmt.Sprint(i))
		}
		var sum time.Duration
		for {
			next, ok := cloud.NextChange(c.Now())
			if !ok {
				break
			}
			c.SetTime(next)
			ran := cloud.DueCheckins(next)
			for _, m := range ran {
				sum += next.Sub(start)
				cloud.CheckedIn(m.Instance)
			}
			if len(ran) == 0 {
				t.Fatalf("%s: at %v nothing changed", law, next.Sub(start))
			}
			if next.Sub(start) > 5*time.Minute {
				t.Fatalf("%s: %v is beyond the maximum", law, next.Sub(start))
			}
		}
		if mean := sum / n; mean < 54*time.Second || mean > 66*time.Second {
			t.Errorf("%s: the mean is %v, expected about 1m", law, mean)
		}
	}
}

// A request travels for half of the latency: who gives up before has made
// nothing, who gives up later has made a machine.
func TestLatency(t *testing.T) {
	t.Parallel()
	for patience, want := range map[time.Duration]int{4 * time.Second: 0, 6 * time.Second: 1} {
		t.Run(patience.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cloud := sim.NewCloud(sim.Options{Clock: clock.RealClock{}})
				d := cloud.Driver(sim.Behaviour{Latency: sim.Always(10 * time.Second), LatencyOf: map[sim.Operation]sim.Spread{sim.OpGet: {}}})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := d.Create(ctx, request("a"))
				if provider.ClassOf(err) != provider.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("create: %v", err)
				}
				if n := len(cloud.Instances()); n != want {
					t.Errorf("%d machines exist, expected %d", n, want)
				}
			})
		})
	}
}

func TestAgents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cloud := sim.NewCloud(sim.Options{Clock: clock.RealClock{}})
		cloud.Script(func(c sim.Call) sim.Fault { return sim.Fault{Mute: c.Server == "mute"} })
		d := cloud.Driver(sim.Behaviour{Boot: sim.Always(5 * time.Second), Shape: fleet.Resources{Cores: 2000}})
		began := time.Now()
		registered, beats := map[string]time.Duration{}, map[string]int{}
		refused := 0
		agents := sim.Agents{
			Cloud: cloud, Clock: clock.RealClock{}, Look: time.Second, Every: 10 * time.Second,
			Register: func(_ context.Context, c sim.Checkin) error {
				if refused == 0 {
					refused++
					return errors.New("the controller starts")
				}
				if c.Instance.Capacity.Cores != 2000 || c.Bootstrap.RegistrationToken != "registration-"+c.Instance.Tags.Server {
					t.Errorf("check-in: %+v", c)
				}
				registered[c.Instance.Tags.Server] = time.Since(began)
				return nil
			},
			Heartbeat: func(_ context.Context, c sim.Checkin) error { beats[c.Instance.Tags.Server]++; return nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- agents.Run(ctx) }()
		a := mustCreate(t, d, "a")
		mustCreate(t, d, "mute")
		timer := time.NewTimer(35500 * time.Millisecond)
		<-timer.C
		if err := d.Delete(t.Context(), a.ID); err != nil {
			t.Error(err)
		}
		timer.Reset(time.Minute)
		<-timer.C
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		// The first try at 5 s is refused, so that the next look registers.
		if at := registered["a"]; len(registered) != 1 || at != 6*time.Second {
			t.Errorf("registered: %v", registered)
		}
		if diff := cmp.Diff(map[string]int{"a": 3}, beats); diff != "" {
			t.Errorf("signs of life:\n%s", diff)
		}
	})
}

func TestKind(t *testing.T) {
	t.Parallel()
	cloud, c := newCloud(sim.Options{})
	kind := sim.Kind(func(name string) *sim.Cloud {
		if name != "default" {
			return nil
		}
		return cloud
	})
	s := kind.NewSettings()
	d, err := kind.Open(t.Context(), s, provider.Host{})
	if err != nil {
		t.Fatal(err)
	}
	i := mustCreate(t, d, "a")
	if want := (fleet.Resources{Cores: 2000, MemoryMiB: 2048}); i.Capacity != want {
		t.Errorf("a machine of the default settings has %v, expected %v", i.Capacity, want)
	}
	c.Step(2 * time.Second)
	if m := cloud.Instances()[0]; m.State != provider.StateRunning {
		t.Errorf("after the default boot time the machine is %s", m.State)
	}
	wrong, err := kind.Open(t.Context(), &sim.Settings{APIToken: "invalid"}, provider.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Create(t.Context(), request("b")); err == nil || provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("create with a wrong credential: %v", err)
	}
	if r, err := wrong.Check(t.Context()); err != nil || r.OK() {
		t.Errorf("check with a wrong credential: %+v, %v", r, err)
	}
	if _, err := kind.Open(t.Context(), &sim.Settings{Cloud: "none"}, provider.Host{}); provider.ClassOf(err) != provider.Invalid || err == nil {
		t.Errorf("open of a cloud that is not there: %v", err)
	}
}
