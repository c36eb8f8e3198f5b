package nutanix

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
)

func TestV4MachineAsAsked(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	settings := settingsV4(s)
	settings.SSHPublicKey = testKey
	d := driverV4(t, settings)
	req := wish("asked")
	req.Shape = fleet.Resources{Cores: 2500, MemoryMiB: 3000}
	id := createV4(t, d, req).ID
	got := untilV4(t, d, id, is(provider.StateRunning))
	if got.CreatedAt.IsZero() || len(got.Addresses) != 1 {
		t.Errorf("made at %v, addresses %v without those of the link", got.CreatedAt, got.Addresses)
	}
	got.CreatedAt, got.Addresses = time.Time{}, nil
	want := provider.Instance{
		ID: id, Name: req.Name, Tags: req.Tags, State: provider.StateRunning, Capacity: fleet.Resources{Cores: 3 * fleet.Core, MemoryMiB: 3000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	vm, _ := s.Find(markKey, id)
	slices.Sort(vm.Categories)
	if diff := cmp.Diff([]string{"Environment:Production", markKey + ":" + id}, vm.Categories); diff != "" {
		t.Errorf("categories:\n%s", diff)
	}
	if vm.Subnet != fake4.ID("vlan-120") || !strings.Contains(string(vm.Metadata), testKey) || !strings.Contains(string(vm.Metadata), req.Name) {
		t.Errorf("subnet %s, metadata %s", vm.Subnet, vm.Metadata)
	}
	// Policies of categories hold when the machine starts.
	log := s.Log()
	if a, b := slices.Index(log, fake4.Associate), slices.Index(log, fake4.PowerOn); a < 0 || a > b {
		t.Errorf("the machine was switched on before it was in its categories: %v", log)
	}
	goneV4(t, s, d, id)
}

func TestV4GuestOfWindows(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	settings := settingsV4(s)
	settings.Windows, settings.VMCandidate = true, "golden-template"
	d := driverV4(t, settings)
	req := wish("windows")
	req.Bootstrap.UserData = []byte("Write-Host hello\n")
	id := createV4(t, d, req).ID
	untilV4(t, d, id, is(provider.StateRunning))
	vm, _ := s.Find(markKey, id)
	if !bytes.Contains(vm.Answers, []byte("<unattend")) || len(vm.UserData) > 0 {
		t.Errorf("the answer file is %q, user data %q", vm.Answers, vm.UserData)
	}
}

func TestV4Rendered(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	for _, source := range []string{"golden", "golden-template"} {
		settings := settingsV4(s)
		settings.VMCandidate = source
		req := wish("shown")
		req.Bootstrap.UserData = []byte("#!/bin/sh\necho token-of-the-machine\n")
		calls, err := driverV4(t, settings).Render(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(calls)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"POST /api/prism/v4.0/config/categories", fake4.ID(source) + "/$actions/", "power-on", fake4.ID("Production"), "not shown"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s is missing in %s", part, text)
			}
		}
		if strings.Contains(string(text), "IyEvYmlu") {
			t.Errorf("user data are shown: %s", text)
		}
	}
}

// The SDK is no ornament: requests that it does not know are refused.
func TestV4ContractRefuses(t *testing.T) {
	t.Parallel()
	s, err := fake4.New(fake4.Options{})
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(s.Close)
	const (
		vm       = "/api/vmm/v4.0/ahv/config/vms/"
		clone    = `{"$objectType":"vmm.v4.ahv.config.CloneOverrideParams",`
		category = `{"$objectType":"prism.v4.config.Category",`
	)
	golden := fake4.ID("golden")
	for name, tt := range map[string]struct{ method, path, body, says string }{
		"as it should be":       {http.MethodPost, vm + golden + "/$actions/clone", clone + `"name":"x"}`, ""},
		"an unknown field":      {http.MethodPost, vm + golden + "/$actions/clone", clone + `"size":5}`, `no field "size"`},
		"no type":               {http.MethodPost, vm + golden + "/$actions/clone", `{"name":"x"}`, "names no $objectType"},
		"another type":          {http.MethodPost, vm + golden + "/$actions/clone", category + `"key":"x"}`, "says that it is a prism.v4.config.Category"},
		"text for a number":     {http.MethodPost, vm + golden + "/$actions/clone", clone + `"numSockets":"5"}`, "numSockets"},
		"no such value":         {http.MethodPost, vm + golden + "/$actions/clone", clone + `"nics":[{"$objectType":"vmm.v4.ahv.config.Nic","networkInfo":{"$objectType":"vmm.v4.ahv.config.NicNetworkInfo","nicType":"FAST"}}]}`, "NicType does not have"},
		"no such script":        {http.MethodPost, vm + golden + "/$actions/clone", clone + `"guestCustomization":{"$objectType":"vmm.v4.ahv.config.GuestCustomizationParams","config":{"$objectType":"vmm.v4.ahv.config.Cloudy"}}}`, "OneOfGuestCustomizationParamsConfig"},
		"an unnamed script":     {http.MethodPost, vm + golden + "/$actions/clone", clone + `"guestCustomization":{"$objectType":"vmm.v4.ahv.config.GuestCustomizationParams","config":{"$objectType":"vmm.v4.ahv.config.CloudInit"}}}`, "does not name vmm.v4.ahv.config.CloudInit"},
		"no body":               {http.MethodPost, vm + golden + "/$actions/clone", ``, "body is missing"},
		"a body for nothing":    {http.MethodPost, vm + golden + "/$actions/power-on", `{}`, "the API takes none"},
		"an unknown action":     {http.MethodPost, vm + golden + "/$actions/fly", ``, "the API has no POST"},
		"another version":       {http.MethodGet, "/api/vmm/v3/ahv/config/vms", ``, "nothing of the v4 API"},
		"an unknown query":      {http.MethodGet, "/api/vmm/v4.0/ahv/config/vms?$skip=1", ``, `no query "$skip"`},
		"outside of the API":    {http.MethodGet, "/elsewhere", ``, "elsewhere"},
		"a field of a category": {http.MethodPost, "/api/prism/v4.0/config/categories", category + `"key":"a","value":"b","color":"red"}`, `no field "color"`},
	} {
		before := len(s.Wrong())
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), tt.method, s.URL+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(fake4.Username, fake4.Password)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("NTNX-Request-Id", uuid.NewString())
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		got := strings.Join(s.Wrong()[before:], "; ")
		if tt.says == "" && got != "" || tt.says != "" && !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, expected %q", name, got, tt.says)
		}
	}
}
