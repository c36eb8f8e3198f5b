package dnstest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/dns/dnstest"
	"github.com/headroom-dev/headroom/internal/provider"
)

// mutantEnv names the fault of the service in a child process of the test.
const mutantEnv = "HEADROOM_DNS_MUTANT"

const secret = "the-secret-of-the-account"

// mutants are faults of a service, each with the case that must find it.
var mutants = map[string]string{
	"forgets addresses of version 6":    "a name is written, listed and removed",
	"lists no times to live":            "a name is written, listed and removed",
	"writes again what is there":        "a repeated call changes nothing",
	"adds instead of replacing":         "set replaces what was there, of its types alone",
	"replaces all types":                "set replaces what was there, of its types alone",
	"asks for nothing":                  "nothing to do is no error",
	"minds what is not there":           "deleting twice, and what never was",
	"spells the zone as a name":         "the zone itself",
	"rounds times to live":              "times to live",
	"cuts texts":                        "texts arrive as they were",
	"keeps quotes":                      "texts arrive as they were",
	"removes by name":                   "somebody else's records stay",
	"removes marks first":               "addresses never stand without their mark",
	"writes marks last":                 "addresses never stand without their mark",
	"lists one page":                    "all pages",
	"lists half":                        "half a listing is an error",
	"shows half with the error":         "half a listing is an error",
	"tries again by itself":             "errors have their class",
	"answers plain errors":              "errors have their class",
	"gives up at a clash":               "a change that was overtaken",
	"tries for ever":                    "a change that was overtaken",
	"takes the private zone":            "a private zone of the same name",
	"has every zone":                    "a zone that is not there",
	"has no remedy":                     "a zone that is not there",
	"takes any credential":              "credentials that are refused",
	"shows secrets":                     "credentials that are refused",
	"names another right":               "missing rights are named",
	"trusts everybody":                  "a stranger's certificate",
	"goes on when nobody waits anymore": "a call that was given up",
}

// The suite is worth what it finds: each faulty service runs in a process of its
// own, whose test must fail in the right case.
func TestSuiteFindsMutants(t *testing.T) {
	t.Parallel()
	for name, finds := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finds := strings.ReplaceAll(finds, " ", "_")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$/^"+finds+"$", "-test.v")
			cmd.Env = append(os.Environ(), mutantEnv+"="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), "--- FAIL: TestMutant/"+finds) {
				t.Errorf("case %q does not find it: %v\n%s", finds, err, out)
			}
		})
	}
}

// TestMutant runs in the child processes, and without a fault as the control that
// proves that the harness itself is sound.
func TestMutant(t *testing.T) {
	t.Parallel()
	fault := os.Getenv(mutantEnv)
	if _, ok := mutants[fault]; fault != "" && !ok {
		t.Fatalf("there is no mutant %q", fault)
	}
	kind := dns.KindOf(dns.Kind{Name: "toy"}, func(_ context.Context, s toySettings) (dns.Service, error) { return driver{s.zone, s.Trusted}, nil })
	dnstest.Run(t, dnstest.Harness{Kind: kind, New: func(*testing.T) dnstest.Account { return account(fault) }})
}

type toySettings struct {
	dns.Settings
	Trusted string `json:"trusted,omitempty" maxLength:"63" doc:"Authority that is trusted." example:"ours"`
	zone    *zone
}

func account(fault string) dnstest.Account {
	z := &zone{fault: fault}
	s := &toySettings{zone: z}
	s.Zone = dnstest.Zone
	wrong := *s
	wrong.Trusted = "another"
	fail := func(class provider.Class) func() {
		return func() { z.locked(func() { z.failures = []provider.Class{class} }) }
	}
	return dnstest.Account{
		Settings: s, WrongCA: &wrong, Secrets: []string{secret},
		Stored: func() (out []string) {
			z.locked(func() {
				for _, r := range z.records {
					out = append(out, dnstest.Line(r))
				}
			})
			return out
		},
		AddText: func(name, text string) {
			z.locked(func() {
				z.records = append(z.records, dns.Record{Key: dns.Key{Name: name, Type: "TXT"}, Value: text, TTL: time.Minute})
			})
		},
		Calls: func() (n int64) { z.locked(func() { n = z.calls }); return n }, RepeatCalls: 1,
		Expire:  func() { z.locked(func() { z.expired = true }) },
		Lack:    func(rights ...string) { z.locked(func() { z.lacking = rights }) },
		Checked: []string{"toy.read"}, Write: "toy.write", WriteHint: "toy.write",
		Fail:       map[provider.Class]func(){provider.RateLimited: fail(provider.RateLimited), provider.Unavailable: fail(provider.Unavailable)},
		BreakPage:  func() { z.locked(func() { z.breakPage = true }) },
		BreakWrite: func(after int) { z.locked(func() { z.breakWrite = after + 1 }) },
		Clash:      func(_ bool, changes int) { z.locked(func() { z.clashes = changes }) },
		Private:    func() { z.locked(func() { z.private = true }) },
	}
}

// zone is a service that takes one change of one name at a time.
type zone struct {
	mu         sync.Mutex
	fault      string
	records    []dns.Record
	calls      int64
	expired    bool
	lacking    []string
	failures   []provider.Class
	breakPage  bool
	breakWrite int // counts down to the change that fails
	clashes    int
	private    bool
}

func (z *zone) locked(do func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	do()
}

const page = 100

type driver struct {
	*zone
	trusted string
}

