package aws

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
)

// recorder answers every request with an outage and keeps what was sent.
type recorder struct{ sent []*http.Request }

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.sent = append(r.sent, req)
	return &http.Response{
		StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Request: req,
		Body: io.NopCloser(bytes.NewReader([]byte("<Response><Errors><Error><Code>Unavailable</Code><Message>busy</Message></Error></Errors></Response>"))),
	}, nil
}

// TestHostileSurroundings: with keys in the settings, nothing of the controller's
// environment and of its files changes where a call goes, whose it is, how often
// it is made, or what it says of itself.
func TestHostileSurroundings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte("[default]\nregion = xx-evil-1\nendpoint_url = http://127.0.0.1:1\nmax_attempts = 9\n[nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": "/no/such/file", "AWS_PROFILE": "no-such-profile", "AWS_DEFAULT_PROFILE": "no-such-profile", "AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": file,
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_ROUTE_53": "http://127.0.0.1:1",
		"AWS_REGION": "xx-evil-1", "AWS_DEFAULT_REGION": "xx-evil-1", "AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "adaptive", "AWS_NEW_RETRIES_2026": "true", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true",
		"AWS_ACCESS_KEY_ID": "AKIAEVIL", "AWS_SECRET_ACCESS_KEY": "evil", "AWS_SESSION_TOKEN": "evil-token", "AWS_ROLE_ARN": "arn:aws:iam::666666666666:role/evil", "AWS_WEB_IDENTITY_TOKEN_FILE": file,
		"AWS_EXECUTION_ENV": "evil", "AWS_SDK_UA_APP_ID": "evil", "AWS_LAMBDA_FUNCTION_NAME": "evil", "_X_AMZN_TRACE_ID": "evil", "AWS_STS_REGIONAL_ENDPOINTS": "legacy", "AWS_SIGV4A_SIGNING_REGION_SET": "*",
		"AWS_DEFAULTS_MODE": "mobile", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false", "AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026": "true",
		"AWS_AUTH_SCHEME_PREFERENCE": "sigv4a", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_DISABLE_CLOCK_SKEW_CORRECTION": "false",
	} {
		t.Setenv(name, value)
	}
	for role, host := range map[string]string{"": "ec2.eu-central-1.amazonaws.com", "arn:aws:iam::123456789012:role/headroom": "sts.eu-central-1.amazonaws.com"} {
		s := Settings{Region: "eu-central-1", AMIID: "ami-000000000000000a0", InstanceTypes: []string{"m6i.large"}}
		s.AccessKeyID, s.SecretAccessKey, s.AssumeRoleARN = "AKIAOURS", "secret", role
		d, err := open(t.Context(), s, provider.Host{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		r := &recorder{}
		d.http.Transport = plain{r}
		if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Unavailable {
			t.Errorf("the call ended with %v", err)
		}
		r.judge(t, host, "AKIAOURS", "eu-central-1")
	}
	s := DNSSettings{Settings: dns.Settings{Zone: "example.com"}}
	s.AccessKeyID, s.SecretAccessKey = "AKIAOURS", "secret"
	service, err := DNSKind().Open(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	n, ok := service.(*names)
	if !ok {
		t.Fatalf("a service of type %T", service)
	}
	r := &recorder{}
	n.http.Transport = plain{r}
	if _, err := n.Records(t.Context(), "example.com"); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("the call ended with %v", err)
	}
	r.judge(t, "route53.amazonaws.com", "AKIAOURS", "us-east-1")
}

func (r *recorder) judge(t *testing.T, host, key, region string) {
	t.Helper()
	if len(r.sent) != 1 {
		t.Fatalf("%d requests were sent, expected one", len(r.sent))
	}
	req := r.sent[0]
	if req.URL.Scheme != "https" || req.URL.Host != host {
		t.Errorf("the call went to %s, expected %s", req.URL, host)
	}
	if auth := req.Header.Get("Authorization"); !strings.Contains(auth, "Credential="+key+"/") || !strings.Contains(auth, "/"+region+"/") {
		t.Errorf("the call is signed as %s", auth)
	}
	if ua := req.Header.Get("User-Agent"); ua != "headroom" {
		t.Errorf("the call says that it is %q", ua)
	}
	for name, values := range req.Header {
		if strings.Contains(strings.Join(values, " "), "evil") {
			t.Errorf("header %s tells of the surroundings: %v", name, values)
		}
	}
}

// TestPartitions: the region decides where calls go.
func TestPartitions(t *testing.T) {
	t.Parallel()
	for region, host := range map[string]string{"cn-north-1": "ec2.cn-north-1.amazonaws.com.cn", "us-gov-west-1": "ec2.us-gov-west-1.amazonaws.com", "us-east-1": "ec2.us-east-1.amazonaws.com"} {
		s := Settings{Region: region, AMIID: "ami-000000000000000a0", InstanceTypes: []string{"m6i.large"}}
		s.AccessKeyID, s.SecretAccessKey = "AKIAOURS", "secret"
		d, err := open(t.Context(), s, provider.Host{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		r := &recorder{}
		d.http.Transport = plain{r}
		_, _ = d.Get(t.Context(), "i-0123456789abcdef0") // it fails, and only where it went is of interest
		r.judge(t, host, "AKIAOURS", region)
	}
}

// TestAmbient: without keys, the surroundings are asked, at the first call and
// not before; what is wrong with them is told.
func TestAmbient(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", nowhere)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	s := Settings{Region: "eu-central-1", AMIID: "ami-000000000000000a0", InstanceTypes: []string{"m6i.large"}}
	d, err := open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	d.http.Transport = plain{r}
	_, err = d.Get(t.Context(), "i-0123456789abcdef0")
	if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "there are no credentials") || len(r.sent) > 0 {
		t.Errorf("without credentials: %v, %d requests", err, len(r.sent))
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "ambient")
	if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("with credentials of the environment: %v", err)
	}
	r.judge(t, "ec2.eu-central-1.amazonaws.com", "AKIAAMBIENT", "eu-central-1")
	// A profile with a region and an endpoint of its own gives its keys and no more.
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[profile desk]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:1\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_PROFILE", "desk")
	if d, err = open(t.Context(), s, provider.Host{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	r = &recorder{}
	d.http.Transport = plain{r}
	_, _ = d.Get(t.Context(), "i-0123456789abcdef0") // it fails, and only how it was made is of interest
	if auth := r.sent[0].Header.Get("Authorization"); !strings.Contains(auth, "AKIAPROFILE") && !strings.Contains(auth, "AKIAAMBIENT") {
		t.Errorf("signed as %s", auth)
	}
	if host := r.sent[0].URL.Host; host != "ec2.eu-central-1.amazonaws.com" {
		t.Errorf("the call went to %s", host)
	}
	t.Setenv("AWS_PROFILE", "no-such-profile")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if d, err = open(t.Context(), s, provider.Host{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "no-such-profile") {
		t.Errorf("a profile that does not exist: %v", err)
	}
}
