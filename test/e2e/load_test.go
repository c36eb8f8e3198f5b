package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	takers    = 4                // take sessions, renew them and end them
	keepers   = 3                // keep one session each
	tryTime   = 2 * time.Second  // for one node to answer, beside the time that it is asked to wait
	lastTries = 60 * time.Second // for calls under way when the load stops
	keptTTL   = 45 * time.Second
	keptEvery = 3 * time.Second // a keeper renews its session
	queueTime = 2 * time.Minute
)

// load is sessions that come and go: programs that try another node when one
// does not answer, with the same idempotency key, until they know the outcome.
// Afterwards it knows exactly which sessions there must be.
type load struct {
	apis []*client.Client // the nodes, and whatever else passes calls on to them

	mu       sync.Mutex
	avoid    string            // URL of a node that is left alone
	number   int               // of sessions asked for
	held     map[string]string // sessions by id that must be active, with their keys
	doubtful map[string]bool   // keys refused by one node after another had not answered
	lost     map[string]string // sessions that ended by themselves, with the reason
	killed   map[string]bool   // machines that the test killed
	wrong    []string          // answers that no client should ever get
	count    map[string]int    // calls that were answered, by what they did
	last     time.Time         // when a session was taken last
	gap      time.Duration     // the longest time in which none was

	kept [keepers]string // ids
}

