package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Lookup finds the settings of a provider kind by its name. newSettings makes a
// pointer to its zero settings struct; known lists every name, for the error
// about an unknown one.
type Lookup func(name string) (newSettings func() any, known []string, ok bool)

// KindSettings knows the kinds of providers. A nil Lookup knows none.
type KindSettings struct {
	VM  Lookup // of VMProvider
	DNS Lookup // of DNSProvider

	// Channel says how startup scripts reach machines of a kind with settings that
	// have no fault; nil: scripts are checked for nothing but their variables.
	Channel func(kind string, settings any) startup.Channel
}

// Document is one object that was read.
type Document struct {
	Source   string // "file:line" where it begins; "" when it did not come from a file
	Kind     fleet.Kind
	Meta     fleet.Meta
	Spec     any            // pointer to the fleet spec struct of the kind, without defaults
	Settings any            // pointer to the settings struct of the provider kind, without defaults; nil for kinds without settings
	RawSpec  map[string]any // the spec as it was written, secrets included
	Warnings []string       // what may be meant so, path first

	// Line is "file:line" of the field with the given path, such as
	// spec.standby.cores, or of what is around it when it is absent.
	Line func(path string) string
}

// NewSpec makes a pointer to the zero spec of a kind, nil for an unknown kind.
func NewSpec(kind fleet.Kind) any {
	switch kind {
	case fleet.KindZone:
		return &fleet.ZoneSpec{}
	case fleet.KindPool:
		return &fleet.PoolSpec{}
	case fleet.KindVMProvider:
		return &fleet.VMProviderSpec{}
	case fleet.KindDNSProvider:
		return &fleet.DNSProviderSpec{}
	case fleet.KindAutoscaleConfig:
		return &fleet.AutoscaleConfigSpec{}
	case fleet.KindSchedule:
		return &fleet.ScheduleSpec{}
	case fleet.KindStaging:
		return &fleet.StagingSpec{}
	}
	return nil
}

// Parse reads every document of every source and reports everything that is
// wrong with them, in their order. The documents in right have no error of
// their own; nothing should be done with them unless there is no error at all.
// Those in wrong have a kind and a name, and as much of their spec as could be
// read: what they refer to can still be checked.
//
// A required secret may be absent, since the stored one is kept then; whoever
// merges them checks again with settings.DecodeMap.
func Parse(sources []Source, kinds KindSettings) (right, wrong []Document, problems []fleet.FieldError) {
	chunks, problems := split(sources)
	first := map[string]string{} // kind and name: where
	for _, c := range chunks {
		if len(problems) >= maxErrors {
			problems = append(problems[:maxErrors], fleet.FieldError{Source: c.source, Message: fmt.Sprintf(
				"there are more than %d problems: only the first ones are shown", maxErrors)})
			break
		}
		doc, found := parseChunk(c, kinds)
		if doc.Meta.Name != "" && doc.Kind != "" {
			key := string(doc.Kind) + "/" + doc.Meta.Name
			if where, ok := first[key]; ok {
				found = append(found, fleet.FieldError{
					Source: doc.Line("metadata.name"), Path: "metadata.name", Value: doc.Meta.Name,
					Message: fmt.Sprintf("%s %s is already in %s: remove or rename one of them", doc.Kind, doc.Meta.Name, where),
				})
			} else {
				first[key] = doc.Source
			}
		}
		problems = append(problems, found...)
		switch {
		case doc.Kind == "":
		case len(found) == 0:
			right = append(right, doc)
		case doc.Meta.Name != "":
			wrong = append(wrong, doc)
		}
	}
	return right, wrong, problems
}

