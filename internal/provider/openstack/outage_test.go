package openstack_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
)

// TestOutages kills services while a driver works.
func TestOutages(t *testing.T) {
	t.Parallel()
	r := rig.Open(t)
	r.Alone(t)
	p := placeOn(t, r, published)
	t.Cleanup(func() { // before the project is cleared
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
		defer cancel()
		for _, name := range []string{"nova-compute", "keystone"} {
			if err := r.Start(ctx, name); err != nil {
				t.Error(err)
			}
		}
	})
	d := p.driver(t, nil)
	restart := func(name string) {
		t.Helper()
		if err := r.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	before := create(t, d, p.request("01JBEFORE")).ID
	becomes(t, d, before, provider.StateRunning)

	r.Kill("nova-compute")
	during := create(t, d, p.request("01JDURING")).ID
	if err := d.Delete(t.Context(), before); err != nil {
		t.Errorf("a delete while nova-compute is down: %v", err)
	}
	// nova removes a machine by itself where it knows that the host is down.
	if i, err := d.Get(t.Context(), before); err == nil && i.State != provider.StateDeleting || err != nil && provider.ClassOf(err) != provider.NotFound {
		t.Errorf("the machine that is being deleted is %s, %v", i.State, err)
	}
	if i, err := d.Get(t.Context(), during); err != nil || i.State != provider.StatePending {
		t.Errorf("the machine that is being made is %s, %v", i.State, err)
	}
	restart("nova-compute")
	eventually(t, 2*time.Minute, func() error {
		if _, err := d.Get(t.Context(), before); provider.ClassOf(err) != provider.NotFound {
			return fmt.Errorf("the delete has not gone on: %w", err)
		}
		return nil
	})
	becomes(t, d, during, provider.StateRunning)

	r.Kill("keystone")
	// A new driver cannot sign in: that is no fault of the credential.
	if _, err := p.driver(t, nil).Get(t.Context(), during); provider.ClassOf(err) != provider.Unavailable || err == nil {
		t.Errorf("without keystone a new driver says: %v", err)
	}
	// The old one works until the services want its token checked.
	eventually(t, time.Minute, func() error {
		_, err := d.Get(t.Context(), during)
		switch {
		case err == nil:
			return errors.New("its token is still believed")
		case provider.ClassOf(err) != provider.Unavailable:
			t.Fatalf("without keystone: %v, expected unavailable", err)
		}
		return nil
	})
	for _, err := range d.List(t.Context(), p.request("x").Tags.Owner()) {
		if provider.ClassOf(err) != provider.Unavailable || err == nil {
			t.Errorf("without keystone the listing says: %v", err)
		}
	}
	restart("keystone")
	eventually(t, time.Minute, func() error {
		_, err := d.Get(t.Context(), during)
		return err
	})
	remove(t, d, during)
	p.empty(t)
}
