package control

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// accounts are users of clouds, each with the cloud that it sees.
type accounts struct {
	mu      sync.Mutex
	cloudOf map[string]*sim.Cloud
	revoked map[string]bool
	asked   map[string]int // listings
}

// user is a driver with the access of one user.
type user struct {
	provider.Driver
	accounts *accounts
	name     string
}

func (u user) refused() error {
	u.accounts.mu.Lock()
	defer u.accounts.mu.Unlock()
	if u.accounts.revoked[u.name] {
		return provider.Errorf(provider.Unauthenticated, "the key of %s is not valid", u.name)
	}
	return nil
}

func (u user) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	u.accounts.mu.Lock()
	u.accounts.asked[u.name]++
	u.accounts.mu.Unlock()
	if err := u.refused(); err != nil {
		return func(yield func(provider.Instance, error) bool) { yield(provider.Instance{}, err) }
	}
	return u.Driver.List(ctx, o)
}

func (u user) Create(ctx context.Context, r provider.Request) (provider.Instance, error) {
	if err := u.refused(); err != nil {
		return provider.Instance{}, err
	}
	return u.Driver.Create(ctx, r)
}

func (u user) Get(ctx context.Context, id string) (provider.Instance, error) {
	if err := u.refused(); err != nil {
		return provider.Instance{}, err
	}
	return u.Driver.Get(ctx, id)
}

func (u user) Delete(ctx context.Context, id string) error {
	if err := u.refused(); err != nil {
		return err
	}
	return u.Driver.Delete(ctx, id)
}

type handOverWorld struct {
	*Controller
	t        *testing.T
	clock    *clocktesting.FakeClock
	accounts *accounts
	server   string
	sealed   bool // the user is a secret, and not a setting that may be read
}

// bothWays runs a test with a user that is a setting and with one that is a
// secret, as where one token is all the access there is.
func bothWays(t *testing.T, test func(t *testing.T, w *handOverWorld)) {
	t.Helper()
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %t", sealed), func(t *testing.T) {
			t.Parallel()
			test(t, newAccessWorld(t, sealed))
		})
	}
}

func newHandOverWorld(t *testing.T, edit ...func(*provider.Kind)) *handOverWorld {
	t.Helper()
	return newAccessWorld(t, false, edit...)
}

// newAccessWorld has anna and berta in one account and carla in another; anna
// has made a machine.
func newAccessWorld(t *testing.T, sealed bool, edit ...func(*provider.Kind)) *handOverWorld {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	ours, other := sim.NewCloud(sim.Options{Clock: clock}), sim.NewCloud(sim.Options{Clock: clock})
	w := &handOverWorld{t: t, clock: clock, server: "server-1", sealed: sealed, accounts: &accounts{
		cloudOf: map[string]*sim.Cloud{"anna": ours, "berta": ours, "carla": other}, revoked: map[string]bool{}, asked: map[string]int{},
	}}
	kind := sim.Kind(nil)
	for _, e := range edit {
		e(&kind)
	}
	owner := provider.Owner{Installation: st.Installation(), Provider: "v"}
	w.Controller = New(Deps{
		Store: st, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Access:    func(string) []string { return []string{"user"} },
		Bootstrap: func(context.Context, *fleet.Server) (provider.Bootstrap, error) { return provider.Bootstrap{}, nil },
		Open: func(_ context.Context, o *store.Object) (*provider.Client, error) {
			spec, err := store.Spec[fleet.VMProviderSpec](o)
			if err != nil {
				return nil, err
			}
			name, public := spec.Settings["user"].(string)
			if !public {
				name = string(o.Secrets)
			}
			return provider.NewClient(provider.ClientOptions{
				Kind: kind, Clock: clock, Owner: owner,
				Driver: user{w.accounts.cloudOf[name].Driver(sim.Behaviour{}), w.accounts, name},
			}), nil
		},
	})
	revision := w.as("anna", "small")
	machine := ours.Plant(w.server, provider.Tags{Installation: owner.Installation, Provider: "v", Server: w.server, AutoscaleConfig: "c"})
	w.do(func(tx *store.Tx) error {
		return tx.InsertServer(&fleet.Server{
			ID: w.server, Name: w.server, Origin: fleet.OriginAutoscaled, VMProvider: "v", ProviderRevision: revision, ProviderID: machine,
			Phase: fleet.PhaseReady, PhaseSince: clock.Now(), Attempts: 1, CreatedAt: clock.Now(),
		})
	})
	w.pass()
	return w
}

