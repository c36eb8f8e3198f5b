package nutanix

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

// Whatever request of a create is the last that the controller makes, nothing
// is left that the marks do not lead to, and the repeated call makes one machine.
func TestCrashBetweenRequests(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{fakenutanix.PutMark, fakenutanix.CreateVM, "PUT /categories/{name}"} {
		s := prismCentral(t, fakenutanix.Options{PageLength: 10})
		d := driverOf(t, settingsOf(s))
		req := wish("crash")
		s.Lose(operation)
		if _, err := d.Create(t.Context(), req); provider.ClassOf(err).MadeNothing() || err == nil {
			t.Errorf("%s lost: %v", operation, err)
		}
		found := len(listed(t, d)) + len(remnantsOf(t, d))
		if things := len(s.Leftovers()); things > 0 && found != 1 {
			t.Errorf("%s lost: left are %v, the driver finds %d", operation, s.Leftovers(), found)
		}
		again := create(t, driverOf(t, settingsOf(s)), req)
		if all := listed(t, d); len(all) != 1 || all[again.ID].Tags != req.Tags {
			t.Errorf("%s lost: the listing shows %v", operation, all)
		}
		if n := s.Machines(); n != 1 {
			t.Errorf("%s lost: %d machines", operation, n)
		}
	}
}

// A lost create whose repetition is refused for want of room must not be taken
// for a machine that was never made.
func TestRepetitionIsRefused(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	req := wish("lost")
	s.Lose(fakenutanix.CreateVM)
	if _, err := d.Create(t.Context(), req); err == nil {
		t.Fatal("the answer was to be lost")
	}
	s.Refuse(fakenutanix.CreateVM, 0, 1, http.StatusUnprocessableEntity, "INTERNAL_ERROR", "Quota exceeded")
	if i := create(t, d, req); i.ID != machineID(req) {
		t.Errorf("answered %+v", i)
	}
	s.Refuse(fakenutanix.CreateVM, 0, 1, http.StatusUnprocessableEntity, "INTERNAL_ERROR", "Quota exceeded")
	s.Refuse(fakenutanix.GetVM, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err).MadeNothing() {
		t.Errorf("it is not known whether the machine exists, and the answer is %v", err)
	}
	if len(listed(t, d)) != 1 {
		t.Error("the mark of the machine is gone")
	}
}

// A Prism that gives machines UUIDs of its own would make two of them after a
// lost answer. The driver does not work with it and leaves nothing.
func TestPrismWithUUIDsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{OwnUUIDs: true, DeleteTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	if _, err := d.Create(t.Context(), wish("own")); provider.ClassOf(err) != provider.Unsupported || !strings.Contains(err.Error(), "ignores the UUID") {
		t.Errorf("create: %v", err)
	}
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Throttled wherever it hurts, creates and deletes come to an end all the same:
// one machine, and then nothing.
func TestThrottledEverywhere(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{PageLength: 10, DeleteTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	req := wish("throttled")
	storm := func() {
		for _, operation := range []string{
			fakenutanix.PutMark, fakenutanix.CreateVM, fakenutanix.GetVM, fakenutanix.DeleteMark, fakenutanix.DeleteVM, fakenutanix.GetMark, fakenutanix.ListMarks,
		} {
			s.RefuseRaw(operation, 2, http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}, "")
		}
	}
	until := func(what string, f func() error, done func(error) bool) {
		t.Helper()
		for range 20 {
			err := f()
			if done(err) {
				return
			}
			if c := provider.ClassOf(err); err != nil && c != provider.RateLimited && c != provider.Unavailable {
				t.Fatalf("%s: %v", what, err)
			}
			if what == "create" && provider.ClassOf(err).MadeNothing() && s.Machines() > 0 {
				t.Fatalf("%s says that nothing was made: %v", what, err)
			}
		}
		t.Fatalf("%s does not come to an end", what)
	}
	storm()
	until("create", func() error { _, err := d.Create(t.Context(), req); return err }, func(err error) bool { return err == nil })
	storm()
	until("list", func() error {
		for _, err := range d.List(t.Context(), owner()) {
			if err != nil {
				return err
			}
		}
		return nil
	}, func(err error) bool { return err == nil })
	if n := s.Machines(); n != 1 {
		t.Errorf("%d machines", n)
	}
	until("delete", func() error { return d.Delete(t.Context(), machineID(req)) }, isNotFound)
	until("get", func() error { _, err := d.Get(t.Context(), machineID(req)); return err }, isNotFound)
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
