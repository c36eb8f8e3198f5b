package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

// EventFilter selects events. Like all parameters that operations share it is
// exported, since huma sees no others.
type EventFilter struct {
	Type string `query:"type" doc:"Types, separated by commas." example:"server.phase,server.lost"`
	Kind string `query:"kind" doc:"Kind of the object." example:"Server"`
	Name string `query:"name" doc:"Name of the object."`
	Pool string `query:"pool"`
}

func (f EventFilter) store() store.EventFilter {
	return store.EventFilter{Types: list[fleet.EventType](f.Type), Kind: f.Kind, Name: f.Name, Pool: f.Pool}
}

func (a *api) events() {
	const base, tag = "/api/v1/events", "Events"
	register(a, route{
		id: "list_events", method: http.MethodGet, path: base, tag: tag, summary: "List events", auth: tokenScheme,
		description: "The oldest first after `after`, or with `newest` the newest first before `before`. `next` is the value of the same parameter for the following page.",
	}, func(ctx context.Context, in *struct {
		EventFilter
		After  int64  `query:"after" minimum:"0"`
		Before int64  `query:"before" minimum:"0"`
		Newest bool   `query:"newest"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
		Cursor string `query:"cursor" maxLength:"20" doc:"The next of the page before; the same as after, or before with newest."`
	},
	) (*pageOutput[fleet.Event], error) {
		q := in.store()
		q.After, q.Before, q.Newest, q.Limit = in.After, in.Before, in.Newest, in.Limit
		if in.Cursor != "" {
			at, err := strconv.ParseInt(in.Cursor, 10, 64)
			if err != nil || at < 0 {
				return nil, fleet.Invalid("query", []fleet.FieldError{{Path: "cursor", Value: in.Cursor, Message: "is not the number of an event"}})
			}
			if q.Newest {
				q.Before = at
			} else {
				q.After = at
			}
		}
		items, next, err := a.Service.Events(ctx, who(ctx), q)
		o := &pageOutput[fleet.Event]{Body: Page[fleet.Event]{Items: items}}
		if next > 0 {
			o.Body.Next = strconv.FormatInt(next, 10)
		}
		return o, err
	})
	a.stream(base+"/stream", tag)
}

// stream adds the live stream of events (server-sent events).
func (a *api) stream(path, tag string) {
	schemas := a.huma.OpenAPI().Components.Schemas
	event := schemas.Schema(reflect.TypeFor[fleet.Event](), true, "Event")
	huma.Register(a.huma, huma.Operation{
		OperationID: "stream_events", Method: http.MethodGet, Path: path, Tags: []string{tag}, Summary: "Follow events as they are committed",
		Description: "Server-sent events: id is the number of the event, event its type, data the event as JSON. " +
			"Resumes after Last-Event-ID or `after`; without either it begins with the next event. A comment every 15 s is a sign of life. " +
			"`event: gap` says that retention has removed some of what was asked for. A reader that falls behind for more than 10 s in one write is cut off and can resume.",
		Security: []map[string][]string{{tokenScheme: {}}},
		Responses: map[string]*huma.Response{"200": {
			Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: event}},
		}},
	}, func(ctx context.Context, in *struct {
		EventFilter
		After       string `query:"after" maxLength:"20" doc:"Number of the last event that the reader has; 0: all that are kept."`
		LastEventID string `header:"Last-Event-ID"`
	},
	) (*huma.StreamResponse, error) {
		q := in.store()
		q.After = -1
		for _, p := range []struct{ name, text string }{{"after", in.After}, {"Last-Event-ID", in.LastEventID}} {
			if p.text == "" {
				continue
			}
			at, err := strconv.ParseInt(strings.TrimSpace(p.text), 10, 64)
			if err != nil || at < 0 {
				return nil, a.problem(ctx, fleet.Invalid("request", []fleet.FieldError{{Path: p.name, Value: p.text, Message: "is not the number of an event"}}))
			}
			q.After = at // the header wins: the browser sends it when it resumes
		}
		st, gap, err := a.Service.OpenStream(ctx, who(ctx), q)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			defer st.Close()
			_, w := humago.Unwrap(hctx)
			a.follow(hctx.Context(), w, st, gap)
		}}, nil
	})
}

// follow writes the stream until the reader goes, falls behind, or the service
// ends.
func (a *api) follow(ctx context.Context, w http.ResponseWriter, st *service.Stream, gap *service.Gap) {
	c := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies must not gather it
	send := func(text string) error {
		if err := c.SetWriteDeadline(a.Clock.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return c.Flush()
	}
	err := send("retry: 1000\n: connected\n\n")
	if err == nil && gap != nil {
		data, _ := json.Marshal(gap) // a number and a text cannot fail
		err = send(fmt.Sprintf("id: %d\nevent: gap\ndata: %s\n\n", gap.After, data))
	}
	for err == nil {
		var events []fleet.Event
		if events, err = st.Next(ctx, heartbeat); err != nil {
			break
		}
		var b strings.Builder
		for _, e := range events {
			data, err := json.Marshal(e)
			if err != nil {
				a.Log.ErrorContext(ctx, "encoding an event failed", "seq", e.Seq, "error", err)
				continue
			}
			fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
		}
		if len(events) == 0 {
			b.WriteString(": alive\n\n")
		}
		err = send(b.String())
	}
	if ctx.Err() == nil && !errors.Is(err, service.ErrClosed) {
		a.Log.InfoContext(ctx, "event stream ended", "request_id", requestID(ctx), "error", err)
	}
}
