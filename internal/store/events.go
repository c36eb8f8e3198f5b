package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// event is an event with its data in the form of the database.
type event struct {
	fleet.Event
	data any // string or nil
}

// Emit adds an event that is committed, numbered and announced together with
// what the transaction changes. At is filled from the clock when it is zero.
func (tx *Tx) Emit(e fleet.Event) {
	if tx.ready(true) != nil {
		return
	}
	if e.At.IsZero() {
		e.At = tx.s.clock.Now()
	}
	e.At = exact(e.At)
	ev := event{Event: e}
	if len(e.Data) > 0 {
		text, err := jsonText(e.Data)
		if err != nil {
			tx.failed = fmt.Errorf("encoding the data of event %s: %w", e.Type, err)
			return
		}
		ev.data = text
	}
	tx.events = append(tx.events, ev)
}

const numberText = "UPDATE counters SET value = value + $1, changes = changes + $2 WHERE name = 'events' RETURNING value, changes"

// number reserves numbers for the events, and one for the change if there is
// one, and returns the first and the latter. The counter's row is locked from
// here to the end of the transaction.
func (w *writing) number(events []event, changed changeSet) (first, change int64, lost *lostError) {
	return w.reserve(len(events), numberText, len(events), count(changed))
}

func count(changed changeSet) int {
	if changed.empty() {
		return 0
	}
	return 1
}

// numberAtOnceText does all that there is to do before a commit in one
// statement: it takes the numbers, and writes down the events ($3 on, a list for
// each column) and the change ($12, $13).
const numberAtOnceText = "WITH n AS (" + numberText + ")," +
	" e AS (INSERT INTO events (" + eventColumns + ")" +
	" SELECT n.value - CAST($1 AS BIGINT) + u.i, u.at, u.type, u.kind, u.name, u.id, u.pool, u.actor, u.message, u.data" +
	" FROM n, unnest($3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::TEXT[])" +
	" WITH ORDINALITY AS u (at, type, kind, name, id, pool, actor, message, data, i))," +
	" c AS (INSERT INTO changes (n, servers, objects) SELECT n.changes, $12, CAST($13 AS BOOLEAN) FROM n WHERE CAST($2 AS BIGINT) > 0)" +
	" SELECT value, changes FROM n"

// numberAtOnce is number on PostgreSQL, where it also writes down the events and,
// for the other nodes, the change.
func (w *writing) numberAtOnce(events []event, changed changeSet) (first, change int64, lost *lostError) {
	n := len(events)
	at := make([]int64, n)
	var texts [7][]string // type to message
	for i := range texts {
		texts[i] = make([]string, n)
	}
	data := make([]*string, n)
	for i := range events {
		e := &events[i]
		at[i] = e.At.UnixMicro()
		columns := [7]any{string(e.Type), e.Kind, e.Name, e.ID, e.Pool, e.Actor, e.Message}
		clean(columns[:])
		for j, c := range columns {
			texts[j][i], _ = c.(string)
		}
		if text, ok := e.data.(string); ok {
			one := []any{text}
			clean(one)
			text, _ = one[0].(string)
			data[i] = &text
		}
	}
	servers, err := changedServers(changed)
	if err != nil {
		return 0, 0, w.lost(err)
	}
	first, change, lost = w.reserve(n, numberAtOnceText, int64(n), int64(count(changed)),
		at, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], data, servers, changed.objects)
	if lost == nil && !changed.empty() && change%pruneEvery == 0 {
		if err := w.c.later(w.ctx, "DELETE FROM changes WHERE n <= $1", change-keptChanges); err != nil {
			return 0, 0, w.lost(err)
		}
	}
	return first, change, lost
}

// reserve runs a statement that returns the counters after the numbers of n
// events have been taken.
func (w *writing) reserve(n int, query string, args ...any) (first, change int64, lost *lostError) {
	rows, err := w.c.query(w.ctx, query, args...)
	if err != nil {
		return 0, 0, w.lost(err)
	}
	var last int64
	found := rows.Next()
	if found {
		err = rows.Scan(&last, &change)
	} else if err = rows.Err(); err == nil {
		err = errors.New("the counter of events is missing from the database")
	}
	if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return 0, 0, w.lost(err)
	}
	return last - int64(n) + 1, change, nil
}

