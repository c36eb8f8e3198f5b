package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// zoneFile is a DNS service in memory.
type zoneFile struct {
	records map[dns.Key][]string
	fail    func(op string, keys []dns.Key) error
	lose    func() error // of calls that have taken effect
	calls   int
}

func (z *zoneFile) done() error {
	if z.lose != nil {
		return z.lose()
	}
	return nil
}

func (z *zoneFile) answer(op string, keys []dns.Key) error {
	z.calls++
	if z.fail != nil {
		return z.fail(op, keys)
	}
	return nil
}

func (z *zoneFile) Check(context.Context, string) (provider.Report, error) {
	return provider.Report{}, nil
}

func (z *zoneFile) Records(context.Context, string) (out []dns.Record, err error) {
	if err := z.answer("list", nil); err != nil {
		return nil, err
	}
	for k, values := range z.records {
		for _, v := range values {
			out = append(out, dns.Record{Key: k, Value: v})
		}
	}
	return out, nil
}

func (z *zoneFile) Set(_ context.Context, _ string, records []dns.Record) error {
	var keys []dns.Key
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	if err := z.answer("set", keys); err != nil {
		return err
	}
	for _, k := range keys {
		delete(z.records, k)
	}
	for _, r := range records {
		z.records[r.Key] = append(z.records[r.Key], r.Value)
	}
	return z.done()
}

func (z *zoneFile) Delete(_ context.Context, _ string, names []dns.Key) error {
	if err := z.answer("delete", names); err != nil {
		return err
	}
	for _, k := range names {
		delete(z.records, k)
	}
	return z.done()
}

