package proxmox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	pve "github.com/luthermonson/go-proxmox"

	"github.com/headroom-dev/headroom/internal/provider"
)

const maxRefusal = 64 << 10 // bytes of a refusal that are read

// api makes single requests. Nothing in it waits for a task.
type api struct {
	client *pve.Client
	http   *http.Client
}

func newAPI(s Settings, now func() time.Time) (*api, error) {
	base, err := s.endpoint()
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "host %q %w", s.Host, err)
	}
	transport, err := s.Transport()
	if err != nil {
		return nil, err
	}
	transport.ForceAttemptHTTP2 = false // pveproxy speaks HTTP/1.1 and puts its errors into the status line
	client := &http.Client{
		Transport: refusing{next: provider.LimitAnswers(transport), now: now},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return provider.Errorf(provider.Invalid, "the address answers with a redirection: give the host and port of the API itself")
		},
	}
	return &api{http: client, client: pve.NewClient(base, pve.WithHTTPClient(client), pve.WithAPIToken(s.TokenID, s.TokenSecret), pve.WithUserAgent("headroom"))}, nil
}

// refusing turns answers that are no success into errors, since the SDK drops
// their reasons, and takes some of them for success.
type refusing struct {
	next http.RoundTripper
	now  func() time.Time
}

func (t refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	if resp.StatusCode < 400 {
		return resp, nil // http.Client refuses redirections
	}
	defer func() { _ = resp.Body.Close() }()
	_, reason, _ := strings.Cut(resp.Status, " ")
	r := &refusal{status: resp.StatusCode, text: reason}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		r.after = provider.RetryAfterHeader(resp.Header, t.now())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	var doc struct {
		Message string          `json:"message"`
		Errors  json.RawMessage `json:"errors"`
	}
	if err == nil && json.Unmarshal(bytes.TrimSpace(body), &doc) == nil {
		if m := strings.TrimSpace(doc.Message); len(m) > len(r.text) {
			r.text = m
		}
		_ = json.Unmarshal(doc.Errors, &r.fields) // not always an object
	}
	return nil, r
}

func (t refusing) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// flag reads the ways in which Proxmox VE writes true: 1, "1", true.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	*f = text == "1" || text == "true"
	return nil
}

// resource is a line of GET /cluster/resources. The SDK's type has no lock.
type resource struct {
	Type     string  `json:"type"`
	VMID     int     `json:"vmid"`
	Name     string  `json:"name"`
	Node     string  `json:"node"`
	Status   string  `json:"status"`
	Template flag    `json:"template"`
	Tags     string  `json:"tags"`
	Lock     string  `json:"lock"`
	Pool     string  `json:"pool"`
	Uptime   float64 `json:"uptime"`
	MaxCPU   float64 `json:"maxcpu"`
	MaxMem   float64 `json:"maxmem"`
	Mem      float64 `json:"mem"`
	Storage  string  `json:"storage"`
	Content  string  `json:"content"`
	Plugin   string  `json:"plugintype"`
	MaxDisk  float64 `json:"maxdisk"`
	Disk     float64 `json:"disk"`
	Shared   flag    `json:"shared"`
}

// resources lists the cluster; kind is vm or empty for everything.
func (a *api) resources(ctx context.Context, kind string) ([]resource, error) {
	path := "/cluster/resources"
	if kind != "" {
		path += "?type=" + kind
	}
	var all []resource
	err := a.client.Get(ctx, path, &all)
	return all, err
}

func (a *api) permissions(ctx context.Context) (permissions, error) {
	p, err := a.client.Permissions(ctx, nil)
	if err != nil {
		return nil, err
	}
	out := permissions{}
	for path, privileges := range p {
		out[path] = map[string]bool{}
		for name, propagate := range privileges {
			out[path][name] = bool(propagate)
		}
	}
	return out, nil
}

func vmPath(node string, vmid int, rest string) string {
	return "/nodes/" + url.PathEscape(node) + "/qemu/" + strconv.Itoa(vmid) + rest
}

