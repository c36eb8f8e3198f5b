package service

import (
	"sync"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// hub tells those who wait that something was committed. It carries no events:
// whoever is woken reads the database, so that a slow reader costs nothing and
// loses nothing, and events of other nodes are read the same way.
type hub struct {
	mu       sync.Mutex
	sessions map[string]map[*waiter]struct{} // by session id
	streams  map[*waiter]struct{}
	done     chan struct{}
	closed   bool
}

// waiter is one who waits. wake holds at most one token.
type waiter struct{ wake chan struct{} }

func newHub() *hub {
	return &hub{
		sessions: map[string]map[*waiter]struct{}{},
		streams:  map[*waiter]struct{}{},
		done:     make(chan struct{}),
	}
}

// publish is the store's commit hook: it never blocks.
func (h *hub) publish(events []fleet.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.streams {
		w.poke()
	}
	if len(h.sessions) == 0 {
		return
	}
	for _, e := range events {
		if e.Kind != fleet.EventKindSession {
			continue
		}
		for w := range h.sessions[e.ID] {
			w.poke()
		}
	}
}

func (w *waiter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// session subscribes to one session until leave is called.
func (h *hub) session(id string) (w *waiter, leave func()) {
	w = &waiter{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[id] == nil {
		h.sessions[id] = map[*waiter]struct{}{}
	}
	h.sessions[id][w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.sessions[id], w)
		if len(h.sessions[id]) == 0 {
			delete(h.sessions, id)
		}
	}
}

// stream subscribes to all commits until leave is called.
func (h *hub) stream() (w *waiter, leave func()) {
	w = &waiter{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.streams, w)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.done)
	}
}
