package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
)

// anyInput draws a pool in an arbitrary state.
func anyInput(t *rapid.T) plan.Input {
	phases := []fleet.Phase{
		fleet.PhasePlanned, fleet.PhaseCreating, fleet.PhaseBooting, fleet.PhaseConfiguring,
		fleet.PhaseReady, fleet.PhaseReady, fleet.PhaseReady, fleet.PhaseDraining, fleet.PhaseDeleting, fleet.PhaseFailed,
	}
	rarely := func(label string) bool { return rapid.IntRange(0, 9).Draw(t, label) == 0 }
	in := plan.Input{
		Now: noon, Pool: "p", Spec: fleet.PoolSpec{Type: rapid.SampledFrom([]fleet.PoolType{fleet.PoolDockerAgent, fleet.PoolDockerAgent, fleet.PoolServer}).Draw(t, "type")},
		Providers: map[string]plan.Provider{},
	}
	in.Spec.Frozen = rarely("frozen pool") && rarely("really")
	places := in.Spec.Type == fleet.PoolServer
	shape := func(label string) fleet.Resources {
		if places {
			return fleet.Resources{Places: rapid.Int64Range(1, 5).Draw(t, label+" places")}
		}
		return fleet.Resources{
			Cores:     fleet.Cores(rapid.Int64Range(1, 8).Draw(t, label+" cores")) * fleet.Core,
			MemoryMiB: rapid.Int64Range(1, 16).Draw(t, label+" GiB") * 1024,
			GPUs:      rapid.Int64Range(0, 2).Draw(t, label+" GPUs"),
		}
	}
	for _, name := range []string{"a", "b"} {
		in.Providers[name] = plan.Provider{
			Name: name, Revision: rapid.Int64Range(1, 2).Draw(t, "revision"),
			Max: rapid.Int64Range(0, 40).Draw(t, "max"), Tokens: float64(rapid.IntRange(0, 60).Draw(t, "tokens")), TokenEvery: time.Second,
		}
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "configs") {
		name := fmt.Sprintf("c%d", i)
		c := plan.Config{
			Name: name,
			Spec: fleet.AutoscaleConfigSpec{
				Pool: "p", Zone: fmt.Sprintf("z%d", i), VMProviders: []string{"a", "b"},
				MinServers:       rapid.Int64Range(0, 3).Draw(t, "min"),
				MaxServers:       rapid.SampledFrom([]int64{0, 3, 8, 30}).Draw(t, "max servers"),
				DownscaleBackoff: fleet.Duration(time.Minute),
				ReplaceOnDrift:   rapid.Bool().Draw(t, "replace on drift"),
			},
			Shapes: map[string]fleet.Resources{"a": shape("a"), "b": shape("b")},
		}
		switch {
		case rapid.IntRange(0, 3).Draw(t, "no standby") == 0:
		case places:
			c.Spec.MinAvailableSessions = rapid.Int64Range(0, 12).Draw(t, "standby places")
			c.Spec.MaxTotalSessions = rapid.SampledFrom([]int64{0, 0, 12}).Draw(t, "total")
		default:
			c.Spec.Standby = fleet.Shape{
				Cores:  fleet.Cores(rapid.Int64Range(0, 20).Draw(t, "standby cores")) * fleet.Core,
				Memory: fleet.Memory(rapid.Int64Range(0, 20).Draw(t, "standby GiB")) * fleet.GiB,
				GPUs:   rapid.SampledFrom([]int64{0, 0, 1, 3}).Draw(t, "standby GPUs"),
			}
			c.Spec.MaxTotalStandby = fleet.Shape{Cores: rapid.SampledFrom([]fleet.Cores{0, 0, 20 * fleet.Core}).Draw(t, "total")}
		}
		if places {
			c.Spec.MaxSimultaneousUsers = rapid.Int64Range(0, 3).Draw(t, "users at most")
		}
		if rarely("gradual") {
			c.Spec.AggressiveScaling = new(bool)
		}
		if rarely("disabled") {
			c.Spec.Enabled = new(bool)
		}
		if rapid.Bool().Draw(t, "surplus") {
			c.Spare = lasting(time.Duration(rapid.IntRange(0, 120).Draw(t, "surplus seconds")) * time.Second)
		}
		if rarely("rotation") {
			c.Spec.RotateAfter, c.Spec.RotatePrewarm = fleet.Duration(time.Hour), fleet.Duration(10*time.Minute)
		}
		oneShot := places && rarely("one shot")
		in.Configs = append(in.Configs, c)
		for j := range rapid.IntRange(0, 8).Draw(t, "servers") {
			provider := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "provider")
			s := agent(fmt.Sprintf("s%d-%d", i, j), func(s *fleet.Server) {
				s.AutoscaleConfig, s.Zone, s.VMProvider = name, c.Spec.Zone, provider
				s.Phase = rapid.SampledFrom(phases).Draw(t, "phase")
				s.Capacity, s.MaxUsers, s.OneShot = c.Shapes[provider], c.Spec.MaxSimultaneousUsers, oneShot
				s.CreatedAt = noon.Add(-time.Duration(rapid.IntRange(0, 5000).Draw(t, "age")) * time.Second)
				if s.Phase == fleet.PhaseReady && rarely("missing") {
					seen := noon.Add(-time.Duration(rapid.IntRange(600, 5000).Draw(t, "silent")) * time.Second)
					s.Missing, s.LastSeenAt = true, &seen
				}
				if s.Phase == fleet.PhaseReady || s.Phase == fleet.PhaseDraining {
					s.Used = rapid.Bool().Draw(t, "used")
					if s.Used && !(oneShot && rapid.Bool().Draw(t, "left")) {
						s.Sessions, s.Users = 1, 1
						s.Claimed = fleet.Resources{Cores: fleet.Core, MemoryMiB: 1024}
						if places {
							s.Claimed = fleet.Resources{Places: 1}
						}
					}
				}
			})
			in.Servers = append(in.Servers, s)
			p := in.Providers[provider]
			p.Exists++
			in.Providers[provider] = p
		}
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "queued") {
		need := fleet.Resources{Places: 1}
		if !places {
			need = fleet.Resources{Cores: fleet.Cores(rapid.Int64Range(1, 9).Draw(t, "need")) * fleet.Core, MemoryMiB: rapid.SampledFrom([]int64{256, 512, 4096}).Draw(t, "need MiB")}
		}
		in.Queued = append(in.Queued, plan.Demand{
			Need: need, User: rapid.SampledFrom([]string{"", fmt.Sprint("u", i)}).Draw(t, "user"),
			Zone: rapid.SampledFrom([]string{"", "", "z0", "z1", "elsewhere"}).Draw(t, "zone"), FallsOver: rapid.Bool().Draw(t, "falls over"),
		})
	}
	if rarely("staging") {
		in.Stagings = []plan.Staging{{Name: "st", Zone: rapid.SampledFrom([]string{"", "z0"}).Draw(t, "staging zone"), Missing: rapid.Int64Range(0, 5).Draw(t, "missing"), Need: fleet.Resources{Cores: fleet.Core}}}
		if places {
			in.Stagings[0].Need = fleet.Resources{Places: 1}
		}
	}
	return in
}

