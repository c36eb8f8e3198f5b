package oci_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/youmark/pkcs8"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

// TestKeys: every form in which a private key may come.
func TestKeys(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	block, _ := pem.Decode([]byte(s.PrivateKey))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	sealed, err := pkcs8.MarshalPrivateKey(key, []byte("open sesame"), nil)
	if err != nil {
		t.Fatal(err)
	}
	old, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte("open sesame"), x509.PEMCipherAES256) //nolint:staticcheck // users have such keys
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ key, passphrase, wrong string }{
		"PKCS #8":           {s.PrivateKey, "", ""},
		"PKCS #1":           {encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), "", ""},
		"with a label":      {s.PrivateKey + "OCI_API_KEY\n", "", ""},
		"encrypted PKCS #8": {encode("ENCRYPTED PRIVATE KEY", sealed), "open sesame", ""},
		"encrypted PKCS #1": {string(pem.EncodeToMemory(old)), "open sesame", ""},
		"no passphrase":     {encode("ENCRYPTED PRIVATE KEY", sealed), "", "passphrase is missing"},
		"wrong passphrase":  {encode("ENCRYPTED PRIVATE KEY", sealed), "sesame", "passphrase does not open"},
		"wrong, PKCS #1":    {string(pem.EncodeToMemory(old)), "sesame", "passphrase does not open"},
		"no PEM":            {"secret", "", "private_key is no PEM"},
		"public half":       {encode("PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey)), "", "private_key is the public half"},
		"OpenSSH":           {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "", "private_key is a key for SSH"},
		"cut off":           {s.PrivateKey[:len(s.PrivateKey)/2], "", "private_key cannot be read"},
	} {
		changed := *s
		changed.PrivateKey, changed.Passphrase = c.key, c.passphrase
		problems := changed.Validate()
		switch {
		case c.wrong == "" && len(problems) > 0:
			t.Errorf("%s: %v", name, problems)
		case c.wrong != "" && (len(problems) != 1 || !strings.Contains(problems[0].Path+" "+problems[0].Message, c.wrong)):
			t.Errorf("%s: %v, expected %q", name, problems, c.wrong)
		case c.wrong == "":
			if _, err := opened(t, &changed).Get(t.Context(), gone); provider.ClassOf(err) != provider.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, p := range problems {
			if p.Value != nil || strings.Contains(p.Message, "AAAA") {
				t.Errorf("%s: a fault quotes the key: %v", name, p)
			}
		}
	}
}

// hostile is what may stand in the surroundings of a controller, none of which
// may have a say in a config that names its credentials.
var hostile = map[string]string{ //nolint:gochecknoglobals // never changed
	"OCI_CONFIG_FILE": "/nonexistent", "OCI_CLI_USER": "ocid1.user.oc1..x", "OCI_TENANCY": "x", "OCI_REGION": "us-phoenix-1", "OCI_REGION_METADATA": `{"realmKey":"oc9","realmDomainComponent":"evil.example","regionKey":"FRA","regionIdentifier":"eu-frankfurt-1"}`,
	"OCI_DEFAULT_REALM": "evil.example", "OCI_SDK_DEFAULT_RETRY_ENABLED": "true", "OCI_SDK_DEFAULT_CIRCUITBREAKER_ENABLED": "true", "OCI_SDK_APPEND_USER_AGENT": "evil",
	"OCI_GO_SDK_DEBUG": "v", "OCI_INCLUDE_REQUEST_TELEMETRY_DATA": "true", "OCI_DUAL_STACK_ENDPOINT_ENABLED": "true", "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED": "true",
	"OCI_DEFAULT_CERTS_PATH": "/nonexistent", "OCI_DEFAULT_CLIENT_CERTS_PATH": "/nonexistent", "OCI_DEFAULT_CLIENT_CERTS_PRIVATE_KEY_PATH": "/nonexistent", "OCI_CUSTOM_CLIENT_TIMEOUT": "1",
	"OCI_METADATA_BASE_URL": "http://127.0.0.1:1", "OCI_SDK_AUTH_CLIENT_REGION_URL": "http://127.0.0.1:1", "OCI_GO_SDK_EC_CONFIG": "file,/nonexistent/ec",
	"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2", "OCI_DEVELOPER_TOOL_CONFIGURATION_FILE_PATH": "/nonexistent", "OCI_ALLOW_ONLY_DEVELOPER_TOOL_CONFIGURATION_REGIONS": "true",
}

// TestHostileSurroundings runs the life of a machine in a process of its own,
// since the SDK reads some of its variables when the program starts.
func TestHostileSurroundings(t *testing.T) {
	t.Parallel()
	if os.Getenv("HEADROOM_TEST_HOSTILE") != "" {
		t.Skip("this is the process that is started")
	}
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".oci"), 0o700); err != nil {
		t.Fatal(err)
	}
	config := "[DEFAULT]\nuser=ocid1.user.oc1..evil\nfingerprint=00\ntenancy=ocid1.tenancy.oc1..evil\nregion=us-phoenix-1\nkey_file=/nonexistent\n"
	for _, name := range []string{"config", "regions-config.json", "developer-tool-configuration.json"} {
		if err := os.WriteFile(filepath.Join(home, ".oci", name), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^(TestNothingIsRepeated|TestLaunchBody|TestAddresses|TestInsideHostileSurroundings)$", "-test.v")
	cmd.Env = append(os.Environ(), "HOME="+home, "HEADROOM_TEST_HOSTILE=1")
	for key, value := range hostile {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInsideHostileSurroundings")) {
		t.Errorf("%v\n%.3000s", err, out)
	}
	// The SDK says a line or two as the program starts, before anybody can ask it
	// not to.
	for line := range strings.Lines(string(out)) {
		starts := strings.Contains(line, "logger level set to") || strings.Contains(line, "OCI_GO_SDK_EC_CONFIG: Using")
		if (strings.Contains(line, "INFO ") || strings.Contains(line, "DEBUG ") || strings.Contains(line, "VERBOSE ")) && !starts {
			t.Fatalf("the SDK logs: %.500s", line)
		}
	}
}

// TestInsideHostileSurroundings is the part that runs there, and here as well.
func TestInsideHostileSurroundings(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	d := opened(t, s)
	i := created(t, d, "a")
	running(t, d, i.ID)
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Error(err)
	}
}

