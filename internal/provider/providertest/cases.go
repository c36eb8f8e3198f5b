package providertest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

type testCase struct {
	name string
	run  func(*testing.T, *suite)
}

// cases in the order in which a driver is best made to pass them.
func cases() []testCase {
	return []testCase{
		{"describes itself", describesItself},
		{"check creates nothing", checkCreatesNothing},
		{"check names the right that is missing", missingRight},
		{"life of a machine", life},
		{"tags round trip", tagsRoundTrip},
		{"unknown ids", unknownIDs},
		{"create is idempotent on the token", sameToken},
		{"a repeated create with another body", otherBody},
		{"create after a lost answer", lostCreate},
		{"delete after a lost answer", lostDelete},
		{"a machine that is shown late", shownLate},
		{"another driver sees the machines", secondDriver},
		{"list shows only ours", onlyOurs},
		{"list shows all pages", allPages},
		{"list can be left early", leaveEarly},
		{"incomplete list is an error", brokenList},
		{"foreign machine is not deleted", foreignDelete},
		{"remnants are found and removed", remnants},
		{"incomplete list of remnants is an error", brokenRemnants},
		{"offers", offers},
		{"choices for settings", choices},
		{"a machine that stops", stopped},
		{"a machine that the cloud gives up", givenUp},
		{"console", console},
		{"user data arrives byte for byte", userData},
		{"user data of the largest size arrives, larger is refused", userDataLimit},
		{"every object bears the tags", everythingTagged},
		{"a certificate of another authority is refused", wrongAuthority},
		{"credentials that expire and come back", expiredCredentials},
		{"a service that hangs", hangingService},
		{"override", override},
		{"an override takes nothing of ours away", hostileOverride},
		{"requests are shown without secrets", rendered},
		{"costs", costs},
		{"a script runs once", scriptOnce},
		{"notice of an interruption", interruption},
		{"password of the administrator", password},
		{"ended context", endedContext},
		{"eight creates at once", manyCreates},
		{"eight creates with one token", oneToken},
		{"error classes", errorClasses},
	}
}

func describesItself(t *testing.T, s *suite) {
	k := s.Kind
	if k.Name == "" || k.Title == "" || k.About == "" || k.NewSettings == nil || k.NewSettings() == nil {
		t.Errorf("the kind lacks a name, a title, a sentence about it or settings: %+v", k)
	}
	if k.NewSettings != nil {
		for _, problem := range settings.CheckDefinition(k.NewSettings()) {
			t.Errorf("settings: %s", problem)
		}
	}
	if k.Defaults.CallTimeout > provider.MaxCallTimeout {
		t.Errorf("call timeout is %v, at most %v is allowed", k.Defaults.CallTimeout, provider.MaxCallTimeout)
	}
	if k.Defaults.Grace <= 0 || k.Defaults.BusyInterval <= 0 || k.Defaults.RestInterval < k.Defaults.BusyInterval {
		t.Errorf("grace and intervals must be set, with the interval at rest not below the busy one: %+v", k.Defaults)
	}
}

func checkCreatesNothing(t *testing.T, s *suite) {
	before := s.leftovers(t)
	r, err := s.driver.Check(t.Context())
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	if len(r.Findings) == 0 || !r.OK() {
		t.Errorf("a healthy account must pass with at least one finding: %+v", r)
	}
	for _, f := range r.Findings {
		if f.Subject == "" || f.Verdict == "" {
			t.Errorf("finding without subject or verdict: %+v", f)
		}
		if f.Verdict != provider.VerdictOK && f.Remedy == "" {
			t.Errorf("finding without a remedy: %+v", f)
		}
	}
	if diff := cmp.Diff(before, s.leftovers(t)); diff != "" {
		t.Errorf("check changed the account:\n%s", diff)
	}
}

func (s *suite) leftovers(t *testing.T) []string {
	t.Helper()
	if s.Leftovers == nil {
		return nil
	}
	return s.Leftovers(t)
}

