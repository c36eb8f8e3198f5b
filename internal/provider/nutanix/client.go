package nutanix

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/go-logr/logr"
	prism "github.com/nutanix-cloud-native/prism-go-client"
	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"
)

// sdk is the vendor's client, one for the whole process. Making one replaces
// the TLS configuration of http.DefaultTransport, which other packages may be
// using by the time a provider is opened; here that happens before anything
// runs. The client itself knows neither an address nor credentials: each call
// brings its connection in its context.
var sdk, errSDK = newSDK() //nolint:gochecknoglobals // never changed, and why it must be made this early is said above

func newSDK() (v3.Service, error) {
	silent := logr.Discard()
	c, err := v3.NewV3Client(
		prism.Credentials{URL: "unset.invalid", Endpoint: "unset.invalid", APIKey: "unset"},
		v3.WithRoundTripper(dispatch{}), v3.WithLogger(&silent), v3.WithUserAgent("headroom"),
	)
	if err != nil {
		return nil, err
	}
	return c.V3, nil
}

// connection is one Prism Central with credentials for it.
type connection struct {
	host      string // with port
	username  string
	password  string
	apiKey    string
	transport http.RoundTripper
}

// authorize puts the credentials into a request.
func (c *connection) authorize(r *http.Request) {
	r.Header.Del("X-Ntnx-Api-Key")
	if c.apiKey != "" {
		r.Header.Set("X-Ntnx-Api-Key", c.apiKey)
	} else {
		r.SetBasicAuth(c.username, c.password)
	}
}

type connectionKey struct{}

// connect makes the calls of the SDK below ctx go to the connection.
func (c *connection) connect(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// dispatch sends the SDK's requests over the connection in their context, and
// makes an error of every answer that is none of success. The SDK would take
// many of those for success: an empty body, a status without a state, a 429 of
// a proxy.
type dispatch struct{}

func (dispatch) RoundTrip(r *http.Request) (*http.Response, error) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return nil, errors.New("a call of Prism without a connection: a defect of the driver")
	}
	r = r.Clone(r.Context())
	r.URL.Host, r.Host = c.host, c.host
	c.authorize(r)
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	return nil, readRefusal(resp)
}

// maxRefusal is how much of an answer that refuses something is read.
const maxRefusal = 64 << 10

// refusal is an answer of Prism that is none of success.
type refusal struct {
	status   int
	header   http.Header
	messages []message
	parsed   bool // the answer was one of the API
}

// message is one entry of the API's message_list.
type message struct {
	Message string          `json:"message"`
	Reason  string          `json:"reason"`
	Details json.RawMessage `json:"details"`
}

func (r *refusal) Error() string {
	text := "Prism answered " + strconv.Itoa(r.status)
	if said := join(r.messages); said != "" {
		text += ": " + said
	}
	return text
}

func readRefusal(resp *http.Response) *refusal {
	defer resp.Body.Close()
	r := &refusal{status: resp.StatusCode, header: resp.Header}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return r // the status says enough
	}
	type status struct {
		State    string    `json:"state"`
		Messages []message `json:"message_list"`
		Message  string    `json:"message"`
		Reason   string    `json:"reason"`
	}
	var answer struct {
		status
		Status json.RawMessage `json:"status"` // an object with the fields above, or a word
	}
	if json.Unmarshal(body, &answer) != nil {
		return r
	}
	var inner status
	if json.Unmarshal(answer.Status, &inner) != nil {
		inner = status{}
	}
	r.messages = append(answer.Messages, inner.Messages...)
	if answer.Message != "" || answer.Reason != "" {
		r.messages = append(r.messages, message{Message: answer.Message, Reason: answer.Reason})
	}
	r.parsed = answer.State != "" || inner.State != "" || len(r.messages) > 0
	return r
}

func address(host string, port int64) string {
	if ip := net.ParseIP(trimBrackets(host)); ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(host, strconv.FormatInt(port, 10))
}

func trimBrackets(s string) string {
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		return s[1 : len(s)-1]
	}
	return s
}
