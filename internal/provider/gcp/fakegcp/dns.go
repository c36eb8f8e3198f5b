package fakegcp

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type rrset struct {
	Name string   `json:"name"`
	Type string   `json:"type"`
	TTL  int      `json:"ttl"`
	Data []string `json:"rrdatas"`
}

func (s rrset) show() map[string]any {
	data := []any{}
	for _, d := range s.Data {
		data = append(data, d)
	}
	return map[string]any{"kind": "dns#resourceRecordSet", "name": s.Name, "type": s.Type, "ttl": s.TTL, "rrdatas": data}
}

// dns answers a call to Cloud DNS: parts are managedZones, …
func (p *Project) dns(r *http.Request, parts []string, body []byte) reply {
	zone := map[string]any{"kind": "dns#managedZone", "name": "example-com", "dnsName": "example.com.", "id": "4", "visibility": "public"}
	if len(parts) == 1 {
		if refusal, ok := p.need("managedZones", "dns.managedZones.list"); !ok {
			return refusal
		}
		list := []any{}
		if name := r.URL.Query().Get("dnsName"); name == "" || name == "example.com." {
			list = append(list, zone)
			if p.soldOut["private zone"] != "" {
				list = append([]any{map[string]any{"kind": "dns#managedZone", "name": "inside", "dnsName": "example.com.", "id": "5", "visibility": "private"}}, list...)
			}
		}
		return ok(map[string]any{"kind": "dns#managedZonesListResponse", "managedZones": list})
	}
	if name, asks := strings.CutSuffix(parts[1], ":testIamPermissions"); asks && p.names[name] != nil {
		return p.granted(body)
	}
	records, found := p.names[parts[1]]
	if !found {
		return fault(http.StatusNotFound, "notFound", "The 'parameters.managedZone' resource named '%s' does not exist.", parts[1])
	}
	switch {
	case len(parts) == 3 && parts[2] == "rrsets":
		if refusal, ok := p.need("managedZones/"+parts[1], "dns.resourceRecordSets.list"); !ok {
			return refusal
		}
		q := r.URL.Query()
		var list []any
		for _, s := range records {
			if (q.Get("name") == "" || q.Get("name") == s.Name) && (q.Get("type") == "" || q.Get("type") == s.Type) {
				list = append(list, s.show())
			}
		}
		part, next, _ := paged(r, list)
		out := map[string]any{"kind": "dns#resourceRecordSetsListResponse", "rrsets": append([]any{}, part...)}
		if next != "" {
			out["nextPageToken"] = next
		}
		return ok(out)
	case len(parts) == 3 && parts[2] == "changes" && r.Method == http.MethodPost:
		return p.change(parts[1], body)
	}
	return fault(http.StatusNotFound, "notFound", "Not found.")
}

// change applies a whole change or nothing.
func (p *Project) change(zone string, body []byte) reply {
	if refusal, ok := p.need("managedZones/"+zone, "dns.changes.create", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete", "dns.resourceRecordSets.update"); !ok {
		return refusal
	}
	var in struct{ Additions, Deletions []rrset }
	if json.Unmarshal(body, &in) != nil || len(in.Additions)+len(in.Deletions) == 0 {
		return fault(http.StatusBadRequest, "required", "The 'entity.change' parameter is required but was missing.")
	}
	records := slices.Clone(p.names[zone])
	same := func(a, b rrset) bool { return a.Name == b.Name && a.Type == b.Type }
	for i, d := range in.Deletions {
		at := slices.IndexFunc(records, func(s rrset) bool { return same(s, d) })
		if at < 0 {
			return fault(http.StatusNotFound, "notFound", "The 'entity.change.deletions[%d]' resource named '%s (%s)' does not exist.", i, d.Name, d.Type)
		}
		if records[at].TTL != d.TTL || !slices.Equal(records[at].Data, d.Data) {
			return fault(http.StatusPreconditionFailed, "conditionNotMet", "Precondition not met for 'entity.change.deletions[%d]'", i)
		}
		records = slices.Delete(records, at, at+1)
	}
	for i, a := range in.Additions {
		where := "entity.change.additions[" + strconv.Itoa(i) + "]"
		if slices.ContainsFunc(records, func(s rrset) bool { return same(s, a) }) {
			return fault(http.StatusConflict, "alreadyExists", "The resource '%s' named '%s (%s)' already exists", where, a.Name, a.Type)
		}
		quoted := func(s string) bool { return strings.HasPrefix(s, `"`) && strings.HasSuffix(s, `"`) }
		if len(a.Data) == 0 || !strings.HasSuffix("."+a.Name, ".example.com.") || a.Type == "TXT" && !quoted(a.Data[0]) {
			return fault(http.StatusBadRequest, "invalid", "Invalid value for '%s'", where)
		}
		records = append(records, a)
	}
	p.names[zone] = records
	show := func(sets []rrset) []any {
		out := []any{}
		for _, s := range sets {
			out = append(out, s.show())
		}
		return out
	}
	return ok(map[string]any{"kind": "dns#change", "id": "9", "status": "pending", "startTime": time.Now().UTC().Format(time.RFC3339), "additions": show(in.Additions), "deletions": show(in.Deletions)})
}
