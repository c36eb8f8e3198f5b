package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// age is the largest unit of a span that still says something: 45s, 5m, 3h, 2d.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}

// since is the age of a moment, "-" without one.
func since(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(now.Sub(t))
}

func sinceP(now time.Time, t *time.Time) string { return since(now, fleet.Value(t, time.Time{})) }

// until is the time that is left, "-" without a moment.
func until(now time.Time, t *time.Time) string {
	if t == nil {
		return "-"
	}
	if !t.After(now) {
		return "now"
	}
	return age(t.Sub(now))
}

// moment is a time of day, with the date unless it is today.
func moment(now, t time.Time) string {
	t = t.In(now.Location())
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return oneLine(s)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func labels(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// printJSON writes indented JSON.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// toYAML renders a value with the names and the order of its JSON form.
func toYAML(v any) ([]byte, error) {
	var compact bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(compact.Bytes(), &doc); err != nil {
		return nil, fmt.Errorf("encoding as YAML: %w", err)
	}
	plainStyle(&doc)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("encoding as YAML: %w", err)
	}
	return out.Bytes(), e.Close()
}

// plainStyle drops JSON's braces and quotes where YAML does not need them.
func plainStyle(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, sub := range n.Content {
		plainStyle(sub)
	}
}

// printYAML writes one document for each value.
func printYAML(w io.Writer, values ...any) error {
	for i, v := range values {
		text, err := toYAML(v)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// print writes one value as JSON or YAML, or calls human for the rest.
func (a *app) print(format string, v any, human func() error) error {
	switch format {
	case formatJSON:
		return printJSON(a.out, v)
	case formatYAML:
		return printYAML(a.out, v)
	}
	return human()
}

// WriteValue writes one value as json or yaml, for commands of other packages.
func WriteValue(w io.Writer, format string, v any) error {
	if format == formatYAML {
		return printYAML(w, v)
	}
	return printJSON(w, v)
}

// list is the JSON form of several values.
type list struct {
	Items []any `json:"items"`
}

// short renders a JSON value on one line.
func short(v any) string {
	if v == nil {
		return "(none)"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

// eventMessage is the text of an event; a change of phase names the phase that
// it led to.
func eventMessage(e fleet.Event) string {
	if phase, ok := e.Data["phase"].(string); ok && e.Type == fleet.EventServerPhase {
		return phase + ": " + e.Message
	}
	return e.Message
}
