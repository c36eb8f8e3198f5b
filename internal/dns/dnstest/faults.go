package dnstest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

type fieldError = fleet.FieldError

// manyTexts do not fit into one page of any service.
const manyTexts = 250

func (s *suite) fill() {
	for n := range manyTexts {
		s.AddText(fmt.Sprintf("n%03d", n), "x")
	}
}

func pages(t *testing.T, s *suite) {
	s.fill()
	s.set(t, whole()...)
	records, err := s.service.Records(t.Context(), Zone)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range records {
		if r.Type == "TXT" {
			seen[r.Name]++
		}
	}
	for n := range manyTexts {
		if name := fmt.Sprintf("n%03d", n); seen[name] != 1 {
			t.Errorf("%s is listed %d times", name, seen[name])
		}
	}
	// A removal finds its names on whatever page they stand, and only those.
	s.remove(t, dns.Key{Name: "n000", Type: "TXT"}, dns.Key{Name: "n120", Type: "TXT"}, dns.Key{Name: "n249", Type: "TXT"}, dns.Key{Name: "never", Type: "TXT"})
	s.remove(t, wholeKeys()...)
	left := s.Stored()
	if len(left) != manyTexts-3 {
		t.Errorf("%d records are left, expected %d", len(left), manyTexts-3)
	}
	for _, line := range left {
		if name, _, _ := strings.Cut(line, " "); slices.Contains([]string{"n000", "n120", "n249"}, name) {
			t.Errorf("left: %s", line)
		}
	}
}

func halfListing(t *testing.T, s *suite) {
	if s.BreakPage == nil {
		t.Skip("harness cannot let a page fail")
	}
	s.fill()
	s.BreakPage()
	if records, err := s.service.Records(t.Context(), Zone); err == nil || provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("half a zone: %d records, %v, expected unavailable", len(records), err)
	}
	if records, err := s.service.Records(t.Context(), Zone); err != nil || len(records) < manyTexts {
		t.Errorf("afterwards there are %d records, %v", len(records), err)
	}
}

// classes: an error is told at once, as what it means; nothing is repeated by
// itself, since the loop knows when.
func classes(t *testing.T, s *suite) {
	for _, class := range []provider.Class{provider.RateLimited, provider.Unavailable} {
		if s.Fail[class] == nil {
			t.Errorf("the harness cannot let a request fail as %s", class)
		}
	}
	for class, fail := range s.Fail {
		for _, o := range s.ops(t, Zone) {
			before := s.Calls()
			fail()
			err := o.call()
			if n := s.Calls() - before; provider.ClassOf(err) != class || err == nil || n != 1 {
				t.Errorf("%s: %v after %d requests, expected %s after one", o.name, err, n, class)
			}
		}
	}
	s.is(t)
}

func clashes(t *testing.T, s *suite) {
	if s.Clash == nil {
		t.Skip("changes of the service take effect whatever others did meanwhile")
	}
	record, key := address("hr-b", time.Minute, "10.0.0.1"), []dns.Key{{Name: "hr-b", Type: "A"}}
	if !s.ClashDelete {
		s.Clash(false, 3)
		if err := s.service.Set(t.Context(), Zone, record); provider.ClassOf(err) != provider.Conflict {
			t.Errorf("set after three clashes: %v", err)
		}
		s.Clash(false, 2)
	}
	s.set(t, record...)
	s.is(t, record...)
	s.Clash(true, 3)
	if err := s.service.Delete(t.Context(), Zone, key); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("delete after three clashes: %v", err)
	}
	s.is(t, record...)
	s.Clash(true, 2)
	s.remove(t, key...)
	s.is(t)
}

// private: it is not what a name without an id means.
func private(t *testing.T, s *suite) {
	if s.Private == nil {
		t.Skip("the service has no private zones beside public ones")
	}
	s.Private()
	if bad := s.failed(t, Zone); bad != nil {
		t.Errorf("beside a private zone of its name, the zone is not in order: %v", bad)
	}
	s.set(t, whole()...)
	s.is(t, whole()...)
	s.shown(t, whole()...)
	s.remove(t, wholeKeys()...)
	s.is(t)
}

// failed are the subjects of what a check finds fault with.
func (s *suite) failed(t *testing.T, zone string) []string {
	t.Helper()
	r, err := s.service.Check(t.Context(), zone)
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	var out []string
	for _, f := range r.Findings {
		if f.Verdict == provider.VerdictFailed || f.Verdict == provider.VerdictWarning && !s.Unseen {
			out = append(out, f.Subject)
		}
	}
	return out
}

func missingZone(t *testing.T, s *suite) {
	if bad := s.failed(t, Zone); bad != nil {
		t.Errorf("a healthy zone: %v", bad)
	}
	if bad := s.failed(t, Missing); len(bad) != 1 || !strings.Contains(bad[0], Missing) {
		t.Errorf("a zone that is not there: %v", bad)
	}
	for _, o := range s.ops(t, Missing) {
		if err := o.call(); err == nil || provider.ClassOf(err) != provider.NotFound {
			t.Errorf("%s: %v, expected not found", o.name, err)
		}
	}
	s.is(t)
}

func refused(t *testing.T, s *suite) {
	s.Expire()
	for _, o := range s.ops(t, Zone) {
		if err := o.call(); err == nil || provider.ClassOf(err) != provider.Unauthenticated {
			t.Errorf("%s: %v, expected unauthenticated", o.name, err)
		}
	}
	r, err := s.service.Check(t.Context(), Zone)
	if provider.ClassOf(err) != provider.Unauthenticated && (err != nil || r.OK()) {
		t.Errorf("check: %+v, %v", r, err)
	}
}

func rights(t *testing.T, s *suite) {
	if s.Lack == nil {
		t.Skip("harness cannot take rights away")
	}
	for _, permission := range s.Checked {
		s.Lack(permission)
		if bad := s.failed(t, Zone); len(bad) != 1 || bad[0] != "permission "+permission {
			t.Errorf("without %s the check finds %q", permission, bad)
		}
	}
	s.Lack(s.Write)
	want := s.WriteClass
	if want == "" {
		want = provider.Forbidden
	}
	err := s.service.Set(t.Context(), Zone, address("hr-b", time.Minute, "10.0.0.1"))
	if err == nil || provider.ClassOf(err) != want || !strings.Contains(err.Error(), s.WriteHint) {
		t.Errorf("set without %s: %v, expected %s with the text %q", s.Write, err, want, s.WriteHint)
	}
	s.is(t)
}

func stranger(t *testing.T, s *suite) {
	if s.WrongCA == nil {
		t.Skip("harness has no service behind a private authority")
	}
	s.service = s.open(t, s.WrongCA)
	for _, o := range s.ops(t, Zone) {
		if err := o.call(); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(fmt.Sprint(err), "certificate") {
			t.Errorf("%s: %v, expected unauthenticated with a word about the certificate", o.name, err)
		}
	}
	s.is(t)
}

func givenUp(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	records, err := s.service.Records(ctx, Zone)
	if err == nil {
		t.Errorf("%d records were listed", len(records))
	}
	if err := s.service.Set(ctx, Zone, whole()); err == nil {
		t.Error("set says that it was done")
	}
	if err := s.service.Delete(ctx, Zone, wholeKeys()); err == nil {
		t.Error("delete says that it was done")
	}
	s.is(t)
}
