package oci_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

// TestConsole: a capture is made, read and removed; one that is not done in time
// is removed as well, and one that cannot be removed is a remnant.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	reads, ok := d.(provider.ConsoleReader)
	if !ok {
		t.Fatal("the driver reads no consoles")
	}
	id := created(t, d, "a").ID
	running(t, d, id)
	text, err := reads.Console(t.Context(), id, 7)
	if err != nil || string(text) != "login: " {
		t.Errorf("console: %q, %v", text, err)
	}
	text, err = reads.Console(t.Context(), id, 1<<20)
	if err != nil || !strings.HasPrefix(string(text), "[    0.0") {
		t.Errorf("console: %.20q, %v", text, err)
	}
	if left := slices.DeleteFunc(of.Objects(), func(o string) bool { return !strings.HasPrefix(o, "console") }); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	of.Spoil(fakeoci.Fault{Method: http.MethodGet, Path: "/data", Status: 500, Code: "InternalError", Message: "x"})
	of.Spoil(fakeoci.Fault{Method: http.MethodDelete, Path: "/instanceConsoleHistories", Status: 500, Code: "InternalError", Message: "x"})
	if _, err := reads.Console(t.Context(), id, 100); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("%v", err)
	}
	left := remnants(t, d)
	if len(left) != 1 || left[0].Kind != "console history" || left[0].Tags != request("a").Tags {
		t.Fatalf("left: %+v", left)
	}
	r, _ := d.(provider.Remnants)
	if err := r.DeleteRemnant(t.Context(), left[0]); err != nil {
		t.Error(err)
	}
	if left := remnants(t, d); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	for _, permission := range []string{"CONSOLE_HISTORY_CREATE", "CONSOLE_HISTORY_READ"} {
		of.Lack(permission)
		of.Looks(2)
		if _, err := reads.Console(t.Context(), id, 100); err == nil {
			t.Errorf("without %s", permission)
		}
	}
	if _, err := reads.Console(t.Context(), gone, 100); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("of no machine: %v", err)
	}
}

// TestConsoleNeverDone: a capture whose reader went away is removed all the same.
func TestConsoleNeverDone(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	of.Looks(0)
	d := opened(t, s)
	id := created(t, d, "a").ID
	running(t, d, id)
	reads, _ := d.(provider.ConsoleReader)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := reads.Console(ctx, id, 100); provider.ClassOf(err) != provider.Unavailable || err == nil {
		t.Errorf("%v", err)
	}
	if left := remnants(t, d); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}
