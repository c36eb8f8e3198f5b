// Package docs_test keeps the reference pages true: what they say of commands,
// objects, settings and operations is written from the code. `make docs` writes
// them anew, and the test fails when they are stale.
package docs_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/api"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/all"
	"github.com/headroom-dev/headroom/internal/settings"
)

var update = flag.Bool("update", false, "write the pages instead of comparing them")

// fresh compares a page with what the code says, or writes it.
func fresh(t *testing.T, page, want string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("%v; make docs writes it", err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("docs/%s is stale, make docs mends it (-page +code):\n%s", page, diff)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Objects\n\nWhat the manifests of each kind can say. Every manifest has `apiVersion: " + fleet.APIVersion + "`, `kind`, `metadata` (`name`, `labels`) and `spec`; the tables list the fields of `spec`.\n")
	for _, k := range []struct {
		kind fleet.Kind
		spec any
	}{
		{fleet.KindZone, &fleet.ZoneSpec{}},
		{fleet.KindPool, &fleet.PoolSpec{}},
		{fleet.KindVMProvider, &fleet.VMProviderSpec{}},
		{fleet.KindDNSProvider, &fleet.DNSProviderSpec{}},
		{fleet.KindAutoscaleConfig, &fleet.AutoscaleConfigSpec{}},
		{fleet.KindSchedule, &fleet.ScheduleSpec{}},
		{fleet.KindStaging, &fleet.StagingSpec{}},
	} {
		b.WriteString("\n" + settings.Markdown(string(k.kind), k.spec))
	}
	fresh(t, "reference/objects.md", b.String())
}

// TestProviders writes the table of settings into the page of each kind of
// provider. A kind without a page fails.
func TestProviders(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- settings:begin -->\n", "<!-- settings:end -->\n"
	for _, k := range all.Kinds(nil) {
		page := "providers/" + k.Name + ".md"
		text, err := os.ReadFile(page)
		if err != nil {
			t.Errorf("the provider kind has no page: %v", err)
			continue
		}
		before, rest, ok := strings.Cut(string(text), begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Errorf("docs/%s does not say where its settings go: it needs the lines %q and %q", page, begin, end)
			continue
		}
		fresh(t, page, before+begin+settings.Markdown("Settings", k.NewSettings())+end+after)
	}
}

// TestCosts writes what the price lists cover into the guide.
func TestCosts(t *testing.T) {
	t.Parallel()
	const page, begin, end = "guide/costs.md", "<!-- coverage:begin -->\n", "<!-- coverage:end -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/%s does not say where the coverage goes: it needs the lines %q and %q", page, begin, end)
	}
	rows, err := price.Rows()
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, page, before+begin+price.Coverage(rows)+end+after)
}

// TestDNSKinds writes the settings of the kinds of DNS services.
func TestDNSKinds(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# DNS services\n\nWhat `spec.settings` of a DNSProvider can say, by `spec.provider`. [DNS names](../guide/dns.md) is the guide.\n")
	for _, k := range all.DNSKinds() {
		b.WriteString("\n" + settings.Markdown("`"+k.Name+"`: "+k.Title, k.NewSettings()))
	}
	fresh(t, "reference/dns.md", b.String())
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	document, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, "reference/openapi.json", string(document))
}

// TestCommands compares the pages of the commands with what the binary says.
func TestCommands(t *testing.T) {
	t.Parallel()
	const dir = "reference/cli"
	fromCode := t.TempDir()
	binary := filepath.Join(t.TempDir(), "headroom")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/headroom").CombinedOutput(); err != nil {
		t.Fatalf("building headroom: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), binary, "docs", "--dir", fromCode).CombinedOutput(); err != nil {
		t.Fatalf("writing the pages: %v\n%s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(fromCode, "*.md"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages of commands, error %v", len(pages), err)
	}
	want := map[string]bool{}
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		want[filepath.Base(p)] = true
		fresh(t, filepath.Join(dir, filepath.Base(p)), string(text))
	}
	there, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range there {
		if want[filepath.Base(p)] {
			continue
		}
		if !*update {
			t.Errorf("docs/%s describes a command that does not exist", p)
		} else if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}
