package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// sse reads one server-sent event after the other.
type sse struct {
	t      *testing.T
	lines  *bufio.Scanner
	cancel func()
	resp   *http.Response
}

type sent struct{ id, event, data string }

func (w *world) follow(query string, headers ...string) *sse {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/api/v1/events/stream"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.admin)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("status %s, type %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return &sse{w.t, bufio.NewScanner(resp.Body), cancel, resp}
}

// next is the next event; ok is false at the end of the stream.
func (s *sse) next() (e sent, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, true
			}
		}
	}
	return e, false
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic) // events 2 and 3, after that of the token
	s := w.follow("?after=0&kind=Pool,Zone")
	_ = s
	all := w.follow("?after=0")
	var ids string
	for range 3 {
		e, ok := all.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		var event fleet.Event
		if err := json.Unmarshal([]byte(e.data), &event); err != nil || string(event.Type) != e.event {
			t.Errorf("event %+v, error %v", e, err)
		}
		ids += e.id + " "
	}
	if ids != "1 2 3 " {
		t.Errorf("ids %q", ids)
	}
	all.cancel()
	w.want(http.StatusCreated, w.call("PUT", "/api/v1/zones/other", `{"spec":{}}`)) // while the reader is away
	back := w.follow("?after=0", "Last-Event-ID", "3")
	if e, ok := back.next(); !ok || e.id != "4" || e.event != "object.created" {
		t.Errorf("after the resumption %+v", e)
	}
	w.want(http.StatusCreated, w.call("PUT", "/api/v1/zones/third", `{"spec":{}}`)) // live
	if e, ok := back.next(); !ok || e.id != "5" {
		t.Errorf("live %+v", e)
	}
}

func TestStreamFiltersAndTellsGaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	s := w.follow("?after=0&kind=Pool&type=object.created,object.deleted")
	if e, ok := s.next(); !ok || !strings.Contains(e.data, `"kind":"Pool"`) {
		t.Errorf("event %+v", e)
	}
	if err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.DeleteEvents(time.Now().Add(time.Hour), 2)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	g := w.follow("", "Last-Event-ID", "1")
	if e, ok := g.next(); !ok || e.event != "gap" || e.id != "2" {
		t.Errorf("gap %+v", e)
	}
	if e, ok := g.next(); !ok || e.id != "3" {
		t.Errorf("after the gap %+v", e)
	}
	w.wantProblem(w.call("GET", "/api/v1/events/stream?after=x", ""), http.StatusUnprocessableEntity, fleet.CodeInvalid, "after")
	session := w.token(fleet.RoleSession, "")
	w.wantProblem(w.call("GET", "/api/v1/events/stream", "", "Authorization", "Bearer "+session), http.StatusForbidden, fleet.CodeForbidden)
}

func TestStreamEndsOnShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.follow("")
	w.svc.Close()
	if e, ok := s.next(); ok {
		t.Errorf("event %+v after the end", e)
	}
}
