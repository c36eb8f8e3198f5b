package providertest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
)

func onlyOurs(t *testing.T, s *suite) {
	if s.Foreign != nil {
		s.Foreign(t)
	}
	ids := map[provider.Owner]string{}
	for _, o := range owners() {
		ids[o] = s.create(t, s.request(o)).ID
	}
	for _, o := range owners() {
		all := s.shown(t, o, 1)
		if _, ok := all[ids[o]]; !ok {
			t.Errorf("list of %+v shows %v, expected %s", o, all, ids[o])
		}
	}
	if s.Foreign == nil {
		t.Log("SKIPPED IN PART: harness makes no machine without marks")
	}
}

func allPages(t *testing.T, s *suite) {
	want := map[string]bool{}
	for range s.Pages {
		want[s.create(t, s.request(owners()[0])).ID] = true
	}
	got := map[string]bool{}
	for id := range s.shown(t, owners()[0], s.Pages) {
		got[id] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listing:\n%s", diff)
	}
}

func leaveEarly(t *testing.T, s *suite) {
	s.create(t, s.request(owners()[0]))
	s.create(t, s.request(owners()[0]))
	s.shown(t, owners()[0], 2)
	for _, err := range s.driver.List(t.Context(), owners()[0]) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		break
	}
	s.shown(t, owners()[0], 2)
}

func brokenList(t *testing.T, s *suite) {
	if s.BreakList == nil {
		t.Skip("harness cannot make a listing fail")
	}
	for range s.Pages {
		s.create(t, s.request(owners()[0]))
	}
	s.shown(t, owners()[0], s.Pages)
	s.BreakList(t)
	if l, err := s.client(s.driver).List(t.Context()); err == nil || l.Complete() {
		t.Errorf("a broken listing was taken as complete with %d machines", l.Len())
	}
	s.shown(t, owners()[0], s.Pages)
}

func foreignDelete(t *testing.T, s *suite) {
	c := s.client(s.driver)
	refuse := func(id, server, what string) {
		t.Helper()
		if err := c.Delete(t.Context(), id, server); provider.ClassOf(err) != provider.Conflict {
			t.Errorf("delete of %s: %v, expected conflict", what, err)
		}
	}
	ours := s.request(owners()[0])
	id := s.create(t, ours).ID
	s.running(t, id)
	refuse(id, "01janotherserver", "another server's machine")
	refuse(id, "", "a machine without naming its server")
	if i := s.running(t, id); i.ID != id {
		t.Errorf("the refused delete changed the machine: %+v", i)
	}
	for _, o := range owners()[1:] {
		req := s.request(o)
		other := s.create(t, req).ID
		s.running(t, other)
		refuse(other, req.Tags.Server, "a machine of "+o.Installation+" "+o.Provider)
		s.running(t, other)
	}
	if s.Foreign == nil || s.Exists == nil {
		t.Log("SKIPPED IN PART: harness makes no machine without marks or cannot look at it")
		return
	}
	foreign := s.Foreign(t)
	err := c.Delete(t.Context(), foreign, ours.Tags.Server)
	if cl := provider.ClassOf(err); cl != provider.Conflict && cl != provider.NotFound {
		t.Errorf("delete of a foreign machine: %v, expected conflict or not_found", err)
	}
	if !s.Exists(t, foreign) {
		t.Error("the foreign machine is gone")
	}
}

func remnants(t *testing.T, s *suite) {
	d := s.remnants(t)
	machine := s.request(owners()[0])
	s.create(t, machine)
	s.shown(t, owners()[0], 1)
	lost := map[provider.Tags]bool{}
	for range s.Pages {
		tags := s.request(owners()[0]).Tags
		s.LeaveRemnant(t, tags)
		lost[tags] = true
	}
	s.LeaveRemnant(t, s.request(owners()[1]).Tags)
	find := func() map[provider.Tags]provider.Remnant {
		all := map[provider.Tags]provider.Remnant{}
		for r, err := range d.ListRemnants(t.Context(), owners()[0]) {
			if s.errorOf(t, "list remnants", err) != nil {
				t.Fatalf("list remnants: %v", err)
			}
			if !lost[r.Tags] {
				t.Fatalf("a remnant that is not ours or belongs to a machine: %+v", r)
			}
			if r.Kind == "" || r.ID == "" {
				t.Fatalf("a remnant without kind or id: %+v", r)
			}
			all[r.Tags] = r
		}
		return all
	}
	s.eventually(t, func() string {
		if n := len(find()); n != len(lost) {
			return fmt.Sprintf("the remnants of %d machines are found, %d were left", n, len(lost))
		}
		return ""
	})
	c := s.client(s.raw)
	var removed provider.Remnant
	s.eventually(t, func() string {
		left := find()
		for _, r := range left {
			removed = r
			if err := c.DeleteRemnant(t.Context(), r); err != nil && provider.ClassOf(err) != provider.NotFound {
				return fmt.Sprintf("delete remnant: %v", err)
			}
		}
		if len(left) > 0 {
			return fmt.Sprintf("%d remnants are left", len(left))
		}
		return ""
	})
	if err := s.errorOf(t, "delete remnant", d.DeleteRemnant(t.Context(), removed)); err != nil && provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete of a remnant that is gone: %v, expected not_found", err)
	}
	s.shown(t, owners()[0], 1)
}

// remnants are the driver's, when the harness can leave one.
func (s *suite) remnants(t *testing.T) provider.Remnants {
	t.Helper()
	d, ok := s.raw.(provider.Remnants)
	if !ok {
		t.Skip("driver has no remnants")
	}
	if s.LeaveRemnant == nil {
		t.Skip("harness cannot leave a remnant")
	}
	return d
}

func brokenRemnants(t *testing.T, s *suite) {
	d := s.remnants(t)
	if s.BreakRemnants == nil {
		t.Skip("harness cannot make a listing of remnants fail")
	}
	for range s.Pages {
		s.LeaveRemnant(t, s.request(owners()[0]).Tags)
	}
	c := s.client(s.raw)
	s.eventually(t, func() string {
		if all, err := c.Remnants(t.Context()); err != nil || len(all) < s.Pages {
			return fmt.Sprintf("%d remnants are found (%v), %d were left", len(all), err, s.Pages)
		}
		return ""
	})
	s.BreakRemnants(t)
	failed := false
	for _, err := range d.ListRemnants(t.Context(), owners()[0]) {
		if failed {
			t.Error("list remnants: it goes on after an error")
			break
		}
		failed = s.errorOf(t, "list remnants", err) != nil
	}
	if !failed {
		t.Error("a broken listing of remnants was taken as complete")
	}
}
