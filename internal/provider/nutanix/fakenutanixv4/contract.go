package fakenutanixv4

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ErrNoContract says that the vendor's SDK is not there.
var ErrNoContract = errors.New("the source of the vendor's SDK is not available")

const modules = "github.com/nutanix/ntnx-api-golang-clients/"

// operation is what the vendor's SDK says of one call.
type operation struct {
	name     string // method and path, without the version
	segments []string
	method   string
	queries  []string
	body     string // type of the body, empty when there is none
	answer   string // type of the answer
}

// contract are the operations of the SDK.
type contract struct{ operations []operation }

// loaded is read once per process. An error says what is missing.
var loaded = sync.OnceValues(loadContract) //nolint:gochecknoglobals // a value that never changes, computed when it is first needed

func loadContract() (*contract, error) {
	c := &contract{}
	for module, files := range map[string][]string{
		"vmm-go-client/v4":         {"vm_api.go", "templates_api.go"},
		"prism-go-client/v4":       {"categories_api.go", "tasks_api.go"},
		"networking-go-client/v4":  {"subnets_api.go"},
		"clustermgmt-go-client/v4": {"clusters_api.go"},
	} {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", modules+module).Output() //nolint:noctx // it reads the module cache and ends by itself
		dir := strings.TrimSpace(string(out))
		if err != nil || dir == "" {
			return nil, fmt.Errorf("%w: the module %s is not in the module cache: %w", ErrNoContract, module, err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "api", name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrNoContract, err)
			}
			c.operations = append(c.operations, operationsOf(file)...)
		}
	}
	if len(c.operations) < 100 {
		return nil, fmt.Errorf("the SDK has %d operations only", len(c.operations))
	}
	return c, nil
}

// operationsOf reads the methods of one file of the SDK: each sets a path, adds
// queries, and names its method, its body and its answer.
func operationsOf(file *ast.File) (all []operation) {
	packages := map[string]string{}
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value) // the parser has read it
		if _, below, ok := strings.Cut(path, "/models/"); ok && i.Name != nil {
			packages[i.Name.Name] = below
		}
	}
	typeOf := func(e ast.Expr) string {
		star, ok := e.(*ast.StarExpr)
		if !ok {
			return ""
		}
		sel, ok := star.X.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok || packages[pkg.Name] == "" {
			return ""
		}
		return packages[pkg.Name] + "." + sel.Sel.Name
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Type.Results == nil {
			continue
		}
		o := operation{answer: typeOf(f.Type.Results.List[0].Type)}
		for _, p := range f.Type.Params.List {
			if p.Names[0].Name == "body" {
				o.body = typeOf(p.Type)
			}
		}
		uri := ""
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && strings.HasPrefix(text, "/api/") {
					uri = text
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "http" && strings.HasPrefix(n.Sel.Name, "Method") {
					o.method = strings.ToUpper(strings.TrimPrefix(n.Sel.Name, "Method"))
				}
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Add" && len(n.Args) == 2 {
					if lit, ok := n.Args[0].(*ast.BasicLit); ok {
						text, _ := strconv.Unquote(lit.Value) // as above
						o.queries = append(o.queries, text)
					}
				}
			}
			return true
		})
		if uri == "" {
			continue
		}
		path := unversioned(uri)
		o.name, o.segments = o.method+" "+path, strings.Split(path, "/")
		all = append(all, o)
	}
	return all
}

var version = regexp.MustCompile(`^/api/([a-z]+)/v4\.[0-9]+/`)

// unversioned is a path without the number of the version: the driver speaks
// v4.0, whose operations later versions have too, and the SDK the newest.
func unversioned(path string) string { return version.ReplaceAllString(path, "/$1/") }

// find looks for the operation of a request.
func (c *contract) find(method, path string) (o operation, values map[string]string, err error) {
	if !version.MatchString(path) {
		return o, nil, fmt.Errorf("nothing of the v4 API is at %s", path)
	}
	segments := strings.Split(unversioned(path), "/")
	for _, o := range c.operations {
		if o.method != method || len(o.segments) != len(segments) {
			continue
		}
		values := map[string]string{}
		for i, s := range o.segments {
			if name, isParameter := strings.CutPrefix(s, "{"); isParameter {
				values[strings.TrimSuffix(name, "}")] = segments[i]
			} else if s != segments[i] {
				values = nil
				break
			}
		}
		if values != nil {
			return o, values, nil
		}
	}
	return o, nil, fmt.Errorf("the API has no %s %s", method, unversioned(path))
}

// request holds a request against the SDK.
func (c *contract) request(r *http.Request, body []byte) (o operation, values map[string]string, err error) {
	o, values, err = c.find(r.Method, r.URL.Path)
	if err != nil {
		return o, nil, err
	}
	for key := range r.URL.Query() {
		if !slices.Contains(o.queries, key) {
			return o, nil, fmt.Errorf("%s has no query %q", o.name, key)
		}
	}
	if r.Method != http.MethodGet && r.Header.Get("NTNX-Request-Id") == "" {
		return o, nil, fmt.Errorf("%s bears no token", o.name)
	}
	switch {
	case o.body == "" && len(body) > 0:
		return o, nil, fmt.Errorf("%s has a body, the API takes none", o.name)
	case o.body == "":
		return o, values, nil
	case len(body) == 0:
		return o, nil, fmt.Errorf("%s: the body is missing", o.name)
	case r.Header.Get("Content-Type") != "application/json":
		return o, nil, fmt.Errorf("%s has content of type %q", o.name, r.Header.Get("Content-Type"))
	}
	var raw any
	if err := json.Unmarshal(body, &raw); err != nil {
		return o, nil, fmt.Errorf("%s: no JSON: %w", o.name, err)
	}
	if err := errors.Join(typed(raw, "body")...); err != nil {
		return o, nil, fmt.Errorf("%s: %w", o.name, err)
	}
	return o, values, hold(o.name, o.body, body)
}

// answer holds what the fake answers against the SDK, so that it cannot invent
// fields that the driver then relies on.
func (o operation) check(body []byte) error { return hold(o.name+" answer", o.answer, body) }

// hold decodes a document with a type of the SDK.
func hold(name, model string, body []byte) error {
	empty, known := models()[model]
	if !known {
		return fmt.Errorf("%s: the type %s is none that the tests know", name, model)
	}
	value := empty()
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := errors.Join(strict(value)...); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// typed demands the type of every object of a request, as the SDK sends it.
func typed(node any, at string) (wrong []error) {
	switch n := node.(type) {
	case map[string]any:
		_, hasType := n["$objectType"]
		_, isMap := n["0"] // the virtual machines of a deployment, by their numbers
		if !hasType && !isMap {
			wrong = append(wrong, fmt.Errorf("%s names no $objectType", at))
		}
		for key, below := range n {
			wrong = append(wrong, typed(below, at+"."+key)...)
		}
	case []any:
		for i, below := range n {
			wrong = append(wrong, typed(below, at+"["+strconv.Itoa(i)+"]")...)
		}
	}
	return wrong
}
