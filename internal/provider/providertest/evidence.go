package providertest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
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
	if s.WithPassword != nil {
		s.driver, s.raw = s.openWith(t, s.WithPassword)
		if d, ok = s.raw.(provider.PasswordReader); !ok {
			t.Fatal("the driver of WithPassword reads no passwords")
		}
	}
	id := s.create(t, s.request(owners()[0])).ID
	s.running(t, id)
	got, err := d.Password(t.Context(), id)
	if s.errorOf(t, "password", err); provider.ClassOf(err) != provider.Unavailable || err == nil {
		t.Errorf("password before the machine has made one: user %q, %v, expected unavailable", got.User, err)
	}
	want := s.Account.Password(t, id)
	if got, err = d.Password(t.Context(), id); err != nil {
		t.Fatalf("password: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("password:\n%s", diff)
	}
	_, err = d.Password(t.Context(), "no-such-machine")
	if s.errorOf(t, "password of a machine that does not exist", err) == nil {
		t.Error("a machine that does not exist has a password")
	}
}

func stopped(t *testing.T, s *suite) {
	if s.Stop == nil {
		t.Skip("harness cannot stop a machine")
	}
	id := s.create(t, s.request(owners()[0])).ID
	s.running(t, id)
	s.Stop(t, id)
	s.reaches(t, id, provider.StateStopped)
	s.gone(t, id)
}

func givenUp(t *testing.T, s *suite) {
	if s.GiveUp == nil {
		t.Skip("harness cannot let the cloud give a machine up")
	}
	id := s.create(t, s.request(owners()[0])).ID
	s.shown(t, owners()[0], 1)
	class := s.GiveUp(t, id)
	i := s.reaches(t, id, provider.StateFailed)
	if i.Fault == "" {
		t.Error("the machine failed and the driver does not say why")
	}
	if i.FaultClass != class {
		t.Errorf("the cloud gave the machine up with class %q, the driver says %q", class, i.FaultClass)
	}
	s.gone(t, id)
	s.empty(t)
}

// reaches waits until get and the listing show the machine in the state.
func (s *suite) reaches(t *testing.T, id string, want provider.State) provider.Instance {
	t.Helper()
	var i provider.Instance
	s.eventually(t, func() string {
		var err error
		if i, err = s.driver.Get(t.Context(), id); err != nil || i.State != want {
			return fmt.Sprintf("get says that the machine is %q, expected %s (%v)", i.State, want, err)
		}
		listed, ok := s.list(t, owners()[0])[id]
		if !ok || listed.State != want {
			return fmt.Sprintf("the listing says that the machine is %q, expected %s", listed.State, want)
		}
		return ""
	})
	return i
}

func console(t *testing.T, s *suite) {
	d, ok := s.raw.(provider.ConsoleReader)
	if !ok {
		t.Skip("the cloud keeps no console")
	}
	_, err := d.Console(t.Context(), "no-such-machine", 1<<10)
	if s.errorOf(t, "console of a machine that does not exist", err) == nil {
		t.Error("a machine that does not exist has a console")
	}
	if s.Console == nil {
		t.Log("SKIPPED IN PART: harness lets no machine write to its console")
		return
	}
	id := s.create(t, s.request(owners()[0])).ID
	s.running(t, id)
	end := s.Console(t, id)
	if len(end) < 100 {
		t.Fatalf("the hook Console wrote %d bytes, at least 100 are needed", len(end))
	}
	for _, limit := range []int64{1 << 16, 50} {
		s.eventually(t, func() string {
			got, err := d.Console(t.Context(), id, limit)
			want := end[max(0, int64(len(end))-limit):]
			switch {
			case s.errorOf(t, "console", err) != nil:
				return fmt.Sprintf("console: %v", err)
			case int64(len(got)) > limit:
				t.Fatalf("console with a limit of %d bytes answered %d", limit, len(got))
			case !bytes.HasSuffix(got, want):
				return fmt.Sprintf("console with a limit of %d bytes answered %q, expected the end: %q", limit, got, want)
			}
			return ""
		})
	}
}

func choices(t *testing.T, s *suite) {
	lookups := settings.Lookups(s.Kind.NewSettings())
	d, ok := s.raw.(provider.Catalog)
	if !ok {
		if len(lookups) > 0 {
			t.Errorf("the settings have lookups %q, but the driver is no provider.Catalog", lookups)
		}
		t.Skip("driver lists no choices")
	}
	const strange = "no_such_setting"
	_, unknown := d.Choices(t.Context(), strange)
	if c := provider.ClassOf(s.errorOf(t, "choices for a setting that does not exist", unknown)); unknown == nil || c != provider.Unsupported && c != provider.Invalid {
		t.Fatalf("choices for a setting that does not exist: %v, expected unsupported", unknown)
	}
	if s.CatalogSettings != nil {
		raw, err := s.Kind.Open(t.Context(), s.CatalogSettings(t), s.Host)
		if err != nil {
			t.Fatalf("opening the driver: %v", err)
		}
		if d, ok = raw.(provider.Catalog); !ok {
			t.Fatal("the driver is a provider.Catalog with some settings only")
		}
	}
	for _, name := range lookups {
		list, err := d.Choices(t.Context(), name)
		// Settings that do not go together have a reason of their own.
		reason := err != nil && provider.ClassOf(err) == provider.Unsupported && err.Error() != strings.ReplaceAll(unknown.Error(), strange, name)
		if s.errorOf(t, "choices for "+name, err) != nil && !reason {
			t.Errorf("choices for the setting %s, which has a lookup tag: %v", name, err)
		}
		seen := map[string]bool{}
		for _, c := range list {
			if c.Value == "" || seen[c.Value] {
				t.Errorf("choices for %s: %q is empty or named twice", name, c.Value)
			}
			seen[c.Value] = true
		}
	}
}

func missingRight(t *testing.T, s *suite) {
	if s.TakeRight == nil {
		t.Skip("harness cannot take a permission away")
	}
	right := s.TakeRight(t)
	r, err := s.driver.Check(t.Context())
	if err != nil {
		if !strings.Contains(err.Error(), right) {
			t.Errorf("without %s check answers an error that does not name it: %v", right, err)
		}
		return
	}
	if r.OK() {
		t.Errorf("without %s check finds nothing wrong: %+v", right, r)
	}
	named := false
	for _, f := range r.Findings {
		if f.Verdict == provider.VerdictOK {
			continue
		}
		if f.Remedy == "" {
			t.Errorf("finding without a remedy: %+v", f)
		}
		named = named || strings.Contains(f.Subject+" "+f.Message+" "+f.Remedy, right)
	}
	if !named {
		t.Errorf("no finding names %s: %+v", right, r)
	}
}
