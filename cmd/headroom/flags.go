package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// maxConfigFile bounds a configuration file, in bytes.
const maxConfigFile = 1 << 20

// fill gives flags that were not set on the command line their values from the
// environment (HEADROOM_DATA_DIR for --data-dir) and then from a YAML file
// whose keys are the names of the flags. Everything wrong with the file is
// reported at once. Flags named in except are not read from either.
func fill(flags *pflag.FlagSet, env func(string) string, file string, except ...string) error {
	var wrong []misfit
	values, err := readConfig(file)
	if err != nil {
		return err
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(except, f.Name) {
			return
		}
		names = append(names, f.Name)
		from, value, line := "", "", 0
		if v, ok := values[f.Name]; ok {
			from, value, line = v.source, v.text, v.line
		}
		if v := env("HEADROOM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))); v != "" {
			from, value, line = "environment", v, 0
		}
		if from == "" || f.Changed {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			wrong = append(wrong, misfit{line, fleet.FieldError{Source: from, Path: f.Name, Value: value, Message: "is not a valid value for this setting"}})
		}
	})
	for name, v := range values {
		if !slices.Contains(names, name) {
			wrong = append(wrong, misfit{v.line, fleet.FieldError{Source: v.source, Path: name, Message: settings.Unknown("setting", name, names)}})
		}
	}
	slices.SortFunc(wrong, func(a, b misfit) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.err.Path, b.err.Path))
	})
	list := make([]fleet.FieldError, len(wrong))
	for i, m := range wrong {
		list[i] = m.err
	}
	return fleet.Invalid("the configuration cannot be used", list)
}

// misfit is a setting that cannot be used, with its line in the file; 0: it
// comes from the environment.
type misfit struct {
	line int
	err  fleet.FieldError
}

type configValue struct {
	source, text string
	line         int
}

// readConfig reads a flat YAML mapping; lists become comma-separated.
func readConfig(path string) (map[string]configValue, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the configuration file cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil || len(b) > maxConfigFile {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the configuration file %s cannot be read or is larger than %d bytes", path, maxConfigFile)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the configuration file %s is not YAML: %w", path, err)
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	m := root.Content[0]
	if m.Kind != yaml.MappingNode {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the configuration file %s must be a mapping of settings, for example `listen: 127.0.0.1:8080`", path)
	}
	out := map[string]configValue{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		text := value.Value
		if value.Kind == yaml.SequenceNode {
			var items []string
			for _, n := range value.Content {
				items = append(items, n.Value)
			}
			text = strings.Join(items, ",")
		}
		out[strings.ReplaceAll(key.Value, "_", "-")] = configValue{source: fmt.Sprintf("%s:%d", path, key.Line), text: text, line: key.Line}
	}
	return out, nil
}
