package oci_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

// everyCall are the calls of a driver, each of which must be made once.
func everyCall(d provider.Driver) map[string]func(context.Context) error {
	reads, _ := d.(provider.ConsoleReader)
	choices, _ := d.(provider.Catalog)
	left, _ := d.(provider.Remnants)
	passwords, _ := d.(provider.PasswordReader)
	out := map[string]func(context.Context) error{
		"create":   func(ctx context.Context) error { _, err := d.Create(ctx, request("a")); return err },
		"get":      func(ctx context.Context) error { _, err := d.Get(ctx, gone); return err },
		"delete":   func(ctx context.Context) error { return d.Delete(ctx, gone) },
		"console":  func(ctx context.Context) error { _, err := reads.Console(ctx, gone, 10); return err },
		"password": func(ctx context.Context) error { _, err := passwords.Password(ctx, gone); return err },
		"check":    func(ctx context.Context) error { _, err := d.Check(ctx); return err },
		"list": func(ctx context.Context) (last error) {
			for _, err := range d.List(ctx, request("a").Tags.Owner()) {
				last = err
			}
			return last
		},
		"remnants": func(ctx context.Context) (last error) {
			for _, err := range left.ListRemnants(ctx, request("a").Tags.Owner()) {
				last = err
			}
			return last
		},
	}
	for _, setting := range []string{"compartment_ocid", "availability_domains", "shape", "image_ocid", "subnet_ocid", "nsg_ocids"} {
		out["choices of "+setting] = func(ctx context.Context) error { _, err := choices.Choices(ctx, setting); return err }
	}
	return out
}

// TestNothingIsRepeated: the SDK has retries of its own for most operations.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	for _, f := range []fakeoci.Fault{
		{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "down"},
		{Status: http.StatusTooManyRequests, Code: "TooManyRequests", Message: "slow down"},
		{Status: http.StatusInternalServerError, Code: "InternalError", Message: "x"},
		{Status: http.StatusConflict, Code: "ExternalServerIncorrectState", Message: "x"},
		{Status: http.StatusBadGateway, Text: "<html>Bad Gateway</html>"},
	} {
		s, of := tenancy(t)
		for name, call := range everyCall(opened(t, s)) {
			of.Spoil(f)
			before := of.Calls()
			err := call(t.Context())
			if n := of.Calls() - before; err == nil || n != 1 {
				t.Errorf("%s answered %d: %d calls, %v", name, f.Status, n, err)
			}
			if c := provider.ClassOf(err); c != provider.Unavailable && c != provider.RateLimited {
				t.Errorf("%s answered %d: %v", name, f.Status, err)
			}
		}
	}
}

// TestRubbish: whatever answers in place of the service, no machine passes for
// gone and nothing passes for done.
func TestRubbish(t *testing.T) {
	t.Parallel()
	for _, f := range []fakeoci.Fault{
		{Status: http.StatusNotFound, Text: "<html>no such page</html>"},
		{Status: http.StatusNotFound, Text: ""},
		{Status: http.StatusForbidden, Text: "blocked by the firewall"},
		{Status: http.StatusFound, Text: "moved", Header: map[string]string{"Location": "https://127.0.0.1:1/"}},
		{Status: http.StatusMovedPermanently, Text: "moved", Header: map[string]string{"Location": "https://127.0.0.1:1/"}},
		{Status: http.StatusOK, Text: "<html>please log in</html>"},
		{Status: http.StatusOK, Text: "{"},
		{Status: http.StatusOK, Text: "null"},
		{Status: http.StatusOK, Text: `{"id": "ocid1.instance.oc1.eu-frankfurt-1.another"}`},
		{Status: http.StatusUnauthorized, Text: "<html>who are you</html>"},
	} {
		if f.Text == "" {
			f.Text = " "
		}
		s, of := tenancy(t)
		d := opened(t, s)
		i := created(t, d, "z")
		running(t, d, i.ID)
		of.Spoil(f)
		if got, err := d.Get(t.Context(), i.ID); err == nil || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("get, %d %q: %+v, %v", f.Status, f.Text, got, err)
		}
		if f.Status != http.StatusOK { // any answer of success to a delete is one
			of.Spoil(f)
			if err := d.Delete(t.Context(), i.ID); err == nil || provider.ClassOf(err) == provider.NotFound {
				t.Errorf("delete, %d %q: %v", f.Status, f.Text, err)
			}
		}
		of.Spoil(f)
		if got, err := d.Create(t.Context(), request("y")); err == nil && got.Tags == request("y").Tags {
			t.Errorf("create, %d %q: %+v", f.Status, f.Text, got)
		} else if err != nil && f.Status == http.StatusOK && provider.ClassOf(err).MadeNothing() {
			t.Errorf("create, %d %q says that nothing was made: %v", f.Status, f.Text, err)
		}
		if f.Text == "null" || strings.Contains(f.Text, "another") { // empty lists and other objects: read as they stand
			continue
		}
		of.Spoil(f)
		failed := false
		for _, err := range d.List(t.Context(), request("z").Tags.Owner()) {
			failed = err != nil
		}
		if !failed {
			t.Errorf("list, %d %q is taken for complete", f.Status, f.Text)
		}
	}
}

