package proxmox

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/proxmox/fakeproxmox"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	t.Run("a start that fails fails the machine with the reason", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.FailStarts("bridge 'vmbr7' does not exist")
		d := s.driver(t, nil)
		made, err := d.Create(t.Context(), request("01jnostart"))
		if err != nil {
			t.Fatal(err)
		}
		until(t, func() string {
			if i := list(t, d)[made.ID]; i.State != provider.StateFailed || !strings.Contains(i.Fault, "vmbr7") {
				return fmt.Sprintf("machine is %s: %s", i.State, i.Fault)
			}
			return ""
		})
	})
	t.Run("a right that goes away leaves the machine pending until it is back", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		made, err := d.Create(t.Context(), request("01jrightless"))
		if err != nil {
			t.Fatal(err)
		}
		s.SetGrants(without(9, privMemory))
		if i := list(t, d)[made.ID]; i.State != provider.StatePending || !strings.Contains(i.Fault, "VM.Config.Memory on /vms/") {
			t.Errorf("machine is %s: %s", i.State, i.Fault)
		}
		s.SetGrants(fakeproxmox.Administrator(9))
		running(t, d, "01jrightless")
	})
	t.Run("a machine that is switched off is stopped and not started again", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		i := running(t, d, "01joff")
		id, _ := parseID(i.ID)
		s.SetStatus(id.vmid, "stopped")
		for range 3 {
			if got := list(t, d)[i.ID]; got.State != provider.StateStopped {
				t.Errorf("machine is %s", got.State)
			}
		}
		if n := strings.Count(strings.Join(s.Log(), "\n"), "/status/start"); n != 1 {
			t.Errorf("it was started %d times", n)
		}
	})
	t.Run("a machine that somebody protects is not removed", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		i := running(t, d, "01jkept")
		id, _ := parseID(i.ID)
		s.SetConfig(id.vmid, map[string]string{"protection": "1"})
		s.SetStatus(id.vmid, "stopped")
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "protection") {
			t.Errorf("delete: %v", err)
		}
	})
	t.Run("one machine that cannot be configured stalls no other", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		d := s.driver(t, nil)
		for n := range 4 {
			if _, err := d.Create(t.Context(), request(fmt.Sprintf("01jmany%d", n))); err != nil {
				t.Fatal(err)
			}
		}
		s.Inject(configCall, fakeproxmox.Fault{Status: http.StatusInternalServerError, Text: "can't lock file '/var/lock/qemu-server/lock-1.conf' - got timeout"})
		until(t, func() string {
			up := 0
			for _, i := range list(t, d) {
				if i.State == provider.StateRunning {
					up++
				}
			}
			if up != 4 {
				return fmt.Sprintf("%d of 4 run", up)
			}
			return ""
		})
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		text   string
		class  provider.Class
		says   string
	}{
		{401, "authentication failure", provider.Unauthenticated, "token_secret"},
		{401, "permission denied - invalid PVE ticket", provider.Unauthenticated, "API token"},
		{403, "Permission check failed (/vms/105, VM.PowerMgmt)", provider.Forbidden, "VM.PowerMgmt on /vms/105"},
		{403, "Permission check failed (/vms/105, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)", provider.Forbidden, "VM.GuestAgent.Audit or VM.GuestAgent.Unrestricted on /vms/105"},
		{400, "Parameter verification failed.", provider.Invalid, "refuses the request"},
		{404, "Not Found", provider.Invalid, "check host and port"},
		{500, "VM is locked (clone)", provider.Conflict, "locked"},
		{500, "can't lock file '/var/lock/qemu-server/lock-105.conf' - got timeout", provider.Conflict, "got timeout"},
		{500, "unable to create VM 105: config file already exists", provider.Conflict, "already exists"},
		{500, "Configuration file 'nodes/pve1/qemu-server/105.conf' does not exist", provider.NotFound, "105"},
		{500, "storage 'fast' does not exist", provider.Invalid, "fast"},
		{500, "cluster not ready - no quorum?", provider.Unavailable, "quorum"},
		{500, "not enough free space on storage 'fast'", provider.NoCapacity, "fast"},
		{500, "No QEMU guest agent configured", provider.Invalid, "guest agent"},
		{500, "something new", provider.Unknown, "something new"},
		{501, "Method 'GET /x' not implemented", provider.Unsupported, "8 and 9"},
		{502, "Bad Gateway", provider.Unavailable, "not available"},
		{595, "No route to host", provider.Unavailable, "node is down"},
		{596, "tls_process_server_certificate: certificate verify failed", provider.Unavailable, "596"},
		{429, "Too Many Requests", provider.RateLimited, "too many"},
	} {
		err := failure("looking", &refusal{status: c.status, text: c.text})
		if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d %s: %v, expected %s with %q", c.status, c.text, err, c.class, c.says)
		}
	}
}