// enter is what every request begins with.
func (d driver) enter(ctx context.Context, name, right string) error {
	d.calls++
	is := func(fault string) bool { return d.fault == fault }
	switch {
	case ctx.Err() != nil && !is("goes on when nobody waits anymore"):
		return &provider.Error{Class: provider.ClassOf(ctx.Err()), Message: ctx.Err().Error(), Cause: ctx.Err()}
	case d.trusted != "" && !is("trusts everybody"):
		return provider.Errorf(provider.Unauthenticated, "the certificate is of another authority")
	case d.expired && is("shows secrets"):
		return provider.Errorf(provider.Unauthenticated, "refused: %s", secret)
	case d.expired && !is("takes any credential"):
		return provider.Errorf(provider.Unauthenticated, "refused")
	case len(d.failures) > 0:
		class := d.failures[0]
		d.failures = d.failures[1:]
		if is("tries again by itself") {
			return d.enter(ctx, name, right)
		}
		if is("answers plain errors") {
			return errors.New(string(class))
		}
		return provider.Errorf(class, "as told")
	case slices.Contains(d.lacking, right):
		return provider.Errorf(provider.Forbidden, "%s is not granted", right)
	case name != dnstest.Zone && !is("has every zone"):
		return provider.Errorf(provider.NotFound, "there is no zone %s", name)
	}
	return nil
}

func (d driver) Check(ctx context.Context, name string) (provider.Report, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := provider.Finding{Subject: "zone " + name, Verdict: provider.VerdictOK, Message: "it is there"}
	err := d.enter(ctx, name, "toy.read")
	switch provider.ClassOf(err) {
	case provider.NotFound:
		f.Verdict, f.Remedy = provider.VerdictFailed, "make it"
	case provider.Forbidden:
		f.Subject, f.Verdict, f.Remedy = "permission toy.read", provider.VerdictFailed, "grant it"
	default:
		if err != nil {
			return provider.Report{}, err
		}
	}
	if d.fault == "has no remedy" {
		f.Remedy = ""
	}
	if d.fault == "names another right" {
		f.Subject = strings.ReplaceAll(f.Subject, "toy.read", "toy.admin")
	}
	return provider.Report{Findings: []provider.Finding{f}}, nil
}

func (d driver) Records(ctx context.Context, name string) ([]dns.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []dns.Record
	for at := 0; at == 0 || at < len(d.records); at += page {
		if err := d.enter(ctx, name, "toy.read"); err != nil {
			return nil, err
		}
		if at > 0 && (d.breakPage || d.fault == "lists one page") {
			broken := d.breakPage
			d.breakPage = false
			switch {
			case d.fault == "lists half" || !broken:
				return out, nil
			case d.fault == "shows half with the error":
				return out, provider.Errorf(provider.Unavailable, "a page is missing")
			}
			return nil, provider.Errorf(provider.Unavailable, "a page is missing")
		}
		for _, r := range d.records[at:min(at+page, len(d.records))] {
			if d.fault == "lists no times to live" {
				r.TTL = 0
			}
			if d.fault == "keeps quotes" && r.Type == "TXT" {
				r.Value = dns.Quote(r.Value)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func (d driver) Set(ctx context.Context, name string, records []dns.Record) error {
	sets := dns.Sets(records)
	if d.fault == "writes marks last" {
		slices.Reverse(sets)
	}
	if len(sets) == 0 && d.fault == "asks for nothing" {
		return d.change(ctx, name, dns.Key{Name: "nothing", Type: "A"}, nil)
	}
	for _, s := range sets {
		var want []dns.Record
		for _, v := range s.Values {
			r := dns.Record{Key: s.Key, Value: v, TTL: max(s.TTL, time.Second)}
			switch d.fault {
			case "cuts texts":
				r.Value = v[:min(len(v), 255)]
			case "rounds times to live":
				r.TTL = max(r.TTL, time.Minute)
			case "spells the zone as a name":
				r.Name = strings.ReplaceAll(r.Name, "@", dnstest.Zone)
			case "forgets addresses of version 6":
				if r.Type == "AAAA" {
					continue
				}
			}
			want = append(want, r)
		}
		if err := d.change(ctx, name, s.Key, want); err != nil {
			return err
		}
	}
	return nil
}

func (d driver) Delete(ctx context.Context, name string, keys []dns.Key) error {
	keys = slices.Clone(keys)
	if d.fault == "removes marks first" {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if d.fault == "minds what is not there" && !slices.ContainsFunc(d.records, func(r dns.Record) bool { return r.Key == k }) {
			return provider.Errorf(provider.NotFound, "there is no %s", k.Name)
		}
		if err := d.change(ctx, name, k, nil); err != nil {
			return err
		}
	}
	return nil
}

// change makes the records of a key be the wanted ones.
func (d driver) change(ctx context.Context, name string, k dns.Key, want []dns.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for try := 1; ; try++ {
		if err := d.enter(ctx, name, "toy.write"); err != nil {
			return err
		}
		if d.fault == "writes again what is there" && want != nil && slices.Contains(d.records, want[0]) {
			d.calls++
		}
		if d.breakWrite > 0 {
			if d.breakWrite--; d.breakWrite == 0 {
				return provider.Errorf(provider.Unavailable, "broken")
			}
		}
		if d.clashes == 0 {
			break
		}
		d.clashes--
		if (try == 3 || d.fault == "gives up at a clash") && d.fault != "tries for ever" {
			return provider.Errorf(provider.Conflict, "overtaken")
		}
	}
	d.records = slices.DeleteFunc(d.records, func(r dns.Record) bool {
		switch {
		case d.fault == "adds instead of replacing" && want != nil:
			return slices.Contains(want, r)
		case d.fault == "replaces all types" && want != nil, d.fault == "removes by name" && want == nil:
			return r.Name == k.Name
		}
		return r.Key == k
	})
	if !d.private || d.fault != "takes the private zone" {
		d.records = append(d.records, want...)
	}
	return nil
}
