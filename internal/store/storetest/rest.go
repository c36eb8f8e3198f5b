package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

func testTokens(t *testing.T, s *store.Store) {
	full := &fleet.APIToken{ID: "t1", Name: "ci", Role: fleet.RoleSession, Pool: "p", CreatedAt: t0, CreatedBy: "admin", ExpiresAt: ptr(t0.Add(time.Hour)), LastUsedAt: ptr(t0)}
	wantNoZero(t, full)
	few := &fleet.APIToken{Name: "few", Role: fleet.RoleAdmin}
	write(t, s, func(tx *store.Tx) error {
		if err := tx.InsertToken(full, "hash1"); err != nil {
			return err
		}
		if err := tx.InsertToken(few, "hash2"); err != nil {
			return err
		}
		wantErr(t, "a second hash", tx.InsertToken(&fleet.APIToken{ID: "t3"}, "hash1"), store.ErrExists)
		return nil
	})
	if few.ID == "" || few.CreatedAt.IsZero() {
		t.Errorf("not filled in: %+v", few)
	}
	byHash := func(hash string) (v *fleet.APIToken, err error) {
		err = s.Read(t.Context(), func(tx *store.Tx) (err error) { v, err = tx.TokenByHash(hash); return err })
		return v, err
	}
	wantSame(t, "by hash", must(byHash("hash1")), full)
	wantSame(t, "all", get(t, s, func(tx *store.Tx) ([]*fleet.APIToken, error) { return tx.Tokens() }), []*fleet.APIToken{full, few})
	write(t, s, func(tx *store.Tx) error { return tx.TouchToken(few.ID, t0) })
	if v := must(byHash("hash2")); v.LastUsedAt == nil || *v.LastUsedAt != us(t0) {
		t.Errorf("touched: %+v", v)
	}
	write(t, s, func(tx *store.Tx) error { return tx.DeleteToken("t1") })
	_, err := byHash("hash1")
	wantErr(t, "a deleted token", err, store.ErrNotFound)
	wantErr(t, "deleting twice", s.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteToken("t1") }), store.ErrNotFound)
}

func testAgentCredentials(t *testing.T, s *store.Store) {
	addServers(t, s, agent("a", res(1, 1, 0)), agent("b", res(1, 1, 0)))
	set := func(id, hash string) error {
		return s.Write(t.Context(), func(tx *store.Tx) error { return tx.SetAgentCredential(id, hash, t0) })
	}
	// use returns the server's id, "" when the credential is not valid.
	use := func(hash string, via func(func(*store.Tx) error) error) string {
		t.Helper()
		id := ""
		err := via(func(tx *store.Tx) error {
			v, at, err := tx.ServerByAgentCredential(hash)
			if err == nil {
				id = v.ID
				if whole, err := tx.Server(id); err != nil || !cmp.Equal(v, whole) || at != us(t0) {
					t.Errorf("server %+v of a credential set at %v; by itself %+v, %v", v, at, whole, err)
				}
			}
			return err
		})
		if id == "" {
			wantErr(t, "an invalid credential", err, store.ErrNotFound)
		}
		return id
	}
	byRead := func(fn func(*store.Tx) error) error { return s.Read(t.Context(), fn) }
	byWrite := func(fn func(*store.Tx) error) error { return s.Write(t.Context(), fn) }
	for name, via := range map[string]func(func(*store.Tx) error) error{"read": byRead, "write": byWrite} {
		h := func(n int) string { return fmt.Sprint(name, n) }
		write(t, s, func(tx *store.Tx) error { return tx.DeleteAgentCredentials("a") })
		steps := []struct {
			what  string
			set   string
			use   string
			valid string
		}{
			{what: "nothing set", use: h(1)},
			{what: "the first", set: h(1), use: h(1), valid: "a"},
			{what: "rotated, the old one still serves", set: h(2), use: h(1), valid: "a"},
			{what: "again, the answer was lost", set: h(2), use: h(1), valid: "a"},
			{what: "another one before that was used", set: h(3), use: h(1), valid: "a"},
			{what: "which replaces the unused one", use: h(2)},
			{what: "the newest is used", use: h(3), valid: "a"},
			{what: "so the old one is over", use: h(1)},
			{what: "rotated", set: h(4), use: h(3), valid: "a"},
			{what: "back to the old one", set: h(3), use: h(3), valid: "a"},
			{what: "which drops the new one", use: h(4)},
		}
		for _, step := range steps {
			if step.set != "" {
				wantErr(t, step.what, set("a", step.set), nil)
			}
			if got := use(step.use, via); got != step.valid {
				t.Errorf("%s, %s: got %q, want %q", name, step.what, got, step.valid)
			}
		}
		read(t, s, func(tx *store.Tx) error {
			hash, when, err := tx.AgentCredential("a")
			if err != nil || hash != h(3) || when != us(t0) {
				t.Errorf("AgentCredential: %q, %v, %v", hash, when, err)
			}
			return nil
		})
		wantErr(t, "the credential of another server", set("b", h(3)), store.ErrExists)
	}
	write(t, s, func(tx *store.Tx) error { return tx.DeleteAgentCredentials("a") })
	if got := use("read3", byRead); got != "" {
		t.Errorf("a deleted credential serves %q", got)
	}
	read(t, s, func(tx *store.Tx) error {
		_, _, err := tx.AgentCredential("a")
		wantErr(t, "AgentCredential of none", err, store.ErrNotFound)
		return nil
	})
}

