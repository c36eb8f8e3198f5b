package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDefectsFitTheCode: code that moves on leaves no defect behind that cannot
// be planted any more, or that a test is to find which is no longer there.
func TestDefectsFitTheCode(t *testing.T) {
	t.Chdir("../../..")
	files, err := filepath.Glob("test/sim/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal("the tests of the simulation are not found", err)
	}
	var tests []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			tests = append(tests, string(found[1]))
		}
	}
	names := map[string]bool{}
	for _, m := range mutants() {
		if names[m.name] {
			t.Errorf("%s is there twice", m.name)
		}
		names[m.name] = true
		dir := t.TempDir()
		if err := plant(m, dir, filepath.Join(dir, "overlay.json")); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		pattern, _, _ := strings.Cut(m.by, "/") // the rest names subtests
		if !strings.HasPrefix(m.by, historyOf) && !slices.ContainsFunc(tests, regexp.MustCompile(pattern).MatchString) {
			t.Errorf("%s: no test is named %s", m.name, m.by)
		}
	}
}
