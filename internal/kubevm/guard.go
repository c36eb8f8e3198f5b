package kubevm

import (
	"io"
	"net/http"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// guard stands between client-go and the network. client-go repeats a request
// up to ten times, sleeping in between, when an answer carries Retry-After or a
// connection breaks. Repeating is decided elsewhere, by the class of the error:
// throttling comes out as an error that tells how long to wait, the header of
// other answers is taken off, and broken connections come out as errors that
// client-go does not look into.
func guard(now func() time.Time) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return guarded{provider.LimitAnswers(next), now} }
}

type guarded struct {
	next http.RoundTripper
	now  func() time.Time
}

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.next.RoundTrip(r)
	if err != nil {
		if known := provider.TransportError(err); known != nil {
			return nil, &provider.Error{Class: known.Class, Message: known.Message}
		}
		return nil, &provider.Error{Class: provider.Unavailable, Message: "the connection to the API server broke: " + err.Error()}
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
		_ = resp.Body.Close()
		return nil, &provider.Error{
			Class: provider.RateLimited, Message: "the API server asks for fewer calls",
			After: provider.RetryAfterHeader(resp.Header, g.now()),
		}
	}
	resp.Header.Del("Retry-After")
	return resp, nil
}
