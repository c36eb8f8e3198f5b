package fakegcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Model is what Google publishes of its APIs: the discovery documents that come
// with the SDK. Every request to the fake and every answer of it is held
// against them.
type Model struct {
	methods []*method
}

type document struct {
	ServicePath string               `json:"servicePath"`
	Parameters  map[string]*schema   `json:"parameters"`
	Schemas     map[string]*schema   `json:"schemas"`
	Resources   map[string]*resource `json:"resources"`
}

type resource struct {
	Methods   map[string]*method   `json:"methods"`
	Resources map[string]*resource `json:"resources"`
}

type method struct {
	ID         string             `json:"id"`
	HTTPMethod string             `json:"httpMethod"`
	Path       string             `json:"path"`
	Parameters map[string]*schema `json:"parameters"`
	Request    *schema            `json:"request"`
	Response   *schema            `json:"response"`

	doc      *document
	match    *regexp.Regexp
	names    []string // of the path's parameters
	literals int
	greedy   bool // a parameter of the path takes slashes
}

type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Pattern    string             `json:"pattern"`
	Enum       []string           `json:"enum"`
	Required   bool               `json:"required"`
	Repeated   bool               `json:"repeated"`
	ReadOnly   bool               `json:"readOnly"`
	Location   string             `json:"location"`
	Minimum    string             `json:"minimum"`
	Maximum    string             `json:"maximum"`
	Properties map[string]*schema `json:"properties"`
	Additional *schema            `json:"additionalProperties"`
	Items      *schema            `json:"items"`
}

// LoadModel reads the documents below the folder of the module
// google.golang.org/api.
func LoadModel(dir string) (*Model, error) {
	m := &Model{}
	for _, file := range []string{"compute/v1/compute-api.json", "dns/v1/dns-api.json", "cloudresourcemanager/v3/cloudresourcemanager-api.json"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		doc := &document{}
		if err := json.Unmarshal(text, doc); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, r := range doc.Resources {
			m.collect(doc, r)
		}
	}
	return m, nil
}

var placeholder = regexp.MustCompile(`\{(\+?)(\w+)\}`)

func (m *Model) collect(doc *document, r *resource) {
	for _, inner := range r.Resources {
		m.collect(doc, inner)
	}
	for _, f := range r.Methods {
		f.doc = doc
		template := "/" + doc.ServicePath + f.Path
		var pattern strings.Builder
		at := 0
		for _, p := range placeholder.FindAllStringSubmatchIndex(template, -1) {
			pattern.WriteString(regexp.QuoteMeta(template[at:p[0]]))
			if f.literals += p[0] - at; p[2] < p[3] {
				pattern.WriteString("(.+)")
				f.greedy = true
			} else {
				pattern.WriteString("([^/]+)")
			}
			f.names = append(f.names, template[p[4]:p[5]])
			at = p[1]
		}
		pattern.WriteString(regexp.QuoteMeta(template[at:]))
		f.literals += len(template) - at
		f.match = regexp.MustCompile("^" + pattern.String() + "$")
		m.methods = append(m.methods, f)
	}
}

// Call is a request that the documents know.
type Call struct {
	ID     string // such as compute.instances.insert
	Path   map[string]string
	method *method
}

// Request finds the method of a request and says what is wrong with it.
func (m *Model) Request(r *http.Request, body []byte) (*Call, []string) {
	var best *Call
	for _, f := range m.methods {
		if f.HTTPMethod != r.Method {
			continue
		}
		found := f.match.FindStringSubmatch(r.URL.Path)
		if found == nil || best != nil && best.method.literals >= f.literals {
			continue
		}
		call := &Call{ID: f.ID, Path: map[string]string{}, method: f}
		fits := true
		for i, name := range f.names {
			call.Path[name] = found[i+1]
			// Paths that differ by the form of a parameter only.
			fits = fits && (!f.greedy || len(f.Parameters[name].text("", found[i+1])) == 0)
		}
		if fits {
			best = call
		}
	}
	if best == nil {
		return nil, []string{"no method answers " + r.Method + " " + r.URL.Path}
	}
	f := best.method
	var wrong []string
	for name, value := range best.Path {
		wrong = append(wrong, f.Parameters[name].text("path parameter "+name, value)...)
	}
	for name, values := range r.URL.Query() {
		p := f.Parameters[name]
		if p == nil || p.Location != "query" {
			p = f.doc.Parameters[name]
		}
		if p == nil {
			wrong = append(wrong, "unknown query parameter "+name)
			continue
		}
		if len(values) > 1 && !p.Repeated {
			wrong = append(wrong, "query parameter "+name+" is given more than once")
		}
		for _, v := range values {
			wrong = append(wrong, p.text("query parameter "+name, v)...)
		}
	}
	for name, p := range f.Parameters {
		if p.Required && p.Location == "query" && !r.URL.Query().Has(name) {
			wrong = append(wrong, "query parameter "+name+" is missing")
		}
	}
	switch {
	case f.Request == nil && len(body) > 0:
		wrong = append(wrong, "the method takes no body")
	case f.Request != nil:
		wrong = append(wrong, f.doc.check(f.Request, body, true)...)
	}
	for i := range wrong {
		wrong[i] = f.ID + ": " + wrong[i]
	}
	slices.Sort(wrong)
	return best, wrong
}

