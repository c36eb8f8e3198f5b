package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/store"
)

// appliedSetting lists the objects that apply has made or taken over, which are
// the ones that prune may delete.
const appliedSetting = "applied_objects"

// ApplyDocument is a text with YAML documents.
type ApplyDocument struct {
	Source string `json:"source" maxLength:"4096" doc:"Name of the file, shown in errors." example:"pool.yaml"`
	Text   string `json:"text" doc:"YAML documents."`
}

// ApplyRequest asks for a set of objects.
type ApplyRequest struct {
	Documents []ApplyDocument `json:"documents" maxItems:"10000"`
	DryRun    bool            `json:"dry_run,omitempty" doc:"Only say what would change."`
	Prune     bool            `json:"prune,omitempty" doc:"Delete objects that an earlier apply made and that the documents lack."`
}

// ApplyResult says what was done, or would be.
type ApplyResult struct {
	Applied bool     `json:"applied" doc:"False for a dry run."`
	Changes []Change `json:"changes"`
}

// Apply makes the objects be as the documents say, all of them in one
// transaction or none. Everything that is wrong is reported at once, with file,
// line and path.
func (s *Service) Apply(ctx context.Context, p auth.Principal, r ApplyRequest) (ApplyResult, error) {
	if err := p.Need(auth.Configure); err != nil {
		return ApplyResult{}, err
	}
	var sources []manifest.Source
	for _, d := range r.Documents {
		sources = append(sources, manifest.Source{Name: d.Source, Text: d.Text})
	}
	docs, broken, fields := manifest.Parse(sources, s.kindSettings())
	if len(docs) == 0 && len(fields) == 0 && !r.Prune {
		fields = append(fields, fleet.FieldError{Path: "documents", Message: "there is no document in them"})
	}
	var out ApplyResult
	run := s.Store.Write
	if r.DryRun {
		run = s.Store.Read
	}
	err := run(ctx, func(tx *store.Tx) error {
		applied, err := readApplied(tx)
		if err != nil {
			return err
		}
		var deletes []ref
		if r.Prune && len(fields) == 0 {
			if deletes, err = missing(tx, applied, docs); err != nil {
				return err
			}
		}
		set, err := s.compare(tx, slices.Clone(docs), broken, deletes)
		if err := withParseErrors(fields, err, r.Documents); err != nil {
			return err
		}
		out = ApplyResult{Changes: set.changes}
		if r.DryRun {
			return nil
		}
		if err := s.write(tx, set, p.Actor()); err != nil {
			return err
		}
		out.Applied = true
		return writeApplied(tx, applied, set.changes)
	})
	return out, err
}

// withParseErrors joins what the parser found with what the comparison found,
// in the order of files and lines. A missing reference is left out when a
// document that could not be read may be what is referred to.
func withParseErrors(fields []fleet.FieldError, err error, documents []ApplyDocument) error {
	if len(fields) == 0 {
		return err
	}
	all := slices.Clone(fields)
	var e *fleet.Error
	if errors.As(err, &e) && e.Code == fleet.CodeInvalid {
		for _, f := range e.Fields {
			name, _ := f.Value.(string)
			if !strings.HasPrefix(f.Message, missingReference) || !mentions(documents, name) {
				all = append(all, f)
			}
		}
	}
	slices.SortStableFunc(all, bySource)
	return fleet.Invalid("documents", all)
}

// mentions says that some document has the name.
func mentions(documents []ApplyDocument, name string) bool {
	named := regexp.MustCompile(`name["']?\s*:\s*["']?` + regexp.QuoteMeta(name) + `(["'\s,}]|$)`)
	return slices.ContainsFunc(documents, func(d ApplyDocument) bool { return named.MatchString(d.Text) })
}

// bySource orders errors by file and line.
func bySource(a, b fleet.FieldError) int {
	split := func(s string) (string, int) {
		i := strings.LastIndexByte(s, ':')
		if i < 0 {
			return s, 0
		}
		line, _ := strconv.Atoi(s[i+1:])
		return s[:i], line
	}
	fileA, lineA := split(a.Source)
	fileB, lineB := split(b.Source)
	return cmp.Or(strings.Compare(fileA, fileB), lineA-lineB)
}

func readApplied(tx *store.Tx) (map[ref]bool, error) {
	text, err := tx.Setting(appliedSetting)
	if err != nil {
		return nil, fmt.Errorf("reading what has been applied: %w", err)
	}
	applied := map[ref]bool{}
	if text == "" {
		return applied, nil
	}
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("reading what has been applied: %w", err)
	}
	for _, one := range list {
		kind, name, _ := strings.Cut(one, "/")
		applied[ref{fleet.Kind(kind), name}] = true
	}
	return applied, nil
}

func writeApplied(tx *store.Tx, applied map[ref]bool, changes []Change) error {
	changed := false
	for _, c := range changes {
		r := ref{c.Kind, c.Name}
		if had := applied[r]; had == (c.Action == ActionDelete) {
			changed = true
		}
		applied[r] = c.Action != ActionDelete
	}
	if !changed {
		return nil
	}
	list := []string{}
	for r, in := range applied {
		if in {
			list = append(list, string(r.kind)+"/"+r.name)
		}
	}
	slices.Sort(list)
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := tx.SetSetting(appliedSetting, string(text)); err != nil {
		return fmt.Errorf("recording what has been applied: %w", err)
	}
	return nil
}

// missing lists the applied objects that exist and that no document mentions.
func missing(tx *store.Tx, applied map[ref]bool, docs []manifest.Document) ([]ref, error) {
	wanted := map[ref]bool{}
	for _, d := range docs {
		wanted[ref{d.Kind, d.Meta.Name}] = true
	}
	var list []ref
	for _, kind := range fleet.Kinds() {
		objects, err := tx.Objects(kind)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", kind.Plural(), err)
		}
		for _, o := range objects {
			if r := (ref{kind, o.Name}); applied[r] && !wanted[r] {
				list = append(list, r)
			}
		}
	}
	return list, nil
}
