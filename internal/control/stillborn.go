package control

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// stillbornAfter is how many machines of a provider config may fail one after
// the other before any is ready, until the config is taken out of use: an image
// that does not boot or a script that fails would otherwise make and delete
// machines for ever, each of them paid for.
const stillbornAfter = 5

// countStillborn counts a machine that the cloud made and that failed before it
// was ready. It is called in the commit that gives the machine up.
func (c *Controller) countStillborn(tx *store.Tx, s *fleet.Server) error {
	if s.ReadyAt != nil || s.ProviderID == "" {
		return nil
	}
	state, err := providerState(tx, s.VMProvider)
	if err != nil {
		return err
	}
	now := c.now()
	if now.Before(state.BlockedUntil) {
		return nil // passed over for lack of room, which is no fault of the machine
	}
	state.Provider = s.VMProvider
	state.StillbornAt = now
	if state.Circuit == snapshot.CircuitOpen && now.Before(state.OpenUntil) {
		return tx.SaveProviderState(state) // it was on its way when the circuit opened
	}
	if state.Stillborn++; state.Stillborn >= stillbornAfter {
		state.Circuit, state.OpenUntil = snapshot.CircuitOpen, now.Add(openFor(state.Stillborn-stillbornAfter))
		state.Error, state.ErrorClass = fmt.Sprintf("machines fail before they are ready; the last one, %s: %s", s.Name, s.Reason), string(provider.Unknown)
		c.emitProvider(tx, s.VMProvider, fleet.EventProviderCircuit, fmt.Sprintf("taken out of use until %s after %d machines in a row failed before they were ready; the last one, %s: %s",
			state.OpenUntil.UTC().Format(time.TimeOnly), state.Stillborn, s.Name, s.Reason))
	}
	return tx.SaveProviderState(state)
}

// lookAgain has the next machine that is ready look whether one was stillborn.
// It is called after the commit that may have counted one: a look that began
// before it does not count.
func (c *Controller) lookAgain(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.allBorn, name)
	c.births[name]++
}

// born forgets stillborn machines when one that is younger has become ready.
func (c *Controller) born(ctx context.Context, s *fleet.Server) error {
	c.mu.Lock()
	none, births := c.allBorn[s.VMProvider], c.births[s.VMProvider]
	c.mu.Unlock()
	if none || s.ReadyAt == nil || s.VMProvider == "" {
		return nil
	}
	// Older machines that serve look here at each of their steps: a look takes
	// no turn of the writers.
	var seen store.ProviderState
	err := c.Store.Read(ctx, func(tx *store.Tx) (err error) {
		seen, err = tx.ProviderState(s.VMProvider)
		return err
	})
	if err != nil {
		return err
	}
	reset := seen.Stillborn == 0
	if !reset && !s.ReadyAt.After(seen.StillbornAt) {
		return nil
	}
	if !reset {
		err = c.write(ctx, func(tx *store.Tx) error {
			state, err := providerState(tx, s.VMProvider)
			if err != nil {
				return err
			}
			if reset = s.ReadyAt.After(state.StillbornAt); !reset { // another has failed meanwhile
				return nil
			}
			if state.Stillborn >= stillbornAfter && state.Circuit == snapshot.CircuitOpen {
				state.Circuit, state.OpenUntil, state.Error, state.ErrorClass = snapshot.CircuitClosed, time.Time{}, "", ""
				c.emitProvider(tx, s.VMProvider, fleet.EventProviderCircuit, fmt.Sprintf("in use again: machine %s has become ready", s.Name))
			}
			state.Stillborn, state.StillbornAt = 0, time.Time{}
			return tx.SaveProviderState(state)
		})
	}
	if err == nil && reset {
		c.mu.Lock()
		c.allBorn[s.VMProvider] = c.births[s.VMProvider] == births
		c.mu.Unlock()
	}
	return err
}
