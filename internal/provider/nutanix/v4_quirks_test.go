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

// untilV4 looks at the machine until ok is content.
func untilV4(t *testing.T, d provider.Driver, id string, ok func(provider.Instance, error) bool) provider.Instance {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(20 * time.Second)
	defer over.Stop()
	for {
		i, err := d.Get(t.Context(), id)
		if ok(i, err) {
			return i
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("in the end: %+v, %v", i, err)
		}
	}
}

func is(want provider.State) func(provider.Instance, error) bool {
	return func(i provider.Instance, err error) bool { return err == nil && i.State == want }
}

func createV4(t *testing.T, d provider.Driver, req provider.Request) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func goneV4(t *testing.T, s *fake4.Server, d provider.Driver, id string) {
	t.Helper()
	untilV4(t, d, id, func(provider.Instance, error) bool { return isNotFound(d.Delete(t.Context(), id)) })
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, ok := s.Find("", fake4.ID("golden")); !ok {
		t.Fatal("what machines are cloned from is gone")
	}
}

func listedV4(t *testing.T, d *driver4) map[string]provider.Instance {
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

func laterV4(d *driver4, by time.Duration) *driver4 {
	now := func() time.Time { return time.Now().Add(by) }
	return &driver4{settings: d.settings, api: &api4{d.api.connection, now}, now: now}
}

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

// Whatever request of a machine's life is the last whose answer arrives, the
// repeated calls make one machine, and nothing stays of it.
func TestV4LostAnswers(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{
		fake4.CreateCategory, fake4.CloneVM, fake4.UpdateCategory, fake4.Associate, fake4.PowerOn, fake4.DeleteVM, fake4.DeleteCategory,
	} {
		s := centralV4(t, fake4.Options{})
		d := driverV4(t, settingsV4(s))
		req := wish("lost")
		s.Lose(operation)
		if _, err := d.Create(t.Context(), req); err != nil && provider.ClassOf(err).MadeNothing() {
			t.Errorf("%s lost: %v says that nothing was made", operation, err)
		}
		again := driverV4(t, settingsV4(s)) // the controller was killed
		i := createV4(t, again, req)
		untilV4(t, again, i.ID, is(provider.StateRunning))
		if all := listedV4(t, again); len(all) != 1 || all[i.ID].Tags != req.Tags {
			t.Errorf("%s lost: the listing shows %v", operation, all)
		}
		if n := s.Machines(); n != 1 {
			t.Errorf("%s lost: %d machines", operation, n)
		}
		goneV4(t, s, again, i.ID)
	}
}

// A clone whose answer was lost and that nobody asks for again is found by its
// name, finished, and can be removed.
func TestV4CloneOfWhichNobodyKnows(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	req := wish("unknown")
	s.Lose(fake4.CloneVM)
	if _, err := d.Create(t.Context(), req); err == nil {
		t.Fatal("the answer was to be lost")
	}
	id := machineID(req)
	untilV4(t, d, id, is(provider.StateRunning))
	copied := s.AddVM(req.Name) // somebody names a machine as ours, which is an hour old
	if all := listedV4(t, d); len(all) != 1 {
		t.Errorf("the listing shows %v", all)
	}
	untilV4(t, d, id, func(provider.Instance, error) bool { return isNotFound(d.Delete(t.Context(), id)) })
	if _, ok := s.Find("", copied); !ok {
		t.Error("the machine of somebody is gone")
	}
	s.Remove(copied)
	goneV4(t, s, d, id)
}

// What Prism could not make or switch on says why, and whether others may have
// what is missing.
func TestV4TasksThatFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		operation, group, message string
		class                     provider.Class
	}{
		{fake4.CloneVM, "RESOURCE_SHORTAGE", "no room", provider.NoCapacity},
		{fake4.CloneVM, "VM_CLONE_ERROR", "the golden disk is broken", ""},
		{fake4.PowerOn, "VM_POWER_ON_ERROR", "No host has enough available memory for VM", provider.NoCapacity},
		{fake4.PowerOn, "INSUFFICIENT_RESOURCES_ERROR", "Failed to perform the operation", provider.NoCapacity},
		{fake4.PowerOn, "VM_ERROR", "Failed to perform the operation 'VmPowerOn' on the VM, as no host has enough resources.", provider.NoCapacity},
		{fake4.PowerOn, "INTERNAL", "Quota exceeded", provider.Quota},
	} {
		s := centralV4(t, fake4.Options{})
		d := driverV4(t, settingsV4(s))
		s.FailTask(tt.operation, tt.group, tt.message)
		id := createV4(t, d, wish("failed")).ID
		i := untilV4(t, d, id, is(provider.StateFailed))
		if !strings.Contains(i.Fault, tt.message) || i.FaultClass != tt.class {
			t.Errorf("%s: %q of class %q", tt.message, i.Fault, i.FaultClass)
		}
		if all := listedV4(t, d); len(all) != 1 || all[id].State != provider.StateFailed || all[id].FaultClass != tt.class {
			t.Errorf("%s: the listing shows %v", tt.message, all)
		}
		goneV4(t, s, d, id)
	}
}

