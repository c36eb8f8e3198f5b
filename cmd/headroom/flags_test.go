package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// TestConfigFileOrder: what is wrong with a file is told in the order of its
// lines.
func TestConfigFileOrder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("zebra: 1\nyak: 2\ncount: many\nalpaca: 3\nlisten: ok\nmule: 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.String("listen", "", "")
	f.Int("count", 0, "")
	f.Int("age", 0, "")
	env := func(name string) string { return map[string]string{"HEADROOM_AGE": "old"}[name] }
	err, ok := fill(f, env, path).(*fleet.Error) //nolint:errorlint // it is what fill returns
	if !ok {
		t.Fatalf("%v", err)
	}
	var got []string
	for _, e := range err.Fields {
		got = append(got, strings.TrimPrefix(e.Source, path)+" "+e.Path)
	}
	if diff := cmp.Diff([]string{"environment age", ":1 zebra", ":2 yak", ":3 count", ":4 alpaca", ":6 mule"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
