package azure_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/settings"
)

// findings are the subjects with the verdict.
func findings(t *testing.T, s *azure.Settings, verdict provider.Verdict) []string {
	t.Helper()
	r, err := opened(t, s).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		if f.Verdict == verdict {
			out = append(out, f.Subject)
		}
		if f.Verdict != provider.VerdictOK && (f.Remedy == "" || f.Message == "") {
			t.Errorf("no remedy or no message: %+v", f)
		}
	}
	return out
}

// roleOfPage is the custom role that the provider's page shows.
func roleOfPage(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/providers/azure.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page shows no role")
	}
	var role struct{ Actions []string }
	if err := json.Unmarshal(m[1], &role); err != nil {
		t.Fatal(err)
	}
	return role.Actions
}

// TestCheckNamesActions: with one action of the page's role missing, exactly that
// is named; with it back, nothing is.
func TestCheckNamesActions(t *testing.T) {
	t.Parallel()
	byImage := map[string]string{
		"Microsoft.Compute/images/read":                    "images/golden-7",
		"Microsoft.Compute/galleries/images/read":          "galleries/g/images/golden",
		"Microsoft.Compute/galleries/images/versions/read": "galleries/g/images/golden/versions/1.0.0",
	}
	// What only the catalog asks for, and what the check cannot do without saying so.
	elsewhere := []string{
		"Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/read", "Microsoft.Resources/subscriptions/locations/read",
		"Microsoft.MarketplaceOrdering/offerTypes/publishers/offers/plans/agreements/read",
	}
	all := roleOfPage(t)
	if len(all) < 30 {
		t.Fatalf("the role of the page has %d actions", len(all))
	}
	for _, action := range all {
		if slices.Contains(elsewhere, action) {
			continue
		}
		s, p := subscription(t)
		if strings.Contains(action, "/extensions/") {
			windows(s)
		}
		if image := byImage[action]; image != "" {
			s.Image = "/subscriptions/" + p.ID + "/resourceGroups/desktops/providers/Microsoft.Compute/" + image
		}
		if got := findings(t, s, provider.VerdictFailed); got != nil {
			t.Fatalf("a healthy subscription: %v", got)
		}
		p.Lack(action)
		if diff := cmp.Diff([]string{"permission " + action}, findings(t, s, provider.VerdictFailed)); diff != "" {
			t.Errorf("without %s:\n%s", action, diff)
		}
	}
}

