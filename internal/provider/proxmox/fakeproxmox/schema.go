package fakeproxmox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Schema is the published description of the API.
type Schema struct {
	routes []*route
}

type route struct {
	path     string
	segments []string
	methods  map[string]*endpoint
}

type endpoint struct {
	Parameters struct {
		Additional json.RawMessage       `json:"additionalProperties"`
		Properties map[string]*parameter `json:"properties"`
	} `json:"parameters"`
	Permissions struct {
		Check []any  `json:"check"`
		User  string `json:"user"`
	} `json:"permissions"`
	ProxyTo string `json:"proxyto"`
}

type parameter struct {
	Type       string          `json:"type"`
	Optional   loose           `json:"optional"`
	Enum       []any           `json:"enum"`
	Pattern    string          `json:"pattern"`
	Format     json.RawMessage `json:"format"`
	Minimum    loose           `json:"minimum"`
	Maximum    loose           `json:"maximum"`
	MinLength  loose           `json:"minLength"`
	MaxLength  loose           `json:"maxLength"`
	Requires   string          `json:"requires"`
	Items      *parameter      `json:"items"`
	DefaultKey loose           `json:"default_key"`
	Alias      string          `json:"alias"`
	KeyAlias   string          `json:"keyAlias"`
}

// loose is a number that the schema writes as a number or as text; NaN when it
// is absent.
type loose struct {
	set   bool
	value float64
}

func (l *loose) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil {
		l.set, l.value = true, v
	}
	return nil
}

// LoadSchema reads the file apidata.js of the API viewer. It is large: load it
// once.
func LoadSchema(path string) (*Schema, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the API schema of Proxmox VE: %w", err)
	}
	start := bytes.IndexByte(text, '[')
	if start < 0 {
		return nil, errors.New("the API schema of Proxmox VE holds no list")
	}
	type node struct {
		Path     string               `json:"path"`
		Info     map[string]*endpoint `json:"info"`
		Children []json.RawMessage    `json:"children"`
	}
	s := &Schema{}
	var walk func(raw []json.RawMessage) error
	walk = func(raw []json.RawMessage) error {
		for _, r := range raw {
			var n node
			if err := json.Unmarshal(r, &n); err != nil {
				return fmt.Errorf("reading the API schema of Proxmox VE: %w", err)
			}
			if len(n.Info) > 0 {
				s.routes = append(s.routes, &route{path: n.Path, segments: strings.Split(strings.Trim(n.Path, "/"), "/"), methods: n.Info})
			}
			if err := walk(n.Children); err != nil {
				return err
			}
		}
		return nil
	}
	var top []json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(text[start:])).Decode(&top); err != nil {
		return nil, fmt.Errorf("reading the API schema of Proxmox VE: %w", err)
	}
	if err := walk(top); err != nil {
		return nil, err
	}
	return s, nil
}

// match finds the route of a path, the one with the fewest placeholders.
func (s *Schema) match(path string) (*route, map[string]string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var best *route
	var bound map[string]string
	for _, r := range s.routes {
		if len(r.segments) != len(parts) {
			continue
		}
		values, ok := map[string]string{}, true
		for i, seg := range r.segments {
			if strings.HasPrefix(seg, "{") {
				v, err := url.PathUnescape(parts[i])
				values[strings.Trim(seg, "{}")], ok = v, ok && err == nil
			} else if seg != parts[i] {
				ok = false
			}
		}
		if ok && (best == nil || len(values) < len(bound)) {
			best, bound = r, values
		}
	}
	return best, bound
}

// faults lists what is wrong with the parameters of a call.
func (e *endpoint) faults(params map[string]any) map[string]string {
	wrong := map[string]string{}
	for name, p := range e.Parameters.Properties {
		if !p.Optional.set || p.Optional.value == 0 {
			if _, given := params[name]; !given && !strings.HasSuffix(name, "[n]") {
				wrong[name] = "property is missing and it is not optional"
			}
		}
	}
	for name, value := range params {
		p := e.Parameters.Properties[name]
		if p == nil {
			stem := strings.TrimRight(name, "0123456789")
			if p = e.Parameters.Properties[stem+"[n]"]; p == nil || stem == name {
				wrong[name] = "property is not defined in schema and the schema does not allow additional properties"
				continue
			}
		}
		if p.Requires != "" {
			if _, given := params[p.Requires]; !given {
				wrong[name] = "missing property '" + p.Requires + "' required by this property"
			}
		}
		if err := p.check(value); err != nil {
			wrong[name] = err.Error()
		}
	}
	return wrong
}

