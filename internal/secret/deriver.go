package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// masterSize is the length of a master key in bytes.
const masterSize = 32

// purpose separates tokens of one machine from one another.
type purpose struct{ name, prefix string }

var (
	registration = purpose{"registration", "hrr"}
	checkin      = purpose{"checkin", "hrc"}
)

// Deriver computes the tokens of machines from a master key: a token is a name
// and a keyed hash of it. The same machine always has the same tokens.
// Expiry is not part of a token; who verifies one looks at the machine.
type Deriver struct{ master []byte }

// NewMaster makes a master key.
func NewMaster() []byte {
	key := make([]byte, masterSize)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	return key
}

// NewDeriver makes a deriver from a master key of 32 bytes.
func NewDeriver(master []byte) (*Deriver, error) {
	if len(master) != masterSize {
		return nil, errors.New("the master key of machine tokens is not 32 bytes long")
	}
	return &Deriver{master: append([]byte(nil), master...)}, nil
}

// Registration is the token with which the agent of a server registers:
// "hrr_<server id>_<hash>".
func (d *Deriver) Registration(serverID string) string { return d.token(registration, serverID) }

// Checkin is the token with which the startup script of a server reports:
// "hrc_<server id>_<hash>".
func (d *Deriver) Checkin(serverID string) string { return d.token(checkin, serverID) }

// VerifyRegistration returns the server id that a registration token names;
// false for anything else than a token that Registration made.
func (d *Deriver) VerifyRegistration(token string) (serverID string, ok bool) {
	return d.verify(registration, token)
}

// VerifyCheckin returns the server id that a check-in token names; false for
// anything else than a token that Checkin made.
func (d *Deriver) VerifyCheckin(token string) (serverID string, ok bool) {
	return d.verify(checkin, token)
}

func (d *Deriver) token(p purpose, id string) string {
	mac := hmac.New(sha256.New, d.master)
	mac.Write([]byte(p.name + "\x00" + id))
	return p.prefix + "_" + id + "_" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (d *Deriver) verify(p purpose, token string) (string, bool) {
	rest, ok := strings.CutPrefix(token, p.prefix+"_")
	if !ok {
		return "", false
	}
	id, _, ok := strings.Cut(rest, "_") // ids hold no underscore; the hash may
	if !ok || id == "" {
		return "", false
	}
	return id, hmac.Equal([]byte(token), []byte(d.token(p, id)))
}