// TestLeastRole: each action of the page's role that the life of a machine needs is
// needed: without it, something of that life is refused with its name.
func TestLeastRole(t *testing.T) {
	t.Parallel()
	life := func(t *testing.T, s *azure.Settings, server string) (all []error) {
		t.Helper()
		d := opened(t, s)
		see := func(err error) {
			if err != nil && provider.ClassOf(err) != provider.NotFound {
				all = append(all, err)
			}
		}
		_, err := d.Create(t.Context(), request(server))
		see(err)
		for _, err := range d.List(t.Context(), request(server).Tags.Owner()) {
			see(err)
		}
		_, err = d.Get(t.Context(), "hr-"+server)
		see(err)
		if c, ok := d.(provider.ConsoleReader); ok {
			_, err = c.Console(t.Context(), "hr-"+server, 100)
			see(err)
		}
		if r, ok := d.(provider.Remnants); ok {
			for _, err := range r.ListRemnants(t.Context(), request(server).Tags.Owner()) {
				see(err)
			}
			owned := request(server).Tags
			for kind, name := range map[string]string{"interface": "l-nic", "address": "l-ip", "disk": "l-os"} {
				see(r.DeleteRemnant(t.Context(), provider.Remnant{Kind: kind, ID: name, Name: name, Tags: owned}))
			}
		}
		see(d.Delete(t.Context(), "hr-"+server))
		return all
	}
	s, p := subscription(t)
	p.PlantRemnants("l", nil)
	if all := life(t, s, "ok"); all != nil {
		t.Fatalf("with the whole role: %v", all)
	}
	for _, action := range roleOfPage(t) {
		needed := strings.HasPrefix(action, "Microsoft.Compute/disks/") || strings.HasPrefix(action, "Microsoft.Compute/virtualMachines/") && !strings.Contains(action, "/extensions/") ||
			strings.HasPrefix(action, "Microsoft.Network/networkInterfaces/") || strings.HasPrefix(action, "Microsoft.Network/publicIPAddresses/") || strings.HasSuffix(action, "/join/action")
		if !needed {
			continue
		}
		s, p := subscription(t)
		p.PlantRemnants("l", nil)
		p.Lack(action)
		all := life(t, s, "x")
		named := slices.ContainsFunc(all, func(err error) bool {
			return provider.ClassOf(err) == provider.Forbidden && strings.Contains(strings.ToLower(err.Error()), "grant the app "+strings.ToLower(action))
		})
		if !named {
			t.Errorf("without %s: %v", action, all)
		}
	}
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*azure.Settings)
		verdict provider.Verdict
		want    []string
	}{
		"group":          {func(s *azure.Settings) { s.ResourceGroup = "nowhere" }, provider.VerdictFailed, []string{"resource group nowhere", "subnet office/desktops", "network security group desktops"}},
		"region":         {func(s *azure.Settings) { s.Region = "marsnorth" }, provider.VerdictFailed, []string{"region marsnorth", "subnet office/desktops", "network security group desktops"}},
		"size":           {func(s *azure.Settings) { s.VMSize = []string{"Standard_D9s_v5"} }, provider.VerdictFailed, []string{"size Standard_D9s_v5"}},
		"size denied":    {func(s *azure.Settings) { s.VMSize = []string{"Standard_M8ms"} }, provider.VerdictFailed, []string{"size Standard_M8ms"}},
		"zone denied":    {func(s *azure.Settings) { s.VMSize = []string{"Standard_E2s_v5"} }, provider.VerdictFailed, []string{"size Standard_E2s_v5 in zone 2"}},
		"zone":           {func(s *azure.Settings) { s.AvailabilityZones = []string{"3"}; s.VMSize = s.VMSize[:1] }, provider.VerdictFailed, []string{"size Standard_D2s_v5 in zone 3"}},
		"premium":        {func(s *azure.Settings) { s.VMSize = []string{"Standard_D2_v5"}; s.AvailabilityZones = nil }, provider.VerdictFailed, []string{"size Standard_D2_v5"}},
		"trusted launch": {func(s *azure.Settings) { s.SecurityType = "ConfidentialVM"; s.VMSize = s.VMSize[:1] }, provider.VerdictFailed, []string{"size Standard_D2s_v5"}},
		"generation": {func(s *azure.Settings) {
			s.SecurityType, s.Image = "TrustedLaunch", "Canonical:ubuntu-24_04-lts:server-gen1:latest"
		}, provider.VerdictFailed, []string{"security_type"}},
		"image":   {func(s *azure.Settings) { s.Image = "Canonical:ubuntu-99:server:latest" }, provider.VerdictFailed, []string{"image Canonical:ubuntu-99:server:latest"}},
		"version": {func(s *azure.Settings) { s.Image = "Canonical:ubuntu-24_04-lts:server:1.0.0" }, provider.VerdictFailed, []string{"image Canonical:ubuntu-24_04-lts:server:1.0.0"}},
		"system":  {func(s *azure.Settings) { windows(s); s.Image = "Canonical:ubuntu-24_04-lts:server:latest" }, provider.VerdictFailed, []string{"windows"}},
		"no plan": {func(s *azure.Settings) { s.Image = "acme:appliance:standard:latest" }, provider.VerdictFailed, []string{"plan"}},
		"terms": {func(s *azure.Settings) {
			s.Image, s.Plan = "acme:appliance:standard:latest", azure.Plan{Name: "standard", Product: "appliance", Publisher: "acme"}
		}, provider.VerdictFailed, []string{"terms of plan standard"}},
		"plan":          {func(s *azure.Settings) { s.Plan = azure.Plan{Name: "a", Product: "b", Publisher: "acme"} }, provider.VerdictFailed, []string{"plan", "terms of plan a"}},
		"subnet":        {func(s *azure.Settings) { s.Subnet = "office/other" }, provider.VerdictFailed, []string{"subnet office/other"}},
		"subnet abroad": {func(s *azure.Settings) { s.Subnet = "far/desktops" }, provider.VerdictFailed, []string{"subnet far/desktops"}},
		"firewall":      {func(s *azure.Settings) { s.NetworkSecurityGroup = "far" }, provider.VerdictFailed, []string{"network security group far"}},
		"community":     {func(s *azure.Settings) { s.Image = "/CommunityGalleries/acme-1/images/desk/versions/latest" }, provider.VerdictWarning, []string{"image /CommunityGalleries/acme-1/images/desk/versions/latest"}},
	} {
		s, _ := subscription(t)
		c.change(s)
		if diff := cmp.Diff(c.want, findings(t, s, c.verdict)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	s, p := subscription(t)
	p.Lock("CanNotDelete")
	if diff := cmp.Diff([]string{"lock keep"}, findings(t, s, provider.VerdictFailed)); diff != "" {
		t.Errorf("a lock:\n%s", diff)
	}
	other, _ := subscription(t)
	s.SubscriptionID = other.SubscriptionID
	if _, err := opened(t, s).Check(t.Context()); err == nil {
		if got := findings(t, s, provider.VerdictFailed); len(got) == 0 {
			t.Error("another app's subscription passes")
		}
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	s, _ := subscription(t)
	d, ok := opened(t, s).(provider.Catalog)
	if !ok {
		t.Fatal("no catalog")
	}
	for _, setting := range settings.Lookups(&azure.Settings{}) {
		if choices, err := d.Choices(t.Context(), setting); err != nil || len(choices) == 0 {
			t.Errorf("%s: %v, %v", setting, choices, err)
		}
	}
	if _, err := d.Choices(t.Context(), "colour"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("choices of colours: %v", err)
	}
}
