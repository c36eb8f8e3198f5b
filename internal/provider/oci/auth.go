package oci

import (
	"context"
	"crypto/rsa"
	"net/http"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"

	"github.com/headroom-dev/headroom/internal/provider"
)

// keys gives the key that signs requests, and the name that the service knows it
// by.
type keys interface {
	current(ctx context.Context) (signingKey, error)
	// refused is told that the service did not take the key of that name.
	refused(id string)
}

// signingKey implements the SDK's common.KeyProvider.
type signingKey struct {
	key *rsa.PrivateKey
	id  string
}

func (k signingKey) PrivateRSAKey() (*rsa.PrivateKey, error) { return k.key, nil }

func (k signingKey) KeyID() (string, error) { return k.id, nil }

// signer signs requests with the SDK's own signer. The SDK's providers of
// credentials are not used: they read the environment and files of the host, and
// those for instances wait and repeat without regard to the caller's deadline.
type signer struct{ keys keys }

// Sign implements common.HTTPRequestSigner.
func (s signer) Sign(r *http.Request) error {
	k, err := s.keys.current(r.Context())
	if err != nil {
		return err
	}
	return common.DefaultRequestSigner(k).Sign(r)
}

// apiKey is the key of a user.
type apiKey struct{ signingKey }

func (k apiKey) current(context.Context) (signingKey, error) { return k.signingKey, nil }

func (k apiKey) refused(string) {}

// keyFault is what is wrong with a private key, and with which field.
type keyFault struct{ field, text string }

// faultOfKey says what is wrong with a private key, without quoting it.
func faultOfKey(pem, passphrase string) keyFault {
	_, why := parseKey(pem, passphrase)
	return why
}

func parseKey(pem, passphrase string) (*rsa.PrivateKey, keyFault) {
	const paste = "paste the whole file with the private half of the API key, from -----BEGIN to -----END"
	encrypted := strings.Contains(pem, "ENCRYPTED") // in the first line, or in the header Proc-Type
	var secret []byte
	if passphrase != "" {
		secret = []byte(passphrase)
	}
	switch {
	case !strings.Contains(pem, "-----BEGIN"):
		return nil, keyFault{"private_key", "is no PEM text: " + paste}
	case strings.Contains(pem, "-----BEGIN PUBLIC KEY") || strings.Contains(pem, "-----BEGIN CERTIFICATE"):
		return nil, keyFault{"private_key", "is the public half of a key: " + paste}
	case strings.Contains(pem, "-----BEGIN OPENSSH"):
		return nil, keyFault{"private_key", "is a key for SSH, not one for the API: make an API key in the console, under the user's profile, and paste its private half"}
	case encrypted && passphrase == "":
		return nil, keyFault{"passphrase", "is missing: the private key is encrypted"}
	}
	key, err := common.PrivateKeyFromBytesWithPassword([]byte(pem), secret)
	switch {
	case err == nil && key != nil:
		return key, keyFault{}
	case encrypted:
		return nil, keyFault{"passphrase", "does not open the private key: correct it"}
	}
	return nil, keyFault{"private_key", "cannot be read as an RSA key: " + paste}
}

// keys makes what signs the account's requests.
func (a Account) keys(realm string, c *http.Client) (keys, error) {
	if a.Auth == authPrincipal {
		return newPrincipal(a.host("auth", realm), c), nil
	}
	key, why := parseKey(a.PrivateKey, a.Passphrase)
	if why.text != "" {
		return nil, provider.Errorf(provider.Invalid, "%s %s", why.field, why.text)
	}
	id := a.TenancyOCID + "/" + a.UserOCID + "/" + strings.ToLower(a.Fingerprint)
	return apiKey{signingKey{key: key, id: id}}, nil
}
