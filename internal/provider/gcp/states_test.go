package gcp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
)

// TestUnreachableZone: a listing without some zone proves nothing.
func TestUnreachableZone(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	if _, err := d.Create(t.Context(), request("a")); err != nil {
		t.Fatal(err)
	}
	r, ok := d.(provider.Remnants)
	if !ok {
		t.Fatal("no remnants")
	}
	for _, inScope := range []bool{true, false} {
		p.CutOff("europe-west3-c", inScope, !inScope)
		var instances, disks error
		for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			instances = err
		}
		for _, err := range r.ListRemnants(t.Context(), request("a").Tags.Owner()) {
			disks = err
		}
		for what, err := range map[string]error{"instances": instances, "disks": disks} {
			if provider.ClassOf(err) != provider.Unavailable || err == nil || !strings.Contains(err.Error(), "europe-west3-c") {
				t.Errorf("%s, said in the scope: %v: %v", what, inScope, err)
			}
		}
	}
}

// TestNotGone: only the answer that the very instance is not there means that it
// is gone.
func TestNotGone(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]fakegcp.Fault{
		"another project": {Status: http.StatusNotFound, Reason: "notFound", Message: "The resource 'projects/desktops' was not found"},
		"a proxy":         {Status: http.StatusNotFound, Text: "<html>404</html>"},
		"a captive page":  {Status: http.StatusOK, Text: "<html>log in</html>"},
		"another machine": {Status: http.StatusNotFound, Reason: "notFound", Message: "The resource 'projects/p/zones/z/instances/hr-aa' was not found"},
		"a refusal":       {Status: http.StatusForbidden, Text: "<html>forbidden</html>"},
	} {
		for op, call := range map[string]func() error{
			"get":    func() error { _, err := d.Get(t.Context(), i.ID); return err },
			"delete": func() error { return d.Delete(t.Context(), i.ID) },
		} {
			if op == "delete" && f.Status == http.StatusOK {
				continue // any answer accepts
			}
			p.Spoil(f)
			if err := call(); err == nil || provider.ClassOf(err) == provider.NotFound {
				t.Errorf("%s, %s: %v", name, op, err)
			}
		}
	}
	// Another project altogether, as after a typo.
	typo := *s
	typo.Project = "desktops-of-others"
	if _, err := opened(t, &typo).Get(t.Context(), i.ID); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("with another project: %v", err)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	s.ProvisioningModel, s.PublicIP = "spot", true
	d := opened(t, s)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[string]provider.State{
		"PENDING": provider.StatePending, "STAGING": provider.StatePending, "REPAIRING": provider.StatePending, "RUNNING": provider.StateRunning,
		"STOPPING": provider.StateStopped, "TERMINATED": provider.StateStopped, "SUSPENDED": provider.StateStopped, "DEPROVISIONING": provider.StateStopped, "PENDING_STOP": provider.StateStopped,
	} {
		zone, name := placeOf(i.ID)
		p.Status(zone, name, status)
		got, err := d.Get(t.Context(), i.ID)
		if status == "STAGING" && got.State == provider.StateRunning {
			continue // it has booted meanwhile
		}
		if err != nil || got.State != want || (want == provider.StateStopped) != strings.Contains(got.Fault, "spot") {
			t.Errorf("%s is %s (%s), %v; expected %s", status, got.State, got.Fault, err, want)
		}
		if len(got.Addresses) != 2 || got.Addresses[0] != "203.0.113.7" {
			t.Errorf("addresses %v", got.Addresses)
		}
	}
	c, ok := d.(provider.ConsoleReader)
	if !ok {
		t.Fatal("no console")
	}
	if text, err := c.Console(t.Context(), i.ID, 7); err != nil || string(text) != "login: " {
		t.Errorf("console: %q, %v", text, err)
	}
}
