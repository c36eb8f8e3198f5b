package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestConfiguration(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []string // parts of the error; none: it is right
	}{
		"right":         {text: `{"controller_url":"https://c.example.com","state_dir":"/s","cores":1.5,"memory":"2Gi","gpus":0,"start_delay":"5s"}`},
		"idle":          {text: `{"state_dir":"/s","idle":true}`},
		"all at once":   {`{"cores":0,"gpus":-1,"lock_fd":1,"log_limit":-1}`, []string{"controller_url", "state_dir", "gpus", "lock_fd", "log_limit"}},
		"unknown field": {`{"controller_url":"https://c","state_dir":"/s","tokn":"x"}`, []string{"tokn"}},
		"wrong type":    {`{"controller_url":7}`, []string{"controller_url"}},
		"trailing text": {`{"controller_url":"https://c","state_dir":"/s"} {}`, []string{"follows"}},
		"too long":      {`{"controller_url":"` + strings.Repeat("x", configLimit) + `"}`, []string{"longer"}},
	} {
		path := filepath.Join(t.TempDir(), "agent.json")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadConfig(path)
		if (err == nil) != (tt.want == nil) || err != nil && fleet.CodeOf(err) != fleet.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range tt.want {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error does not speak of %s: %v", name, part, err)
			}
		}
	}
	cfg := configFor(t, "https://user:secret@c.example.com")
	if err := Run(t.Context(), cfg); fleet.CodeOf(err) != fleet.CodeInvalid {
		t.Errorf("a URL with a password: %v", err)
	}
	cfg = configFor(t, "https://c.example.com")
	cfg.TokenFile = filepath.Join(cfg.StateDir, "absent")
	if err := Run(t.Context(), cfg); fleet.CodeOf(err) != fleet.CodeInvalid || !strings.Contains(err.Error(), cfg.TokenFile) {
		t.Errorf("an absent token file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Config{StateDir: "/s", Idle: true}); err != nil {
		t.Errorf("an idle agent that was told to end: %v", err)
	}
}

func TestDamagedState(t *testing.T) {
	t.Parallel()
	cfg := configFor(t, "http://127.0.0.1:9")
	store(t, cfg, state{Credential: "x"})
	path := filepath.Join(cfg.StateDir, stateFile)
	if err := os.WriteFile(path, []byte(`{"credential":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), cfg); fleet.CodeOf(err) != fleet.CodeInvalid || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged state: %v", err)
	}
}
