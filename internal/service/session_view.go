package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/headroom-dev/headroom/internal/claim"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// How long what many callers ask for is kept. Refusals are never given from a
// kept answer.
const (
	shapesKept = 2 * time.Second
	plansKept  = time.Second
)

// viewSession adds what is known of a queued session's waiting.
func (s *Service) viewSession(ctx context.Context, session *fleet.Session) (SessionView, error) {
	v := SessionView{Session: *session}
	if session.State != fleet.SessionQueued {
		return v, nil
	}
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		var err error
		v.QueuePosition, err = tx.QueuePosition(session)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("reading the queue position of session %s: %w", session.ID, err)
	}
	lines := []string{fmt.Sprintf("position %d in the queue of pool %s for %s", v.QueuePosition, session.Pool, session.Need)}
	for _, l := range s.whyNoRoom(ctx, session.Pool) {
		lines = append(lines, l.Text)
	}
	v.Explanation = strings.Join(lines, "; ")
	return v, nil
}

// whyNoRoom says what the pool is doing about its queue. It is an explanation:
// when the plan cannot be made it says so and fails nothing.
func (s *Service) whyNoRoom(ctx context.Context, pool string) []ExplainLine {
	d, err := s.plan(ctx, pool)
	if err != nil {
		s.Log.WarnContext(ctx, "planning for an explanation failed", "pool", pool, "error", err)
		return []ExplainLine{{Level: LevelWarn, Text: "what the pool does about it cannot be told now"}}
	}
	var lines []ExplainLine
	for _, c := range d.Configs {
		if n := c.Supply.ComingUp; n > 0 {
			lines = append(lines, ExplainLine{Level: LevelInfo, Text: fmt.Sprintf("%s of %s coming up", count(n, "machine"), c.Config)})
		}
		if n := len(c.Creates); n > 0 {
			lines = append(lines, ExplainLine{Level: LevelInfo, Text: fmt.Sprintf("%s about to be made by %s", count(int64(n), "machine"), c.Config)})
		}
		for _, r := range c.Reasons {
			if hinders(r.Code) {
				lines = append(lines, ExplainLine{Level: LevelWarn, Text: c.Config + ": " + r.Message, Until: r.Until})
			}
		}
	}
	for _, r := range d.Reasons {
		if hinders(r.Code) {
			lines = append(lines, ExplainLine{Level: LevelWarn, Text: r.Message, Until: r.Until})
		}
	}
	return lines
}

// hinders says that a reason can keep a session waiting.
func hinders(c plan.ReasonCode) bool {
	switch c {
	case plan.ReasonSatisfied, plan.ReasonBackoff, plan.ReasonMinServers, plan.ReasonInUse, plan.ReasonUnavailable, plan.ReasonReplacing, plan.ReasonMaxStandby:
		return false
	default:
		return true
	}
}

// planCache keeps the newest decision of each pool for a moment: many sessions
// wait for the same one.
type planCache struct {
	mu    sync.Mutex
	pools map[string]plan.Decision
	at    map[string]time.Time
}

func (s *Service) plan(ctx context.Context, pool string) (plan.Decision, error) {
	c := &s.plans
	c.mu.Lock()
	d, ok := c.pools[pool]
	fresh := ok && s.now().Sub(c.at[pool]) < plansKept
	c.mu.Unlock()
	if fresh {
		return d, nil
	}
	return s.planNow(ctx, pool)
}

