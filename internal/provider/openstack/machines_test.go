package openstack_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/openstack"
	rig "github.com/headroom-dev/headroom/test/rigs/openstack"
	"github.com/headroom-dev/headroom/test/rigs/openstack/faultproxy"
)

// owned makes the next request of its kind cross the whole way and back.
func remnantsOf(t *testing.T, d provider.Driver, o provider.Owner) []provider.Remnant {
	t.Helper()
	var all []provider.Remnant
	for r, err := range d.(provider.Remnants).ListRemnants(t.Context(), o) {
		if err != nil {
			t.Fatalf("list remnants: %v", err)
		}
		all = append(all, r)
	}
	return all
}

// sweep removes the remnants until there are none.
func sweep(t *testing.T, d provider.Driver, o provider.Owner) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		left := remnantsOf(t, d, o)
		for _, r := range left {
			if err := d.(provider.Remnants).DeleteRemnant(t.Context(), r); err != nil && provider.ClassOf(err) != provider.NotFound && provider.ClassOf(err) != provider.Conflict {
				t.Fatalf("delete %+v: %v", r, err)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("remnants are left: %+v", left)
		}
		return nil
	})
}

func (p *place) empty(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if left := p.left(t); len(left) > 0 {
			return errors.New("left: " + strings.Join(left, ", "))
		}
		return nil
	})
}

// TestBootFromVolume follows a machine whose disk is a volume, inside of the
// published rules.
func TestBootFromVolume(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	onlyPublished(t, p)
	owner := p.request("x").Tags.Owner()
	// Slow enough that the create has to wait for it.
	volumes := func(s *openstack.Settings) {
		s.BootFromVolume, s.VolumeSize, s.Flavor = true, 3, rig.FlavorDiskless
		s.Metadata = map[string]string{"rig-volume-seconds": "1", "team": "desktops"}
	}
	d := p.driver(t, volumes)
	req := p.request("01JVOLUME")

	_, err := d.Create(t.Context(), req)
	if provider.ClassOf(err) != provider.Conflict || provider.RetryAfter(err) == 0 {
		t.Fatalf("while the volume is being made, create answers %v; expected conflict with a time to wait", err)
	}
	// Another controller goes on; no second volume is made.
	i := create(t, p.driver(t, volumes), req)
	becomes(t, d, i.ID, provider.StateRunning)
	found, err := p.Volumes(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("there are %d volumes, %v", len(found), err)
	}
	if diff := cmp.Diff(req.Tags, metadataTags(t, found[0])); diff != "" {
		t.Errorf("tags of the volume:\n%s", diff)
	}
	if size := fmt.Sprint(found[0]["size"]); size != "3" || found[0]["name"] != req.Name {
		t.Errorf("the volume is called %v and has %s GiB", found[0]["name"], size)
	}
	guest, err := p.rig.Guest(i.ID)
	if err != nil || !slices.Equal(guest.Volumes, []string{fmt.Sprint(found[0]["id"])}) {
		t.Errorf("the guest has the volumes %v, %v", guest.Volumes, err)
	}
	if left := remnantsOf(t, d, owner); len(left) > 0 {
		t.Errorf("the volume of a machine is taken for a remnant: %+v", left)
	}
	remove(t, d, i.ID)
	p.empty(t)

	// The controller dies between the volume and the machine.
	if _, err := d.Create(t.Context(), p.request("01JCRASHED")); provider.RetryAfter(err) == 0 {
		t.Fatalf("create: %v", err)
	}
	eventually(t, time.Minute, func() error {
		left := remnantsOf(t, d, owner)
		if len(left) != 1 || left[0].Tags.Server != "01JCRASHED" || left[0].CreatedAt.IsZero() {
			return fmt.Errorf("remnants are %+v", left)
		}
		return nil
	})
	sweep(t, d, owner)
	p.empty(t)
}