// A machine that is off although it was switched on is not switched on again.
func TestV4Stopped(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	id := createV4(t, d, wish("stopped")).ID
	untilV4(t, d, id, is(provider.StateRunning))
	vm, _ := s.Find(markKey, id)
	for _, power := range []string{"OFF", "PAUSED"} {
		s.Change(vm.ID, "Ann's favourite", power) // and somebody has renamed it
		if i := untilV4(t, d, id, is(provider.StateStopped)); i.Fault != "its power is "+power {
			t.Errorf("the fault is %q", i.Fault)
		}
	}
	s.Change(vm.ID, "Ann's favourite", "OFF")
	s.Forget()
	untilV4(t, d, id, is(provider.StateStopped))
	s.Change(vm.ID, "Ann's favourite", "UNDETERMINED")
	untilV4(t, d, id, is(provider.StateRunning))
	if all := listedV4(t, laterV4(d, grace)); len(all) != 1 || all[id].State != provider.StateRunning {
		t.Errorf("after a machine was renamed, the listing shows %v", all)
	}
	if n := len(slices.DeleteFunc(s.Log(), func(o string) bool { return o != fake4.PowerOn })); n != 1 {
		t.Errorf("it was switched on %d times", n)
	}
	goneV4(t, s, d, id)
}

// A machine that is still being cloned is removed once it is there, and its mark
// is no remnant before.
func TestV4DeletedWhileCloned(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{CloneTime: 300 * time.Millisecond})
	d := driverV4(t, settingsV4(s))
	id := createV4(t, d, wish("early")).ID
	if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.Conflict || !strings.Contains(err.Error(), "still being cloned") {
		t.Errorf("delete: %v", err)
	}
	for r, err := range laterV4(d, time.Hour).ListRemnants(t.Context(), owner()) {
		t.Errorf("remnant %+v, %v", r, err)
	}
	goneV4(t, s, d, id)
}

// Prism forgets tasks after a while; what is there is found without them.
func TestV4ForgottenTask(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	req := wish("forgotten")
	s.Refuse(fake4.Associate, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "not allowed")
	id := createV4(t, d, req).ID
	i := untilV4(t, d, id, func(i provider.Instance, err error) bool { return err == nil && i.Fault != "" })
	if i.State != provider.StatePending || !strings.Contains(i.Fault, "not allowed") {
		t.Errorf("a machine that cannot be put into its categories is %+v", i)
	}
	s.Forget()
	untilV4(t, d, id, is(provider.StateRunning))
	goneV4(t, s, d, id)
}

