package control

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// TestAMachineWithoutOurMarks: what bears the id of a server's machine and not
// its marks is never deleted. Only one that is surely another's ends the server;
// one that may be ours is not left to itself without a word.
func TestAMachineWithoutOurMarks(t *testing.T) {
	t.Parallel()
	const ours, theirs = fleet.PhaseDeleting, fleet.PhaseGone
	comeBack := func(*provider.Kind) {}
	unique := func(k *provider.Kind) { k.IDsComeBack = false }
	strip := func(change func(*provider.Tags)) func(*handOverWorld, string) {
		return func(w *handOverWorld, id string) { w.accounts.cloudOf["anna"].Remark(id, change) }
	}
	made := func(after time.Duration) func(*handOverWorld, string) {
		return func(w *handOverWorld, id string) {
			w.accounts.cloudOf["anna"].PlantAs(id, "theirs", w.clock.Now().Add(after))
		}
	}
	for name, c := range map[string]struct {
		kind   func(*provider.Kind)
		happen func(w *handOverWorld, id string)
		want   fleet.Phase
		says   string
	}{
		"all marks removed":                 {comeBack, strip(func(t *provider.Tags) { *t = provider.Tags{} }), ours, "server forget server-1"},
		"all marks removed, ids are unique": {unique, strip(func(t *provider.Tags) { *t = provider.Tags{} }), ours, "server forget server-1"},
		"the installation's mark removed":   {comeBack, strip(func(t *provider.Tags) { t.Installation = "" }), ours, "server forget server-1"},
		"the server's mark removed":         {comeBack, strip(func(t *provider.Tags) { t.Server = "" }), ours, "server forget server-1"},
		"another provider's mark":           {comeBack, strip(func(t *provider.Tags) { t.Provider = "other" }), ours, "server forget server-1"},
		"another server's marks": {
			unique, strip(func(t *provider.Tags) { t.Server, t.Installation = "x", "y" }), theirs, "of server x of installation y",
		},
		"marks of another provider's server": {
			comeBack, strip(func(t *provider.Tags) { t.Server, t.Provider = "x", "other" }), theirs, "of server x of installation",
		},
		"a younger machine":    {comeBack, made(0), theirs, "(theirs, without our marks, made at"},
		"an older machine":     {comeBack, made(-24 * time.Hour), theirs, "(theirs, without our marks, made at"},
		"one of the same time": {comeBack, made(-3*time.Hour + 10*time.Minute), ours, "server forget server-1"},
		"a younger one, ids are unique, as where a restart makes machines younger": {unique, made(0), ours, "server forget server-1"},
	} {
		for _, phase := range []string{"ready", "deleting"} {
			t.Run(name+" while it is "+phase, func(t *testing.T) {
				t.Parallel()
				w := newHandOverWorld(t, c.kind)
				w.clock.Step(3 * time.Hour)
				w.pass()
				id := w.is(fleet.PhaseReady, 1).ProviderID
				c.happen(w, id)
				if phase == "ready" {
					for range 5 {
						w.pass()
					}
					if c.want == ours { // nobody's session is ended
						w.is(fleet.PhaseReady, 1)
					}
				}
				if c.want == ours || phase == "deleting" {
					w.retire()
				}
				var reasons []string
				for range 10 {
					w.pass()
					w.do(func(tx *store.Tx) error {
						s, err := tx.Server(w.server)
						reasons = append(reasons, s.Reason)
						return err
					})
				}
				w.is(c.want, 1)
				if told := strings.Join(reasons, "\n"); !strings.Contains(told, c.says) {
					t.Errorf("operators are told %q, want %q", told, c.says)
				}
				if c.want == theirs {
					return
				}
				// Its marks are given back.
				w.accounts.cloudOf["anna"].Remark(id, func(t *provider.Tags) {
					*t = provider.Tags{Installation: w.Store.Installation(), Provider: "v", Server: w.server, AutoscaleConfig: "c"}
				})
				for range 15 {
					w.pass()
				}
				w.is(fleet.PhaseGone, 0)
			})
		}
	}
}

// One listing that leaves out the machine is no proof that its id was given away.
func TestAnotherMachineIsSeenInTwoListings(t *testing.T) {
	t.Parallel()
	w := newHandOverWorld(t)
	w.clock.Step(3 * time.Hour)
	w.pass()
	s := w.is(fleet.PhaseReady, 1)
	w.accounts.cloudOf["anna"].PlantAs(s.ProviderID, "theirs", w.clock.Now())
	w.retire()
	w.pass()
	for range 5 { // without a listing in between
		w.clock.Step(10 * time.Minute)
		if _, err := w.StepServer(t.Context(), w.server); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.is(fleet.PhaseDeleting, 1); !strings.Contains(s.Reason, "another listing has to confirm it") {
		t.Errorf("the reason is %q", s.Reason)
	}
	for range 6 { // the pause after a refused delete call
		w.pass()
	}
	w.is(fleet.PhaseGone, 1)
}
