package aws_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestRoles: the role's credentials are fetched once for many calls, renewed when
// they have ended, and whose fault it is when not is told.
func TestRoles(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.AssumeRoleARN, s.ExternalID = "arn:aws:iam::123456789012:role/headroom", "desk-7"
	d := opened(t, s)
	if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "trust policy") {
		t.Errorf("a role that may not be assumed: %v", err)
	}
	a.Role(s.AssumeRoleARN, "another")
	if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "external_id") {
		t.Errorf("another external id: %v", err)
	}
	a.Role(s.AssumeRoleARN, s.ExternalID)
	for range 3 {
		if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.NotFound {
			t.Fatal(err)
		}
	}
	if n := a.Minted(); n != 1 {
		t.Errorf("the role was assumed %d times", n)
	}
	a.EndRoles()
	for n, want := range []provider.Class{provider.Unauthenticated, provider.NotFound} {
		if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != want {
			t.Errorf("call %d after the end of the role's credentials: %v, expected %s", n, err, want)
		}
	}
	r, err := d.Check(t.Context())
	if err != nil || !slices.ContainsFunc(r.Findings, func(f provider.Finding) bool { return strings.Contains(f.Message, "assumed-role/headroom") }) {
		t.Errorf("check: %+v, %v", r, err)
	}
	if i, err := d.Create(t.Context(), request("a")); err != nil || i.ID == "" {
		t.Errorf("create by the role: %v", err)
	}
}

// TestPasswords: a key of another pair does not decrypt, and says so.
func TestPasswords(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	key := testKey(t)
	s.AMIID, s.KeyName, s.PrivateKey, s.RetrieveWindowsPassword = "ami-000000000000000e0", "desk", pemOf(key), true
	d := opened(t, s)
	id := create(t, d, "a").ID
	if err := a.MakePassword(id, "secret-7", &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	p, ok := d.(provider.PasswordReader)
	if !ok {
		t.Fatal("reads no passwords")
	}
	if got, err := p.Password(t.Context(), id); err != nil || got.Password != "secret-7" {
		t.Errorf("%v", err)
	}
	foreign := otherKey(t)
	if err := a.MakePassword(id, "secret-7", &foreign.PublicKey); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Password(t.Context(), id); provider.ClassOf(err) != provider.Unsupported || !strings.Contains(err.Error(), "key pair desk") || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("with another key: %v", err)
	}
}
