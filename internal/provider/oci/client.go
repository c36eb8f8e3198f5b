package oci

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"
	"github.com/oracle/oci-go-sdk/v65/limits"
	"github.com/oracle/oci-go-sdk/v65/workrequests"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	userAgent    = "headroom"
	servicePlace = "{service}"
	coreVersion  = "20160918" // of the Core Services and Identity APIs, as the SDK's own clients have it
	// skewLimit is how far the clocks of a caller and of the service may be apart.
	// https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm
	skewLimit  = 5 * time.Minute
	maxRefusal = 64 << 10
)

// domains are the second-level domains of the realms that do not follow the
// rule of domainOf.
var domains = map[string]string{ //nolint:gochecknoglobals // never changed
	"oc1": "oraclecloud.com", "oc2": "oraclegovcloud.com", "oc3": "oraclegovcloud.com", "oc4": "oraclegovcloud.uk", "oc19": "oraclecloud.eu",
}

// domainOf is the domain of a realm. The SDK knows regions and realms by a list
// of its own, and asks the environment, a file and the metadata service about
// those that came after it; the realm stands in every OCID, so that a region
// that is new to the SDK is reached as well.
func domainOf(realm string) string {
	if d, ok := domains[realm]; ok {
		return d
	}
	if number, ok := strings.CutPrefix(realm, "oc"); ok && number != "" && strings.Trim(number, "0123456789") == "" {
		return "oraclecloud" + number + ".com"
	}
	return domains["oc1"]
}

// host is where a service of a realm is reached.
func (a Account) host(service, realm string) string {
	if a.Endpoint != "" {
		return strings.TrimSuffix(strings.ReplaceAll(a.Endpoint, servicePlace, service), "/")
	}
	return "https://" + service + "." + a.Region + middle(service) + domainOf(realm)
}

// middle is what stands between region and domain: the oldest services have
// nothing there.
func middle(service string) string {
	if service == "iaas" || service == "auth" {
		return "."
	}
	return ".oci."
}

// quiet keeps the SDK from logging, which OCI_GO_SDK_DEBUG turns on: with it,
// the bodies of requests would be written to standard error.
type quiet struct{}

// LogLevel implements the SDK's logger.
func (quiet) LogLevel() int { return 0 }

// Log implements the SDK's logger.
func (quiet) Log(int, string, ...any) error { return nil }

var silence = sync.OnceFunc(func() { common.SetSDKLogger(quiet{}) }) //nolint:gochecknoglobals // the SDK's logger is one for the process, and is set before its first call

// connection is what all clients of an account share.
type connection struct {
	account Account
	realm   string
	http    *http.Client
	keys    keys
}

func (a Account) connect(realm string, now func() time.Time) (*connection, error) {
	silence()
	c, err := a.HTTPClient()
	if err != nil {
		return nil, err
	}
	// Redirects lead away from what was signed.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	k, err := a.keys(realm, c)
	if err != nil {
		return nil, err
	}
	outer := *c
	outer.Transport = &refusals{next: c.Transport, keys: k, now: now}
	return &connection{account: a, realm: realm, http: &outer, keys: k}, nil
}

// base is a client as the SDK's constructors make one, without what they take
// from the environment: retries, a circuit breaker, logging, time limits and
// certificates. To many operations the SDK applies retries of its own unless the
// client says that it wants none.
func (c *connection) base(service, version string) common.BaseClient {
	once := common.NoRetryPolicy()
	return common.BaseClient{
		Configuration: common.CustomClientConfiguration{RetryPolicy: &once},
		HTTPClient:    c.http, Signer: signer{c.keys}, Host: c.account.host(service, c.realm), BasePath: version,
		UserAgent: userAgent, Interceptor: unnamed,
	}
}

// unnamed takes away the header by which the SDK tells its own name.
func unnamed(r *http.Request) error {
	r.Header.Set("Opc-Client-Info", userAgent)
	return nil
}

// clients are the services that machines need.
type clients struct {
	compute  core.ComputeClient
	network  core.VirtualNetworkClient
	block    core.BlockstorageClient
	identity identity.IdentityClient
	limits   limits.LimitsClient
	work     workrequests.WorkRequestClient
}

func (c *connection) clients() clients {
	iaas := c.base("iaas", coreVersion)
	return clients{
		compute: core.ComputeClient{BaseClient: iaas}, network: core.VirtualNetworkClient{BaseClient: iaas}, block: core.BlockstorageClient{BaseClient: iaas},
		work:     workrequests.WorkRequestClient{BaseClient: iaas},
		identity: identity.IdentityClient{BaseClient: c.base("identity", coreVersion)},
		limits:   limits.LimitsClient{BaseClient: c.base("limits", "")},
	}
}

// refusals turns answers into errors whose meaning is in headers, which the
// SDK's errors do not have: how long a throttled caller should wait, and by how
// much the caller's clock is wrong.
type refusals struct {
	next http.RoundTripper
	keys keys
	now  func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *refusals) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	moved := resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest
	if !moved && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusUnauthorized {
		return resp, nil
	}
	defer resp.Body.Close()
	if moved { // the SDK would take it for success
		return nil, provider.Errorf(provider.Unavailable, "the answer, with status %s, is none of Oracle's: check endpoint, and the proxies in between", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return nil, err
	}
	var said struct{ Code, Message string }
	if json.Unmarshal(text, &said) != nil || said.Code == "" {
		said.Message = "status " + resp.Status
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return nil, &provider.Error{
			Class: provider.RateLimited, After: provider.RetryAfterHeader(resp.Header, t.now()),
			Message: "Oracle Cloud wants fewer calls (" + strings.TrimSpace(said.Code+" "+said.Message) + ")",
		}
	}
	if _, id, ok := strings.Cut(r.Header.Get("Authorization"), `keyId="`); ok {
		id, _, _ = strings.Cut(id, `"`)
		t.keys.refused(id)
	}
	return nil, provider.Errorf(provider.Unauthenticated, "the credentials are refused (%s): %s", said.Message, t.advice(resp.Header))
}

func (t *refusals) advice(h http.Header) string {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		if skew := t.now().Sub(at); skew.Abs() > skewLimit {
			return fmt.Sprintf("the clock of this host is off by %v, more than the 5 minutes that are allowed: correct it", skew.Round(time.Second))
		}
	}
	if _, ok := t.keys.(apiKey); ok {
		return "see that user_ocid, tenancy_ocid, fingerprint and private_key belong together, and that the key is still among the user's API keys"
	}
	return "see that the instance that the controller runs on is in a dynamic group"
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the
// transport.
func (t *refusals) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
