package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// sweepWorld is a provider config whose machines are in two places: those made
// with its first revision in one, those made since in the other.
type sweepWorld struct {
	*Controller
	t      *testing.T
	clock  *clocktesting.FakeClock
	clouds map[string]*sim.Cloud
}

func newSweepWorld(t *testing.T) *sweepWorld {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &sweepWorld{t: t, clock: clock, clouds: map[string]*sim.Cloud{}}
	for _, name := range []string{"old", "new"} {
		w.clouds[name] = sim.NewCloud(sim.Options{Clock: clock})
	}
	kind := sim.Kind(func(string) *sim.Cloud { return nil })
	w.Controller = New(Deps{
		Store: st, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Open: func(_ context.Context, o *store.Object) (*provider.Client, error) {
			spec, err := store.Spec[fleet.VMProviderSpec](o)
			if err != nil {
				return nil, err
			}
			return provider.NewClient(provider.ClientOptions{
				Kind: kind, Clock: clock, Owner: w.owner(), Driver: w.clouds[fmt.Sprint(spec.Settings["cloud"])].Driver(sim.Behaviour{}),
			}), nil
		},
	})
	for i, name := range []string{"old", "new"} {
		b, err := json.Marshal(fleet.VMProviderSpec{Provider: sim.KindName, MaxInstances: 100, Settings: map[string]any{"cloud": name}})
		if err != nil {
			t.Fatal(err)
		}
		w.do(func(tx *store.Tx) error {
			o := &store.Object{Kind: fleet.KindVMProvider, Name: "v", Spec: b}
			if _, _, err := tx.PutObject(o, clock.Now()); err != nil {
				return err
			}
			id := "server-" + name
			machine := w.plant(name, id)
			return tx.InsertServer(&fleet.Server{
				ID: id, Name: id, Origin: fleet.OriginAutoscaled, VMProvider: "v", ProviderRevision: o.Revision, ProviderID: machine,
				Phase: fleet.PhaseReady, PhaseSince: clock.Now(), Attempts: 1, CreatedAt: clock.Now().Add(time.Duration(i)),
			})
		})
	}
	return w
}

func (w *sweepWorld) owner() provider.Owner {
	return provider.Owner{Installation: w.Store.Installation(), Provider: "v"}
}

func (w *sweepWorld) tags(server string) provider.Tags {
	return provider.Tags{Installation: w.Store.Installation(), Provider: "v", Server: server, AutoscaleConfig: "c"}
}

func (w *sweepWorld) plant(cloud, server string) string {
	return w.clouds[cloud].Plant(server, w.tags(server))
}

