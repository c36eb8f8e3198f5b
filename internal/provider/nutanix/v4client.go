package nutanix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
)

// pageLengthV4 is the longest page that the v4 API gives.
const pageLengthV4 = 100

// api4 speaks the v4 API. The page of the package says why it is not the
// vendor's client.
type api4 struct {
	connection *connection
	now        func() time.Time
}

// call4 is a request.
type call4 struct {
	doing  string // for people: completes "while …"
	method string
	path   string // below /api
	query  url.Values
	etag   string // of the object that is changed
	token  string // of the request: the same for each repetition of the same wish
	body   any
}

// answer4 is what came back.
type answer4 struct {
	Data     json.RawMessage `json:"data"`
	Metadata struct {
		Total *int `json:"totalAvailableResults"`
	} `json:"metadata"`

	etag string
}

// into reads the object that an answer holds.
func (a answer4) into(out any) error {
	if len(a.Data) == 0 {
		return errors.New("the answer holds no data")
	}
	return json.Unmarshal(a.Data, out)
}

// requestID makes a UUID of what must stay the same when a request is repeated.
func requestID(parts ...string) string {
	name := "headroom/request"
	for _, p := range parts {
		name += "\x00" + p
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String()
}

// do sends a request. An error has its class and a text for people.
func (a *api4) do(ctx context.Context, c call4) (answer4, error) {
	answer, err := a.send(ctx, c)
	if err != nil {
		return answer, failure(ctx, a.now(), v4Name, c.doing, err)
	}
	return answer, nil
}

func (a *api4) send(ctx context.Context, c call4) (answer answer4, err error) {
	var body io.Reader
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return answer, err
		}
		body = bytes.NewReader(text)
	}
	u := url.URL{Scheme: "https", Host: a.connection.host, Path: "/api" + c.path, RawQuery: c.query.Encode()}
	r, err := http.NewRequestWithContext(ctx, c.method, u.String(), body)
	if err != nil {
		return answer, err
	}
	a.connection.authorize(r)
	r.Header.Set("User-Agent", "headroom")
	r.Header.Set("Accept", "application/json")
	if c.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.etag != "" {
		r.Header.Set("If-Match", c.etag)
	}
	if c.token != "" {
		r.Header.Set("NTNX-Request-Id", c.token)
	}
	resp, err := a.connection.transport.RoundTrip(r) // without following anything
	if err != nil {
		return answer, err
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		return answer, readRefusalV4(resp)
	}
	defer resp.Body.Close()
	answer.etag = resp.Header.Get("ETag")
	if resp.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("no answer of the API: %w", err)
	}
	return answer, nil
}

// get reads one object, and its ETag.
func (a *api4) get(ctx context.Context, doing, path string, out any) (etag string, err error) {
	answer, err := a.do(ctx, call4{doing: doing, method: http.MethodGet, path: path})
	if err == nil {
		err = a.read(ctx, doing, answer, out)
	}
	return answer.etag, err
}

func (a *api4) read(ctx context.Context, doing string, answer answer4, out any) error {
	if err := answer.into(out); err != nil {
		return failure(ctx, a.now(), v4Name, doing, err)
	}
	return nil
}

// task sends a request that Prism carries out later, and gives its task.
func (a *api4) task(ctx context.Context, c call4) (id string, err error) {
	answer, err := a.do(ctx, c)
	if err != nil {
		return "", err
	}
	var t id4
	if err := a.read(ctx, c.doing, answer, &t); err != nil {
		return "", err
	}
	if t.ExtID == "" {
		return "", provider.Errorf(provider.Unknown, "%s: Prism accepted it and named no task", c.doing)
	}
	return t.ExtID, nil
}

// list4 shows all objects of a listing until f has seen enough. A page may hold
// fewer than were asked for; a listing that ends before its count is an error.
func list4[T any](ctx context.Context, a *api4, doing, path, filter string, f func(T) (more bool)) error {
	seen := 0
	for page := 0; ; page++ {
		q := url.Values{"$page": {strconv.Itoa(page)}, "$limit": {strconv.Itoa(pageLengthV4)}}
		if filter != "" {
			q.Set("$filter", filter)
		}
		answer, err := a.do(ctx, call4{doing: doing, method: http.MethodGet, path: path, query: q})
		if err != nil {
			return err
		}
		var all []T
		if len(answer.Data) > 0 { // Prism leaves an empty list out
			if err := a.read(ctx, doing, answer, &all); err != nil {
				return err
			}
		}
		for _, one := range all {
			if !f(one) {
				return nil
			}
		}
		seen += len(all)
		total := answer.Metadata.Total
		switch {
		case total == nil && len(all) < pageLengthV4, total != nil && seen >= *total:
			return nil
		case len(all) == 0:
			return provider.Errorf(provider.Unknown, "%s: Prism counts %d and shows %d: the listing is incomplete", doing, *total, seen)
		}
	}
}

// readRefusalV4 reads an error: messages of the application, or faults that the
// schema found in a request.
func readRefusalV4(resp *http.Response) *refusal {
	defer resp.Body.Close()
	r := &refusal{status: resp.StatusCode, header: resp.Header}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return r // the status says enough
	}
	var answer struct {
		Data struct {
			Error json.RawMessage `json:"error"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Data.Error) == 0 {
		return r
	}
	var messages []appMessage4
	var schema struct {
		Messages []struct {
			Message string `json:"message"`
			Path    string `json:"attributePath"`
		} `json:"validationErrorMessages"`
		Error string `json:"error"`
	}
	switch {
	case json.Unmarshal(answer.Data.Error, &messages) == nil:
		r.messages = messagesOf4(messages)
	case json.Unmarshal(answer.Data.Error, &schema) == nil:
		for _, m := range schema.Messages {
			r.messages = append(r.messages, message{Message: m.Message, Reason: m.Path})
		}
		if len(r.messages) == 0 && schema.Error != "" {
			r.messages = []message{{Message: schema.Error}}
		}
	}
	r.parsed = len(r.messages) > 0
	return r
}

func messagesOf4(all []appMessage4) (out []message) {
	for _, m := range all {
		reason := m.Group
		if reason == "" {
			reason = m.Code
		}
		out = append(out, message{Message: m.Message, Reason: reason})
	}
	return out
}
