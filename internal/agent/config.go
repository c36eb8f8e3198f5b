package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	configLimit = 64 << 10 // bytes of a configuration file
	secretLimit = 4 << 10  // bytes of a token file
	caLimit     = 1 << 20  // bytes of a file of certificates
)

// Config says what an agent must know. The fields with JSON names can stand in
// a configuration file.
type Config struct {
	URL       string         `json:"controller_url"`        // base URL of the controller
	TokenFile string         `json:"token_file,omitempty"`  // file that holds the registration or join token; not read again once registered
	StateDir  string         `json:"state_dir"`             // where the agent keeps its identity; made when absent
	CAFile    string         `json:"ca_file,omitempty"`     // PEM certificates to trust besides those of the system
	Cores     fleet.Cores    `json:"cores,omitempty"`       // 0: what is found
	Memory    fleet.Memory   `json:"memory,omitempty"`      // 0: what is found
	GPUs      *int64         `json:"gpus,omitempty"`        // nil: what is found
	Addresses []string       `json:"addresses,omitempty"`   // empty: what is found
	Hostname  string         `json:"hostname,omitempty"`    // empty: what the system says
	Delay     fleet.Duration `json:"start_delay,omitempty"` // wait before the first call
	Idle      bool           `json:"idle,omitempty"`        // speak to no controller: only live until told to end
	Detach    bool           `json:"detach,omitempty"`      // leave the caller: see Run
	PIDFile   string         `json:"pid_file,omitempty"`    // where to write the process id; the agent ends when somebody removes the file
	LockFD    int            `json:"lock_fd,omitempty"`     // inherited descriptor whose lock says that this process lives
	LogFile   string         `json:"log_file,omitempty"`    // file that the output goes to, to be kept short
	LogLimit  int64          `json:"log_limit,omitempty"`   // bytes of LogFile; 0: 4 MiB
	FromFlags bool           `json:"-"`                     // errors name the flags of the command and not the fields of a file
	Version   string         `json:"-"`                     // of this program
	Clock     clock.Clock    `json:"-"`                     // nil: the real one
	Logger    *slog.Logger   `json:"-"`                     // nil: text on standard error
}

// LoadConfig reads a configuration file in JSON. Every problem of the file is
// in the one error that it returns.
func LoadConfig(path string) (Config, error) {
	var c Config
	text, err := readLimited(path, configLimit)
	if err != nil {
		return c, fleet.Errorf(fleet.CodeInvalid, "reading the agent's configuration: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fleet.Errorf(fleet.CodeInvalid, "reading the agent's configuration %s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, fleet.Errorf(fleet.CodeInvalid, "reading the agent's configuration %s: something follows the closing brace", path)
	}
	return c, c.Validate()
}

// Validate lists everything that is wrong with the configuration.
func (c *Config) Validate() error {
	var wrong []fleet.FieldError
	add := func(path string, value any, message string) {
		wrong = append(wrong, fleet.FieldError{Path: c.setting(path), Value: value, Message: message})
	}
	if c.URL == "" && !c.Idle {
		add("controller_url", nil, "is missing: give the URL of the controller, for example https://headroom.example.com")
	}
	if c.StateDir == "" {
		add("state_dir", nil, "is missing: give a directory that the agent may write to, for example /var/lib/headroom-agent")
	}
	if c.Cores < 0 {
		add("cores", c.Cores, "is negative: give the number of cores to offer, or 0 for what is found")
	}
	if c.Memory < 0 {
		add("memory", c.Memory, "is negative: give the memory to offer, or 0 for what is found")
	}
	if c.GPUs != nil && (*c.GPUs < 0 || *c.GPUs > 1000) {
		add("gpus", *c.GPUs, "is out of range: give a number from 0 to 1000")
	}
	if len(c.Addresses) > addressLimit {
		add("addresses", len(c.Addresses), fmt.Sprintf("are too many: give at most %d", addressLimit))
	}
	if c.Delay < 0 {
		add("start_delay", c.Delay, "is negative")
	}
	if c.LockFD < 0 || c.LockFD > 0 && c.LockFD < 3 {
		add("lock_fd", c.LockFD, "is not an inherited descriptor: they begin at 3")
	}
	if c.LogLimit < 0 {
		add("log_limit", c.LogLimit, "is negative")
	}
	return fleet.Invalid("agent settings", wrong)
}

// setting is the name under which the user knows a field.
func (c *Config) setting(field string) string {
	switch {
	case !c.FromFlags:
		return field
	case field == "controller_url":
		return "--url"
	}
	return "--" + strings.ReplaceAll(field, "_", "-")
}

// renamed gives the fields of an invalid error the names that the user knows.
func (c *Config) renamed(err error) error {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || !c.FromFlags {
		return err
	}
	same := *e
	same.Fields = slices.Clone(e.Fields)
	for i := range same.Fields {
		same.Fields[i].Path = c.setting(same.Fields[i].Path)
	}
	return &same
}

// readLimited reads a whole file that must not be longer than limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutOp(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withoutOp(err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return text, nil
}

// withoutOp turns "open /x: permission denied" into "/x: permission denied".
func withoutOp(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
