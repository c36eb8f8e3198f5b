package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"golang.org/x/oauth2"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// federatedTokenFile is set by the webhook of workload identity.
const federatedTokenFile = "AZURE_FEDERATED_TOKEN_FILE"

const (
	maxAssertion = 64 << 10
	// refreshBefore is how long before its end a token is replaced.
	refreshBefore = 5 * time.Minute
)

// agent names Headroom in requests.
type agent struct{}

// Do implements policy.Policy.
func (agent) Do(r *policy.Request) (*http.Response, error) {
	r.Raw().Header.Set("User-Agent", "headroom")
	return r.Next()
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// authorized adds an access token to each request. A token is fetched when it is
// needed, within the deadline of the call that needs it. The SDK's own policy is
// not used: there, callers wait for one another's tokens beyond their deadlines.
type authorized struct {
	next  http.RoundTripper
	fetch func(context.Context) (azcore.AccessToken, error)

	turn  chan struct{} // holds one entry while somebody looks at token
	token oauth2.Token
}

func newAuthorized(next http.RoundTripper, fetch func(context.Context) (azcore.AccessToken, error)) *authorized {
	return &authorized{next: next, fetch: fetch, turn: make(chan struct{}, 1)}
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.current(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := a.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		a.forget(token) // the next call asks for a new one
	}
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (a *authorized) CloseIdleConnections() {
	if c, ok := a.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (a *authorized) current(ctx context.Context) (string, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-a.turn }()
	if a.token.Valid() {
		return a.token.AccessToken, nil
	}
	token, err := a.fetch(ctx)
	if err != nil {
		return "", err
	}
	a.token = oauth2.Token{AccessToken: token.Token, Expiry: token.ExpiresOn.Add(-refreshBefore)}
	return token.Token, nil
}

func (a *authorized) forget(token string) {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	if a.token.AccessToken == token {
		a.token = oauth2.Token{}
	}
}

// tokens says where access tokens come from. The environment is read only where
// the settings hold no secret.
func (a Account) tokens() (func(context.Context) (azcore.AccessToken, error), error) {
	client, err := a.HTTPClient()
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = noRedirect
	where := a.cloud()
	scope := where.Services[cloud.ResourceManager].Audience + "/.default"
	tenant, id := a.TenantID, a.ClientID
	var credential confidential.Credential
	switch file := os.Getenv(federatedTokenFile); {
	case a.ClientSecret != "":
		if credential, err = confidential.NewCredFromSecret(a.ClientSecret); err != nil {
			return nil, provider.Errorf(provider.Invalid, "client_secret cannot be used: %w", err)
		}
	case file != "":
		tenant, id = fleet.Or(tenant, os.Getenv("AZURE_TENANT_ID")), fleet.Or(id, os.Getenv("AZURE_CLIENT_ID"))
		if tenant == "" || id == "" {
			return nil, provider.Errorf(provider.Unauthenticated, "%s is set, and neither the settings nor AZURE_TENANT_ID and AZURE_CLIENT_ID say for which tenant and client: set tenant_id and client_id", federatedTokenFile)
		}
		credential = confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
			return assertion(file)
		})
	default:
		return a.managedIdentity(scope)
	}
	authority := where.ActiveDirectoryAuthorityHost + tenant
	return func(ctx context.Context) (azcore.AccessToken, error) {
		// A client for each exchange: one that is kept answers the token that the
		// service has just refused from its own cache. The region is named so that
		// variables of the environment do not choose the service.
		app, err := confidential.New(authority, id, credential, confidential.WithHTTPClient(client),
			confidential.WithInstanceDiscovery(false), confidential.WithAzureRegion("DisableMsalForceRegion"))
		if err != nil {
			return azcore.AccessToken{}, provider.Errorf(provider.Invalid, "tenant_id, client_id or authority_host cannot be used: %w", err)
		}
		got, err := app.AcquireTokenByCredential(ctx, []string{scope})
		if err != nil {
			return azcore.AccessToken{}, tokenFault(err)
		}
		return azcore.AccessToken{Token: got.AccessToken, ExpiresOn: got.ExpiresOn}, nil
	}, nil
}

