package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/headroom-dev/headroom/internal/provider"
)

// scope is the one that covers machines, names and the question for permissions;
// what may be done is for IAM to say.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// authorized adds an access token to each request. A token is fetched when it is
// needed, within the deadline of the call that needs it.
type authorized struct {
	next  http.RoundTripper
	fetch func(context.Context) (*oauth2.Token, error)

	turn  chan struct{} // holds one entry while somebody looks at token
	token *oauth2.Token
}

func newAuthorized(credentials string, next http.RoundTripper) *authorized {
	a := &authorized{next: next, turn: make(chan struct{}, 1)}
	a.fetch = func(ctx context.Context) (*oauth2.Token, error) {
		// The library loses the cause of a failed exchange; it is kept here.
		watch := &watched{ctx: ctx, next: next}
		token, err := fetchToken(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: watch}), credentials)
		if err != nil {
			return nil, tokenFault(err, watch.failure)
		}
		return token, nil
	}
	return a
}

// fetchToken exchanges the service account's key for an access token; without a
// key, the surroundings are asked.
func fetchToken(ctx context.Context, credentials string) (*oauth2.Token, error) {
	if credentials != "" {
		config, err := google.JWTConfigFromJSON([]byte(credentials), scope)
		if err != nil {
			return nil, err
		}
		return config.TokenSource(ctx).Token()
	}
	found, err := google.FindDefaultCredentials(ctx, scope)
	if err != nil {
		return nil, provider.Errorf(provider.Unauthenticated, "there are no credentials: put a service account's key into credentials, run the controller on Google Cloud with a service account, or name a key file in GOOGLE_APPLICATION_CREDENTIALS")
	}
	return found.TokenSource.Token()
}

func tokenFault(err, transport error) error {
	var ours *provider.Error
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &ours):
		return err
	case errors.As(err, &refused) && refused.Response != nil:
		out := &provider.Error{Class: provider.StatusClass(refused.Response.StatusCode), Cause: err}
		date, _ := http.ParseTime(refused.Response.Header.Get("Date")) // zero where the answer has none
		if out.Class == provider.RateLimited {
			out.After = provider.RetryAfterHeader(refused.Response.Header, date)
		}
		if out.Class != provider.Unavailable && out.Class != provider.RateLimited {
			out.Class = provider.Unauthenticated
		}
		var said struct {
			Code string `json:"error"`
			Text string `json:"error_description"`
		}
		_ = json.Unmarshal(refused.Body, &said) // a body of another form says nothing
		why := strings.Trim(said.Code+": "+said.Text, ": ")
		if why == "" {
			why = refused.Response.Status
		}
		out.Message = "no access token is given for the service account (" + why + "): see that the account and its key exist and are enabled, or make a new key"
		if out.Class != provider.Unauthenticated {
			out.Message = "the token service does not work at the moment (" + why + ")"
		}
		return out
	case transport != nil:
		if t := provider.TransportError(transport); t != nil {
			t.Message = "fetching an access token: " + t.Message
			return t
		}
	}
	if t := provider.TransportError(err); t != nil {
		return t
	}
	return provider.Errorf(provider.Unauthenticated, "no access token can be had: %w", err)
}

// watched binds requests to a context and remembers why one failed.
type watched struct {
	ctx     context.Context //nolint:containedctx // lives as long as one exchange
	next    http.RoundTripper
	failure error
}

// RoundTrip implements http.RoundTripper.
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r.WithContext(w.ctx))
	if err != nil {
		w.failure = err
	}
	return resp, err
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
	token.SetAuthHeader(r)
	resp, err := a.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		a.forget(token) // the next call asks for a new one
	}
	return resp, err
}

func (a *authorized) current(ctx context.Context) (*oauth2.Token, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-a.turn }()
	if a.token.Valid() {
		return a.token, nil
	}
	token, err := a.fetch(ctx)
	if err == nil {
		a.token = token
	}
	return token, err
}

func (a *authorized) forget(token *oauth2.Token) {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	if a.token == token {
		a.token = nil
	}
}
