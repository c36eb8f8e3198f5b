package service

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// streamBatch bounds how many events a reader of the stream gets at once.
const streamBatch = 500

// Events lists events: the oldest first after q.After, or with q.Newest the
// newest first before q.Before. next continues the list in the same direction
// (as After or Before); 0 at the end.
func (s *Service) Events(ctx context.Context, p auth.Principal, q store.EventFilter) (items []fleet.Event, next int64, err error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, 0, err
	}
	most := limit(q.Limit)
	q.Limit = most + 1
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		var err error
		items, next = nil, 0
		if items, err = tx.Events(q); err != nil {
			return fmt.Errorf("listing events: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if len(items) > most {
		items = items[:most]
		next = items[most-1].Seq
	}
	if items == nil {
		items = []fleet.Event{}
	}
	return items, next, nil
}

// Stream reads events as they are committed. It is used by one goroutine.
type Stream struct {
	service *Service
	filter  store.EventFilter
	waiter  *waiter
	leave   func()
}

// Gap is a hole in a stream.
type Gap struct {
	After   int64  `json:"after" doc:"The stream goes on after this event."`
	Message string `json:"message"`
}

// OpenStream begins a stream after the event numbered q.After; below 0 it
// begins with the next event. Close must be called.
func (s *Service) OpenStream(ctx context.Context, p auth.Principal, q store.EventFilter) (*Stream, *Gap, error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, nil, err
	}
	var gap *Gap
	after := q.After
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		gap, q.After = nil, after
		last, err := tx.LastEventSeq()
		if err != nil {
			return err
		}
		if q.After < 0 {
			q.After = last
			return nil
		}
		oldest, err := tx.OldestEventSeq()
		if err != nil {
			return err
		}
		switch {
		case q.After > last:
			gap = &Gap{After: last, Message: fmt.Sprintf("event %d has never been: this is another or a restored database; the stream goes on after %d", after, last)}
			q.After = last
		case q.After > 0 && oldest > q.After+1:
			gap = &Gap{After: oldest - 1, Message: fmt.Sprintf("events %d to %d are no longer kept", q.After+1, oldest-1)}
			q.After = oldest - 1
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("opening the event stream: %w", err)
	}
	q.Limit, q.Newest, q.Before = streamBatch, false, 0
	w, leave := s.hub.stream()
	return &Stream{service: s, filter: q, waiter: w, leave: leave}, gap, nil
}

// Close ends the subscription.
func (st *Stream) Close() { st.leave() }

// Next returns the events that follow, waiting for at most the given time for
// the first one; none when that is over. ErrClosed says that the service ends.
func (st *Stream) Next(ctx context.Context, wait time.Duration) ([]fleet.Event, error) {
	s := st.service
	deadline := s.Clock.NewTimer(wait)
	defer deadline.Stop()
	poll := s.Clock.NewTicker(safetyPoll)
	defer poll.Stop()
	for {
		events, err := st.read(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-st.waiter.wake:
		case <-poll.C():
		case <-deadline.C():
			return nil, nil
		case <-s.hub.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ErrClosed says that the service is shutting down.
var ErrClosed = &fleet.Error{Code: fleet.CodeUnavailable, Message: "the controller is shutting down"}

// read gets the next batch. The last number is read before the events, so that
// a filter that lets nothing through does not make each read start at the same
// old place.
func (st *Stream) read(ctx context.Context) ([]fleet.Event, error) {
	var (
		events []fleet.Event
		last   int64
	)
	err := st.service.Store.Read(ctx, func(tx *store.Tx) error {
		var err error
		if last, err = tx.LastEventSeq(); err != nil {
			return err
		}
		events = nil
		if last > st.filter.After {
			events, err = tx.Events(st.filter)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the event stream: %w", err)
	}
	switch {
	case len(events) > 0:
		st.filter.After = events[len(events)-1].Seq
	case last > st.filter.After:
		st.filter.After = last
	}
	return events, nil
}