// testScripts: how far a script in a guest has come is kept per server.
func testScripts(t *testing.T, s *store.Store) {
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.ServerScript("a")
		wantErr(t, "ServerScript of none", err, store.ErrNotFound)
		return nil
	})
	begun := store.ServerScript{ServerID: "a", Progress: "1", Note: "waiting", StartedAt: at(1)}
	ended := store.ServerScript{ServerID: "a", Progress: "2", Note: "done", StartedAt: at(1), EndedAt: ptr(at(2)), ExitCode: ptr(int64(3))}
	wantNoZero(t, &ended)
	for _, want := range []store.ServerScript{begun, ended, ended} {
		write(t, s, func(tx *store.Tx) error { return tx.SaveServerScript(&want) })
		read(t, s, func(tx *store.Tx) error {
			got, err := tx.ServerScript("a")
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("script:\n%s", diff)
			}
			return err
		})
	}
}

// testDNS: names are kept per server and found by their DNS provider.
func testDNS(t *testing.T, s *store.Store) {
	a := store.DNSRecord{ServerID: "a", DNSProvider: "d", Zone: "example.com", Name: "hr-a", Written: []string{"10.0.0.1"}, Attempts: 2, DueAt: at(1), Error: "e"}
	b := store.DNSRecord{ServerID: "b", DNSProvider: "d", Zone: "example.com", Name: "hr-b", Written: []string{}, DueAt: at(2)}
	other := store.DNSRecord{ServerID: "c", DNSProvider: "other", Zone: "example.org", Name: "hr-c", Written: []string{}, DueAt: at(3)}
	wantNoZero(t, &a)
	write(t, s, func(tx *store.Tx) error {
		for _, r := range []store.DNSRecord{b, a, other, a} {
			if err := tx.SaveDNSRecord(&r); err != nil {
				return err
			}
		}
		return nil
	})
	read(t, s, func(tx *store.Tx) error {
		list, err := tx.DNSRecords("d")
		if diff := cmp.Diff([]store.DNSRecord{a, b}, list); diff != "" || err != nil {
			t.Errorf("names, %v:\n%s", err, diff)
		}
		one, err := tx.DNSRecord("c")
		if diff := cmp.Diff(&other, one); diff != "" || err != nil {
			t.Errorf("name of c, %v:\n%s", err, diff)
		}
		all, failing, err := tx.CountDNSRecords("d")
		if all != 2 || failing != 1 || err != nil {
			t.Errorf("%d names, %d failing, %v", all, failing, err)
		}
		_, _, err = tx.CountDNSRecords("none")
		return err
	})
	for range 2 {
		write(t, s, func(tx *store.Tx) error { return tx.DeleteDNSRecord("a") })
	}
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.DNSRecord("a")
		wantErr(t, "DNSRecord of none", err, store.ErrNotFound)
		return nil
	})
}

