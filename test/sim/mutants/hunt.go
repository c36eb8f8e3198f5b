package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// hunter lets the simulation look for a defect.
type hunter struct {
	seeds  int
	length time.Duration
	limit  time.Duration
	quick  bool
}

// hunt runs the simulation on the code with a defect: first what is likely to
// notice it, then all tests that have names, then histories, seed by seed.
func (h hunter) hunt(ctx context.Context, m mutant) (v verdict) {
	began := time.Now() //nolint:forbidigo // real time is what it reports
	v.Name = m.name
	defer func() { v.Took = time.Since(began) }() //nolint:forbidigo // see above
	dir, err := os.MkdirTemp("", "headroom-mutant-")
	if err != nil {
		v.Broken = err.Error()
		return v
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	binary, err := build(ctx, m, dir)
	if err != nil {
		v.Broken = err.Error()
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	if err := h.look(ctx, m, binary, &v); err != nil {
		v.Broken = err.Error()
	}
	return v
}

func (h hunter) look(ctx context.Context, m mutant, binary string, v *verdict) error {
	scenario, isHistory := strings.CutPrefix(m.by, historyOf)
	if isHistory {
		if done, err := h.histories(ctx, binary, v, scenario); done || err != nil {
			return err
		}
	} else if done, err := h.ask(ctx, binary, v, m.by); done || err != nil {
		return err
	}
	if h.quick {
		return nil
	}
	if done, err := h.ask(ctx, binary, v, "^Test(Field|Fills|Standby|Crash|ACreate|ASurplus|Kept)"); done || err != nil {
		return err
	}
	_, err := h.histories(ctx, binary, v, "")
	return err
}

// histories lives through one history after the other, of one scenario or of
// all.
func (h hunter) histories(ctx context.Context, binary string, v *verdict, scenario string) (done bool, err error) {
	for seed := 1; seed <= h.seeds; seed++ {
		v.Seeds = seed
		if done, err := h.ask(ctx, binary, v, "^TestHistories$", "-sim.scenario="+scenario, "-sim.seed="+strconv.Itoa(seed)); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// ask runs some tests. done says that the defect was found.
func (h hunter) ask(ctx context.Context, binary string, v *verdict, tests string, more ...string) (done bool, err error) {
	args := append([]string{"-test.run", tests, "-test.failfast", "-test.timeout=0", "-sim.shrink=0", "-sim.length=" + h.length.String()}, more...)
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // our own binary
	cmd.Dir = "test/sim"
	if strings.HasPrefix(tests, "^TestHistories") {
		cmd.Env = append(os.Environ(), "SEEDS=1")
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return false, fmt.Errorf("not found within %s", h.limit)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return false, err
	}
	if err != nil {
		v.found(string(out))
		return true, nil //nolint:nilerr // a test that fails is what is looked for
	}
	if bytes.Contains(out, []byte("no tests to run")) {
		return false, fmt.Errorf("there is no test %s", tests)
	}
	return false, nil
}

// build compiles the simulation with the defect in it.
func build(ctx context.Context, m mutant, dir string) (binary string, err error) {
	overlay := filepath.Join(dir, "overlay.json")
	if err := plant(m, dir, overlay); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "sim.test")
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", binary, "./test/sim").CombinedOutput() //nolint:gosec // our own arguments
	if err != nil {
		return "", fmt.Errorf("it does not compile: %s", bytes.TrimSpace(out))
	}
	return binary, nil
}

// plant writes the changed files and the overlay that names them.
func plant(m mutant, dir, overlay string) error {
	changed := map[string]string{} // by file
	for _, e := range append([]edit{{m.file, m.old, m.new}}, m.more...) {
		if _, read := changed[e.file]; !read {
			text, err := os.ReadFile(e.file)
			if err != nil {
				return err
			}
			changed[e.file] = string(text)
		}
		if c := strings.Count(changed[e.file], e.old); c != 1 {
			return fmt.Errorf("the text to be replaced is %d times in %s: bring the defect up to date: %s", c, e.file, e.old)
		}
		changed[e.file] = strings.Replace(changed[e.file], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range changed {
		original, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		replace[original] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			return err
		}
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(overlay, text, 0o600)
}
