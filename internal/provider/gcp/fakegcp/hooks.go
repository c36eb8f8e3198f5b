package fakegcp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// What tests look at and change, without the API.

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (p *Project) locked() func() {
	p.server.mu.Lock()
	p.tick()
	return p.server.mu.Unlock
}

// Spoil lets a later call fail.
func (p *Project) Spoil(f Fault) { defer p.locked()(); p.faults = append(p.faults, f) }

// Expire refuses the service account and its tokens, or takes them again.
func (p *Project) Expire(yes bool) { defer p.locked()(); p.expired = yes }

// Lack takes permissions away from the service account; none gives all back.
func (p *Project) Lack(permissions ...string) {
	defer p.locked()()
	p.lacking = map[string]bool{}
	for _, name := range permissions {
		p.lacking[name] = true
	}
}

// Limit sets how many instances the project may have.
func (p *Project) Limit(n int) { defer p.locked()(); p.limit = n }

// SellOut lets inserts of an offer fail, after they were accepted, with the code.
func (p *Project) SellOut(offer, code string) { defer p.locked()(); p.soldOut[offer] = code }

// Slow sets how long operations take.
func (p *Project) Slow(took time.Duration) { defer p.locked()(); p.took = took }

// Forget makes the service forget the operations, and with them the request ids.
func (p *Project) Forget() { defer p.locked()(); p.ops = nil }

// CutOff makes a zone unreachable for listings, which the service may say in
// each of two places.
func (p *Project) CutOff(zone string, inScope, inList bool) {
	defer p.locked()()
	p.cutOff, p.saysInScope, p.saysInList = zone, inScope, inList
}

// HideNew lets listings leave out what is made from now on, until show is called.
func (p *Project) HideNew() (show func()) {
	defer p.locked()()
	p.settled = map[string]bool{}
	for _, from := range []map[string]*object{p.instances, p.disks} {
		for key := range from {
			p.settled[key] = true
		}
	}
	return func() { defer p.locked()(); p.settled = nil }
}

// Calls counts the requests so far, without those for tokens.
func (p *Project) Calls() int64 { defer p.locked()(); return p.calls }

// Tokens counts the access tokens that were given out.
func (p *Project) Tokens() int { defer p.locked()(); return p.tokens }

// Plant makes an instance of somebody else's, with the labels.
func (p *Project) Plant(zone, name string, labels map[string]any) {
	defer p.locked()()
	if labels == nil {
		labels = map[string]any{}
	}
	p.build(zone, name, map[string]any{
		"name": name, "machineType": "projects/" + p.ID + "/zones/" + zone + "/machineTypes/e2-standard-2", "labels": labels,
		"disks":             []any{map[string]any{"boot": true, "autoDelete": true, "initializeParams": map[string]any{"labels": labels}}},
		"networkInterfaces": []any{map[string]any{}},
	})
}

// PlantDisk makes a disk that no instance uses.
func (p *Project) PlantDisk(zone, name string, labels map[string]any) {
	defer p.locked()()
	p.disks[zone+"/"+name] = &object{zone: zone, name: name, asked: map[string]any{}, show: map[string]any{
		"kind": "compute#disk", "name": name, "zone": p.link("zones/%s", zone), "status": "READY", "creationTimestamp": stamp(time.Now()), "users": []any{}, "labels": labels, "sizeGb": "10",
	}}
}

// Status sets the status of an instance.
func (p *Project) Status(zone, name, status string) {
	defer p.locked()()
	p.instances[zone+"/"+name].show["status"] = status
}

// Asked is the body with which an instance was asked for; nil when there is none.
func (p *Project) Asked(zone, name string) map[string]any {
	defer p.locked()()
	if i := p.instances[zone+"/"+name]; i != nil {
		return i.asked
	}
	return nil
}

// Labels gives the labels of every instance and disk.
func (p *Project) Labels() map[string]map[string]string {
	defer p.locked()()
	out := map[string]map[string]string{}
	for kind, from := range map[string]map[string]*object{"instance": p.instances, "disk": p.disks} {
		for key, o := range from {
			labels := map[string]string{}
			have, _ := o.show["labels"].(map[string]any)
			for k, v := range have {
				labels[k], _ = v.(string)
			}
			out[kind+" "+key] = labels
		}
	}
	return out
}

// Instances counts the instances.
func (p *Project) Instances() int { defer p.locked()(); return len(p.instances) }

// Objects names every instance and disk.
func (p *Project) Objects() []string {
	defer p.locked()()
	var out []string
	for _, key := range sorted(p.instances) {
		out = append(out, "instance "+key)
	}
	for _, key := range sorted(p.disks) {
		out = append(out, "disk "+key)
	}
	return out
}

// Records lists the DNS records of example.com as text, without those that every
// zone has.
func (p *Project) Records() []string {
	defer p.locked()()
	var out []string
	for _, s := range p.names["example-com"] {
		if s.Type != "NS" && s.Type != "SOA" {
			out = append(out, fmt.Sprintf("%s %s %d %s", s.Name, s.Type, s.TTL, strings.Join(s.Data, ",")))
		}
	}
	slices.Sort(out)
	return out
}

// AddRecords puts a record set there as somebody else would.
func (p *Project) AddRecords(name, kind string, ttl int, data ...string) {
	defer p.locked()()
	p.names["example-com"] = append(p.names["example-com"], rrset{Name: name, Type: kind, TTL: ttl, Data: data})
}

// PrivateZone lets a private zone of the same name stand before the public one.
func (p *Project) PrivateZone() { defer p.locked()(); p.soldOut["private zone"] = "yes" }
