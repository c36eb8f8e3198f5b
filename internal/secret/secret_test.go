package secret_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/secret"
)

func open(t *testing.T, path string) *secret.Keeper {
	t.Helper()
	k, err := secret.OpenKeeper(t.Context(), "file://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	k := open(t, path)
	want := map[string]string{"settings.token": "s3cret-value", "settings.auth.password": "ünïcode"}
	sealed, err := k.Seal(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("s3cret")) {
		t.Error("the envelope shows a secret")
	}
	got, err := open(t, path).Open(t.Context(), sealed) // after a restart
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"settings.auth.password", "settings.token"}, secret.Names(sealed)); diff != "" {
		t.Errorf("names:\n%s", diff)
	}
	if again, _ := k.Seal(t.Context(), want); bytes.Equal(sealed, again) {
		t.Error("two envelopes of the same values are equal")
	}
}

func TestNothingToSeal(t *testing.T) {
	t.Parallel()
	k := open(t, filepath.Join(t.TempDir(), "secret.key"))
	sealed, err := k.Seal(t.Context(), nil)
	if err != nil || sealed != nil {
		t.Fatalf("sealed %q, error %v", sealed, err)
	}
	if got, err := k.Open(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("opened %v, error %v", got, err)
	}
}

func TestWrongKeyAndDamage(t *testing.T) {
	t.Parallel()
	k := open(t, filepath.Join(t.TempDir(), "secret.key"))
	other := open(t, filepath.Join(t.TempDir(), "secret.key"))
	sealed, err := k.Seal(t.Context(), map[string]string{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Open(t.Context(), sealed)
	if !errors.Is(err, secret.ErrWrongKey) || !strings.Contains(err.Error(), k.ID()) || !strings.Contains(err.Error(), other.ID()) {
		t.Errorf("wrong key: %v", err)
	}
	for name, broken := range map[string][]byte{
		"another name":  bytes.Replace(sealed, []byte(`"names":["a"]`), []byte(`"names":["c"]`), 1),
		"cut off":       sealed[:len(sealed)-5],
		"later version": bytes.Replace(sealed, []byte(`"v":1`), []byte(`"v":9`), 1),
	} {
		if bytes.Equal(broken, sealed) {
			t.Fatalf("%s: the test does not change the envelope", name)
		}
		if got, err := k.Open(t.Context(), broken); err == nil {
			t.Errorf("%s: opened as %v", name, got)
		}
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	open(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	if rest, _ := os.ReadDir(filepath.Dir(path)); len(rest) != 1 {
		t.Errorf("files left behind: %v", rest)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenKeeper(t.Context(), "file://"+path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.WriteFile(path, []byte("bm90IGEga2V5Cg=="), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o600)
	_, err = secret.OpenKeeper(t.Context(), "file://"+path)
	if err == nil || strings.Contains(err.Error(), "bm90") {
		t.Errorf("a damaged key: %v", err)
	}
}

func TestTwoStartsMakeOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			k, err := secret.OpenKeeper(t.Context(), "file://"+path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("different keys: %v", ids)
		}
	}
}

func TestKeeperURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "file://", "file://relative/key", "base64key://c2VjcmV0", "awskms://x", "::"} {
		_, err := secret.OpenKeeper(t.Context(), bad)
		if err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDeriver(t *testing.T) {
	t.Parallel()
	master := secret.NewMaster()
	d, err := secret.NewDeriver(master)
	if err != nil {
		t.Fatal(err)
	}
	same, _ := secret.NewDeriver(master)
	other, _ := secret.NewDeriver(secret.NewMaster())
	token := d.Registration("01abc")
	if token != same.Registration("01abc") {
		t.Error("the same machine gets different tokens")
	}
	if id, ok := d.VerifyRegistration(token); !ok || id != "01abc" {
		t.Errorf("verified as %q, %v", id, ok)
	}
	for name, bad := range map[string]string{
		"another machine's hash": strings.Replace(token, "01abc", "01abd", 1),
		"for another purpose":    d.Checkin("01abc"),
		"of another master key":  other.Registration("01abc"),
		"cut off":                token[:len(token)-1],
		"longer":                 token + "A",
		"empty":                  "", "prefix only": "hrr_", "no id": "hrr__x", "no hash": "hrr_01abc",
	} {
		if id, ok := d.VerifyRegistration(bad); ok {
			t.Errorf("%s: verified as %q", name, id)
		}
	}
	if _, err := secret.NewDeriver([]byte("short")); err == nil {
		t.Error("a short master key was accepted")
	}
}
