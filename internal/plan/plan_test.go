package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

// agent is a ready agent of 2 cores and 2 GiB of config "c".
func agent(id string, edit ...func(*fleet.Server)) *fleet.Server {
	seen := noon
	s := &fleet.Server{
		ID: id, Name: id, Origin: fleet.OriginAutoscaled, Pool: "p", Zone: "z", AutoscaleConfig: "c",
		VMProvider: "a", ProviderRevision: 1, Phase: fleet.PhaseReady, Capacity: twoByTwo,
		CreatedAt: noon.Add(-time.Hour), LastSeenAt: &seen, RegisteredAt: &seen,
	}
	for _, e := range edit {
		e(s)
	}
	return s
}

var twoByTwo = fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 2048}

// lasting is a surplus of any number of machines.
func lasting(ago time.Duration) []plan.Spare {
	return []plan.Spare{{Machines: 1 << 40, Since: noon.Add(-ago)}}
}

func inPhase(p fleet.Phase) func(*fleet.Server) { return func(s *fleet.Server) { s.Phase = p } }

func holding(n int64) func(*fleet.Server) {
	return func(s *fleet.Server) {
		s.Sessions, s.Used = n, true
		s.Claimed = fleet.Resources{Cores: fleet.Cores(n) * fleet.Core, MemoryMiB: n * 1024}
	}
}

func made(ago time.Duration) func(*fleet.Server) {
	return func(s *fleet.Server) { s.CreatedAt = noon.Add(-ago) }
}

// input is a pool with one config: standby 4 cores and 4 GiB on provider "a",
// at most 6 machines, then provider "b".
func input(edit ...func(*plan.Input)) plan.Input {
	in := plan.Input{
		Now: noon, Pool: "p", Spec: fleet.PoolSpec{Type: fleet.PoolDockerAgent},
		Configs: []plan.Config{{
			Name: "c",
			Spec: fleet.AutoscaleConfigSpec{
				Pool: "p", Zone: "z", VMProviders: []string{"a", "b"},
				Standby: fleet.Shape{Cores: 4 * fleet.Core, Memory: 4 * fleet.GiB},
			},
			Shapes: map[string]fleet.Resources{"a": twoByTwo, "b": twoByTwo},
		}},
		Providers: map[string]plan.Provider{
			"a": {Name: "a", Revision: 1, Max: 6, Tokens: 100, TokenEvery: time.Second},
			"b": {Name: "b", Revision: 1, Max: 6, Tokens: 100, TokenEvery: time.Second},
		},
	}
	for _, e := range edit {
		e(&in)
	}
	return in
}

func servers(s ...*fleet.Server) func(*plan.Input) {
	return func(in *plan.Input) { in.Servers = append(in.Servers, s...) }
}

func config(f func(*plan.Config)) func(*plan.Input) {
	return func(in *plan.Input) { f(&in.Configs[0]) }
}

func spec(f func(*fleet.AutoscaleConfigSpec)) func(*plan.Input) {
	return config(func(c *plan.Config) { f(&c.Spec) })
}

func providerOf(name string, f func(*plan.Provider)) func(*plan.Input) {
	return func(in *plan.Input) {
		p := in.Providers[name]
		f(&p)
		in.Providers[name] = p
	}
}

func queued(n int, need fleet.Resources, zone string) func(*plan.Input) {
	return func(in *plan.Input) {
		for range n {
			in.Queued = append(in.Queued, plan.Demand{Need: need, Zone: zone})
		}
	}
}