// Answer says what is wrong with the answer to a call.
func (c *Call) Answer(body []byte) []string {
	if c.method.Response == nil {
		if len(body) > 0 {
			return []string{c.ID + ": answers nothing"}
		}
		return nil
	}
	wrong := c.method.doc.check(c.method.Response, body, false)
	for i := range wrong {
		wrong[i] = "answer of " + c.ID + ": " + wrong[i]
	}
	return wrong
}

func (d *document) check(s *schema, body []byte, request bool) []string {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{"the body is no JSON: " + err.Error()}
	}
	return d.value(s, "", value, request)
}

func (d *document) value(s *schema, at string, value any, request bool) []string {
	if s.Ref != "" {
		target := d.Schemas[s.Ref]
		if target == nil {
			return []string{at + ": schema " + s.Ref + " is not defined"}
		}
		return d.value(target, at, value, request)
	}
	wrong := func(want string) []string { return []string{fmt.Sprintf("%s is %v, expected %s", at, value, want)} }
	switch s.Type {
	case "object":
		fields, ok := value.(map[string]any)
		if !ok {
			return wrong("an object")
		}
		return d.object(s, at, fields, request)
	case "array":
		items, ok := value.([]any)
		if !ok {
			return wrong("a list")
		}
		var out []string
		for i, item := range items {
			out = append(out, d.value(s.Items, fmt.Sprintf("%s[%d]", at, i), item, request)...)
		}
		return out
	case "string":
		text, ok := value.(string)
		if !ok {
			return wrong("text")
		}
		return s.text(at, text)
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong("true or false")
		}
	case "integer", "number":
		n, ok := value.(float64)
		if !ok || s.Type == "integer" && n != float64(int64(n)) {
			return wrong("a number")
		}
	}
	return nil
}

func (d *document) object(s *schema, at string, fields map[string]any, request bool) []string {
	var out []string
	for name, inner := range fields {
		where := strings.TrimPrefix(at+"."+name, ".")
		switch p := s.Properties[name]; {
		case p != nil && request && p.ReadOnly:
			out = append(out, where+" can only be read")
		case p != nil && inner == nil:
			out = append(out, where+" is null")
		case p != nil:
			out = append(out, d.value(p, where, inner, request)...)
		case s.Additional != nil:
			out = append(out, d.value(s.Additional, where, inner, request)...)
		default:
			out = append(out, "unknown field "+where)
		}
	}
	return out
}

// text checks what is written as text: a parameter or a string.
func (s *schema) text(at, text string) []string {
	if s == nil {
		return []string{at + " is unknown"}
	}
	wrong := func(want string) []string { return []string{fmt.Sprintf("%s is %q, expected %s", at, text, want)} }
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		return wrong("one of " + strings.Join(s.Enum, ", "))
	}
	if s.Pattern != "" {
		if rule, err := regexp.Compile("^(?:" + s.Pattern + ")$"); err == nil && !rule.MatchString(text) {
			return wrong("what matches " + s.Pattern)
		}
	}
	numeric := s.Type == "integer" || s.Format == "int64" || s.Format == "uint64"
	if n, err := strconv.ParseInt(text, 10, 64); numeric && (err != nil || strings.HasPrefix(s.Format, "u") && n < 0) {
		if _, err := strconv.ParseUint(text, 10, 64); err != nil || s.Format != "uint64" {
			return wrong("a whole number")
		}
	}
	if s.Type == "boolean" && text != "true" && text != "false" {
		return wrong("true or false")
	}
	return nil
}
