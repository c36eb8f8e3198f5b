package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// newKeyPair writes a key and a certificate for 127.0.0.1 that it signs itself.
func newKeyPair(t *testing.T, dir, name string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, roots = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"), x509.NewCertPool()
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return certFile, keyFile, roots
}

// TestKeyPairIsCheckedFirst: a certificate that cannot be used is told before
// anything is opened or made.
func TestKeyPairIsCheckedFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, _ := newKeyPair(t, dir, "a")
	_, other, _ := newKeyPair(t, dir, "b")
	rubbish := filepath.Join(dir, "rubbish")
	if err := os.WriteFile(rubbish, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for name, c := range map[string]struct {
		cert, key string
		want      []string
	}{
		"no certificate":       {missing, key, []string{"--tls-cert", missing}},
		"no key":               {cert, missing, []string{"--tls-key", missing}},
		"the key of another":   {cert, other, []string{cert, other, "does not match"}},
		"rubbish":              {rubbish, key, []string{rubbish, "PEM"}},
		"a directory as a key": {cert, dir, []string{"--tls-key", dir}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			_, err := New(t.Context(), Config{DataDir: data, Listen: "127.0.0.1:0", TLSCert: c.cert, TLSKey: c.key}, slog.New(slog.DiscardHandler))
			if fleet.CodeOf(err) != fleet.CodeInvalid {
				t.Fatalf("%v", err)
			}
			for _, text := range c.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not name %s", err, text)
				}
			}
			if _, err := os.Stat(data); !os.IsNotExist(err) {
				t.Errorf("the data directory was made: %v", err)
			}
		})
	}
}

// TestServesTLS: the key pair that was checked is the one that is used.
func TestServesTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, roots := newKeyPair(t, dir, "a")
	a, err := New(t.Context(), Config{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", TLSCert: cert, TLSKey: key, Executable: os.Args[0]}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{cert, key} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Error(err)
	} else if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Errorf("answered %s", res.Status)
	}
	transport.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
