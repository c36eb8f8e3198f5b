package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
	"github.com/headroom-dev/headroom/internal/store/pgtest"
	"github.com/headroom-dev/headroom/internal/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// databases are the kinds of database that everything must hold for.
var databases = map[string]func(t *testing.T) (url string){
	"sqlite":   func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "headroom.db") },
	"memory":   func(*testing.T) string { return "sqlite://:memory:" },
	"postgres": func(t *testing.T) string { return pgtest.New(t) },
}

func open(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) *store.Store { return open(t, url(t)) })
		})
	}
}

func TestDatabaseFileMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "headroom.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, "sqlite://"+path)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("headroom.db%s has mode %v, want 0600", suffix, info.Mode())
		}
	}
}

// TestFakeTime: in a bubble of testing/synctest the store in memory works with
// fake time, which takes that nothing in it waits for the outside.
func TestFakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "sqlite://:memory:")
		begin := time.Now()
		for i := range 5 {
			go func() {
				for range 20 {
					<-time.After(time.Duration(i+1) * time.Minute)
					if err := s.Write(context.Background(), func(tx *store.Tx) error { tx.Emit(fleet.Event{}); return nil }); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		<-time.After(3 * time.Hour)
		synctest.Wait()
		var list []fleet.Event
		if err := s.Read(t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Events(store.EventFilter{}); return err }); err != nil {
			t.Fatal(err)
		}
		if len(list) != 100 || list[0].At.Sub(begin) != time.Minute || list[99].At.Sub(begin) != 100*time.Minute {
			t.Errorf("%d events from %v to %v after the begin", len(list), list[0].At.Sub(begin), list[len(list)-1].At.Sub(begin))
		}
	})
}
