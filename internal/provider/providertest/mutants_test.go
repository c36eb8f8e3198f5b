package providertest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

// mutantEnv names the broken driver that a child process of the test runs.
const mutantEnv = "HEADROOM_CONFORMANCE_MUTANT"

const secret = "the-secret-of-the-account"

// mutants are drivers with one fault each, and the case that must find it.
var mutants = map[string]struct {
	finds string
	wrap  func(broken) provider.Driver
}{
	"drops a tag":               {"tags round trip", func(b broken) provider.Driver { return dropsTag{b} }},
	"forgets tokens":            {"create is idempotent on the token", nil},
	"shows everybody's":         {"list shows only ours", func(b broken) provider.Driver { return showsAll{b} }},
	"shows one page":            {"list shows all pages", func(b broken) provider.Driver { return onePage{b} }},
	"swallows listing errors":   {"incomplete list is an error", func(b broken) provider.Driver { return swallows{b} }},
	"leaves a disk":             {"life of a machine", func(b broken) provider.Driver { return leavesDisk{b} }},
	"claims nothing was made":   {"create after a lost answer", func(b broken) provider.Driver { return claimsNothing{b} }},
	"trims user data":           {"user data arrives byte for byte", func(b broken) provider.Driver { return trims{b} }},
	"ignores its context":       {"ended context", func(b broken) provider.Driver { return ignoresContext{b} }},
	"shows secrets":             {"unknown ids", func(b broken) provider.Driver { return showsSecret{b} }},
	"answers plain errors":      {"unknown ids", func(b broken) provider.Driver { return plainErrors{b} }},
	"finds what does not exist": {"unknown ids", func(b broken) provider.Driver { return findsAll{b} }},
	"ignores the offer":         {"offers", func(b broken) provider.Driver { return ignoresOffer{b} }},
	"creates while checking":    {"check creates nothing", func(b broken) provider.Driver { return checkCreates{b} }},
	"lists no choices":          {"choices for settings", func(b broken) provider.Driver { return b }},
	"moves creation times":      {"life of a machine", func(b broken) provider.Driver { return movesTimes{b} }},
	"refuses another body":      {"a repeated create with another body", func(b broken) provider.Driver { return refusesBody{b} }},
	"forgets new machines":      {"a machine that is shown late", func(b broken) provider.Driver { return forgetsNew{b} }},
	"shows one remnant": {"remnants are found and removed", func(b broken) provider.Driver {
		return oneRemnant{b, b.full.(provider.Remnants)}
	}},
}

// The suite is worth what it finds: each broken driver runs in a process of
// its own, whose test must fail in the right case.
func TestSuiteFindsMutants(t *testing.T) {
	t.Parallel()
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$/^"+strings.ReplaceAll(m.finds, " ", "_")+"$", "-test.v")
			cmd.Env = append(os.Environ(), mutantEnv+"="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), "--- FAIL: TestMutant/"+strings.ReplaceAll(m.finds, " ", "_")) {
				t.Errorf("case %q does not find it: %v\n%s", m.finds, err, out)
			}
		})
	}
}

// TestMutant runs in the child processes, and without a mutant as the control
// that proves that the harness itself is sound.
func TestMutant(t *testing.T) {
	t.Parallel()
	name := os.Getenv(mutantEnv)
	m, ok := mutants[name]
	if name != "" && !ok {
		t.Fatalf("there is no mutant %q", name)
	}
	providertest.Run(t, providertest.Harness{New: func(*testing.T) providertest.Account { return account(name, m.wrap) }})
}

func account(name string, wrap func(broken) provider.Driver) providertest.Account {
	cloud := sim.NewCloud(sim.Options{Clock: clock.RealClock{}, Seed: 1})
	behaviour := sim.Behaviour{NoTokens: name == "forgets tokens", Offers: []string{"one", "two"}, Page: 2}
	kind := sim.Kind(nil)
	kind.Open = func(context.Context, any, provider.Host) (provider.Driver, error) {
		d := cloud.Driver(behaviour)
		if wrap == nil {
			return d, nil
		}
		return wrap(broken{d.(full), cloud}), nil
	}
	return providertest.Account{
		Kind: kind, Settings: &sim.Settings{}, Secrets: []string{secret}, Patience: time.Second,
		Leftovers: func(*testing.T) []string {
			return make([]string, len(cloud.Instances())+len(cloud.Remnants()))
		},
		HideNew:      func(*testing.T) func() { hiding.Store(true); return func() { hiding.Store(false) } },
		LoseCreate:   func(*testing.T) { fault(cloud, sim.OpCreate, sim.Fault{Lost: true}) },
		BreakList:    func(*testing.T) { fault(cloud, sim.OpList, sim.Fault{FailList: true, After: 1}) },
		LeaveRemnant: func(_ *testing.T, tags provider.Tags) { cloud.PlantRemnant(tags) },
		UserData:     func(*testing.T, string) []byte { return cloud.Instances()[0].Bootstrap.UserData },
	}
}