func (w *handOverWorld) do(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.Store.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// as edits the provider config.
func (w *handOverWorld) as(name, size string) (revision int64) {
	w.t.Helper()
	set, secrets := map[string]any{"user": name, "size": size}, []byte(nil)
	if w.sealed {
		delete(set, "user")
		secrets = []byte(name)
	}
	b, err := json.Marshal(fleet.VMProviderSpec{Provider: sim.KindName, MaxInstances: 100, Settings: set})
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(func(tx *store.Tx) error {
		o := &store.Object{Kind: fleet.KindVMProvider, Name: "v", Spec: b, Secrets: secrets}
		_, _, err := tx.PutObject(o, w.clock.Now())
		revision = o.Revision
		return err
	})
	w.clouds.forget("v")
	return revision
}

// pass is a minute in which the cloud is listed, swept and every server stepped.
func (w *handOverWorld) pass() {
	w.t.Helper()
	w.clock.Step(time.Minute)
	if _, err := w.RefreshProvider(w.t.Context(), "v"); err != nil {
		w.t.Fatal(err)
	}
	if err := w.SweepRemnants(w.t.Context(), "v"); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.StepServer(w.t.Context(), w.server); err != nil {
		w.t.Fatal(err)
	}
}

func (w *handOverWorld) revoke(name string) {
	w.accounts.mu.Lock()
	defer w.accounts.mu.Unlock()
	w.accounts.revoked[name] = true
}

// is checks the server's phase and how many machines are in anna's account.
func (w *handOverWorld) is(phase fleet.Phase, machines int) *fleet.Server {
	w.t.Helper()
	var s *fleet.Server
	w.do(func(tx *store.Tx) (err error) {
		s, err = tx.Server(w.server)
		return err
	})
	if left := w.accounts.cloudOf["anna"].Instances(); s.Phase != phase || len(left) != machines {
		w.t.Errorf("the server is %s (%s) and there are %d machines, want %s and %d", s.Phase, s.Reason, len(left), phase, machines)
	}
	return s
}

func (w *handOverWorld) retire() {
	w.do(func(tx *store.Tx) error {
		s, err := tx.Server(w.server)
		if err != nil {
			return err
		}
		s.Phase, s.PhaseSince, s.Reason = fleet.PhaseDeleting, w.clock.Now(), "test"
		return tx.SaveServer(s)
	})
}

func (w *handOverWorld) listError() (text string) {
	w.do(func(tx *store.Tx) error {
		state, err := tx.ProviderState("v")
		text = state.ListError
		return err
	})
	return text
}

// Whoever replaces a user revokes the old one afterwards. The machines that it
// made go on to be watched, and can be deleted, as soon as the new one has seen
// one of them.
func TestNewAccessReachesOldMachines(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, w *handOverWorld) {
		w.as("berta", "small")
		w.revoke("anna") // at once: nobody has waited
		for range 5 {
			w.pass()
		}
		w.is(fleet.PhaseReady, 1)
		if text := w.listError(); text != "" {
			t.Errorf("the listing is said to fail: %s", text)
		}
		w.retire()
		for range 5 {
			w.pass()
		}
		w.is(fleet.PhaseGone, 0)
	})
}

// One account is listed once, however often its users have changed.
func TestOldAccessIsAskedNoMore(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, w *handOverWorld) {
		w.as("berta", "small")
		w.pass()
		before := w.accounts.asked["anna"]
		for range 5 {
			w.pass()
		}
		if n := w.accounts.asked["anna"] - before; n != 0 {
			t.Errorf("anna has asked %d times since", n)
		}
		w.as("anna", "small") // and back
		for range 3 {
			w.pass()
		}
		w.is(fleet.PhaseReady, 1)
	})
}

// Another user may belong to another account, which no setting tells. Then its
// listing shows none of the machines, and says nothing about them.
func TestAccessToAnotherAccountLosesNothing(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, w *handOverWorld) {
		w.as("carla", "small")
		for range 200 {
			w.pass()
		}
		w.is(fleet.PhaseReady, 1)
		w.revoke("anna")
		for range 5 {
			w.pass()
		}
		w.is(fleet.PhaseReady, 1)
		if text := w.listError(); !strings.Contains(text, "the key of anna is not valid") {
			t.Errorf("operators are told %q", text)
		}
		w.retire()
		for range 5 {
			w.pass()
		}
		if s := w.is(fleet.PhaseDeleting, 1); !strings.Contains(s.Reason, "the key of anna is not valid") {
			t.Errorf("the reason is %q", s.Reason)
		}
		w.as("berta", "small")
		for range 5 {
			w.pass()
		}
		w.is(fleet.PhaseGone, 0)
	})
}

// What is no access keeps its own way to its machines, also with other access.
func TestAnotherPlaceIsNoOtherAccess(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, w *handOverWorld) {
		w.as("berta", "large")
		for range 3 {
			w.pass()
		}
		var realms []string
		for _, revision := range []int64{1, 2} {
			r, err := w.clouds.get(t.Context(), "v", revision)
			if err != nil {
				t.Fatal(err)
			}
			realms = append(realms, r.key)
		}
		if len(slices.Compact(realms)) != 2 {
			t.Errorf("both revisions have one realm")
		}
		w.is(fleet.PhaseReady, 1)
	})
}

// A server that was planned before the access changed is made with what holds
// now: the old access may be gone.
func TestWhatIsPlannedIsMadeWithTheSettingsOfNow(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, w *handOverWorld) {
		const planned = "server-2"
		w.do(func(tx *store.Tx) error {
			return tx.InsertServer(&fleet.Server{
				ID: planned, Name: planned, Origin: fleet.OriginAutoscaled, VMProvider: "v", ProviderRevision: 1, AutoscaleConfig: "c",
				Phase: fleet.PhasePlanned, PhaseSince: w.clock.Now(), CreatedAt: w.clock.Now(),
			})
		})
		revision := w.as("berta", "large")
		w.revoke("anna")
		if _, err := w.StepServer(t.Context(), planned); err != nil {
			t.Fatal(err)
		}
		var s *fleet.Server
		w.do(func(tx *store.Tx) (err error) {
			s, err = tx.Server(planned)
			return err
		})
		if s.ProviderRevision != revision || s.ProviderID == "" {
			t.Errorf("server of revision %d, now at %d, is %s with machine %q: %s", s.ProviderRevision, revision, s.Phase, s.ProviderID, s.Reason)
		}
	})
}
