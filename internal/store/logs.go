package store

import (
	"fmt"
	"strings"
)

// streamBytes is how much of each stream of a machine's output is kept.
const streamBytes = 64 << 10

// AppendServerLog adds lines to the log of a machine. The last 64 KiB of each
// stream are kept, a newline counted for each line; of a longer line, its end.
func (tx *Tx) AppendServerLog(serverID string, lines []LogLine) error {
	streams := map[string][]LogLine{}
	var order []string // of appearance: the same on each run
	for _, l := range lines {
		if _, ok := streams[l.Stream]; !ok {
			order = append(order, l.Stream)
		}
		streams[l.Stream] = append(streams[l.Stream], l)
	}
	for _, stream := range order {
		if err := tx.appendStream(serverID, stream, streams[stream]); err != nil {
			return fmt.Errorf("adding to the log of server %s: %w", serverID, err)
		}
	}
	return nil
}

func (tx *Tx) appendStream(serverID, stream string, lines []LogLine) error {
	var size int64
	first := len(lines) // lines before it would be dropped at once
	for first > 0 && size <= streamBytes {
		first--
		text := lines[first].Text
		if len(text) >= streamBytes {
			lines[first].Text = strings.ToValidUTF8(text[len(text)-streamBytes+1:], "")
		}
		size += int64(len(lines[first].Text)) + 1
	}
	var end int64
	_, err := tx.change(`INSERT INTO server_log_ends (server_id, stream, ends_at) VALUES ($1, $2, $3)
		ON CONFLICT (server_id, stream) DO UPDATE SET ends_at = server_log_ends.ends_at + excluded.ends_at RETURNING ends_at`,
		[]any{serverID, stream, size}, &end)
	if err != nil {
		return err
	}
	at := end - size
	for _, l := range lines[first:] {
		if err := tx.do("INSERT INTO server_logs (server_id, stream, begins_at, at, text) VALUES ($1, $2, $3, $4, $5)",
			serverID, stream, at, l.At.UnixMicro(), l.Text); err != nil {
			return err
		}
		at += int64(len(l.Text)) + 1
	}
	err = tx.do("DELETE FROM server_logs WHERE server_id = $1 AND stream = $2 AND begins_at < $3", serverID, stream, end-streamBytes)
	return err
}

// ServerLog lists the kept lines of a machine by time; those of one stream and
// moment in the order in which they came.
func (tx *Tx) ServerLog(serverID string) ([]LogLine, error) {
	list := []LogLine{}
	err := tx.each("SELECT at, stream, text FROM server_logs WHERE server_id = $1 ORDER BY at, stream, begins_at", []any{serverID}, func(r row) error {
		var l LogLine
		var at int64
		err := r.Scan(&at, &l.Stream, &l.Text)
		l.At = moment(at)
		list = append(list, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the log of server %s: %w", serverID, err)
	}
	return list, nil
}
