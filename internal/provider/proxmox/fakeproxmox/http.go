package fakeproxmox

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const maxBody = 64 << 10 // pveproxy takes no more

// failure is an answer that is no success.
type failure struct {
	status int
	text   string
	fields map[string]string
	header http.Header
}

func fail(format string, args ...any) *failure {
	return &failure{status: http.StatusInternalServerError, text: fmt.Sprintf(format, args...)}
}

// call is one request to the API.
type call struct {
	name   string // "GET /nodes/{node}/qemu/{vmid}/config"
	params map[string]any
	done   <-chan struct{} // the client has gone
}

func (c call) text(name string) string {
	t, _ := asText(c.params[name])
	return t
}

func (c call) has(name string) bool { _, ok := c.params[name]; return ok }

func (c call) vmid() int { return atoi(c.text("vmid")) }

func atoi(s string) int {
	n := 0
	_, _ = fmt.Sscanf(s, "%d", &n) // the schema has checked it
	return n
}

// ServeHTTP answers one request.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api2/json")
	if !ok {
		respond(w, &failure{status: http.StatusNotFound, text: "Not Found"}, nil)
		return
	}
	route, bound := c.o.Schema.match(path)
	name := r.Method + " " + path
	if route != nil {
		name = r.Method + " " + route.path
	}
	c.mu.Lock()
	c.requests++
	c.log = append(c.log, name)
	f, hit := c.fault(name)
	c.mu.Unlock()
	if hit && !f.Lost {
		c.misbehave(w, r, f)
		return
	}
	data, wrong := c.handle(r, route, name, bound)
	if hit {
		hangUp(w)
		return
	}
	respond(w, wrong, data)
}

func (c *Cloud) fault(name string) (Fault, bool) {
	i := slices.IndexFunc(c.faults, func(f fault) bool { return f.call == "" || f.call == name })
	if i < 0 {
		return Fault{}, false
	}
	f := c.faults[i]
	c.faults = slices.Delete(c.faults, i, i+1)
	return f.Fault, true
}

func (c *Cloud) misbehave(w http.ResponseWriter, r *http.Request, f Fault) {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-c.stopped:
		}
		hangUp(w)
	case f.Body != "":
		_, _ = io.WriteString(w, f.Body) // the client sees what is missing
	default:
		respond(w, &failure{status: f.Status, text: f.Text, header: f.Header}, nil)
	}
}

func (c *Cloud) handle(r *http.Request, at *route, name string, bound map[string]string) (any, *failure) {
	if !c.authenticated(r) {
		return nil, &failure{status: http.StatusUnauthorized, text: "authentication failure: no such token"}
	}
	if at == nil || at.methods[r.Method] == nil {
		c.o.Fail("the API of Proxmox VE has no call %s", name)
		return nil, &failure{status: http.StatusNotImplemented, text: "Method '" + name + "' not implemented"}
	}
	e := at.methods[r.Method]
	params, err := readParams(r)
	if err != nil {
		c.o.Fail("%s: %v", name, err)
		return nil, &failure{status: http.StatusBadRequest, text: err.Error()}
	}
	for k, v := range bound {
		params[k] = v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if why := c.denied(e.Permissions.Check, params); why != "" {
		return nil, &failure{status: http.StatusForbidden, text: why}
	}
	if on, ok := bound["node"]; ok && e.ProxyTo == "node" || name == "GET /nodes/{node}/tasks" {
		switch n := c.nodes[on]; {
		case n == nil:
			return nil, fail("hostname lookup '%s' failed - failed to get address info for: %s: Name or service not known", on, on)
		case !n.online:
			return nil, &failure{status: 595, text: "No route to host"}
		}
	}
	if wrong := e.faults(params); len(wrong) > 0 {
		c.o.Fail("%s: the schema of Proxmox VE refuses the parameters: %v", name, wrong)
		return nil, &failure{status: http.StatusBadRequest, text: "Parameter verification failed.", fields: wrong}
	}
	h := handlers[name]
	if h == nil {
		c.o.Fail("the fake does not have the call %s", name)
		return nil, &failure{status: http.StatusNotImplemented, text: "not in the fake"}
	}
	return h(c, call{name: name, params: params, done: r.Context().Done()})
}

func (c *Cloud) authenticated(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := "PVEAPIToken=" + c.o.TokenID + "=" + c.o.Secret
	return !c.expired && subtle.ConstantTimeCompare([]byte(want), []byte(r.Header.Get("Authorization"))) == 1
}

func readParams(r *http.Request) (map[string]any, error) {
	params := map[string]any{}
	for k, v := range r.URL.Query() {
		params[k] = v[len(v)-1]
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the body: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the body is larger than %d bytes", maxBody)
	case len(body) == 0:
		return params, nil
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return nil, fmt.Errorf("the body is of type %q", r.Header.Get("Content-Type"))
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("the body is no JSON: %w", err)
	}
	maps.Copy(params, doc)
	return params, nil
}

// respond writes the answer by hand: Proxmox VE puts the text of an error into
// the status line.
func respond(w http.ResponseWriter, wrong *failure, data any) {
	if wrong == nil {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data}) // the client sees what is missing
		return
	}
	doc := map[string]any{"data": nil}
	if len(wrong.fields) > 0 {
		doc["errors"] = wrong.fields
	}
	body, _ := json.Marshal(doc)
	hijack(w, func(conn io.Writer) {
		extra := ""
		for k, v := range wrong.header {
			extra += k + ": " + v[0] + "\r\n"
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s",
			wrong.status, strings.Join(strings.Fields(wrong.text), " "), len(body), extra, body)
	})
}

func hangUp(w http.ResponseWriter) { hijack(w, func(io.Writer) {}) }

func hijack(w http.ResponseWriter, f func(io.Writer)) {
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }()
	f(buffer)
	_ = buffer.Flush()
}
