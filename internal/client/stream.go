package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	maxLine      = 1 << 20          // bytes of one line of the stream
	maxEvent     = 4 << 20          // bytes of one event
	streamQuiet  = 45 * time.Second // three heartbeats without a sign of life
	maxReconnect = 10 * time.Second // longest pause between connections
)

// GapError says that events which were asked for have been removed by
// retention. The stream goes on after it.
type GapError struct{ Message string }

// Error is the controller's word on the gap.
func (e *GapError) Error() string { return e.Message }

// StreamOptions select and watch a stream of events.
type StreamOptions struct {
	Filter EventFilter // Before, Limit and Newest do not apply
	// OnRetry is told why the connection was lost, and is called with nil when
	// it is back.
	OnRetry func(error)
}

// Events yields events from the one after filter.After on, or from now on when
// that is 0, for as long as ctx lives. See [Client.Stream].
func (c *Client) Events(ctx context.Context, filter EventFilter) iter.Seq2[fleet.Event, error] {
	return c.Stream(ctx, StreamOptions{Filter: filter})
}

// Stream yields events as they are committed, each once and in order. When the
// connection breaks it is made anew and goes on after the last event that was
// yielded. A [*GapError] is yielded where events are missing, and the stream
// goes on; any other error ends it. It ends without an error with ctx.
func (c *Client) Stream(ctx context.Context, o StreamOptions) iter.Seq2[fleet.Event, error] {
	return func(yield func(fleet.Event, error) bool) {
		s := &stream{client: c, options: o, last: o.Filter.After, pause: 250 * time.Millisecond}
		for ctx.Err() == nil {
			err := s.read(ctx, yield)
			if err == nil || ctx.Err() != nil {
				return // the consumer is done
			}
			if !s.transient(err) {
				yield(fleet.Event{}, err)
				return
			}
			if o.OnRetry != nil && !s.lost {
				o.OnRetry(err)
			}
			s.lost = true
			timer := c.clock.NewTimer(s.pause)
			select {
			case <-timer.C():
			case <-ctx.Done():
				timer.Stop()
			}
			s.pause = min(2*s.pause, maxReconnect)
		}
	}
}

type stream struct {
	client  *Client
	options StreamOptions
	last    int64 // sequence number of the newest event seen
	reached bool  // the controller has answered at least once
	lost    bool  // OnRetry has been told of the loss
	pause   time.Duration
	retry   time.Duration // what the controller asks for
}

// transient says that a new connection can help. A controller that was never
// reached is an error at once.
func (s *stream) transient(err error) bool {
	var busy *busyError
	if errors.As(err, &busy) {
		return true
	}
	var gone *UnreachableError
	return errors.As(err, &gone) && s.reached && !gone.permanent
}

// read makes one connection and yields what it brings. It returns nil only
// when the consumer wants no more.
func (s *stream) read(ctx context.Context, yield func(fleet.Event, error) bool) error {
	c := s.client
	f := s.options.Filter
	f.After, f.Before, f.Limit, f.Newest = s.last, 0, 0, false
	h := http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}}
	if s.last > 0 {
		h.Set("Last-Event-ID", strconv.FormatInt(s.last, 10))
	}
	ctx2, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The watchdog ends a connection over which nothing comes any more; the
	// controller sends a heartbeat every 15 seconds.
	watchdog := c.clock.AfterFunc(min(c.timeout, streamQuiet), func() { cancel(errTimeout) })
	defer watchdog.Stop()
	req, err := c.newRequest(ctx2, request{method: http.MethodGet, path: []string{"events", "stream"}, query: f.query(), header: h}, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.netError(ctx, ctx2, req, err, c.timeout)
	}
	defer func() { _ = resp.Body.Close() }()
	s.reached = true
	if resp.StatusCode != http.StatusOK {
		return c.problem(req, resp)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return c.strange(req, resp)
	}
	if s.lost && s.options.OnRetry != nil {
		s.options.OnRetry(nil)
	}
	s.lost, s.pause = false, max(250*time.Millisecond, min(s.retry, maxReconnect))

	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var m message
	for lines.Scan() {
		watchdog.Reset(streamQuiet)
		done, err := m.line(lines.Text())
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		s.retry = max(s.retry, m.retry)
		more, err := s.deliver(&m, yield)
		if err != nil || !more {
			return err
		}
		m = message{}
	}
	err = lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("the event stream sent a line of more than %d bytes", maxLine)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return c.netError(ctx, ctx2, req, err, streamQuiet)
}

// deliver yields one message; false means that the consumer wants no more.
func (s *stream) deliver(m *message, yield func(fleet.Event, error) bool) (bool, error) {
	if m.data.Len() == 0 {
		if id, err := strconv.ParseInt(m.id, 10, 64); err == nil { // a heartbeat that tells the position
			s.last = max(s.last, id)
		}
		return true, nil
	}
	if m.event == "gap" {
		var gap struct {
			After   int64  `json:"after"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(m.data.String()), &gap); err != nil {
			return false, fmt.Errorf("reading a gap of the stream: %w", err)
		}
		// The position can lie before the last event seen: the controller's
		// database may have been restored from a copy.
		s.last = gap.After
		return yield(fleet.Event{}, &GapError{Message: gap.Message}), nil
	}
	var e fleet.Event
	if err := json.Unmarshal([]byte(m.data.String()), &e); err != nil {
		return false, fmt.Errorf("reading an event of the stream: %w", err)
	}
	if e.Seq <= s.last {
		return true, nil // already seen before the connection was lost
	}
	s.last = e.Seq
	return yield(e, nil), nil
}

// message gathers the lines of one server-sent event.
type message struct {
	id, event string
	data      strings.Builder
	retry     time.Duration
}

// line adds one line and says whether the message is complete.
func (m *message) line(text string) (bool, error) {
	text = strings.TrimSuffix(text, "\r")
	if text == "" {
		return true, nil
	}
	field, value, _ := strings.Cut(text, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		m.id = value
	case "event":
		m.event = value
	case "data":
		if m.data.Len()+len(value) > maxEvent {
			return false, fmt.Errorf("the event stream sent an event of more than %d bytes", maxEvent)
		}
		if m.data.Len() > 0 {
			m.data.WriteByte('\n')
		}
		m.data.WriteString(value)
	case "retry":
		if ms, err := strconv.ParseInt(value, 10, 32); err == nil && ms >= 0 {
			m.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return false, nil
}
