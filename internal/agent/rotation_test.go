package agent

import (
	"net/http"
	"testing"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(c *controller){
		"plain":          func(*controller) {},
		"answer is lost": func(c *controller) { c.after = loseOnce("rotate") },
		"call is lost": func(c *controller) {
			spoilt := false
			c.before = func(w http.ResponseWriter, _ *http.Request, call string) bool {
				if call != "rotate" || spoilt {
					return false
				}
				spoilt = true
				lose(w)
				return true
			}
		},
		"answer is lost and the old credential dropped": func(c *controller) {
			inner := loseOnce("rotate")
			c.after = func(w http.ResponseWriter, call string) bool {
				lost := inner(w, call)
				if lost {
					c.previous = ""
				}
				return lost
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newController(t)
			r := start(t, configFor(t, c.URL))
			r.untilCalls(c, "report", 1)
			first := stored(t, r.cfg).Credential
			c.with(func() {
				spoil(c)
				spoiled := c.after
				c.after = func(w http.ResponseWriter, call string) bool {
					if s, err := loadState(r.cfg.StateDir); err != nil || s.Credential != c.credential && s.Next != c.credential {
						t.Errorf("the controller was given a credential that is not stored: %+v, %v", s, err)
					}
					return spoiled != nil && spoiled(w, call)
				}
				c.orders.RotateCredential = true
			})
			r.until(func() string {
				if s := stored(t, r.cfg); s.Credential == first || s.Next != "" {
					return "the credential is not rotated"
				}
				return ""
			})
			n := c.count("report")
			r.untilCalls(c, "report", n+2)
			r.end()
			c.with(func() {
				if s := stored(t, r.cfg); s.Credential != c.credential || c.previous != "" {
					t.Errorf("the agent has %+v, the controller %q and before %q", s, c.credential, c.previous)
				}
			})
		})
	}
}

func loseOnce(which string) func(http.ResponseWriter, string) bool {
	lost := false
	return func(w http.ResponseWriter, call string) bool {
		if call != which || lost {
			return false
		}
		lost = true
		lose(w)
		return true
	}
}

// The agent is killed in the middle of a rotation; each line is what the disk
// and the controller then hold.
func TestRotationSurvivesCrashes(t *testing.T) {
	t.Parallel()
	const first, next = "first-credential-0123456789abcdefghij", "next-credential-0123456789abcdefghijk"
	for name, at := range map[string]struct{ current, previous string }{
		"before the call": {first, ""},
		"after the call":  {next, first},
		"after the call and without the old secret": {next, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newController(t)
			cfg := configFor(t, c.URL)
			c.credential, c.previous = at.current, at.previous
			store(t, cfg, state{Credential: first, Next: next, Registered: true, TokenHash: hashOf("one-use-token")})
			r := start(t, cfg)
			r.untilCalls(c, "report", 4)
			r.end()
			if s := stored(t, cfg); s.Credential != next || s.Next != "" {
				t.Errorf("stored %+v", s)
			}
			c.with(func() {
				if c.credential != next || c.previous != "" || len(c.registered) > 0 {
					t.Errorf("the controller has %q and before %q after calls %v", c.credential, c.previous, c.calls)
				}
			})
		})
	}
}