// planNow is the decision of this moment.
func (s *Service) planNow(ctx context.Context, pool string) (plan.Decision, error) {
	c := &s.plans
	if s.Plan == nil {
		return plan.Decision{Pool: pool}, nil
	}
	all, err := s.Plan(ctx, pool)
	if err != nil {
		return plan.Decision{}, err
	}
	d := plan.Decision{Pool: pool}
	for _, one := range all {
		if one.Pool == pool {
			d = one
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pools == nil || len(c.pools) > 1000 {
		c.pools, c.at = map[string]plan.Decision{}, map[string]time.Time{}
	}
	c.pools[pool], c.at[pool] = d, s.now()
	return d, nil
}

// shapeCache keeps what the machines of each pool offer for a moment: every
// acquire asks.
type shapeCache struct {
	mu    sync.Mutex
	pools map[string]poolShapes
}

// poolShapes are the shapes that machines of a pool have or can get.
type poolShapes struct {
	at      time.Time
	shapes  []fleet.Resources
	unknown bool // some machine could offer anything
}

func (p poolShapes) fits(need fleet.Resources) bool {
	if p.unknown || len(p.shapes) == 0 {
		return true
	}
	for _, shape := range p.shapes {
		if need.Fits(shape) {
			return true
		}
	}
	return false
}

// couldFit refuses a need that no machine of the pool could ever serve, so that
// it does not hold up the queue. It says nothing about room. What is not known
// yet fits.
func (s *Service) couldFit(ctx context.Context, r AcquireRequest) error {
	need := claim.Need(fleet.PoolDockerAgent, fleet.Shape{Cores: r.Cores, Memory: r.Memory, GPUs: r.GPUs})
	if need.IsZero() {
		return nil
	}
	s.shapes.mu.Lock()
	kept, ok := s.shapes.pools[r.Pool]
	s.shapes.mu.Unlock()
	if ok && s.now().Sub(kept.at) < shapesKept && kept.fits(need) {
		return nil
	}
	now, err := s.readShapes(ctx, r.Pool)
	if err != nil || now.fits(need) {
		return err
	}
	var largest fleet.Resources
	for _, shape := range now.shapes {
		largest = fleet.Resources{
			Cores: max(largest.Cores, shape.Cores), MemoryMiB: max(largest.MemoryMiB, shape.MemoryMiB), GPUs: max(largest.GPUs, shape.GPUs),
		}
	}
	var fields []fleet.FieldError
	tooMuch := func(path string, value any, over bool, most string) {
		if over {
			fields = append(fields, fleet.FieldError{Path: path, Value: value, Message: "exceeds every machine of pool " + r.Pool + ": the largest offers " + most})
		}
	}
	tooMuch("cores", r.Cores, need.Cores > largest.Cores, largest.Cores.String())
	tooMuch("memory", r.Memory.String(), need.MemoryMiB > largest.MemoryMiB, fleet.Memory(largest.MemoryMiB).String())
	tooMuch("gpus", r.GPUs, need.GPUs > largest.GPUs, fmt.Sprint(largest.GPUs))
	if len(fields) == 0 {
		tooMuch("cores", need.String(), true, "no combination like this; its shapes are "+shapeList(now.shapes))
	}
	return fleet.Invalid("session request", fields)
}

func shapeList(shapes []fleet.Resources) string {
	var texts []string
	for _, s := range shapes {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, " or ")
}

func (s *Service) readShapes(ctx context.Context, pool string) (poolShapes, error) {
	out := poolShapes{at: s.now()}
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		out.shapes, out.unknown = nil, false
		object, err := tx.Object(fleet.KindPool, pool)
		if errors.Is(err, store.ErrNotFound) {
			out.unknown = true // the transaction that follows says so
			return nil
		}
		if err != nil {
			return err
		}
		spec, err := store.Spec[fleet.PoolSpec](object)
		if err != nil || spec.Type != fleet.PoolDockerAgent {
			out.unknown = true
			return err
		}
		in, err := snapshot.Load(tx, pool, out.at, s.Shape, s.access)
		if err != nil {
			return err
		}
		seen := map[fleet.Resources]bool{}
		add := func(shape fleet.Resources) {
			if shape.Cores == 0 || shape.MemoryMiB == 0 {
				out.unknown = true
			} else if !seen[shape] {
				seen[shape] = true
				out.shapes = append(out.shapes, shape)
			}
		}
		for _, server := range in.Servers {
			if !server.Phase.Leaving() && server.CapacitySource != fleet.CapacityAssumed {
				add(server.Capacity)
			}
		}
		for _, c := range in.Configs {
			for _, shape := range c.Shapes {
				add(shape)
			}
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("reading the shapes of pool %s: %w", pool, err)
	}
	s.shapes.mu.Lock()
	defer s.shapes.mu.Unlock()
	if s.shapes.pools == nil || len(s.shapes.pools) > 1000 {
		s.shapes.pools = map[string]poolShapes{}
	}
	s.shapes.pools[pool] = out
	return out, nil
}