func (p *parameter) check(value any) error {
	if list, ok := value.([]any); ok {
		if p.Type != "array" {
			return fmt.Errorf("type check ('%s') failed - got a list", p.Type)
		}
		for _, v := range list {
			if p.Items != nil {
				if err := p.Items.check(v); err != nil {
					return err
				}
			}
		}
		return nil
	}
	text, ok := asText(value)
	if !ok {
		return fmt.Errorf("type check ('%s') failed", p.Type)
	}
	switch p.Type {
	case "array":
		return errors.New("type check ('array') failed")
	case "boolean":
		if !slices.Contains([]string{"0", "1", "true", "false", "yes", "no", "on", "off"}, strings.ToLower(text)) {
			return fmt.Errorf("type check ('boolean') failed - got '%s'", text)
		}
	case "integer", "number":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || p.Type == "integer" && n != math.Trunc(n) {
			return fmt.Errorf("type check ('%s') failed - got '%s'", p.Type, text)
		}
		if p.Minimum.set && n < p.Minimum.value || p.Maximum.set && n > p.Maximum.value {
			return fmt.Errorf("value must lie between %v and %v", p.Minimum.value, p.Maximum.value)
		}
	}
	if n := len([]rune(text)); p.MaxLength.set && n > int(p.MaxLength.value) || p.MinLength.set && n < int(p.MinLength.value) {
		return fmt.Errorf("value may only be %v characters long", p.MaxLength.value)
	}
	if len(p.Enum) > 0 && !slices.ContainsFunc(p.Enum, func(e any) bool { t, _ := asText(e); return t == text }) {
		return fmt.Errorf("value '%s' does not have a value in the enumeration '%v'", text, p.Enum)
	}
	if p.Pattern != "" {
		if re, err := regexp.Compile("^(?:" + goPattern(p.Pattern) + ")$"); err == nil && !re.MatchString(text) {
			return fmt.Errorf("value does not match the regex pattern")
		}
	}
	return p.checkFormat(text)
}

// goPattern writes the one construct of Perl that Go lacks: (?^:…).
func goPattern(p string) string {
	return strings.NewReplacer("(?^:", "(?:", "(?^i:", "(?i:").Replace(p)
}

func asText(v any) (string, bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case bool:
		if t {
			return "1", true
		}
		return "0", true
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64), true
	case json.Number:
		return t.String(), true
	}
	return "", false
}

var (
	configID = regexp.MustCompile(`^[A-Za-z][\w-]+$`)
	formats  = map[string]*regexp.Regexp{
		"pve-vmid":          regexp.MustCompile(`^[1-9][0-9]{2,8}$`),
		"pve-node":          regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`),
		"dns-name":          regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`),
		"pve-poolid":        regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}$`),
		"pve-storage-id":    regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$`),
		"pve-configid":      configID,
		"pve-configid-list": regexp.MustCompile(`^[A-Za-z][\w-]+([,; ][A-Za-z][\w-]+)*$`),
		"pve-tag-list":      regexp.MustCompile(`^(?i:[a-z0-9_][a-z0-9_\-+.]*([;, ][a-z0-9_][a-z0-9_\-+.]*)*)?$`),
		"urlencoded":        regexp.MustCompile(`^[-%a-zA-Z0-9_.!~*'()]*$`),
		"pve-bridge-id":     regexp.MustCompile(`^[-_.\w\d]+$`),
		"pve-qm-ipconfig":   regexp.MustCompile(`^(gw|gw6|ip|ip6)=[0-9a-fA-F.:/]+$|^(ip=(dhcp|[0-9./]+)|ip6=(dhcp|auto|[0-9a-fA-F:/]+)|gw=[0-9.]+|gw6=[0-9a-fA-F:]+)(,(ip=(dhcp|[0-9./]+)|ip6=(dhcp|auto|[0-9a-fA-F:/]+)|gw=[0-9.]+|gw6=[0-9a-fA-F:]+))*$`),
		"address-list":      regexp.MustCompile(`^[0-9A-Za-z.:-]+([,; ]+[0-9A-Za-z.:-]+)*$`),
		"mac-addr":          regexp.MustCompile(`^(?i:[a-f0-9][02468ace](:[a-f0-9]{2}){5})$`),
	}
)

