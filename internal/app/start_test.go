package app

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// TestListenRemedies: the advice fits the cause.
func TestListenRemedies(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	const stop = "stop what uses the port"
	for _, c := range []struct {
		address, want, not string
		code               fleet.Code
	}{
		{taken.Addr().String(), stop, "from 0 to 65535", fleet.CodeUnavailable},
		{":99999", "from 0 to 65535", stop, fleet.CodeInvalid},
		{"192.0.2.1:0", "does not have the address", stop, fleet.CodeInvalid},
	} {
		l, err := listen(t.Context(), c.address)
		if err == nil {
			_ = l.Close()
			t.Errorf("listens on %s", c.address)
			continue
		}
		if fleet.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: %v (%s)", c.address, err, fleet.CodeOf(err))
		}
	}
}

// TestLockIsWaitedFor: a lock that its holder leaves within moments is got, one
// that stays held is refused, and the wait ends with its context.
func TestLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := lockDataDir(t.Context(), clock.RealClock{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := lockDataDir(t.Context(), clock.RealClock{}, dir); fleet.CodeOf(err) != fleet.CodeConflict || !strings.Contains(err.Error(), "is in use by") {
		t.Fatalf("a held lock: %v, %v", f, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockDataDir(gone, clock.RealClock{}, dir); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Fatalf("after the end of the context: %v", err)
	}
	end := time.AfterFunc(4*lockRetry, func() { _ = first.Close() })
	defer end.Stop()
	second, err := lockDataDir(t.Context(), clock.RealClock{}, dir)
	if err != nil {
		t.Fatalf("a lock that was left soon: %v", err)
	}
	_ = second.Close()
}

// TestOrderlyStopIsLogged: one line at the beginning of the end, one at its end.
func TestOrderlyStopIsLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer // a handler writes one line at a time, and is read after the end
	a, err := New(t.Context(), Config{DataDir: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", Executable: os.Args[0]}, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if pools, err := a.Pools(t.Context()); err != nil || len(pools) != 0 {
		t.Errorf("pools %v, %v", pools, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	begins, ends := strings.Index(text, "machines and their sessions go on running"), strings.Index(text, "msg=stopped")
	if begins < 0 || ends < begins || strings.Count(text, "level=INFO msg=\"stopping") != 1 {
		t.Errorf("logged\n%s", text)
	}
}
