package provider_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func owner() provider.Owner { return provider.Owner{Installation: "inst", Provider: "cloud"} }

func request(server string) provider.Request {
	return provider.Request{
		Token: "token-" + server, Name: "name-" + server,
		Tags:      provider.Tags{Installation: "inst", Provider: "cloud", Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{RegistrationToken: "registration-" + server},
	}
}

// rig is a client on a simulated cloud whose clock stands still.
type rig struct {
	*provider.Client
	cloud *sim.Cloud
	clock *clocktesting.FakeClock
	reg   *prometheus.Registry
}

func newRig(t *testing.T, b sim.Behaviour, change func(*provider.ClientOptions)) rig {
	t.Helper()
	c := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	cloud := sim.NewCloud(sim.Options{Clock: c, Seed: 1})
	reg := prometheus.NewRegistry()
	o := provider.ClientOptions{
		Kind: sim.Kind(nil), Driver: cloud.Driver(b), Owner: owner(), Clock: c, Metrics: provider.NewMetrics(reg),
	}
	if change != nil {
		change(&o)
	}
	return rig{provider.NewClient(o), cloud, c, reg}
}

func wantClass(t *testing.T, err error, class provider.Class) {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != class {
		t.Fatalf("error is %v, expected class %s", err, class)
	}
}

// A create whose answer was lost has made a machine, which the next complete
// listing shows.
func TestLostCreateIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{NoTokens: true}, nil)
	r.cloud.Script(func(c sim.Call) sim.Fault { return sim.Fault{Lost: c.Op == sim.OpCreate} })
	_, err := r.Create(t.Context(), request("a"))
	wantClass(t, err, provider.Unavailable)
	if provider.ClassOf(err).MadeNothing() {
		t.Fatal("the class says that nothing was made")
	}
	l, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := r.cloud.Instances()
	if found := l.Find("a"); len(all) != 1 || len(found) != 1 || found[0].ID != all[0].ID {
		t.Errorf("found %v, expected %v", found, all)
	}
}

func TestFindOffersTheUsefulOneFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{DeleteTime: sim.Always(time.Hour)}, nil)
	tags := request("a").Tags
	deleting, failed, running, late := r.cloud.Plant("m", tags), r.cloud.Plant("m", tags), r.cloud.Plant("m", tags), r.cloud.Plant("m", tags)
	r.cloud.Kill(failed, "broken")
	if err := r.Delete(t.Context(), deleting, "a"); err != nil {
		t.Fatal(err)
	}
	l, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, i := range l.Find("a") {
		order = append(order, i.ID)
	}
	if diff := cmp.Diff([]string{running, late, failed, deleting}, order); diff != "" {
		t.Errorf("order of the server's machines:\n%s", diff)
	}
}

func TestCreateRefusesIncompleteRequests(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*provider.Request){
		"token":                func(r *provider.Request) { r.Token = "" },
		"name":                 func(r *provider.Request) { r.Name = "" },
		"headroom-server":      func(r *provider.Request) { r.Tags.Server = "" },
		"headroom-autoscale":   func(r *provider.Request) { r.Tags.AutoscaleConfig = "" },
		"headroom-provider":    func(r *provider.Request) { r.Tags.Provider = "" },
		"of installation inst": func(r *provider.Request) { r.Tags.Installation = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Behaviour{}, nil)
			req := request("a")
			change(&req)
			_, err := r.Create(t.Context(), req)
			wantClass(t, err, provider.Invalid)
			if !strings.Contains(err.Error(), name) {
				t.Errorf("error %q does not name %q", err, name)
			}
			if n := len(r.cloud.Instances()); n != 0 {
				t.Errorf("%d machines were made", n)
			}
		})
	}
}

func TestDeleteRefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	ours := request("a").Tags
	other := func(change func(*provider.Tags)) provider.Tags {
		tags := ours
		change(&tags)
		return tags
	}
	for name, tags := range map[string]provider.Tags{
		"no tags":            {},
		"other installation": other(func(t *provider.Tags) { t.Installation = "x" }),
		"other provider":     other(func(t *provider.Tags) { t.Provider = "x" }),
		"other server":       other(func(t *provider.Tags) { t.Server = "x" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Behaviour{}, nil)
			id := r.cloud.Plant("m", tags)
			wantClass(t, r.Delete(t.Context(), id, "a"), provider.Conflict)
			wantClass(t, r.Delete(t.Context(), id, ""), provider.Conflict)
			if n := r.cloud.Calls()[sim.OpDelete]; n != 0 || len(r.cloud.Instances()) != 1 {
				t.Errorf("the machine was touched: %d deletes, machines %v", n, r.cloud.Instances())
			}
			wantClass(t, r.DeleteRemnant(t.Context(), provider.Remnant{Kind: "disk", ID: r.cloud.PlantRemnant(provider.Tags{Installation: "x"}), Tags: provider.Tags{Installation: "x"}}), provider.Conflict)
			if n := len(r.cloud.Remnants()); n != 1 {
				t.Errorf("the foreign remnant was touched: %d are left", n)
			}
		})
	}
}

func TestDeleteUntilGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{DeleteTime: sim.Always(10 * time.Second)}, nil)
	i, err := r.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Delete(t.Context(), i.ID, "a"); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.Step(10 * time.Second)
	wantClass(t, r.Delete(t.Context(), i.ID, "a"), provider.NotFound)
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.Driver, o.Concurrency = panicky{o.Driver}, 1 })
	for range 3 { // a slot or a listing that is not given back would block
		_, err := r.List(t.Context())
		wantClass(t, err, provider.Unknown)
		_, err = r.Create(t.Context(), request("a"))
		wantClass(t, err, provider.Unknown)
		var e *provider.Error
		if errors.As(err, &e); !strings.Contains(e.Cause.Error(), "driver broke") || strings.Contains(e.Message, "driver broke") {
			t.Errorf("the panic belongs into the cause and not into the message: %q, cause %q", e.Message, e.Cause)
		}
	}
}

type panicky struct{ provider.Driver }

func (panicky) Create(context.Context, provider.Request) (provider.Instance, error) {
	panic("driver broke")
}

func (panicky) List(context.Context, provider.Owner) iter.Seq2[provider.Instance, error] {
	panic("driver broke")
}

func TestDeadlineAndCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.Kind.Defaults.CallTimeout = 30 * time.Millisecond })
	r.cloud.Script(func(sim.Call) sim.Fault { return sim.Fault{Hang: true} })
	for name, call := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) error { _, err := r.Create(ctx, request("a")); return err },
		"list":   func(ctx context.Context) error { _, err := r.List(ctx); return err },
	} {
		err := call(t.Context())
		wantClass(t, err, provider.Unavailable)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err = call(ctx)
		wantClass(t, err, provider.Unavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the cause does not say that the caller went away: %v", name, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Behaviour{}, func(o *provider.ClientOptions) { o.RateLimit = 2 })
	_, _ = r.Create(t.Context(), request("a"))
	_, _ = r.Get(t.Context(), "none")
	_, _ = r.Get(t.Context(), "none")
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				got[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				got[name] = m.GetGauge().GetValue()
			default:
				got[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{
		"headroom_provider_calls_total ok create cloud":     1,
		"headroom_provider_calls_total not_found get cloud": 1,
		"headroom_provider_calls_refused_total get cloud":   1,
		"headroom_provider_call_seconds create cloud":       1,
		"headroom_provider_call_seconds get cloud":          1,
		"headroom_provider_calls_underway cloud":            0,
	}, got); diff != "" {
		t.Errorf("metrics:\n%s", diff)
	}
}