// obey carries a decision out at once: what is created is ready, what is
// retired is gone.
func obey(in plan.Input, d plan.Decision, n *int) plan.Input {
	in.Providers = cloneMap(in.Providers)
	in.Configs = slices.Clone(in.Configs)
	in.Servers = slices.Clone(in.Servers)
	for i, cd := range d.Configs {
		in.Configs[i].Spare = cd.Spare
		for _, r := range cd.Retires {
			in.Servers = slices.DeleteFunc(in.Servers, func(s *fleet.Server) bool {
				if s.ID != r.Server {
					return false
				}
				p := in.Providers[s.VMProvider]
				p.Exists--
				in.Providers[s.VMProvider] = p
				return true
			})
		}
		for _, cr := range cd.Creates {
			*n++
			p := in.Providers[cr.Provider]
			p.Exists++
			in.Providers[cr.Provider] = p
			in.Servers = append(in.Servers, agent(fmt.Sprintf("new%d", *n), func(s *fleet.Server) {
				s.AutoscaleConfig, s.Zone, s.VMProvider = cd.Config, cd.Zone, cr.Provider
				s.Capacity, s.CreatedAt, s.ProviderRevision, s.MaxUsers = cr.Capacity, in.Now, p.Revision, in.Configs[i].Spec.MaxSimultaneousUsers
			}))
		}
	}
	return in
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// serve gives waiting sessions the room that there is, in order.
func serve(in plan.Input) plan.Input {
	in.Servers = slices.Clone(in.Servers)
	var left []plan.Demand
	for n := in.Stagings; len(n) > 0 && n[0].Missing > 0; n[0].Missing-- {
		in.Queued = append(in.Queued, plan.Demand{Zone: n[0].Zone, Need: n[0].Need})
	}
	for _, q := range in.Queued {
		i := slices.IndexFunc(in.Servers, func(s *fleet.Server) bool {
			return s.Open() && q.Zone == s.Zone && q.Need.Fits(s.Free())
		})
		if i < 0 && (q.Zone == "" || q.FallsOver) {
			i = slices.IndexFunc(in.Servers, func(s *fleet.Server) bool { return s.Open() && q.Need.Fits(s.Free()) })
		}
		if i < 0 {
			left = append(left, q)
			continue
		}
		s := *in.Servers[i]
		s.Claimed, s.Sessions, s.Used = s.Claimed.Add(q.Need), s.Sessions+1, true
		s.Users++ // nobody is here twice
		in.Servers[i] = &s
	}
	in.Queued = left
	return in
}

func acts(d plan.Decision) bool {
	return slices.ContainsFunc(d.Configs, func(c plan.ConfigDecision) bool { return len(c.Creates)+len(c.Retires) > 0 })
}

func TestReachesAFixedPoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in, n := anyInput(t), 0
		in.Servers = slices.DeleteFunc(in.Servers, func(s *fleet.Server) bool { return s.Phase != fleet.PhaseReady })
		for i := range in.Configs {
			in.Configs[i].Spec.RotateAfter = 0 // which never ends
		}
		for _, name := range []string{"a", "b"} {
			p := in.Providers[name]
			p.Tokens, p.Exists = 1e6, 0
			for _, s := range in.Servers {
				if s.VMProvider == name {
					p.Exists++
				}
			}
			in.Providers[name] = p
		}
		for range 60 {
			in = serve(obey(in, plan.For(in), &n))
			in.Now = in.Now.Add(2 * time.Minute)
		}
		for range 5 {
			in.Now = in.Now.Add(2 * time.Minute)
			if d := plan.For(in); acts(d) {
				t.Fatalf("with constant demand the planner still acts: %+v", d)
			}
		}
	})
}

