package nutanix

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// notOK gives the findings that are not in order, by subject.
func notOK(t *testing.T, d *driver) map[string]provider.Finding {
	t.Helper()
	r, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]provider.Finding{}
	for _, f := range r.Findings {
		if f.Message == "" || f.Verdict != provider.VerdictOK && f.Remedy == "" {
			t.Errorf("finding without message or remedy: %+v", f)
		}
		if strings.HasPrefix(f.Message, f.Subject+": ") || strings.Contains(f.Message, f.Remedy) && f.Remedy != "" {
			t.Errorf("finding that says things twice: %+v", f)
		}
		if f.Verdict != provider.VerdictOK {
			found[f.Subject] = f
		}
	}
	return found
}

func allRights() []string {
	var all []string
	for _, r := range rights() {
		all = append(all, r.name)
	}
	return all
}

func TestCheckOfRights(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	if found := notOK(t, d); len(found) != 1 || found["rights"].Verdict != provider.VerdictWarning {
		t.Errorf("a user whose policies are not shown: %v", found)
	}
	s.Grant(allRights()...)
	if found := notOK(t, d); len(found) != 0 {
		t.Errorf("a user with every right: %v", found)
	}
	for _, right := range allRights() {
		s.Grant(slices.DeleteFunc(allRights(), func(r string) bool { return r == right })...)
		found := notOK(t, d)
		if f := found["right "+right]; len(found) != 1 || f.Verdict != provider.VerdictFailed || !strings.Contains(f.Remedy, right) {
			t.Errorf("without %s: %v", right, found)
		}
	}
	// Rights that the settings do not need are not asked for.
	settings := settingsOf(s)
	settings.Project, settings.Subnet, settings.Cluster = "", "", ""
	s.Grant(slices.DeleteFunc(allRights(), func(r string) bool { return r == "View_Project" || r == "View_Subnet" || r == "View_Cluster" })...)
	if found := notOK(t, driverOf(t, settings)); len(found) != 0 {
		t.Errorf("without needless rights: %v", found)
	}
}

func TestCheckOfReferences(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	s.Grant(allRights()...)
	for name, tt := range map[string]struct {
		change  func(*Settings)
		subject string
		says    string
	}{
		"candidate":       {func(s *Settings) { s.VMCandidate = "x" }, "vm_candidate", `named "x"`},
		"cluster":         {func(s *Settings) { s.Cluster = "x" }, "cluster", `named "x"`},
		"subnet":          {func(s *Settings) { s.Subnet = "x" }, "subnet", `named "x"`},
		"project":         {func(s *Settings) { s.Project = "x" }, "project", `named "x"`},
		"category":        {func(s *Settings) { s.Categories = map[string]string{"No Such": "x y"} }, "category No Such", `value "x y"`},
		"category value":  {func(s *Settings) { s.Categories = map[string]string{"Environment": "x"} }, "category Environment", `value "x"`},
		"wrong password":  {func(s *Settings) { s.Password = "wrong" }, "Prism Central", "Prism answered 401"},
		"wrong authority": {func(s *Settings) { s.CABundle = providertest.OtherAuthority(t) }, "Prism Central", "authority that is not trusted"},
		"wrong port":      {func(s *Settings) { s.Port = 1 }, "Prism Central", "nothing listens"},
	} {
		settings := settingsOf(s)
		tt.change(&settings)
		found := notOK(t, driverOf(t, settings))
		if f := found[tt.subject]; len(found) != 1 || f.Verdict != provider.VerdictFailed || !strings.Contains(f.Message, tt.says) {
			t.Errorf("%s: %v, expected one finding about %s that says %q", name, found, tt.subject, tt.says)
		}
	}
}

func TestCheckWarns(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	s.Grant(allRights()...)
	s.Change(s.ID("golden"), "ON", true)
	d := driverOf(t, settingsOf(s))
	found := notOK(t, d)
	var subjects []string
	for subject, f := range found {
		subjects = append(subjects, subject)
		if f.Verdict != provider.VerdictWarning {
			t.Errorf("%+v", f)
		}
	}
	slices.Sort(subjects)
	if diff := cmp.Diff([]string{"vm_candidate disks", "vm_candidate power"}, subjects); diff != "" {
		t.Error(diff)
	}
	s.Change(s.ID("golden"), "OFF", false)
	s.Refuse("GET /users/me", 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
	if found := notOK(t, d); len(found) != 2 || found["rights"].Verdict != provider.VerdictWarning || found["Prism Central"].Verdict != provider.VerdictWarning {
		t.Errorf("a user that may not see itself: %v", found)
	}
	s.Refuse("GET /roles/{uuid}", 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
	if found := notOK(t, d); len(found) != 1 || !strings.Contains(found["rights"].Message, "may not read its role") {
		t.Errorf("a user that may not read its role: %v", found)
	}
	s.Refuse(fakenutanix.ListMarks, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
	if found := notOK(t, d); len(found) != 1 || found["marks of machines"].Verdict != provider.VerdictFailed {
		t.Errorf("a user that may not read marks: %v", found)
	}
}
