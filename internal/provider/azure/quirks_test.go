package azure_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/internal/startup"
)

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.NewTimer(30*time.Second)
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

// reaches waits until get and list show a machine in the state.
func reaches(t *testing.T, d provider.Driver, id string, state provider.State) (shown, listed provider.Instance) {
	t.Helper()
	eventually(t, func() string {
		var err error
		if shown, err = d.Get(t.Context(), id); err != nil || shown.State != state {
			return "get shows " + string(shown.State) + " " + shown.Fault
		}
		listed = provider.Instance{}
		for i, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			if err != nil {
				t.Fatal(err)
			}
			if i.ID == id {
				listed = i
			}
		}
		if listed.State != state {
			return "the listing shows " + string(listed.State)
		}
		return ""
	})
	return shown, listed
}

// TestLateShortage: a machine that was accepted and then had no room is shown as
// failed, with the class that lets the next offer have its turn, and goes away.
func TestLateShortage(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]provider.Class{
		"AllocationFailed": provider.NoCapacity, "ZonalAllocationFailed": provider.NoCapacity, "OverconstrainedAllocationRequest": provider.NoCapacity,
		"SkuNotAvailable": provider.NoCapacity, "QuotaExceeded": provider.Quota, "OperationNotAllowed": provider.Quota, "InternalExecutionError": "",
	} {
		s, p := subscription(t)
		p.SellOut("Standard_D2s_v5@1", code, true)
		d := opened(t, s)
		i, err := d.Create(t.Context(), request("a"))
		if err != nil || i.State != provider.StatePending {
			t.Fatalf("%s: %+v, %v", code, i, err)
		}
		shown, listed := reaches(t, d, i.ID, provider.StateFailed)
		for _, got := range []provider.Instance{shown, listed} {
			if got.FaultClass != want || !strings.Contains(got.Fault, code) || got.Tags != request("a").Tags || got.Offer != "Standard_D2s_v5@1" {
				t.Errorf("%s: %+v, expected %q", code, got, want)
			}
		}
		again, err := d.Create(t.Context(), request("a")) // the same wish finds the failed machine
		if err != nil || again.State != provider.StateFailed || again.FaultClass != want {
			t.Errorf("%s: created again: %+v, %v", code, again, err)
		}
		if err := d.Delete(t.Context(), i.ID); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		eventually(t, func() string { return strings.Join(p.Objects(), ", ") })
	}
}

// TestStates: whether a machine runs is told by its power; a failed operation on a
// machine that runs, and a listing without statuses, end nothing.
func TestStates(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	s.Spot, s.EvictionPolicy, s.MaxPrice = true, "Deallocate", 0.5
	d := opened(t, s)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, d, i.ID, provider.StateRunning)
	for _, c := range []struct {
		power, state, code string
		want               provider.State
		says               string
	}{
		{"running", "Failed", "VMExtensionProvisioningError", provider.StateRunning, ""},
		{"running", "Updating", "", provider.StateRunning, ""},
		{"running", "Creating", "", provider.StatePending, ""},
		{"starting", "Succeeded", "", provider.StatePending, ""},
		{"starting", "Failed", "OSProvisioningTimedOut", provider.StatePending, ""},
		{"unknown", "Succeeded", "", provider.StatePending, ""},
		{"stopped", "Succeeded", "", provider.StateStopped, "the machine is stopped"},
		{"deallocating", "Succeeded", "", provider.StateStopped, "evicted"},
		{"deallocated", "Succeeded", "", provider.StateStopped, "evicted"},
		{"deallocated", "Failed", "AllocationFailed", provider.StateFailed, "AllocationFailed"},
		{"deallocated", "Failed", "InternalExecutionError", provider.StateStopped, "evicted"},
		{"running", "Deleting", "", provider.StateDeleting, ""},
	} {
		p.Slow(time.Hour)
		p.Hold(i.ID)
		p.Power(i.ID, c.power)
		p.Provisioning(i.ID, c.state, c.code)
		shown, listed := reaches(t, d, i.ID, c.want)
		if !strings.Contains(shown.Fault, c.says) || listed.Fault != shown.Fault || listed.FaultClass != shown.FaultClass || (c.says == "") != (shown.Fault == "") {
			t.Errorf("%+v: %q, listed %q", c, shown.Fault, listed.Fault)
		}
	}
	p.Provisioning(i.ID, "Failed", "VMExtensionProvisioningError")
	p.Power(i.ID, "running")
	p.Blind(true) // statuses are not told: nobody's session is ended for that
	for got, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil || got.State != provider.StatePending || got.Fault != "" {
			t.Errorf("without statuses: %+v, %v", got, err)
		}
	}
	p.Provisioning(i.ID, "Succeeded", "")
	for got, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil || got.State != provider.StatePending || !strings.Contains(got.Fault, "on the subscription") {
			t.Errorf("without statuses: %+v, %v", got, err)
		}
	}
}