func life(t *testing.T, s *suite) {
	o := owners()[0]
	req := s.request(o)
	i := s.create(t, req)
	i = s.running(t, i.ID)
	if i.Name != req.Name {
		t.Errorf("the machine is called %q, asked for %q", i.Name, req.Name)
	}
	if s.Addresses != nil {
		want := s.Addresses(t, i.ID)
		s.eventually(t, func() string {
			return cmp.Diff(want, s.list(t, o)[i.ID].Addresses)
		})
	}
	listed := s.shown(t, o, 1)[i.ID]
	again := s.running(t, i.ID)
	for what, diff := range map[string]string{
		"the listing and get":  cmp.Diff(looks(i), looks(listed)),
		"two looks one by one": cmp.Diff(looks(i), looks(again)),
	} {
		if diff != "" {
			t.Errorf("%s show the machine differently:\n%s", what, diff)
		}
	}
	if err := s.driver.Delete(t.Context(), i.ID); err != nil {
		t.Fatalf("delete: %v", err)
	}
	switch err := s.driver.Delete(t.Context(), i.ID); {
	case provider.ClassOf(err) == provider.NotFound && err != nil:
		s.last(t, "the repeated delete")
	case err != nil:
		t.Fatalf("repeated delete: %v", err)
	}
	s.gone(t, i.ID)
	s.last(t, "get")
	if err := s.driver.Delete(t.Context(), i.ID); err != nil && provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of a machine that is gone: %v", err)
	}
	s.shown(t, o, 0)
	s.empty(t)
	if d, ok := s.raw.(provider.Remnants); ok {
		for r, err := range d.ListRemnants(t.Context(), o) {
			t.Errorf("after the delete a remnant is left: %+v, %v", r, err)
		}
	}
}

// looks are what does not change while a machine runs.
func looks(i provider.Instance) provider.Instance {
	return provider.Instance{ID: i.ID, Name: i.Name, Tags: i.Tags, Offer: i.Offer, CreatedAt: i.CreatedAt.UTC()}
}

func tagsRoundTrip(t *testing.T, s *suite) {
	req := s.request(owners()[0])
	i := s.create(t, req)
	if diff := cmp.Diff(req.Tags, i.Tags); diff != "" {
		t.Errorf("tags of create:\n%s", diff)
	}
	if diff := cmp.Diff(req.Tags, s.running(t, i.ID).Tags); diff != "" {
		t.Errorf("tags of get:\n%s", diff)
	}
	if diff := cmp.Diff(req.Tags, s.shown(t, owners()[0], 1)[i.ID].Tags); diff != "" {
		t.Errorf("tags of list:\n%s", diff)
	}
}

func unknownIDs(t *testing.T, s *suite) {
	i := s.create(t, s.request(owners()[0]))
	s.gone(t, i.ID)
	for _, id := range []string{i.ID, "", "../../etc", "no such machine", "-1"} {
		_, err := s.driver.Get(t.Context(), id)
		for op, err := range map[string]error{"get": err, "delete": s.driver.Delete(t.Context(), id)} {
			if c := provider.ClassOf(err); err == nil && op == "get" || err != nil && c != provider.NotFound && (c != provider.Invalid || id == i.ID) {
				t.Errorf("%s of id %q: %v, expected not_found (or invalid for an impossible id)", op, id, err)
			}
		}
	}
}

func sameToken(t *testing.T, s *suite) {
	req := s.request(owners()[0])
	first := s.create(t, req)
	second := s.create(t, req)
	if first.ID != second.ID {
		t.Errorf("two creates with one token made %s and %s", first.ID, second.ID)
	}
	s.running(t, first.ID)
	if third := s.create(t, req); first.ID != third.ID {
		t.Errorf("a create with the token of the running machine %s made %s", first.ID, third.ID)
	}
	s.shown(t, owners()[0], 1)
}

// otherBody repeats a create as a controller does whose config has changed
// since the first call, the answer to which is not known.
func otherBody(t *testing.T, s *suite) {
	req := s.request(owners()[0])
	first := s.create(t, req)
	s.running(t, first.ID)
	s.shown(t, owners()[0], 1)
	req.Bootstrap.UserData = []byte("#!/bin/sh\necho another script\n")
	again, err := s.driver.Create(t.Context(), req)
	switch {
	case err == nil && again.ID != first.ID:
		t.Errorf("a create with a used token and other user data made %s besides %s", again.ID, first.ID)
	case err != nil && provider.ClassOf(err).MadeNothing():
		t.Errorf("a create with a used token and other user data: the class says that there is no machine, and a second one would be made besides %s: %v", first.ID, err)
	}
	s.shown(t, owners()[0], 1)
}

