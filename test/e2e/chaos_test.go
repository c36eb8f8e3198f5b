package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	kills  = 12
	takers = 3
	kept   = 5 // sessions of one core that are kept to the end
	limit  = 6 // max_instances of examples/local.yaml
)

// TestKilledAtAnyMoment kills the controller again and again while sessions
// come and go. Afterwards nothing may be lost, doubled or left over: every
// session that was acknowledged is there, no machine has more than it can hold,
// and the processes on this host are exactly those that the controller knows.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))

	s, err := newSite(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	c, err := s.controller("main")
	if err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs("../../examples/local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	start := func(args ...string) {
		t.Helper()
		if err := c.start(s, os.Environ(), args); err != nil {
			t.Fatal(err)
		}
		if err := c.waitReady(); err != nil {
			t.Fatal(err)
		}
	}
	start("--apply", example)

	load := &takersOfSessions{url: c.url(), token: c.token(), held: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range takers {
		wg.Go(func() { load.run(ctx, i) })
	}
	most := 0
	for range kills {
		<-time.After(time.Duration(random.IntN(700)) * time.Millisecond)
		most = max(most, len(s.agents()))
		if err := c.end(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(s.agents()))
		start()
	}
	stop()
	wg.Wait()
	if load.taken < takers {
		t.Errorf("only %d sessions were taken: this test has tested nothing", load.taken)
	}
	if most > limit {
		t.Errorf("%d agents ran at once, max_instances is %d", most, limit)
	}
	t.Logf("%d sessions taken over %d kills, %d agents at most", load.taken, kills, most)
	awaitBalance(t, s, c, load)
}

// awaitBalance waits until what the controller says and what is there agree.
func awaitBalance(t *testing.T, s *site, c *controller, load *takersOfSessions) {
	t.Helper()
	api, err := remote(c.url(), c.token())
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	deadline := time.After(40 * time.Second)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		wrong, err := imbalance(t.Context(), s, api, load)
		if err != nil {
			t.Fatal(err)
		}
		if len(wrong) == 0 {
			return
		}
		select {
		case <-deadline:
			for _, w := range wrong {
				t.Error(w)
			}
			t.Log(c.output())
			return
		case <-tick.C:
		}
	}
}

func imbalance(ctx context.Context, s *site, api *client.Client, load *takersOfSessions) (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	list, err := servers(ctx, api)
	if err != nil {
		return nil, err
	}
	sessions, err := api.Sessions(ctx, client.SessionFilter{States: []fleet.SessionState{fleet.SessionActive}})
	if err != nil {
		return nil, err
	}
	if agents := s.agents(); len(agents) != len(list) {
		say("%d agents run, %d servers are known: %v", len(agents), len(list), agents)
	}
	if len(list) > limit {
		say("%d servers, max_instances is %d", len(list), limit)
	}
	claimed := map[string]fleet.Resources{}
	for _, x := range sessions {
		claimed[x.ServerID] = claimed[x.ServerID].Add(x.Need)
	}
	for _, v := range list {
		if v.Phase != fleet.PhaseReady {
			say("server %s is %s: %s", v.Name, v.Phase, v.Reason)
		}
		if claimed[v.ID] != v.Claimed || !v.Claimed.Fits(v.Capacity) {
			say("server %s of %s says that %s is claimed; its sessions claim %s", v.Name, v.Capacity, v.Claimed, claimed[v.ID])
		}
	}
	for id := range load.held {
		if !slices.ContainsFunc(sessions, func(x client.Session) bool { return x.ID == id }) {
			say("session %s was acknowledged, never ended, and is not active", id)
		}
	}
	if n := len(sessions) - len(load.held); n > load.unsure {
		say("%d sessions are active, %d were taken and %d calls got no answer", len(sessions), len(load.held), load.unsure)
	}
	return wrong, nil
}

// takersOfSessions take sessions and end them, as programs do whose controller
// is away now and then.
type takersOfSessions struct {
	url, token string

	mu     sync.Mutex
	held   map[string]bool // acknowledged as active and not ended
	taken  int
	unsure int // calls whose outcome is unknown
}

func (l *takersOfSessions) run(ctx context.Context, taker int) {
	api, err := remote(l.url, l.token)
	if err != nil {
		return
	}
	defer api.Close()
	for n := 0; ctx.Err() == nil; n++ {
		s, err := api.CreateSession(ctx, client.SessionRequest{
			Pool: "example", Cores: fleet.Core, Memory: fleet.GiB, NoQueue: true,
			IdempotencyKey: fmt.Sprintf("taker-%d-%d", taker, n),
		})
		var refused *fleet.Error
		keep := false
		l.note(func() {
			switch {
			case errors.As(err, &refused): // an answer: nothing was taken
			case err != nil:
				l.unsure++
			case s.State == fleet.SessionActive:
				l.taken++
				keep = len(l.held) < kept
				l.held[s.ID] = true
			}
		})
		if err != nil || s.State != fleet.SessionActive || keep {
			continue
		}
		// From here on it may be ended, whatever the answer is.
		l.note(func() { delete(l.held, s.ID); l.unsure++ })
		if _, err := api.EndSession(ctx, s.ID); err == nil {
			l.note(func() { l.unsure-- })
		}
	}
}

func (l *takersOfSessions) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}
