package gauges

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

func world(t *testing.T) (*store.Store, *clocktesting.FakePassiveClock, *Collector) {
	t.Helper()
	clk := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	s, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, clk, New(s, clk, slog.New(slog.DiscardHandler), quote)
}

// quote knows the prices that the config sets and no others.
func quote(spec fleet.VMProviderSpec, offer string) price.Quote {
	return provider.Price(nil, spec, nil, offer)
}

// scrape reads the gauges as a monitoring system does.
func scrape(t *testing.T, c *Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func write(t *testing.T, s *store.Store, do func(*store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s *store.Store, kind fleet.Kind, name string, spec any) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, func(tx *store.Tx) error {
		_, _, err := tx.PutObject(&store.Object{Kind: kind, Name: name, Spec: text}, time.Unix(1_800_000_000, 0))
		return err
	})
}

// TestGauges: every number comes from the database, and what has nothing shows 0.
func TestGauges(t *testing.T) {
	t.Parallel()
	s, clk, c := world(t)
	put(t, s, fleet.KindVMProvider, "tried", fleet.VMProviderSpec{MaxInstances: 1})
	put(t, s, fleet.KindPool, "busy", fleet.PoolSpec{})
	put(t, s, fleet.KindPool, "idle", fleet.PoolSpec{})
	put(t, s, fleet.KindVMProvider, "good", fleet.VMProviderSpec{MaxInstances: 7, Prices: map[string]float64{"big": 2, "small": 0.5}, Currency: "EUR"})
	put(t, s, fleet.KindVMProvider, "bad", fleet.VMProviderSpec{MaxInstances: 3, Prices: map[string]float64{"*": 1}})
	put(t, s, fleet.KindAutoscaleConfig, "c", fleet.AutoscaleConfigSpec{Pool: "idle", VMProviders: []string{"bad"}})
	write(t, s, func(tx *store.Tx) error {
		offers := map[string]string{"a": "big", "b": "small", "c": "odd"}
		for id, phase := range map[string]fleet.Phase{"a": fleet.PhaseReady, "b": fleet.PhaseReady, "c": fleet.PhaseDeleting} {
			if err := tx.InsertServer(&fleet.Server{
				ID: id, Pool: "busy", VMProvider: "good", Phase: phase, Offer: offers[id],
				Capacity: fleet.Resources{Cores: 4500, MemoryMiB: 1024}, Claimed: fleet.Resources{Cores: 500, MemoryMiB: 512},
			}); err != nil {
				return err
			}
		}
		for id, state := range map[string]fleet.SessionState{"q1": fleet.SessionQueued, "q2": fleet.SessionQueued, "e": fleet.SessionEnded} {
			if err := tx.InsertSession(&fleet.Session{ID: id, Pool: "busy", State: state}); err != nil {
				return err
			}
		}
		if err := tx.SaveProviderState(store.ProviderState{Provider: "tried", Circuit: snapshot.CircuitOpen, OpenUntil: clk.Now().Add(-time.Second)}); err != nil {
			return err
		}
		return tx.SaveProviderState(store.ProviderState{Provider: "bad", Circuit: snapshot.CircuitOpen, OpenUntil: clk.Now().Add(time.Minute), ListError: "no", SweepError: "stopped", RemnantError: "stopped"})
	})
	put(t, s, fleet.KindDNSProvider, "names", fleet.DNSProviderSpec{})
	put(t, s, fleet.KindDNSProvider, "good", fleet.DNSProviderSpec{})
	write(t, s, func(tx *store.Tx) error {
		return tx.SaveProviderState(store.ProviderState{Provider: store.StateOfDNS("names"), SweepError: "stopped"})
	})
	got := scrape(t, c)
	for name, want := range map[string][]string{
		"headroom_servers": {
			`{phase="ready",pool="busy",vm_provider="good"} 2`, `{phase="deleting",pool="busy",vm_provider="good"} 1`,
			`{phase="booting",pool="busy",vm_provider="good"} 0`, `{phase="ready",pool="idle",vm_provider="bad"} 0`,
		},
		"headroom_sessions": {`{pool="busy",state="queued"} 2`, `{pool="busy",state="active"} 0`, `{pool="idle",state="queued"} 0`},
		"headroom_pool_capacity": {
			`{pool="busy",resource="cores"} 9`, `{pool="busy",resource="memory_bytes"} 2.147483648e+09`, `{pool="idle",resource="cores"} 0`,
		},
		"headroom_pool_free":               {`{pool="busy",resource="cores"} 8`, `{pool="busy",resource="memory_bytes"} 1.073741824e+09`},
		"headroom_provider_circuit_open":   {`{vm_provider="bad"} 1`, `{vm_provider="good"} 0`, `{vm_provider="tried"} 0`},
		"headroom_provider_instances":      {`{vm_provider="bad"} 0`, `{vm_provider="good"} 3`},
		"headroom_provider_max_instances":  {`{vm_provider="bad"} 3`, `{vm_provider="good"} 7`},
		"headroom_provider_listing_failed": {`{vm_provider="bad"} 1`, `{vm_provider="good"} 0`},
		"headroom_sweep_stopped":           {`{vm_provider="bad"} 1`, `{vm_provider="good"} 0`},
		"headroom_remnant_sweep_stopped":   {`{vm_provider="bad"} 1`, `{vm_provider="good"} 0`},
		"headroom_dns_sweep_stopped":       {`{dns_provider="names"} 1`, `{dns_provider="good"} 0`},
		"headroom_cost_per_hour":           {`{currency="EUR",pool="busy",vm_provider="good"} 2.5`, `{currency="USD",pool="idle",vm_provider="bad"} 0`},
		"headroom_machines_without_price":  {`{pool="busy",vm_provider="good"} 1`, `{pool="idle",vm_provider="bad"} 0`},
		"headroom_gauges_up":               {" 1"},
	} {
		for _, line := range want {
			if !strings.Contains(got, "\n"+name+line+"\n") {
				t.Errorf("%s%s is not in\n%s", name, line, got)
			}
		}
	}
}

// TestAnswersAreKept: scrapes in a row ask the database once, and a later one
// sees what has changed.
func TestAnswersAreKept(t *testing.T) {
	t.Parallel()
	s, clk, c := world(t)
	before := scrape(t, c)
	put(t, s, fleet.KindPool, "p", fleet.PoolSpec{})
	if n := scrape(t, c); n != before {
		t.Errorf("the database was asked again at once:\n%s", n)
	}
	clk.SetTime(clk.Now().Add(keep))
	if n := scrape(t, c); n == before {
		t.Error("a new pool is not seen later either")
	}
}

// TestDatabaseGone: a scrape is answered all the same, without numbers that
// would be wrong.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	s, _, c := world(t)
	put(t, s, fleet.KindPool, "p", fleet.PoolSpec{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := scrape(t, c); !strings.Contains(got, "headroom_gauges_up 0") || strings.Contains(got, "headroom_sessions{") {
		t.Errorf("without a database:\n%s", got)
	}
}
