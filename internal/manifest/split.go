package manifest

import (
	"fmt"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Limits of what is read at once.
const (
	MaxBytes         = 8 << 20 // of all sources together
	MaxDocumentBytes = 2 << 20 // of one document: a startup script of 1 MiB fits, indented
	MaxDocuments     = 10_000
	maxErrors        = 1000 // reported at once
)

// Source is a text with documents. Name is shown in errors: a file name.
type Source struct{ Name, Text string }

// chunk is the text of one YAML document.
type chunk struct {
	source    string
	text      string
	firstLine int // lines of the source before it
}

// split cuts sources at the lines that separate YAML documents. Each document
// is parsed by itself, so that a syntax error hides nothing of the others. YAML
// allows "---" at the start of a line nowhere else.
func split(sources []Source) ([]chunk, []fleet.FieldError) {
	total := 0
	for _, s := range sources {
		total += len(s.Text)
	}
	if total > MaxBytes {
		return nil, []fleet.FieldError{{Message: fmt.Sprintf(
			"the documents have %d bytes together: give at most %d at once", total, MaxBytes)}}
	}
	var chunks []chunk
	for _, s := range sources {
		chunks = append(chunks, splitOne(s)...)
		if len(chunks) > MaxDocuments {
			return nil, []fleet.FieldError{{Source: s.Name, Message: fmt.Sprintf(
				"there are more than %d documents: give fewer at once", MaxDocuments)}}
		}
	}
	return chunks, nil
}

func splitOne(s Source) []chunk {
	var chunks []chunk
	text := strings.TrimPrefix(s.Text, "\ufeff")
	start, startLine, line := 0, 0, 0
	end := func(at int) {
		if c := text[start:at]; !blank(c) {
			chunks = append(chunks, chunk{s.Name, c, startLine})
		}
	}
	for at := 0; at < len(text); line++ {
		next := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		switch marker(text[at:next]) {
		case "---":
			end(at)
			start, startLine = at, line
		case "...":
			end(at)
			start, startLine = next, line+1
		}
		at = next
	}
	end(len(text))
	return chunks
}

// marker is "---" or "..." for a line that separates documents.
func marker(line string) string {
	for _, m := range []string{"---", "..."} {
		if rest, ok := strings.CutPrefix(line, m); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\r\n")) {
			return m
		}
	}
	return ""
}

// blank says that a document holds nothing but comments and directives.
func blank(text string) bool {
	for line := range strings.Lines(strings.TrimPrefix(text, "---")) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}
