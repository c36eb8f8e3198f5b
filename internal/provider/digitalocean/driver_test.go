package digitalocean_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, v := range []any{&digitalocean.Settings{}, &digitalocean.DNSSettings{}} {
		for _, p := range settings.CheckDefinition(v) {
			t.Error(p)
		}
	}
	for text, want := range map[string]string{
		`{"token":"x","region":"fra1","image":"i","size":["s"],"tags":["not a tag"]}`:              "tags[0]",
		`{"token":"x","region":"fra1","image":"i","size":["s"],"endpoint":"api.digitalocean.com"}`: "endpoint",
		`{"token":"x","region":"fra1","image":"i","size":["s"],"ca_bundle":"-----BEGIN NOTHING"}`:  "ca_bundle",
		`{"token":"x","region":"fra1","image":"i","size":[]}`:                                      "size",
		`{"token":"x","region":"fra1","image":"i","size":["s"],"vpc_uuid":"default"}`:              "vpc_uuid",
		`{"region":"fra1","image":"i","size":["s"]}`:                                               "token",
		`{"token":"x","region":"fra1","image":"i","size":["s"],"firewal_name":"web"}`:              "firewal_name",
		`{"token":"x","region":"fra1","image":"i","size":["s","s"]}`:                               "size",
		`{"token":"x","region":"fra1","image":"i","size":["s"],"ipv6":"yes, please"}`:              "ipv6",
		`{"token":"x","region":"fra1","image":"i","size":["s"],"ssh_key_names":"ops"}`:             "ssh_key_names",
		`{"token":"x","region":"` + strings.Repeat("r", 65) + `","image":"i","size":["s"]}`:        "region",
	} {
		found := settings.DecodeJSON([]byte(text), &digitalocean.Settings{}, settings.Options{})
		if len(found) != 1 || !strings.HasPrefix(found[0].Path, want) {
			t.Errorf("%s: found %v, expected one fault at %s", text, found, want)
		}
	}
}

// TestDescriptionHolds: the proxy in front of the fake really refuses what the
// API does not take.
func TestDescriptionHolds(t *testing.T) {
	t.Parallel()
	c := open(t)
	if !c.validated {
		t.Skip("no validating proxy")
	}
	token, a := c.fake.NewAccount()
	client, err := provider.Connection{CABundle: c.ca}.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/v2/droplets", bytes.NewBufferString(`{"name":"x","size":"s-1vcpu-1gb","image":"i","ssh_keys":null}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 || a.Droplets() != 0 {
		t.Errorf("a request that breaks the description was answered with %s, and %d Droplets were made", resp.Status, a.Droplets())
	}
}

// TestFirewallOnce: the shared tag is made before the firewall gets it, and the
// firewall gets it once.
func TestFirewallOnce(t *testing.T) {
	t.Parallel()
	c := open(t)
	token, a := c.fake.NewAccount()
	s := settingsOf(c, token)
	s.FirewallName, s.SSHKeyNames, s.Tags = "web", []string{"ops"}, []string{"team:desk"}
	s.IPv6, s.Monitoring, s.Backups, s.VPCUUID = true, true, true, "5a4981aa-9653-4bd1-bef5-d6bff52042e4"
	d := opened(t, s)
	for _, server := range []string{"a", "b"} {
		i, err := d.Create(t.Context(), request(server))
		if err != nil {
			t.Fatal(err)
		}
		_, _, tags, _ := a.Droplet(dropletOf(i.ID))
		if diff := cmp.Diff([]string{"headroom-provider:01ji:p", "headroom-server:01ji:p:c:" + server, "team:desk"}, tags); diff != "" {
			t.Errorf("tags:\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"headroom-provider:01ji:p"}, a.FirewallTags()); diff != "" {
		t.Errorf("tags of the firewall:\n%s", diff)
	}
	s.FirewallName = "no such"
	_, err := opened(t, s).Create(t.Context(), request("c"))
	if provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), `no firewall named "no such"`) {
		t.Errorf("an unknown firewall: %v", err)
	}
	s.FirewallName, s.SSHKeyNames = "", []string{"nobody"}
	_, err = opened(t, s).Create(t.Context(), request("c"))
	if provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), `no SSH key named "nobody"`) {
		t.Errorf("an unknown key: %v", err)
	}
	if a.Droplets() != 2 {
		t.Errorf("%d Droplets", a.Droplets())
	}
}

// TestCheckNamesScopes: with one scope missing, exactly that is named.
func TestCheckNamesScopes(t *testing.T) {
	t.Parallel()
	c := open(t)
	token, a := c.fake.NewAccount()
	s := settingsOf(c, token)
	s.FirewallName, s.SSHKeyNames, s.VPCUUID = "web", []string{"ops"}, "5a4981aa-9653-4bd1-bef5-d6bff52042e4"
	d := opened(t, s)
	for _, scope := range []string{"account:read", "droplet:read", "tag:read", "sizes:read", "image:read", "ssh_key:read", "firewall:read", "vpc:read"} {
		a.Lack(scope)
		r, err := d.Check(t.Context())
		if err != nil {
			t.Fatalf("without %s: %v", scope, err)
		}
		var failed []string
		for _, f := range r.Findings {
			if f.Verdict == provider.VerdictFailed {
				failed = append(failed, f.Subject)
			}
		}
		if diff := cmp.Diff([]string{"scope " + scope}, failed); diff != "" {
			t.Errorf("without %s:\n%s", scope, diff)
		}
	}
	a.Lack("")
	s.Size, s.Image, s.Region = []string{"gpu-h100x1-80gb", "nothing"}, "7555620", "fra1"
	s.FirewallName, s.VPCUUID = "other", "00000000-0000-0000-0000-000000000000"
	r, err := opened(t, s).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, f := range r.Findings {
		if f.Verdict == provider.VerdictFailed {
			failed = append(failed, f.Subject)
		}
	}
	want := []string{"size gpu-h100x1-80gb", "size nothing", "firewall other", "VPC 00000000-0000-0000-0000-000000000000"}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("wrong references:\n%s", diff)
	}
	a.Expire(true)
	if _, err := d.Check(t.Context()); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("with a token that expired: %v", err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	c := open(t)
	token, _ := c.fake.NewAccount()
	d, ok := opened(t, settingsOf(c, token)).(provider.Catalog)
	if !ok {
		t.Fatal("no catalog")
	}
	for _, setting := range settings.Lookups(&digitalocean.Settings{}) {
		choices, err := d.Choices(t.Context(), setting)
		if err != nil || len(choices) == 0 {
			t.Errorf("%s: %v, %v", setting, choices, err)
		}
		for _, ch := range choices {
			if ch.Value == "gpu-h100x1-80gb" {
				t.Error("a size of another region is offered")
			}
		}
	}
}
