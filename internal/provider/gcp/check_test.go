package gcp_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
)

// findings are the subjects with the verdict.
func findings(t *testing.T, s *gcp.Settings, verdict provider.Verdict) []string {
	t.Helper()
	r, err := opened(t, s).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		if f.Verdict == verdict {
			out = append(out, f.Subject)
		}
		if f.Verdict != provider.VerdictOK && (f.Remedy == "" || f.Message == "") {
			t.Errorf("no remedy or no message: %+v", f)
		}
	}
	return out
}

// TestCheckNamesPermissions: with one permission missing, exactly that is named.
func TestCheckNamesPermissions(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	s.Image, s.PublicIP, s.NetworkTags = "golden-7", true, []string{"desk"}
	s.ServiceAccount.Email = "default"
	s.GuestAccelerators = []gcp.Accelerator{{Type: "nvidia-tesla-t4"}}
	if got := findings(t, s, provider.VerdictFailed); got != nil {
		t.Fatalf("a healthy project: %v", got)
	}
	for _, permission := range []string{
		"compute.disks.create", "compute.disks.delete", "compute.disks.list", "compute.disks.setLabels", "compute.instances.create", "compute.instances.delete",
		"compute.instances.get", "compute.instances.getSerialPortOutput", "compute.instances.list", "compute.instances.setLabels", "compute.instances.setMetadata",
		"compute.instances.setTags", "compute.instances.setServiceAccount", "compute.zoneOperations.get", "compute.zoneOperations.list",
		"compute.zones.get", "compute.machineTypes.get", "compute.diskTypes.get", "compute.acceleratorTypes.get", "compute.images.get", "compute.images.useReadOnly",
		"compute.subnetworks.get", "compute.subnetworks.use", "compute.subnetworks.useExternalIp",
	} {
		p.Lack(permission)
		if diff := cmp.Diff([]string{"permission " + permission}, findings(t, s, provider.VerdictFailed)); diff != "" {
			t.Errorf("without %s:\n%s", permission, diff)
		}
	}
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change  func(*gcp.Settings)
		verdict provider.Verdict
		want    []string
	}{
		{func(s *gcp.Settings) { s.Zones = []string{"europe-west3-x"} }, provider.VerdictFailed, []string{"zone europe-west3-x"}},
		{func(s *gcp.Settings) { s.MachineType = []string{"e2-standard-2", "e9-huge-1"} }, provider.VerdictFailed, []string{"machine type e9-huge-1 in europe-west3-a", "machine type e9-huge-1 in europe-west3-b"}},
		{func(s *gcp.Settings) { s.Image = "debian-cloud/debian-99" }, provider.VerdictFailed, []string{"image debian-cloud/debian-99"}},
		{func(s *gcp.Settings) { s.Image, s.BootDiskSize = "golden-7", 20 }, provider.VerdictFailed, []string{"boot_disk_size"}},
		{func(s *gcp.Settings) { s.Image = "golden-windows-3" }, provider.VerdictFailed, []string{"os_type"}},
		{func(s *gcp.Settings) { s.OSType = "" }, provider.VerdictWarning, []string{"os_type"}},
		{func(s *gcp.Settings) { s.Subnetwork = "other" }, provider.VerdictFailed, []string{"subnetwork other"}},
		{func(s *gcp.Settings) { s.Network = "elsewhere" }, provider.VerdictFailed, []string{"network elsewhere"}},
		{func(s *gcp.Settings) { s.DiskType = "pd-extreme" }, provider.VerdictFailed, []string{"disk type pd-extreme in europe-west3-a", "disk type pd-extreme in europe-west3-b"}},
		{func(s *gcp.Settings) {
			s.Zones, s.GuestAccelerators = s.Zones[:1], []gcp.Accelerator{{Type: "nvidia-tesla-t4", Count: 8}}
		}, provider.VerdictFailed, []string{"accelerator nvidia-tesla-t4 in europe-west3-a"}},
		{func(s *gcp.Settings) { s.CMEK = "projects/p/locations/l/keyRings/r/cryptoKeys/k" }, provider.VerdictWarning, []string{"cmek"}},
	} {
		s, _ := project(t)
		c.change(s)
		got := slices.Compact(findings(t, s, c.verdict))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v:\n%s", c.want, diff)
		}
	}
}

// TestCheckDisabledAPI: that permissions cannot be asked for is a warning; all
// else is looked at.
func TestCheckDisabledAPI(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	p.Spoil(fakegcp.Fault{Path: "/v3/", Status: 403, Reason: "SERVICE_DISABLED", Message: "Cloud Resource Manager API has not been used in project 1 before or it is disabled."})
	if diff := cmp.Diff([]string{"project " + p.ID}, findings(t, s, provider.VerdictWarning)); diff != "" {
		t.Error(diff)
	}
}

// TestTokens: one access token serves many calls, also when they come at once;
// one that is refused is replaced.
func TestTokens(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, err := range d.List(context.WithoutCancel(t.Context()), request("a").Tags.Owner()) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.Tokens(); n != 1 {
		t.Errorf("%d tokens were fetched for eight calls", n)
	}
	p.Spoil(fakegcp.Fault{Status: 401, Reason: "authError", Message: "Invalid Credentials"})
	for i, want := range []provider.Class{provider.Unauthenticated, provider.NotFound} {
		if _, err := d.Get(t.Context(), "europe-west3-a/x@a:b:c:d"); provider.ClassOf(err) != want {
			t.Errorf("call %d: %v, expected %s", i, err, want)
		}
	}
	if n := p.Tokens(); n != 2 {
		t.Errorf("%d tokens, expected a second after the refusal", n)
	}
}

// TestTokenService: what is wrong at the token service is told apart, and no
// error shows the key.
func TestTokenService(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	p.Expire(true)
	_, err := opened(t, s).Get(t.Context(), "europe-west3-a/x@a:b:c:d")
	if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("an account that is gone: %v", err)
	}
	nowhere := *s
	nowhere.Credentials = strings.ReplaceAll(s.Credentials, "/token", "/no-such-path")
	if _, err := opened(t, &nowhere).Get(t.Context(), "europe-west3-a/x@a:b:c:d"); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("another path: %v", err)
	}
	dead := *s
	dead.Credentials = strings.ReplaceAll(s.Credentials, s.Endpoint+"/token", "https://127.0.0.1:1/token")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = opened(t, &dead).Get(ctx, "europe-west3-a/x@a:b:c:d")
	if provider.ClassOf(err) != provider.Unavailable || !strings.Contains(err.Error(), "access token") || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a token service that is down: %v", err)
	}
}