// FromJSON reads one object whose kind and metadata are known, as the API
// receives it; spec is JSON. The errors are those of Parse without lines.
func FromJSON(kind fleet.Kind, meta fleet.Meta, spec []byte, kinds KindSettings) (Document, []fleet.FieldError) {
	doc := Document{Kind: kind, Meta: meta, Spec: NewSpec(kind), Line: func(string) string { return "" }}
	problems := checkMeta(meta)
	if doc.Spec == nil {
		return doc, append(problems, fleet.FieldError{Path: "kind", Value: string(kind), Message: unknownKind(string(kind))})
	}
	n, err := settings.ParseJSON(spec)
	if err != nil {
		return doc, append(problems, fleet.FieldError{Path: "spec", Message: err.Error()})
	}
	return doc, append(problems, doc.decodeSpec(n, kinds, settings.Options{})...)
}

// envelope is the outer form of every document.
type envelope struct {
	APIVersion string    `json:"apiVersion" example:"headroom.dev/v1"`
	Kind       string    `json:"kind" example:"Pool"`
	Metadata   metadata  `json:"metadata"`
	Spec       yaml.Node `json:"spec" doc:"The fields of the kind."`
}

type metadata struct {
	Name   string            `json:"name" example:"desktops"`
	Labels map[string]string `json:"labels,omitempty"`
}

func parseChunk(c chunk, kinds KindSettings) (Document, []fleet.FieldError) {
	at := func(line int) string { return c.source + ":" + strconv.Itoa(c.firstLine+line) }
	if len(c.text) > MaxDocumentBytes {
		return Document{}, []fleet.FieldError{{Source: at(1), Message: fmt.Sprintf(
			"the document has %d bytes: a document has at most %d", len(c.text), MaxDocumentBytes)}}
	}
	var root yaml.Node
	if err := unmarshal(c.text, &root); err != nil {
		line, message := syntaxError(err)
		return Document{}, []fleet.FieldError{{Source: at(max(line, 1)), Message: message}}
	}
	if root.Kind == 0 || len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		return Document{}, nil
	}
	o := settings.Options{Source: c.source, FirstLine: c.firstLine}
	var outer envelope
	problems := settings.DecodeYAML(&root, &outer, o)
	doc := Document{
		Source: at(root.Content[0].Line),
		Line:   func(path string) string { return at(settings.Line(&root, path)) },
	}
	if slices.ContainsFunc(problems, func(e fleet.FieldError) bool { return e.Path == "" }) {
		return doc, problems // no mapping at all, or too large
	}
	locate := func(found []fleet.FieldError) []fleet.FieldError {
		for i := range found {
			found[i].Source = doc.Line(found[i].Path)
		}
		return found
	}
	if v := outer.APIVersion; v != "" && v != fleet.APIVersion {
		problems = append(problems, locate([]fleet.FieldError{{Path: "apiVersion", Value: v, Message: fmt.Sprintf(
			"%q is not a version that is understood: write apiVersion: %s", v, fleet.APIVersion)}})...)
	}
	doc.Meta = fleet.Meta{Name: outer.Metadata.Name, Labels: outer.Metadata.Labels}
	problems = append(problems, locate(remaining(each(checkMeta(doc.Meta)), problems))...)
	if doc.Spec = NewSpec(fleet.Kind(outer.Kind)); doc.Spec == nil {
		if outer.Kind != "" {
			// Which fields the spec has is not known before the kind is.
			problems = slices.DeleteFunc(problems, func(e fleet.FieldError) bool { return e.Path == "spec" })
			problems = append(problems, locate([]fleet.FieldError{{Path: "kind", Value: outer.Kind, Message: unknownKind(outer.Kind)}})...)
		}
		return doc, problems
	}
	doc.Kind = fleet.Kind(outer.Kind)
	if outer.Spec.Kind == 0 {
		return doc, sorted(problems)
	}
	return doc, sorted(append(problems, doc.decodeSpec(&outer.Spec, kinds, o)...))
}

