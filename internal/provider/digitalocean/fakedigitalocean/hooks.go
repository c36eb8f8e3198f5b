package fakedigitalocean

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// What tests look at and change, without the API.

func sorted(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

func (a *Account) locked() func() {
	a.server.mu.Lock()
	a.tick()
	return a.server.mu.Unlock
}

// Spoil lets a later call fail.
func (a *Account) Spoil(f Fault) { defer a.locked()(); a.faults = append(a.faults, f) }

// Expire refuses the token, or takes it again.
func (a *Account) Expire(yes bool) { defer a.locked()(); a.expired = yes }

// Lack takes a scope away from the token; empty gives all back.
func (a *Account) Lack(scope string) { defer a.locked()(); a.lacking = map[string]bool{scope: true} }

// Limit sets how many Droplets the account may have.
func (a *Account) Limit(n int) { defer a.locked()(); a.limit = n }

// SellOut makes a size unavailable.
func (a *Account) SellOut(size string) { defer a.locked()(); a.soldOut[size] = true }

// HideNew lets the API not show Droplets that are made from now on, until show is
// called. Tags count them.
func (a *Account) HideNew() (show func()) {
	defer a.locked()()
	a.settled = map[int]bool{}
	for _, d := range a.droplets {
		a.settled[d.ID] = true
	}
	return func() { defer a.locked()(); a.settled = nil }
}

// Calls counts the requests so far.
func (a *Account) Calls() int64 { defer a.locked()(); return a.calls }

// Plant makes a Droplet of somebody else's.
func (a *Account) Plant(name string, tags ...string) int {
	defer a.locked()()
	d := &droplet{ID: a.server.id(), Name: name, Size: "s-1vcpu-1gb", Tags: append([]string{}, tags...), Created: time.Now(), Status: "active", Features: []string{}}
	for _, t := range tags {
		a.tags[t] = true
	}
	a.droplets = append(a.droplets, d)
	return d.ID
}

// PlantTag makes a tag.
func (a *Account) PlantTag(name string) { defer a.locked()(); a.tags[name] = true }

// Droplet tells of one Droplet; ok is false when there is none.
func (a *Account) Droplet(id int) (name, userData string, tags []string, ok bool) {
	defer a.locked()()
	for _, d := range a.droplets {
		if d.ID == id {
			return d.Name, d.UserData, slices.Clone(d.Tags), true
		}
	}
	return "", "", nil, false
}

// Droplets counts the Droplets.
func (a *Account) Droplets() int { defer a.locked()(); return len(a.droplets) }

// Objects names everything in the account that a machine is made of.
func (a *Account) Objects() []string {
	defer a.locked()()
	var out []string
	for _, d := range a.droplets {
		out = append(out, fmt.Sprintf("droplet %d %s", d.ID, d.Name))
	}
	for _, t := range sorted(a.tags) {
		out = append(out, "tag "+t)
	}
	return out
}

// FirewallTags lists the tags of the firewall.
func (a *Account) FirewallTags() []string {
	defer a.locked()()
	return slices.Clone(a.firewalls[0].Tags)
}

// Records lists the DNS records of a domain as text.
func (a *Account) Records(domain string) []string {
	defer a.locked()()
	var out []string
	for _, r := range a.records[domain] {
		out = append(out, fmt.Sprintf("%s %s %s %d", r.Name, r.Type, r.Data, r.TTL))
	}
	slices.Sort(out)
	return out
}

// AddText puts a TXT record there as somebody else would.
func (a *Account) AddText(domain, name, text string) {
	defer a.locked()()
	a.records[domain] = append(a.records[domain], &record{ID: a.server.id(), Name: name, Type: "TXT", Data: text, TTL: 60})
}
