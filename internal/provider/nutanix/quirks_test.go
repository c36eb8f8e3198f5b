package nutanix

import (
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
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

func owner() provider.Owner { return provider.Owner{Installation: "one", Provider: "prism"} }

func wish(server string) provider.Request {
	return provider.Request{
		Token: "token-" + server, Name: fleet.ServerName(server),
		Tags:      provider.Tags{Installation: "one", Provider: "prism", Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
	}
}

func create(t *testing.T, d *driver, req provider.Request) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func listed(t *testing.T, d *driver) map[string]provider.Instance {
	t.Helper()
	all := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), owner()) {
		if err != nil {
			t.Fatal(err)
		}
		all[i.ID] = i
	}
	return all
}

func remnantsOf(t *testing.T, d *driver) []provider.Remnant {
	t.Helper()
	var all []provider.Remnant
	for r, err := range d.ListRemnants(t.Context(), owner()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// later is the driver with its clock put forward.
func later(d *driver, by time.Duration) *driver {
	return &driver{settings: d.settings, connection: d.connection, now: func() time.Time { return time.Now().Add(by) }}
}

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

func TestNames(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	s.AddCluster("cluster-b")
	s.AddSubnet("vlan-120", "cluster-b")
	s.AddSubnet("vlan-b", "cluster-b")
	overlay := s.AddSubnet("overlay", "")
	twin1, twin2 := s.AddVM("twins"), s.AddVM("twins")
	twins := []string{twin1, twin2}
	slices.Sort(twins)
	s.AddVM("image (2026) ünïcode.*")
	for name, tt := range map[string]struct {
		change func(*Settings)
		says   string // empty: it works
	}{
		"as they are":                  {func(*Settings) {}, ""},
		"a name full of traps":         {func(s *Settings) { s.VMCandidate = "image (2026) ünïcode.*" }, ""},
		"a subnet without cluster":     {func(s *Settings) { s.Subnet = "overlay" }, ""},
		"a subnet by UUID":             {func(s *Settings) { s.Subnet = overlay }, ""},
		"two of one name":              {func(s *Settings) { s.VMCandidate = "twins" }, `2 virtual machines are named "twins": give the UUID of the one that is meant: ` + strings.Join(twins, ", ")},
		"one of the two by UUID":       {func(s *Settings) { s.VMCandidate = twin1 }, ""},
		"no such machine":              {func(s *Settings) { s.VMCandidate = "golden2" }, `vm_candidate: Prism shows no virtual machine named "golden2"`},
		"a part of a name":             {func(s *Settings) { s.VMCandidate = "gold" }, `no virtual machine named "gold"`},
		"other letters":                {func(s *Settings) { s.VMCandidate = "Golden" }, `no virtual machine named "Golden"`},
		"no such UUID":                 {func(s *Settings) { s.VMCandidate = uuid.Nil.String() }, "vm_candidate: Prism shows no virtual machine with UUID 00000000"},
		"no such cluster":              {func(s *Settings) { s.Cluster = "cluster-x" }, `cluster: Prism shows no cluster named "cluster-x"`},
		"Prism Central as cluster":     {func(s *Settings) { s.Cluster = "prism-central" }, `no cluster named`},
		"no such cluster UUID":         {func(s *Settings) { s.Cluster = uuid.Nil.String() }, "cluster: Prism shows no cluster with UUID"},
		"a subnet of another cluster":  {func(s *Settings) { s.Subnet = "vlan-b" }, `subnet: "vlan-b" exists, but not on cluster`},
		"no such subnet":               {func(s *Settings) { s.Subnet = "vlan-x" }, `subnet: Prism shows no subnet named "vlan-x"`},
		"no such subnet UUID":          {func(s *Settings) { s.Subnet = uuid.Nil.String() }, "subnet: Prism shows no subnet with UUID"},
		"no such project":              {func(s *Settings) { s.Project = "p" }, `project: Prism shows no project named "p"`},
		"no such project UUID":         {func(s *Settings) { s.Project = uuid.Nil.String() }, "project: Prism shows no project with UUID"},
		"a category that is not there": {func(s *Settings) { s.Categories = map[string]string{"Environment": "Test"} }, "category Environment:Test does not exist"},
	} {
		settings := settingsOf(s)
		tt.change(&settings)
		d := driverOf(t, settings)
		_, err := d.Create(t.Context(), wish("named "+name))
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, expected invalid with %q", name, err, tt.says)
		}
		if tt.says != "" && len(listed(t, d)) > 8 {
			t.Errorf("%s: a machine was made", name)
		}
	}
}

// A golden image that is replaced under its name is picked up, at once when the
// old one is gone, after a while otherwise.
func TestNamesAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{DeleteTime: time.Nanosecond})
	settings := settingsOf(s)
	settings.VMCandidate = "image"
	first := s.AddVM("image")
	d := driverOf(t, settings)
	create(t, d, wish("of the first"))
	if err := d.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := s.AddVM("image")
	if _, err := d.Create(t.Context(), wish("of the gone")); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a clone of what is gone: %v", err)
	}
	create(t, d, wish("of the second"))
	if d.known.candidate.id != second {
		t.Errorf("the candidate is %s, expected %s", d.known.candidate.id, second)
	}
	d.now = func() time.Time { return time.Now().Add(memory) }
	before := s.Calls()
	create(t, d, wish("later"))
	if s.Calls()-before <= 2 {
		t.Error("names are remembered for ever")
	}
}

