package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func send(w http.ResponseWriter, text string) {
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
}

func event(seq int) string {
	return fmt.Sprintf("id: %d\nevent: server.phase\ndata: {\"seq\":%d,\n", seq, seq) + "data: \"type\":\"server.phase\"}\n\n"
}

func TestStreamGoesOnAfterALostConnection(t *testing.T) {
	t.Parallel()
	var resumed []string
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		resumed = append(resumed, r.Header.Get("Last-Event-ID")+"/"+r.URL.Query().Get("kind"))
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		switch len(resumed) {
		case 1:
			send(w, ": hello\n\n"+event(3)+event(4)+"id: 5\ndata: {\"seq\":5") // torn off in the middle
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			send(w, event(4)+event(5)) // 4 is repeated and must not be seen twice
			send(w, "event: gap\ndata: {\"after\":8,\"message\":\"6 to 8 are gone\"}\n\n"+event(9)+"id: 12\n\n")
		case 4:
			send(w, event(13))
			<-r.Context().Done()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var notes []bool
	var got []string
	options := client.StreamOptions{
		Filter:  client.EventFilter{After: 2, Kind: "Server"},
		OnRetry: func(err error) { notes = append(notes, err == nil) },
	}
	for e, err := range c.Stream(ctx, options) {
		var gap *client.GapError
		switch {
		case errors.As(err, &gap):
			got = append(got, gap.Message)
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, fmt.Sprint(e.Seq))
			if e.Seq == 13 {
				cancel()
			}
		}
	}
	if diff := cmp.Diff([]string{"3", "4", "5", "6 to 8 are gone", "9", "13"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2/Server", "4/Server", "4/Server", "12/Server"}, resumed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]bool{false, true, false, true}, notes); diff != "" {
		t.Error(diff)
	}
}

func TestStreamOfARestoredDatabaseGoesOn(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		send(w, "event: gap\ndata: {\"after\":3,\"message\":\"another database\"}\n\n"+event(4))
	})
	for e, err := range c.Events(t.Context(), client.EventFilter{After: 100}) {
		if err == nil && e.Seq == 4 {
			return
		}
	}
	t.Error("events before the old position were dropped")
}

func TestStreamErrorsThatTryingAgainCannotMend(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		problem(w, 401, `{"code":"unauthenticated","detail":"no valid token"}`)
	})
	var errs []error
	for _, err := range c.Events(t.Context(), client.EventFilter{}) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || fleet.CodeOf(errs[0]) != fleet.CodeUnauthenticated || calls.Load() != 1 {
		t.Errorf("%d calls: %v", calls.Load(), errs)
	}
}

func TestStreamToNobodyIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	c := connect(t, client.Options{URL: "http://127.0.0.1:1"})
	for _, err := range c.Events(t.Context(), client.EventFilter{}) {
		var gone *client.UnreachableError
		if !errors.As(err, &gone) {
			t.Errorf("got %v", err)
		}
	}
}

// impatient is a clock on which a quiet stream is given up soon.
type impatient struct{ hasty }

func (impatient) AfterFunc(_ time.Duration, f func()) clock.Timer {
	return soon{clock.RealClock{}.AfterFunc(30*time.Millisecond, f)}
}

type soon struct{ clock.Timer }

func (s soon) Reset(time.Duration) bool { return s.Timer.Reset(30 * time.Millisecond) }

func TestAStreamWithoutHeartbeatsIsMadeAnew(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	srv := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		send(w, ": here\n\n")
		if calls.Add(1) == 2 {
			send(w, event(1))
		}
		<-r.Context().Done() // the peer is gone without a word
	})
	c := connect(t, client.Options{URL: srv.URL(), Clock: impatient{}})
	for e, err := range c.Events(t.Context(), client.EventFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq == 1 {
			return
		}
	}
}

func TestALineWithoutEndIsAnError(t *testing.T) {
	t.Parallel()
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		junk := make([]byte, 1<<16)
		for i := range junk {
			junk[i] = 'x'
		}
		_, _ = io.WriteString(w, "data: ")
		for range 40 {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	})
	var last error
	for _, err := range c.Events(t.Context(), client.EventFilter{}) {
		last = err
	}
	if last == nil {
		t.Error("accepted")
	}
}