func (w *sweepWorld) do(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.Store.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// passes lets so many listings and sweeps of remnants happen, a minute apart.
func (w *sweepWorld) passes(n int) {
	w.t.Helper()
	for range n {
		w.clock.Step(time.Minute)
		if _, err := w.RefreshProvider(w.t.Context(), "v"); err != nil {
			w.t.Fatal(err)
		}
		if err := w.SweepRemnants(w.t.Context(), "v"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// told is what operators see of the sweeps, and how many events there were.
func (w *sweepWorld) told() (machines, remnants string, stopped, removed int) {
	w.t.Helper()
	w.do(func(tx *store.Tx) error {
		state, err := tx.ProviderState("v")
		if err != nil {
			return err
		}
		machines, remnants = state.SweepError, state.RemnantError
		list, err := tx.Events(store.EventFilter{Kind: string(fleet.KindVMProvider), Name: "v"})
		for _, e := range list {
			switch e.Type {
			case fleet.EventSweepStopped:
				stopped++
			case fleet.EventOrphanRemoved:
				removed++
			default:
			}
		}
		return err
	})
	return machines, remnants, stopped, removed
}

// Two places may use the same ids, and neither listing says anything about what
// is in the other place.
func TestOrphansOfEachRealmAreRemoved(t *testing.T) {
	t.Parallel()
	w := newSweepWorld(t)
	for _, cloud := range []string{"old", "new"} {
		w.plant(cloud, "forgotten-"+cloud)
		w.clouds[cloud].PlantRemnant(w.tags("forgotten-" + cloud))
	}
	w.passes(6)
	for name, cloud := range w.clouds {
		if left := cloud.Instances(); len(left) != 1 || left[0].Tags.Server != "server-"+name {
			t.Errorf("cloud %s holds %v, want the machine of its server alone", name, left)
		}
		if left := cloud.Remnants(); len(left) != 0 {
			t.Errorf("cloud %s holds %v", name, left)
		}
	}
	if machines, remnants, stopped, removed := w.told(); machines+remnants != "" || stopped != 0 || removed != 4 {
		t.Errorf("told %q, %q, %d stops and %d removals, want 4 removals", machines, remnants, stopped, removed)
	}
	w.do(func(tx *store.Tx) error {
		list, err := tx.Sightings("v")
		if len(list) > 0 {
			t.Errorf("sightings are kept of what is gone: %v", list)
		}
		return err
	})
}

// How much a sweep may remove is what the provider config says now.
func TestTheShareOfASweep(t *testing.T) {
	t.Parallel()
	w := newSweepWorld(t)
	for i := range 5 {
		w.plant("new", fmt.Sprint("x", i))
		w.clouds["new"].PlantRemnant(w.tags(fmt.Sprint("x", i)))
	}
	for _, c := range []struct {
		share                int64
		machines, remnants   string
		leftMachines, leftIn int
	}{
		{80, "now 80 %", "now 80 %", 6, 5},
		{84, "", "now 84 %", 1, 5}, // 84 % of 6 are 5, of 5 are 4
		{100, "", "", 1, 0},
	} {
		w.do(func(tx *store.Tx) error {
			o, err := tx.Object(fleet.KindVMProvider, "v")
			if err != nil {
				return err
			}
			spec, err := store.Spec[fleet.VMProviderSpec](o)
			if err != nil {
				return err
			}
			spec.MaxOrphanShare = c.share
			if o.Spec, err = json.Marshal(spec); err != nil {
				return err
			}
			_, _, err = tx.PutObject(o, w.clock.Now())
			return err
		})
		w.passes(6)
		m, r, _, _ := w.told()
		if !strings.HasSuffix(m, c.machines) || !strings.HasSuffix(r, c.remnants) || (m == "") != (c.machines == "") || (r == "") != (c.remnants == "") {
			t.Errorf("with max_orphan_share %d operators are told %q and %q, want %q and %q", c.share, m, r, c.machines, c.remnants)
		}
		if n, left := len(w.clouds["new"].Instances()), len(w.clouds["new"].Remnants()); n != c.leftMachines || left != c.leftIn {
			t.Errorf("with max_orphan_share %d there are %d machines and %d objects, want %d and %d", c.share, n, left, c.leftMachines, c.leftIn)
		}
	}
}

// What stops the sweep of one place stays told while the other place is in
// order, and while the first one cannot be listed.
func TestAStoppedSweepStaysTold(t *testing.T) {
	t.Parallel()
	w := newSweepWorld(t)
	var planted []string
	for i := range 5 {
		planted = append(planted, w.plant("old", fmt.Sprint("x", i)))
		w.clouds["old"].PlantRemnant(w.tags(fmt.Sprint("x", i)))
	}
	want := func(machines, remnants string, events int) {
		t.Helper()
		m, r, stopped, removed := w.told()
		if !strings.HasPrefix(m, machines) || !strings.HasPrefix(r, remnants) || (machines == "") != (m == "") || (remnants == "") != (r == "") || stopped != events || removed != 0 {
			t.Errorf("told %q and %q in %d events, %d removals; want %q and %q in %d", m, r, stopped, removed, machines, remnants, events)
		}
	}
	w.passes(6)
	want("5 of 6 machines", "5 of 5 disks", 2)
	w.clouds["old"].Outage(w.clock.Now(), w.clock.Now().Add(5*time.Minute+time.Second), provider.Unavailable)
	w.passes(5)
	want("5 of 6 machines", "5 of 5 disks", 2)
	for _, id := range planted {
		w.clouds["old"].Vanish(id)
	}
	w.passes(2)
	want("", "5 of 5 disks", 3)
}
