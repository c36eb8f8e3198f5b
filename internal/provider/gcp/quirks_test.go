package gcp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
	"github.com/headroom-dev/headroom/internal/settings"
)

const firstOffer = "e2-standard-2@europe-west3-a"

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.NewTimer(20*time.Second)
	defer tick.Stop()
	defer over.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatal(wrong)
		}
	}
}

// TestFailedInsert: what the operation says within the wait is the answer of
// the create, and nothing was made.
func TestFailedInsert(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]provider.Class{
		"ZONE_RESOURCE_POOL_EXHAUSTED": provider.NoCapacity, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": provider.NoCapacity,
		"QUOTA_EXCEEDED": provider.Quota, "IP_SPACE_EXHAUSTED_WITH_DETAILS": provider.Quota, "RATE_LIMIT_EXCEEDED": provider.RateLimited,
		"RESOURCE_NOT_FOUND": provider.Invalid, "INVALID_FIELD_VALUE": provider.Invalid, "PERMISSIONS_ERROR": provider.Forbidden, "INTERNAL_ERROR": provider.Unavailable,
		"SOMETHING_NEW": provider.Unavailable, // by the operation's status
	} {
		s, p := project(t)
		p.SellOut(firstOffer, code)
		_, err := opened(t, s).Create(t.Context(), request("a"))
		if provider.ClassOf(err) != want || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, expected %s", code, err, want)
		}
		if left := p.Objects(); len(left) > 0 {
			t.Errorf("%s: left: %v", code, left)
		}
	}
}

// TestLateFailure: an insert that fails after the create answered is shown by
// Get, with the class that lets the next offer have its turn; it is never listed
// and can be deleted.
func TestLateFailure(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	p.SellOut(firstOffer, "ZONE_RESOURCE_POOL_EXHAUSTED")
	p.Slow(2 * time.Second)
	p.Spoil(fakegcp.Fault{Path: "/wait", Status: http.StatusServiceUnavailable, Reason: "backendError", Message: "Backend Error"})
	i, err := d.Create(t.Context(), request("a"))
	if err != nil || i.State != provider.StatePending {
		t.Fatalf("create: %+v, %v", i, err)
	}
	if got, err := d.Get(t.Context(), i.ID); err != nil || got.State != provider.StatePending || got.Tags != request("a").Tags {
		t.Errorf("while the insert is under way: %+v, %v", got, err)
	}
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("delete of what is not there yet: %v, expected unavailable", err)
	}
	var got provider.Instance
	eventually(t, func() string {
		if got, err = d.Get(t.Context(), i.ID); err != nil || got.State != provider.StateFailed {
			return "the failure is not shown"
		}
		return ""
	})
	if got.FaultClass != provider.NoCapacity || !strings.Contains(got.Fault, "does not have enough resources") || got.Tags != request("a").Tags || got.ID != i.ID {
		t.Errorf("the failed machine: %+v", got)
	}
	for l, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		t.Errorf("it is listed: %+v, %v", l, err)
	}
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete: %v", err)
	}
	// Ten minutes later it is forgotten; without the right to ask it never was.
	later, err := gcp.Kind().Open(t.Context(), s, provider.Host{Now: func() time.Time { return time.Now().Add(11 * time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("eleven minutes later: %v", err)
	}
	p.Lack("compute.zoneOperations.list")
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("without the right to list operations: %v", err)
	}
}

// TestForgottenRequest: when the service no longer knows the request id, the
// name is what keeps a second machine from being made.
func TestForgottenRequest(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	first, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	p.Forget()
	again, err := opened(t, s).Create(t.Context(), request("a"))
	if err != nil || again.ID != first.ID || p.Instances() != 1 {
		t.Errorf("the second create: %+v, %v; %d instances", again, err, p.Instances())
	}
	// A lost answer, and the service forgets besides.
	p.Spoil(fakegcp.Fault{Method: http.MethodPost, Path: "/instances", Lose: true})
	if _, err := d.Create(t.Context(), request("b")); provider.ClassOf(err).MadeNothing() || err == nil {
		t.Errorf("a lost answer: %v", err)
	}
	p.Forget()
	if _, err := d.Create(t.Context(), request("b")); err != nil || p.Instances() != 2 {
		t.Errorf("after it: %v; %d instances", err, p.Instances())
	}
}

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

// TestScriptKeys: by what the settings say, and by the script where they say
// nothing.
func TestScriptKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ system, language, script, key string }{
		{"linux", "", "#!/bin/sh\n", "startup-script"},
		{"linux", "bash", "echo\n", "startup-script"},
		{"linux", "", "#cloud-config\npackages: [docker.io]\n", "user-data"},
		{"windows", "", "Write-Host x\r\n", "windows-startup-script-ps1"},
		{"windows", "", "@echo off\r\n", "windows-startup-script-cmd"},
		{"windows", "bat", "@echo off\r\n", "windows-startup-script-bat"},
		{"windows", "ps1", "@echo off\r\n", "windows-startup-script-ps1"},
		{"", "cmd", "dir\r\n", "windows-startup-script-cmd"},
		{"", "bash", "$x = 1\n", "startup-script"},
		{"", "", "#!/bin/bash\nNAME=x\nSet-Something\n", "startup-script"},
		{"", "", "apt-get update\nexport X=1\n", "startup-script"},
		{"", "", "install-packages docker\n", "startup-script"},
		{"", "", "#ps1_sysnative\nx\n", "windows-startup-script-ps1"},
		{"", "", "# no first line tells\r\n$ErrorActionPreference = 'Stop'\r\n", "windows-startup-script-ps1"},
		{"", "", "[Net.ServicePointManager]::SecurityProtocol = 3072\r\n", "windows-startup-script-ps1"},
		{"", "", "param(\n$x)\n", "windows-startup-script-ps1"},
		{"", "", "Invoke-WebRequest https://example.com\r\n", "windows-startup-script-ps1"},
		{"", "", "@echo off\r\n", "windows-startup-script-cmd"},
	} {
		s, p := project(t)
		s.OSType, s.StartupScriptType, s.Metadata = c.system, c.language, map[string]string{"enable-oslogin": "TRUE"}
		req := request("a")
		req.Bootstrap.UserData = []byte(c.script)
		i, err := opened(t, s).Create(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{c.key: c.script, "enable-oslogin": "TRUE"}, metadata(p, i.ID)); diff != "" {
			t.Errorf("%+v:\n%s", c, diff)
		}
	}
	s, _ := project(t)
	req := request("a")
	req.Bootstrap.UserData = []byte{0xff, 0xfe}
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a script that is no text: %v", err)
	}
}