func TestNeverPassesACeiling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		made := map[string]int64{}
		for i, cd := range plan.For(in).Configs {
			for _, c := range cd.Creates {
				made[c.Provider]++
			}
			if limit := in.Configs[i].Spec.MaxServers; limit > 0 && len(cd.Creates) > 0 && cd.Supply.Servers+int64(len(cd.Creates)) > limit {
				t.Fatalf("%d machines and %d more pass max_servers %d", cd.Supply.Servers, len(cd.Creates), limit)
			}
		}
		for name, n := range made {
			p := in.Providers[name]
			if p.Exists+n > p.Max {
				t.Fatalf("provider %s: %d machines and %d more pass max_instances %d", name, p.Exists, n, p.Max)
			}
			if float64(n) > p.Tokens {
				t.Fatalf("provider %s: %d creations pass its rate of %v", name, n, p.Tokens)
			}
		}
	})
}

// All that was decided comes up; with one machine less the need would not be met.
func TestNeverMakesMoreThanIsNeeded(t *testing.T) {
	t.Parallel()
	made := 0
	rapid.Check(t, func(t *rapid.T) {
		in, n := anyInput(t), 0
		// With machines of two sizes a smaller one may do for the last demand, and
		// of two policies each keeps its own standby whoever else has room.
		c := &in.Configs[0]
		in.Configs = in.Configs[:1]
		c.Shapes["b"] = c.Shapes["a"]
		c.Spec.AggressiveScaling = nil // people may take what is made for standby alone
		in.Servers = slices.DeleteFunc(in.Servers, func(s *fleet.Server) bool { return s.AutoscaleConfig != c.Name })
		for _, s := range in.Servers {
			s.Capacity = c.Shapes["a"]
		}
		first := plan.For(in)
		after := obey(in, first, &n)
		if n == 0 {
			return
		}
		made += n
		for i := len(after.Servers) - n; i < len(after.Servers); i++ {
			after.Servers[i].Phase = fleet.PhaseConfiguring
		}
		last := after.Servers[len(after.Servers)-1]
		after.Servers = after.Servers[:len(after.Servers)-1]
		for name, p := range after.Providers {
			if p.Tokens = 1e6; name == last.VMProvider {
				p.Exists--
			}
			after.Providers[name] = p
		}
		again := plan.For(after)
		if !slices.ContainsFunc(again.Configs, func(c plan.ConfigDecision) bool { return len(c.Creates) > 0 }) {
			t.Fatalf("one machine less would have done: %+v, and then %+v", first, again)
		}
	})
	if made == 0 {
		t.Error("no machine was ever made: nothing was tried")
	}
}

