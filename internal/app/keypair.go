package app

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// maxPEM bounds the files of a key pair, in bytes.
const maxPEM = 1 << 20

// loadKeyPair reads the certificate with its key; nil when none is configured.
func loadKeyPair(certFile, keyFile string) (*tls.Certificate, error) {
	if certFile == "" {
		return nil, nil
	}
	cert, err := readPEM(certFile)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the certificate of --tls-cert cannot be read: %w; name a PEM file that this user may read", err)
	}
	key, err := readPEM(keyFile)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the key of --tls-key cannot be read: %w; name a PEM file that this user may read", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid,
			"the certificate %s and the key %s cannot be used: %w; give --tls-cert the certificate in PEM form, that of the server first, and --tls-key its private key without a passphrase",
			certFile, keyFile, err)
	}
	return &pair, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(b) > maxPEM {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxPEM)
	}
	return b, err
}
