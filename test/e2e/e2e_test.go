// Package e2e_test starts the real headroom binary and drives it as people do:
// scripts under testdata run its commands against controllers that serve on
// free ports of this host, kill them, kill their agents, and look at what is
// left. commands_test.go lists what a script can say beyond testscript's own.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

var (
	keepWork = flag.Bool("keep", false, "keep the scripts' work directories and name them")
	binary   string // the headroom that TestMain built
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run builds the binary once, with the flags that every other build uses, so
// that the build cache serves it.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "headroom-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "headroom")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/headroom")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building headroom:", err)
		return 1
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, params(t, testscript.Params{Dir: "testdata"}, func() string { return "" }))
}

// TestScriptsOnPostgreSQL repeats the scripts that exercise the database most.
func TestScriptsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	pgtest.New(t) // skips the test where there is no PostgreSQL
	testscript.Run(t, params(t, testscript.Params{
		Files: []string{"testdata/quickstart.txtar", "testdata/crash.txtar"},
	}, func() string { return pgtest.New(t) }))
}

// params completes p. database gives each script a database of its own, empty
// for the embedded one.
func params(t *testing.T, p testscript.Params, database func() string) testscript.Params {
	t.Helper()
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	p.TestWork = *keepWork
	p.RequireUniqueNames = true
	p.Cmds = commands
	p.Setup = func(env *testscript.Env) error {
		s, err := newSite(env.WorkDir, database())
		if err != nil {
			return err
		}
		env.Defer(s.close)
		env.Values[siteKey{}] = s
		env.Setenv("PATH", s.bin+string(os.PathListSeparator)+env.Getenv("PATH"))
		env.Setenv("HOME", env.WorkDir)
		env.Setenv("EXAMPLES", examples)
		return nil
	}
	return p
}