func (p *parameter) checkFormat(text string) error {
	if len(p.Format) == 0 {
		return nil
	}
	var name string
	if json.Unmarshal(p.Format, &name) == nil {
		if re := formats[name]; re != nil && !re.MatchString(text) {
			return fmt.Errorf("invalid format - value '%s' is no valid %s", text, name)
		}
		return nil
	}
	var keys map[string]*parameter
	if err := json.Unmarshal(p.Format, &keys); err != nil {
		return fmt.Errorf("the schema has a format that is neither a name nor a list of keys: %w", err)
	}
	return checkCompound(keys, text)
}

// checkCompound checks "virtio=…,bridge=vmbr0" against its keys.
func checkCompound(keys map[string]*parameter, text string) error {
	given := map[string]bool{}
	for i, part := range strings.Split(text, ",") {
		key, value, pair := strings.Cut(part, "=")
		if !pair {
			key, value = "", part
			for name, k := range keys {
				if k.DefaultKey.set && i == 0 {
					key = name
				}
				if k.KeyAlias != "" { // "virtio" alone stands for model=virtio
					if _, known := keys[part]; known && key == "" {
						key, value = k.KeyAlias, part
					}
				}
			}
			if key == "" {
				if k := keys[part]; k != nil && k.KeyAlias != "" {
					key, value = k.KeyAlias, part
				}
			}
		}
		k := keys[key]
		if k == nil {
			return fmt.Errorf("invalid format - format error: property '%s' is not defined", key)
		}
		if k.KeyAlias != "" {
			given[k.KeyAlias] = true
		}
		if k.Alias != "" {
			key, k = k.Alias, keys[k.Alias]
		}
		if given[key] && key != "model" {
			return fmt.Errorf("invalid format - duplicate key '%s'", key)
		}
		given[key] = true
		if k != nil {
			if err := k.check(value); err != nil {
				return fmt.Errorf("invalid format - %s: %w", key, err)
			}
		}
	}
	for name, k := range keys {
		if !given[name] && k.Alias == "" && (!k.Optional.set || k.Optional.value == 0) && k.KeyAlias == "" && !k.DefaultKey.set {
			return fmt.Errorf("invalid format - property '%s' is missing", name)
		}
	}
	return nil
}

// Parameters names the parameters of a call.
func (s *Schema) Parameters(method, path string) []string {
	for _, r := range s.routes {
		if e := r.methods[method]; r.path == path && e != nil {
			return sortedKeys(e.Parameters.Properties)
		}
	}
	return nil
}

// ErrNoSchema says that the API schema of Proxmox VE, which is not part of this
// repository, is not on this machine.
var ErrNoSchema = errors.New("the API schema of Proxmox VE is not there: set HEADROOM_CONTRACTS to the directory that holds proxmox-apidata.js")

// FindSchema loads the schema from the directory of HEADROOM_CONTRACTS, or from
// the one beside the repository where the variable is not set.
func FindSchema() (*Schema, error) {
	dir, set := os.LookupEnv("HEADROOM_CONTRACTS")
	if !set || dir == "" {
		root, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("finding the repository: %w", err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				return nil, ErrNoSchema
			}
			root = filepath.Dir(root)
		}
		dir, set = filepath.Join(filepath.Dir(root), "shared", "contracts"), false
	}
	s, err := LoadSchema(filepath.Join(dir, "proxmox-apidata.js"))
	if errors.Is(err, fs.ErrNotExist) && !set {
		return nil, ErrNoSchema
	}
	return s, err
}
