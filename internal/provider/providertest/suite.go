package providertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// suite is one case at work on one account.
type suite struct {
	Account
	driver provider.Driver // watched
	raw    provider.Driver // for the optional interfaces
	serial atomic.Int64
}

// The owners that the cases use. The first is ours, the others are neighbours.
func owners() []provider.Owner {
	return []provider.Owner{
		{Installation: "01jconformance1", Provider: "cloud-a"},
		{Installation: "01jconformance1", Provider: "cloud-b"},
		{Installation: "01jconformance2", Provider: "cloud-a"},
	}
}

func open(t *testing.T, h Harness) *suite {
	t.Helper()
	s := &suite{Account: h.New(t)}
	s.fill(t)
	s.driver, s.raw = s.open(t)
	t.Cleanup(func() { s.clean(t) })
	return s
}

// open makes a further driver for the account, as a restarted controller would.
func (s *suite) open(t *testing.T) (watchedDriver, raw provider.Driver) {
	t.Helper()
	return s.openWith(t, s.Settings)
}

// openWith opens the account with other settings.
func (s *suite) openWith(t *testing.T, with any) (watchedDriver, raw provider.Driver) {
	t.Helper()
	settings.ApplyDefaults(with)
	raw, err := s.Kind.Open(t.Context(), with, s.Host)
	if err != nil {
		t.Fatalf("opening the driver: %v", err)
	}
	return &watched{t: t, s: s, driver: raw}, raw
}

// clean removes what the case made, so that real accounts and hosts stay clean
// after a failed case as well.
func (s *suite) clean(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), s.Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, o := range owners() {
		for {
			left := 0
			for i, err := range s.raw.List(ctx, o) {
				left++
				if err == nil {
					_ = s.raw.Delete(ctx, i.ID) // the next round of the loop sees whether it helped
				}
			}
			if left == 0 {
				break
			}
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				t.Errorf("machines of %v could not be cleaned away", o)
				return
			}
		}
	}
}

func (s *suite) client(d provider.Driver) *provider.Client {
	k := s.Kind
	k.Defaults.RateLimit = 0
	return provider.NewClient(provider.ClientOptions{Kind: k, Driver: d, Owner: owners()[0], Clock: clock.RealClock{}, RateLimit: 1e6})
}

// request is a wish for a new machine of the owner.
func (s *suite) request(o provider.Owner) provider.Request {
	r := request(fmt.Sprintf("01jserver%04d", s.serial.Add(1)), o)
	r.Bootstrap.ControllerURL = s.ControllerURL
	return r
}

func request(server string, o provider.Owner) provider.Request {
	return provider.Request{
		Token: "token-" + server,
		Name:  fleet.ServerName(server + o.Installation + o.Provider),
		Tags:  provider.Tags{Installation: o.Installation, Provider: o.Provider, Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{
			ControllerURL: nowhere, RegistrationToken: "registration-of-" + server, Pool: "desktops", RunAgent: true,
			UserData: []byte("#!/bin/sh\n# ünïcode, \"quotes\", $HOME, `ticks`, back\\slash\r\n: '" + server + "'\n"),
		},
	}
}

func (s *suite) create(t *testing.T, req provider.Request) provider.Instance {
	t.Helper()
	i, err := s.createWith(t, s.driver, req)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if i.ID == "" {
		t.Fatal("create: the machine has no id")
	}
	return i
}

// createWith repeats a create of several operations for as long as the driver
// says that an operation before the last is under way.
func (s *suite) createWith(t *testing.T, d provider.Driver, req provider.Request) (i provider.Instance, err error) {
	t.Helper()
	over := time.NewTimer(s.Patience)
	defer over.Stop()
	for {
		i, err = d.Create(t.Context(), req)
		after := provider.RetryAfter(err)
		if err == nil || provider.ClassOf(err) != provider.Conflict || after == 0 {
			return i, err
		}
		tick := time.NewTimer(min(after, time.Second/2))
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("create still after %v: %v", s.Patience, err)
		}
	}
}

func (s *suite) list(t *testing.T, o provider.Owner) map[string]provider.Instance {
	t.Helper()
	all := map[string]provider.Instance{}
	for i, err := range s.driver.List(t.Context(), o) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if _, twice := all[i.ID]; twice {
			t.Errorf("list: machine %s is shown twice", i.ID)
		}
		all[i.ID] = i
	}
	return all
}

