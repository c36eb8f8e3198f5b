package provider_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

// basics are headers of basic authentication in which the secret begins at each
// of the three places that base64 knows.
func basics(secret string) []string {
	var all []string
	for _, user := range []string{"a", "ab", "abc"} {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
	}
	return all
}

// leaky answers errors full of secrets.
type leaky struct {
	provider.Driver
	secret string
}

func (l leaky) Create(_ context.Context, req provider.Request) (provider.Instance, error) {
	cause := fmt.Errorf("POST https://api/?key=%s: Authorization: Basic %s, token %s", l.secret, strings.Join(basics(l.secret), " "), req.Bootstrap.RegistrationToken)
	return provider.Instance{}, fmt.Errorf("outer %s: %w", l.secret, provider.Errorf(provider.Forbidden, "refused for %s: %w", l.secret, cause))
}

func (l leaky) Get(context.Context, string) (provider.Instance, error) {
	return provider.Instance{}, errors.New("plain error with " + l.secret)
}

func (l leaky) Delete(context.Context, string) error { panic("panic with " + l.secret) }

func (l leaky) List(context.Context, provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		yield(provider.Instance{ID: "1", Tags: request("a").Tags, Fault: "died with " + l.secret}, nil)
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	const secret = `p@ss/w0rd+"ü" \x`
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) {
		o.Driver, o.Secrets = leaky{o.Driver, secret}, []string{"", secret}
	})
	_, errCreate := r.Create(t.Context(), request("a"))
	wantClass(t, errCreate, provider.Forbidden)
	_, errGet := r.Get(t.Context(), "x")
	wantClass(t, errGet, provider.Unknown)
	l, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{l.All()[0].Fault}
	for _, err := range []error{errCreate, errGet} {
		for e := err; e != nil; e = errors.Unwrap(e) {
			texts = append(texts, fmt.Sprintf("%v %+v %#v", e, e, e))
		}
	}
	all := strings.Join(texts, "\n")
	leaks := []string{secret, "w0rd", "registration-a"}
	for _, b := range basics(secret) {
		leaks = append(leaks, b[8:16])
	}
	for _, leak := range leaks {
		if strings.Contains(all, leak) {
			t.Errorf("%q is shown in:\n%s", leak, all)
		}
	}
	if !strings.Contains(errCreate.Error(), "refused for [redacted]") {
		t.Errorf("too little is left of the message: %v", errCreate)
	}
}
