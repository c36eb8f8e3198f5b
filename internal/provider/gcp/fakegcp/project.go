package fakegcp

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Project is what one service account sees.
type Project struct {
	ID     string
	server *Server

	instances map[string]*object // by zone/name
	disks     map[string]*object
	ops       []*operation
	names     map[string][]rrset // records by managed zone
	calls     int64
	tokens    int
	faults    []Fault
	expired   bool
	lacking   map[string]bool // permissions
	limit     int             // instances
	soldOut   map[string]string
	settled   map[string]bool // instances and disks that listings show; nil: all
	cutOff    string          // a zone that cannot be reached

	saysInScope, saysInList bool // where the answer says so

	took   time.Duration
	boot   time.Duration
	vanish time.Duration
}

// object is an instance or a disk: the answer of the API, and what the fake
// alone knows.
type object struct {
	zone, name string
	show       map[string]any
	asked      map[string]any // as it was sent
	runs, gone time.Time
}

type operation struct {
	name, kind, zone, target, request string
	began, ends                       time.Time
	code, message                     string // of the failure
	done                              func() // what its end brings about
}

// Fault spoils one call.
type Fault struct {
	Method  string
	Path    string // a part of it; empty: any
	Status  int    // answered instead
	Reason  string
	Message string
	Text    string // answered instead, as a proxy would
	Header  map[string]string
	Lose    bool            // the call takes effect, and its answer is a broken connection
	Hang    <-chan struct{} // the call waits for it, without an effect
	After   int             // calls that fit are let through before it
}

func newProject(s *Server, id string) *Project {
	return &Project{
		ID: id, server: s, instances: map[string]*object{}, disks: map[string]*object{}, lacking: map[string]bool{}, soldOut: map[string]string{},
		limit: 1000, took: 10 * time.Millisecond, boot: 30 * time.Millisecond, vanish: 20 * time.Millisecond,
		names: map[string][]rrset{"example-com": {
			{Name: "example.com.", Type: "NS", TTL: 21600, Data: []string{"ns-cloud-a1.googledomains.com."}},
			{Name: "example.com.", Type: "SOA", TTL: 21600, Data: []string{"ns-cloud-a1.googledomains.com. cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"}},
		}},
	}
}

// fault takes the next fault that fits a call.
func (p *Project) fault(r *http.Request) (Fault, bool) {
	for i := range p.faults {
		f := &p.faults[i]
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		out := *f
		p.faults = append(p.faults[:i], p.faults[i+1:]...)
		return out, true
	}
	return Fault{}, false
}

// tick lets time pass: operations end, instances boot and vanish.
func (p *Project) tick() {
	now := time.Now()
	for _, o := range p.ops {
		if o.done != nil && now.After(o.ends) {
			o.done()
			o.done = nil
		}
	}
	for key, i := range p.instances {
		if s := i.show["status"]; (s == "PROVISIONING" || s == "STAGING") && now.After(i.runs) {
			i.show["status"] = "RUNNING"
		}
		if !i.gone.IsZero() && now.After(i.gone) {
			p.release(i)
			delete(p.instances, key)
		}
	}
	for key, d := range p.disks {
		if !d.gone.IsZero() && now.After(d.gone) {
			delete(p.disks, key)
		}
	}
}

func (p *Project) link(format string, args ...any) string {
	return "https://www.googleapis.com/compute/v1/projects/" + p.ID + "/" + fmt.Sprintf(format, args...)
}

// need answers with a refusal when the service account lacks a permission.
func (p *Project) need(resource string, permissions ...string) (reply, bool) {
	for _, name := range permissions {
		if p.lacking[name] {
			return fault(http.StatusForbidden, "forbidden", "Required '%s' permission for 'projects/%s/%s'", name, p.ID, resource), false
		}
	}
	return reply{}, true
}

// route answers one call. The server is locked.
func (p *Project) route(r *http.Request, body []byte) reply {
	path := r.URL.Path
	if project, found := strings.CutPrefix(path, "/v3/projects/"); found {
		id, _ := strings.CutSuffix(project, ":testIamPermissions")
		if id != p.ID {
			return fault(http.StatusForbidden, "forbidden", "The caller does not have permission")
		}
		return p.granted(body)
	}
	if rest, found := strings.CutPrefix(path, "/dns/v1/projects/"+p.ID+"/"); found {
		return p.dns(r, strings.Split(rest, "/"), body)
	}
	rest, found := strings.CutPrefix(path, "/compute/v1/projects/"+p.ID+"/")
	if !found {
		if public.MatchString(path) {
			return p.images(r, strings.Split(path, "/")[4:])
		}
		return absent("projects/" + strings.Split(path+"/////", "/")[4])
	}
	parts := strings.Split(rest, "/")
	switch {
	case parts[0] == "aggregated":
		return p.aggregated(r, parts[1])
	case parts[0] == "zones" && len(parts) >= 3 && parts[2] == "instances":
		return p.instanceCall(r, parts[1], parts[3:], body)
	case parts[0] == "zones" && len(parts) >= 3 && parts[2] == "operations":
		return p.operationCall(r, parts[1], parts[3:])
	case parts[0] == "zones" && len(parts) == 4 && parts[2] == "disks" && r.Method == http.MethodDelete:
		return p.deleteDisk(parts[1], parts[3])
	case parts[0] == "global" && parts[1] == "images":
		return p.images(r, append([]string{p.ID}, parts...))
	}
	return p.catalog(r, parts, body)
}