// decodeSpec fills the spec and the settings from a node and answers everything
// that is wrong with them.
func (d *Document) decodeSpec(n *yaml.Node, kinds KindSettings, o settings.Options) []fleet.FieldError {
	o.Path, o.KeepSecrets = "spec", true
	problems := settings.DecodeYAML(n, d.Spec, o)
	d.RawSpec, _ = settings.Plain(n).(map[string]any)

	target, e := settingsFor(d.Spec, kinds)
	if e != nil {
		e.Source = d.Line(e.Path)
		problems = append(problems, *e)
	}
	if target != nil && !has(problems, "spec.settings") {
		o.Path = "spec.settings"
		for _, e := range settings.DecodeYAML(child(n, "settings"), target, o) {
			seen := func(p fleet.FieldError) bool {
				return p.Path == e.Path && p.Message == e.Message && p.Source == e.Source
			}
			if !slices.ContainsFunc(problems, seen) { // a repeated key is seen without the struct too
				problems = append(problems, e)
			}
		}
		d.Settings = target
	}
	problems = append(problems, d.checkScript(kinds, problems)...)
	for _, e := range remaining(checkSpec(d.Spec), problems) {
		e.Source = d.Line(e.Path)
		problems = append(problems, e)
	}
	return problems
}

func has(problems []fleet.FieldError, path string) bool {
	return slices.ContainsFunc(problems, func(e fleet.FieldError) bool { return e.Path == path })
}

// unmarshal parses the one document of a text. The parser reports some broken
// texts by a panic.
func unmarshal(text string, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the text is broken")
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(n); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var rest yaml.Node
	switch err := dec.Decode(&rest); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("line %d: text after the end of the document: put --- between documents", rest.Line)
}

var (
	yamlLine = regexp.MustCompile(`^line (\d+): `)

	// The parser counts lines from 0 in these errors and from 1 in all others.
	lineFromZero = regexp.MustCompile(`^did not find expected (<|node content|'-' indicator|key|',' or)`)
)

// syntaxError words an error of the YAML parser for people. Names of aliases
// are not repeated: what was meant may be a password that begins with *.
func syntaxError(err error) (line int, message string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
		if lineFromZero.MatchString(text) {
			line++
		}
	}
	switch {
	case strings.HasPrefix(text, "unknown anchor"):
		text = "a value begins with * but names no anchor: put the value in quotes"
	case strings.Contains(text, "found character that cannot start any token"):
		text += " (indent with spaces, not tabs, and put text that begins with @, ` or % in quotes)"
	case strings.Contains(text, "mapping values are not allowed"):
		text += " (check the indentation, and put text that holds \": \" in quotes)"
	}
	return line, "the YAML cannot be read: " + text
}

// child is the value of a key of a mapping, an empty mapping without it.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
}

// settingsFor makes the settings struct for the provider kind that a spec
// names: nil for specs without settings and for a kind that is unknown, which
// is an error.
func settingsFor(spec any, kinds KindSettings) (any, *fleet.FieldError) {
	var name, what string
	var find Lookup
	switch s := spec.(type) {
	case *fleet.VMProviderSpec:
		name, find, what = s.Provider, kinds.VM, "VM provider kind"
	case *fleet.DNSProviderSpec:
		name, find, what = s.Provider, kinds.DNS, "DNS provider kind"
	}
	if name == "" {
		return nil, nil // no provider, or reported as missing or wrong already
	}
	var known []string
	if find != nil {
		newSettings, names, ok := find(name)
		if ok {
			return newSettings(), nil
		}
		known = names
	}
	return nil, &fleet.FieldError{Path: "spec.provider", Value: name, Message: settings.Unknown(what, name, known)}
}

func unknownKind(kind string) string {
	var known []string
	for _, k := range fleet.Kinds() {
		known = append(known, string(k))
	}
	return settings.Unknown("kind", kind, known)
}

// sorted puts the problems of one document into the order of its lines.
func sorted(problems []fleet.FieldError) []fleet.FieldError {
	line := func(e fleet.FieldError) int {
		n, _ := strconv.Atoi(e.Source[strings.LastIndexByte(e.Source, ':')+1:])
		return n
	}
	slices.SortStableFunc(problems, func(a, b fleet.FieldError) int { return cmp.Compare(line(a), line(b)) })
	return problems
}