func (z *zoneFile) text() string {
	var lines []string
	for k, values := range z.records {
		lines = append(lines, k.Name+" "+k.Type+" "+strings.Join(values, ","))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

type dnsWorld struct {
	*Controller
	t     *testing.T
	zone  *zoneFile
	clock *clocktesting.FakeClock
}

func newDNSWorld(t *testing.T) *dnsWorld {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite://:memory:", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &dnsWorld{t: t, zone: &zoneFile{records: map[dns.Key][]string{}}, clock: clock}
	w.Controller = New(Deps{
		Store: st, Clock: clock, Log: slog.New(slog.DiscardHandler),
		OpenDNS: func(context.Context, *store.Object) (*dns.Client, error) {
			return dns.NewClient(dns.Kind{RateLimit: 1e6}, w.zone, "example.com", []string{"s3cret"}, clock), nil
		},
	})
	w.put(fleet.KindDNSProvider, "d", fleet.DNSProviderSpec{Provider: "x", Settings: map[string]any{"zone": "example.com"}})
	w.put(fleet.KindAutoscaleConfig, "c", fleet.AutoscaleConfigSpec{RegisterDNS: true, DNSProvider: "d", BaseDomain: "desk.example.com"})
	w.put(fleet.KindAutoscaleConfig, "without", fleet.AutoscaleConfigSpec{})
	return w
}

func (w *dnsWorld) put(kind fleet.Kind, name string, spec any) {
	w.t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(func(tx *store.Tx) error {
		_, _, err := tx.PutObject(&store.Object{Kind: kind, Name: name, Spec: b}, w.clock.Now())
		return err
	})
}

func (w *dnsWorld) do(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.Store.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *dnsWorld) server(id, config string, phase fleet.Phase, addresses ...string) {
	w.t.Helper()
	now := w.clock.Now()
	w.do(func(tx *store.Tx) error {
		s, err := tx.Server(id)
		if err == nil {
			s.Phase, s.Addresses = phase, addresses
			if phase == fleet.PhaseGone {
				s.GoneAt = &now
			}
			return tx.SaveServer(s)
		}
		return tx.InsertServer(&fleet.Server{
			ID: id, Name: "hr-" + id, Origin: fleet.OriginAutoscaled, Pool: "p", Zone: "z", AutoscaleConfig: config, VMProvider: "v",
			Phase: phase, PhaseSince: now, CreatedAt: now, Addresses: addresses, CapacitySource: fleet.CapacityAssumed,
		})
	})
}

func (w *dnsWorld) pass() time.Duration {
	w.t.Helper()
	next, err := w.ReconcileDNS(w.t.Context(), "d")
	if err != nil {
		w.t.Fatal(err)
	}
	return next
}

func (w *dnsWorld) is(want ...string) {
	w.t.Helper()
	for i, line := range want {
		want[i] = strings.ReplaceAll(line, "MARK", "headroom,installation="+w.Store.Installation())
	}
	slices.Sort(want)
	if diff := cmp.Diff(strings.Join(want, "\n"), w.zone.text()); diff != "" {
		w.t.Errorf("zone:\n%s", diff)
	}
}

func TestDNSLife(t *testing.T) {
	t.Parallel()
	w := newDNSWorld(t)
	w.zone.records[dns.Key{Name: "www", Type: "A"}] = []string{"192.0.2.1"}
	w.server("a", "c", fleet.PhaseReady, "10.0.0.1", "2001:db8::1")
	w.server("b", "c", fleet.PhaseCreating)
	w.server("other", "without", fleet.PhaseReady, "10.0.0.9")
	w.pass()
	w.is("www A 192.0.2.1", "_headroom.hr-a.desk TXT MARK,server=a", "hr-a.desk A 10.0.0.1", "hr-a.desk AAAA 2001:db8::1")

	calls := w.zone.calls
	if next := w.pass(); next != never || w.zone.calls != calls {
		t.Errorf("at rest a pass made %d calls and wants another after %v", w.zone.calls-calls, next)
	}
	w.server("a", "c", fleet.PhaseDraining, "10.0.0.2")
	w.server("b", "c", fleet.PhaseBooting, "10.0.0.3")
	w.pass()
	w.is("www A 192.0.2.1", "_headroom.hr-a.desk TXT MARK,server=a", "hr-a.desk A 10.0.0.2", "_headroom.hr-b.desk TXT MARK,server=b", "hr-b.desk A 10.0.0.3")

	w.server("a", "c", fleet.PhaseDeleting, "10.0.0.2")
	w.pass()
	w.is("www A 192.0.2.1", "_headroom.hr-b.desk TXT MARK,server=b", "hr-b.desk A 10.0.0.3")

	// The policy itself changes: the name goes with it, the machine stays.
	w.put(fleet.KindAutoscaleConfig, "c", fleet.AutoscaleConfigSpec{})
	w.pass()
	w.is("www A 192.0.2.1")
	err := w.Store.Read(t.Context(), func(tx *store.Tx) error {
		n, _, err := tx.CountDNSRecords("d")
		if n != 0 {
			t.Errorf("%d rows are left", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDNSOneBadName: a name that the service refuses delays no other, and no
// call is lost when the service fails between any two of them.
func TestDNSOneBadName(t *testing.T) {
	t.Parallel()
	w := newDNSWorld(t)
	w.server("a", "c", fleet.PhaseReady, "10.0.0.1")
	w.server("bad", "c", fleet.PhaseReady, "10.0.0.2")
	w.server("c", "c", fleet.PhaseReady, "10.0.0.3")
	w.zone.fail = func(op string, keys []dns.Key) error {
		if slices.ContainsFunc(keys, func(k dns.Key) bool { return strings.HasSuffix(k.Name, "hr-bad.desk") }) {
			return provider.Errorf(provider.Invalid, "hr-bad is no name, says s3cret")
		}
		return nil
	}
	next := w.pass()
	w.is("_headroom.hr-a.desk TXT MARK,server=a", "hr-a.desk A 10.0.0.1", "_headroom.hr-c.desk TXT MARK,server=c", "hr-c.desk A 10.0.0.3")
	if next < 29*time.Second || next > 31*time.Second {
		t.Errorf("the next pass is after %v", next)
	}
	err := w.Store.Read(t.Context(), func(tx *store.Tx) error {
		row, err := tx.DNSRecord("bad")
		if err == nil && (row.Error != "invalid: hr-bad is no name, says [redacted]" || row.Attempts != 1) {
			t.Errorf("row %+v", row)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.zone.fail = nil
	w.clock.Step(31 * time.Second)
	w.pass()
	w.is("_headroom.hr-a.desk TXT MARK,server=a", "hr-a.desk A 10.0.0.1", "_headroom.hr-c.desk TXT MARK,server=c", "hr-c.desk A 10.0.0.3",
		"_headroom.hr-bad.desk TXT MARK,server=bad", "hr-bad.desk A 10.0.0.2")
}

// TestDNSCrashes lets every call in turn fail without an answer: what it did may
// or may not have happened. In the end nothing is left.
func TestDNSCrashes(t *testing.T) {
	t.Parallel()
	for _, took := range []bool{false, true} {
		for failing := 1; failing <= 6; failing++ {
			w := newDNSWorld(t)
			n := 0
			once := func() error {
				if n++; n == failing {
					return provider.Errorf(provider.Unavailable, "no answer")
				}
				return nil
			}
			if took {
				w.zone.lose = once
			} else {
				w.zone.fail = func(string, []dns.Key) error { return once() }
			}
			w.server("a", "c", fleet.PhaseReady, "10.0.0.1")
			for range 3 {
				w.pass()
				w.clock.Step(2 * time.Minute)
			}
			w.is("_headroom.hr-a.desk TXT MARK,server=a", "hr-a.desk A 10.0.0.1")
			w.server("a", "c", fleet.PhaseGone)
			for range 3 {
				w.pass()
				w.clock.Step(2 * time.Minute)
			}
			w.is("")
		}
	}
}

func TestDNSSweep(t *testing.T) {
	t.Parallel()
	w := newDNSWorld(t)
	sweep := func() {
		t.Helper()
		if err := w.SweepDNS(t.Context(), "d"); err != nil {
			t.Fatal(err)
		}
	}
	mark := func(name, installation, server string) {
		r := dns.Mark{Installation: installation, Server: server}.Record(name, 0)
		w.zone.records[r.Key] = []string{r.Value}
		w.zone.records[dns.Key{Name: name, Type: "A"}] = []string{"10.0.0.9"}
	}
	for i := range 9 {
		w.server(fmt.Sprintf("s%d", i), "c", fleet.PhaseReady, fmt.Sprintf("10.0.0.%d", i+1))
	}
	w.pass()
	mark("hr-lost.desk", w.Store.Installation(), "lost")
	mark("hr-foreign.desk", "another installation", "foreign")
	all := len(w.zone.records)
	sweep()
	w.clock.Step(5 * time.Minute)
	sweep()
	if len(w.zone.records) != all {
		t.Errorf("a name of five minutes was removed:\n%s", w.zone.text())
	}
	w.clock.Step(6 * time.Minute)
	sweep()
	if _, there := w.zone.records[dns.Key{Name: "hr-lost.desk", Type: "A"}]; there || len(w.zone.records) != all-2 {
		t.Errorf("only the lost name should be gone:\n%s", w.zone.text())
	}

	// A database that knows nothing is more likely wrong than the zone.
	for i := range 9 {
		mark(fmt.Sprintf("hr-x%d.desk", i), w.Store.Installation(), fmt.Sprintf("x%d", i))
	}
	all = len(w.zone.records)
	for range 3 {
		w.clock.Step(11 * time.Minute)
		sweep()
	}
	if len(w.zone.records) != all {
		t.Errorf("a sweep removed most of the zone:\n%s", w.zone.text())
	}
	told := func() (text string, events int) {
		w.do(func(tx *store.Tx) error {
			state, err := tx.ProviderState(store.StateOfDNS("d"))
			if err != nil {
				return err
			}
			list, err := tx.Events(store.EventFilter{Kind: string(fleet.KindDNSProvider), Name: "d"})
			for _, e := range list {
				if e.Type == fleet.EventSweepStopped {
					events++
				}
			}
			text = state.SweepError
			return err
		})
		return text, events
	}
	if text, events := told(); !strings.Contains(text, "9 of 18 names") || events != 1 {
		t.Errorf("operators are told %q in %d events", text, events)
	}
	for i := range 9 {
		delete(w.zone.records, dns.MarkKey(fmt.Sprintf("hr-x%d.desk", i)))
		delete(w.zone.records, dns.Key{Name: fmt.Sprintf("hr-x%d.desk", i), Type: "A"})
	}
	sweep()
	if text, events := told(); text != "" || events != 2 {
		t.Errorf("the alert is over, and operators are told %q in %d events", text, events)
	}
	w.zone.fail = func(string, []dns.Key) error { return provider.Errorf(provider.Unavailable, "down") }
	sweep()
	w.zone.fail = nil

	// Somebody who has looked may allow more: 9 of 18 are a half.
	few := len(w.zone.records)
	for i := range 9 {
		mark(fmt.Sprintf("hr-y%d.desk", i), w.Store.Installation(), fmt.Sprintf("y%d", i))
	}
	for _, c := range []struct {
		share int64
		left  int
		told  string
	}{{49, few + 18, "raise max_orphan_share of the DNSProvider, now 49 %"}, {50, few, ""}} {
		w.put(fleet.KindDNSProvider, "d", fleet.DNSProviderSpec{Provider: "x", Settings: map[string]any{"zone": "example.com"}, MaxOrphanShare: c.share})
		for range 3 {
			w.clock.Step(11 * time.Minute)
			sweep()
		}
		if text, _ := told(); len(w.zone.records) != c.left || !strings.HasSuffix(text, c.told) || (c.told == "") != (text == "") {
			t.Errorf("with max_orphan_share %d there are %d records, want %d, and operators are told %q, want %q", c.share, len(w.zone.records), c.left, text, c.told)
		}
	}
}