// TestAddresses: public ones come first, from get and from list alike, and a listing
// costs four calls.
func TestAddresses(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	shown, listed := reaches(t, d, i.ID, provider.StateRunning)
	if diff := cmp.Diff(shown.Addresses, listed.Addresses); diff != "" || len(shown.Addresses) != 2 || !strings.HasPrefix(shown.Addresses[0], "203.0.113.") || !strings.HasPrefix(shown.Addresses[1], "10.") {
		t.Errorf("addresses %v, listed %v", shown.Addresses, listed.Addresses)
	}
	from := p.Calls()
	for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := p.Calls() - from; n != 4 {
		t.Errorf("a listing cost %d calls", n)
	}
	from = p.Calls()
	if _, err := d.Get(t.Context(), i.ID); err != nil {
		t.Error(err)
	}
	if n := p.Calls() - from; n != 2 {
		t.Errorf("a look cost %d calls", n)
	}
}

// TestListings: each part of a listing that fails makes all of it an error, also
// when the group is gone.
func TestListings(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]provider.Class{
		"statusOnly=true": provider.Unavailable, "/networkInterfaces?": provider.Unavailable, "/publicIPAddresses?": provider.Unavailable, "/virtualMachines?api": provider.Unavailable,
	} {
		s, p := subscription(t)
		d := opened(t, s)
		if _, err := d.Create(t.Context(), request("a")); err != nil {
			t.Fatal(err)
		}
		p.Spoil(fakeazure.Fault{Path: path, Status: http.StatusBadGateway, Text: "<html>Bad Gateway</html>"})
		var last error
		for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			last = err
		}
		if provider.ClassOf(last) != want || last == nil {
			t.Errorf("%s: %v", path, last)
		}
	}
	s, _ := subscription(t)
	s.ResourceGroup = "nowhere"
	d := opened(t, s)
	var last error
	for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		last = err
	}
	if provider.ClassOf(last) != provider.Invalid || !strings.Contains(last.Error(), "resource_group") {
		t.Errorf("a group that is not there: %v", last)
	}
	if _, err := d.Get(t.Context(), "hr-a"); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("a machine of a group that is gone: %v", err)
	}
}

// TestRubbish: an answer that is none of Azure's neither makes a machine twice nor
// lets one pass for gone.
func TestRubbish(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 302, 403, 404, 502} {
		s, p := subscription(t)
		d := opened(t, s)
		spoil := func() {
			p.Spoil(fakeazure.Fault{Path: "/virtualMachines/", Status: status, Text: "<html>captive portal</html>"})
		}
		spoil()
		if _, err := d.Get(t.Context(), "hr-a"); err == nil || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("%d: get: %v", status, err)
		}
		spoil()
		if i, err := d.Create(t.Context(), request("a")); err == nil && status >= 300 || provider.ClassOf(err).MadeNothing() && err != nil {
			t.Errorf("%d: create: %+v, %v", status, i, err)
		}
		spoil()
		if err := d.Delete(t.Context(), "hr-a"); err == nil && status >= 300 || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("%d: delete: %v", status, err)
		}
	}
}