var (
	public    = regexp.MustCompile(`^/compute/v1/projects/(debian|ubuntu-os|rocky-linux|windows)-cloud/global/images`)
	labelTerm = regexp.MustCompile(`^\(labels\.([a-z][a-z0-9_-]*) = "([^"]*)"\) ?`)
	regexTerm = regexp.MustCompile(`^(\w+) eq "([^"]*)"$`)
)

// filter reads the two forms of filters that the service has, as far as they
// are needed: labels by AIP-160, and one field by a regular expression.
func filter(text string) (fits func(map[string]any) bool, valid bool) {
	if m := regexTerm.FindStringSubmatch(text); m != nil {
		rule, err := regexp.Compile("^(?:" + m[2] + ")$")
		return func(o map[string]any) bool { s, _ := o[m[1]].(string); return rule.MatchString(s) }, err == nil
	}
	labels := map[string]string{}
	for text != "" {
		m := labelTerm.FindStringSubmatch(text)
		if m == nil {
			return nil, false
		}
		labels[m[1]], text = m[2], text[len(m[0]):]
	}
	return func(o map[string]any) bool {
		have, _ := o["labels"].(map[string]any)
		for key, value := range labels {
			if have[key] != value {
				return false
			}
		}
		return true
	}, true
}

// pageSize is less than what callers ask for, which the API may do.
const pageSize = 50

func paged[T any](r *http.Request, items []T) (out []T, next string, valid bool) {
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("maxResults"))
	if size <= 0 || size > pageSize {
		size = pageSize
	}
	at := 0
	if token := q.Get("pageToken"); token != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(token, "page-"))
		if err != nil || n > len(items) {
			return nil, "", false
		}
		at = n
	}
	end := min(at+size, len(items))
	if end < len(items) {
		next = "page-" + strconv.Itoa(end)
	}
	return items[at:end], next, true
}

// aggregated lists instances or disks of all zones.
func (p *Project) aggregated(r *http.Request, kind string) reply {
	from, permission := p.instances, "compute.instances.list"
	if kind == "disks" {
		from, permission = p.disks, "compute.disks.list"
	}
	if refusal, ok := p.need(kind, permission); !ok {
		return refusal
	}
	fits, valid := filter(r.URL.Query().Get("filter"))
	if !valid {
		return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'filter': '%s'.", r.URL.Query().Get("filter"))
	}
	var all []*object
	for _, key := range sorted(from) {
		if o := from[key]; fits(o.show) && (p.settled == nil || p.settled[key]) {
			all = append(all, o)
		}
	}
	part, next, valid := paged(r, all)
	if !valid {
		return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'pageToken'.")
	}
	items := map[string]any{}
	for _, z := range zones {
		items["zones/"+z] = map[string]any{"warning": map[string]any{
			"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope 'zones/" + z + "' on this page.",
			"data": []any{map[string]any{"key": "scope", "value": "zones/" + z}},
		}}
	}
	for _, o := range part {
		scope, _ := items["zones/"+o.zone].(map[string]any)
		list, _ := scope[kind].([]any)
		items["zones/"+o.zone] = map[string]any{kind: append(list, o.show)}
	}
	title := strings.ToUpper(kind[:1]) + strings.TrimSuffix(kind[1:], "s")
	out := map[string]any{"kind": "compute#" + strings.ToLower(title) + "AggregatedList", "id": "projects/" + p.ID + "/aggregated/" + kind, "selfLink": p.link("aggregated/%s", kind), "items": items}
	if next != "" {
		out["nextPageToken"] = next
	}
	if p.saysInScope {
		items["zones/"+p.cutOff] = map[string]any{"warning": map[string]any{"code": "UNREACHABLE", "message": "The scope cannot be reached."}}
	}
	if p.saysInList {
		out["unreachables"] = []any{"zones/" + p.cutOff}
	}
	return ok(out)
}

func (p *Project) deleteDisk(zone, name string) reply {
	resource := "zones/" + zone + "/disks/" + name
	d := p.disks[zone+"/"+name]
	if d == nil {
		return absent("projects/" + p.ID + "/" + resource)
	}
	if refusal, ok := p.need(resource, "compute.disks.delete"); !ok {
		return refusal
	}
	if users, _ := d.show["users"].([]any); len(users) > 0 {
		return fault(http.StatusBadRequest, "resourceInUseByAnotherResource", "The disk resource 'projects/%s/%s' is already being used by '%v'", p.ID, resource, users[0])
	}
	o := p.operate("delete", zone, "disks/"+name, "")
	o.done = func() { delete(p.disks, zone+"/"+name) }
	return ok(p.showOperation(o))
}

// release ends what an instance used.
func (p *Project) release(i *object) {
	for _, key := range sorted(p.disks) {
		d := p.disks[key]
		users, _ := d.show["users"].([]any)
		if d.zone != i.zone || !slices.Contains(users, i.show["selfLink"]) {
			continue
		}
		d.show["users"] = []any{}
		if d.asked["autoDelete"] == true {
			delete(p.disks, key)
		}
	}
}
