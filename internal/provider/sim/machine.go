package sim

import (
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// machine holds the moments at which things happen; a zero moment never comes.
type machine struct {
	serial    int64
	id        string
	name      string
	token     string
	tags      provider.Tags
	offer     string
	capacity  fleet.Resources
	bootstrap provider.Bootstrap
	fault     string
	failClass provider.Class
	notice    string // the cloud will take the machine back
	password  string
	listLag   time.Duration
	getLag    time.Duration

	createdAt time.Time
	runningAt time.Time
	failsAt   time.Time
	diesAt    time.Time
	deletedAt time.Time
	goneAt    time.Time

	mute      bool
	checkedIn bool
	left      bool // no longer counted as existing
}

// past says that the moment comes and has come.
func past(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (m *machine) gone(now time.Time) bool { return past(m.goneAt, now) }

func (m *machine) state(now time.Time) provider.State {
	switch {
	case past(m.deletedAt, now):
		return provider.StateDeleting
	case past(m.diesAt, now):
		return provider.StateStopped
	case past(m.failsAt, now):
		return provider.StateFailed
	case past(m.runningAt, now):
		return provider.StateRunning
	}
	return provider.StatePending
}

// unborn says that the machine is too new for those who ask for it by its id.
func (m *machine) unborn(now time.Time) bool { return now.Before(m.createdAt.Add(m.getLag)) }

// seen says whether a look that lags behind shows the machine.
func (m *machine) seen(now time.Time, lag time.Duration) bool {
	return !now.Before(m.createdAt.Add(lag)) && (m.goneAt.IsZero() || now.Before(m.goneAt.Add(lag)))
}

func (m *machine) instance(now time.Time) provider.Instance {
	i := provider.Instance{
		ID: m.id, Name: m.name, Tags: m.tags, State: m.state(now), Offer: m.offer, Capacity: m.capacity, CreatedAt: m.createdAt,
	}
	switch i.State {
	case provider.StateRunning:
		i.Addresses, i.Interruption = []string{m.address()}, m.notice
	case provider.StateStopped:
		i.Fault = m.fault
		if i.Fault == "" {
			i.Fault = "the machine stopped"
		}
	case provider.StateFailed:
		i.Fault, i.FaultClass = "the machine could not be started", m.failClass
	default: // nothing more is known of it
	}
	return i
}

func (m *machine) address() string {
	return fmt.Sprintf("10.%d.%d.%d", m.serial>>16&0xff, m.serial>>8&0xff, m.serial&0xff)
}

func (m *machine) console(now time.Time) string {
	out := fmt.Sprintf("%s machine %s created\n", m.createdAt.UTC().Format(time.RFC3339), m.name)
	if past(m.runningAt, now) {
		out += fmt.Sprintf("%s booted, address %s\n", m.runningAt.UTC().Format(time.RFC3339), m.address())
	}
	if i := m.instance(now); i.Fault != "" {
		out += i.Fault + "\n"
	}
	return out
}

func (m *machine) changes() []time.Time {
	all := []time.Time{
		m.createdAt.Add(m.listLag), m.createdAt.Add(m.getLag), m.runningAt, m.failsAt, m.diesAt, m.deletedAt, m.goneAt,
	}
	if !m.goneAt.IsZero() {
		all = append(all, m.goneAt.Add(m.listLag), m.goneAt.Add(m.getLag))
	}
	return all
}

// disk is a remnant: a disk whose machine was never made or is gone.
type disk struct {
	serial    int64
	id        string
	tags      provider.Tags
	createdAt time.Time
}

func (d *disk) remnant() provider.Remnant {
	return provider.Remnant{Kind: "disk", ID: d.id, Name: "disk-of-" + d.tags.Server, Tags: d.tags, CreatedAt: d.createdAt}
}