// managedIdentity asks the machine that the controller runs on.
func (a Account) managedIdentity(scope string) (func(context.Context) (azcore.AccessToken, error), error) {
	t, err := a.Transport()
	if err != nil {
		return nil, err
	}
	t.Proxy = nil // the address is one of the machine's own
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: provider.LimitAnswers(t), CheckRedirect: noRedirect},
		Retry:     policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true},
	}}
	if a.ClientID != "" {
		o.ID = azidentity.ClientID(a.ClientID)
	}
	const remedy = "set tenant_id, client_id and client_secret, or run the controller on Azure with a managed or workload identity"
	c, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil {
		return nil, provider.Errorf(provider.Unauthenticated, "there are no credentials: %s (%w)", remedy, err)
	}
	return func(ctx context.Context) (azcore.AccessToken, error) {
		token, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err == nil {
			return token, nil
		}
		if fault := tokenFault(err); provider.ClassOf(fault) == provider.Unauthenticated {
			return token, fault
		}
		return token, provider.Errorf(provider.Unauthenticated, "the settings hold no client_secret, and this machine gives no token of a managed identity: %s", remedy)
	}, nil
}

// assertion reads the token of the controller's own surroundings, which is
// replaced now and then.
func assertion(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the platform names its own file
	if err != nil {
		return "", fmt.Errorf("the token of the workload identity cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxAssertion))
	if err != nil {
		return "", fmt.Errorf("the token of the workload identity cannot be read: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// remedies says what to do about codes of the token service.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var remedies = map[int]string{
	7000215: "client_secret is wrong: paste the value of the secret, not its id",
	7000222: "client_secret has expired: make a new one in the app registration",
	7000112: "the app is disabled: enable it in the tenant's enterprise applications",
	700016:  "the tenant knows no app with this client_id: correct client_id or tenant_id",
	90002:   "there is no such tenant: correct tenant_id, or authority when it is one of another cloud",
	900023:  "tenant_id is neither the id of a tenant nor one of its domains: correct it",
	500011:  "the tenant does not know the audience: correct audience or authority",
	70011:   "the token service does not know the audience: correct audience or authority",
	53003:   "a conditional access policy of the tenant forbids it: exempt the app",
	700024:  "the token of the workload identity is not valid at this time: correct the clock",
	70021:   "no federated credential of the app fits the workload's token: add one with its issuer and subject",
	700211:  "no federated credential of the app fits the issuer of the workload's token: add one",
	700213:  "no federated credential of the app fits the subject of the workload's token: add one",
}

// tokenFault says why no token was given. What the library says is not kept: it
// quotes whole requests.
func tokenFault(err error) error {
	var ours *provider.Error
	if errors.As(err, &ours) {
		return ours
	}
	resp := answerIn(err) //nolint:bodyclose // the library has read it, and put what it read in its place
	if resp == nil {
		if t := provider.TransportError(err); t != nil {
			t.Message = "fetching an access token: " + t.Message
			return t
		}
		return provider.Errorf(provider.Unauthenticated, "no access token can be had: %s", firstWords(err.Error()))
	}
	var said struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAssertion))
	_ = json.Unmarshal(text, &said) // a body of another form says nothing
	why := firstWords(said.Description)
	if why == "" {
		why = strings.TrimSpace(said.Code + " " + resp.Status)
	}
	out := &provider.Error{Class: provider.StatusClass(resp.StatusCode)}
	switch out.Class {
	case provider.Unavailable, provider.RateLimited:
		out.After = waitOf(resp.Header, time.Time{})
		out.Message = "the token service does not work at the moment (" + why + ")"
		return out
	default:
		out.Class = provider.Unauthenticated
	}
	remedy := "see that tenant_id, client_id and client_secret belong together"
	for _, code := range said.Codes {
		if r, ok := remedies[code]; ok {
			remedy = r
		}
	}
	if said.Code == "" {
		remedy = "the answer is none of the token service's: check authority, authority_host and the proxies in between"
	}
	out.Message = "no access token is given (" + why + "): " + remedy
	return out
}

// answerIn is the answer of the token service in an error of the libraries.
func answerIn(err error) *http.Response {
	var call msal.CallErr
	if errors.As(err, &call) {
		return call.Resp
	}
	var failed *azidentity.AuthenticationFailedError
	if errors.As(err, &failed) {
		return failed.RawResponse
	}
	return nil
}

// firstWords is the part of a text of the token service that is for people: the
// rest are traces and times.
func firstWords(text string) string {
	text, _, _ = strings.Cut(text, " Trace ID:")
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, "\r")
	return strings.TrimSpace(text[:min(len(text), 400)])
}
