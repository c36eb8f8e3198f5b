package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// TestNodesNeedOneKey: a second controller on one database starts with the key
// of the first, and says what to do when it has another.
func TestNodesNeedOneKey(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	start := func(dir string) error {
		a, err := New(t.Context(), Config{DataDir: dir, Listen: "127.0.0.1:0", DatabaseURL: url, Executable: os.Args[0]}, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		return a.Close()
	}
	first, second := t.TempDir(), t.TempDir()
	if err := start(first); err != nil {
		t.Fatal(err)
	}
	err := start(second)
	target := filepath.Join(second, keyFile)
	if fleet.CodeOf(err) != fleet.CodeConflict || !strings.Contains(err.Error(), "copy it from the data directory of the first one") || !strings.Contains(err.Error(), target) {
		t.Fatalf("with another key: %v", err)
	}
	key, err := os.ReadFile(filepath.Join(first, keyFile))
	if err == nil {
		err = os.WriteFile(target, key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := start(second); err != nil {
		t.Fatalf("with the key of the first: %v", err)
	}
}
