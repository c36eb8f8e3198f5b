package digitalocean

import (
	"errors"
	"fmt"
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
	if out.Class == provider.RateLimited {
		out.After = retryAfter(e.Response.Header, now)
	}
	if !spoken(e) { // by a proxy in between, or at a wrong endpoint
		if c := out.Class; c != provider.RateLimited && c != provider.Unauthenticated {
			out.Class = provider.Unavailable
		}
		out.Message = fmt.Sprintf("the answer, with status %d, is none of DigitalOcean's: check endpoint, and the proxies in between", e.Response.StatusCode)
		return out
	}
	switch class := refusalOf(out.Class, strings.ToLower(e.Message)); {
	case class != "":
		out.Class = class
	case out.Class == provider.Unauthenticated:
		out.Message = "the API token is refused (" + e.Message + "): make a new one and put it into token"
	case out.Class == provider.Forbidden:
		out.Message = "the API token lacks a scope (" + e.Message + "): `headroom provider check` names it"
	}
	return out
}

// spoken says that an error is the API's own: what else answers with 404 must not
// make a machine pass for gone.
func spoken(e *godo.ErrorResponse) bool {
	// The SDK takes the whole body for the message where it has another form.
	return e.Message != "" && !strings.HasPrefix(e.Message, "{") && strings.Contains(e.Response.Header.Get("Content-Type"), "json")
}

// refusalOf is what the text of a refusal means where its status leaves that
// open, empty where it does not.
func refusalOf(status provider.Class, text string) provider.Class {
	says := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case status == provider.Forbidden && says("limit"):
		return provider.Quota
	case status != provider.Invalid:
		return ""
	case says("droplet limit", "will exceed", "limit exceeded", "limit reached"):
		return provider.Quota
	case says("pending event", "event in progress"):
		return provider.Conflict
	case says("account is locked", "account is not active", "currently restricted"):
		return provider.Forbidden
	case says("image") && !says("size is"):
		return "" // "the image is not available in the region": it must be transferred there first
	case says("unavailable", "is not available", "not available in", "sold out", "no capacity", "out of capacity", "temporarily disabled", "currently disabled"):
		return provider.NoCapacity // of the size, or of the region
	}
	return ""
}

// madeOf is an error of a create: what is not found then is something that the
// settings name.
func madeOf(err error, now time.Time) error {
	err = classify(err, now)
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.NotFound {
		return err
	}
	return &provider.Error{Class: provider.Invalid, Cause: err, Message: e.Message + ": something that the settings name does not exist; `headroom provider check` looks at each"}
}

// retryAfter reads how long a throttled caller has to wait: the API gives the
// moment at which requests are allowed again, in seconds since 1970.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if after := provider.RetryAfterHeader(h, now); after > 0 {
		return after
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil { // the service's own clock
		now = date
	}
	if at, err := strconv.ParseInt(h.Get("Ratelimit-Reset"), 10, 64); err == nil && !now.IsZero() {
		return max(time.Unix(at, 0).Sub(now), 0)
	}
	return 0
}
