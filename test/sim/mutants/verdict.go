package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// verdict is what came of one defect.
type verdict struct {
	Name    string        `json:"name"`
	Caught  bool          `json:"caught"`
	Broken  string        `json:"broken,omitempty"` // why it could not be planted, or had no end
	By      string        `json:"by"`               // the test that failed
	Seeds   int           `json:"seeds"`            // histories of each scenario that it took; 0: a test with a name was enough
	Promise string        `json:"promise"`          // that was broken
	Took    time.Duration `json:"took"`
	Code    string        `json:"code"` // fingerprint of the code and the defect
}

func (v verdict) word() string {
	switch {
	case v.Broken != "":
		return "BROKEN"
	case v.Caught:
		return "caught"
	}
	return "MISSED"
}

func (v verdict) seeds() string {
	if v.Caught && v.Seeds == 0 {
		return "-"
	}
	return strconv.Itoa(v.Seeds)
}

func (v verdict) String() string {
	line := fmt.Sprintf("%-24s %-7s %s", v.Name, v.word(), v.By+v.Broken)
	if v.Seeds > 0 {
		line += fmt.Sprintf(" (%d seeds)", v.Seeds)
	}
	return fmt.Sprintf("%s %s %s", line, v.Promise, v.Took.Round(time.Second))
}

// promise is how failing histories and tests name what was broken.
var promise = regexp.MustCompile(`(?m)promise "([^"]+)" is broken after \S+: (.{0,160})|after \d+ crashes: ([a-z ]+): (.{0,160})|^\s+\w+_test\.go:\d+: (.{0,160})`) //nolint:gochecknoglobals // a constant in all but name

// found reads what a failing test printed.
func (v *verdict) found(out string) {
	v.Caught, v.By = true, "a failure"
	for _, line := range strings.Split(out, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			if name, _, _ := strings.Cut(rest, " "); name != "TestHistories" {
				v.By = name
				break
			}
		}
	}
	if m := promise.FindStringSubmatch(out); m != nil {
		v.Promise = strings.TrimSpace(m[1] + m[3] + ": " + m[2] + m[4] + m[5])
		v.Promise = strings.TrimPrefix(v.Promise, ": ")
	}
	if _, after, ok := strings.Cut(out, "panic: "); ok && v.By == "a failure" {
		v.By = "a panic: " + strings.SplitN(after, "\n", 2)[0]
	}
}

func readVerdicts(path string) (map[string]verdict, error) {
	out := map[string]verdict{}
	b, err := os.ReadFile(path) //nolint:gosec // our own argument
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("reading verdicts of earlier runs: %w", err)
	}
	return out, nil
}

func writeVerdicts(path string, all map[string]verdict) error {
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

// fingerprint is one of all code that the simulation runs, and of its own.
func fingerprint() (string, error) {
	sum := sha256.New()
	const own = "test/sim/mutants" // the defects themselves
	for _, dir := range []string{"internal", "test/sim"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && filepath.ToSlash(path) == own:
				return fs.SkipDir
			case d.IsDir() || dir == "internal" && strings.HasSuffix(path, "_test.go"):
				return nil
			case !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".sql"):
				return nil
			}
			b, err := os.ReadFile(path) //nolint:gosec // a file of this tree
			fmt.Fprintln(sum, path, len(b))
			sum.Write(b) //nolint:errcheck // it cannot fail
			return err
		})
		if err != nil {
			return "", fmt.Errorf("reading the code (run this at the top of the tree): %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func (m mutant) fingerprint() string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%+v", m)))
	return "/" + hex.EncodeToString(sum[:4])
}
