package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of one document. They stop documents that unfold into far more than
// they weigh.
const (
	maxDepth = 64      // lists and mappings inside of one another
	maxNodes = 100_000 // values, with those that aliases repeat
)

// CheckTree returns an error when the document is nested too deeply, holds too
// many values, counting each repetition through an alias, or has an alias that
// contains itself. Nothing else of this package is safe on a node that has not
// passed; the Decode functions check by themselves.
func CheckTree(n *yaml.Node) error {
	left := maxNodes
	return checkTree(n, 0, &left)
}

func checkTree(n *yaml.Node, depth int, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("holds more than %d values: split it", maxNodes)
	}
	if depth > maxDepth {
		return fmt.Errorf("is nested more than %d levels deep, or an alias contains itself", maxDepth)
	}
	if strings.ContainsRune(n.Value, 0) {
		return errors.New("holds a NUL character: remove it")
	}
	if n.Kind == yaml.AliasNode {
		if n.Alias == nil {
			return errors.New("has an alias without an anchor")
		}
		return checkTree(n.Alias, depth+1, left)
	}
	for _, c := range n.Content {
		if err := checkTree(c, depth+1, left); err != nil {
			return err
		}
	}
	return nil
}

// resolve follows aliases and the wrapper of a document.
func resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		switch {
		case n.Kind == yaml.AliasNode && n.Alias != nil:
			n = n.Alias
		case n.Kind == yaml.DocumentNode && len(n.Content) > 0:
			n = n.Content[0]
		default:
			return n
		}
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// number reads a YAML or JSON number. Whole numbers come as int64, also when
// they are written as 10.0 or 1e3.
func number(n *yaml.Node) (i int64, f float64, whole, ok bool) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
		return 0, 0, false, false
	}
	if n.Decode(&i) == nil && tag == "!!int" {
		return i, float64(i), true, true
	}
	if n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, 0, false, false
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f), f, true, true
	}
	return 0, f, false, true
}

// plain turns a checked node into what encoding/json would have read, with
// whole numbers as int64. Keys that are no scalars are left out.
func plain(n *yaml.Node) any {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := resolve(n.Content[i]); k.Kind == yaml.ScalarNode {
				m[k.Value] = plain(n.Content[i+1])
			}
		}
		return m
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, c := range n.Content {
			l[i] = plain(c)
		}
		return l
	}
	return scalar(n)
}

// scalar is the value of a node that is neither list nor mapping, nil of one
// that is.
func scalar(n *yaml.Node) any {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		return nil
	}
	if i, f, whole, ok := number(n); ok {
		if whole {
			return i
		}
		return f
	}
	var b bool
	if n.ShortTag() == "!!bool" && n.Decode(&b) == nil {
		return b
	}
	return n.Value
}

// Plain turns a node into maps, lists, text, int64, float64, bool and nil. It
// answers nil for a node that [CheckTree] refuses.
func Plain(n *yaml.Node) any {
	if n == nil || CheckTree(n) != nil {
		return nil
	}
	return plain(n)
}

// ParseJSON reads one JSON value strictly into a node, so that JSON and YAML
// are decoded by the same code. Repeated keys are kept for the decoder to see.
func ParseJSON(data []byte) (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	n, err := jsonValue(dec, 0)
	if err != nil {
		return nil, jsonError(data, dec, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has text after the end of the JSON value")
	}
	return n, nil
}

// jsonError says where JSON breaks, without quoting what is there.
func jsonError(data []byte, dec *json.Decoder, err error) error {
	at := dec.InputOffset()
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = s.Offset
	}
	line := 1 + bytes.Count(data[:min(at, int64(len(data)))], []byte("\n"))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("is not JSON: it ends too early, in line %d", line)
	}
	if errors.Is(err, errTooDeep) {
		return err
	}
	return fmt.Errorf("is not JSON: syntax error in line %d, byte %d", line, at)
}

var errTooDeep = fmt.Errorf("is nested more than %d levels deep", maxDepth)

func jsonValue(dec *json.Decoder, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for dec.More() {
			c, err := jsonValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, c)
		}
		_, err := dec.Token()
		return n, err
	case string:
		return textNode(t), nil
	case json.Number:
		return numberNode(t.String()), nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(t)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

func textNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func numberNode(s string) *yaml.Node {
	tag := "!!int"
	if strings.ContainsAny(s, ".eE") {
		tag = "!!float"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s}
}

// nodeOf turns plain values back into a node.
func nodeOf(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	case string:
		return textNode(v), nil
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, k := range sortedKeys(v) {
			c, err := nodeOf(v[k])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, textNode(k), c)
		}
		return n, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("reading a value of type %s: %w", reflect.TypeOf(v), err)
	}
	return ParseJSON(data)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