const eventColumns = "seq, at, type, kind, name, id, pool, actor, message, data"

// eventRows is the number of events that one statement inserts at most.
const eventRows = 32

// eventInserts are the statements that insert 1 to eventRows events.
var eventInserts = eventInsertTexts() //nolint:gochecknoglobals // texts of statements, made once and never changed

func eventInsertTexts() []string {
	const columns = 10
	texts := make([]string, eventRows+1)
	var b strings.Builder
	b.WriteString("INSERT INTO events (" + eventColumns + ") VALUES ")
	for n := 1; n <= eventRows; n++ {
		if n > 1 {
			b.WriteString(", ")
		}
		b.WriteString("(")
		for i := 1; i <= columns; i++ {
			if i > 1 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "$%d", (n-1)*columns+i)
		}
		b.WriteString(")")
		texts[n] = b.String()
	}
	return texts
}

func (w *writing) insert(events []event) *lostError {
	for len(events) > 0 {
		n := min(len(events), eventRows)
		args := make([]any, 0, n*10)
		for i := range events[:n] {
			e := &events[i]
			args = append(args, e.Seq, e.At.UnixMicro(), string(e.Type), e.Kind, e.Name, e.ID, e.Pool, e.Actor, e.Message, e.data)
		}
		clean(args)
		if _, err := w.c.exec(w.ctx, eventInserts[n], args...); err != nil {
			return w.lost(err)
		}
		events = events[n:]
	}
	return nil
}

// Events lists events in the order of their numbers.
func (tx *Tx) Events(f EventFilter) ([]fleet.Event, error) {
	var c condition
	if f.After > 0 {
		c.add("seq > ?", f.After)
	}
	if f.Before > 0 {
		c.add("seq < ?", f.Before)
	}
	c.equal("kind", f.Kind)
	c.equal("name", f.Name)
	c.equal("pool", f.Pool)
	if len(f.Types) > 0 {
		oneOf(&c, "type", f.Types)
	}
	order := " ORDER BY seq"
	if f.Newest {
		order = " ORDER BY seq DESC"
	}
	query := c.limit("SELECT "+eventColumns+" FROM events"+c.where()+order, f.Limit)
	list := []fleet.Event{}
	err := tx.each(query, c.args, func(r row) error {
		var e fleet.Event
		var at int64
		var data sql.NullString
		if err := r.Scan(&e.Seq, &at, &e.Type, &e.Kind, &e.Name, &e.ID, &e.Pool, &e.Actor, &e.Message, &data); err != nil {
			return err
		}
		e.At = moment(at)
		if data.Valid {
			if err := json.Unmarshal([]byte(data.String), &e.Data); err != nil {
				return err
			}
		}
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	return list, nil
}

// LastEventSeq is the number of the latest event, 0 before the first. Events
// of the present transaction have no number yet.
func (tx *Tx) LastEventSeq() (int64, error) {
	var n int64
	if _, err := tx.get("SELECT value FROM counters WHERE name = 'events'", nil, &n); err != nil {
		return 0, fmt.Errorf("reading the number of the last event: %w", err)
	}
	return n, nil
}

// OldestEventSeq is the number of the oldest event that is kept; when none is,
// that of the next event.
func (tx *Tx) OldestEventSeq() (int64, error) {
	var n int64
	found, err := tx.get("SELECT seq FROM events ORDER BY seq LIMIT 1", nil, &n)
	if err == nil && !found {
		n, err = tx.LastEventSeq()
		n++
	}
	if err != nil {
		return 0, fmt.Errorf("reading the number of the oldest event: %w", err)
	}
	return n, nil
}

// DeleteEvents removes events that are older than before from the oldest end,
// at most limit, and returns how many.
func (tx *Tx) DeleteEvents(before time.Time, limit int) (int64, error) {
	n, err := tx.exec(`DELETE FROM events WHERE seq IN (
		SELECT seq FROM (SELECT seq, at FROM events ORDER BY seq LIMIT $1) AS oldest WHERE at < $2)`,
		limit, before.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("deleting old events: %w", err)
	}
	return n, nil
}
