package fakenutanix

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-openapi/spec"
	"github.com/go-openapi/strfmt"
	"github.com/go-openapi/validate"
)

// root is where the API is served.
const root = "/api/nutanix/v3"

const sdkModule = "github.com/nutanix-cloud-native/prism-go-client"

// contract is the vendor's own description of the API.
type contract struct {
	doc   *spec.Swagger
	paths []path

	mu    sync.Mutex
	ready map[string]*validate.SchemaValidator // by operation and part
}

type path struct {
	segments []string
	item     spec.PathItem
}

// ErrNoContract says that the vendor's description of the API is not there.
var ErrNoContract = errors.New("the vendor's description of the API is not available")

// loaded is the description from the module of the SDK in the module cache, read
// once per process. An error says what is missing.
var loaded = sync.OnceValues(loadContract) //nolint:gochecknoglobals // a value that never changes, computed when it is first needed

func loadContract() (*contract, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", sdkModule).Output() //nolint:noctx // it reads the module cache and ends by itself
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return nil, fmt.Errorf("%w: the module %s is not in the module cache: %w", ErrNoContract, sdkModule, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "v3", "swagger.json"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoContract, err)
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	tree["consumes"] = []any{"application/json"} // the description says only what the API produces
	tighten(tree)
	if err := amend(tree); err != nil {
		return nil, err
	}
	if raw, err = json.Marshal(tree); err != nil {
		return nil, err
	}
	c := &contract{doc: &spec.Swagger{}, ready: map[string]*validate.SchemaValidator{}}
	if err := json.Unmarshal(raw, c.doc); err != nil {
		return nil, err
	}
	for template, item := range c.doc.Paths.Paths {
		c.paths = append(c.paths, path{strings.Split(template, "/"), item})
	}
	if len(c.paths) < 100 {
		return nil, fmt.Errorf("the API description has %d paths only", len(c.paths))
	}
	return c, nil
}

// tighten makes a validator see what the description says in words of its own:
// enumerations, alternatives, and that objects have no other fields than those
// that are named.
func tighten(node any) {
	switch n := node.(type) {
	case map[string]any:
		if e, ok := n["x-ntnx-enum"]; ok {
			n["enum"] = e
		}
		if one, ok := n["x-ntnx-one-of"].([]any); ok && len(one) > 0 {
			if _, schemas := one[0].(map[string]any); schemas { // elsewhere it is a list of names
				n["oneOf"] = one
			}
		}
		_, isMap := n["additionalProperties"]
		if _, isObject := n["properties"].(map[string]any); isObject && !isMap && n["type"] == "object" {
			n["additionalProperties"] = false
		}
		for _, below := range n {
			tighten(below)
		}
	case []any:
		for _, below := range n {
			tighten(below)
		}
	}
}

// amend adds two fields that Prism answers, and the SDK's types have, but the
// description forgot: the task of the last change of a virtual machine, and the
// number of all values of a category.
func amend(tree map[string]any) error {
	definitions, _ := tree["definitions"].(map[string]any)
	for name, more := range map[string]map[string]any{
		"vm_def_status":          {"execution_context": map[string]any{"type": "object", "properties": map[string]any{"task_uuid": map[string]any{}}}},
		"category_list_metadata": {"total_matches": map[string]any{"type": "integer"}},
	} {
		definition, _ := definitions[name].(map[string]any)
		fields, ok := definition["properties"].(map[string]any)
		if !ok {
			return fmt.Errorf("the API description has no %s", name)
		}
		maps.Copy(fields, more)
	}
	return nil
}

// operation finds what the description says of a request.
func (c *contract) operation(method, url string) (*spec.Operation, map[string]string, string, error) {
	var found *path
	var values map[string]string
	for i := range c.paths {
		if v, ok := c.paths[i].match(strings.Split(url, "/")); ok && (found == nil || len(v) < len(values)) {
			found, values = &c.paths[i], v
		}
	}
	if found == nil {
		return nil, nil, "", fmt.Errorf("the API has no path %s", url)
	}
	op := map[string]*spec.Operation{
		http.MethodGet: found.item.Get, http.MethodPost: found.item.Post, http.MethodPut: found.item.Put, http.MethodDelete: found.item.Delete,
	}[method]
	name := method + " " + strings.Join(found.segments, "/")
	if op == nil {
		return nil, nil, "", fmt.Errorf("the API has no %s", name)
	}
	return op, values, name, nil
}

func (p path) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(p.segments) {
		return nil, false
	}
	values := map[string]string{}
	for i, s := range p.segments {
		if name, isParameter := strings.CutPrefix(s, "{"); isParameter {
			values[strings.TrimSuffix(name, "}")] = segments[i]
		} else if s != segments[i] {
			return nil, false
		}
	}
	return values, true
}

// request holds a request against the description.
func (c *contract) request(r *http.Request, url string, body []byte) (name string, values map[string]string, err error) {
	op, values, name, err := c.operation(r.Method, url)
	if err != nil {
		return "", nil, err
	}
	if len(r.URL.Query()) > 0 {
		return "", nil, fmt.Errorf("%s has a query, the API has none here: %s", name, r.URL.RawQuery)
	}
	takesBody := false
	for _, p := range op.Parameters {
		if ref := p.Ref.String(); ref != "" {
			p = c.doc.Parameters[strings.TrimPrefix(ref, "#/parameters/")]
		}
		switch p.In {
		case "path":
			res := validate.NewParamValidator(&p, strfmt.Default).Validate(values[p.Name])
			if res != nil && !res.IsValid() {
				return "", nil, fmt.Errorf("%s: %w", name, errors.Join(res.Errors...))
			}
		case "body":
			takesBody = true
			switch {
			case len(body) > 0:
				if got := r.Header.Get("Content-Type"); got != "application/json" {
					return "", nil, fmt.Errorf("%s has content of type %q", name, got)
				}
				err = c.valid(name+" body", p.Schema, body)
			case p.Required:
				err = errors.New("the body is missing")
			}
			if err != nil {
				return "", nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if !takesBody && len(body) > 0 {
		return "", nil, fmt.Errorf("%s has a body, the API takes none", name)
	}
	return name, values, nil
}

// answer holds what the fake answers against the description, so that it cannot
// invent fields which the driver then relies on.
func (c *contract) answer(method, url string, status int, body []byte) error {
	op, _, name, err := c.operation(method, url)
	if err != nil {
		return err
	}
	resp, ok := op.Responses.StatusCodeResponses[status]
	if !ok {
		if op.Responses.Default == nil || status < http.StatusBadRequest {
			return fmt.Errorf("%s does not answer %d", name, status)
		}
		resp = *op.Responses.Default
	}
	if resp.Schema == nil {
		if len(body) > 0 {
			return fmt.Errorf("%s answers nothing with %d", name, status)
		}
		return nil
	}
	if err := c.valid(fmt.Sprintf("%s answer %d", name, status), resp.Schema, body); err != nil {
		return fmt.Errorf("%s answer %d: %w", name, status, err)
	}
	return nil
}

func (c *contract) valid(part string, schema *spec.Schema, body []byte) error {
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.ready[part]
	if v == nil {
		v = validate.NewSchemaValidator(schema, c.doc, "", strfmt.Default)
		c.ready[part] = v
	}
	if res := v.Validate(doc); !res.IsValid() {
		return errors.Join(res.Errors...)
	}
	return nil
}
