package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// The circuit of a provider config opens after this many failures in a row
// that cannot mend themselves, and stays open from minOpen to maxOpen,
// doubling.
const (
	circuitAfter = 3
	minOpen      = 30 * time.Second
	maxOpen      = 30 * time.Minute
)

// tripCircuit counts a failure of a provider config that needs somebody to
// change something.
func (c *Controller) tripCircuit(ctx context.Context, name string, cause error) error {
	err := c.write(ctx, func(tx *store.Tx) error {
		state, err := providerState(tx, name)
		if err != nil {
			return err
		}
		now := c.now()
		if until, _ := snapshot.Blocked(state, now); state.Circuit == snapshot.CircuitOpen && now.Before(until) {
			return nil // calls that were under way when it opened
		}
		state.Provider = name
		state.Failures++
		state.Error, state.ErrorClass = safe(cause), string(provider.ClassOf(cause))
		if state.Failures < circuitAfter {
			c.emitProvider(tx, name, fleet.EventProviderError, fmt.Sprintf("%s (failure %d of %d before it is taken out of use)", safe(cause), state.Failures, circuitAfter))
			return tx.SaveProviderState(state)
		}
		state.Circuit, state.OpenUntil = snapshot.CircuitOpen, now.Add(openFor(state.Failures-circuitAfter))
		c.emitProvider(tx, name, fleet.EventProviderCircuit, fmt.Sprintf("taken out of use until %s after %d failures in a row: %s", state.OpenUntil.UTC().Format(time.TimeOnly), state.Failures, safe(cause)))
		return tx.SaveProviderState(state)
	})
	if err != nil {
		return fmt.Errorf("recording a failure of provider %s: %w", name, err)
	}
	return nil
}

// openFor is how long a circuit stays open that has failed n times before.
func openFor(n int64) time.Duration {
	if n >= 10 {
		return maxOpen
	}
	return min(minOpen<<n, maxOpen)
}

// closeCircuit forgets the failures of a provider config that has just made a
// machine. A circuit that is open because machines failed after they were made
// stays as it is until one has become ready.
func (c *Controller) closeCircuit(tx *store.Tx, name string) error {
	state, err := tx.ProviderState(name)
	if err != nil {
		return err
	}
	if state.Failures == 0 && (state.Circuit == "" || state.Circuit == snapshot.CircuitClosed) {
		return nil // as a rule: worth no lock
	}
	if state, err = providerState(tx, name); err != nil {
		return err
	}
	if state.Stillborn >= stillbornAfter {
		state.Failures = 0
		return tx.SaveProviderState(state)
	}
	if state.Circuit == snapshot.CircuitOpen {
		c.emitProvider(tx, name, fleet.EventProviderCircuit, "in use again: it made a machine")
	}
	state.Circuit, state.Failures, state.OpenUntil = snapshot.CircuitClosed, 0, time.Time{}
	state.Error, state.ErrorClass = "", ""
	return tx.SaveProviderState(state)
}

// ProviderChanged lets a provider config be used at once, and with its new
// settings, after somebody has changed it.
func (c *Controller) ProviderChanged(ctx context.Context, name string) error {
	c.clouds.forget(name)
	return c.write(ctx, func(tx *store.Tx) error {
		state, err := providerState(tx, name)
		if err != nil {
			return err
		}
		if state.Failures == 0 && state.Stillborn == 0 && state.BlockedUntil.IsZero() && state.Circuit != snapshot.CircuitOpen {
			return nil
		}
		state.Provider = name
		state.Circuit, state.Failures, state.Stillborn, state.OpenUntil = snapshot.CircuitClosed, 0, 0, time.Time{}
		state.BlockedUntil, state.BlockedReason, state.Error, state.ErrorClass = time.Time{}, "", "", ""
		return tx.SaveProviderState(state)
	})
}

// providerState reads what is remembered of a provider, in order to change it:
// the pools that use it, on other nodes too, wait meanwhile with their
// creations.
func providerState(tx *store.Tx, name string) (store.ProviderState, error) {
	if err := tx.LockProvider(name); err != nil {
		return store.ProviderState{}, err
	}
	return tx.ProviderState(name)
}

func (c *Controller) emitProvider(tx *store.Tx, name string, t fleet.EventType, message string) {
	tx.Emit(fleet.Event{At: c.now(), Type: t, Kind: string(fleet.KindVMProvider), Name: name, Actor: Actor, Message: message})
}

// safe is the text of an error that a person may read.
func safe(err error) string {
	var pe *provider.Error
	if errors.As(err, &pe) {
		return pe.Error()
	}
	var fe *fleet.Error
	if errors.As(err, &fe) {
		return fe.Message
	}
	return "an unexpected error; the log of the controller has it"
}
