package gcp_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/provider/gcp/fakegcp"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestStorm(t *testing.T) {
	t.Parallel()
	providertest.Storm(t, func(t *testing.T) providertest.Weather {
		s, p := project(t)
		return providertest.Weather{
			Open: func() provider.Driver { return opened(t, s) }, Request: request("a"), Machines: p.Instances, Objects: p.Objects,
			Stir: func(random *rand.Rand) {
				switch f := (fakegcp.Fault{After: random.IntN(2)}); random.IntN(6) {
				case 0:
					f.Status, f.Reason, f.Message = http.StatusForbidden, "rateLimitExceeded", "Rate Limit Exceeded"
					p.Spoil(f)
				case 1:
					f.Status, f.Reason, f.Message = http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute'"
					p.Spoil(f)
				case 2:
					f.Status, f.Reason, f.Message = http.StatusServiceUnavailable, "backendError", "Backend Error"
					p.Spoil(f)
				case 3:
					f.Status, f.Text = http.StatusBadGateway, "<html>bad gateway</html>"
					p.Spoil(f)
				case 4:
					f.Lose = true
					p.Spoil(f)
				}
			},
		}
	})
}

// TestLimits: names as long as they can be.
func TestLimits(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	long := strings.Repeat("a", 62) + "9"
	req := request("a")
	req.Name = long
	req.Tags = provider.Tags{Installation: long, Provider: long, AutoscaleConfig: long, Server: long}
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for got, err := range d.List(t.Context(), req.Tags.Owner()) {
		if err != nil || got.ID != i.ID || got.Tags != req.Tags {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, bad := range []string{"Ünï", "a b", "A", long + "a", `") (labels.x = "`} {
		req := request("b")
		req.Tags.AutoscaleConfig = bad
		if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid {
			t.Errorf("the tag %q: %v", bad, err)
		}
	}
	for _, id := range []string{"europe-west3-a/x@a:b:c", "europe-west3-a/x y@a:b:c:d", "europe-west3-a/../x@a:b:c:d", "@:::", "europe-west3-a/@:::", `z/x" OR "@a:b:c:d`, long} {
		if _, err := d.Get(t.Context(), id); provider.ClassOf(err) != provider.Invalid {
			t.Errorf("the id %q: %v", id, err)
		}
	}
	if n := p.Instances(); n != 1 {
		t.Errorf("%d instances", n)
	}
}

// TestRubbishOverride: whatever is written there is refused when it is saved, or
// makes a request that still bears our marks and that the API can read.
func TestRubbishOverride(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"disks":null}`, `{"disks":[null]}`, `{"disks":[]}`, `{"disks":[{"initializeParams":null,"boot":true}]}`, `{"disks":[{"mode":null}]}`, `{"labels":null,"metadata":null,"scheduling":null,"tags":null}`,
		`{"labels":{"a":1}}`, `{"labels":[]}`, `{"metadata":{"items":[null]}}`, `{"metadata":{"items":{}}}`, `{"metadata":{"items":[{"key":1}]}}`, `{"guestAccelerators":[{"acceleratorCount":1.5}]}`,
		`{"guestAccelerators":[{"acceleratorCount":"2"}]}`, `{"":{}}`, `{"a.b":1}`, `{"canIpForward":1}`, `{"networkInterfaces":[[]]}`, `{"scheduling":{"maxRunDuration":{"seconds":3600}}}`, `{"scheduling":{"maxRunDuration":{"seconds":"3600"}}}`,
		`{"scheduling":{"maxRunDuration":{"seconds":99999999999999999999}}}`, `{"fingerprint":"x"}`, `{"shieldedInstanceConfig":false}`, `{"resourcePolicies":["x"]}`, `{"params":{"resourceManagerTags":{"tagKeys/1":"tagValues/2"}}}`,
		`{"disks":[{"type":"SCRATCH","initializeParams":{"diskType":"zones/europe-west3-a/diskTypes/local-ssd"}}]}`, `{"description":"` + strings.Repeat("ü", 5000) + `"}`,
	} {
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		found := settings.DecodeJSON([]byte(with(map[string]any{"config_override": doc})), &gcp.Settings{}, settings.Options{})
		s, _ := project(t)
		s.ConfigOverride = doc
		d, ok := opened(t, s).(provider.Renderer)
		if !ok {
			t.Fatal("shows no requests")
		}
		calls, err := d.Render(t.Context(), request("a"))
		if err != nil && len(found) == 0 {
			t.Errorf("%.80s passes when it is saved, and then: %v", text, err)
		}
		for _, f := range found {
			if !strings.HasPrefix(f.Path, "config_override") || f.Message == "" || strings.HasPrefix(f.Message, "invalid") {
				t.Errorf("%.80s: %+v", text, f)
			}
		}
		if err != nil {
			continue
		}
		body, err := json.Marshal(calls[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		var shown struct {
			Name   string
			Labels map[string]string
		}
		if err := json.Unmarshal(body, &shown); err != nil || shown.Name != "hr-a" || shown.Labels["headroom-server"] != "a" {
			t.Errorf("%.80s: %v, %s", text, err, body)
		}
	}
}

// TestIdsAreUUIDs: the request id is the same for the same token, differs
// otherwise, and is what the service takes.
func TestIdsAreUUIDs(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	d, ok := opened(t, s).(provider.Renderer)
	if !ok {
		t.Fatal("shows no requests")
	}
	seen := map[string]string{}
	for n := range 200 {
		req := request("a")
		req.Token = fmt.Sprintf("01js-%d", n)
		for range 2 {
			calls, err := d.Render(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			_, id, _ := strings.Cut(calls[0].Call, "requestId=")
			if id == "00000000-0000-0000-0000-000000000000" || len(id) != 36 || id[14] != '8' || !strings.ContainsRune("89ab", rune(id[19])) {
				t.Errorf("%s is no UUID of version 8", id)
			}
			if before, ok := seen[id]; ok && before != req.Token {
				t.Errorf("%s and %s share %s", before, req.Token, id)
			}
			seen[id] = req.Token
		}
	}
	if diff := cmp.Diff(200, len(seen)); diff != "" {
		t.Error(diff)
	}
}

// TestDeleteInDoubt: while it cannot be seen whether a creation is under way,
// a machine does not pass for gone.
func TestDeleteInDoubt(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	d := opened(t, s)
	const id = "europe-west3-a/hr-a@01ji:p:c:a"
	p.Spoil(fakegcp.Fault{Path: "/operations", Status: http.StatusServiceUnavailable, Reason: "backendError", Message: "Backend Error"})
	if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.Unavailable {
		t.Errorf("delete: %v", err)
	}
	p.Spoil(fakegcp.Fault{Path: "/operations", Status: http.StatusTooManyRequests, Reason: "RATE_LIMIT_EXCEEDED", Message: "slow down", Header: map[string]string{"Retry-After": "3"}})
	if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.RateLimited || provider.RetryAfter(err) != 3*time.Second {
		t.Errorf("delete: %v", err)
	}
	if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("delete: %v", err)
	}
}