// TestAdoption: somebody else's machine of the name is never touched, and one that
// is being removed is not taken for the new one.
func TestAdoption(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	other := request("a").Tags
	other.Provider = "another"
	p.Plant("hr-a", tags(other))
	if _, err := d.Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "not this server's") {
		t.Errorf("another's machine: %v", err)
	}
	if len(p.Asked("hr-a")) != 0 {
		t.Error("another's machine was written to")
	}
	p.Slow(200 * time.Millisecond)
	i, err := d.Create(t.Context(), request("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), request("b")); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("while the old one is being removed: %v", err)
	}
}

// TestLeak: what Azure leaves of a machine is found and removed, the address after
// its interface.
func TestLeak(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	s.ConfigOverride = map[string]any{"properties": map[string]any{"storageProfile": map[string]any{"dataDisks": []any{map[string]any{"lun": 0, "createOption": "Empty", "diskSizeGB": 8, "deleteOption": "Detach"}}}}}
	d := opened(t, s)
	p.Leak(true)
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, d, i.ID, provider.StateRunning)
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if p.Machines() > 0 {
			return "the machine is there"
		}
		return ""
	})
	r, ok := d.(provider.Remnants)
	if !ok {
		t.Fatal("finds no remnants")
	}
	var kinds []string
	for range 3 {
		for left, err := range r.ListRemnants(t.Context(), request("a").Tags.Owner()) {
			if err != nil || left.Tags != request("a").Tags {
				t.Fatalf("%+v, %v", left, err)
			}
			kinds = append(kinds, left.Kind)
			if err := r.DeleteRemnant(t.Context(), left); err != nil {
				t.Error(err)
			}
		}
	}
	if left := p.Objects(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	slices.Sort(kinds)
	if diff := cmp.Diff([]string{"disk", "disk", "interface"}, kinds); diff != "" { // the address goes with its interface
		t.Error(diff)
	}
	for _, kind := range []string{"disk", "interface", "address"} {
		if err := r.DeleteRemnant(t.Context(), provider.Remnant{Kind: kind, ID: "gone", Tags: request("a").Tags}); provider.ClassOf(err) != provider.NotFound {
			t.Errorf("a %s that is gone: %v", kind, err)
		}
	}
}

// TestConsole: the end of the log, and its address in no error.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	c, ok := d.(provider.ConsoleReader)
	if !ok {
		t.Fatal("reads no console")
	}
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.Console(t.Context(), i.ID, 100); err != nil || len(text) > 0 {
		t.Errorf("before it says anything: %q, %v", text, err)
	}
	p.Say(i.ID, strings.Repeat("boot\n", 100000)+"Kernel panic")
	if text, err := c.Console(t.Context(), i.ID, 12); err != nil || string(text) != "Kernel panic" {
		t.Errorf("%q, %v", text, err)
	}
	// A machine whose trust ends after the first call: the storage service cannot be
	// reached then.
	for _, address := range []string{"https://127.0.0.1:1/blob?sig=c29tZSBzaWduYXR1cmU%3D", "http://127.0.0.1/blob?sig=c29tZSBzaWduYXR1cmU%3D", "::?sig=c29tZSBzaWduYXR1cmU%3D", theCloud().url + "/blob/x/y?sig=c29tZSBzaWduYXR1cmU%3D"} {
		p.Spoil(fakeazure.Fault{Path: "/retrieveBootDiagnosticsData", Status: http.StatusOK, Text: `{"serialConsoleLogBlobUri": "` + address + `"}`})
		_, err := c.Console(t.Context(), i.ID, 100)
		if err == nil || strings.Contains(strings.Join(texts(err), " "), "c29t") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := c.Console(t.Context(), "hr-nothing", 100); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("no machine: %v", err)
	}
}