func newLoad(t *testing.T, token string, urls ...string) *load {
	t.Helper()
	l := &load{held: map[string]string{}, doubtful: map[string]bool{}, lost: map[string]string{}, killed: map[string]bool{}, count: map[string]int{}}
	for _, url := range urls {
		api, err := remote(url, token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(api.Close)
		l.apis = append(l.apis, api)
	}
	return l
}

// taken is how many sessions have been taken so far.
func (l *load) taken() (n int) {
	l.note(func() { n = l.count["taken"] })
	return n
}

func (l *load) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// run makes load until ctx ends and every outcome is known.
func (l *load) run(ctx context.Context) {
	l.note(func() { l.last = time.Now() })
	var wg sync.WaitGroup
	for i := range takers {
		wg.Go(func() {
			w := &caller{load: l, at: i}
			for ctx.Err() == nil {
				w.visit(ctx)
			}
		})
	}
	for i := range keepers {
		wg.Go(func() { (&caller{load: l, at: i}).keep(ctx, i) })
	}
	wg.Wait()
}

// caller is one program. It makes one call at a time.
type caller struct {
	*load
	at int // the node that it talks to
}

// visit takes a session, renews it and ends it.
func (c *caller) visit(ctx context.Context) {
	r := client.SessionRequest{Cores: fleet.Core, Memory: fleet.GiB, NoQueue: true, TTL: fleet.Duration(10 * time.Minute)}
	if c.at%3 == 0 {
		r.NoQueue, r.Wait, r.QueueTimeout = false, fleet.Duration(time.Second), fleet.Duration(queueTime)
	}
	id := c.take(ctx, r)
	for n := rand.IntN(3); n > 0 && id != "" && ctx.Err() == nil; n-- {
		pause(ctx, time.Duration(rand.IntN(200))*time.Millisecond)
		id = c.renew(ctx, id, 0)
	}
	if id != "" {
		c.end(ctx, id)
	}
	pause(ctx, time.Duration(20+rand.IntN(60))*time.Millisecond)
	c.at += rand.IntN(2)
}

// keep holds one session over all disturbances. One that was lost with its
// machine is replaced.
func (c *caller) keep(ctx context.Context, i int) {
	for ctx.Err() == nil {
		if c.kept[i] == "" {
			c.kept[i] = c.take(ctx, client.SessionRequest{Cores: fleet.Core, Memory: fleet.GiB, TTL: fleet.Duration(keptTTL), QueueTimeout: fleet.Duration(queueTime)})
		} else {
			c.kept[i] = c.renew(ctx, c.kept[i], keptTTL)
		}
		pause(ctx, keptEvery)
	}
	if c.kept[i] != "" { // nobody renews it while the load rests
		c.kept[i] = c.renew(ctx, c.kept[i], time.Hour)
	}
}

// take asks for a session and returns the id of an active one, empty if there
// is none.
func (c *caller) take(ctx context.Context, r client.SessionRequest) string {
	c.note(func() { c.number++; r.IdempotencyKey = fmt.Sprintf("load-%d", c.number) })
	r.Pool = "example"
	var s *client.Session
	sure, err := c.call(ctx, r.Wait.D(), func(ctx context.Context, api *client.Client) (err error) {
		s, err = api.CreateSession(ctx, r)
		return err
	})
	for err == nil && s.State == fleet.SessionQueued {
		id := s.ID
		_, err = c.call(ctx, time.Second, func(ctx context.Context, api *client.Client) (err error) {
			s, err = api.Session(ctx, id, time.Second)
			return err
		})
		if ctx.Err() != nil { // the load ends: it is taken back
			c.end(ctx, id)
			return ""
		}
	}
	active := err == nil && s.State == fleet.SessionActive
	c.note(func() {
		switch {
		case active:
			c.held[s.ID] = r.IdempotencyKey
			c.count["taken"]++
			c.gap = max(c.gap, time.Since(c.last))
			c.last = time.Now()
		case err != nil && fleet.CodeOf(err) == fleet.CodeConflict && r.NoQueue:
			c.count["refused"]++
			if !sure {
				c.doubtful[r.IdempotencyKey] = true
			}
		case err != nil:
			c.wrong = append(c.wrong, "taking a session: "+err.Error())
		case strings.HasPrefix(s.Reason, lostReason):
			c.lost[s.ID] = s.Reason
		default:
			c.wrong = append(c.wrong, fmt.Sprintf("session %s is %s: %s", s.ID, s.State, s.Reason))
		}
	})
	if !active {
		return ""
	}
	return s.ID
}

// lostReason begins the reason of sessions whose machine is gone.
const lostReason = "its server was lost"

// renew returns the id, or nothing when the session was lost.
func (c *caller) renew(ctx context.Context, id string, ttl time.Duration) string {
	_, err := c.call(ctx, 0, func(ctx context.Context, api *client.Client) error {
		_, err := api.RenewSession(ctx, id, ttl)
		return err
	})
	c.note(func() {
		switch {
		case err == nil:
			c.count["renewed"]++
		case fleet.CodeOf(err) == fleet.CodeConflict && strings.Contains(err.Error(), lostReason):
			c.lost[id] = err.Error()
			delete(c.held, id)
		default:
			c.wrong = append(c.wrong, "renewing session "+id+": "+err.Error())
		}
	})
	if err != nil {
		return ""
	}
	return id
}

func (c *caller) end(ctx context.Context, id string) {
	_, err := c.call(ctx, 0, func(ctx context.Context, api *client.Client) error {
		_, err := api.EndSession(ctx, id)
		return err
	})
	c.note(func() {
		delete(c.held, id)
		if err != nil {
			c.wrong = append(c.wrong, "ending session "+id+": "+err.Error())
			return
		}
		c.count["ended"]++
	})
}

// call makes a call at one node after the other until one gives an answer.
// sure: no other node may have carried it out before. The end of ctx ends
// nothing that has begun: only then are outcomes known.
func (c *caller) call(ctx context.Context, wait time.Duration, f func(context.Context, *client.Client) error) (sure bool, err error) {
	var late <-chan time.Time
	for n := 1; ; n++ {
		api := c.apis[c.at%len(c.apis)]
		c.note(func() {
			if api.URL() == c.avoid {
				c.at++
				api = c.apis[c.at%len(c.apis)]
			}
		})
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime+wait)
		err := f(try, api)
		cancel()
		var told *fleet.Error
		answered := err == nil || errors.As(err, &told) && told.Code != fleet.CodeUnavailable && told.Code != fleet.CodeInternal
		if answered {
			return n == 1, err
		}
		if told != nil && told.Code == fleet.CodeInternal {
			c.note(func() { c.wrong = append(c.wrong, "an internal error: "+err.Error()) })
		}
		c.note(func() { c.count["unanswered"]++ })
		c.at++
		if n%len(c.apis) == 0 {
			pause(context.WithoutCancel(ctx), 100*time.Millisecond)
		}
		if ctx.Err() != nil && late == nil {
			late = time.After(lastTries)
		}
		select {
		case <-late:
			return false, fmt.Errorf("no node answers: %w", err)
		default:
		}
	}
}

// settle finds the sessions that nodes made after all although another one had
// refused them, as one does that was stopped in the middle of the call, and
// ends them.
func (l *load) settle(live map[string]string) {
	c := &caller{load: l}
	for id, key := range live {
		late := false
		l.note(func() { late = l.doubtful[key] })
		if late {
			c.end(context.Background(), id)
			l.note(func() { l.count["late"]++ })
		}
	}
}

// lose notes that a session ended with its machine.
func (l *load) lose(id, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, id)
	l.lost[id] = reason
	for i := range l.kept {
		if l.kept[i] == id {
			l.kept[i] = ""
		}
	}
}

func (l *load) killedMachine(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.killed[name]
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(l.count)) {
		fmt.Fprintf(&b, "%s %d, ", k, l.count[k])
	}
	fmt.Fprintf(&b, "lost with their machines %d, longest time without a new session %s", len(l.lost), l.gap.Round(10*time.Millisecond))
	return b.String()
}

// pause lets the time pass, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