// Whatever request of a create is the last that the controller makes, nothing
// is left that the marks do not lead to, and the repeated call makes one machine.
func TestCrashBetweenRequests(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{fakenutanix.PutMark, fakenutanix.CreateVM, "PUT /categories/{name}"} {
		s := prismCentral(t, fakenutanix.Options{PageLength: 10})
		d := driverOf(t, settingsOf(s))
		req := wish("crash")
		s.Lose(operation)
		if _, err := d.Create(t.Context(), req); provider.ClassOf(err).MadeNothing() || err == nil {
			t.Errorf("%s lost: %v", operation, err)
		}
		found := len(listed(t, d)) + len(remnantsOf(t, d))
		if things := len(s.Leftovers()); things > 0 && found != 1 {
			t.Errorf("%s lost: left are %v, the driver finds %d", operation, s.Leftovers(), found)
		}
		again := create(t, driverOf(t, settingsOf(s)), req)
		if all := listed(t, d); len(all) != 1 || all[again.ID].Tags != req.Tags {
			t.Errorf("%s lost: the listing shows %v", operation, all)
		}
		if n := s.Machines(); n != 1 {
			t.Errorf("%s lost: %d machines", operation, n)
		}
	}
}

// A lost create whose repetition is refused for want of room must not be taken
// for a machine that was never made.
func TestRepetitionIsRefused(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	req := wish("lost")
	s.Lose(fakenutanix.CreateVM)
	if _, err := d.Create(t.Context(), req); err == nil {
		t.Fatal("the answer was to be lost")
	}
	s.Refuse(fakenutanix.CreateVM, 0, 1, http.StatusUnprocessableEntity, "INTERNAL_ERROR", "Quota exceeded")
	if i := create(t, d, req); i.ID != machineID(req) {
		t.Errorf("answered %+v", i)
	}
	s.Refuse(fakenutanix.CreateVM, 0, 1, http.StatusUnprocessableEntity, "INTERNAL_ERROR", "Quota exceeded")
	s.Refuse(fakenutanix.GetVM, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err).MadeNothing() {
		t.Errorf("it is not known whether the machine exists, and the answer is %v", err)
	}
	if len(listed(t, d)) != 1 {
		t.Error("the mark of the machine is gone")
	}
}