func testStates(t *testing.T, s *store.Store) {
	a := store.AutoscaleState{Config: "c", SurplusSince: at(1), Spare: json.RawMessage(`[{"machines": 2}]`), Decision: json.RawMessage(`{"why": "so"}`), DecidedAt: at(2)}
	p := store.ProviderState{
		Provider: "v", Circuit: "open", Failures: 3, OpenUntil: at(1), Error: "e", ErrorClass: "quota", BlockedUntil: at(2), BlockedReason: "r",
		Tokens: 0.25, TokensAt: at(3), ListedAt: at(4), ListError: "l", SweepError: "s", RemnantError: "m",
		Stillborn: 5, StillbornAt: at(5),
	}
	wantNoZero(t, &a)
	wantNoZero(t, &p)
	for _, want := range []struct {
		a store.AutoscaleState
		p store.ProviderState
	}{{store.AutoscaleState{Config: "c"}, store.ProviderState{Provider: "v"}}, {a, p}, {store.AutoscaleState{Config: "c"}, store.ProviderState{Provider: "v", Circuit: "closed"}}} {
		if want.p.Circuit != "" {
			write(t, s, func(tx *store.Tx) error {
				if err := tx.SaveAutoscaleState(want.a); err != nil {
					return err
				}
				return tx.SaveProviderState(want.p)
			})
		}
		wantSame(t, "AutoscaleState", get(t, s, func(tx *store.Tx) (store.AutoscaleState, error) { return tx.AutoscaleState("c") }), want.a)
		wantSame(t, "ProviderState", get(t, s, func(tx *store.Tx) (store.ProviderState, error) { return tx.ProviderState("v") }), want.p)
	}
}

func testSightings(t *testing.T, s *store.Store) {
	one := store.Sighting{Provider: "v", Kind: "disk", CloudID: "d-1", Name: "n", ServerID: "s", FirstSeen: at(1), LastSeen: at(2), Count: 2}
	wantNoZero(t, &one)
	two := store.Sighting{Provider: "v", Kind: "vm", CloudID: "d-1", FirstSeen: at(0), LastSeen: at(0), Count: 1}
	other := store.Sighting{Provider: "w", Kind: "vm", CloudID: "d-1", FirstSeen: at(0), LastSeen: at(0), Count: 1}
	save := func(list ...store.Sighting) {
		write(t, s, func(tx *store.Tx) error {
			for _, x := range list {
				if err := tx.SaveSighting(x); err != nil {
					return err
				}
			}
			return nil
		})
	}
	list := func() []store.Sighting {
		return get(t, s, func(tx *store.Tx) ([]store.Sighting, error) { return tx.Sightings("v") })
	}
	save(one, two, other)
	wantSame(t, "sightings", list(), []store.Sighting{two, one})
	one.Count, one.LastSeen, one.Name = 3, at(3), "m"
	save(one)
	wantSame(t, "seen again", list(), []store.Sighting{two, one})
	write(t, s, func(tx *store.Tx) error { return tx.DeleteSighting("v", "vm", "d-1") })
	wantSame(t, "deleted", list(), []store.Sighting{one})
}

func logLine(at time.Time, stream, text string) store.LogLine {
	return store.LogLine{At: at, Stream: stream, Text: text}
}

