package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// explainEvents is how many of the last events an explanation shows.
const explainEvents = 20

// Levels of a line of an explanation.
const (
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelError = "error"
)

// Explanation says why something is as it is, and why nothing happens.
type Explanation struct {
	Subject string        `json:"subject" example:"pool desktops"`
	State   string        `json:"state"`
	Summary string        `json:"summary"`
	Lines   []ExplainLine `json:"lines"`
	Events  []fleet.Event `json:"events" doc:"The last ones, newest first."`
}

// ExplainLine is one reason.
type ExplainLine struct {
	Level string    `json:"level" enum:"info,warn,error"`
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero" doc:"When it ends by itself."`
}

// PlanPools says what would be done now, and why nothing else: for one pool, or
// for every pool when the name is empty.
func (s *Service) PlanPools(ctx context.Context, p auth.Principal, pool string) ([]plan.Decision, error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, err
	}
	if s.Plan == nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "this controller does not plan")
	}
	if pool != "" {
		if err := s.exists(ctx, fleet.KindPool, pool); err != nil {
			return nil, err
		}
	}
	d, err := s.Plan(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("planning: %w", err)
	}
	if d == nil {
		d = []plan.Decision{}
	}
	return d, nil
}

func (s *Service) exists(ctx context.Context, kind fleet.Kind, name string) error {
	return s.Store.Read(ctx, func(tx *store.Tx) error {
		if _, err := tx.Object(kind, name); err != nil {
			return notFound(err, string(kind), name)
		}
		return nil
	})
}

// ProviderKinds lists the kinds of clouds that this build knows.
func (s *Service) ProviderKinds(_ context.Context, p auth.Principal) ([]provider.Kind, error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, err
	}
	return slices.Clone(s.Kinds), nil
}

// DNSKinds lists the kinds of DNS services that this build knows.
func (s *Service) DNSKinds(_ context.Context, p auth.Principal) ([]dns.Kind, error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, err
	}
	return slices.Clone(s.DNS), nil
}

// ExplainPool says what a pool has, needs and does, and what hinders it.
func (s *Service) ExplainPool(ctx context.Context, p auth.Principal, name string) (Explanation, error) {
	if err := p.Need(auth.Read); err != nil {
		return Explanation{}, err
	}
	e := Explanation{Subject: "pool " + name, Lines: []ExplainLine{}}
	var st *PoolStatus
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		if _, err := tx.Object(fleet.KindPool, name); err != nil {
			return notFound(err, "pool", name)
		}
		var err error
		if st, err = poolStatus(tx, name); err != nil {
			return err
		}
		e.Events, err = lastEvents(tx, store.EventFilter{Pool: name})
		return err
	})
	if err != nil {
		return Explanation{}, err
	}
	ready, queued := st.Servers[fleet.PhaseReady], st.Sessions[fleet.SessionQueued]
	e.State = "satisfied"
	e.Summary = fmt.Sprintf("%s ready; %s free of %s; %s active, %d queued", count(ready, "server"), st.Free, st.Capacity, count(st.Sessions[fleet.SessionActive], "session"), queued)
	d, err := s.planNow(ctx, name)
	if err != nil {
		return Explanation{}, fmt.Errorf("planning pool %s: %w", name, err)
	}
	e.addDecision(d)
	if queued > 0 {
		e.State = "queueing"
		e.add(LevelWarn, time.Time{}, "%s waiting for capacity", count(queued, "session"))
	}
	if err := s.addProviders(ctx, &e, d); err != nil {
		return Explanation{}, err
	}
	return e, s.addCost(ctx, &e, name)
}

func (e *Explanation) add(level string, until time.Time, format string, args ...any) {
	e.Lines = append(e.Lines, ExplainLine{Level: level, Text: fmt.Sprintf(format, args...), Until: until})
}

func (e *Explanation) addDecision(d plan.Decision) {
	for _, c := range d.Configs {
		window := ""
		if c.Window != "" {
			window = ", window " + c.Window
		}
		e.add(LevelInfo, time.Time{}, "%s (zone %s%s): needs %s free, has %s free on %s of %s", c.Config, c.Zone, window, c.Demand.Total, c.Supply.Free, count(c.Supply.Ready+c.Supply.ComingUp, "machine"), c.Supply.Capacity)
		if c.Supply.ComingUp > 0 {
			e.State = "growing"
			e.add(LevelInfo, time.Time{}, "%s: %s coming up", c.Config, count(c.Supply.ComingUp, "machine"))
		}
		for _, one := range c.Creates {
			e.State = "growing"
			e.add(LevelInfo, time.Time{}, "%s: will make a machine on %s: %s", c.Config, one.Provider, one.Reason)
		}
		for _, one := range c.Retires {
			if e.State != "growing" {
				e.State = "shrinking"
			}
			e.add(LevelInfo, time.Time{}, "%s: will retire %s: %s", c.Config, one.Name, one.Reason)
		}
		for _, r := range c.Reasons {
			e.addReason(c.Config+": ", r)
		}
	}
	for _, r := range d.Reasons {
		e.addReason("", r)
	}
}

