package control

import (
	"errors"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// skewed is the clock of a host that is wrong.
type skewed struct {
	clock.RealClock
	by time.Duration
}

func (s skewed) Now() time.Time                  { return s.RealClock.Now().Add(s.by) }
func (s skewed) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

// node opens the database as a process on a host with that clock does.
func (s *site) node(by time.Duration) *Controller {
	s.t.Helper()
	c := store.NewClock(skewed{by: by})
	st, err := store.Open(s.t.Context(), store.Options{URL: s.url, Clock: c})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := st.Close(); err != nil {
			s.t.Error(err)
		}
	})
	n := s.controllerOn(st)
	n.Clock = c
	return n
}

// TestClocksOfTwoNodesDiffer: what a node writes whose host is seven minutes
// late is read by one whose host is seven minutes fast, and the other way round.
// Agents that speak are not silent, sessions that are renewed do not end,
// machines that were asked for a moment ago have time left, and what is blocked
// for two minutes is not blocked for sixteen. Fencing does not depend on any
// clock of theirs.
func TestClocksOfTwoNodesDiffer(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"slow writes, fast reads": -7 * time.Minute, "fast writes, slow reads": 7 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, pgtest.New(t))
			writer, reader := s.node(by), s.node(-by)
			now := writer.now()
			if apart := reader.now().Sub(now); apart.Abs() > 5*time.Second {
				t.Fatalf("the nodes are %s apart", apart)
			}
			ttl := fleet.Duration(2 * time.Minute)
			expires, wait := now.Add(ttl.D()), now.Add(2*time.Minute)
			machine := s.cloud.Plant("m", s.tagsOf(writer, "speaks"))
			err := writer.Store.Write(t.Context(), func(tx *store.Tx) error {
				for _, v := range []*fleet.Server{
					{
						ID: "speaks", Name: "speaks", Phase: fleet.PhaseReady, ProviderID: machine, RegisteredAt: &now, LastSeenAt: &now,
						Attempts: 1, Sessions: 1, Capacity: machineShape, Claimed: machineShape,
					},
					{ID: "asked", Name: "asked", Phase: fleet.PhaseCreating, Attempts: 1, CallAt: &now, AskedAt: &now},
				} {
					v.Origin, v.Pool, v.Zone, v.VMProvider, v.AutoscaleConfig = fleet.OriginAutoscaled, "p0", "z", "v0", "c0"
					v.PhaseSince, v.CreatedAt = now, now
					if err := tx.InsertServer(v); err != nil {
						return err
					}
				}
				for _, v := range []*fleet.Session{
					{ID: "held", State: fleet.SessionActive, ServerID: "speaks", Need: machineShape, TTL: ttl, ExpiresAt: &expires},
					{ID: "waits", State: fleet.SessionQueued, Need: fleet.Resources{Cores: 64 * fleet.Core}, WaitUntil: &wait},
				} {
					v.Pool, v.CreatedAt = "p0", now
					if err := tx.InsertSession(v); err != nil {
						return err
					}
				}
				return tx.SaveProviderState(store.ProviderState{Provider: "v1", BlockedUntil: now.Add(2 * time.Minute), BlockedReason: "no room"})
			})
			if err != nil {
				t.Fatal(err)
			}
			// The reader has listened for long: its own start excuses nothing.
			reader.hearing.last, reader.hearing.since = reader.now().Round(0), reader.now().Add(-24*time.Hour).Round(0)

			m := reader.Store.Join("")
			defer func() { _ = m.Leave(t.Context()) }()
			if _, err := m.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			taken, err := m.Take(t.Context(), []string{keyProvider + "v0", keySystem})
			if err != nil || len(taken) != 2 {
				t.Fatal(taken, err)
			}
			lease := map[string]store.Owner{}
			for _, o := range taken {
				lease[o.Key] = o
			}
			if _, err := reader.RefreshProvider(withLease(t.Context(), lease[keyProvider+"v0"]), "v0"); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"speaks", "asked"} {
				if _, err := reader.StepServer(withLease(t.Context(), lease[keyProvider+"v0"]), id); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := reader.ExpireSessions(withLease(t.Context(), lease[keySystem])); err != nil {
				t.Fatal(err)
			}
			err = s.store.Read(t.Context(), func(tx *store.Tx) error {
				for id, want := range map[string]fleet.Phase{"speaks": fleet.PhaseReady, "asked": fleet.PhaseCreating} {
					v, err := tx.Server(id)
					if err != nil {
						return err
					}
					if v.Phase != want || v.Missing || v.PhaseSince.Sub(now).Abs() > time.Second {
						t.Errorf("server %s is %s since %s, missing %v: %s", id, v.Phase, v.PhaseSince.Sub(now), v.Missing, v.Reason)
					}
				}
				for id, want := range map[string]fleet.SessionState{"held": fleet.SessionActive, "waits": fleet.SessionQueued} {
					v, err := tx.Session(id)
					if err != nil {
						return err
					}
					if v.State != want {
						t.Errorf("session %s is %s: %s", id, v.State, v.Reason)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			in, err := reader.fleet.Load(t.Context(), "p1", reader.now(), reader.Shape)
			if err != nil {
				t.Fatal(err)
			}
			if left := in.Providers["v1"].BlockedUntil.Sub(in.Now); left < 100*time.Second || left > 2*time.Minute {
				t.Errorf("a provider that is blocked for two minutes is blocked for %s", left)
			}

			// The writer takes over with the clock that it has; the reader is turned away.
			back := writer.Store.Join("")
			defer func() { _ = back.Leave(t.Context()) }()
			if _, err := back.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again, err := back.Take(t.Context(), []string{keySystem}); err != nil || len(again) != 0 {
				t.Fatalf("a node took work over whose owner is alive: %v, %v", again, err)
			}
			if err := m.Release(t.Context(), []store.Owner{lease[keySystem]}); err != nil {
				t.Fatal(err)
			}
			if again, err := back.Take(t.Context(), []string{keySystem}); err != nil || len(again) != 1 {
				t.Fatal(again, err)
			}
			if err := reader.write(withLease(t.Context(), lease[keySystem]), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrLost) {
				t.Errorf("a node that has lost its work wrote: %v", err)
			}
		})
	}
}