func lostCreate(t *testing.T, s *suite) {
	if s.LoseCreate == nil {
		t.Skip("harness cannot lose the answer of a create")
	}
	req := s.request(owners()[0])
	s.LoseCreate(t)
	_, err := s.createWith(t, s.driver, req)
	if err == nil {
		t.Fatal("the answer was to be lost, but create succeeded")
	}
	if provider.ClassOf(err).MadeNothing() {
		t.Fatalf("the class says that nothing was made, but a machine was: %v", err)
	}
	// As the controller does: the listing shows it, and it is known by its server.
	s.shown(t, owners()[0], 1)
	l, err := s.client(s.driver).List(t.Context())
	if err != nil {
		t.Fatalf("listing after a lost create: %v", err)
	}
	found := l.Find(req.Tags.Server)
	if len(found) != 1 {
		t.Fatalf("the listing shows %d machines of server %s, expected the one whose create was lost", len(found), req.Tags.Server)
	}
	s.running(t, found[0].ID)
	if i := s.create(t, req); i.ID != found[0].ID {
		t.Errorf("the repeated create answered %s, the listing shows %s", i.ID, found[0].ID)
	}
	s.shown(t, owners()[0], 1)
}

func lostDelete(t *testing.T, s *suite) {
	if s.LoseDelete == nil {
		t.Skip("harness cannot lose the answer of a delete")
	}
	i := s.create(t, s.request(owners()[0]))
	s.running(t, i.ID)
	s.LoseDelete(t)
	if err := s.driver.Delete(t.Context(), i.ID); err == nil {
		t.Fatal("the answer was to be lost, but delete succeeded")
	}
	s.gone(t, i.ID)
	s.empty(t)
}

func secondDriver(t *testing.T, s *suite) {
	req := s.request(owners()[0])
	i := s.create(t, req)
	s.running(t, i.ID)
	s.shown(t, owners()[0], 1)
	other, _ := s.open(t)
	again, err := other.Create(t.Context(), req)
	if err != nil || again.ID != i.ID {
		t.Errorf("create with a used token through another driver: %s, %v; expected %s", again.ID, err, i.ID)
	}
	seen := 0
	for got, err := range other.List(t.Context(), owners()[0]) {
		if err != nil || got.ID != i.ID {
			t.Errorf("list of another driver: %+v, %v", got, err)
		}
		seen++
	}
	if seen != 1 {
		t.Errorf("another driver sees %d machines, expected 1", seen)
	}
	if err := other.Delete(t.Context(), i.ID); err != nil {
		t.Errorf("delete by another driver: %v", err)
	}
	s.gone(t, i.ID)
}

func offers(t *testing.T, s *suite) {
	d, ok := s.raw.(provider.Offerer)
	if !ok {
		t.Skip("driver has no offers")
	}
	names := d.Offers()
	if len(names) == 0 {
		t.Fatal("the driver has offers, but none now")
	}
	seen := map[string]bool{}
	for _, name := range names {
		if name == "" || seen[name] {
			t.Errorf("offer %q is empty or named twice in %q", name, names)
		}
		seen[name] = true
	}
	req := s.request(owners()[0])
	req.Offer = names[len(names)-1]
	i := s.create(t, req)
	if got := s.running(t, i.ID); got.Offer != req.Offer {
		t.Errorf("the machine was made as offer %q, asked for %q", got.Offer, req.Offer)
	}
}

func userData(t *testing.T, s *suite) {
	if s.UserData == nil {
		t.Skip("harness cannot read a machine's user data")
	}
	req := s.request(owners()[0])
	i := s.create(t, req)
	s.running(t, i.ID)
	if diff := cmp.Diff(string(req.Bootstrap.UserData), string(s.UserData(t, i.ID))); diff != "" {
		t.Errorf("user data:\n%s", diff)
	}
}