func TestNeverRetiresAMachineInUse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Now = in.Now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "later")) * time.Second)
		for i, cd := range plan.For(in).Configs {
			spared := int64(0)
			for _, r := range cd.Retires {
				if r.Cause == plan.CauseSurplus {
					spared++
				}
			}
			if left := cd.Supply.Ready + cd.Supply.ComingUp - int64(len(cd.Retires)); spared > 0 && left < in.Configs[i].Spec.MinServers {
				t.Fatalf("%d machines are left, less than min_servers %d: %+v", left, in.Configs[i].Spec.MinServers, cd)
			}
			for _, r := range cd.Retires {
				i := slices.IndexFunc(in.Servers, func(s *fleet.Server) bool { return s.ID == r.Server })
				s := in.Servers[i]
				drains := r.Cause == plan.CauseRotation || r.Cause == plan.CauseDrift
				if s.Sessions > 0 && !drains {
					t.Fatalf("machine %s with sessions is retired: %+v", s.Name, r)
				}
			}
			if len(cd.Creates)+len(cd.Retires) == 0 && len(cd.Reasons) == 0 {
				t.Fatalf("nothing is done and no reason says why: %+v", cd)
			}
		}
	})
}

// Whatever is done has a reason, and so has whatever is left undone.
func TestEverythingHasAReason(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		for name, p := range in.Providers {
			p.Frozen = rapid.IntRange(0, 4).Draw(t, "frozen") == 0
			p.Trial = rapid.IntRange(0, 4).Draw(t, "trial") == 0
			p.Trying = p.Trial && rapid.Bool().Draw(t, "trying")
			if rapid.IntRange(0, 4).Draw(t, "overshoot") == 0 {
				p.Overshoot = "5 machines nobody knows"
			}
			if rapid.IntRange(0, 4).Draw(t, "blocked") == 0 {
				p.BlockedUntil, p.BlockedReason = noon.Add(time.Minute), "quota"
			}
			in.Providers[name] = p
		}
		d := plan.For(in)
		for _, cd := range d.Configs {
			free := cd.Supply.Free
			for _, c := range cd.Creates {
				if c.Reason == "" {
					t.Fatalf("a machine is made without a reason: %+v", cd)
				}
				if p := in.Providers[c.Provider]; p.Frozen || p.Trying || p.Overshoot != "" || in.Now.Before(p.BlockedUntil) {
					t.Fatalf("provider %s makes a machine: %+v", c.Provider, p)
				}
				free = free.Add(c.Capacity)
			}
			for _, r := range cd.Retires {
				if r.Reason == "" || r.Cause == "" {
					t.Fatalf("a machine is retired without a reason: %+v", cd)
				}
			}
			if cd.Demand.Standby.Fits(free) {
				continue
			}
			explained := slices.ContainsFunc(slices.Concat(cd.Reasons, d.Reasons), func(r plan.Reason) bool {
				return r.Message != "" && r.Code != plan.ReasonSatisfied && r.Code != plan.ReasonInUse
			})
			if !explained {
				t.Fatalf("standby %s is not reached with %s free, and nothing says why: %+v", cd.Demand.Standby, free, cd)
			}
		}
	})
}

