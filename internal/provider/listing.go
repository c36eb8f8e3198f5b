package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	maxListed    = 1 << 20
	listingCalls = 6 // a listing of many pages may take as long as this many calls
)

// Listing is one complete look at everything that bears the owner's marks. Its
// methods may be called on nil, which holds nothing and is not complete.
type Listing struct {
	At time.Time // when the call began: what happened later may be missing

	all      []Instance
	byID     map[string]int
	byServer map[string][]Instance
}

// NewListing makes a complete listing of the instances.
func NewListing(at time.Time, all []Instance) *Listing {
	l := &Listing{At: at, all: all, byID: make(map[string]int, len(all)), byServer: make(map[string][]Instance, len(all))}
	for i, in := range all {
		l.byID[in.ID] = i
		l.byServer[in.Tags.Server] = append(l.byServer[in.Tags.Server], in)
	}
	for _, of := range l.byServer {
		slices.SortStableFunc(of, func(a, b Instance) int {
			return cmp.Or(preference(a.State)-preference(b.State), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
	}
	return l
}

// preference orders the machines of one server: the one that is of most use
// first.
func preference(s State) int {
	order := []State{StateRunning, StatePending, StateStopped, StateFailed, StateDeleting}
	if at := slices.Index(order, s); at >= 0 {
		return at
	}
	return len(order)
}

// Complete says that the listing proves absence: what existed at At, and had
// become visible by then, is in it.
func (l *Listing) Complete() bool { return l != nil }

// Find returns the machines that bear the id of the server, the most useful
// first: running before pending before the rest, then the oldest. More than
// one means that a create was carried out twice.
func (l *Listing) Find(serverID string) []Instance {
	if l == nil || serverID == "" {
		return nil
	}
	return l.byServer[serverID]
}

// ByID returns the machine with the cloud's id.
func (l *Listing) ByID(id string) (Instance, bool) {
	if l == nil {
		return Instance{}, false
	}
	i, ok := l.byID[id]
	if !ok {
		return Instance{}, false
	}
	return l.all[i], true
}

// All returns every machine in the order of the cloud. It is not to be
// changed.
func (l *Listing) All() []Instance {
	if l == nil {
		return nil
	}
	return l.all
}

// Len is the number of machines.
func (l *Listing) Len() int { return len(l.All()) }

// flight is a listing under way.
type flight struct {
	number  int64
	done    chan struct{}
	listing *Listing
	err     error
	gaveUp  bool // the caller that led it went away; the others try again
}

// List makes one complete listing that begins after the call of List. An error
// means that it is incomplete: nothing of it can be used. Callers that come
// while a listing is under way share the next one.
//
// A machine that is shown twice counts once, unless the two differ in whose
// they are; then the listing cannot be trusted and fails. Machines with marks
// of somebody else are left out: they are never ours.
func (c *Client) List(ctx context.Context) (*Listing, error) {
	c.mu.Lock()
	want := c.started + 1
	for c.flight != nil {
		f := c.flight
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, &Error{Class: Unavailable, Message: "the call was given up while another listing was under way", Cause: ctx.Err()}
		}
		if f.number >= want && !f.gaveUp {
			return f.listing, f.err
		}
		c.mu.Lock()
	}
	c.started++
	f := &flight{number: c.started, done: make(chan struct{})}
	c.flight = f
	c.mu.Unlock()

	f.listing, f.err = c.list(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	f.gaveUp = f.err != nil && ctx.Err() != nil
	if f.err == nil {
		c.latest = f.listing
	}
	c.flight = nil
	close(f.done)
	return f.listing, f.err
}

// Latest is the newest complete listing, nil before the first.
func (c *Client) Latest() *Listing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

func (c *Client) list(ctx context.Context) (*Listing, error) {
	if err := c.admit("list", 1, true); err != nil {
		return nil, err
	}
	leave, err := c.enter(ctx, "list")
	if err != nil {
		return nil, err
	}
	defer leave()
	at := c.clock.Now()
	all, err := collect(ctx, c, "list", func(ctx context.Context, add func(Instance) error) error {
		shown := map[string]Tags{}
		for i, err := range c.driver.List(ctx, c.owner) {
			if err != nil {
				return err
			}
			if i.Tags.Owner() != c.owner {
				continue
			}
			if i.ID == "" {
				return Errorf(Unknown, "the listing shows machine %q without an id", i.Name)
			}
			if tags, twice := shown[i.ID]; twice {
				if tags != i.Tags {
					return Errorf(Unknown, "the listing shows machine %s twice: as %s and as %s", i.ID, describe(tags), describe(i.Tags))
				}
				continue
			}
			shown[i.ID] = i.Tags
			i.Fault, i.Interruption = c.redact.text(i.Fault), c.redact.text(i.Interruption)
			if err := add(i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return NewListing(at, all), nil
}

// Remnants lists objects of ours that belong to no machine; none when machines
// of this kind leave nothing behind. An error means that the listing is
// incomplete.
func (c *Client) Remnants(ctx context.Context) ([]Remnant, error) {
	d, ok := c.driver.(Remnants)
	if !ok {
		return nil, nil
	}
	if err := c.admit("list_remnants", 1, true); err != nil {
		return nil, err
	}
	leave, err := c.enter(ctx, "list_remnants")
	if err != nil {
		return nil, err
	}
	defer leave()
	return collect(ctx, c, "list_remnants", func(ctx context.Context, add func(Remnant) error) error {
		shown := map[string]bool{}
		for r, err := range d.ListRemnants(ctx, c.owner) {
			if err != nil {
				return err
			}
			if r.Tags.Owner() != c.owner || shown[r.Kind+"\x00"+r.ID] {
				continue
			}
			shown[r.Kind+"\x00"+r.ID] = true
			if err := add(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// collect makes one listing call. Its deadline is the usual one from each
// object to the next, since it consists of many requests, and a multiple of
// that for the whole.
func collect[T any](ctx context.Context, c *Client, op string, f func(ctx context.Context, add func(T) error) error) ([]T, error) {
	return callWithin(ctx, c, op, listingCalls*c.timeout, nil, func(ctx context.Context) ([]T, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		idle := time.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) }) //nolint:forbidigo // deadlines of calls run on the real clock, as those of contexts do
		defer idle.Stop()
		var all []T
		err := f(ctx, func(v T) error {
			if len(all) == maxListed {
				return Errorf(Unknown, "the listing has more than %d objects", maxListed)
			}
			idle.Reset(c.timeout)
			all = append(all, v)
			return nil
		})
		if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
			err = &Error{Class: Unavailable, Message: fmt.Sprintf("the cloud did not answer within %v", c.timeout), Cause: err}
		}
		return all, err
	})
}
