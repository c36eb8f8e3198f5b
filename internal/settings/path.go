package settings

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// nameCharacters are those of keys that stand in a path without quotes.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// join adds a key to a path: spec.standby, labels["a.b"].
func join(path, key string) string {
	switch {
	case key == "" || strings.Trim(key, nameCharacters) != "":
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// joinPath adds a relative path to a path.
func joinPath(path, rel string) string {
	if path == "" || rel == "" || rel[0] == '[' {
		return path + rel
	}
	return path + "." + rel
}

// index adds the position in a list to a path.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Line is the line of the field with the given path below n, or of the nearest
// thing around it that is there: its mapping when the field is missing.
func Line(n *yaml.Node, path string) int {
	return find(n, path).Line
}

// find follows a path as far as it goes. For a field of a mapping it answers
// the key, whose line is where people look.
func find(n *yaml.Node, path string) *yaml.Node {
	n = resolve(n)
	shown := n
	for path != "" {
		key, position, rest, ok := step(path)
		if !ok {
			return shown
		}
		path = rest
		next := (*yaml.Node)(nil)
		switch {
		case n.Kind == yaml.SequenceNode && position >= 0 && position < len(n.Content):
			next = resolve(n.Content[position])
			shown = next
		case n.Kind == yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if k := resolve(n.Content[i]); k.Kind == yaml.ScalarNode && k.Value == key {
					shown, next = k, resolve(n.Content[i+1])
					break
				}
			}
		}
		if next == nil {
			return shown
		}
		n = next
	}
	return shown
}

// step takes the first key or position off a path.
func step(path string) (key string, position int, rest string, ok bool) {
	path = strings.TrimPrefix(path, ".")
	if !strings.HasPrefix(path, "[") {
		rest = strings.TrimLeft(path, nameCharacters)
		return path[:len(path)-len(rest)], -1, rest, len(rest) < len(path)
	}
	if quoted, err := strconv.QuotedPrefix(path[1:]); err == nil {
		key, err = strconv.Unquote(quoted)
		rest, ok = strings.CutPrefix(path[1+len(quoted):], "]")
		return key, -1, rest, ok && err == nil
	}
	digits, rest, ok := strings.Cut(path[1:], "]")
	position, err := strconv.Atoi(digits)
	return "", position, rest, ok && err == nil
}

// JoinKey adds a key to a path: spec.standby, labels["a.b"].
func JoinKey(path, key string) string { return join(path, key) }