// A listing does not page through what others run on the Prism Central, and it
// still finds a machine that somebody has renamed.
func TestListingAmongOthers(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{PageLength: 5})
	d := driverOf(t, settingsOf(s))
	for range 50 {
		s.AddVM("somebody's")
	}
	first := create(t, d, wish("first")).ID
	create(t, d, wish("second"))
	before := s.Calls()
	if all := listed(t, d); len(all) != 2 || s.Calls()-before != 2 {
		t.Errorf("a listing shows %d machines for %d requests, expected 2 for 2", len(all), s.Calls()-before)
	}
	s.Rename(first, "Ann's favourite")
	if all := listed(t, later(d, grace)); len(all) != 2 || all[first].Name != fleet.ServerName("first") {
		t.Errorf("after a machine was renamed, the listing shows %v", all)
	}
	if left := remnantsOf(t, d); len(left) != 0 {
		t.Errorf("the mark of a renamed machine is taken for a remnant: %v", left)
	}
}

func TestCommonName(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"":                  nil,
		"vm_name==hr-abc.*": {"hr-abc"},
		"vm_name==hr-.*":    {"hr-abc", "hr-xyz", "hr-a"},
		"vm_name==hr.*":     {"hr-abc", "hr"},
	} {
		all := map[string]mark{}
		for _, n := range names {
			all[n] = mark{Name: n}
		}
		if got := commonName(all); got != want {
			t.Errorf("%v: %q, expected %q", names, got, want)
		}
	}
	if got := commonName(map[string]mark{"a": {Name: "x"}, "b": {Name: "y"}}); got != "" {
		t.Errorf("nothing in common: %q", got)
	}
	if got := commonName(map[string]mark{"a": {Name: "ü(.*"}}); got != "" {
		t.Errorf("a name with traps: %q", got)
	}
}

