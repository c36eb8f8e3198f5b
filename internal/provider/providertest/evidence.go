package providertest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
)

func interruption(t *testing.T, s *suite) {
	if s.Interrupt == nil {
		t.Skip("harness cannot let the cloud take a machine back")
	}
	taken := s.create(t, s.request(owners()[0])).ID
	kept := s.create(t, s.request(owners()[0])).ID
	for _, id := range []string{taken, kept} {
		if i := s.running(t, id); i.Interruption != "" {
			t.Errorf("machine %s is said to be taken back: %s", id, i.Interruption)
		}
	}
	s.Interrupt(t, taken)
	s.eventually(t, func() string {
		i, ok := s.list(t, owners()[0])[taken]
		switch {
		case !ok:
			return "the listing does not show the machine that is about to be taken back"
		case i.State != provider.StateRunning:
			t.Fatalf("a machine that is about to be taken back still runs; the listing says %s", i.State)
		case i.Interruption == "":
			return "the listing does not tell that the machine is about to be taken back"
		}
		return ""
	})
	if i := s.list(t, owners()[0])[kept]; i.Interruption != "" {
		t.Errorf("the other machine is said to be taken back as well: %s", i.Interruption)
	}
}

func password(t *testing.T, s *suite) {
	d, ok := s.raw.(provider.PasswordReader)
	if !ok {
		t.Skip("the cloud makes no passwords")
	}
	if s.Account.Password == nil {
		t.Skip("harness cannot let a machine make a password")
	}
	id := s.create(t, s.request(owners()[0])).ID
	s.running(t, id)
	if got, err := d.Password(t.Context(), id); provider.ClassOf(err) != provider.Unavailable || err == nil {
		t.Errorf("password before the machine has made one: user %q, %v, expected unavailable", got.User, err)
	}
	want := s.Account.Password(t, id)
	got, err := d.Password(t.Context(), id)
	if err != nil {
		t.Fatalf("password: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("password:\n%s", diff)
	}
	if _, err := d.Password(t.Context(), "no-such-machine"); err == nil {
		t.Error("a machine that does not exist has a password")
	}
}