// eventually repeats look until it says nothing, at most as long as the
// account needs to show a change.
func (s *suite) eventually(t *testing.T, look func() (wrong string)) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(s.Patience)
	defer over.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("still after %v: %s", s.Patience, wrong)
		}
	}
}

func (s *suite) running(t *testing.T, id string) provider.Instance {
	t.Helper()
	var i provider.Instance
	s.eventually(t, func() string {
		var err error
		switch i, err = s.driver.Get(t.Context(), id); {
		case err != nil:
			return fmt.Sprintf("get: %v", err)
		case i.State != provider.StateRunning:
			return fmt.Sprintf("machine is %s (%s)", i.State, i.Fault)
		}
		return ""
	})
	return i
}

func (s *suite) shown(t *testing.T, o provider.Owner, want int) map[string]provider.Instance {
	t.Helper()
	var all map[string]provider.Instance
	s.eventually(t, func() string {
		if all = s.list(t, o); len(all) != want {
			return fmt.Sprintf("the listing shows %d machines, expected %d", len(all), want)
		}
		return ""
	})
	return all
}

// gone deletes the machine and waits until nothing is left of it. As the
// controller does, it looks before each delete.
func (s *suite) gone(t *testing.T, id string) {
	t.Helper()
	s.eventually(t, func() string {
		_, err := s.driver.Get(t.Context(), id)
		if err != nil && provider.ClassOf(err) == provider.NotFound {
			return ""
		}
		if failed := s.driver.Delete(t.Context(), id); failed != nil && provider.ClassOf(failed) != provider.NotFound {
			return fmt.Sprintf("delete: %v", failed)
		}
		return fmt.Sprintf("get after delete: %v", err)
	})
}

// last fails when something is left although the driver has just said NotFound
// about the only machine: nobody would come back for it.
func (s *suite) last(t *testing.T, op string) {
	t.Helper()
	if left := s.leftovers(t); len(left) > 0 {
		t.Errorf("%s says that nothing is left of the machine, but there is still: %s", op, strings.Join(left, ", "))
	}
}

func (s *suite) empty(t *testing.T) {
	t.Helper()
	if s.Leftovers == nil {
		return
	}
	s.eventually(t, func() string {
		if left := s.Leftovers(t); len(left) > 0 {
			return "left in the account: " + strings.Join(left, ", ")
		}
		return ""
	})
}

// watched holds every error of a driver against the rules.
type watched struct {
	t      *testing.T
	s      *suite
	driver provider.Driver
}

func (w *watched) check(op string, err error, secrets ...string) error {
	w.t.Helper()
	return w.s.errorOf(w.t, op, err, secrets...)
}

// errorOf holds an error against the rules and returns it.
func (s *suite) errorOf(t *testing.T, op string, err error, secrets ...string) error {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *provider.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: the error is no *provider.Error: %T %v", op, err, err)
	} else if e.Message == "" {
		t.Errorf("%s: the error has no message: %v", op, err)
	}
	text := fmt.Sprintf("%v %+v", err, err)
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		text += fmt.Sprintf(" %v %+v", cause, cause)
	}
	for _, secret := range append(secrets, s.Secrets...) {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s: the error or its cause shows a secret, maybe in the cloud's own words: %v", op, err)
		}
	}
	return err
}

func (w *watched) Check(ctx context.Context) (provider.Report, error) {
	r, err := w.driver.Check(ctx)
	for _, f := range r.Findings {
		for _, secret := range w.s.Secrets {
			if secret != "" && strings.Contains(f.Subject+f.Message+f.Remedy, secret) {
				w.t.Errorf("check: a finding shows a secret: %+v", f)
			}
		}
	}
	return r, w.check("check", err)
}

func (w *watched) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	i, err := w.driver.Create(ctx, req)
	return i, w.check("create", err, req.Bootstrap.RegistrationToken)
}

func (w *watched) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		ended := false
		for i, err := range w.driver.List(ctx, o) {
			if ended {
				w.t.Error("list: it goes on after an error")
				return
			}
			ended = w.check("list", err) != nil
			if !yield(i, err) {
				return
			}
		}
	}
}

func (w *watched) Get(ctx context.Context, id string) (provider.Instance, error) {
	i, err := w.driver.Get(ctx, id)
	return i, w.check("get", err)
}

func (w *watched) Delete(ctx context.Context, id string) error {
	return w.check("delete", w.driver.Delete(ctx, id))
}
