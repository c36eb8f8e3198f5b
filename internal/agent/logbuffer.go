package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/headroom-dev/headroom/internal/client"
)

const (
	bufferLines = 1000      // kept while the controller cannot be reached
	batchBytes  = 128 << 10 // of text in one call; the controller takes 256 KiB
	lineBytes   = 4 << 10   // of one line; the rest is cut off
)

// logBuffer keeps the newest lines until the controller has them.
type logBuffer struct {
	mu      sync.Mutex
	lines   []client.AgentLogLine
	first   int64 // number of lines[0], counted from the start of the agent
	dropped int64 // lines that were lost since the last batch
}

func (b *logBuffer) add(line client.AgentLogLine) {
	if len(line.Text) > lineBytes {
		line.Text = strings.ToValidUTF8(line.Text[:lineBytes], "") + "…"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == bufferLines {
		b.lines = append(b.lines[:0], b.lines[1:]...)
		b.first++
		b.dropped++
	}
	b.lines = append(b.lines, line)
}

// batch gives the oldest lines and a mark with which to drop them once they
// have arrived.
func (b *logBuffer) batch() (lines []client.AgentLogLine, mark int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := 0
	for _, line := range b.lines {
		if size += len(line.Text); size > batchBytes {
			break
		}
		lines = append(lines, line)
	}
	mark = b.first + int64(len(lines))
	if b.dropped > 0 && len(lines) > 0 {
		note := client.AgentLogLine{At: lines[0].At, Stream: "agent", Text: fmt.Sprintf("(%d older lines were dropped)", b.dropped)}
		lines = append([]client.AgentLogLine{note}, lines...)
	}
	return lines, mark
}

// done drops the lines before the mark.
func (b *logBuffer) done(mark int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(max(mark-b.first, 0), int64(len(b.lines)))
	b.lines = append(b.lines[:0], b.lines[n:]...)
	b.first += n
	b.dropped = 0
}

// teeHandler gives what is logged at level info and above to the buffer too.
type teeHandler struct {
	slog.Handler
	buffer *logBuffer
	text   slog.Handler // renders into out, under mu
	out    *bytes.Buffer
	mu     *sync.Mutex
}

func newTee(inner slog.Handler, buffer *logBuffer) slog.Handler {
	out := &bytes.Buffer{}
	text := slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey { // the line carries its time beside the text
			return slog.Attr{}
		}
		return a
	}})
	return &teeHandler{Handler: inner, buffer: buffer, text: text, out: out, mu: &sync.Mutex{}}
}

func (h *teeHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.Handler.Enabled(ctx, level)
}

func (h *teeHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		h.mu.Lock()
		h.out.Reset()
		err := h.text.Handle(ctx, r)
		line := client.AgentLogLine{At: r.Time.UTC(), Stream: "agent", Text: strings.TrimSpace(h.out.String())}
		h.mu.Unlock()
		if err != nil {
			return err
		}
		h.buffer.add(line)
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h *teeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &teeHandler{h.Handler.WithAttrs(attrs), h.buffer, h.text.WithAttrs(attrs), h.out, h.mu}
}

func (h *teeHandler) WithGroup(name string) slog.Handler {
	return &teeHandler{h.Handler.WithGroup(name), h.buffer, h.text.WithGroup(name), h.out, h.mu}
}

// trimLog cuts a log file that has grown beyond limit bytes down to its newer
// half. The file must be open for appending only, so that later lines go to
// its new end.
func trimLog(path string, limit int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("trimming the log: %w", withoutOp(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= limit {
		return err
	}
	tail := make([]byte, limit/2)
	n, err := f.ReadAt(tail, info.Size()-int64(len(tail)))
	if err != nil {
		return fmt.Errorf("trimming the log: %w", withoutOp(err))
	}
	tail = tail[:n]
	if i := bytes.IndexByte(tail, '\n'); i >= 0 {
		tail = tail[i+1:]
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("trimming the log: %w", withoutOp(err))
	}
	if _, err := f.WriteAt(tail, 0); err != nil {
		return fmt.Errorf("trimming the log: %w", withoutOp(err))
	}
	return nil
}