// TestFloatingIP follows a machine with a floating address, and each crash on
// the way to it.
func TestFloatingIP(t *testing.T) {
	t.Parallel()
	p := newPlace(t, nil)
	owner := p.request("x").Tags.Owner()
	pool := func(s *openstack.Settings) {
		s.Network, s.FloatingIPPool, s.SecurityGroups = rig.NetworkName, rig.OutsideName, []string{"default"}
	}
	d := p.driver(t, pool)
	if report, err := d.Check(t.Context()); err != nil || !report.OK() {
		t.Errorf("check: %v, %+v", err, report)
	}
	p.empty(t)
	req := p.request("01JFLOATING")
	i := create(t, d, req)
	i = becomes(t, d, i.ID, provider.StateRunning)
	addresses, err := p.FloatingIPs(t.Context())
	if err != nil || len(addresses) != 1 {
		t.Fatalf("there are %d floating addresses, %v", len(addresses), err)
	}
	if len(i.Addresses) != 2 || i.Addresses[0] != addresses[0]["floating_ip_address"] {
		t.Errorf("the machine has the addresses %v, expected %v first", i.Addresses, addresses[0]["floating_ip_address"])
	}
	if left := remnantsOf(t, d, owner); len(left) > 0 {
		t.Errorf("parts of a machine are taken for remnants: %+v", left)
	}
	// An answer of the delete gets lost after the address is gone.
	p.proxy.Inject(faultproxy.Fault{Service: "network", Method: http.MethodDelete, Path: ".*/floatingips/.*", Lose: true})
	if err := d.Delete(t.Context(), i.ID); err == nil {
		t.Error("the answer was to be lost")
	}
	remove(t, d, i.ID)
	p.empty(t)

	// The controller dies after the port, or after the address, or its create
	// goes on afterwards.
	for name, fault := range map[string]faultproxy.Fault{
		"01JPORT":    {Service: "network", Method: http.MethodPost, Path: ".*/ports", Lose: true},
		"01JADDRESS": {Service: "network", Method: http.MethodPost, Path: ".*/floatingips", Lose: true},
		"01JSERVER":  {Service: "compute", Method: http.MethodPost, Unroutable: true},
	} {
		p.proxy.Inject(fault)
		if _, err := d.Create(t.Context(), p.request(name)); err == nil || provider.ClassOf(err).MadeNothing() {
			t.Fatalf("%s: the answer was to be lost: %v", name, err)
		}
		i := create(t, p.driver(t, pool), p.request(name))
		if addresses, err := p.FloatingIPs(t.Context()); err != nil || len(addresses) != 1 {
			t.Errorf("%s: there are %d floating addresses, %v", name, len(addresses), err)
		}
		remove(t, d, i.ID)
		p.empty(t)

		p.proxy.Inject(fault)
		if _, err := d.Create(t.Context(), p.request(name)); err == nil {
			t.Fatalf("%s: the answer was to be lost", name)
		}
		if left := remnantsOf(t, d, owner); len(left) == 0 {
			t.Errorf("%s: no remnant is found", name)
		}
		sweep(t, d, owner)
		p.empty(t)
	}

	p.quota(t, "network", map[string]int{"floatingip": 0})
	if _, err := d.Create(t.Context(), p.request("01JNOADDRESS")); provider.ClassOf(err) != provider.Quota {
		t.Errorf("without quota for addresses: %v", err)
	}
	sweep(t, d, owner)
	p.empty(t)
}

// TestAcceptedAndGivenUp is about machines that nova accepts and then does not
// build.
func TestAcceptedAndGivenUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	for name, tc := range map[string]struct {
		change func(*openstack.Settings)
		class  provider.Class
		says   string
	}{
		"no host has room":       {func(s *openstack.Settings) { s.Flavor = rig.FlavorHuge }, provider.NoCapacity, "No valid host"},
		"every host refuses":     {func(s *openstack.Settings) { s.Metadata = map[string]string{"rig-build": "elsewhere"} }, provider.NoCapacity, ""},
		"the host gives up":      {func(s *openstack.Settings) { s.Metadata = map[string]string{"rig-build": "fail"} }, "", "aborted"},
		"no room, from a volume": {func(s *openstack.Settings) { s.Flavor, s.BootFromVolume, s.VolumeSize = rig.FlavorHuge, true, 1 }, provider.NoCapacity, "No valid host"},
	} {
		d := p.driver(t, tc.change)
		id := create(t, d, p.request("01J"+strings.ToUpper(strings.Map(letter, name)))).ID
		i := becomes(t, d, id, provider.StateFailed)
		if i.FaultClass != tc.class || !strings.Contains(i.Fault, tc.says) {
			t.Errorf("%s: class %q and fault %q, expected %q and %q", name, i.FaultClass, i.Fault, tc.class, tc.says)
		}
		seen := 0
		for i, err := range d.List(t.Context(), p.request("x").Tags.Owner()) {
			if err != nil || i.FaultClass != tc.class {
				t.Errorf("%s: the listing shows %+v, %v", name, i, err)
			}
			seen++
		}
		if seen != 1 {
			t.Errorf("%s: the listing shows %d machines: one that failed exists", name, seen)
		}
		remove(t, d, id)
		p.empty(t)
	}
}