// Machines that were made through v3 are seen and removed; v3 does not touch
// those of v4, whose marks it would take for remnants.
func TestV4AfterV3(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	old := s.AddVM("hr-old")
	tags := wish("old").Tags
	s.Category(markKey, old, markText(t, tags, time.Now().Add(-time.Hour)))
	i := untilV4(t, d, old, is(provider.StateRunning))
	if i.Tags != tags || len(listedV4(t, d)) != 1 {
		t.Errorf("a machine of v3 is %+v", i)
	}
	goneV4(t, s, d, old)

	m := newMark(wish("new"), time.Now())
	m.API = v4Name
	value, err := m.value(uuid.NewString())
	if err != nil {
		t.Fatal(err)
	}
	if id, _, ok := readMark(asStatus(value)); ok {
		t.Errorf("v3 reads the mark %s of v4", id)
	}
}

func TestV4Names(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	twins := []string{s.AddVM("twins"), s.AddVM("twins")}
	slices.Sort(twins)
	s.AddVM("it's (2026) ünïcode")
	for name, tt := range map[string]struct {
		change func(*Settings)
		says   string // empty: it works
	}{
		"as they are":                 {func(*Settings) {}, ""},
		"a name full of traps":        {func(s *Settings) { s.VMCandidate = "it's (2026) ünïcode" }, ""},
		"by UUID":                     {func(s *Settings) { s.VMCandidate, s.Subnet = fake4.ID("golden"), fake4.ID("vlan-120") }, ""},
		"a template by UUID":          {func(s *Settings) { s.VMCandidate = fake4.ID("golden-template") }, ""},
		"two of one name":             {func(s *Settings) { s.VMCandidate = "twins" }, "give the UUID of the one that is meant: " + strings.Join(twins, ", ")},
		"no such machine":             {func(s *Settings) { s.VMCandidate = "golden2" }, `no virtual machine or template named "golden2"`},
		"no such UUID":                {func(s *Settings) { s.VMCandidate = uuid.Nil.String() }, "no virtual machine or template with UUID 00000000"},
		"no such cluster":             {func(s *Settings) { s.Cluster = "cluster-x" }, `no cluster named "cluster-x"`},
		"Prism Central as cluster":    {func(s *Settings) { s.Cluster = "prism-central" }, "no cluster named"},
		"another cluster":             {func(s *Settings) { s.Cluster = "cluster-b" }, "clones a virtual machine on the cluster where it is"},
		"a template anywhere":         {func(s *Settings) { s.VMCandidate, s.Cluster, s.Subnet = "golden-template", "cluster-b", "vlan-b" }, ""},
		"a template nowhere":          {func(s *Settings) { s.VMCandidate, s.Cluster = "golden-template", "" }, "a template belongs to no cluster"},
		"a subnet of another cluster": {func(s *Settings) { s.Subnet = "vlan-b" }, `subnet: "vlan-b" exists, but not on cluster`},
		"the same by UUID":            {func(s *Settings) { s.Subnet = fake4.ID("vlan-b") }, "is not on cluster"},
		"no such subnet":              {func(s *Settings) { s.Subnet = "vlan-x" }, `no subnet named "vlan-x"`},
		"no such category":            {func(s *Settings) { s.Categories = map[string]string{"Environment": "Test"} }, `categories.Environment: Prism shows no value "Test"`},
	} {
		settings := settingsV4(s)
		tt.change(&settings)
		before := s.Machines()
		_, err := driverV4(t, settings).Create(t.Context(), wish("named "+name))
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, expected invalid with %q", name, err, tt.says)
		case tt.says != "" && s.Machines() > before+len(s.Categories(markKey)):
			t.Errorf("%s: a machine was made", name)
		}
	}
}