func TestFor(t *testing.T) {
	t.Parallel()
	surplus := func(ago time.Duration) func(*plan.Input) {
		return config(func(c *plan.Config) { c.Spare = lasting(ago) })
	}
	one := fleet.Resources{Cores: fleet.Core, MemoryMiB: 1024}
	full := providerOf("a", func(p *plan.Provider) { p.Exists = p.Max })
	blocked := providerOf("a", func(p *plan.Provider) { p.BlockedUntil, p.BlockedReason = noon.Add(time.Minute), "bad image" })
	for _, tc := range []struct {
		name    string
		in      plan.Input
		creates string // provider names
		retires string // server:cause
		reasons string // codes that must be present
	}{
		{"empty pool is filled to standby", input(), "a a", "", ""},
		{"standby covered does nothing", input(servers(agent("1"), agent("2"))), "", "", "satisfied"},
		{"machines in every phase before ready are supply", input(servers(
			agent("1", inPhase(fleet.PhasePlanned)), agent("2", inPhase(fleet.PhaseCreating)))), "", "", "satisfied"},
		{"booting and configuring are supply", input(servers(
			agent("1", inPhase(fleet.PhaseBooting)), agent("2", inPhase(fleet.PhaseConfiguring)))), "", "", "satisfied"},
		{"machines on their way out are not supply", input(servers(
			agent("1", inPhase(fleet.PhaseDraining)), agent("2", inPhase(fleet.PhaseDeleting)), agent("3", inPhase(fleet.PhaseFailed)))), "a a", "", ""},
		{"silent machines are not supply", input(servers(agent("1"), agent("2", func(s *fleet.Server) { s.Missing = true }))), "a", "", ""},
		{"claims reduce what is free", input(servers(agent("1", holding(1)), agent("2"))), "a", "", ""},
		{"the larger dimension decides", input(spec(func(s *fleet.AutoscaleConfigSpec) { s.Standby.Memory = 9 * fleet.GiB })), "a a a a a", "", ""},
		{"queued sessions come on top", input(servers(agent("1"), agent("2")), queued(3, one, "")), "a a", "", ""},
		{"queued sessions are not demand without aggressive scaling", input(
			servers(agent("1", holding(2)), agent("2", holding(2)), agent("3"), agent("4")), queued(9, twoByTwo, "elsewhere"),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.AggressiveScaling = new(bool) })), "", "", "satisfied"},
		{"nor those for whom a machine is on its way: standby is refilled when they have been served", input(
			servers(agent("1", inPhase(fleet.PhaseBooting)), agent("2", inPhase(fleet.PhaseBooting))), queued(1, twoByTwo, ""),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.AggressiveScaling = new(bool) })), "", "", "satisfied"},
		{"with it they are", input(
			servers(agent("1", inPhase(fleet.PhaseBooting)), agent("2", inPhase(fleet.PhaseBooting))), queued(1, twoByTwo, "")), "a", "", ""},
		{"staged sessions that are not made yet come on top of standby", input(servers(agent("1"), agent("2")), func(in *plan.Input) {
			in.Stagings = []plan.Staging{{Name: "s", Zone: "z", Need: one, Missing: 2}}
		}), "a", "", ""},
		{"and those that are made hold their capacity", input(servers(agent("1", holding(2)), agent("2"), agent("3"))), "", "", "satisfied"},
		{"a disabled config lets nothing go by itself", input(
			servers(agent("1"), agent("2"), agent("3"), agent("4", made(1000*time.Hour)), agent("5", func(s *fleet.Server) { s.OneShot, s.Used = true, true })), surplus(time.Hour),
			spec(func(s *fleet.AutoscaleConfigSpec) {
				s.Enabled, s.RotateAfter, s.MaxServers = new(bool), fleet.Duration(time.Hour), 1
			})), "", "", "disabled"},
		{"drift keeps to its budget while machines drain", input(
			servers(agent("1"), agent("2"), agent("3"), agent("4", inPhase(fleet.PhaseDraining)), agent("5", func(s *fleet.Server) { s.ProviderRevision = 2 }), agent("6", func(s *fleet.Server) { s.ProviderRevision = 2 })),
			providerOf("a", func(p *plan.Provider) { p.Revision, p.Max = 2, 100 }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift, s.MaxUnavailable = true, 2 })), "", "1:drift", "max_unavailable"},
		{"an hour of rotation is waited for to the end", input(
			servers(agent("1"), agent("2", made(24*time.Hour-time.Second)), agent("3")),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.RotateAfter = fleet.Duration(24 * time.Hour) })), "", "", ""},
		{"rotation replaces earlier when it is told to", input(
			servers(agent("1"), agent("2", made(23*time.Hour+5*time.Minute))),
			spec(func(s *fleet.AutoscaleConfigSpec) {
				s.RotateAfter, s.RotatePrewarm = fleet.Duration(24*time.Hour), fleet.Duration(time.Hour)
			})), "a", "", ""},
		{"fragments do not serve a session that needs a whole machine", input(
			spec(func(s *fleet.AutoscaleConfigSpec) { s.Standby = fleet.Shape{} }),
			servers(agent("1", holding(1)), agent("2", holding(1))), queued(1, twoByTwo, "")), "a", "", ""},
		{"a session larger than every machine is told so", input(
			servers(agent("1"), agent("2")), queued(1, twoByTwo.Scale(2), "")), "", "", "too_large"},
		{"max_instances falls through to the next provider", input(
			providerOf("a", func(p *plan.Provider) { p.Exists = 5 })), "a b", "", "max_instances"},
		{"all providers full", input(
			providerOf("a", func(p *plan.Provider) { p.Exists = 6 }), providerOf("b", func(p *plan.Provider) { p.Exists = 6 })), "", "", "max_instances"},
		{"a blocked provider is passed over", input(
			providerOf("a", func(p *plan.Provider) { p.BlockedUntil, p.BlockedReason = noon.Add(time.Minute), "quota" })), "b b", "", "provider_blocked"},
		{"out of rate waits instead of falling through", input(
			providerOf("a", func(p *plan.Provider) { p.Tokens = 1.5 })), "a", "", "create_rate"},
		{"a provider that does not exist is passed over", input(
			providerOf("a", func(p *plan.Provider) { p.MissingSetting = "it does not exist" })), "b b", "", "provider"},
		{"a frozen provider is passed over", input(providerOf("a", func(p *plan.Provider) { p.Frozen = true })), "b b", "", "frozen"},
		{"max_servers holds", input(spec(func(s *fleet.AutoscaleConfigSpec) { s.MaxServers = 1 })), "a", "", "max_servers"},
		{"min_servers holds without need", input(spec(func(s *fleet.AutoscaleConfigSpec) { s.Standby, s.MinServers = fleet.Shape{}, 3 })), "a a a", "", ""},
		{"disabled does nothing", input(spec(func(s *fleet.AutoscaleConfigSpec) { s.Enabled = new(bool) })), "", "", "disabled"},
		{"frozen does nothing", input(func(in *plan.Input) { in.Spec.Frozen = true }), "", "", "frozen"},
		{"one machine is made to learn its size", input(
			config(func(c *plan.Config) { c.Shapes = nil })), "a", "", "unknown_shape"},
		{"and no second one while it comes up", input(
			config(func(c *plan.Config) { c.Shapes = nil }),
			servers(agent("1", inPhase(fleet.PhaseBooting), func(s *fleet.Server) { s.Capacity = fleet.Resources{} }))), "", "", "unknown_shape"},
		{"GPUs come from the provider that has them", input(
			config(func(c *plan.Config) {
				c.Spec.Standby = fleet.Shape{GPUs: 2}
				c.Shapes = map[string]fleet.Resources{"a": twoByTwo, "b": {Cores: 2000, MemoryMiB: 2048, GPUs: 1}}
			})), "b b", "", ""},
		{"max_total_standby lets headroom shrink as users arrive", input(
			spec(func(s *fleet.AutoscaleConfigSpec) {
				s.MaxTotalStandby = fleet.Shape{Cores: 6 * fleet.Core, Memory: 6 * fleet.GiB}
			}),
			servers(agent("1", holding(2)), agent("2", holding(1)), agent("3"))), "", "", "max_standby"},

		{"surplus begins its backoff", input(servers(agent("1"), agent("2"), agent("3"))), "", "", "downscale_backoff"},
		{"surplus within the backoff stays", input(servers(agent("1"), agent("2"), agent("3")), surplus(9*time.Minute)), "", "", "downscale_backoff"},
		{"surplus after the backoff goes, oldest first", input(
			servers(agent("1"), agent("2", made(2*time.Hour)), agent("3")), surplus(10*time.Minute)), "", "2:surplus", ""},
		{"a machine of the less preferred provider goes first", input(
			servers(agent("1", made(2*time.Hour)), agent("2"), agent("3", func(s *fleet.Server) { s.VMProvider = "b" })), surplus(10*time.Minute)), "", "3:surplus", ""},
		{"a machine in use never goes", input(
			servers(agent("1", holding(1)), agent("2", holding(1)), agent("3", holding(1)), agent("4", holding(1)), agent("5", holding(1))), surplus(time.Hour)), "", "", "in_use"},
		{"min_servers keeps idle machines", input(
			servers(agent("1"), agent("2"), agent("3")), surplus(time.Hour), spec(func(s *fleet.AutoscaleConfigSpec) { s.MinServers = 3 })), "", "", "min_servers"},
		{"and lets those above it go", input(
			servers(agent("1"), agent("2"), agent("3"), agent("4")), surplus(time.Hour),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.Standby, s.MinServers = fleet.Shape{}, 2 })), "", "1:surplus 2:surplus", ""},
		{"nothing goes while sessions wait for room", input(
			servers(agent("1"), agent("2"), agent("3")), surplus(time.Hour), queued(1, one, "")), "", "", ""},
		{"what was only planned is called off at once", input(
			servers(agent("1"), agent("2"), agent("3", inPhase(fleet.PhasePlanned)))), "", "3:surplus", ""},
		{"a lowered max_servers lets idle machines go at once", input(
			servers(agent("1"), agent("2", holding(1)), agent("3")), spec(func(s *fleet.AutoscaleConfigSpec) { s.MaxServers = 2 })), "", "1:over_max", ""},
		{"dead machines go", input(servers(agent("1"), agent("2"), agent("3", func(s *fleet.Server) {
			at := noon.Add(-2 * time.Hour)
			s.Missing, s.LastSeenAt = true, &at
		}))), "", "3:dead", ""},
		{"dead machines with sessions stay", input(servers(agent("1"), agent("2"), agent("3", holding(1), func(s *fleet.Server) {
			at := noon.Add(-2 * time.Hour)
			s.Missing, s.LastSeenAt = true, &at
		}))), "", "", ""},
		{"a used one-shot machine goes and is no supply", input(servers(agent("1"), agent("2", func(s *fleet.Server) { s.OneShot, s.Used = true, true }))), "a", "2:one_shot", ""},
		{"rotation starts the replacement before the time", input(
			servers(agent("1"), agent("2", made(24*time.Hour-10*time.Minute))),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.RotateAfter = fleet.Duration(24 * time.Hour) })), "a", "", ""},
		{"rotation lets go at the time, one at once", input(
			servers(agent("1"), agent("2", made(25*time.Hour)), agent("3", made(26*time.Hour)), agent("4")),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.RotateAfter = fleet.Duration(24 * time.Hour) })), "", "3:rotation", "max_unavailable"},
		{"rotation waits until what takes the place is ready", input(
			servers(agent("1"), agent("2", made(25*time.Hour)), agent("3", inPhase(fleet.PhaseConfiguring))),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.RotateAfter = fleet.Duration(24 * time.Hour) })), "", "", "replacement"},
		{"at the ceiling the old machine makes way for the new one", input(
			servers(agent("1"), agent("2", made(25*time.Hour))), full, providerOf("b", func(p *plan.Provider) { p.Max = 0 }),
			spec(func(s *fleet.AutoscaleConfigSpec) { s.RotateAfter = fleet.Duration(24 * time.Hour) })), "", "2:rotation", "max_instances"},
		{"but not while no new one can be made", input(
			servers(agent("1"), agent("2", made(25*time.Hour))), full, providerOf("b", func(p *plan.Provider) { p.Max = 0 }), blocked,
			spec(func(s *fleet.AutoscaleConfigSpec) { s.RotateAfter = fleet.Duration(24 * time.Hour) })), "", "", "replacement provider_blocked"},
		{"drift makes way at the ceiling too", input(servers(agent("1"), agent("2")), full, providerOf("b", func(p *plan.Provider) { p.Max = 0 }),
			providerOf("a", func(p *plan.Provider) { p.Revision = 2 }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift = true })), "", "1:drift", "max_instances"},
		{"and not while something lacks", input(servers(agent("1"), agent("2", holding(1))), full, providerOf("b", func(p *plan.Provider) { p.Max = 0 }),
			providerOf("a", func(p *plan.Provider) { p.Revision = 2 }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift = true })), "", "", "replacement"},
		{"settings that do not work replace nothing", input(servers(agent("1"), agent("2")), blocked, providerOf("b", func(p *plan.Provider) { p.Max = 0 }),
			providerOf("a", func(p *plan.Provider) { p.Revision = 2 }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift = true })), "", "", "replacement provider_blocked"},
		{"drift is only shown by default", input(servers(agent("1"), agent("2")), providerOf("a", func(p *plan.Provider) { p.Revision = 2 })), "", "", "satisfied"},
		{"drift starts a replacement first", input(servers(agent("1"), agent("2")),
			providerOf("a", func(p *plan.Provider) { p.Revision = 2 }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift = true })), "a", "", "max_unavailable"},
		{
			"what machines are made of has not changed", input(servers(agent("1"), agent("2")),
				providerOf("a", func(p *plan.Provider) { p.Revision, p.Alike = 3, []int64{1, 2} }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift = true })), "", "", "satisfied",
		},
		{"and lets go when it is there", input(servers(agent("1"), agent("2"), agent("3", func(s *fleet.Server) { s.ProviderRevision = 2 })),
			providerOf("a", func(p *plan.Provider) { p.Revision = 2 }), spec(func(s *fleet.AutoscaleConfigSpec) { s.ReplaceOnDrift = true })), "", "1:drift", "max_unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := plan.For(tc.in)
			cd := d.Configs[0]
			var creates, retires, codes []string
			for _, c := range cd.Creates {
				creates = append(creates, c.Provider)
				if c.Reason == "" {
					t.Errorf("a creation has no reason: %+v", c)
				}
			}
			for _, r := range cd.Retires {
				retires = append(retires, r.Name+":"+string(r.Cause))
				if r.Reason == "" {
					t.Errorf("a retirement has no reason: %+v", r)
				}
			}
			for _, r := range append(d.Reasons, cd.Reasons...) {
				codes = append(codes, string(r.Code))
			}
			if diff := cmp.Diff(tc.creates, strings.Join(creates, " ")); diff != "" {
				t.Errorf("creates (-want +got):\n%s\nreasons: %v", diff, cd.Reasons)
			}
			if diff := cmp.Diff(tc.retires, strings.Join(retires, " ")); diff != "" {
				t.Errorf("retires (-want +got):\n%s\nreasons: %v", diff, cd.Reasons)
			}
			for _, want := range strings.Fields(tc.reasons) {
				if !strings.Contains(" "+strings.Join(codes, " ")+" ", " "+want+" ") {
					t.Errorf("reason %s is missing: %v", want, append(d.Reasons, cd.Reasons...))
				}
			}
		})
	}
}