func letter(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// TestQuotaByRace makes more machines at once than the quota allows: nova then
// accepts some that it takes back.
func TestQuotaByRace(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	p.quota(t, "compute", map[string]int{"instances": 2})
	d := p.driver(t, nil)
	type outcome struct {
		id  string
		err error
	}
	outcomes := make(chan outcome, 6)
	for n := range cap(outcomes) {
		go func() {
			i, err := d.Create(t.Context(), p.request(fmt.Sprintf("01JRACE%d", n)))
			outcomes <- outcome{i.ID, err}
		}()
	}
	running, refused, takenBack := 0, 0, 0
	for range cap(outcomes) {
		o := <-outcomes
		switch {
		case provider.ClassOf(o.err) == provider.Quota && o.err != nil:
			refused++
			continue
		case o.err != nil:
			t.Errorf("create: %v", o.err)
			continue
		}
		var i provider.Instance
		eventually(t, time.Minute, func() error {
			var err error
			if i, err = d.Get(t.Context(), o.id); err == nil && i.State == provider.StatePending {
				err = errors.New("still pending")
			}
			return err
		})
		switch {
		case i.State == provider.StateRunning:
			running++
		case i.State == provider.StateFailed && i.FaultClass == provider.Quota:
			takenBack++
		default:
			t.Errorf("machine is %+v", i)
		}
		defer remove(t, d, o.id)
	}
	if running > 2 {
		t.Errorf("%d machines run with a quota of 2", running)
	}
	t.Logf("%d run, %d were refused, %d were accepted and taken back", running, refused, takenBack)
}

// TestShapes reads what a machine offers from its flavor.
func TestShapes(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	d := p.driver(t, func(s *openstack.Settings) { s.Flavor = rig.FlavorGPU })
	req := p.request("01JSHAPE")
	// A script that happens to be base64 must arrive as it is.
	req.Bootstrap.UserData = []byte("echo")
	id := create(t, d, req).ID
	// No host has a GPU here; the shape is known all the same.
	i := becomes(t, d, id, provider.StateFailed)
	if i.Capacity.GPUs != 1 || i.Capacity.MemoryMiB != 8192 || i.Capacity.Cores.String() != "4" {
		t.Errorf("the machine offers %+v", i.Capacity)
	}
	remove(t, d, id)

	d = p.driver(t, nil)
	id = create(t, d, req).ID
	becomes(t, d, id, provider.StateRunning)
	guest, err := p.rig.Guest(id)
	if err != nil {
		t.Fatal(err)
	}
	if script, err := guest.Script(); err != nil || string(script) != "echo" {
		t.Errorf("the script arrived as %q, %v", script, err)
	}
	remove(t, d, id)
}

// TestListingsThatAreNone must not be taken for an empty project.
func TestListingsThatAreNone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, published)
	d := p.driver(t, nil)
	for name, body := range map[string]string{
		"an empty object":     `{}`,
		"another object":      `{"servers": null, "itemNotFound": {}}`,
		"a page of HTML":      `<html><body>Please sign in to the hotel's network</body></html>`,
		"nothing":             ``,
		"a cell that is down": `{"servers": [{"id": "` + nothing + `", "status": "UNKNOWN", "tenant_id": "x", "created": "2026-01-01T00:00:00Z", "links": []}]}`,
		"the same page":       `{"servers": [{"id": "` + nothing + `", "status": "ACTIVE", "metadata": {}}], "servers_links": [{"rel": "next", "href": "http://elsewhere/"}]}`,
	} {
		cure := p.proxy.Inject(faultproxy.Fault{Service: "compute", Path: ".*/servers/detail", Status: http.StatusOK, Body: body, Times: -1})
		complete := true
		for _, err := range d.List(t.Context(), p.request("x").Tags.Owner()) {
			if err != nil {
				complete = false
				if provider.ClassOf(err) != provider.Unavailable {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if complete {
			t.Errorf("%s was taken for a complete listing", name)
		}
		cure()
	}
}
