package provider

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// maxAnswer is the size above which an answer of a cloud is cut off with an
// error: no page of a listing comes near it.
const maxAnswer = 64 << 20

// Connection are the settings by which a service is reached whose certificate
// may be signed by a private authority. Settings structs embed it.
type Connection struct {
	CABundle           string `json:"ca_bundle,omitempty" maxLength:"1048576" multiline:"true" access:"true" group:"Connection" title:"CA bundle" doc:"Certificates in PEM form of private authorities that sign the service's certificate. They are trusted besides those of the system."`
	InsecureSkipVerify bool   `json:"insecure_skip_verify,omitempty" advanced:"true" access:"true" group:"Connection" title:"Do not verify the certificate" doc:"Dangerous: accepts every certificate, so that anybody on the way can read the credentials. Give ca_bundle instead."`
}

// Validate finds a bundle that holds no certificate. Structs that embed
// Connection and have rules of their own call it.
func (c Connection) Validate() []fleet.FieldError {
	if _, err := c.roots(); err != nil {
		return []fleet.FieldError{{Path: "ca_bundle", Message: err.Error()}}
	}
	return nil
}

// roots are the system's authorities and those of the bundle; nil stands for
// the system's alone.
func (c Connection) roots() (*x509.CertPool, error) {
	if c.CABundle == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // a system without a store still has the bundle
		pool = x509.NewCertPool()
	}
	rest := []byte(c.CABundle)
	for n := 1; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if n == 1 {
				return nil, errors.New("holds no certificate: paste PEM text that begins with -----BEGIN CERTIFICATE-----")
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("block %d is a %s, not a CERTIFICATE: paste only the authorities' certificates", n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read (%w): copy it anew, with its first and last line", n, err)
		}
		pool.AddCert(cert)
	}
}

// TLSConfig verifies the service as the settings say.
func (c Connection) TLSConfig() (*tls.Config, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "ca_bundle %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots,
		InsecureSkipVerify: c.InsecureSkipVerify, //nolint:gosec // the operator's own choice, off by default and shown in red
	}, nil
}

// HTTPClient reaches the service as the settings say: with time limits on each
// part of a call but its whole, which the caller's context limits, and a limit
// on the size of answers. Proxies are taken from the environment.
func (c Connection) HTTPClient() (*http.Client, error) {
	t, err := c.Transport()
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: LimitAnswers(t)}, nil
}

// Transport is the transport of HTTPClient without its limit on answers, for
// SDKs that want to change it; they wrap it in [LimitAnswers].
func (c Connection) Transport() (*http.Transport, error) {
	config, err := c.TLSConfig()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: MaxCallTimeout,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}, nil
}

// LimitAnswers makes answers above 64 MiB fail instead of filling the memory.
func LimitAnswers(t http.RoundTripper) http.RoundTripper { return limited{t} }

type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{resp.Body, maxAnswer}
	}
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the
// transport.
func (l limited) CloseIdleConnections() {
	if c, ok := l.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
