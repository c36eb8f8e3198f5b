package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

const (
	tokenPrefix = "hr_"
	tokenBytes  = 32 // 256 bit: a fast hash is enough, since nobody can guess it
)

// NewToken makes an API token and the hash under which it is stored. The token
// itself is shown once and kept nowhere.
func NewToken() (token, hash string) {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	return token, Hash(token)
}

// Hash is the SHA-256 of a token or an agent's credential in base64url. Looking
// a hash up reveals nothing about the token by its timing.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// LooksLikeToken says whether the text has the form of an API token, so that
// anything else is refused without asking the database.
func LooksLikeToken(s string) bool {
	rest, ok := strings.CutPrefix(s, tokenPrefix)
	return ok && len(rest) == base64.RawURLEncoding.EncodedLen(tokenBytes)
}
