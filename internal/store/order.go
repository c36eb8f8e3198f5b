package store

import (
	"slices"
	"sync"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// commitOrder announces commits in the order of their events' numbers. Lanes
// take their turns while they hold the counter of events, so that turns are in
// that order, and announce when every earlier turn has ended.
type commitOrder struct {
	mu        sync.Mutex
	last      chan struct{} // closed when the latest turn has ended
	listeners []*listener   // replaced, never changed
	follower  follower
}

type listener struct{ f func([]fleet.Event) }

// OnCommit has f called after each commit that has events, in the order of
// their numbers, never twice at once, and before the writers' calls of Write
// return. f must not block, not call the store and not change the events. The
// events of other nodes, and those of a commit whose outcome is unknown, are
// announced while [Store.Follow] runs. remove ends it; a call that is under way
// may still finish.
func (s *Store) OnCommit(f func([]fleet.Event)) (remove func()) {
	l := &listener{f: f}
	o := &s.order
	o.mu.Lock()
	defer o.mu.Unlock()
	o.listeners = append(slices.Clone(o.listeners), l)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.listeners = slices.DeleteFunc(slices.Clone(o.listeners), func(other *listener) bool { return other == l })
	}
}

// turn is the place of one commit in the order.
type turn struct {
	order *commitOrder
	prev  <-chan struct{}
	done  chan struct{}
}

func (o *commitOrder) take() *turn {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := &turn{order: o, prev: o.last, done: make(chan struct{})}
	o.last = t.done
	return t
}

// deliver announces the events of a commit.
func (t *turn) deliver(events []event) {
	<-t.prev
	list := make([]fleet.Event, len(events))
	for i := range events {
		list[i] = events[i].Event
	}
	t.order.follower.own(list, t.order.tell)
}

// tell calls the listeners.
func (o *commitOrder) tell(events []fleet.Event) {
	o.mu.Lock()
	listeners := o.listeners
	o.mu.Unlock()
	for _, l := range listeners {
		l.f(events)
	}
}

// end lets the next turn announce, whether this one did or not.
func (t *turn) end() {
	<-t.prev
	close(t.done)
}
