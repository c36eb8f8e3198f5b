package openstack_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/openstack"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
	"github.com/headroom-dev/headroom/test/rigs/openstack/faultproxy"
)

// TestSignIn signs in in each way.
func TestSignIn(t *testing.T) {
	t.Parallel()
	p := newPlace(t, nil)
	password := func(s *openstack.Settings) {
		s.AuthMethod, s.ApplicationCredentialID, s.ApplicationCredentialSecret = "password", "", ""
		s.Username, s.Password, s.ProjectName, s.UserDomain, s.ProjectDomain = p.Name, p.Password, p.Name, "Default", "Default"
	}
	clouds := func(auth string) func(s *openstack.Settings) {
		return func(s *openstack.Settings) {
			text := "clouds:\n  here:\n    region_name: " + rig.RegionName + "\n    auth:\n      auth_url: " + s.AuthURL + "\n" + auth
			s.AuthMethod, s.CloudsYAML, s.Cloud, s.AuthURL, s.ApplicationCredentialID, s.ApplicationCredentialSecret, s.Region = "clouds_yaml", text, "here", "", "", "", ""
		}
	}
	for name, change := range map[string]func(*openstack.Settings){
		"application credential": nil,
		"password":               password,
		"password, domain IDs":   func(s *openstack.Settings) { password(s); s.UserDomain, s.ProjectDomain = "default", "default" },
		"clouds.yaml with a password": clouds(fmt.Sprintf("      username: %s\n      password: %s\n      project_name: %s\n      user_domain_name: Default\n      project_domain_name: Default\n",
			p.Name, p.Password, p.Name)),
		"clouds.yaml with an application credential": clouds(fmt.Sprintf("      application_credential_id: %s\n      application_credential_secret: %s\n    auth_type: v3applicationcredential\n",
			p.settings.ApplicationCredentialID, p.settings.ApplicationCredentialSecret)),
		"URL without a version": func(s *openstack.Settings) { s.AuthURL = strings.TrimSuffix(s.AuthURL, "/v3") },
		"endpoints of our own": func(s *openstack.Settings) {
			s.NovaEndpoint, s.GlanceEndpoint = p.proxy.URL("compute")+"/v2.1", p.proxy.URL("image")+"/v2"
			s.CinderEndpoint = p.proxy.URL("volume") + "/v3/%(project_id)s"
			s.Region = "NoSuchRegion" // so that the catalog cannot have helped
			s.BootFromVolume, s.VolumeSize = true, 1
			s.CinderMicroversion = "3.50"
		},
	} {
		report, err := p.driver(t, change).Check(t.Context())
		if err != nil || !report.OK() {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
	}
	for name, tc := range map[string]struct {
		change func(*openstack.Settings)
		class  provider.Class
		says   string
	}{
		"wrong secret":       {func(s *openstack.Settings) { s.ApplicationCredentialSecret = "x" + s.ApplicationCredentialSecret }, provider.Unauthenticated, "does not accept the credential"},
		"wrong password":     {func(s *openstack.Settings) { password(s); s.Password = "x" + s.Password }, provider.Unauthenticated, "does not accept the credential"},
		"wrong project":      {func(s *openstack.Settings) { password(s); s.ProjectName = "nowhere" }, provider.Unauthenticated, "project"},
		"unknown credential": {func(s *openstack.Settings) { s.ApplicationCredentialID = strings.Repeat("a", 32) }, provider.Unauthenticated, "does not accept the credential"},
		"no keystone":        {func(s *openstack.Settings) { s.AuthURL = p.proxy.URL("image") }, provider.Invalid, "auth_url"},
		"wrong port":         {func(s *openstack.Settings) { s.AuthURL = "https://127.0.0.1:9/v3" }, provider.Unavailable, "nothing listens"},
		"wrong region":       {func(s *openstack.Settings) { s.Region = "Atlantis" }, provider.Invalid, "Atlantis"},
		"wrong scheme":       {func(s *openstack.Settings) { s.AuthURL = strings.Replace(s.AuthURL, "https://", "http://", 1) }, "", "HTTP"},
	} {
		_, err := p.driver(t, tc.change).Get(t.Context(), nothing)
		if err == nil || tc.class != "" && provider.ClassOf(err) != tc.class || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, expected %s with %q", name, err, tc.class, tc.says)
		}
	}
}

