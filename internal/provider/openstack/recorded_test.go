package openstack

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// recorded is an answer that a real service gave; TestRecord writes them.
type recorded struct {
	Service string          `json:"service"`
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	Status  int             `json:"status"`
	Body    json.RawMessage `json:"body"`
}

func readRecorded(t *testing.T, name string) recorded {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r recorded) err() error {
	return gophercloud.ErrUnexpectedResponseCode{
		URL: "https://cloud.example.com/" + r.Service + r.Path, Method: r.Method, Actual: r.Status, Body: r.Body, ResponseHeader: http.Header{},
	}
}

// TestRecordedServers reads what nova really answers.
func TestRecordedServers(t *testing.T) {
	t.Parallel()
	tags := provider.Tags{Installation: "01jinstallation", Provider: "cloud-a", Server: "01JRECORDED", AutoscaleConfig: "desktops"}
	shape := fleet.Resources{Cores: fleet.Core, MemoryMiB: 2048}
	for name, want := range map[string]provider.Instance{
		"server-active":   {Name: "hr-01jrecorded", Tags: tags, State: provider.StateRunning, Capacity: shape},
		"server-deleting": {Name: "hr-01jrecorded", Tags: tags, State: provider.StateDeleting, Capacity: shape},
		"server-no-valid-host": {
			Name: "hr-01jrecorded", Tags: tags, State: provider.StateFailed, Fault: "No valid host was found.", FaultClass: provider.NoCapacity,
			Capacity: fleet.Resources{Cores: 100000 * fleet.Core, MemoryMiB: 1 << 30},
		},
	} {
		r := readRecorded(t, name)
		var body struct {
			Server server `json:"server"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		got := body.Server.instance(body.Server.Updated.Add(time.Hour))
		if !uuid.MatchString(got.ID) || got.CreatedAt.IsZero() {
			t.Errorf("%s: id %q, made %v", name, got.ID, got.CreatedAt)
		}
		got.ID, got.CreatedAt, got.Fault = "", time.Time{}, strings.TrimSpace(got.Fault)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestRecordedErrors classifies what the services really answer.
func TestRecordedErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		class provider.Class
		says  string
	}{
		"error-quota":         {provider.Quota, "Quota exceeded for instances"},
		"error-volume-quota":  {provider.Quota, "VolumeLimitExceeded"},
		"error-volume-busy":   {provider.Conflict, "Volume status must be available"},
		"error-address-quota": {provider.Quota, "Quota exceeded for resources: ['floatingip']"},
		"error-image":         {provider.Invalid, "Can not find requested image"},
		"error-key":           {provider.Invalid, "Invalid key_name provided"},
		"error-locked":        {provider.Conflict, "locked"},
		"error-not-found":     {provider.NotFound, "could not be found"},
		"error-microversion":  {provider.Invalid, "nova_microversion"},
		"error-refused":       {provider.Unauthenticated, "does not accept the credential"},
		"error-revoked":       {provider.Unauthenticated, "does not accept the credential"},
		"error-outside-rules": {provider.Forbidden, "{service: compute, method: GET, path: /v2.1/os-keypairs}"},
	} {
		r := readRecorded(t, name)
		err := classify(r.err(), map[string]service{"compute": nova, "image": glance, "volume": cinder, "network": neutron, "identity": identity}[r.Service])
		switch {
		case r.Service == "identity":
			err = classifySignIn(r.err())
		case r.Status == http.StatusUnauthorized:
			again := &gophercloud.ErrErrorAfterReauthentication{}
			again.ErrOriginal = r.err()
			err = classify(again, nova)
		}
		if provider.ClassOf(err) != tc.class || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, expected %s with %q", name, err, tc.class, tc.says)
		}
	}
}
