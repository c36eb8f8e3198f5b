package kubevirt

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/test/kuberig"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Settings)
		state  provider.State
		words  string
	}{
		"no node has room": {steered(map[string]any{"rig.headroom.dev/schedule": "never"}, nil), provider.StateFailed, "no node has room for it: 0/1 nodes are available: 1 Insufficient memory."},
		"no node has room yet": {func(s *Settings) {
			steered(map[string]any{"rig.headroom.dev/schedule": "never"}, nil)(s)
			s.UnschedulableAfter = 0 // five minutes
		}, provider.StatePending, "no node has room for it: 0/1 nodes are available"},
		"the guest does not start": {steered(map[string]any{"rig.headroom.dev/run": "fail"}, nil), provider.StateFailed, "its guest cannot be started"},
		"the disk cannot be made":  {steered(nil, map[string]any{"rig.headroom.dev/volume": "fail"}), provider.StateFailed, "No space left on device"},
		"the device is not permitted": {func(s *Settings) {
			s.GPUs, s.UnschedulableAfter = []kubevm.Device{{DeviceName: "example.org/none"}}, 1
		}, provider.StateFailed, "KubeVirt cannot start it"},
		"the source is not there": {func(s *Settings) { s.DiskSource = "nobodys" }, provider.StatePending, "Source pvc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			req := b.request()
			if _, err := b.driver.Create(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			kuberig.Eventually(t, patience, func() string {
				var shown []provider.Instance
				got, err := b.driver.Get(t.Context(), req.Name)
				if err != nil {
					return err.Error()
				}
				for i, err := range b.driver.List(t.Context(), us) {
					if err != nil {
						return err.Error()
					}
					shown = append(shown, i)
				}
				if len(shown) != 1 {
					return fmt.Sprintf("the listing shows %d machines", len(shown))
				}
				for how, i := range map[string]provider.Instance{"get": got, "list": shown[0]} {
					if i.State != c.state || !strings.Contains(i.Fault, c.words) {
						return fmt.Sprintf("%s shows the machine as %s (%s), expected %s with %q", how, i.State, i.Fault, c.state, c.words)
					}
				}
				return ""
			})
			b.clear(t)
		})
	}
}

// One call of the driver is one request for each thing that it does, whatever
// the API server answers: client-go's own repetitions are off.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	wait := http.Header{"Retry-After": {"1"}}
	for name, c := range map[string]struct {
		trouble func()
		class   provider.Class
	}{
		"throttled":         {func() { b.proxy.Answer(1, kuberig.Any, http.StatusTooManyRequests, wait, "slow down") }, provider.RateLimited},
		"unavailable":       {func() { b.proxy.Answer(1, kuberig.Any, http.StatusServiceUnavailable, wait, "starting") }, provider.Unavailable},
		"internal error":    {func() { b.proxy.Answer(1, kuberig.Any, http.StatusInternalServerError, wait, "oops") }, provider.Unavailable},
		"broken connection": {func() { b.proxy.Drop(kuberig.Any) }, provider.Unavailable},
	} {
		for op, do := range map[string]func(context.Context) error{
			"get":    func(ctx context.Context) error { _, err := b.driver.Get(ctx, "some"); return err },
			"create": func(ctx context.Context) error { _, err := b.driver.Create(ctx, b.request()); return err },
			"delete": func(ctx context.Context) error { return b.driver.Delete(ctx, "some") },
			"list": func(ctx context.Context) error {
				for _, err := range b.driver.List(ctx, us) {
					if err != nil {
						return err
					}
				}
				return nil
			},
		} {
			c.trouble()
			before := b.proxy.Calls()
			err := do(t.Context())
			n := b.proxy.Calls() - before
			// The transport of Go itself repeats what is safe to repeat when a
			// connection breaks that it had kept: the call goes on as if nothing
			// had been.
			if op != "create" && name == "broken connection" && n > 1 {
				continue
			}
			if provider.ClassOf(err) != c.class {
				t.Errorf("%s, %s: %v, expected %s", op, name, err, c.class)
			}
			if n != 1 {
				t.Errorf("%s, %s: %d requests for one call", op, name, n)
			}
		}
	}
	b.clear(t)
}