func fault(c *sim.Cloud, op sim.Operation, f sim.Fault) {
	used := false
	c.Script(func(call sim.Call) sim.Fault {
		if used || call.Op != op {
			return sim.Fault{}
		}
		used = true
		return f
	})
}

// hiding is for the mutant that forgets new machines, which is alone in its process.
var hiding atomic.Bool

type full interface {
	provider.Driver
	provider.Offerer
}

type broken struct {
	full
	cloud *sim.Cloud
}

type (
	dropsTag       struct{ broken }
	forgetsNew     struct{ broken }
	showsAll       struct{ broken }
	onePage        struct{ broken }
	swallows       struct{ broken }
	leavesDisk     struct{ broken }
	claimsNothing  struct{ broken }
	trims          struct{ broken }
	ignoresContext struct{ broken }
	showsSecret    struct{ broken }
	plainErrors    struct{ broken }
	findsAll       struct{ broken }
	ignoresOffer   struct{ broken }
	checkCreates   struct{ broken }
	movesTimes     struct{ broken }
	refusesBody    struct{ broken }
	oneRemnant     struct {
		broken
		provider.Remnants
	}
)

func (d movesTimes) Get(ctx context.Context, id string) (provider.Instance, error) {
	i, err := d.full.Get(ctx, id)
	i.CreatedAt = time.Now()
	return i, err
}

func (d refusesBody) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	for _, m := range d.cloud.Instances() {
		if string(m.Bootstrap.UserData) != string(req.Bootstrap.UserData) {
			return provider.Instance{}, provider.Errorf(provider.Invalid, "the token was used for another request")
		}
	}
	return d.full.Create(ctx, req)
}

func (d oneRemnant) ListRemnants(ctx context.Context, o provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		for r, err := range d.Remnants.ListRemnants(ctx, o) {
			yield(r, err)
			return
		}
	}
}

func (d dropsTag) Get(ctx context.Context, id string) (provider.Instance, error) {
	i, err := d.full.Get(ctx, id)
	i.Tags.AutoscaleConfig = ""
	return i, err
}

func (d showsAll) List(context.Context, provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		for _, m := range d.cloud.Instances() {
			if !yield(m.Instance, nil) {
				return
			}
		}
	}
}

func (d onePage) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		n := 0
		for i, err := range d.full.List(ctx, o) {
			if n++; n > 2 || !yield(i, err) {
				return
			}
		}
	}
}

func (d swallows) List(ctx context.Context, o provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		for i, err := range d.full.List(ctx, o) {
			if err != nil || !yield(i, nil) {
				return
			}
		}
	}
}

func (d leavesDisk) Delete(ctx context.Context, id string) error {
	err := d.full.Delete(ctx, id)
	if err == nil {
		d.cloud.PlantRemnant(provider.Tags{})
	}
	return err
}

func (d claimsNothing) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	i, err := d.full.Create(ctx, req)
	if err != nil {
		err = provider.Errorf(provider.NoCapacity, "it did not work")
	}
	return i, err
}

func (d trims) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	req.Bootstrap.UserData = []byte(strings.TrimSpace(string(req.Bootstrap.UserData)))
	return d.full.Create(ctx, req)
}

func (d ignoresContext) Get(ctx context.Context, id string) (provider.Instance, error) {
	return d.full.Get(context.WithoutCancel(ctx), id)
}

func (d showsSecret) Get(ctx context.Context, id string) (provider.Instance, error) {
	i, err := d.full.Get(ctx, id)
	if err != nil {
		err = provider.Errorf(provider.ClassOf(err), "get: %w", fmt.Errorf("with token %s: %w", secret, err))
	}
	return i, err
}

func (d plainErrors) Delete(ctx context.Context, id string) error {
	if err := d.full.Delete(ctx, id); err != nil {
		return errors.New("no such machine")
	}
	return nil
}

func (d findsAll) Get(_ context.Context, id string) (provider.Instance, error) {
	return provider.Instance{ID: id}, nil
}

func (d ignoresOffer) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	req.Offer = "one"
	return d.full.Create(ctx, req)
}

func (d checkCreates) Check(ctx context.Context) (provider.Report, error) {
	d.cloud.PlantRemnant(provider.Tags{})
	return d.full.Check(ctx)
}

func (m forgetsNew) Get(ctx context.Context, id string) (provider.Instance, error) {
	if hiding.Load() {
		return provider.Instance{}, provider.Errorf(provider.NotFound, "there is no machine %q", id)
	}
	return m.full.Get(ctx, id)
}
