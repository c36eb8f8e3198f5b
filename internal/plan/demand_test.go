package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
)

// zones is a pool with a config in each of two zones, without standby: c in z
// makes machines of provider a, d in y of provider b.
func zones(edit ...func(*plan.Input)) plan.Input {
	in := input()
	in.Configs[0].Spec.Standby, in.Configs[0].Spec.VMProviders = fleet.Shape{}, []string{"a"}
	other := in.Configs[0]
	other.Name, other.Spec.Zone, other.Spec.VMProviders = "d", "y", []string{"b"}
	in.Configs = append(in.Configs, other)
	for _, e := range edit {
		e(&in)
	}
	return in
}

func wants(d ...plan.Demand) func(*plan.Input) {
	return func(in *plan.Input) { in.Queued = append(in.Queued, d...) }
}

// outcome is "config provider" of each creation, and the codes of all reasons.
func outcome(d plan.Decision) (creates, codes string) {
	var made, why []string
	for _, cd := range d.Configs {
		for _, c := range cd.Creates {
			made = append(made, cd.Config+" "+c.Provider)
		}
		for _, r := range cd.Reasons {
			why = append(why, cd.Config+":"+string(r.Code))
		}
	}
	for _, r := range d.Reasons {
		why = append(why, string(r.Code))
	}
	return strings.Join(made, ", "), " " + strings.Join(why, " ") + " "
}

func TestWhereMachinesAreMadeForThoseWhoWait(t *testing.T) {
	t.Parallel()
	one := fleet.Resources{Cores: fleet.Core, MemoryMiB: 1024}
	anywhere, only := func(zone string) plan.Demand { return plan.Demand{Zone: zone, FallsOver: true, Need: one} }, func(zone string) plan.Demand { return plan.Demand{Zone: zone, Need: one} }
	full := func(name string) func(*plan.Input) {
		return providerOf(name, func(p *plan.Provider) { p.Exists = p.Max })
	}
	gradual := func(i int) func(*plan.Input) {
		return func(in *plan.Input) { in.Configs[i].Spec.AggressiveScaling = new(bool) }
	}
	for _, tc := range []struct {
		name    string
		in      plan.Input
		creates string
		reasons string
	}{
		{"in the first zone for those who name none", zones(wants(plan.Demand{Need: one})), "c a", ""},
		{"in the zone that was asked for", zones(wants(anywhere("y"))), "d b", ""},
		{"in another one when that has no room left", zones(wants(anywhere("y")), full("b")), "c a", "d:max_instances"},
		{"in the next one for those who name none", zones(wants(plan.Demand{Need: one}), full("a")), "d b", "c:max_instances"},
		{"not elsewhere for those who are confined", zones(wants(only("y")), full("b")), "", "d:max_instances"},
		{"some here and the rest there", zones(wants(anywhere("y"), anywhere("y"), anywhere("y"), anywhere("y")), providerOf("b", func(p *plan.Provider) { p.Exists = p.Max - 1 })), "c a, d b", "d:max_instances"},
		{"out of rate waits instead of falling over", zones(wants(anywhere("y")), providerOf("b", func(p *plan.Provider) { p.Tokens = 0.5 })), "", "d:create_rate"},
		{"past a config that is stopped", zones(wants(anywhere("z")), func(in *plan.Input) { in.Configs[0].Spec.Enabled = new(bool) }), "d b", "c:disabled"},
		{"past a config that serves those who wait from standby alone", zones(wants(anywhere("z")), gradual(0)), "d b", ""},
		{"nowhere, and they are told that it is meant", zones(wants(anywhere("z")), gradual(0), gradual(1)), "", "c:aggressive_scaling d:aggressive_scaling"},
		{"not where room is on its way, in the zone that was asked for first", zones(wants(anywhere("y")), servers(
			agent("1", inPhase(fleet.PhaseBooting)), agent("2", inPhase(fleet.PhaseBooting), func(s *fleet.Server) { s.Zone, s.AutoscaleConfig = "y", "d" }))), "", ""},
		{"a zone in which nothing is made is named", zones(wants(only("x"))), "", "no_config"},
		{"and does not matter to those who may go elsewhere", zones(wants(anywhere("x"))), "c a", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			creates, reasons := outcome(plan.For(tc.in))
			if diff := cmp.Diff(tc.creates, creates); diff != "" {
				t.Errorf("creates (-want +got):\n%s\nreasons: %s", diff, reasons)
			}
			for _, want := range strings.Fields(tc.reasons) {
				if !strings.Contains(reasons, " "+want+" ") {
					t.Errorf("reason %s is missing: %s", want, reasons)
				}
			}
		})
	}
}

// Sessions of different sizes share the machines that are made for them: a
// machine for each size would be several times too many.
func TestDifferentSizesShareNewMachines(t *testing.T) {
	t.Parallel()
	in := zones()
	in.Configs[0].Shapes = map[string]fleet.Resources{"a": {Cores: 8 * fleet.Core, MemoryMiB: 8192}}
	for i := range 8 { // 8 × 0.5 cores and a little more each, 4.28 in all
		in.Queued = append(in.Queued, plan.Demand{Need: fleet.Resources{Cores: fleet.Core/2 + fleet.Cores(10*i), MemoryMiB: 256}})
	}
	if got, _ := outcome(plan.For(in)); got != "c a" {
		t.Errorf("4.28 cores in 8 sizes on machines of 8 cores: want one machine, got %q", got)
	}
}

