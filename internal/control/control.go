// Package control is what the system does by itself: it keeps pools warm,
// takes each server through its life one step at a time, lists the clouds and
// sweeps them, ends sessions whose time is over and forgets what is old.
//
// Each kind of work is one exported method that looks at the database, does at
// most one short call to a cloud and writes what came of it. A crash between
// any two statements is mended by calling the method again. [Controller.Run]
// calls them from work queues; the simulation calls the same methods on virtual
// time.
package control

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// Actor is who the events of this package name.
const Actor = "controller"

// Deps are what a Controller works with; all are required unless said
// otherwise.
type Deps struct {
	Store *store.Store
	Clock clock.WithTicker
	Log   *slog.Logger

	// Open makes a client for a provider config as of one revision.
	Open func(ctx context.Context, o *store.Object) (*provider.Client, error)
	// Shape tells what a machine of a provider config offers.
	Shape snapshot.ShapeFunc
	// Access tells which settings of a kind are access alone; nil: none.
	Access fleet.AccessFunc
	// Bootstrap tells a machine how to find and convince its controller.
	Bootstrap func(ctx context.Context, s *fleet.Server) (provider.Bootstrap, error)

	// Script is the startup script of a machine that is run through the guest when
	// the machine is up; nil, or no text: there is none.
	Script func(ctx context.Context, s *fleet.Server) (text []byte, secrets []string, err error)
	// OpenDNS makes a client for a DNS provider config; nil: there are none.
	OpenDNS func(ctx context.Context, o *store.Object) (*dns.Client, error)

	// Dial tries a TCP port of a machine; nil uses the network.
	Dial func(ctx context.Context, address string) error
	// Fence is called first in every write of the controller, with the context
	// of the step; an error means that this node no longer owns the work. nil:
	// on a database that other nodes share, the ownership that Run gave to the
	// step is checked.
	Fence func(ctx context.Context, tx *store.Tx) error
	// Address tells people which node this is; it is shown beside its id. Optional.
	Address string

	Retention Retention
	Metrics   *Metrics // optional
}

// Retention says how long things are kept that are over.
type Retention struct {
	Events   time.Duration
	Servers  time.Duration
	Sessions time.Duration
}

// DefaultRetention keeps what a person asks for within a month.
var DefaultRetention = Retention{Events: 30 * 24 * time.Hour, Servers: 14 * 24 * time.Hour, Sessions: 14 * 24 * time.Hour} //nolint:gochecknoglobals // a constant in all but name

// Controller does the system's own work. Its methods may be called
// concurrently, but never for the same pool, server or provider at once.
type Controller struct {
	Deps
	clouds  *clouds
	fleet   *snapshot.Cache
	zones   zones
	hearing hearing

	mu       sync.Mutex
	decided  map[string]decided    // pool → last decision written
	listSoon func(provider string) // asks for a listing before it is due

	births  map[string]int64 // provider → failed machines that were looked at; see lookAgain
	allBorn map[string]bool  // providers without a stillborn machine since the last that was ready

	listFailures map[string]int // provider → failed listings in a row
}

// New makes a controller; Run makes it work.
func New(d Deps) *Controller {
	if d.Dial == nil {
		d.Dial = dialTCP
	}
	if d.Fence == nil {
		d.Fence = fence
	}
	if d.Retention == (Retention{}) {
		d.Retention = DefaultRetention
	}
	return &Controller{
		Deps: d, clouds: newClouds(d), fleet: snapshot.NewCache(d.Store, d.Access), decided: map[string]decided{},
		zones: zones{clients: map[string]openZone{}}, listSoon: func(string) {}, listFailures: map[string]int{}, allBorn: map[string]bool{}, births: map[string]int64{},
	}
}

// OnListSoon sets who is told that a provider should be listed before it is
// due. [Controller.Run] sets its own.
func (c *Controller) OnListSoon(f func(provider string)) { c.listSoon = f }

func (c *Controller) now() time.Time { return c.Clock.Now() }

// write is a transaction of an owner: it fails when this node has lost the
// ownership meanwhile.
func (c *Controller) write(ctx context.Context, fn func(tx *store.Tx) error) error {
	return c.Store.Write(ctx, func(tx *store.Tx) error {
		if err := c.Fence(ctx, tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// change lets fn alter a server, and saves it when fn says so. The server as it
// is afterwards is returned. fn is given the copy in memory at first: if
// somebody has changed the server since, the version of the row refuses it, and
// fn begins again with the row. What fn decides not to do, it decides on the row.
func (c *Controller) change(ctx context.Context, id string, fn func(tx *store.Tx, s *fleet.Server) (bool, error)) (*fleet.Server, error) {
	var out *fleet.Server
	copied := c.fleet.Copy(id)
	err := c.write(ctx, func(tx *store.Tx) error {
		s := copied
		copied = nil
		if s != nil {
			out = s
			save, err := fn(tx, s)
			if err != nil || !save {
				return store.ErrStale
			}
			return tx.SaveServer(s)
		}
		s, err := tx.Server(id)
		if err != nil {
			return err
		}
		out = s
		save, err := fn(tx, s)
		if err != nil || !save {
			return err
		}
		return tx.SaveServer(s)
	})
	if err != nil {
		return nil, fmt.Errorf("changing server %s: %w", id, err)
	}
	return out, nil
}

// move changes the phase of a server and records why.
func (c *Controller) move(tx *store.Tx, s *fleet.Server, to fleet.Phase, format string, args ...any) error {
	from := s.Phase
	if err := s.Move(to, fmt.Sprintf(format, args...), c.now()); err != nil {
		return err
	}
	s.Unseen = 0
	c.emitServer(tx, s, fleet.EventServerPhase, s.Reason, map[string]any{"from": string(from), "phase": string(to)})
	if to == fleet.PhaseGone {
		return tx.DeleteAgentCredentials(s.ID)
	}
	return nil
}

// moveTo is change and move in one, from the given phase only.
func (c *Controller) moveTo(ctx context.Context, s *fleet.Server, to fleet.Phase, format string, args ...any) (*fleet.Server, error) {
	from := s.Phase
	return c.change(ctx, s.ID, func(tx *store.Tx, s *fleet.Server) (bool, error) {
		if s.Phase != from {
			return false, nil
		}
		return true, c.move(tx, s, to, format, args...)
	})
}

func (c *Controller) emitServer(tx *store.Tx, s *fleet.Server, t fleet.EventType, message string, data map[string]any) {
	if data == nil {
		data = map[string]any{}
	}
	if s.VMProvider != "" {
		data["vm_provider"] = s.VMProvider
	}
	tx.Emit(fleet.Event{
		At: c.now(), Type: t, Kind: fleet.EventKindServer, Name: s.Name, ID: s.ID, Pool: s.Pool,
		Actor: Actor, Message: message, Data: data,
	})
}
