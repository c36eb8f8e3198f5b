package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	stateFile  = "agent-state.json"
	stateLimit = 64 << 10
)

// state is what an agent must not forget. It is written before the call that
// tells the controller of it.
type state struct {
	Credential string              `json:"credential"`
	Next       string              `json:"next_credential,omitempty"` // while a rotation is under way
	TokenHash  string              `json:"token_hash,omitempty"`      // of the token that the credential is registered with
	Registered bool                `json:"registered"`
	Identity   fleet.AgentIdentity `json:"identity"`
	Draining   bool                `json:"draining,omitempty"`
}

// newCredential is 256 random bits.
func newCredential() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the package documents it
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// loadState reads the stored state; the zero state when there is none.
func loadState(dir string) (state, error) {
	var s state
	path := filepath.Join(dir, stateFile)
	text, err := readLimited(path, stateLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil && s.Credential == "" {
		err = errors.New("it holds no credential")
	}
	if err != nil {
		return s, fleet.Errorf(fleet.CodeInvalid,
			"the agent's stored identity cannot be read: %w; mend %s, or remove it and give the machine a new registration token", err, path)
	}
	return s, nil
}

// save replaces the stored state; after a crash either the old or the new one
// is there, whole.
func (s *state) save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "making the agent's state directory: %w", withoutOp(err))
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the agent's state: %w", err)
	}
	if err := writeFile(filepath.Join(dir, stateFile), text); err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "storing the agent's identity: %w", err)
	}
	return nil
}

// writeFile replaces a file by way of a neighbour that is on disk before it
// gets the name. Only the owner can read it.
func writeFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return withoutOp(err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return withoutOp(err)
	}
	return syncDir(filepath.Dir(path))
}

// readToken reads the token file; surrounding white space does not count.
func (c *Config) readToken() (string, error) {
	path := c.TokenFile
	if path == "" {
		return "", fleet.Invalid("agent settings", []fleet.FieldError{{
			Path: c.setting("token_file"), Message: "is missing, and this machine has not registered yet: give the file that holds its registration token",
		}})
	}
	text, err := readLimited(path, secretLimit)
	if err != nil {
		return "", fleet.Errorf(fleet.CodeInvalid, "reading the registration token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > 512 || strings.ContainsAny(token, " \t\r\n") {
		return "", fleet.Errorf(fleet.CodeInvalid, "%s does not hold a registration token: it must hold one line of at most 512 characters", path)
	}
	return token, nil
}
