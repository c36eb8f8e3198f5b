// Command mutants proves that the simulation can fail: it plants one defect
// after the other into the real code, through the compiler's overlay, so that no
// file of the tree is touched, and lets the simulation find it.
//
//	go run ./test/sim/mutants [-seeds 2] [-only name] [-quick] [-list]
//
// It ends with code 1 when a defect was missed, or when the text that it would
// replace is no longer in the code.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// mutant is a planted defect: in a file, one text becomes another.
type mutant struct {
	name string
	what string
	by   string // the tests that are asked first, a regular expression
	file string
	old  string
	new  string
	more []edit // where the same is guarded more than once
}

// edit is a text of a file and what it becomes.
type edit struct{ file, old, new string }

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is a command
	}
}

func run(ctx context.Context, out io.Writer) error {
	seeds := flag.Int("seeds", 2, "histories of each scenario, after the tests that have names")
	length := flag.Duration("length", 24*time.Hour, "length of a history")
	only := flag.String("only", "", "only the defect of this name")
	list := flag.Bool("list", false, "list the defects and do nothing")
	quick := flag.Bool("quick", false, "ask only the tests that are likely to notice")
	limit := flag.Duration("limit", 20*time.Minute, "for one defect")
	flag.Parse()
	if *list {
		for _, m := range mutants() {
			fmt.Fprintf(out, "%-24s %s\n", m.name, m.what)
		}
		return nil
	}
	var missed []string
	n := 0
	for _, m := range mutants() {
		if *only != "" && *only != m.name {
			continue
		}
		n++
		by, err := hunt(ctx, m, *seeds, *length, *limit, *quick)
		switch {
		case err != nil:
			fmt.Fprintf(out, "%-24s BROKEN  %v\n", m.name, err)
			missed = append(missed, m.name)
		case by == "":
			fmt.Fprintf(out, "%-24s MISSED  %s\n", m.name, m.what)
			missed = append(missed, m.name)
		default:
			fmt.Fprintf(out, "%-24s caught  %s\n", m.name, by)
		}
	}
	fmt.Fprintf(out, "%d of %d defects were caught\n", n-len(missed), n)
	if len(missed) > 0 || n == 0 {
		return fmt.Errorf("not caught: %s", strings.Join(missed, ", "))
	}
	return nil
}

// hunt runs the simulation on the code with a defect, first the tests that are
// likely to notice, then all that have names and then histories, and says what
// found it.
func hunt(ctx context.Context, m mutant, seeds int, length, limit time.Duration, quick bool) (string, error) {
	dir, err := os.MkdirTemp("", "headroom-mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	overlay := filepath.Join(dir, "overlay.json")
	if err := plant(m, dir, overlay); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "sim.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", binary, "./test/sim").CombinedOutput(); err != nil { //nolint:gosec // our own arguments
		return "", fmt.Errorf("it does not compile: %s", bytes.TrimSpace(out))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	runs := []string{m.by, "^Test(Field|Fills|Standby|Crash)", "^TestHistories$"}
	if quick {
		runs = runs[:1]
	}
	for _, run := range runs {
		cmd := exec.CommandContext(ctx, binary, "-test.run", run, "-test.failfast", "-sim.shrink=0", "-sim.length="+length.String()) //nolint:gosec // our own binary
		cmd.Dir, cmd.Env = "test/sim", append(os.Environ(), "SEEDS="+strconv.Itoa(seeds))
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			return "", fmt.Errorf("not found within %s", limit)
		}
		if err != nil {
			return finder(string(out)), nil
		}
	}
	return "", nil
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

// finder names the tests that failed.
func finder(out string) string {
	for _, line := range strings.Split(out, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			if name != "TestHistories" {
				return name
			}
		}
	}
	if _, after, ok := strings.Cut(out, "panic: "); ok {
		return "a panic: " + strings.SplitN(after, "\n", 2)[0]
	}
	return "a failure"
}
