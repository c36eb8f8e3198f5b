package nutanix

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

func TestMachineAsAsked(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{CloneTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	req := wish("asked")
	req.Shape = fleet.Resources{Cores: 2500, MemoryMiB: 3000}
	create(t, d, req)
	got, err := d.Get(t.Context(), machineID(req))
	if err != nil {
		t.Fatal(err)
	}
	if got.CreatedAt.IsZero() || len(got.Addresses) != 1 {
		t.Errorf("made at %v, addresses %v without those of the link", got.CreatedAt, got.Addresses)
	}
	got.CreatedAt, got.Addresses = time.Time{}, nil
	want := provider.Instance{
		ID: machineID(req), Name: req.Name, Tags: req.Tags, State: provider.StateRunning,
		Capacity: fleet.Resources{Cores: 3 * fleet.Core, MemoryMiB: 3000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	vm := s.VM(got.ID)
	metadata, _ := vm["metadata"].(map[string]any)
	if diff := cmp.Diff(map[string]string{"Environment": "Production", markKey: got.ID}, metadata["categories"]); diff != "" {
		t.Errorf("categories:\n%s", diff)
	}
	if project, _ := metadata["project_reference"].(map[string]any); project["uuid"] != s.ID("desktops") {
		t.Errorf("project %v", project)
	}
	// The description of a clone is that of its source: nothing may hang on it.
	if spec, _ := vm["spec"].(map[string]any); strings.Contains(spec["description"].(string), "Headroom") {
		t.Errorf("description %v", spec["description"])
	}
}

// What the settings leave open is as the VM to clone has it.
func TestMachineAsItsCandidate(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	settings := settingsOf(s)
	settings.Cluster, settings.Subnet, settings.Project, settings.Cores, settings.Memory, settings.Categories = "", "", "", 0, 0, nil
	settings.VMCandidate = s.ID("golden")
	settings.Username, settings.Password, settings.APIKey = "", "", fakenutanix.APIKey
	d := driverOf(t, settings)
	i := create(t, d, wish("plain"))
	if i.Capacity != (fleet.Resources{Cores: 2 * fleet.Core, MemoryMiB: 4096}) {
		t.Errorf("capacity %+v", i.Capacity)
	}
}

func TestRendered(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	req := wish("shown")
	req.Bootstrap.UserData = []byte("#!/bin/sh\necho token-of-the-machine\n")
	calls, err := d.Render(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(calls, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"PUT /api/nutanix/v3/categories/headroom-server/" + machineID(req), "POST /api/nutanix/v3/vms", s.ID("golden"), s.ID("vlan-120"), "not shown"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is missing in %s", part, text)
		}
	}
	if strings.Contains(string(text), "IyEvYmlu") {
		t.Errorf("user data are shown: %s", text)
	}
}

// The contract is no ornament: requests that the API does not take are refused.
func TestContractRefuses(t *testing.T) {
	t.Parallel()
	s, err := fakenutanix.New(fakenutanix.Options{})
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(s.Close)
	c := s.Client()
	ask := func(method, path, body string) string {
		before := len(s.Wrong())
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(fakenutanix.Username, fakenutanix.Password)
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return strings.Join(s.Wrong()[before:], "; ")
	}
	const vms = "/api/nutanix/v3/vms"
	for name, tt := range map[string]struct{ method, path, body, says string }{
		"as it should be":      {http.MethodPost, vms + "/list", `{"kind":"vm"}`, ""},
		"another kind":         {http.MethodPost, vms + "/list", `{"kind":"image"}`, "kind"},
		"an unknown field":     {http.MethodPost, vms + "/list", `{"size":5}`, "size"},
		"a length of 0":        {http.MethodPost, vms + "/list", `{"length":0}`, "length"},
		"text for a number":    {http.MethodPost, vms + "/list", `{"length":"5"}`, "length"},
		"no body":              {http.MethodPost, vms + "/list", ``, "missing"},
		"an unknown path":      {http.MethodGet, vms + "/x/y/z", ``, "no path"},
		"another method":       {http.MethodPut, vms + "/list", `{}`, "no "},
		"a UUID that is none":  {http.MethodGet, vms + "/xyz", ``, "uuid"},
		"a query":              {http.MethodGet, vms + "/" + uuid.NewString() + "?a=b", ``, "query"},
		"outside of the API":   {http.MethodGet, "/elsewhere", ``, "elsewhere"},
		"no name":              {http.MethodPost, vms, `{"metadata":{"kind":"vm"},"spec":{"resources":{}}}`, "name"},
		"a power of its own":   {http.MethodPost, vms, `{"metadata":{"kind":"vm"},"spec":{"name":"x","resources":{"power_state":"MAX"}}}`, "power_state"},
		"both customizations":  {http.MethodPost, vms, `{"metadata":{"kind":"vm"},"spec":{"name":"x","resources":{"guest_customization":{"cloud_init":{"user_data":""},"sysprep":{"unattend_xml":""}}}}}`, "oneOf"},
		"too much user data":   {http.MethodPost, vms, `{"metadata":{"kind":"vm"},"spec":{"name":"x","resources":{"guest_customization":{"sysprep":{"unattend_xml":"` + strings.Repeat("A", 32001) + `"}}}}}`, "32000"},
		"a value that is none": {http.MethodPut, "/api/nutanix/v3/categories/a/b*c", `{"value":"b*c"}`, "value"},
	} {
		got := ask(tt.method, tt.path, tt.body)
		if tt.says == "" && got != "" || tt.says != "" && !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, expected %q", name, got, tt.says)
		}
	}
}