func testLogs(t *testing.T, s *store.Store) {
	const limit = 64 << 10
	add := func(lines ...store.LogLine) {
		write(t, s, func(tx *store.Tx) error { return tx.AppendServerLog("a", lines) })
	}
	list := func() []store.LogLine {
		return get(t, s, func(tx *store.Tx) ([]store.LogLine, error) { return tx.ServerLog("a") })
	}
	wantSame(t, "nothing", list(), []store.LogLine{})
	first := []store.LogLine{logLine(at(1), "script", "one"), logLine(at(1), "script", "a second at that moment"), logLine(at(3), "agent", ""), logLine(at(2), "agent", "earlier")}
	add(first...)
	wantSame(t, "by time", list(), []store.LogLine{first[0], first[1], first[3], first[2]})

	size := func(stream string) (n, lines int) {
		for _, l := range list() {
			if l.Stream == stream {
				n += len(l.Text) + 1
				lines++
			}
		}
		return n, lines
	}
	line := strings.Repeat("x", 99)
	for i := range 100 {
		batch := make([]store.LogLine, 20)
		for j := range batch {
			batch[j] = store.LogLine{At: at(10 + i), Stream: "console", Text: line}
		}
		add(batch...)
	}
	if n, lines := size("console"); n > limit || n < limit-200 || lines != limit/100 {
		t.Errorf("%d bytes in %d lines are kept, want the last %d lines", n, lines, limit/100)
	}
	if last := list(); last[len(last)-1].At != at(109) {
		t.Errorf("the last line is of %v", last[len(last)-1].At)
	}
	if _, lines := size("script"); lines != 2 {
		t.Errorf("another stream has %d lines, want 2", lines)
	}
	add(logLine(at(200), "console", strings.Repeat("y", 3*limit)+"end"))
	if n, lines := size("console"); n != limit || lines != 1 {
		t.Errorf("of one long line %d bytes in %d lines are kept, want %d in 1", n, lines, limit)
	}
	many := make([]store.LogLine, 5000)
	for i := range many {
		many[i] = logLine(at(300), "console", fmt.Sprintf("%099d", i))
	}
	add(many...)
	if n, lines := size("console"); n > limit || lines != limit/100 {
		t.Errorf("of many lines at once %d bytes in %d lines are kept", n, lines)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				if err := s.Write(t.Context(), func(tx *store.Tx) error {
					return tx.AppendServerLog("b", []store.LogLine{logLine(at(i), "agent", fmt.Sprint(w))})
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(get(t, s, func(tx *store.Tx) ([]store.LogLine, error) { return tx.ServerLog("b") })); n != 80 {
		t.Errorf("%d lines of 80 were kept", n)
	}
}

func testSettings(t *testing.T, s *store.Store) {
	setting := func() string {
		return get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("k") })
	}
	for _, v := range []string{"", "one", "two", ""} {
		if v != "" || setting() != "" {
			write(t, s, func(tx *store.Tx) error { return tx.SetSetting("k", v) })
		}
		if setting() != v {
			t.Errorf("the setting is %q, want %q", setting(), v)
		}
	}
	// Counting under a lock: no writer overwrites another, on any database.
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range 10 {
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					lock := tx.LockPool
					if w == 0 {
						lock = func(name string) error { // holders of both locks
							if err := tx.LockPool(name); err != nil {
								return err
							}
							return tx.LockProvider(name)
						}
					}
					if err := lock("n"); err != nil {
						return err
					}
					v, err := tx.Setting("count")
					if err != nil {
						return err
					}
					return tx.SetSetting("count", v+"x")
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v := get(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("count") }); len(v) != 80 {
		t.Errorf("counted to %d, want 80", len(v))
	}
}

// testOddText: what machines and clouds say must not make a write fail.
func testOddText(t *testing.T, s *store.Store) {
	odd := "a\x00b\xff c' \" $1 ? \u00fc\U0001f642"
	v := agent("a", res(1, 1, 0))
	v.Reason, v.Addresses = odd, []string{"a'b", "\u00fc"}
	addServers(t, s, v)
	write(t, s, func(tx *store.Tx) error {
		tx.Emit(fleet.Event{Message: odd, Data: map[string]any{"odd": "x\x00y"}})
		return tx.AppendServerLog("a", []store.LogLine{logLine(t0, "agent", odd)})
	})
	write(t, s, func(tx *store.Tx) error {
		e := session("e", fleet.SessionActive)
		if err := tx.InsertSession(e); err != nil {
			return err
		}
		e.Reason = odd
		return tx.SaveSession(e)
	})
	want := "a\uFFFDb\uFFFD c' \" $1 ? \u00fc\U0001f642"
	got := get(t, s, func(tx *store.Tx) (*fleet.Server, error) { return tx.Server("a") })
	if got.Reason != want {
		t.Errorf("the reason is %q, want %q", got.Reason, want)
	}
	if e := get(t, s, func(tx *store.Tx) (*fleet.Session, error) { return tx.Session("e") }); e.Reason != want {
		t.Errorf("the session's reason is %q, want %q", e.Reason, want)
	}
	wantSame(t, "addresses", got.Addresses, v.Addresses)
	if e := events(t, s, store.EventFilter{})[0]; e.Message != want || e.Data["odd"] != "x\x00y" {
		t.Errorf("the event is %+v", e)
	}
	if l := get(t, s, func(tx *store.Tx) ([]store.LogLine, error) { return tx.ServerLog("a") }); l[0].Text != want {
		t.Errorf("the line is %q", l[0].Text)
	}
}
