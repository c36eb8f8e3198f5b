package oci

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"

	"github.com/headroom-dev/headroom/internal/provider"
)

// The metadata service of instances. Oracle's SDKs take another address from the
// same variable.
// https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm
const (
	metadataURL      = "http://169.254.169.254/opc/v2"
	metadataVariable = "OCI_METADATA_BASE_URL"
	maxMetadata      = 64 << 10
	tokenMargin      = 2 * time.Minute // a token that ends within it is replaced
)

// principal is the identity of the instance that the controller runs on: its
// certificates, which the metadata service has, are exchanged for a token that
// is bound to a key made here.
// https://docs.oracle.com/en-us/iaas/Content/Identity/Tasks/callingservicesfrominstances.htm
type principal struct {
	api      *http.Client // for the token service
	metadata *http.Client
	base     string // of the metadata service
	host     string // of the token service

	turn  chan struct{} // holds one entry while somebody looks at token
	token signingKey
	ends  time.Time
}

func newPrincipal(host string, c *http.Client) *principal {
	base := metadataURL
	if text := os.Getenv(metadataVariable); text != "" {
		base = strings.TrimSuffix(text, "/")
	}
	// The metadata service is on the host's own link: no proxy knows the way.
	return &principal{
		api: c, metadata: &http.Client{Transport: provider.LimitAnswers(&http.Transport{IdleConnTimeout: time.Minute})},
		base: base, host: host, turn: make(chan struct{}, 1),
	}
}

func (p *principal) current(ctx context.Context) (signingKey, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return signingKey{}, ctx.Err()
	}
	if p.token.key != nil && time.Until(p.ends) > tokenMargin { //nolint:forbidigo // a token ends by the real clock
		return p.token, nil
	}
	token, ends, err := p.exchange(ctx)
	if err != nil {
		return signingKey{}, err
	}
	p.token, p.ends = token, ends
	return token, nil
}

func (p *principal) refused(id string) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.token.id == id {
		p.token = signingKey{}
	}
}

func (p *principal) exchange(ctx context.Context) (signingKey, time.Time, error) {
	none := func(err error) (signingKey, time.Time, error) { return signingKey{}, time.Time{}, err }
	var files [3]string
	for i, path := range []string{"cert.pem", "key.pem", "intermediate.pem"} {
		text, err := p.read(ctx, "/identity/"+path)
		if err != nil {
			return none(err)
		}
		files[i] = text
	}
	block, _ := pem.Decode([]byte(files[0]))
	if block == nil {
		return none(noIdentity("its certificate is no PEM text"))
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return none(noIdentity("its certificate cannot be read"))
	}
	leafKey, why := parseKey(files[1], "")
	if why.text != "" {
		return none(noIdentity("the key of its certificate " + why.text))
	}
	tenancy := ""
	for _, name := range leaf.Subject.Names {
		if text, ok := name.Value.(string); ok && strings.HasPrefix(text, "opc-tenant:") {
			tenancy = strings.TrimPrefix(text, "opc-tenant:")
		}
	}
	if tenancy == "" {
		return none(noIdentity("its certificate names no tenancy"))
	}
	session, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return none(provider.Errorf(provider.Unavailable, "no key can be made: %w", err))
	}
	public, err := x509.MarshalPKIXPublicKey(&session.PublicKey)
	if err != nil {
		return none(provider.Errorf(provider.Unavailable, "no key can be made: %w", err))
	}
	token, err := p.ask(ctx, auth.X509FederationDetails{
		Certificate: base64.StdEncoding.EncodeToString(block.Bytes), PublicKey: base64.StdEncoding.EncodeToString(public),
		IntermediateCertificates: certificates(files[2]), FingerprintAlgorithm: "SHA256",
	}, signingKey{key: leafKey, id: tenancy + "/fed-x509-sha256/" + colons(leaf.Raw)})
	if err != nil {
		return none(err)
	}
	ends, err := endOf(token)
	if err != nil {
		return none(err)
	}
	return signingKey{key: session, id: "ST$" + token}, ends, nil
}

func noIdentity(why string) error {
	return provider.Errorf(provider.Unauthenticated, "the metadata service gives this host no identity (%s): run the controller on an instance of Oracle Cloud that is in a dynamic group, or set auth to api_key", why)
}

// read gets one thing from the metadata service.
func (p *principal) read(ctx context.Context, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, http.NoBody)
	if err != nil {
		return "", noIdentity("its address cannot be used")
	}
	r.Header.Set("Authorization", "Bearer Oracle")
	resp, err := p.metadata.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", noIdentity("it does not answer")
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
	switch {
	case err != nil:
		return "", provider.Errorf(provider.Unavailable, "the answer of the metadata service broke off: %w", err)
	case resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests:
		return "", provider.Errorf(provider.Unavailable, "the metadata service does not work at the moment: %s", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return "", noIdentity(path + ": " + resp.Status)
	}
	return string(text), nil
}

// ask exchanges the certificate for a token. The token service wants no host
// among the signed headers.
func (p *principal) ask(ctx context.Context, details auth.X509FederationDetails, leaf signingKey) (string, error) {
	c := common.BaseClient{
		HTTPClient: p.api, Host: p.host, BasePath: "v1/x509", UserAgent: userAgent, Interceptor: unnamed,
		Signer: common.RequestSigner(leaf, []string{"date", "(request-target)"}, common.DefaultBodyHeaders()),
	}
	r, err := common.MakeDefaultHTTPRequestWithTaggedStruct(http.MethodPost, "", struct {
		auth.X509FederationDetails `contributesTo:"body"`
	}{details})
	if err != nil {
		return "", provider.Errorf(provider.Unknown, "the request for a token cannot be made: %w", err)
	}
	resp, err := c.Call(ctx, &r) //nolint:bodyclose // the SDK closes it below
	if resp != nil {
		defer common.CloseBodyIfValid(resp)
	}
	if err != nil {
		return "", tokenFault(err)
	}
	var said struct {
		auth.Token `presentIn:"body"`
	}
	if err := common.UnmarshalResponse(resp, &said); err != nil || said.Token.Token == "" {
		return "", provider.Errorf(provider.Unavailable, "the token service answered without a token")
	}
	return said.Token.Token, nil
}

func tokenFault(err error) error {
	var out *provider.Error
	if errors.As(classify(err), &out) {
		fault := *out
		if fault.Class != provider.Unavailable && fault.Class != provider.RateLimited {
			fault.Class = provider.Unauthenticated
		}
		fault.Message = "no token is given for the instance that the controller runs on (" + out.Message + "): see that it is in a dynamic group"
		return &fault
	}
	return err
}

// endOf is when a token ends: it is a JSON web token (RFC 7519).
func endOf(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if len(parts) == 3 {
		text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
		if err == nil && json.Unmarshal(text, &claims) == nil && claims.Expires > 0 {
			return time.Unix(claims.Expires, 0), nil
		}
	}
	return time.Time{}, provider.Errorf(provider.Unavailable, "the token service answered a token that cannot be read")
}

// certificates are those of a PEM text, each as base64.
func certificates(text string) []string {
	var out []string
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		out = append(out, base64.StdEncoding.EncodeToString(block.Bytes))
	}
}

func colons(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% x", sum[:]), " ", ":")
}
