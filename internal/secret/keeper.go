package secret

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"
)

const envelopeVersion = 1

// ErrWrongKey says that an envelope was sealed with another key.
var ErrWrongKey = errors.New("sealed with another key")

// Keeper seals and opens secret settings. It is safe for concurrent use.
type Keeper struct {
	id     string
	where  string // for messages; no secret
	keeper *secrets.Keeper
}

// OpenKeeper opens the key that the URL names:
//
//	file:///var/lib/headroom/secret.key   a local key file, made if it does not exist
//
// The error of an unusable key names the file and never its contents.
func OpenKeeper(_ context.Context, keeperURL string) (*Keeper, error) {
	u, err := url.Parse(keeperURL)
	if err != nil {
		return nil, errors.New("the URL of the secret keeper cannot be parsed: write for example file:///var/lib/headroom/secret.key")
	}
	switch u.Scheme {
	case "file":
		if u.Path == "" || u.Host != "" {
			return nil, errors.New("the URL of the secret keeper names no absolute path: write for example file:///var/lib/headroom/secret.key")
		}
		key, err := loadOrMakeKey(u.Path)
		if err != nil {
			return nil, fmt.Errorf("opening key file %s: %w", u.Path, err)
		}
		sum := sha256.Sum256(append([]byte("headroom key id\x00"), key[:]...))
		return &Keeper{id: "file-" + hex.EncodeToString(sum[:6]), where: "key file " + u.Path, keeper: localsecrets.NewKeeper(key)}, nil
	}
	return nil, fmt.Errorf("secret keeper scheme %q is not supported: use file:///path/of/the/key", u.Scheme)
}

// ID names the key; it is not secret.
func (k *Keeper) ID() string { return k.id }

// Close releases the keeper.
func (k *Keeper) Close() error { return k.keeper.Close() }

// envelope is what is stored. It is JSON so that a later version can be told
// from this one.
type envelope struct {
	Version int      `json:"v"`
	KeyID   string   `json:"kid"`
	Names   []string `json:"names"` // of the values: which secrets are set is no secret
	DataKey []byte   `json:"dek"`   // encrypted by the keeper
	Nonce   []byte   `json:"nonce"`
	Data    []byte   `json:"data"` // AES-256-GCM over the JSON of the values
}

// Seal encrypts the values. No values give nil, which Open accepts.
func (k *Keeper) Seal(ctx context.Context, values map[string]string) ([]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("sealing secrets: %w", err)
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	wrapped, err := k.keeper.Encrypt(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("sealing secrets with %s: %w", k.where, err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("sealing secrets: %w", err)
	}
	e := envelope{
		Version: envelopeVersion, KeyID: k.id, Names: slices.Sorted(maps.Keys(values)),
		DataKey: wrapped, Nonce: make([]byte, aead.NonceSize()),
	}
	rand.Read(e.Nonce)
	e.Data = aead.Seal(nil, e.Nonce, plain, e.header())
	return json.Marshal(e)
}

// Open decrypts what Seal made. An envelope of another key is ErrWrongKey with
// a text that names both keys and the remedy.
func (k *Keeper) Open(ctx context.Context, sealed []byte) (map[string]string, error) {
	if len(sealed) == 0 {
		return map[string]string{}, nil
	}
	var e envelope
	if err := json.Unmarshal(sealed, &e); err != nil {
		return nil, fmt.Errorf("opening secrets: the envelope is damaged: %w", err)
	}
	if e.Version != envelopeVersion {
		return nil, fmt.Errorf("opening secrets: envelope version %d is not known to this release", e.Version)
	}
	if e.KeyID != k.id {
		return nil, fmt.Errorf("%w: the stored secrets need key %s, but %s holds key %s; put the original key back", ErrWrongKey, e.KeyID, k.where, k.id)
	}
	key, err := k.keeper.Decrypt(ctx, e.DataKey)
	if err != nil {
		return nil, fmt.Errorf("opening secrets with %s: %w", k.where, err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("opening secrets: %w", err)
	}
	if len(e.Nonce) != aead.NonceSize() {
		return nil, errors.New("opening secrets: the envelope is damaged")
	}
	plain, err := aead.Open(nil, e.Nonce, e.Data, e.header())
	if err != nil {
		return nil, fmt.Errorf("opening secrets: the envelope is damaged: %w", err)
	}
	values := map[string]string{}
	if err := json.Unmarshal(plain, &values); err != nil {
		return nil, errors.New("opening secrets: the envelope holds no values")
	}
	return values, nil
}

// header is authenticated along with the data.
func (e envelope) header() []byte {
	return fmt.Appendf(nil, "headroom envelope %d %s %q", e.Version, e.KeyID, e.Names)
}

// Names lists the names of the sealed values in order, without opening them;
// none for what is no envelope.
func Names(sealed []byte) []string {
	var e envelope
	if len(sealed) == 0 || json.Unmarshal(sealed, &e) != nil {
		return nil
	}
	return e.Names
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