// texts are those of an error and of all of its causes.
func texts(err error) []string {
	var out []string
	for err != nil {
		out = append(out, err.Error())
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return out
}

// TestScripts: the command fits into a command line, holds nothing that cmd would
// read, and a failing extension is told from a failing script.
func TestScripts(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	windows(s)
	d := opened(t, s)
	r, ok := d.(provider.ScriptRunner)
	if !ok {
		t.Fatal("runs no scripts")
	}
	channel := azure.Kind().ScriptChannel(s)
	if !channel.AfterBoot || channel.System != startup.Windows {
		t.Errorf("channel %+v", channel)
	}
	req := request("abcdefghijkl")
	script := []byte(strings.Repeat("#", channel.Limit))
	p.Slow(time.Hour)
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if at(p.Asked(i.ID), "properties", "osProfile", "customData") != nil || at(p.Asked(i.ID), "properties", "osProfile", "adminPassword") != s.OSPassword {
		t.Errorf("asked for %v", at(p.Asked(i.ID), "properties", "osProfile"))
	}
	if run, err := r.RunScript(t.Context(), i.ID, script, ""); err != nil || run.Done || run.Note == "" {
		t.Errorf("before the machine runs: %+v, %v", run, err)
	}
	p.Power(i.ID, "running")
	p.Provisioning(i.ID, "Succeeded", "")
	p.Spoil(fakeazure.Fault{Method: http.MethodPut, Path: "/extensions/", Lose: true})
	if run, err := r.RunScript(t.Context(), i.ID, script, ""); err == nil {
		t.Errorf("an answer that is lost: %+v", run)
	}
	var run provider.ScriptRun
	eventually(t, func() string {
		if run, err = r.RunScript(t.Context(), i.ID, script, ""); err != nil || !run.Done {
			return "the script has not ended"
		}
		return ""
	})
	if run.ExitCode != 0 || p.Runs(i.ID) != 1 {
		t.Errorf("%+v, %d runs", run, p.Runs(i.ID))
	}
	command := p.Command(i.ID)
	if len(command) > 8191 {
		t.Errorf("the command has %d characters", len(command))
	}
	inner := strings.TrimSuffix(strings.SplitN(command, `"`, 2)[1], `"`)
	if strings.ContainsAny(inner, "\"%\r\n!^") || !strings.Contains(inner, "startup-"+req.Name) {
		t.Errorf("the command means something to cmd: %s", inner)
	}
	p.BreakExtension(i.ID, "VMExtensionProvisioningError")
	if run, err = r.RunScript(t.Context(), i.ID, script, run.Progress); err != nil || !run.Done || run.ExitCode == 0 || !strings.Contains(string(run.Output), "The extension that runs the script ended as failed") {
		t.Errorf("an extension that failed: %+v %s, %v", run, run.Output, err)
	}
	if _, err := r.RunScript(t.Context(), i.ID, append(script, '#'), ""); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a script that is too large: %v", err)
	}
	if _, err := r.RunScript(t.Context(), "hr-nothing", script, ""); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("no machine: %v", err)
	}
	long := request("abcdefghijklm")
	if _, err := d.Create(t.Context(), long); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "may have 15") {
		t.Errorf("a name of 16 characters: %v", err)
	}
}