// What a machine offers to people who are not there yet is limited by the
// number of different users, too.
func TestUsersLimitWhatServersOffer(t *testing.T) {
	t.Parallel()
	place := func(n int64) fleet.Resources { return fleet.Resources{Places: n} }
	desktops := func(standby, users int64, edit ...func(*plan.Input)) plan.Input {
		in := input(append([]func(*plan.Input){
			func(in *plan.Input) { in.Spec.Type = fleet.PoolServer },
			config(func(c *plan.Config) {
				c.Spec.Standby, c.Spec.MinAvailableSessions, c.Spec.MaxSimultaneousSessions, c.Spec.MaxSimultaneousUsers = fleet.Shape{}, standby, 4, users
				c.Shapes = map[string]fleet.Resources{"a": place(4), "b": place(4)}
			}),
		}, edit...)...)
		return in
	}
	machine := func(id string, sessions, users int64, edit ...func(*fleet.Server)) *fleet.Server {
		return agent(id, append([]func(*fleet.Server){func(s *fleet.Server) {
			s.Capacity, s.Claimed, s.Sessions, s.Users, s.MaxUsers, s.Used = place(4), place(sessions), sessions, users, 2, sessions > 0
		}}, edit...)...)
	}
	session := func(user string) plan.Demand { return plan.Demand{Need: place(1), User: user} }
	for _, tc := range []struct {
		name string
		in   plan.Input
		want int
	}{
		{"standby of 4 for 4 different people, 2 on each machine", desktops(4, 2), 2},
		{"without a limit one machine serves all of them", desktops(4, 0), 1},
		{"a machine that boots has room for 2", desktops(4, 2, servers(machine("1", 0, 0, inPhase(fleet.PhaseBooting)))), 1},
		{"a machine with a user has room for 1", desktops(2, 2, servers(machine("1", 1, 1))), 1},
		{"a user limit above the places changes nothing", desktops(4, 9, servers(machine("1", 0, 0, func(s *fleet.Server) { s.MaxUsers = 9 }))), 0},
		{"4 sessions of 4 people wait", desktops(0, 2, wants(session("a"), session("b"), session("c"), session("d"))), 2},
		{"4 sessions of one user wait", desktops(0, 2, wants(session("a"), session("a"), session("a"), session("a"))), 1},
		{"4 sessions of two", desktops(0, 2, wants(session("a"), session("b"), session("a"), session("b"))), 1},
		{"5 sessions of one", desktops(0, 2, wants(session("a"), session("a"), session("a"), session("a"), session("a"))), 2},
		{"4 sessions of nobody in particular", desktops(0, 2, wants(session(""), session(""), session(""), session(""))), 2},
		{"one machine comes up for two of three", desktops(0, 2, wants(session("a"), session("b"), session("c")), servers(machine("1", 0, 0, inPhase(fleet.PhaseBooting)))), 1},
	} {
		if got := len(plan.For(tc.in).Configs[0].Creates); got != tc.want {
			t.Errorf("%s: want %d machines, got %d", tc.name, tc.want, got)
		}
	}
	// An idle machine is spared by what it offers, and not by its places.
	in := desktops(2, 2, servers(machine("1", 0, 0), machine("2", 0, 0)))
	in.Configs[0].Spare = []plan.Spare{{Machines: 1, Since: noon.Add(-3600e9)}}
	if d := plan.For(in).Configs[0]; len(d.Retires) != 1 {
		t.Errorf("two places too many on a machine of its own: want it to go, got %+v", d)
	}
}

// What nobody offers keeps nobody from making the rest.
func TestDimensionsAreKeptApart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		shapes  map[string]fleet.Resources
		full    string
		creates string
		reason  string
	}{
		"no machine has GPUs":               {map[string]fleet.Resources{"a": twoByTwo, "b": twoByTwo}, "", "c a, c a", "c:too_large"},
		"no more of those that have":        {map[string]fleet.Resources{"a": twoByTwo, "b": {Cores: fleet.Core, GPUs: 1}}, "b", "c a, c a", "c:max_instances"},
		"some have GPUs, others the memory": {map[string]fleet.Resources{"a": {Cores: 2 * fleet.Core, MemoryMiB: 2048}, "b": {Cores: fleet.Core, GPUs: 1}}, "", "c a, c a, c b", ""},
	} {
		in := input(spec(func(s *fleet.AutoscaleConfigSpec) {
			s.Standby = fleet.Shape{Cores: 3 * fleet.Core, Memory: 4 * fleet.GiB, GPUs: 1}
		}), config(func(c *plan.Config) { c.Shapes = tc.shapes }))
		if tc.full != "" {
			providerOf(tc.full, func(p *plan.Provider) { p.Exists = p.Max })(&in)
		}
		creates, reasons := outcome(plan.For(in))
		if creates != tc.creates || !strings.Contains(reasons, " "+tc.reason) {
			t.Errorf("%s: want %q and %s, got %q and %s", name, tc.creates, tc.reason, creates, reasons)
		}
	}
}
