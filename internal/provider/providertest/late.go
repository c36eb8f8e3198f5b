package providertest

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// shownLate deletes a machine that the cloud does not show yet: it must not pass
// for gone, and in the end it must be.
func shownLate(t *testing.T, s *suite) {
	if s.HideNew == nil {
		t.Skip("harness cannot hide new machines")
	}
	show := s.HideNew(t)
	req := s.request(owners()[0])
	i := s.create(t, req)
	switch got, err := s.driver.Get(t.Context(), i.ID); {
	case err != nil:
		notGone(t, "get", err)
	case got.State != provider.StatePending && got.State != provider.StateRunning:
		t.Errorf("get of a machine that is not shown yet says that it is %s: %s", got.State, got.Fault)
	}
	if !s.FindsByList {
		switch again, err := s.driver.Create(t.Context(), req); {
		case err != nil && provider.ClassOf(err).MadeNothing():
			t.Errorf("a repeated create says that there is no machine, while one is not shown yet: %v", err)
		case err == nil && again.ID != i.ID:
			t.Errorf("a repeated create made %s besides %s, which is not shown yet", again.ID, i.ID)
		}
	}
	if err := s.driver.Delete(t.Context(), i.ID); err != nil {
		notGone(t, "delete", err)
	}
	show()
	s.gone(t, i.ID)
	s.shown(t, owners()[0], 0)
	s.empty(t)
}

// notGone holds that an error about a machine which is not shown yet does not say
// that it is gone: not_found comes with the time by which it is surely shown.
func notGone(t *testing.T, op string, err error) {
	t.Helper()
	switch class := provider.ClassOf(err); {
	case class == provider.NotFound && provider.RetryAfter(err) == 0:
		t.Errorf("%s of a machine that is not shown yet: %v, without a time by which it would be shown: it passes for gone", op, err)
	case class.TripsCircuit():
		t.Errorf("%s of a machine that is not shown yet: %v, as if the settings were wrong", op, err)
	}
}
