package azure_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestTokens: one access token serves many calls, also when they come at once; one
// that is refused is replaced.
func TestTokens(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, err := range d.List(context.WithoutCancel(t.Context()), request("a").Tags.Owner()) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.Tokens(); n != 1 {
		t.Errorf("%d tokens were fetched for eight listings", n)
	}
	p.Spoil(fakeazure.Fault{Status: 401, Code: "ExpiredAuthenticationToken", Message: "The access token expiry UTC time is earlier than current UTC time."})
	for i, want := range []provider.Class{provider.Unauthenticated, provider.NotFound} {
		if _, err := d.Get(t.Context(), "x"); provider.ClassOf(err) != want {
			t.Errorf("call %d: %v, expected %s", i, err, want)
		}
	}
	if n := p.Tokens(); n != 2 {
		t.Errorf("%d tokens, expected a second after the refusal", n)
	}
}

// TestTokenService: what is wrong at the token service is told apart, and no error
// shows the secret.
func TestTokenService(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*azure.Settings)
		class  provider.Class
		says   string
	}{
		"secret":   {func(s *azure.Settings) { s.ClientSecret = "wrong-s3cr3t~value" }, provider.Unauthenticated, "AADSTS7000215"},
		"app":      {func(s *azure.Settings) { s.ClientID = "00000000-0000-4000-8000-00000000dead" }, provider.Unauthenticated, "correct client_id"},
		"tenant":   {func(s *azure.Settings) { s.TenantID = "nobody.example.com" }, provider.Unauthenticated, "AADSTS90002"},
		"audience": {func(s *azure.Settings) { s.Audience = "https://graph.example.com" }, provider.Unauthenticated, "AADSTS500011"},
		"path":     {func(s *azure.Settings) { s.AuthorityHost += "/subscriptions" }, provider.Unauthenticated, ""},
		"dead":     {func(s *azure.Settings) { s.AuthorityHost = "https://127.0.0.1:1" }, provider.Unavailable, "fetching an access token"},
		"foreign":  {func(s *azure.Settings) { s.CABundle = providertest.OtherAuthority(t) }, provider.Unauthenticated, "certificate"},
	} {
		s, _ := subscription(t)
		c.change(s)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := opened(t, s).Get(ctx, "x")
		cancel()
		if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), s.ClientSecret) {
			t.Errorf("%s: %v, expected %s with %q", name, err, c.class, c.says)
		}
	}
	s, p := subscription(t)
	p.Expire(true)
	if _, err := opened(t, s).Get(t.Context(), "x"); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("a secret that has expired: %v", err)
	}
}

// TestHostileEnvironment: nothing of the controller's environment reaches a config
// that names a secret.
func TestHostileEnvironment(t *testing.T) {
	s, p := subscription(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("somebody-elses"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AZURE_TENANT_ID": "evil.example.com", "AZURE_CLIENT_ID": "00000000-0000-4000-8000-00000000dead", "AZURE_CLIENT_SECRET": "evil", "AZURE_FEDERATED_TOKEN_FILE": file,
		"AZURE_AUTHORITY_HOST": "https://127.0.0.1:1/", "AZURE_REGIONAL_AUTHORITY_NAME": "evilregion", "MSAL_FORCE_REGION": "evilregion", "REGION_NAME": "evilregion",
		"AZURE_TOKEN_CREDENTIALS": "dev", "AZURE_USERNAME": "evil", "AZURE_PASSWORD": "evil", "AZURE_ADDITIONALLY_ALLOWED_TENANTS": "*", "AZURE_CLIENT_CERTIFICATE_PATH": file,
		"IDENTITY_ENDPOINT": "https://127.0.0.1:1/", "IDENTITY_HEADER": "evil", "MSI_ENDPOINT": "https://127.0.0.1:1/", "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1", "AZURE_SDK_GO_LOGGING": "all",
	} {
		t.Setenv(name, value)
	}
	if _, err := opened(t, s).Create(t.Context(), request("a")); err != nil {
		t.Errorf("with a secret: %v", err)
	}
	// Without a secret the surroundings are what is meant: here a workload identity
	// of another name, which the settings correct.
	s.ClientSecret = ""
	if _, err := opened(t, s).Get(t.Context(), "hr-a"); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("a workload's token that is not trusted: %v", err)
	}
	if err := os.WriteFile(file, []byte(p.Federated+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := opened(t, s).Get(t.Context(), "hr-a"); err != nil {
		t.Errorf("a workload's token: %v", err)
	}
	s.TenantID, s.ClientID = "", ""
	t.Setenv("AZURE_TENANT_ID", p.Tenant)
	t.Setenv("AZURE_CLIENT_ID", p.Client)
	if _, err := opened(t, s).Get(t.Context(), "hr-a"); err != nil {
		t.Errorf("a workload identity by the environment alone: %v", err)
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	t.Setenv("MSI_ENDPOINT", "")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := opened(t, s).Get(ctx, "hr-a"); err == nil {
		t.Error("a managed identity answers where there is none")
	}
}
