package aws_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"testing"
)

// theKey stands for a key pair: one is enough for all tests.
var theKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func testKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := theKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pemOf is a key as EC2 hands it out.
func pemOf(k *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
}

var theOtherKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func otherKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := theOtherKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}