// TestCheckNamesTheMissingRule takes each rule away that is needed, in turn.
func TestCheckNamesTheMissingRule(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	volumes := func(s *openstack.Settings) { s.BootFromVolume, s.VolumeSize = true, 1 }
	report, err := p.driver(t, volumes).Check(t.Context())
	if err != nil || !report.OK() {
		t.Fatalf("with all rules: %v, %+v", err, report)
	}
	missing := 0
	for i, rule := range published {
		rules := append(append([]rig.Rule{}, published[:i]...), published[i+1:]...)
		id, secret, err := p.Credential(t.Context(), fmt.Sprintf("without-%d", i), rules)
		if err != nil {
			t.Fatal(err)
		}
		report, err := p.driver(t, func(s *openstack.Settings) {
			volumes(s)
			s.ApplicationCredentialID, s.ApplicationCredentialSecret = id, secret
		}).Check(t.Context())
		if err != nil {
			t.Errorf("without %v: %v", rule, err)
			continue
		}
		var failed []string
		for _, f := range report.Findings {
			if f.Verdict == provider.VerdictFailed {
				failed = append(failed, f.Subject+": "+f.Message)
			}
		}
		switch {
		case len(failed) == 0: // a rule that we do not need, or that another covers
		case len(failed) > 1:
			t.Errorf("without %v the check names %d rights: %q", rule, len(failed), failed)
		default:
			missing++
			told := ruleTold.FindStringSubmatch(failed[0])
			if told == nil || told[1] != rule.Service || !allows([]rig.Rule{rule}, faultproxy.Call{Service: rule.Service, Method: told[2], Path: told[3]}) {
				t.Errorf("without %v the check says %q", rule, failed[0])
			}
		}
	}
	// POST and DELETE of servers and volumes, GET of volumes/detail, images and
	// flavors. servers/detail and servers/ID cover one another: * matches both.
	if missing < 6 {
		t.Errorf("only %d rules were missed", missing)
	}
}

// ruleTold finds the rule that a message asks for.
var ruleTold = regexp.MustCompile(`\{service: (\w+), method: (\w+), path: ([^}]+)\}`)

// TestRevoked takes a credential away while a driver works with it.
func TestRevoked(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	d := p.driver(t, nil)
	id := create(t, d, p.request("01JREVOKED")).ID
	becomes(t, d, id, provider.StateRunning)
	if err := p.Revoke(t.Context(), p.id); err != nil {
		t.Fatal(err)
	}
	// Services believe a token for a while.
	eventually(t, time.Minute, func() error {
		_, err := d.Get(t.Context(), id)
		if provider.ClassOf(err) != provider.Unauthenticated || err == nil {
			return fmt.Errorf("get: %w", err)
		}
		return nil
	})
	for _, err := range d.List(t.Context(), p.request("x").Tags.Owner()) {
		if provider.ClassOf(err) != provider.Unauthenticated || err == nil {
			t.Errorf("list: %v", err)
		}
	}
}

// TestTokenExpires ends a token and not its credential.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	// Keystone cannot end a token of a credential with access rules.
	p := newPlace(t, nil)
	d := p.driver(t, nil)
	if _, err := d.Get(t.Context(), nothing); provider.ClassOf(err) != provider.NotFound {
		t.Fatal(err)
	}
	first := p.signIns()
	token := p.proxy.Calls()[len(p.proxy.Calls())-1].Token
	admin, err := p.rig.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.RevokeToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if _, err := d.Get(t.Context(), nothing); provider.ClassOf(err) != provider.NotFound {
			t.Fatalf("a driver whose token ended: %v", err)
		}
		if p.signIns() == first {
			return fmt.Errorf("the driver has signed in %d times", first)
		}
		return nil
	})
	// And in the middle of a listing, for several callers at once.
	p.proxy.Inject(faultproxy.Fault{Service: "compute", BadToken: true, Times: 3})
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			_, err := d.Get(context.WithoutCancel(t.Context()), nothing)
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; provider.ClassOf(err) != provider.NotFound {
			t.Errorf("with a token that ended: %v", err)
		}
	}
}

func (p *place) signIns() int {
	n := 0
	for _, c := range p.proxy.Calls() {
		if signIn(c) && c.Status == http.StatusCreated {
			n++
		}
	}
	return n
}