// TestInstancePrincipal: certificates of the metadata service are exchanged for
// a token, which serves many calls; one that is refused is replaced.
func TestInstancePrincipal(t *testing.T) { // sets the environment, and so runs alone
	c, err := startCloud()
	if err != nil {
		t.Fatal(err)
	}
	of := c.fake.NewTenancy()
	metadata, err := c.fake.Metadata(of)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(metadata)
	t.Cleanup(front.Close)
	t.Setenv("OCI_METADATA_BASE_URL", front.URL)
	s := &oci.Settings{CompartmentOCID: of.Compartment, AvailabilityDomains: []string{fakeoci.Domain(1)}, ImageOCID: of.Image, Shapes: []string{"VM.Standard2.1"}, SubnetOCID: of.Subnet}
	s.Auth, s.Region, s.Endpoint, s.CABundle = "instance_principal", fakeoci.Region, c.url, c.ca
	if problems := s.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	d := opened(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := d.Get(t.Context(), gone); provider.ClassOf(err) != provider.NotFound {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := of.Tokens(); n != 1 {
		t.Errorf("%d tokens for eight calls at once", n)
	}
	i := created(t, d, "a")
	running(t, d, i.ID)
	of.Spoil(fakeoci.Fault{Status: http.StatusUnauthorized, Code: "NotAuthenticated", Message: "the token was revoked"})
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) == provider.NotFound {
		t.Errorf("with a token that is refused: %v", err)
	}
	running(t, d, i.ID)
	r, err := d.Check(t.Context())
	if err != nil || !r.OK() {
		t.Errorf("check: %+v, %v", r, err)
	}
	of.Expire(true)
	if _, err := opened(t, s).Get(t.Context(), i.ID); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "dynamic group") {
		t.Errorf("an instance that is in no dynamic group: %v", err)
	}
	of.Expire(false)
	front.Close()
	if _, err := d.Get(t.Context(), i.ID); err != nil {
		t.Errorf("the token that was there serves without the metadata service: %v", err)
	}
	began := time.Now()
	if _, err := opened(t, s).Get(t.Context(), i.ID); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "no identity") || time.Since(began) > 5*time.Second {
		t.Errorf("on a host without a metadata service, after %v: %v", time.Since(began), err)
	}
	if left := c.fake.Violations(); len(left) > 0 {
		t.Error(left)
	}
}