func TestServerPool(t *testing.T) {
	t.Parallel()
	place := func(n int64) fleet.Resources { return fleet.Resources{Places: n} }
	in := input(
		func(in *plan.Input) { in.Spec.Type = fleet.PoolServer },
		config(func(c *plan.Config) {
			c.Spec.Standby, c.Spec.MinAvailableSessions, c.Spec.MaxSimultaneousSessions = fleet.Shape{}, 5, 2
			c.Shapes = map[string]fleet.Resources{"a": place(2), "b": place(2)}
		}),
		servers(agent("1", func(s *fleet.Server) { s.Capacity, s.Claimed, s.Sessions = place(2), place(1), 1 })),
		queued(1, place(1), ""),
	)
	if got := len(plan.For(in).Configs[0].Creates); got != 3 {
		t.Errorf("5 places of standby with none left after the queue need 3 machines of 2 places, got %d", got)
	}
	full := input(
		func(in *plan.Input) { in.Spec.Type = fleet.PoolServer },
		config(func(c *plan.Config) {
			c.Spec.Standby, c.Spec.MinAvailableSessions = fleet.Shape{}, 1
			c.Shapes = map[string]fleet.Resources{"a": place(4)}
		}),
		servers(agent("1", func(s *fleet.Server) {
			s.Capacity, s.Claimed, s.Sessions, s.Users, s.MaxUsers = place(4), place(1), 1, 1, 1
		})),
	)
	if got := len(plan.For(full).Configs[0].Creates); got != 1 {
		t.Errorf("a machine at its number of users has no free place: want 1 creation, got %d", got)
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	at := func(now time.Time) plan.Decision {
		return plan.For(input(func(in *plan.Input) { in.Now = now }, config(func(c *plan.Config) {
			c.Spec.Standby = fleet.Shape{}
			c.Schedules = []plan.Schedule{{Name: "work", Spec: fleet.ScheduleSpec{
				AutoscaleConfig: "c", TimeZone: "Europe/Berlin",
				Windows: []fleet.Window{{
					Days: []fleet.Weekday{"mon"}, Start: 22 * 60, End: 6 * 60,
					Standby: &fleet.Shape{Cores: 2 * fleet.Core},
				}},
			}}}
		})))
	}
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		now  time.Time
		want int
	}{
		{"before the window", monday.Add(20*time.Hour + 59*time.Minute), 0},
		{"at its begin, 22:00 in Berlin", monday.Add(21 * time.Hour), 1},
		{"after midnight", monday.Add(28 * time.Hour), 1},
		{"at its end, exclusive", monday.Add(29 * time.Hour), 0},
		{"another day", monday.Add(45 * time.Hour), 0},
	} {
		d := at(tc.now)
		if got := len(d.Configs[0].Creates); got != tc.want {
			t.Errorf("%s: want %d creations, got %d (window %q)", tc.name, tc.want, got, d.Configs[0].Window)
		}
		if d.NextAt.IsZero() || !d.NextAt.After(tc.now) {
			t.Errorf("%s: the next begin or end must wake the pool, got %v", tc.name, d.NextAt)
		}
	}
}

