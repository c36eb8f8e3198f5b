package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const redacted = "[redacted]"

// longLine is the length from which a single line of a secret, such as a key
// in PEM form, is a secret by itself.
const longLine = 16

// redactor removes secrets from texts, also in the spellings in which they
// travel: quoted as JSON, escaped for a URL, and as base64.
type redactor struct {
	secrets  []string
	replacer *strings.Replacer // nil: nothing to remove
}

func newRedactor(secrets []string) redactor {
	r := redactor{secrets: secrets}
	var forms []string
	for _, s := range secrets {
		forms = append(forms, spellings(s)...)
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); len(line) >= longLine {
				forms = append(forms, spellings(line)...)
			}
		}
	}
	forms = slices.DeleteFunc(forms, func(s string) bool { return s == "" })
	if len(forms) == 0 {
		return r
	}
	// The replacer takes the first form that matches at a place: longer ones
	// come first, so that no rest of a secret stays behind.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, redacted)
	}
	r.replacer = strings.NewReplacer(pairs...)
	return r
}

func spellings(s string) []string {
	trimmed := strings.TrimSpace(s)
	if trimmed == "" {
		return nil
	}
	forms := []string{s, trimmed, url.QueryEscape(trimmed), url.PathEscape(trimmed)}
	if b, err := json.Marshal(trimmed); err == nil {
		forms = append(forms, strings.Trim(string(b), `"`))
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, e.EncodeToString([]byte(trimmed)), e.EncodeToString([]byte(s)))
		forms = append(forms, inside(e.WithPadding(base64.NoPadding), trimmed)...)
	}
	return forms
}

// inside is how s looks in the base64 form of a longer text, as in the header
// of HTTP basic authentication: there are three ways, by where it begins. The
// characters that s shares with its neighbours are left out.
func inside(e *base64.Encoding, s string) []string {
	const shortest = 6 // below, what is left over matches by chance
	if len(s) < shortest {
		return nil
	}
	var forms []string
	for before, shared := range []int{0, 2, 3} {
		form := e.EncodeToString(append(make([]byte, before), s...))[shared:]
		if (before+len(s))%3 != 0 {
			form = form[:len(form)-1]
		}
		forms = append(forms, form)
	}
	return forms
}

// with removes further secrets as well.
func (r redactor) with(secrets []string) redactor {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return s == "" })
	if len(secrets) == 0 {
		return r
	}
	return newRedactor(append(slices.Clone(r.secrets), secrets...))
}

func (r redactor) text(s string) string {
	if r.replacer == nil {
		return s
	}
	return r.replacer.Replace(s)
}

// cause is the text of the error without secrets. The error itself is not
// kept, since a log that prints its fields would show them; whether a context
// ended is.
func (r redactor) cause(err error) error {
	out := &redactedError{text: cut(r.text(err.Error()), maxCause)}
	for _, sentinel := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, sentinel) {
			out.context = sentinel
		}
	}
	return out
}

type redactedError struct {
	text    string
	context error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Unwrap() error { return e.context }

// cut shortens s to at most n bytes, at a character's end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// document is a value as JSON shows it, without secrets in any of its texts.
func (r redactor) document(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // large ids must not lose digits
	if err := dec.Decode(&out); err != nil {
		return nil, err
	}
	return r.walk(out), nil
}

func (r redactor) walk(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		for i := range v {
			v[i] = r.walk(v[i])
		}
	case map[string]any:
		for key, inner := range v {
			v[key] = r.walk(inner)
		}
	}
	return v
}