// TestWholeRequest: everything that the settings can say, to the last field.
func TestWholeRequest(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	s.Network, s.PublicIP, s.NetworkTags, s.BootDiskSize, s.DiskType = "office", true, []string{"desk"}, 40, "pd-ssd"
	s.Labels, s.CMEK, s.ProvisioningModel = map[string]string{"team": "desk"}, "projects/k/locations/europe-west3/keyRings/r/cryptoKeys/c", "spot"
	s.ServiceAccount = gcp.ServiceAccount{Email: "default", Scopes: []string{"logging.write"}}
	s.GuestAccelerators = []gcp.Accelerator{{Type: "nvidia-tesla-t4", Count: 2}}
	s.ConfigOverride = map[string]any{
		"shieldedInstanceConfig": map[string]any{"enableSecureBoot": true, "enableVtpm": false}, "labels": map[string]any{"cost": "7"},
		"disks": []any{
			map[string]any{"boot": true, "autoDelete": false, "initializeParams": map[string]any{"sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskType": "projects/" + p.ID + "/zones/europe-west3-b/diskTypes/pd-ssd", "diskSizeGb": 50}},
			map[string]any{"initializeParams": map[string]any{"diskSizeGb": "10", "labels": map[string]any{"headroom-server": "stolen"}}},
			map[string]any{"source": "projects/x/zones/europe-west3-b/disks/tools", "mode": "READ_ONLY"},
		},
	}
	for _, f := range s.Validate() {
		t.Error(f)
	}
	req := request("a")
	req.Offer = "n1-standard-4@europe-west3-b"
	i, err := opened(t, s).Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	asked := p.Asked(placeOf(i.ID))
	ours := map[string]any{"headroom-installation": "01ji", "headroom-provider": "p", "headroom-autoscale": "c", "headroom-server": "a", "team": "desk"}
	all := map[string]any{"cost": "7"}
	for key, value := range ours {
		all[key] = value
	}
	zone := "projects/" + p.ID + "/zones/europe-west3-b/"
	want := map[string]any{
		"name": "hr-a", "machineType": zone + "machineTypes/n1-standard-4", "labels": all,
		"disks": []any{
			map[string]any{"boot": true, "autoDelete": true, "initializeParams": map[string]any{"sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskType": zone + "diskTypes/pd-ssd", "diskSizeGb": "50", "labels": ours}},
			map[string]any{"autoDelete": true, "initializeParams": map[string]any{"diskSizeGb": "10", "labels": ours}},
			map[string]any{"source": "projects/x/zones/europe-west3-b/disks/tools", "mode": "READ_ONLY"},
		},
		"networkInterfaces": []any{map[string]any{
			"network": "projects/" + p.ID + "/global/networks/office", "subnetwork": "projects/" + p.ID + "/regions/europe-west3/subnetworks/desktops",
			"accessConfigs": []any{map[string]any{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}},
		}},
		"tags": map[string]any{"items": []any{"desk"}}, "metadata": map[string]any{"items": []any{map[string]any{"key": "startup-script", "value": "#!/bin/sh\n"}}},
		"serviceAccounts":        []any{map[string]any{"email": "default", "scopes": []any{"https://www.googleapis.com/auth/logging.write"}}},
		"guestAccelerators":      []any{map[string]any{"acceleratorType": zone + "acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 2.0}},
		"scheduling":             map[string]any{"onHostMaintenance": "TERMINATE", "provisioningModel": "SPOT", "instanceTerminationAction": "DELETE", "automaticRestart": false},
		"shieldedInstanceConfig": map[string]any{"enableSecureBoot": true, "enableVtpm": false},
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("the request:\n%s", diff)
	}
	r, ok := opened(t, s).(provider.Renderer)
	if !ok {
		t.Fatal("shows no requests")
	}
	calls, err := r.Render(t.Context(), req)
	if err != nil || len(calls) != 1 {
		t.Fatalf("render: %v, %v", calls, err)
	}
	text, err := json.Marshal(calls[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("what is shown is not what is sent:\n%s", diff)
	}
}

// TestTypesOfZones: a machine type that a zone lacks lets the next offer have its
// turn.
func TestTypesOfZones(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	s.Zones, s.MachineType = []string{"europe-west3-c", "europe-west3-a"}, []string{"n2-standard-4"}
	d := opened(t, s)
	_, err := d.Create(t.Context(), request("a"))
	if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "not offered in the zone") {
		t.Errorf("a type that the zone lacks: %v", err)
	}
	req := request("a")
	req.Token, req.Offer = "t-a-2", "n2-standard-4@europe-west3-a"
	if _, err := d.Create(t.Context(), req); err != nil {
		t.Error(err)
	}
	req.Offer = "n2-standard-4@us-east4-a"
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("an offer of nobody's: %v", err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	d, ok := opened(t, s).(provider.Catalog)
	if !ok {
		t.Fatal("no catalog")
	}
	for _, setting := range append(settings.Lookups(&gcp.Settings{}), "accelerator_type") {
		if choices, err := d.Choices(t.Context(), setting); err != nil || len(choices) == 0 {
			t.Errorf("%s: %v, %v", setting, choices, err)
		}
	}
	if _, err := d.Choices(t.Context(), "colour"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("choices of colours: %v", err)
	}
}

// TestModelHolds: the discovery documents really refuse what the API does not
// take.
func TestModelHolds(t *testing.T) {
	t.Parallel()
	model, err := theModel()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"name":"x"}`, ""},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances?requestid=1", `{"name":"x"}`, "unknown query parameter requestid"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"nam":"x"}`, "unknown field nam"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"id":"1"}`, "id can only be read"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"disks":[{"diskSizeGb":20}]}`, "disks[0].diskSizeGb is 20, expected text"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"disks":[{"mode":"READ"}]}`, "expected one of READ_ONLY"},
		{"POST", "/compute/v1/projects/desktops/zones/europe-west3-a/instances", `{"tags":["x"]}`, "expected an object"},
		{"GET", "/compute/v1/projects/desktops/zones/EUROPE/instances/x", "", "path parameter zone"},
		{"GET", "/compute/v1/projects/desktops/aggregated/instances?maxResults=many", "", "a whole number"},
		{"PUT", "/compute/v1/projects/desktops/aggregated/instances", "", "no method answers"},
		{"POST", "/dns/v1/projects/desktops/managedZones/z/changes", `{"additions":[{"ttl":"60"}]}`, "expected a number"},
		{"POST", "/v3/projects/desktops:testIamPermissions", `{"permissions":["x"]}`, ""},
	} {
		_, wrong := model.Request(httptest.NewRequest(c.method, c.path, nil), []byte(c.body))
		if found := slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, c.says) }); (c.says == "") != (len(wrong) == 0) || c.says != "" && !found {
			t.Errorf("%s %s %s: %v, expected %q", c.method, c.path, c.body, wrong, c.says)
		}
	}
}
