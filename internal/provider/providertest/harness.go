// Package providertest is the conformance suite of the driver contract. The
// test of a driver is a harness and one call:
//
//	func TestConformance(t *testing.T) {
//		t.Parallel()
//		providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account { … }})
//	}
//
// What a harness cannot do is shown as a skipped test, so that the gaps of a
// driver's proof can be read from its output. A fault that is found in one
// driver becomes a case here.
package providertest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// nowhere is a controller that does not listen.
const nowhere = "http://127.0.0.1:9"

// Harness gives the suite places to work in.
type Harness struct {
	// New makes a fresh, empty account with whatever it needs, and cleans up
	// with t.Cleanup. It is called once per case; the cases run in parallel.
	New func(t *testing.T) Account
}

// Account is one place in which machines can be made, and what its harness can
// do to it. Kind and Settings are required; a case whose hook is missing is
// skipped. A hook may be called several times.
type Account struct {
	Kind     provider.Kind
	Settings any           // for Kind.Open; defaults are filled in, here and in the other settings of the account
	Host     provider.Host // empty parts are filled in

	Secrets       []string      // never to be seen in an error: credentials of the settings
	Patience      time.Duration // longest time until a change shows, and until a machine runs or is gone; 0: 30 s
	Pages         int           // how many machines need more than one page of a listing; 0: 3
	ControllerURL string        // told to the machines; empty: one where nobody listens

	// Foreign makes a machine without our marks and returns its id.
	Foreign func(t *testing.T) (id string)
	// Exists says whether a machine is there, whoever owns it, without the
	// driver's help.
	Exists func(t *testing.T, id string) bool
	// Leftovers names everything that is in the account, of every kind of
	// object, without the driver's help.
	Leftovers func(t *testing.T) []string
	// LoseCreate lets the next create take effect while its answer is lost.
	LoseCreate func(t *testing.T)
	// LoseDelete lets the next delete take effect while its answer is lost.
	LoseDelete func(t *testing.T)
	// HideNew lets the service hide machines that are made from now on, in those of
	// its answers in which it shows new ones late, until show is called: in listings
	// nearly always, in the look at one machine and in its delete where they lag too.
	HideNew func(t *testing.T) (show func())
	// FindsByList says that the cloud has no idempotency, so that the driver finds
	// an earlier create by a listing. The controller repeats a create only after
	// listings that must show what came of it.
	FindsByList bool
	// BreakList lets the next listing fail, best after some machines.
	BreakList func(t *testing.T)
	// LeaveRemnant puts an object with these tags there that belongs to no
	// machine, as a half-done create or delete would.
	LeaveRemnant func(t *testing.T, tags provider.Tags)
	// BreakRemnants lets the next listing of remnants fail, best after some of
	// them.
	BreakRemnants func(t *testing.T)
	// UserData returns what the machine was given.
	UserData func(t *testing.T, id string) []byte
	// Addresses are those by which a running machine is reached. Nil for machines
	// without.
	Addresses func(t *testing.T, id string) []string
	// Tagged gives every object that the driver made, of whatever kind, with the
	// tags that it bears, without the driver's help. Keys are for people.
	Tagged func(t *testing.T) map[string]provider.Tags
	// WrongCA are settings as Settings that trust another authority than the one
	// that signed the service's certificate. The service of Settings itself speaks
	// TLS with a private authority then.
	WrongCA any
	// Expire makes the service refuse the credentials from now on, until restore
	// is called.
	Expire func(t *testing.T) (restore func())
	// Hang lets the service accept the next call and answer nothing for at least
	// ten seconds, or until the test ends.
	Hang func(t *testing.T)
	// Override is what the case about config_override needs; nil for kinds
	// without one.
	Override *Override
	// Calls counts the requests that the service has got so far.
	Calls func() int64
	// LifeCalls is how many requests the life of one machine costs: its create,
	// its delete, and the look that finds it gone. It belongs into the provider's
	// page.
	LifeCalls int64
	// ScriptRuns counts how often the guest of a machine has begun to run a
	// script; the guest really runs it with a shell. For drivers that are
	// ScriptRunner with Settings whose channel says AfterBoot.
	ScriptRuns func(t *testing.T, id string) int

	// CatalogSettings are settings whose credentials have what lists of choices need
	// beyond the least rights; nil: Settings have it.
	CatalogSettings func(t *testing.T) any
	// Interrupt lets the cloud give notice that it will take the machine back,
	// while it still runs. Nil for clouds that give none.
	Interrupt func(t *testing.T, id string)
	// Password lets the machine make an administrator's password and returns it.
	// For drivers that are PasswordReader.
	Password func(t *testing.T, id string) provider.Login
	// WithPassword are settings as Settings whose machines have such a password;
	// nil when those of Settings have one.
	WithPassword any
	// Stop powers the machine off, as a crash would.
	Stop func(t *testing.T, id string)
	// GiveUp lets the cloud give up a machine that it has accepted, and returns
	// why: NoCapacity, Quota, or empty for any other reason.
	GiveUp func(t *testing.T, id string) provider.Class
	// Console lets the machine write to its console, and returns the end of what
	// it wrote, at least 100 bytes. For drivers that are ConsoleReader.
	Console func(t *testing.T, id string) []byte
	// TakeRight takes one permission away that the settings need and returns a
	// word by which Check must name it.
	TakeRight func(t *testing.T) (right string)

	// Provoke makes the cloud answer a call of the driver with an error of the
	// class and returns what the driver made of it. The driver is the one that
	// Kind.Open made; Request makes a request for it.
	Provoke map[provider.Class]func(t *testing.T, d provider.Driver) error
	// Throttle is the time to wait that the cloud names when Provoke makes it
	// answer RateLimited; 0 when it names none.
	Throttle time.Duration
}

// Request is a valid request for a machine of the server, for hooks that make
// machines of their own.
func Request(server string) provider.Request { return request(server, owners()[0]) }

// Override is how a kind's config_override is tried.
type Override struct {
	// With are the account's settings with the document as config_override.
	With func(doc map[string]any) any
	// Good is a document that the vendor's API knows; Shown says what is wrong
	// with the machine that was made with it, empty when it took effect.
	Good  map[string]any
	Shown func(t *testing.T, id string) string
	// Bad is a document with a key that the vendor's API does not have, below
	// the top where the API has objects.
	Bad map[string]any
	// BadPath is the end of the path of the error about it.
	BadPath string
	// Hostile are documents that would take away what makes a machine ours: its
	// name, the tags of each of its objects, its user data. Each is refused, or
	// it changes none of these.
	Hostile []map[string]any
}

func (a *Account) fill(t *testing.T) {
	t.Helper()
	if a.Kind.Open == nil || a.Settings == nil {
		t.Fatal("the harness gives no kind or no settings")
	}
	for _, s := range []any{a.Settings, a.WrongCA, a.WithPassword} {
		if s != nil {
			settings.ApplyDefaults(s)
		}
	}
	if a.Host.Now == nil {
		a.Host.Now = time.Now
	}
	if a.Host.Random == nil {
		a.Host.Random = rand.Reader
	}
	if a.Host.DataDir == "" {
		a.Host.DataDir = t.TempDir()
	}
	if a.Patience == 0 {
		a.Patience = 30 * time.Second
	}
	if a.Pages == 0 {
		a.Pages = 3
	}
	if a.ControllerURL == "" {
		a.ControllerURL = nowhere
	}
}

// Run puts a driver through every case.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t, h))
		})
	}
}