func TestMoreStandbyNeverMeansFewerMachines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Configs = in.Configs[:1]
		// With machines of different sizes the number can fall while the
		// capacity grows; with one size it cannot.
		in.Configs[0].Shapes["b"] = in.Configs[0].Shapes["a"]
		for _, s := range in.Servers {
			s.Capacity = in.Configs[0].Shapes["a"]
		}
		less := plan.For(in).Configs[0]
		in.Configs = slices.Clone(in.Configs)
		in.Configs[0].Spec.Standby.Cores += fleet.Cores(rapid.Int64Range(0, 9).Draw(t, "more cores")) * fleet.Core
		in.Configs[0].Spec.Standby.Memory += fleet.Memory(rapid.Int64Range(0, 9).Draw(t, "more GiB")) * fleet.GiB
		more := plan.For(in).Configs[0]
		net := func(c plan.ConfigDecision) int { return len(c.Creates) - len(c.Retires) }
		if net(more) < net(less) {
			t.Fatalf("more standby ends with fewer machines: %+v, before %+v", more, less)
		}
	})
}

func TestOrderOfServersDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		first := plan.For(in)
		in.Servers = rapid.Permutation(in.Servers).Draw(t, "another order")
		if diff := cmp.Diff(first, plan.For(in)); diff != "" {
			t.Fatalf("another order of the same servers decides otherwise:\n%s", diff)
		}
	})
}

// The properties are worth what the states that are drawn bring about.
func TestStatesThatAreDrawnBringEverythingAbout(t *testing.T) {
	t.Parallel()
	const states = 1500
	seen := map[string]int{}
	drawn := rapid.Custom(anyInput)
	for i := range states {
		d := plan.For(drawn.Example(i))
		once := map[string]bool{}
		for _, r := range d.Reasons {
			once[string(r.Code)] = true
		}
		for _, c := range d.Configs {
			if len(c.Creates) > 0 {
				once["made"] = true
			}
			for _, r := range c.Retires {
				once["retired: "+string(r.Cause)] = true
			}
			for _, r := range c.Reasons {
				once[string(r.Code)] = true
			}
		}
		for what := range once {
			seen[what]++
		}
	}
	for _, what := range []string{
		"made", "retired: surplus", "retired: one_shot", "retired: rotation", "retired: drift", "retired: dead", "retired: over_max",
		"satisfied", "max_servers", "max_standby", "max_instances", "create_rate", "frozen", "disabled", "downscale_backoff",
		"min_servers", "in_use", "max_unavailable", "too_large", "no_config", "aggressive_scaling",
	} {
		t.Logf("%5d of %d: %s", seen[what], states, what)
		if seen[what] < 2 {
			t.Errorf("%s comes about in %d of %d states", what, seen[what], states)
		}
	}
}
