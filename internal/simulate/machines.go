package simulate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/store"
)

// MessageKind says what a machine tells its controller.
type MessageKind string

// The messages of machines.
const (
	MessageProgress MessageKind = "progress" // of the startup script
	MessageCheckin  MessageKind = "checkin"  // the startup script is done; machines without agent
	MessageRegister MessageKind = "register" // the agent makes itself known
	MessageBeat     MessageKind = "beat"     // sign of life of the agent
)

// Message is something that a machine tells its controller.
type Message struct {
	Kind    MessageKind
	Machine string // id in the cloud
	Server  string // id of the server
}

// Delivery is one arrival of a message; a message that arrives several times
// has several.
type Delivery struct {
	After  time.Duration
	Status string // checkin: another status than "running"
}

// tryEvery is how often a machine that got no answer tries again.
const tryEvery = 10 * time.Second

func (e *Engine) bootstrap(ctx context.Context, s *fleet.Server) (provider.Bootstrap, error) {
	b := provider.Bootstrap{ControllerURL: "http://controller", RegistrationToken: e.deriver.Registration(s.ID), Pool: s.Pool}
	err := e.Store.Read(ctx, func(tx *store.Tx) error {
		o, err := tx.Object(fleet.KindPool, s.Pool)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		pool, err := store.Spec[fleet.PoolSpec](o)
		b.RunAgent = pool.Type == fleet.PoolDockerAgent
		return err
	})
	return b, err
}

// agents lets machines that run make themselves known and report. It returns
// when a machine will have news.
func (e *Engine) agents(ctx context.Context) time.Duration {
	now := e.Clock.Now()
	next := now.Add(24 * time.Hour)
	for _, c := range e.Cloud.DueCheckins(now) {
		id := c.Instance.ID
		if at := e.tryAt[id]; now.Before(at) {
			next = earlier(next, at)
			continue
		}
		e.introduce(ctx, c)
		if at, waits := e.tryAt[id]; waits {
			next = earlier(next, at)
		}
	}
	if beat := e.opt.Pace.Beat; beat > 0 {
		if !now.Before(e.beatAt) {
			e.beatAt = now.Add(beat)
			for _, c := range e.Cloud.Beating(now) {
				if c.Bootstrap.RunAgent {
					e.send(ctx, MessageBeat, c)
				}
			}
		}
		next = earlier(next, e.beatAt)
	}
	if look := e.opt.Pace.Look; look > 0 && !e.changeAt.IsZero() && !now.Before(e.changeAt) {
		for _, name := range e.provider {
			e.schedule(task{taskProvider, name}, look)
		}
	}
	e.changeAt = time.Time{}
	if at, ok := e.Cloud.NextChange(now); ok {
		e.changeAt = at
		next = earlier(next, at)
	}
	return max(next.Sub(now), time.Millisecond)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// introduce sends what makes a machine known.
func (e *Engine) introduce(ctx context.Context, c sim.Checkin) {
	e.tryAt[c.Instance.ID] = e.Clock.Now().Add(tryEvery)
	if e.opt.Deliver != nil {
		e.send(ctx, MessageProgress, c)
	}
	if c.Bootstrap.RunAgent {
		e.send(ctx, MessageRegister, c)
	} else {
		e.send(ctx, MessageCheckin, c)
	}
}

// send lets a message arrive as often and as late as the history wants.
func (e *Engine) send(ctx context.Context, kind MessageKind, c sim.Checkin) {
	if e.opt.Deliver == nil {
		e.receive(ctx, kind, c, "")
		return
	}
	for _, d := range e.opt.Deliver(Message{kind, c.Instance.ID, c.Instance.Tags.Server}) {
		if d.After <= 0 {
			e.receive(ctx, kind, c, d.Status)
			continue
		}
		e.mails++
		name := fmt.Sprintf("%s of %s, mail %d", kind, c.Instance.ID, e.mails)
		e.calls[name] = func(ctx context.Context) error {
			e.receive(ctx, kind, c, d.Status)
			return nil
		}
		e.schedule(task{taskMail, name}, d.After)
	}
}

// receive is the arrival of a message.
func (e *Engine) receive(ctx context.Context, kind MessageKind, c sim.Checkin, status string) {
	id := c.Instance.ID
	var err error
	switch kind {
	case MessageProgress:
		err = e.Service.Checkin(ctx, e.deriver.Checkin(c.Instance.Tags.Server), fleet.CheckinStatus{Status: "starting", Progress: 50})
	case MessageCheckin:
		if status == "" {
			status = "running"
		}
		err = e.Service.Checkin(ctx, e.deriver.Checkin(c.Instance.Tags.Server), fleet.CheckinStatus{Status: status})
	case MessageRegister:
		_, err = e.Service.Register(ctx, fleet.AgentRegistration{
			Token: c.Bootstrap.RegistrationToken, Credential: credentialOf(c.Instance),
			Addresses: []string{"10.0.0.1"}, Capacity: c.Instance.Capacity,
		})
	case MessageBeat:
		_, err = e.Service.Report(ctx, credentialOf(c.Instance), fleet.AgentReport{Capacity: c.Instance.Capacity})
	}
	if err != nil {
		e.opt.Note("%s of machine %s: %v", kind, id, err)
	}
	if (kind == MessageCheckin || kind == MessageRegister) && definite(err) {
		e.Cloud.CheckedIn(c.Instance)
		delete(e.tryAt, id)
	}
}

// definite says that an answer will not change when the message is repeated.
func definite(err error) bool {
	code := fleet.CodeOf(err)
	return err == nil || code != fleet.CodeUnavailable && code != fleet.CodeInternal
}

// credentialOf is one of a machine: its id alone may come back.
func credentialOf(m provider.Instance) string {
	return "credential-of-" + m.ID + "-" + m.Tags.Server + strings.Repeat("x", 32)
}