func (e *Explanation) addReason(prefix string, r plan.Reason) {
	level := LevelInfo
	if hinders(r.Code) && r.Code != plan.ReasonSchedule && r.Code != plan.ReasonRate && r.Code != plan.ReasonBatch {
		level = LevelWarn
		if e.State == "satisfied" {
			e.State = "held"
		}
	}
	e.add(level, r.Until, "%s%s", prefix, r.Message)
}

// addProviders adds what is wrong with the providers of a pool's configs.
func (s *Service) addProviders(ctx context.Context, e *Explanation, d plan.Decision) error {
	return s.Store.Read(ctx, func(tx *store.Tx) error {
		seen := map[string]bool{}
		for _, c := range d.Configs {
			o, err := tx.Object(fleet.KindAutoscaleConfig, c.Config)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("reading autoscale config %s: %w", c.Config, err)
			}
			spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
			if err != nil {
				return err
			}
			for _, name := range spec.VMProviders {
				if seen[name] {
					continue
				}
				seen[name] = true
				st, err := tx.ProviderState(name)
				if err != nil {
					return fmt.Errorf("reading the state of provider %s: %w", name, err)
				}
				explainProvider(e, st, name, s.now())
			}
		}
		return nil
	})
}

func explainProvider(e *Explanation, st store.ProviderState, name string, now time.Time) {
	failures := count(max(st.Failures, st.Stillborn), "failure")
	switch {
	case st.Circuit == snapshot.CircuitOpen && now.Before(st.OpenUntil):
		e.add(LevelError, st.OpenUntil, "provider %s: circuit open after %s in a row: %s", name, failures, st.Error)
	case st.Circuit == snapshot.CircuitOpen:
		e.add(LevelError, time.Time{}, "provider %s: circuit half open after %s in a row, one machine at a time is tried: %s", name, failures, st.Error)
	case st.Failures > 0:
		e.add(LevelWarn, time.Time{}, "provider %s: %s in a row: %s", name, failures, st.Error)
	}
	if st.ListError != "" {
		e.add(LevelWarn, time.Time{}, "provider %s: its machines cannot be listed: %s", name, st.ListError)
	}
	if st.SweepError != "" {
		e.add(LevelError, time.Time{}, "provider %s: clean-up has stopped: %s", name, st.SweepError)
	}
	if st.RemnantError != "" {
		e.add(LevelWarn, time.Time{}, "provider %s: clean-up has stopped: %s", name, st.RemnantError)
	}
}

// ExplainServer says why a server is in its phase and what it waits for.
func (s *Service) ExplainServer(ctx context.Context, p auth.Principal, name string) (Explanation, error) {
	if err := p.Need(auth.Read); err != nil {
		return Explanation{}, err
	}
	var e Explanation
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		server, err := tx.ServerByName(name)
		if err != nil {
			return notFound(err, "server", name)
		}
		config, err := s.configOf(tx, server)
		if err != nil {
			return err
		}
		e = Explanation{
			Subject: "server " + server.Name, State: string(server.Phase), Lines: []ExplainLine{},
			Summary: fmt.Sprintf("%s since %s: %s", server.Phase, server.PhaseSince.Format(time.RFC3339), server.Reason),
		}
		e.addServer(server, config, s.now())
		if server.VMProvider != "" && (server.Phase.ComingUp() || server.Phase == fleet.PhaseDeleting) {
			st, err := tx.ProviderState(server.VMProvider)
			if err != nil {
				return fmt.Errorf("reading the state of provider %s: %w", server.VMProvider, err)
			}
			explainProvider(&e, st, server.VMProvider, s.now())
		}
		e.Events, err = lastEvents(tx, store.EventFilter{Kind: fleet.EventKindServer, Name: server.Name})
		return err
	})
	return e, err
}

