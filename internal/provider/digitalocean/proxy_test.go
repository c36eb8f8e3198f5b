package digitalocean_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/digitalocean"
)

// TestProxyInBetween: what does not come from the API proves nothing about a
// machine, and a throttled caller is told when to come back, by the service's
// clock.
func TestProxyInBetween(t *testing.T) {
	t.Parallel()
	status, body, header := 0, "", http.Header{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer front.Close()
	s := &digitalocean.Settings{Region: "fra1", Image: "ubuntu-24-04-x64", Size: []string{"s-1vcpu-1gb"}}
	s.Token, s.Endpoint = "dop_v1_x", front.URL
	d := opened(t, s)
	for _, c := range []struct {
		status      int
		kind, body  string
		class       provider.Class
		foreignText bool
	}{
		{404, "text/html", "<html>no such page</html>", provider.Unavailable, true},
		{404, "application/json", `{"error": "no route"}`, provider.Unavailable, true},
		{404, "application/json", `{"id": "not_found", "message": "The resource you were accessing could not be found."}`, provider.NotFound, false},
		{403, "text/html", "<html>blocked</html>", provider.Unavailable, true},
		{422, "text/plain", "what?", provider.Unavailable, true},
		{502, "text/html", "<html>bad gateway</html>", provider.Unavailable, true},
		{429, "text/html", "<html>slow down</html>", provider.RateLimited, true},
		{401, "text/html", "<html>who are you?</html>", provider.Unauthenticated, true},
	} {
		status, body, header = c.status, c.body, http.Header{"Content-Type": {c.kind}}
		_, err := d.Get(t.Context(), "17@a:b:c:d")
		if provider.ClassOf(err) != c.class || strings.Contains(err.Error(), "none of DigitalOcean's") != c.foreignText {
			t.Errorf("get, %d %s: %v, expected %s", c.status, c.body, err, c.class)
		}
		if err := d.Delete(t.Context(), "17@a:b:c:d"); provider.ClassOf(err) != c.class {
			t.Errorf("delete, %d %s: %v, expected %s", c.status, c.body, err, c.class)
		}
	}
	theirs := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC) // hours off this host's clock
	status, body = 429, `{"id": "too_many_requests", "message": "API Rate limit exceeded."}`
	header = http.Header{"Content-Type": {"application/json"}, "Date": {theirs.Format(http.TimeFormat)}, "Ratelimit-Reset": {strconv.FormatInt(theirs.Add(40*time.Second).Unix(), 10)}}
	if _, err := d.Get(t.Context(), "17@a:b:c:d"); provider.RetryAfter(err) != 40*time.Second {
		t.Errorf("%v, to be repeated after %v, expected 40s", err, provider.RetryAfter(err))
	}
}
