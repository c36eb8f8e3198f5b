package sim

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Checkin is a running machine and what it knows of its controller.
type Checkin struct {
	Instance  provider.Instance
	Bootstrap provider.Bootstrap
}

// DueCheckins returns the machines that run at the moment and have not checked
// in, in order of creation. A machine stays due until [Cloud.CheckedIn] is
// called for it. Machines without a registration token and those that a fault
// keeps silent are left out.
func (c *Cloud) DueCheckins(now time.Time) []Checkin {
	return c.checkins(now, false)
}

// Beating returns the machines that run at the moment and have checked in.
func (c *Cloud) Beating(now time.Time) []Checkin {
	return c.checkins(now, true)
}

func (c *Cloud) checkins(now time.Time, checkedIn bool) []Checkin {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []Checkin
	for _, m := range c.machines {
		if m.checkedIn == checkedIn && !m.mute && m.bootstrap.RegistrationToken != "" && m.state(now) == provider.StateRunning {
			due = append(due, Checkin{m.instance(now), m.bootstrap})
		}
	}
	return due
}

// CheckedIn marks a machine as having checked in.
func (c *Cloud) CheckedIn(i provider.Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.byID[i.ID]; m != nil && m.tags == i.Tags {
		m.checkedIn = true
	}
}

// Agents plays the agents of a cloud's machines in real time: each machine
// that runs registers, and beats until it does not run any more. All fields
// but Heartbeat and Failed are required.
type Agents struct {
	Cloud *Cloud
	Clock clock.WithTicker
	// Register makes the machine known to its controller; an error is tried
	// again at the next look.
	Register func(ctx context.Context, c Checkin) error
	// Heartbeat is the machine's sign of life.
	Heartbeat func(ctx context.Context, c Checkin) error
	// Failed is told about errors; nil: they are dropped.
	Failed func(c Checkin, err error)

	Look  time.Duration // between looks for machines that came up; 0: 200 ms
	Every time.Duration // between signs of life; 0: 10 s
}

// Run plays until the context ends, in the goroutine of its caller, and starts
// no other one. It answers the reason for which the context ended, nil for an
// ordinary cancellation.
func (a Agents) Run(ctx context.Context) error {
	look, every := a.Look, a.Every
	if look <= 0 {
		look = 200 * time.Millisecond
	}
	if every <= 0 {
		every = 10 * time.Second
	}
	tick := a.Clock.NewTicker(look)
	defer tick.Stop()
	next := a.Clock.Now().Add(every)
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-tick.C():
		}
		now := a.Clock.Now()
		for _, c := range a.Cloud.DueCheckins(now) {
			if a.tell(ctx, c, a.Register) {
				a.Cloud.CheckedIn(c.Instance)
			}
		}
		if a.Heartbeat == nil || now.Before(next) {
			continue
		}
		next = now.Add(every)
		for _, c := range a.Cloud.Beating(now) {
			a.tell(ctx, c, a.Heartbeat)
		}
	}
}

func (a Agents) tell(ctx context.Context, c Checkin, f func(context.Context, Checkin) error) bool {
	if ctx.Err() != nil {
		return false
	}
	err := f(ctx, c)
	if err != nil && a.Failed != nil && ctx.Err() == nil {
		a.Failed(c, err)
	}
	return err == nil
}
