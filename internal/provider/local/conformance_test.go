//go:build linux

package local

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// faulty loses answers and breaks listings on demand.
type faulty struct {
	provider.Driver
	loseCreate, loseDelete, breakList *atomic.Bool
	root                              string
}

func (f faulty) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	i, err := f.Driver.Create(ctx, req)
	if err == nil && f.loseCreate.CompareAndSwap(true, false) {
		return provider.Instance{}, provider.Errorf(provider.Unavailable, "the answer was lost")
	}
	return i, err
}

func (f faulty) Delete(ctx context.Context, id string) error {
	err := f.Driver.Delete(ctx, id)
	if err == nil && f.loseDelete.CompareAndSwap(true, false) {
		return provider.Errorf(provider.Unavailable, "the answer was lost")
	}
	return err
}

// List hides the record of a living machine while the listing is broken.
func (f faulty) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	if !f.breakList.CompareAndSwap(true, false) {
		return f.Driver.List(ctx, o)
	}
	return func(yield func(provider.Instance, error) bool) {
		records, _ := filepath.Glob(filepath.Join(f.root, "*", fileRecord))
		last := records[len(records)-1]
		_ = os.Rename(last, last+".hidden")
		defer func() { _ = os.Rename(last+".hidden", last) }()
		for i, err := range f.Driver.List(ctx, o) {
			if !yield(i, err) {
				return
			}
		}
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
		host := testHost(t.TempDir())
		root := filepath.Join(host.DataDir, "machines")
		var loseCreate, loseDelete, breakList atomic.Bool
		kind := Kind()
		really := kind.Open
		kind.Open = func(ctx context.Context, settings any, host provider.Host) (provider.Driver, error) {
			d, err := really(ctx, settings, host)
			return faulty{d, &loseCreate, &loseDelete, &breakList, root}, err
		}
		return providertest.Account{
			Kind: kind, Settings: &Settings{}, Host: host, Patience: 20 * time.Second,
			Foreign: func(t *testing.T) string {
				if err := os.MkdirAll(filepath.Join(root, "foreign", "files"), 0o700); err != nil {
					t.Fatal(err)
				}
				return "foreign"
			},
			Exists: func(_ *testing.T, id string) bool {
				_, err := os.Stat(filepath.Join(root, id))
				return err == nil
			},
			Leftovers: func(t *testing.T) []string {
				left := processesIn(t, root)
				entries, _ := os.ReadDir(root)
				for _, e := range entries {
					left = append(left, e.Name())
				}
				return left
			},
			LoseCreate: func(*testing.T) { loseCreate.Store(true) },
			LoseDelete: func(*testing.T) { loseDelete.Store(true) },
			BreakList:  func(*testing.T) { breakList.Store(true) },
			UserData: func(t *testing.T, id string) []byte {
				text, err := os.ReadFile(filepath.Join(root, id, fileUserData))
				if err != nil {
					t.Fatal(err)
				}
				return text
			},
			Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
				provider.NotFound: func(t *testing.T, d provider.Driver) error {
					_, err := d.Get(t.Context(), "nobody")
					return err
				},
				provider.Invalid: func(t *testing.T, d provider.Driver) error {
					req := wish(1)
					req.Name = "../outside"
					_, err := d.Create(t.Context(), req)
					return err
				},
				provider.Conflict: func(t *testing.T, d provider.Driver) error {
					if _, err := d.Create(t.Context(), wish(1)); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { removeAll(t, d) })
					other := wish(1)
					other.Token = "another"
					_, err := d.Create(t.Context(), other)
					return err
				},
				provider.Unavailable: func(t *testing.T, d provider.Driver) error {
					if err := os.RemoveAll(root); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(root, []byte("in the way"), 0o600); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = os.Remove(root) })
					_, err := d.Create(t.Context(), wish(2))
					return err
				},
			},
		}
	}})
}