// TestPagesThatGoOnForEver end.
func TestPagesThatGoOnForEver(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Opc-Next-Page", "same")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "[]")
	}))
	t.Cleanup(front.Close)
	s, _ := tenancy(t)
	s.Endpoint, s.CABundle = front.URL, ""
	for _, err := range opened(t, s).List(t.Context(), request("a").Tags.Owner()) {
		if provider.ClassOf(err) != provider.Unavailable {
			t.Errorf("%v", err)
		}
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestStorm: many of everything at once, with answers lost and calls throttled,
// leave one machine for each wish and none in the end.
func TestStorm(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	var wg sync.WaitGroup
	for n := range 12 {
		switch n % 3 {
		case 0:
			of.Spoil(fakeoci.Fault{Method: http.MethodPost, Path: "/instances", Lose: true})
		case 1:
			of.Spoil(fakeoci.Fault{Method: http.MethodPost, Path: "/instances", Status: 429, Code: "TooManyRequests", Message: "slow down"})
		}
		wg.Go(func() {
			for try := 0; ; try++ {
				_, err := d.Create(t.Context(), request(fmt.Sprint(n)))
				if err == nil {
					return
				}
				if try == 20 {
					t.Errorf("machine %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	all := listed(t, d)
	servers := map[string]bool{}
	for _, i := range all {
		servers[i.Tags.Server] = true
	}
	if len(all) != 12 || len(servers) != 12 {
		t.Errorf("%d machines of %d servers", len(all), len(servers))
	}
	for id := range all {
		of.Spoil(fakeoci.Fault{Method: http.MethodDelete, Path: "/instances/" + id, Lose: true})
		wg.Go(func() {
			eventually(t, func() string {
				if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.NotFound {
					return fmt.Sprint(err)
				}
				return ""
			})
		})
	}
	wg.Wait()
	eventually(t, func() string {
		if left := of.Objects(); len(left) > 0 {
			return strings.Join(left, ", ")
		}
		return ""
	})
}

// TestScriptAtItsLimit: what the channel lets through fits beside keys and
// metadata of the settings.
func TestScriptAtItsLimit(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.SSHPublicKey = strings.Repeat("ssh-ed25519 AAAA ann\n", 100)
	s.ConfigOverride = document(t, `{"metadata": {"a": "`+strings.Repeat("x", 3000)+`"}, "extended_metadata": {"b": {"c": "`+strings.Repeat("y", 2000)+`"}}}`)
	limit := oci.Kind().ScriptChannel(s).Limit
	if limit < 15000 || limit > 24000 {
		t.Fatalf("the limit is %d", limit)
	}
	req := request("a")
	req.Bootstrap.UserData = []byte(strings.Repeat("#", limit))
	i, err := opened(t, s).Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(of.UserData(i.ID)); n != limit {
		t.Errorf("%d bytes arrived", n)
	}
}

// TestDeadlines: a call ends with its context, also where the SDK waits.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	hang, cancel := context.WithCancel(context.Background())
	defer cancel()
	for name, call := range everyCall(opened(t, s)) {
		of.Spoil(fakeoci.Fault{Hang: hang.Done()})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := call(ctx); provider.ClassOf(err) != provider.Unavailable || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