func TestV4AnswersThatAreNoneOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		text   string
		want   provider.Class
		says   string
	}{
		"a gateway":               {http.StatusBadGateway, "<html>bad gateway</html>", provider.Unavailable, "502"},
		"not Prism Central":       {http.StatusNotFound, "<html>404</html>", provider.Unsupported, "host and port"},
		"success that is no JSON": {http.StatusOK, "<html>welcome</html>", provider.Unknown, "v4 API"},
		"success without data":    {http.StatusOK, `{"data":7}`, provider.Unknown, "v4 API"},
		"a redirect to a login":   {http.StatusFound, "x", provider.Unknown, "302"},
		"a fault of the schema": {
			http.StatusBadRequest, `{"data":{"error":{"error":"Bad Request","validationErrorMessages":[{"message":"too long","attributePath":"/name"}]}}}`,
			provider.Invalid, "too long (/name)",
		},
	} {
		s := centralV4(t, fake4.Options{})
		s.RefuseRaw(fake4.ListCategories, 1, tt.status, nil, tt.text)
		_, err := driverV4(t, settingsV4(s)).Get(t.Context(), uuid.NewString())
		if provider.ClassOf(err) != tt.want || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, expected %s and %q", name, err, tt.want, tt.says)
		}
	}
}

func TestV4Check(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	check := func(change func(*Settings)) map[string]provider.Finding {
		settings := settingsV4(s)
		change(&settings)
		r, err := driverV4(t, settings).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]provider.Finding{}
		for _, f := range r.Findings {
			if f.Verdict != provider.VerdictOK {
				found[f.Subject] = f
			}
		}
		return found
	}
	for name, tt := range map[string]struct {
		change  func(*Settings)
		subject string
	}{
		"in order":         {func(*Settings) {}, ""},
		"an API key":       {func(s *Settings) { s.Username, s.Password, s.APIKey = "", "", fake4.APIKey }, ""},
		"a wrong source":   {func(s *Settings) { s.VMCandidate = "x" }, "vm_candidate"},
		"a wrong cluster":  {func(s *Settings) { s.Cluster = "x" }, "cluster"},
		"a wrong subnet":   {func(s *Settings) { s.Subnet = "x" }, "subnet"},
		"a wrong category": {func(s *Settings) { s.Categories = map[string]string{"No Such": "x"} }, "category No Such"},
	} {
		found := check(tt.change)
		for _, warned := range []string{"api_version", "rights"} {
			if found[warned].Verdict != provider.VerdictWarning {
				t.Errorf("%s: no warning about %s", name, warned)
			}
			delete(found, warned)
		}
		if tt.subject == "" && len(found) > 0 || tt.subject != "" && (len(found) != 1 || found[tt.subject].Verdict != provider.VerdictFailed) {
			t.Errorf("%s: %v", name, found)
		}
	}
	if found := check(func(s *Settings) { s.Password = "wrong" }); len(found) != 1 || found["Prism Central"].Verdict != provider.VerdictFailed {
		t.Errorf("a wrong password: %v", found)
	}
	for operation, subject := range map[string]string{fake4.ListTasks: "tasks", fake4.ListClusters: "Prism Central"} {
		s.Refuse(operation, 0, 1, http.StatusForbidden, "ACCESS_DENIED", "no")
		if found := check(func(*Settings) {}); found[subject].Verdict == "" {
			t.Errorf("without the right to %s: %v", operation, found)
		}
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

func TestV4Choices(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	id := createV4(t, d, wish("not a choice")).ID
	untilV4(t, d, id, is(provider.StateRunning))
	for setting, want := range map[string][]provider.Choice{
		"vm_candidate": {{Value: fake4.ID("golden"), Label: "golden", Description: "power OFF"}, {Value: fake4.ID("golden-template"), Label: "golden-template", Description: "template"}},
		"cluster":      {{Value: fake4.ID("cluster-a"), Label: "cluster-a"}, {Value: fake4.ID("cluster-b"), Label: "cluster-b"}},
	} {
		got, err := d.Choices(t.Context(), setting)
		if err != nil {
			t.Errorf("%s: %v", setting, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", setting, diff)
		}
	}
	if _, err := d.Choices(t.Context(), "project"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("project: %v", err)
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