// TestFields: override documents from the field arrive whole.
func TestFields(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"spot":        `{"properties":{"priority":"Spot","evictionPolicy":"Delete","billingProfile":{"maxPrice":-1}}}`,
		"ultra":       `{"properties":{"additionalCapabilities":{"ultraSSDEnabled":true}}}`,
		"trusted":     `{"properties":{"securityProfile":{"securityType":"TrustedLaunch","uefiSettings":{"secureBootEnabled":false,"vTpmEnabled":true},"encryptionAtHost":false}}}`,
		"ephemeral":   `{"properties":{"storageProfile":{"osDisk":{"diffDiskSettings":{"option":"Local","placement":"ResourceDisk"},"caching":"ReadOnly"}}}}`,
		"accelerated": `{"properties":{"scheduledEventsProfile":{"terminateNotificationProfile":{"enable":true,"notBeforeTimeout":"PT5M"}}}}`,
		"identity":    `{"identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/x/resourceGroups/y/providers/Microsoft.ManagedIdentity/userAssignedIdentities/z":{}}}}`,
	} {
		s, p := subscription(t)
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		s.ConfigOverride = doc
		for _, f := range s.Validate() {
			t.Errorf("%s: %+v", name, f)
		}
		i, err := opened(t, s).Create(t.Context(), request("a"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var inside func(path string, want, got any)
		inside = func(path string, want, got any) {
			w, isMap := want.(map[string]any)
			if !isMap {
				if !reflect.DeepEqual(want, got) {
					t.Errorf("%s: %s is %v, expected %v", name, path, got, want)
				}
				return
			}
			for key := range w {
				inside(path+"."+key, w[key], at(got, key))
			}
		}
		inside("", doc, p.Asked(i.ID))
	}
}

// TestWholeRequest: everything that the settings can say, to the last field.
func TestWholeRequest(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	p.Agree()
	off := false
	s.Image, s.Plan = "acme:appliance:standard:1.2.3", azure.Plan{Name: "standard", Product: "appliance", Publisher: "acme"}
	s.Subnet = "/subscriptions/" + p.ID + "/resourceGroups/networks/providers/Microsoft.Network/virtualNetworks/shared/subnets/desktops"
	s.OSDiskType, s.OSDiskSize, s.OSPassword = "StandardSSD_LRS", 40, "Corr3ct-horse"
	s.Tags, s.SecurityType, s.SecureBoot = map[string]string{"team": "desk"}, "ConfidentialVM", &off
	s.Spot, s.EvictionPolicy, s.MaxPrice = true, "Deallocate", 0.125
	s.ConfigOverride = map[string]any{"tags": map[string]any{"cost": "7"}, "properties": map[string]any{"storageProfile": map[string]any{"dataDisks": []any{
		map[string]any{"lun": 0, "createOption": "Empty", "diskSizeGB": 8, "name": "mine", "deleteOption": "Detach"},
		map[string]any{"lun": 1, "createOption": "Attach", "managedDisk": map[string]any{"id": "/subscriptions/x/disks/tools"}},
	}}}}
	for _, f := range s.Validate() {
		t.Error(f)
	}
	req := request("a")
	req.Offer = "Standard_D4as_v5@2"
	i, err := opened(t, s).Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	ours := func(more ...string) map[string]any {
		out := map[string]any{"headroom-installation": "01ji", "headroom-provider": "p", "headroom-autoscale": "c", "headroom-server": "a", "team": "desk"}
		for _, key := range more {
			out[key] = "7"
		}
		return out
	}
	firewall := "/subscriptions/" + p.ID + "/resourceGroups/desktops/providers/Microsoft.Network/networkSecurityGroups/desktops"
	want := map[string]any{
		"location": "westeurope", "zones": []any{"2"}, "tags": ours("cost"), "plan": map[string]any{"name": "standard", "product": "appliance", "publisher": "acme"},
		"properties": map[string]any{
			"hardwareProfile": map[string]any{"vmSize": "Standard_D4as_v5"}, "priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": map[string]any{"maxPrice": 0.125},
			"securityProfile":    map[string]any{"securityType": "ConfidentialVM", "uefiSettings": map[string]any{"secureBootEnabled": false, "vTpmEnabled": true}},
			"diagnosticsProfile": map[string]any{"bootDiagnostics": map[string]any{"enabled": true}},
			"storageProfile": map[string]any{
				"imageReference": map[string]any{"publisher": "acme", "offer": "appliance", "sku": "standard", "version": "1.2.3"},
				"osDisk": map[string]any{"name": "hr-a-os", "createOption": "FromImage", "deleteOption": "Delete", "diskSizeGB": 40.0, "managedDisk": map[string]any{
					"storageAccountType": "StandardSSD_LRS", "securityProfile": map[string]any{"securityEncryptionType": "VMGuestStateOnly"},
				}},
				"dataDisks": []any{
					map[string]any{"lun": 0.0, "createOption": "Empty", "diskSizeGB": 8.0, "name": "hr-a-data0", "deleteOption": "Delete"},
					map[string]any{"lun": 1.0, "createOption": "Attach", "managedDisk": map[string]any{"id": "/subscriptions/x/disks/tools"}},
				},
			},
			"osProfile": map[string]any{
				"computerName": "hr-a", "adminUsername": "headroom", "adminPassword": "Corr3ct-horse", "customData": "IyEvYmluL3NoCg==",
				"linuxConfiguration": map[string]any{"disablePasswordAuthentication": false, "ssh": map[string]any{"publicKeys": []any{map[string]any{"path": "/home/headroom/.ssh/authorized_keys", "keyData": sshKey}}}},
			},
			"networkProfile": map[string]any{"networkApiVersion": "2022-11-01", "networkInterfaceConfigurations": []any{map[string]any{
				"name": "hr-a-nic", "tags": ours(), "properties": map[string]any{
					"primary": true, "deleteOption": "Delete", "networkSecurityGroup": map[string]any{"id": firewall},
					"ipConfigurations": []any{map[string]any{"name": "primary", "properties": map[string]any{
						"primary": true, "subnet": map[string]any{"id": s.Subnet},
						"publicIPAddressConfiguration": map[string]any{
							"name": "hr-a-ip", "tags": ours(), "sku": map[string]any{"name": "Standard", "tier": "Regional"},
							"properties": map[string]any{"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
						},
					}}},
				},
			}}},
		},
	}
	if diff := cmp.Diff(want, p.Asked(i.ID)); diff != "" {
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
	if err != nil || strings.Contains(string(text), "Corr3ct") {
		t.Fatalf("the password is shown: %s, %v", text, err)
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	profile, _ := at(want, "properties", "osProfile").(map[string]any)
	profile["adminPassword"] = "***"
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("what is shown is not what is sent:\n%s", diff)
	}
}

// TestCustomData: what fits, fits after encoding.
func TestCustomData(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	limit := azure.Kind().ScriptChannel(s).Limit
	req := request("a")
	req.Bootstrap.UserData = []byte(strings.Repeat("x", limit))
	i, err := opened(t, s).Create(t.Context(), req)
	text, _ := at(p.Asked(i.ID), "properties", "osProfile", "customData").(string)
	if err != nil || len(text) != 64<<10 {
		t.Errorf("%d characters, %v", len(text), err)
	}
}

// TestErrors: codes that a status alone does not tell, each with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status        int
		code, message string
		class         provider.Class
		says          string
	}{
		{403, "AuthorizationFailed", "The client 'x' with object id 'x' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/write' over scope '/subscriptions/s/g' or the scope is invalid.", provider.Forbidden, "grant the app Microsoft.Compute/virtualMachines/write on /subscriptions/s/g"},
		{403, "LinkedAuthorizationFailed", "The client has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope 'a'; however, it does not have permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '/subscriptions/s/net' (respectively).", provider.Forbidden, "grant the app Microsoft.Network/virtualNetworks/subnets/join/action on /subscriptions/s/net"},
		{401, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer.", provider.Unauthenticated, "correct tenant_id"},
		{404, "SubscriptionNotFound", "The subscription 'x' could not be found.", provider.Invalid, "subscription_id"},
		{404, "ResourceGroupNotFound", "Resource group 'x' could not be found.", provider.Invalid, "resource_group"},
		{404, "ImageNotFound", "The Image cannot be found.", provider.Invalid, "correct image"},
		{400, "MarketplacePurchaseEligibilityFailed", "Marketplace purchase eligibilty check returned errors.", provider.Forbidden, "az vm image terms accept"},
		{400, "ResourcePurchaseValidationFailed", "User failed validation to purchase resources. Error message: 'You have not accepted the legal terms on this subscription'", provider.Forbidden, "az vm image terms accept"},
		{409, "AnotherOperationInProgress", "Another operation on this or dependent resource is in progress.", provider.Conflict, ""},
		{409, "PropertyChangeNotAllowed", "Changing property 'osDisk.name' is not allowed.", provider.Conflict, ""},
		{409, "ReadOnlyDisabledSubscription", "The subscription 'x' is disabled and therefore marked as read only.", provider.Forbidden, "enable it"},
		{409, "ScopeLocked", "The scope cannot perform write operation because following scope(s) are locked.", provider.Forbidden, "remove the lock"},
		{409, "MissingSubscriptionRegistration", "The subscription is not registered to use namespace 'Microsoft.Compute'.", provider.Forbidden, "az provider register"},
		{403, "RequestDisallowedByPolicy", "Resource 'hr-a' was disallowed by policy.", provider.Forbidden, "exempt"},
		{409, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota.", provider.Quota, ""},
		{409, "OperationNotAllowed", "The VM cannot be changed now.", provider.Conflict, ""},
		{400, "InvalidParameter", "The requested VM size Standard_D2s_v5 is not available in the current region.", provider.NoCapacity, ""},
		{400, "InvalidParameter", "The value of parameter osProfile is invalid.", provider.Invalid, ""},
		{400, "SubnetIsFull", "Subnet desktops with address prefix 10.0.0.0/28 does not have enough capacity for 1 IP addresses.", provider.Quota, ""},
		{409, "ZonalAllocationFailed", "Allocation failed.", provider.NoCapacity, ""},
		{429, "TooManyRequests", "The request is being throttled.", provider.RateLimited, ""},
		{500, "InternalExecutionError", "An internal execution error occurred.", provider.Unavailable, ""},
		{418, "SomethingNew", "A new thing.", provider.Unknown, "SomethingNew: A new thing."},
	} {
		s, p := subscription(t)
		p.Spoil(fakeazure.Fault{Method: http.MethodPut, Path: "/virtualMachines/", Status: c.status, Code: c.code, Message: c.message})
		_, err := opened(t, s).Create(t.Context(), request("a"))
		if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %v, expected %s with %q", c.code, err, c.class, c.says)
		}
	}
	s, p := subscription(t)
	d := opened(t, s)
	if _, err := d.Create(t.Context(), request("a")); err != nil {
		t.Fatal(err)
	}
	p.Lock("CanNotDelete")
	if err := d.Delete(t.Context(), "hr-a"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "remove the lock") {
		t.Errorf("a lock: %v", err)
	}
}

// TestModelHolds: what the SDK's types do not know is noticed.
func TestModelHolds(t *testing.T) {
	t.Parallel()
	machine := reflect.TypeFor[armcompute.VirtualMachine]()
	for body, says := range map[string]string{
		`{"location":"x","properties":{"priority":"Spot"}}`:                                 "",
		`{"location":"x","propertys":{}}`:                                                   "unknown member .propertys",
		`{"properties":{"storageProfile":{"osDisk":{"delete":"Delete"}}}}`:                  "unknown member .properties.storageProfile.osDisk.delete",
		`{"properties":{"networkProfile":{"networkInterfaceConfigurations":[{"tag":{}}]}}}`: "unknown member .properties.networkProfile.networkInterfaceConfigurations[0].tag",
		`{"properties":{"priority":1}}`:                                                     "cannot be read",
	} {
		if got := fakeazure.Unknown(machine, []byte(body)); (says == "") != (got == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %q, expected %q", body, got, says)
		}
	}
}