// A Prism that gives machines UUIDs of its own would make two of them after a
// lost answer. The driver does not work with it and leaves nothing.
func TestPrismWithUUIDsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{OwnUUIDs: true, DeleteTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	if _, err := d.Create(t.Context(), wish("own")); provider.ClassOf(err) != provider.Unsupported || !strings.Contains(err.Error(), "ignores the UUID") {
		t.Errorf("create: %v", err)
	}
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Prism does not list what it could not make. It is shown once it has had time
// to appear, with the reason, and can be deleted.
func TestMachineThatPrismGaveUp(t *testing.T) {
	t.Parallel()
	for _, byTask := range []bool{false, true} {
		s := prismCentral(t, fakenutanix.Options{DeleteTime: time.Nanosecond})
		d := driverOf(t, settingsOf(s))
		i := create(t, d, wish("failed"))
		s.Fail(i.ID, "RESOURCE_SHORTAGE", "No host has enough memory", byTask)
		if all := listed(t, d); len(all) != 0 {
			t.Errorf("Prism lists %v", all)
		}
		got := listed(t, later(d, grace))[i.ID]
		if got.State != provider.StateFailed || !strings.Contains(got.Fault, "No host has enough memory") || got.Tags.Server != "failed" {
			t.Errorf("by task %v: the machine is shown as %+v", byTask, got)
		}
		if left := remnantsOf(t, d); len(left) != 0 {
			t.Errorf("its mark is taken for a remnant: %v", left)
		}
		for range 2 {
			if err := d.Delete(t.Context(), i.ID); err != nil && !isNotFound(err) {
				t.Fatal(err)
			}
		}
		if left := s.Leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// A machine that runs stays one whatever becomes of changes that others make.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		entity, power string
		want          provider.State
	}{
		{"PENDING", "OFF", provider.StatePending},
		{"RUNNING", "OFF", provider.StatePending},
		{"", "", provider.StatePending},
		{"PENDING", "ON", provider.StateRunning},
		{"COMPLETE", "ON", provider.StateRunning},
		{"ERROR", "ON", provider.StateRunning},
		{"COMPLETE", "UNKNOWN", provider.StateRunning},
		{"COMPLETE", "OFF", provider.StateStopped},
		{"COMPLETE", "PAUSED", provider.StateStopped},
		{"ERROR", "OFF", provider.StateFailed},
		{"ERROR", "UNKNOWN", provider.StateFailed},
		{"DELETE_PENDING", "ON", provider.StateDeleting},
		{"DELETE_IN_PROGRESS", "OFF", provider.StateDeleting},
	} {
		if got := state(tt.entity, tt.power); got != tt.want {
			t.Errorf("%s with power %s is %s, expected %s", tt.entity, tt.power, got, tt.want)
		}
	}
}

func TestMachineIsDeletedWithItsMark(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{DeleteTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	id := create(t, d, wish("deleted")).ID
	if err := d.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	// The VM is gone, its mark is not: the machine is not gone yet.
	if i, err := d.Get(t.Context(), id); err != nil || i.State != provider.StateDeleting || i.Tags.Server != "deleted" {
		t.Errorf("%+v, %v", i, err)
	}
	if len(remnantsOf(t, d)) != 1 {
		t.Error("a mark without machine is no remnant")
	}
	if err := d.Delete(t.Context(), id); !isNotFound(err) {
		t.Errorf("the second delete answered %v", err)
	}
	if _, err := d.Get(t.Context(), id); !isNotFound(err) {
		t.Errorf("get of what is gone: %v", err)
	}
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRemnantThatBecameAMachine(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	i := create(t, d, wish("machine"))
	if err := d.DeleteRemnant(t.Context(), provider.Remnant{Kind: remnantKind, ID: i.ID, Tags: i.Tags}); provider.ClassOf(err) != provider.Conflict {
		t.Errorf("the mark of a machine: %v", err)
	}
	for _, r := range []provider.Remnant{{Kind: "disk", ID: i.ID}, {Kind: remnantKind, ID: "../x"}, {Kind: remnantKind, ID: uuid.NewString()}} {
		if err := d.DeleteRemnant(t.Context(), r); !isNotFound(err) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// Values that others put into the category, and listings that do not say how
// long they are, do no harm.
func TestMarksOfOthers(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{Uncounted: true, PageLength: 3})
	d := driverOf(t, settingsOf(s))
	for _, text := range []string{"", "made by hand", "{}", `{"server":7}`, `["x"]`} {
		s.Mark(markKey, uuid.NewString(), text)
	}
	for _, server := range []string{"a", "b", "c", "d"} {
		create(t, d, wish(server))
	}
	if all := listed(t, d); len(all) != 4 {
		t.Errorf("the listing shows %d machines", len(all))
	}
	if left := remnantsOf(t, d); len(left) != 0 {
		t.Errorf("remnants: %v", left)
	}
}

func TestLongAndOddTags(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	req := wish("odd")
	req.Tags.AutoscaleConfig = strings.Repeat("ü", 63) + `"<&\/`
	create(t, d, req)
	for _, i := range listed(t, d) {
		if i.Tags != req.Tags {
			t.Errorf("tags %+v", i.Tags)
		}
	}
	req = wish("longest")
	req.Tags.AutoscaleConfig = strings.Repeat("x", maxDescription)
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "shorten") {
		t.Errorf("tags that do not fit: %v", err)
	}
	if n := s.Machines(); n != 1 {
		t.Errorf("%d machines", n)
	}
}

func TestAnswersThatAreNoneOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		header http.Header
		text   string
		want   provider.Class
		after  time.Duration
		says   string
	}{
		"a gateway":                {http.StatusBadGateway, nil, "<html>bad gateway</html>", provider.Unavailable, 0, "502"},
		"a gateway says when":      {http.StatusServiceUnavailable, http.Header{"Retry-After": {"11"}}, "", provider.RateLimited, 11 * time.Second, "503"},
		"nothing and 500":          {http.StatusInternalServerError, nil, "", provider.Unavailable, 0, "500"},
		"not Prism Central":        {http.StatusNotFound, nil, "<html>404</html>", provider.Unsupported, 0, "host and port"},
		"success that is no JSON":  {http.StatusOK, nil, "<html>welcome</html>", provider.Unknown, 0, "host and port"},
		"a redirect to a login":    {http.StatusFound, http.Header{"Location": {"/console"}}, "x", provider.Unknown, 0, "302"},
		"throttled without a word": {http.StatusTooManyRequests, nil, "", provider.RateLimited, 0, "429"},
		"a status that is a word":  {http.StatusBadRequest, nil, `{"status":"failure","message":"nonsense","reason":"INVALID_REQUEST"}`, provider.Invalid, 0, "nonsense"},
		"a status in a status":     {http.StatusUnprocessableEntity, nil, `{"status":{"state":"ERROR","message_list":[{"message":"deep","reason":"RESOURCE_SHORTAGE"}]}}`, provider.NoCapacity, 0, "deep"},
	} {
		s := prismCentral(t, fakenutanix.Options{})
		d := driverOf(t, settingsOf(s))
		s.RefuseRaw(fakenutanix.GetVM, 1, tt.status, tt.header, tt.text)
		_, err := d.Get(t.Context(), uuid.NewString())
		if provider.ClassOf(err) != tt.want || provider.RetryAfter(err) != tt.after || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v (after %v), expected %s, %v and %q", name, err, provider.RetryAfter(err), tt.want, tt.after, tt.says)
		}
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

func TestChoices(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	d := driverOf(t, settingsOf(s))
	create(t, d, wish("not a choice"))
	for setting, want := range map[string][]provider.Choice{
		"vm_candidate": {{Value: s.ID("golden"), Label: "golden", Description: "power OFF"}},
		"cluster":      {{Value: s.ID("cluster-a"), Label: "cluster-a"}},
		"subnet":       {{Value: s.ID("vlan-120"), Label: "vlan-120", Description: "cluster " + s.ID("cluster-a")}},
		"project":      {{Value: s.ID("desktops"), Label: "desktops"}},
	} {
		got, err := d.Choices(t.Context(), setting)
		if err != nil {
			t.Errorf("%s: %v", setting, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", setting, diff)
		}
	}
	if _, err := d.Choices(t.Context(), "host"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("a setting without choices: %v", err)
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

// Throttled wherever it hurts, creates and deletes come to an end all the same:
// one machine, and then nothing.
func TestThrottledEverywhere(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{PageLength: 10, DeleteTime: time.Nanosecond})
	d := driverOf(t, settingsOf(s))
	req := wish("throttled")
	storm := func() {
		for _, operation := range []string{
			fakenutanix.PutMark, fakenutanix.CreateVM, fakenutanix.GetVM, fakenutanix.DeleteMark, fakenutanix.DeleteVM, fakenutanix.GetMark, fakenutanix.ListMarks,
		} {
			s.RefuseRaw(operation, 2, http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}, "")
		}
	}
	until := func(what string, f func() error, done func(error) bool) {
		t.Helper()
		for range 20 {
			err := f()
			if done(err) {
				return
			}
			if c := provider.ClassOf(err); err != nil && c != provider.RateLimited && c != provider.Unavailable {
				t.Fatalf("%s: %v", what, err)
			}
			if what == "create" && provider.ClassOf(err).MadeNothing() && s.Machines() > 0 {
				t.Fatalf("%s says that nothing was made: %v", what, err)
			}
		}
		t.Fatalf("%s does not come to an end", what)
	}
	storm()
	until("create", func() error { _, err := d.Create(t.Context(), req); return err }, func(err error) bool { return err == nil })
	storm()
	until("list", func() error {
		for _, err := range d.List(t.Context(), owner()) {
			if err != nil {
				return err
			}
		}
		return nil
	}, func(err error) bool { return err == nil })
	if n := s.Machines(); n != 1 {
		t.Errorf("%d machines", n)
	}
	until("delete", func() error { return d.Delete(t.Context(), machineID(req)) }, isNotFound)
	until("get", func() error { _, err := d.Get(t.Context(), machineID(req)); return err }, isNotFound)
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
