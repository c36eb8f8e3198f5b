package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headroom-dev/headroom/internal/store/pgtest"
)

// TestPingOfSilentDatabase: whoever asks whether the database works gets an
// answer in time although the database gives none.
func TestPingOfSilentDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // what matters is checked below
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	rival, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer rival.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the test is over
	if _, err := rival.Exec(t.Context(), "BEGIN; UPDATE counters SET value = value + 1 WHERE name = 'ping'"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the row is locked: %v", err)
		}
		cancel()
	}
	if _, err := rival.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
