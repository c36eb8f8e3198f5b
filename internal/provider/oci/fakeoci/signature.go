package fakeoci

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common/auth"
)

// skew is how far the date of a request may be off.
const skew = 5 * time.Minute

var notAuthenticated = "The required information to complete authentication was not provided or was incorrect." //nolint:gochecknoglobals // never changed

// authenticate verifies the signature of a request: its algorithm, the headers
// that must be in it, the digest of the body and the date.
// https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm
func (s *Server) authenticate(r *http.Request, body []byte) (*Tenancy, reply) {
	refuse := func(text string) (*Tenancy, reply) {
		return nil, fault(http.StatusUnauthorized, "NotAuthenticated", text)
	}
	sig := parseSignature(r.Header.Get("Authorization"))
	if sig["version"] != "1" || sig["algorithm"] != "rsa-sha256" {
		return refuse(notAuthenticated)
	}
	s.mu.Lock()
	t := s.tenancies[sig["keyId"]]
	var key *rsa.PublicKey
	if t != nil {
		key = t.keys[sig["keyId"]]
	}
	now := s.now()
	s.mu.Unlock()
	if t == nil || key == nil || t.expired {
		return refuse(notAuthenticated)
	}
	if why := verify(r, body, sig, key, now, []string{"date", "(request-target)", "host"}); why != "" {
		return refuse(why)
	}
	if r.Header.Get("User-Agent") != "headroom" || r.Header.Get("Opc-Client-Info") != "headroom" {
		s.mu.Lock()
		s.broken = append(s.broken, "a request says to come from "+r.Header.Get("User-Agent")+" "+r.Header.Get("Opc-Client-Info"))
		s.mu.Unlock()
	}
	return t, reply{}
}

func parseSignature(text string) map[string]string {
	out := map[string]string{}
	rest, ok := strings.CutPrefix(text, "Signature ")
	if !ok {
		return out
	}
	for _, part := range strings.Split(rest, `",`) {
		key, value, _ := strings.Cut(part, `="`)
		out[strings.TrimSpace(key)] = strings.TrimSuffix(value, `"`)
	}
	return out
}

func verify(r *http.Request, body []byte, sig map[string]string, key *rsa.PublicKey, now time.Time, wanted []string) string {
	headers := strings.Fields(sig["headers"])
	if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		wanted = append(wanted, "content-length", "content-type", "x-content-sha256")
		sum := sha256.Sum256(body)
		if r.Header.Get("X-Content-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
			return "The digest of the body is wrong."
		}
	}
	for _, h := range wanted {
		if !slices.Contains(headers, h) {
			return "The header " + h + " is not signed."
		}
	}
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil || now.Sub(at).Abs() > skew {
		return "Date '" + r.Header.Get("Date") + "' is not within allowed clock skew. Current '" + now.UTC().Format(http.TimeFormat) + "'"
	}
	var lines []string
	for _, h := range headers {
		value := r.Header.Get(h)
		switch h {
		case "(request-target)":
			value = strings.ToLower(r.Method) + " " + r.URL.RequestURI()
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(len(body))
		}
		lines = append(lines, h+": "+value)
	}
	signature, err := base64.StdEncoding.DecodeString(sig["signature"])
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return notAuthenticated
	}
	return ""
}

// identityOf is the certificate of an instance, as its metadata service has it.
type identityOf struct {
	tenancy          *Tenancy
	cert, key, above string
	leaf             *x509.Certificate
}

// Metadata is the metadata service of an instance of the tenancy.
func (s *Server) Metadata(t *Tenancy) (http.Handler, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	upper, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: "ocid1.instance", OrganizationalUnit: []string{"opc-certtype:instance", "opc-tenant:" + t.Tenancy}},
	}
	above := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: template.NotBefore, NotAfter: template.NotAfter, Subject: pkix.Name{CommonName: "intermediate"}}
	der, err := x509.CreateCertificate(rand.Reader, template, above, &key.PublicKey, upper)
	if err != nil {
		return nil, err
	}
	aboveDER, err := x509.CreateCertificate(rand.Reader, above, above, &upper.PublicKey, upper)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	own := &identityOf{
		tenancy: t, cert: encode("CERTIFICATE", der), key: encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), above: encode("CERTIFICATE", aboveDER), leaf: leaf,
	}
	s.mu.Lock()
	s.leaf = own
	s.mu.Unlock()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, known := map[string]string{"/identity/cert.pem": own.cert, "/identity/key.pem": own.key, "/identity/intermediate.pem": own.above}[r.URL.Path]
		switch {
		case r.Header.Get("Authorization") != "Bearer Oracle":
			w.WriteHeader(http.StatusForbidden)
		case !known:
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte(text))
		}
	}), nil
}

// federate exchanges the certificate of an instance for a token.
func (s *Server) federate(r *http.Request, body []byte) reply {
	refuse := func(text string) reply { return fault(http.StatusUnauthorized, "NotAuthenticated", text) }
	s.mu.Lock()
	own := s.leaf
	now := s.now()
	s.mu.Unlock()
	var asked auth.X509FederationDetails
	if wrong := fillBody(&asked, body); len(wrong) > 0 || own == nil {
		return fault(http.StatusBadRequest, "InvalidParameter", strings.Join(wrong, "; "))
	}
	fingerprint := sha256.Sum256(own.leaf.Raw)
	id := own.tenancy.Tenancy + "/fed-x509-sha256/" + strings.ReplaceAll(fmt.Sprintf("% x", fingerprint[:]), " ", ":")
	sig := parseSignature(r.Header.Get("Authorization"))
	leafKey, isRSA := own.leaf.PublicKey.(*rsa.PublicKey)
	if sig["keyId"] != id || !isRSA || asked.Certificate != base64.StdEncoding.EncodeToString(own.leaf.Raw) || len(asked.IntermediateCertificates) != 1 {
		return refuse(notAuthenticated)
	}
	if why := verify(r, body, sig, leafKey, now, []string{"date", "(request-target)"}); why != "" {
		return refuse(why)
	}
	der, err := base64.StdEncoding.DecodeString(asked.PublicKey)
	if err != nil {
		return refuse("the public key is no base64")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	session, isRSA := parsed.(*rsa.PublicKey)
	if err != nil || !isRSA {
		return refuse("the public key cannot be read")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := own.tenancy
	if t.expired {
		return refuse(notAuthenticated)
	}
	s.serial++
	claims, _ := json.Marshal(map[string]any{"exp": now.Add(time.Hour).Unix(), "jti": s.serial}) // numbers always encode
	token := "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
	s.tenancies["ST$"+token], t.keys["ST$"+token] = t, session
	t.tokens++
	return ok(map[string]string{"token": token})
}
