package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// maxManifests is the size of all manifests of one command that the API takes.
const maxManifests = 8 << 20

// documents reads what the -f flags name.
func (a *app) documents(sources []string, recursive bool) ([]client.Document, error) {
	if len(sources) == 0 {
		return nil, usagef("-f is missing: name a file, a directory or - for standard input")
	}
	var files []string
	for _, source := range sources {
		found, err := expand(source, recursive)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	var docs []client.Document
	left := int64(maxManifests)
	for _, name := range files {
		text, err := a.readManifest(name, left)
		if err != nil {
			return nil, err
		}
		left -= int64(len(text))
		if name == "-" {
			name = "stdin"
		}
		docs = append(docs, client.Document{Source: name, Text: text})
	}
	return docs, nil
}

// expand lists the manifests in a directory, sorted; anything else stands for
// itself.
func expand(source string, recursive bool) ([]string, error) {
	if source == "-" {
		return []string{source}, nil
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, fileError(source, err)
	}
	if !info.IsDir() {
		return []string{filepath.Clean(source)}, nil
	}
	var files []string
	err = filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fileError(path, err)
		case d.IsDir() && path != source && (!recursive || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		hint := ""
		if !recursive {
			hint = " (directories below it are read with -R)"
		}
		return nil, fleet.Errorf(fleet.CodeInvalid, "the directory %s holds no file *.yaml, *.yml or *.json%s", source, hint)
	}
	return files, nil
}

func fileError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fleet.Errorf(fleet.CodeInvalid, "%s does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return fleet.Errorf(fleet.CodeInvalid, "%s is not readable for this user", name)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

func (a *app) readManifest(name string, limit int64) (string, error) {
	in := a.streams.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fileError(name, err)
		}
		defer func() { _ = f.Close() }()
		in = f
	} else if a.streams.InTTY {
		a.say("reading manifests from the terminal; end with ctrl-D\n")
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return "", fileError(name, err)
	}
	if int64(len(data)) > limit {
		return "", fleet.Errorf(fleet.CodeTooLarge, "the manifests are larger than %d MiB together (at %s): apply them in parts", maxManifests>>20, name)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		line := 1
		for rest := data; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 {
				break
			}
			if r == '\n' {
				line++
			}
			rest = rest[n:]
		}
		return "", fleet.Errorf(fleet.CodeInvalid, "%s:%d: the text is not valid UTF-8: save the file as UTF-8", name, line)
	}
	return string(data), nil
}

// target is an object that a manifest names.
type target struct {
	kind   kind
	name   string
	source string
}

// targets reads which objects the documents name, so that they can be deleted.
// Every document that names none is an error.
func targets(docs []client.Document) ([]target, error) {
	var out []target
	var wrong []fleet.FieldError
	for _, doc := range docs {
		dec := yaml.NewDecoder(strings.NewReader(doc.Text))
		for {
			var node yaml.Node
			err := dec.Decode(&node)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				wrong = append(wrong, fleet.FieldError{Source: doc.Source, Message: strings.TrimPrefix(err.Error(), "yaml: ")})
				break
			}
			if len(node.Content) == 0 || node.Content[0].Tag == "!!null" {
				continue
			}
			source := fmt.Sprintf("%s:%d", doc.Source, node.Content[0].Line)
			var m struct {
				Kind     string `yaml:"kind"`
				Metadata struct {
					Name string `yaml:"name"`
				} `yaml:"metadata"`
			}
			if err := node.Decode(&m); err != nil {
				wrong = append(wrong, fleet.FieldError{Source: source, Message: "this is no manifest: it must be a mapping with kind and metadata.name"})
				continue
			}
			k, err := findKind(m.Kind)
			switch {
			case m.Kind == "" || err != nil || k.configured == "":
				wrong = append(wrong, fleet.FieldError{Source: source, Path: "kind", Message: fmt.Sprintf("%q is no kind: write one of %s", m.Kind, joined(fleet.Kinds()))})
			case m.Metadata.Name == "":
				wrong = append(wrong, fleet.FieldError{Source: source, Path: "metadata.name", Message: "the name is missing"})
			default:
				out = append(out, target{k, m.Metadata.Name, source})
			}
		}
	}
	return out, fleet.Invalid("manifests", wrong)
}
