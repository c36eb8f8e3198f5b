package digitalocean

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"

	"github.com/headroom-dev/headroom/internal/provider"
)

// classify turns an error of the SDK into one of ours. The API has few codes of
// its own: what a refusal means stands in its text.
// https://docs.digitalocean.com/reference/api/reference/#http-statuses
func classify(err error, now time.Time) error {
	if err == nil {
		return nil
	}
	var e *godo.ErrorResponse
	if !errors.As(err, &e) || e.Response == nil {
		var ours *provider.Error
		if errors.As(err, &ours) {
			return err
		}
		if t := provider.TransportError(err); t != nil {
			return t
		}
		return provider.Errorf(provider.Unknown, "%w", err)
	}
	out := &provider.Error{Class: provider.StatusClass(e.Response.StatusCode), Message: e.Message, Cause: err}
	text := strings.ToLower(e.Message)
	says := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case out.Class == provider.RateLimited:
		out.After = retryAfter(e.Response.Header, now)
	case out.Class == provider.Unauthenticated:
		out.Message = "the API token is refused (" + e.Message + "): make a new one and put it into token"
	case out.Class == provider.Forbidden && says("limit"), out.Class == provider.Invalid && says("exceed your droplet limit", "droplet limit", "will exceed"):
		out.Class = provider.Quota
	case out.Class == provider.Invalid && says("not available in this region", "currently unavailable", "sold out", "no capacity", "out of capacity"):
		out.Class = provider.NoCapacity
	case out.Class == provider.Forbidden:
		out.Message = "the API token lacks a scope (" + e.Message + "): `headroom provider check` names it"
	}
	if out.Message == "" {
		out.Message = "the API answered " + e.Response.Status
	}
	return out
}

// retryAfter reads how long a throttled caller has to wait: the API gives the
// moment at which requests are allowed again, in seconds since 1970.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if after := provider.RetryAfterHeader(h, now); after > 0 {
		return after
	}
	if at, err := strconv.ParseInt(h.Get("Ratelimit-Reset"), 10, 64); err == nil && !now.IsZero() {
		return max(time.Unix(at, 0).Sub(now), 0)
	}
	return 0
}