// config is the configuration of a virtual machine with what is pending.
func (a *api) config(ctx context.Context, node string, vmid int) (vmConfig, error) {
	var c vmConfig
	err := a.client.Get(ctx, vmPath(node, vmid, "/config"), &c)
	return c, err
}

// vmConfig is kept as Proxmox VE writes it: the SDK's type lacks options and
// drops the numbered ones.
type vmConfig map[string]any

func (c vmConfig) text(key string) string {
	switch v := c[key].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

func (a *api) configure(ctx context.Context, node string, vmid int, options map[string]any) error {
	return a.client.Put(ctx, vmPath(node, vmid, "/config"), options, nil)
}

// status is GET status/current: fresh, where /cluster/resources is up to ten
// seconds old.
type status struct {
	Status string `json:"status"`
	QMP    string `json:"qmpstatus"`
	Lock   string `json:"lock"`
	Tags   string `json:"tags"`
}

func (a *api) status(ctx context.Context, node string, vmid int) (status, error) {
	var s status
	err := a.client.Get(ctx, vmPath(node, vmid, "/status/current"), &s)
	return s, err
}

// lastStart is how the newest task that started the machine ended; none is
// false when there was one, and ended is empty while it runs.
func (a *api) lastStart(ctx context.Context, node string, vmid int) (ended string, none bool, err error) {
	var tasks []struct {
		Status  string  `json:"status"`
		EndTime float64 `json:"endtime"`
	}
	path := fmt.Sprintf("/nodes/%s/tasks?vmid=%d&typefilter=qmstart&source=all&limit=1", url.PathEscape(node), vmid)
	if err := a.client.Get(ctx, path, &tasks); err != nil {
		return "", false, err
	}
	if len(tasks) == 0 {
		return "", true, nil
	}
	if tasks[0].EndTime == 0 && (tasks[0].Status == "" || tasks[0].Status == "RUNNING") {
		return "", false, nil
	}
	return tasks[0].Status, false, nil
}

// taskEnd is how a task ended, in the words of the last line of its log; empty
// while it runs.
func (a *api) taskEnd(ctx context.Context, node, upid string) (string, error) {
	var t struct {
		Status string `json:"status"`
		Exit   string `json:"exitstatus"`
	}
	if err := a.client.Get(ctx, "/nodes/"+url.PathEscape(node)+"/tasks/"+url.PathEscape(upid)+"/status", &t); err != nil {
		return "", err
	}
	if t.Status != "stopped" {
		return "", nil
	}
	return t.Exit, nil
}

// post makes a call without parameters that starts a task or is answered at
// once; the answer is not read.
func (a *api) post(ctx context.Context, path string, body any) error {
	if body == nil {
		body = map[string]any{}
	}
	return a.client.Post(ctx, path, body, nil)
}

func (a *api) destroy(ctx context.Context, node string, vmid int) error {
	// Disks that the machine does not refer to stay: a VMID that somebody used
	// before may have disks that are still wanted.
	return a.client.Delete(ctx, vmPath(node, vmid, "?purge=1"), nil)
}

// addresses asks the guest agent for the addresses of the machine.
func (a *api) addresses(ctx context.Context, node string, vmid int) ([]string, error) {
	var answer struct {
		Result []struct {
			Name      string `json:"name"`
			Addresses []struct {
				Address string `json:"ip-address"`
				Type    string `json:"ip-address-type"`
			} `json:"ip-addresses"`
		} `json:"result"`
	}
	if err := a.client.Get(ctx, vmPath(node, vmid, "/agent/network-get-interfaces"), &answer); err != nil {
		return nil, err
	}
	var all []string
	for _, nic := range answer.Result {
		for _, ip := range nic.Addresses {
			all = append(all, ip.Address)
		}
	}
	return usable(all), nil
}

// bridges lists the bridges and virtual networks of a node.
func (a *api) bridges(ctx context.Context, node string) ([]string, error) {
	var list []struct {
		Name string `json:"iface"`
	}
	if err := a.client.Get(ctx, "/nodes/"+url.PathEscape(node)+"/network?type=any_bridge", &list); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range list {
		names = append(names, n.Name)
	}
	return names, nil
}
