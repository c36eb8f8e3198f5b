package kubevm

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Every state that KubeVirt prints has one of ours.
func TestState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	always, halted := virt.RunStrategyAlways, virt.RunStrategyHalted
	unscheduled := func(since time.Duration) *virt.VirtualMachineInstance {
		vmi := &virt.VirtualMachineInstance{}
		vmi.Status.Conditions = []virt.VirtualMachineInstanceCondition{{
			Type: virt.VirtualMachineInstanceConditionType(core.PodScheduled), Status: core.ConditionFalse,
			Reason: core.PodReasonUnschedulable, Message: "0/3 nodes are available", LastTransitionTime: ago(since),
		}}
		return vmi
	}
	failing := func(since time.Duration) func(*virt.VirtualMachine) {
		return func(vm *virt.VirtualMachine) {
			vm.Status.Conditions = []virt.VirtualMachineCondition{{
				Type: virt.VirtualMachineFailure, Status: core.ConditionTrue, Message: "denied", LastTransitionTime: ago(since),
			}}
		}
	}
	some := &virt.VirtualMachineInstance{}
	for name, c := range map[string]struct {
		status virt.VirtualMachinePrintableStatus
		vmi    *virt.VirtualMachineInstance
		change func(*virt.VirtualMachine)
		want   provider.State
		fault  string
	}{
		"not seen by KubeVirt yet": {status: "", want: provider.StatePending},
		"provisioning":             {status: virt.VirtualMachineStatusProvisioning, want: provider.StatePending},
		"waiting for the volume":   {status: virt.VirtualMachineStatusWaitingForVolumeBinding, want: provider.StatePending},
		"starting":                 {status: virt.VirtualMachineStatusStarting, vmi: some, want: provider.StatePending},
		"running":                  {status: virt.VirtualMachineStatusRunning, vmi: some, want: provider.StateRunning},
		"running, guest not read":  {status: virt.VirtualMachineStatusRunning, want: provider.StatePending},
		"migrating":                {status: virt.VirtualMachineStatusMigrating, vmi: some, want: provider.StateRunning},
		"paused":                   {status: virt.VirtualMachineStatusPaused, vmi: some, want: provider.StateStopped, fault: "paused"},
		"stopping":                 {status: virt.VirtualMachineStatusStopping, vmi: some, want: provider.StateStopped, fault: "being stopped"},
		"terminating":              {status: virt.VirtualMachineStatusTerminating, want: provider.StateDeleting},
		"being deleted": {status: virt.VirtualMachineStatusRunning, vmi: some, want: provider.StateDeleting, change: func(vm *virt.VirtualMachine) {
			at := ago(0)
			vm.DeletionTimestamp = &at
		}},
		"stopped, about to start": {status: virt.VirtualMachineStatusStopped, want: provider.StatePending},
		"stopped, guest ended":    {status: virt.VirtualMachineStatusStopped, vmi: some, want: provider.StateStopped, fault: "its guest has ended"},
		"stopped by somebody": {status: virt.VirtualMachineStatusStopped, want: provider.StateStopped, fault: "run strategy to Halted", change: func(vm *virt.VirtualMachine) {
			vm.Spec.RunStrategy = &halted
		}},
		"halted by Harvester": {status: virt.VirtualMachineStatusStopped, want: provider.StateFailed, fault: "quota is used up: no memory", change: func(vm *virt.VirtualMachine) {
			vm.Annotations = map[string]string{quotaAnnotation: "no memory"}
		}},
		"crash loop": {status: virt.VirtualMachineStatusCrashLoopBackOff, want: provider.StateFailed, fault: "(3 failed starts in a row)", change: func(vm *virt.VirtualMachine) {
			vm.Status.StartFailure = &virt.VirtualMachineStartFailure{ConsecutiveFailCount: 3}
		}},
		"volume missing":          {status: virt.VirtualMachineStatusPvcNotFound, want: provider.StateFailed, fault: "does not exist"},
		"disk failed":             {status: virt.VirtualMachineStatusDataVolumeError, want: provider.StateFailed, fault: "could not be made"},
		"image pull":              {status: virt.VirtualMachineStatusErrImagePull, want: provider.StatePending, fault: "cannot be pulled"},
		"image pull, again":       {status: virt.VirtualMachineStatusImagePullBackOff, want: provider.StatePending, fault: "cannot be pulled"},
		"no room yet":             {status: virt.VirtualMachineStatusUnschedulable, vmi: unscheduled(time.Minute), want: provider.StatePending, fault: "0/3 nodes"},
		"no room":                 {status: virt.VirtualMachineStatusUnschedulable, vmi: unscheduled(6 * time.Minute), want: provider.StateFailed, fault: "0/3 nodes"},
		"refused, tried again":    {status: virt.VirtualMachineStatusStopped, change: failing(time.Minute), want: provider.StatePending, fault: "cannot start it: denied"},
		"refused again and again": {status: virt.VirtualMachineStatusStopped, change: failing(6 * time.Minute), want: provider.StateFailed, fault: "cannot start it: denied"},
		"something new":           {status: "Levitating", vmi: some, want: provider.StatePending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm := &virt.VirtualMachine{}
			vm.Spec.RunStrategy = &always
			vm.Status.PrintableStatus = c.status
			if c.change != nil {
				c.change(vm)
			}
			got, fault := view{vm: vm, vmi: c.vmi}.state(now, 5*time.Minute)
			class := map[string]provider.Class{"no room": provider.NoCapacity, "halted by Harvester": provider.Quota}[name]
			if i := (view{vm: vm, vmi: c.vmi}).instance(now, 5*time.Minute); i.FaultClass != class {
				t.Errorf("class of the fault is %q, expected %q", i.FaultClass, class)
			}
			if got != c.want || !strings.Contains(fault, c.fault) || c.fault == "" && fault != "" {
				t.Errorf("%s (%q), expected %s (%q)", got, fault, c.want, c.fault)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	vmi := &virt.VirtualMachineInstance{}
	vmi.Status.Interfaces = []virt.VirtualMachineInstanceNetworkInterface{
		{IP: "10.244.0.7", IPs: []string{"10.244.0.7", "fd00::7", "fe80::1"}}, {IP: ""}, {IP: "127.0.0.1"}, {IP: "192.0.2.4", IPs: []string{"rubbish"}},
	}
	if diff := cmp.Diff([]string{"10.244.0.7", "fd00::7", "192.0.2.4"}, addresses(vmi)); diff != "" {
		t.Error(diff)
	}
}

// client-go would repeat what is answered with Retry-After; the guard takes care
// that nothing of it gets there.
func TestGuard(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "9")
		code := http.StatusServiceUnavailable
		if r.URL.Path == "/slow" {
			code = http.StatusTooManyRequests
		}
		w.WriteHeader(code)
	}))
	defer server.Close()
	client := &http.Client{Transport: guard(time.Now)(http.DefaultTransport)}
	resp, err := client.Get(server.URL)
	if err != nil || resp.Header.Get("Retry-After") != "" {
		t.Errorf("%v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if _, err = client.Get(server.URL + "/slow"); provider.ClassOf(err) != provider.RateLimited || provider.RetryAfter(err) != 9*time.Second { //nolint:bodyclose // there is none
		t.Errorf("%v", err)
	}
}
