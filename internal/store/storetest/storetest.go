// Package storetest is the suite that every database of package store must
// pass. A defect that was found in one database becomes a case here.
package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// patience bounds every wait of the suite.
const patience = 30 * time.Second

// Run runs the suite. open gives a store on a new empty database and closes it
// when the test ends.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	t.Helper()
	tests := []struct {
		name string
		run  func(*testing.T, *store.Store)
	}{
		{"identity", testIdentity},
		{"objects", testObjects},
		{"object versions", testObjectVersions},
		{"provider revisions", testProviderRevisions},
		{"server round trip", testServerRoundTrip},
		{"server stale", testServerStale},
		{"server lists", testServerLists},
		{"servers gone", testServersGone},
		{"tallies", testTallies},
		{"changes", testChanges},
		{"claim order", testClaimOrder},
		{"claim mismatch", testClaimMismatch},
		{"claim users", testClaimUsers},
		{"claim closed", testClaimClosed},
		{"claim against a model", testClaimModel},
		{"claim rivals", testClaimRivals},
		{"release", testRelease},
		{"saving keeps claims", testSaveKeepsClaims},
		{"session round trip", testSessionRoundTrip},
		{"session keys", testSessionKeys},
		{"session queue", testSessionQueue},
		{"entrance", testEntrance},
		{"session lists", testSessionLists},
		{"sessions due", testSessionsDue},
		{"staged sessions", testStagedSessions},
		{"events", testEvents},
		{"event order", testEventOrder},
		{"event retention", testEventRetention},
		{"failures stay alone", testFailuresStayAlone},
		{"failed statements", testFailedStatements},
		{"stale is retried", testStaleIsRetried},
		{"panics", testPanics},
		{"goroutine ends inside", testGoexit},
		{"cancelled", testCancelled},
		{"reads", testReads},
		{"closed", testClosed},
		{"tokens", testTokens},
		{"agent credentials", testAgentCredentials},
		{"states", testStates},
		{"scripts", testScripts},
		{"DNS names", testDNS},
		{"sightings", testSightings},
		{"logs", testLogs},
		{"settings and locks", testSettings},
		{"odd text", testOddText},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, open(t))
		})
	}
}

// t0 is a moment with a part below the microsecond and a zone, as none read
// back may have.
var t0 = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("somewhere", 3600))

// us is a moment as the store gives it back.
func us(t time.Time) time.Time { return t.Truncate(time.Microsecond).UTC() }

func at(seconds int) time.Time { return us(t0).Add(time.Duration(seconds) * time.Second) }

func ptr[T any](v T) *T { return &v }

func write(t *testing.T, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), fn); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

func read(t *testing.T, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Read(t.Context(), fn); err != nil {
		t.Fatalf("Read: %v", err)
	}
}

// get reads one value.
func get[T any](t *testing.T, s *store.Store, fn func(tx *store.Tx) (T, error)) T {
	t.Helper()
	var v T
	read(t, s, func(tx *store.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func wantSame(t *testing.T, what string, got, want any, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// res is cores, GiB, GPUs.
func res(cores, gib, gpus int64) fleet.Resources {
	return fleet.Resources{Cores: fleet.Core * fleet.Cores(cores), MemoryMiB: gib * 1024, GPUs: gpus}
}

func places(n int64) fleet.Resources { return fleet.Resources{Places: n} }

// agent is an open server of pool p in zone z.
func agent(id string, capacity fleet.Resources) *fleet.Server {
	return &fleet.Server{
		ID: id, Origin: fleet.OriginAutoscaled, Pool: "p", Zone: "z", Phase: fleet.PhaseReady,
		PhaseSince: t0, CreatedAt: t0, Capacity: capacity, CapacitySource: fleet.CapacityReported,
	}
}

func addServers(t *testing.T, s *store.Store, servers ...*fleet.Server) {
	t.Helper()
	write(t, s, func(tx *store.Tx) error {
		for _, v := range servers {
			if err := tx.InsertServer(v); err != nil {
				return err
			}
		}
		return nil
	})
}

// start claims capacity for a new session and adds it.
func start(tx *store.Tx, id string, q store.ClaimQuery) (*fleet.Server, error) {
	v, err := tx.Claim(q)
	if err != nil {
		return nil, err
	}
	return v, tx.InsertSession(&fleet.Session{
		ID: id, Pool: q.Pool, Zone: q.Zone, User: q.User, State: fleet.SessionActive,
		Need: q.Need, ServerID: v.ID, CreatedAt: t0, Owner: "o",
	})
}

// finish ends a session and gives back what it held.
func finish(tx *store.Tx, id string) (*fleet.Server, error) {
	e, err := tx.Session(id)
	if err != nil {
		return nil, err
	}
	e.State, e.EndedAt = fleet.SessionEnded, ptr(t0)
	if err := tx.SaveSession(e); err != nil {
		return nil, err
	}
	return tx.Release(e.ServerID, e.Need, e.User)
}

// ids lists the ids of servers or sessions.
func ids[T any](list []T) []string {
	out := []string{}
	for _, v := range list {
		switch v := any(v).(type) {
		case *fleet.Server:
			out = append(out, v.ID)
		case *fleet.Session:
			out = append(out, v.ID)
		}
	}
	return out
}

func testIdentity(t *testing.T, s *store.Store) {
	if len(s.Installation()) != 26 {
		t.Errorf("Installation() = %q, want a ULID", s.Installation())
	}
	last := ""
	for range 1000 {
		id := s.NewID()
		if id <= last || len(id) != 26 {
			t.Fatalf("NewID() = %q after %q, want a greater ULID", id, last)
		}
		last = id
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}
