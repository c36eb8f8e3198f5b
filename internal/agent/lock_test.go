package agent

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// TestOneAgentPerStateDir: a second agent on the directory refuses and leaves
// the first alone; when the first has ended, the directory is free.
func TestOneAgentPerStateDir(t *testing.T) {
	t.Parallel()
	c := newController(t)
	first := start(t, configFor(t, c.URL))
	first.untilCalls(c, "report", 1)
	cfg := first.cfg
	cfg.FromFlags = true
	cfg.Clock = nil // the clock of the first is turned by its test
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := Run(ctx, cfg)
	if fleet.CodeOf(err) != fleet.CodeConflict || !strings.Contains(err.Error(), cfg.StateDir+" is in use by another agent (process "+strconv.Itoa(os.Getpid())+")") ||
		!strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("the second agent: %v", err)
	}
	first.untilCalls(c, "report", c.count("report")+1)
	first.end()
	again := start(t, first.cfg)
	again.untilCalls(c, "report", c.count("report")+1)
	again.end()
}

// TestErrorsNameFlags: who gave flags reads of flags.
func TestErrorsNameFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		want []string
		not  []string
	}{
		{Config{FromFlags: true}, []string{"--url", "--state-dir"}, []string{"controller_url", "state_dir"}},
		{Config{}, []string{"controller_url", "state_dir"}, []string{"--"}},
	} {
		err := c.cfg.Validate()
		if err == nil {
			t.Fatal("nothing is wrong with nothing")
		}
		_, tokenErr := c.cfg.readToken()
		odd := c.cfg
		odd.URL, odd.StateDir = "nonsense", t.TempDir()
		urlErr := Run(t.Context(), odd)
		if urlErr == nil || !strings.Contains(urlErr.Error(), c.cfg.setting("controller_url")+": ") {
			t.Errorf("an odd URL: %v", urlErr)
		}
		text := err.Error() + "\n" + tokenErr.Error()
		for _, w := range append(c.want, c.cfg.setting("token_file")) {
			if !strings.Contains(text, w) {
				t.Errorf("%q does not name %s", text, w)
			}
		}
		for _, n := range c.not {
			if strings.Contains(text, n) {
				t.Errorf("%q names %s", text, n)
			}
		}
	}
}
