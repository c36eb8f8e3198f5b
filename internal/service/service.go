package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/cost"
	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// Limits of what a caller can ask for.
const (
	MaxWait             = time.Minute // longest time that an answer is held back
	DefaultQueueTimeout = 10 * time.Minute
	MaxQueueTimeout     = 24 * time.Hour
	DefaultLimit        = 200 // items of a page
	MaxLimit            = 1000
)

// Deps are what the service works with. All but DNS, Plan, Open, OpenDNS, URL, AgentSum, Shape, Price and Listed are
// needed.
type Deps struct {
	Store   *store.Store
	Clock   clock.WithTicker
	Kinds   []provider.Kind
	DNS     []dns.Kind // kinds of DNS services
	Keeper  *secret.Keeper
	Deriver *secret.Deriver
	Log     *slog.Logger

	// Plan says what would be done now for one pool, or for every pool when
	// the name is empty, without doing it.
	Plan func(ctx context.Context, pool string) ([]plan.Decision, error)
	// OpenDNS makes a client for a stored DNS provider config.
	OpenDNS func(ctx context.Context, o *store.Object) (*dns.Client, error)
	// Open makes a client for a VM provider config, stored or not.
	Open func(ctx context.Context, o *store.Object) (*provider.Client, error)

	URL string // base URL under which this controller is reached where a zone names none

	// AgentSum is the SHA-256 of the agent for a system and architecture, as Go
	// names them; ok is false when this controller cannot give out one.
	AgentSum func(system, arch string) (sum string, ok bool)
	// Shape tells what a machine of a VM provider config offers.
	Shape snapshot.ShapeFunc
	// Price tells what it costs; nil: no price is known.
	Price cost.QuoteFunc
	// Listed says that there are price lists for a kind of VM provider, so that a
	// machine of it without a price is worth a word; nil: for none.
	Listed func(kind string) bool
}

// Service is safe for concurrent use.
type Service struct {
	Deps
	hub    *hub
	remove func()
	access fleet.AccessFunc // settings that are access alone, by kind
	shapes shapeCache
	plans  planCache
}

// New makes the service and subscribes it to the store's commits. Close it
// before the store.
func New(d Deps) (*Service, error) {
	if d.Store == nil || d.Clock == nil || d.Keeper == nil || d.Deriver == nil || d.Log == nil {
		return nil, errors.New("the service lacks one of store, clock, keeper, deriver and log")
	}
	if d.Shape == nil {
		d.Shape = func(fleet.VMProviderSpec) fleet.Resources { return fleet.Resources{} }
	}
	s := &Service{Deps: d, hub: newHub(), access: provider.Access(d.Kinds)}
	s.remove = d.Store.OnCommit(s.hub.publish)
	return s, nil
}

// Close ends every stream and every wait at once.
func (s *Service) Close() {
	s.remove()
	s.hub.close()
}

// Ready says whether requests can be served: the database answers.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.Store.Ping(ctx); err != nil {
		return &fleet.Error{Code: fleet.CodeUnavailable, Message: "the database cannot be reached", Cause: err}
	}
	return nil
}

func (s *Service) now() time.Time { return s.Clock.Now().UTC() }

// kind finds a provider kind by its name.
func (s *Service) kind(name string) (provider.Kind, bool) {
	i := slices.IndexFunc(s.Kinds, func(k provider.Kind) bool { return k.Name == name })
	if i < 0 {
		return provider.Kind{}, false
	}
	return s.Kinds[i], true
}

// notFound turns the store's answer into one for people.
func notFound(err error, what, name string) error {
	if errors.Is(err, store.ErrNotFound) {
		return fleet.Errorf(fleet.CodeNotFound, "there is no %s %q", what, name)
	}
	return fmt.Errorf("reading %s %s: %w", what, name, err)
}

// limit brings the size of a page into its bounds.
func limit(n int) int {
	if n <= 0 {
		return DefaultLimit
	}
	return min(n, MaxLimit)
}

func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// verb is a count with what it does: "1 machine depends on it", "2 machines
// depend on it".
func verb(n int64, noun, does, what string) string {
	if n == 1 {
		does += "s"
	}
	return count(n, noun) + " " + does + what
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
