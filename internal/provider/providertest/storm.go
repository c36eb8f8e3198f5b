package providertest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Weather is an account in which most calls can be made to fail.
type Weather struct {
	// Open makes a driver that knows nothing of those before it.
	Open    func() provider.Driver
	Request provider.Request
	// Stir throttles, refuses or cuts off one of the next requests, or none.
	Stir func(random *rand.Rand)
	// Machines counts what really is there, and Objects names all that was made.
	Machines func() int
	Objects  func() []string
}

// Storm takes a machine through its life while most calls are throttled, fail, or
// lose their answers, and each step is taken by a new driver, as by a controller
// that dies between any two calls. A machine is made once and removed whole.
func Storm(t *testing.T, begin func(t *testing.T) Weather) {
	t.Helper()
	for seed := range uint64(12) {
		storm{t: t, seed: seed, Weather: begin(t), random: rand.New(rand.NewPCG(seed, 7))}.rage() //nolint:gosec // the same each time
	}
}

type storm struct {
	Weather
	t      *testing.T
	seed   uint64
	random *rand.Rand
}

// step repeats a call until it works; a fault may fire in a later call.
func (s storm) step(what string, call func(provider.Driver) bool) {
	s.t.Helper()
	Eventually(s.t, time.Minute, func() string {
		s.Stir(s.random)
		if call(s.Open()) {
			return ""
		}
		return fmt.Sprintf("seed %d: %s does not come to an end", s.seed, what)
	})
}

func (s storm) rage() {
	t := s.t
	t.Helper()
	var id string
	s.step("create", func(d provider.Driver) bool {
		i, err := d.Create(t.Context(), s.Request)
		if err != nil && provider.ClassOf(err).TripsCircuit() {
			t.Errorf("seed %d: create: %v", s.seed, err)
		}
		id = i.ID
		return err == nil
	})
	s.step("create again", func(d provider.Driver) bool {
		i, err := d.Create(t.Context(), s.Request)
		return err == nil && i.ID == id
	})
	if n := s.Machines(); n != 1 {
		t.Errorf("seed %d: %d machines", s.seed, n)
	}
	s.step("listing", func(d provider.Driver) bool {
		n := 0
		for i, err := range d.List(t.Context(), s.Request.Tags.Owner()) {
			if err != nil {
				return false
			}
			if n++; i.ID != id {
				t.Errorf("seed %d: listed %s", s.seed, i.ID)
			}
		}
		if n != 1 {
			t.Errorf("seed %d: a listing without error shows %d machines", s.seed, n)
		}
		return true
	})
	s.step("delete", func(d provider.Driver) bool {
		err := d.Delete(t.Context(), id)
		if err != nil && provider.ClassOf(err) == provider.NotFound && s.Machines() > 0 {
			t.Errorf("seed %d: the machine passes for gone and is there: %v", s.seed, err)
		}
		return provider.ClassOf(err) == provider.NotFound
	})
	Eventually(t, 30*time.Second, func() string { return strings.Join(s.Objects(), ", ") })
}
