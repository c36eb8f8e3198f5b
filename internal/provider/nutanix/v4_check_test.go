package nutanix

import (
	"net/http"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
)

func TestV4Check(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	check := func(change func(*Settings)) map[string]provider.Finding {
		settings := settingsV4(s)
		change(&settings)
		r, err := driverV4(t, settings).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]provider.Finding{}
		for _, f := range r.Findings {
			if f.Verdict != provider.VerdictOK {
				found[f.Subject] = f
			}
		}
		return found
	}
	for name, tt := range map[string]struct {
		change  func(*Settings)
		subject string
	}{
		"in order":         {func(*Settings) {}, ""},
		"an API key":       {func(s *Settings) { s.Username, s.Password, s.APIKey = "", "", fake4.APIKey }, ""},
		"a wrong source":   {func(s *Settings) { s.VMCandidate = "x" }, "vm_candidate"},
		"a wrong cluster":  {func(s *Settings) { s.Cluster = "x" }, "cluster"},
		"a wrong subnet":   {func(s *Settings) { s.Subnet = "x" }, "subnet"},
		"a wrong category": {func(s *Settings) { s.Categories = map[string]string{"No Such": "x"} }, "category No Such"},
	} {
		found := check(tt.change)
		for _, warned := range []string{"api_version", "rights"} {
			if found[warned].Verdict != provider.VerdictWarning {
				t.Errorf("%s: no warning about %s", name, warned)
			}
			delete(found, warned)
		}
		if tt.subject == "" && len(found) > 0 || tt.subject != "" && (len(found) != 1 || found[tt.subject].Verdict != provider.VerdictFailed) {
			t.Errorf("%s: %v", name, found)
		}
	}
	if found := check(func(s *Settings) { s.Password = "wrong" }); len(found) != 1 || found["Prism Central"].Verdict != provider.VerdictFailed {
		t.Errorf("a wrong password: %v", found)
	}
	for operation, subject := range map[string]string{fake4.ListTasks: "tasks", fake4.ListClusters: "Prism Central"} {
		s.Refuse(operation, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
		if found := check(func(*Settings) {}); found[subject].Verdict == "" {
			t.Errorf("without the right to %s: %v", operation, found)
		}
	}
}