func TestWakesItself(t *testing.T) {
	t.Parallel()
	d := plan.For(input(servers(agent("1"), agent("2"), agent("3"))))
	if want := noon.Add(10 * time.Minute); !d.NextAt.Equal(want) {
		t.Errorf("the end of the backoff must wake the pool: want %v, got %v", want, d.NextAt)
	}
	if !d.Configs[0].Surplus.Equal(noon) {
		t.Errorf("the surplus begins now, got %v", d.Configs[0].Surplus)
	}
	d = plan.For(input(providerOf("a", func(p *plan.Provider) { p.Tokens = 0.5 })))
	if want := noon.Add(500 * time.Millisecond); !d.NextAt.Equal(want) {
		t.Errorf("the next permitted creation must wake the pool: want %v, got %v", want, d.NextAt)
	}
}

// Whether a surplus lasts is not looked at while a pool is frozen or a config is
// disabled: people may have needed all of it meanwhile.
func TestASurplusDoesNotLastWhileNobodyLooks(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(*plan.Input){
		"frozen":   func(in *plan.Input) { in.Spec.Frozen = true },
		"disabled": spec(func(s *fleet.AutoscaleConfigSpec) { s.Enabled = new(bool) }),
	} {
		in := input(servers(agent("1"), agent("2"), agent("3")), config(func(c *plan.Config) { c.Spare = lasting(time.Hour) }))
		held := input(servers(agent("1"), agent("2"), agent("3")), hold)
		held.Configs[0].Spare = in.Configs[0].Spare
		in.Configs[0].Spare = plan.For(held).Configs[0].Spare
		if d := plan.For(in).Configs[0]; len(d.Retires) > 0 {
			t.Errorf("%s: what was spared an hour ago is retired at once: %+v", name, d.Retires)
		}
	}
}