func (e *Explanation) addServer(s *fleet.Server, c fleet.AutoscaleConfigSpec, now time.Time) {
	switch s.Phase {
	case fleet.PhasePlanned:
		e.add(LevelInfo, time.Time{}, "waits for its create call on provider %s", s.VMProvider)
	case fleet.PhaseCreating, fleet.PhaseBooting, fleet.PhaseConfiguring:
		what := map[fleet.Phase]string{
			fleet.PhaseCreating: "the cloud to accept the machine", fleet.PhaseBooting: "the machine to run",
			fleet.PhaseConfiguring: "the agent or the startup script to check in",
		}[s.Phase]
		var until time.Time
		if s.CallAt != nil {
			until = s.CallAt.Add(fleet.Or(c.ProvisionTimeout.D(), fleet.DefaultProvisionTimeout))
		}
		e.add(LevelInfo, until, "waits for %s; it has failed when provision_timeout is over", what)
	case fleet.PhaseReady:
		if s.Missing {
			e.add(LevelWarn, time.Time{}, "takes no new session while it is missing")
			break
		}
		e.add(LevelInfo, time.Time{}, "takes sessions: %s free of %s", s.Free(), s.Capacity)
	case fleet.PhaseDraining:
		until := time.Time{}
		if s.DrainDeadline != nil {
			until = *s.DrainDeadline
		}
		e.add(LevelInfo, until, "takes no new session; given up when %s ended", count(s.Sessions, "session"))
	case fleet.PhaseFailed:
		e.add(LevelError, time.Time{}, "will be deleted after its evidence has been kept; headroom server retry %s does it now", s.Name)
	case fleet.PhaseDeleting:
		e.add(LevelInfo, time.Time{}, "its deletion is repeated until the cloud says that nothing is left")
	case fleet.PhaseGone:
	}
	if s.LastSeenAt != nil && s.Phase != fleet.PhaseGone {
		e.add(LevelInfo, time.Time{}, "last sign of life %s ago", fleet.Duration(now.Sub(*s.LastSeenAt).Round(time.Second)))
	}
	if s.Attempts > 1 {
		e.add(LevelWarn, time.Time{}, "%d create calls so far", s.Attempts)
	}
	if s.Unseen > 0 {
		e.add(LevelWarn, time.Time{}, "the cloud did not show it in the last %s", count(s.Unseen, "listing"))
	}
}

// ExplainSession says why a session is in its state, and for a queued one what
// is ahead of it and what hinders the pool.
func (s *Service) ExplainSession(ctx context.Context, p auth.Principal, id string) (Explanation, error) {
	session, err := s.mySession(ctx, p, id, auth.Read)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Subject: "session " + id, State: string(session.State), Summary: fmt.Sprintf("%s: %s", session.State, session.Reason), Lines: []ExplainLine{}}
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		e.Lines = e.Lines[:0]
		switch session.State {
		case fleet.SessionQueued:
			at, err := tx.QueuePosition(session)
			if err != nil {
				return fmt.Errorf("reading the queue position: %w", err)
			}
			e.add(LevelInfo, *session.WaitUntil, "position %d in the queue of pool %s for %s; given up when its queue_timeout is over", at, session.Pool, session.Need)
			if !p.May(auth.Read) { // who else waits is not for everybody
				break
			}
			ahead, err := tx.QueuedSessions(session.Pool, 5)
			if err != nil {
				return fmt.Errorf("reading the queue: %w", err)
			}
			for i, one := range ahead {
				if int64(i+1) < at {
					e.add(LevelInfo, time.Time{}, "ahead of it: session %s for %s, waiting since %s", one.ID, one.Need, one.CreatedAt.Format(time.RFC3339))
				}
			}
		case fleet.SessionActive:
			if session.ExpiresAt != nil {
				e.add(LevelInfo, *session.ExpiresAt, "ends unless it is renewed")
			}
		case fleet.SessionStaged, fleet.SessionEnded:
		}
		var err error
		e.Events, err = lastEvents(tx, store.EventFilter{Kind: fleet.EventKindSession, Name: id})
		return err
	})
	if err == nil && session.State == fleet.SessionQueued {
		e.Lines = append(e.Lines, s.whyNoRoom(ctx, session.Pool)...)
	}
	return e, err
}

func lastEvents(tx *store.Tx, f store.EventFilter) ([]fleet.Event, error) {
	f.Newest, f.Limit = true, explainEvents
	events, err := tx.Events(f)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	if events == nil {
		events = []fleet.Event{}
	}
	return events, nil
}
