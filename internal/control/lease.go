package control

import (
	"context"
	"errors"
	"hash/fnv"

	"github.com/headroom-dev/headroom/internal/store"
)

// What a node can own. A provider's key covers its servers, its listings and
// its sweeps.
const (
	keyPool     = "pool/"
	keyProvider = "provider/"
	keyDNS      = "dns/"
	keyFixed    = "fixed"  // servers that were registered by hand
	keySystem   = "system" // ends of sessions, retention
)

type leaseKey struct{}

// withLease marks the context of a step with the ownership under which it
// works.
func withLease(ctx context.Context, o store.Owner) context.Context {
	return context.WithValue(ctx, leaseKey{}, o)
}

var errNoLease = errors.New("a loop wrote outside of a step that owns its work")

// fence refuses a write of a step whose node no longer owns the work. The
// check is part of the transaction of the write, so that nobody can take the
// work over between the two.
func fence(ctx context.Context, tx *store.Tx) error {
	if !tx.Shared() {
		return nil
	}
	o, ok := ctx.Value(leaseKey{}).(store.Owner)
	if !ok {
		return errNoLease
	}
	return tx.CheckOwner(o)
}

// chosen is the node that should own a key: the one with the highest score for
// it, so that a node that comes or goes moves its own share of the keys only.
func chosen(key string, nodes []string) string {
	best, most := "", uint64(0)
	for _, n := range nodes {
		h := fnv.New64a()
		h.Write([]byte(n + "\x00" + key)) //nolint:errcheck // it cannot fail
		if score := mix(h.Sum64()); best == "" || score > most || score == most && n < best {
			best, most = n, score
		}
	}
	return best
}

// mix spreads the last bytes of a text, which FNV leaves in the low bits, over
// the whole number (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
