package proxmox

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/provider"
)

// plan is from what and where a machine is made.
type plan struct {
	template resource
	target   string // node
	fixed    bool   // the settings name the node
}

// templates lists what the setting template may mean, by VMID or by name.
// loosely includes virtual machines that are no templates.
func (s Settings) templates(all []resource, loosely bool) []resource {
	vmid, err := strconv.Atoi(s.Template)
	byNumber := err == nil
	var found []resource
	for _, r := range all {
		if r.Type != "" && r.Type != "qemu" {
			continue
		}
		if (byNumber && r.VMID == vmid || !byNumber && r.VMID != 0 && r.Name == s.Template) && (loosely || bool(r.Template)) {
			if s.Node == "" || r.Node == s.Node || byNumber {
				found = append(found, r)
			}
		}
	}
	slices.SortFunc(found, func(a, b resource) int { return a.VMID - b.VMID })
	return found
}

// plans are the templates and nodes that a new machine can have, the best first;
// at least one. offer is a node of the settings, or empty.
func (d *driver) plans(all []resource, offer string) ([]plan, error) {
	templates := d.settings.templates(all, false)
	if len(templates) == 0 {
		return nil, d.noTemplate(all)
	}
	nodes := map[string]resource{}
	for _, r := range all {
		if r.Type == "node" {
			nodes[r.Node] = r
		}
	}
	online := slices.DeleteFunc(slices.Clone(templates), func(t resource) bool { return !isOnline(nodes, t.Node) })
	if len(online) == 0 {
		return nil, provider.Errorf(provider.Unavailable, "template %s is on node %s, which is offline: clones are made by the template's node", d.settings.Template, nodesOf(templates))
	}
	if offer == "" && len(d.settings.TargetNodes) > 0 {
		return d.targets(online, nodes, d.settings.TargetNodes)
	}
	if offer != "" {
		return d.targets(online, nodes, []string{offer})
	}
	// The online node with the most free memory. What is not known (the token
	// lacks Sys.Audit on the nodes) counts as least.
	var names []string
	for name := range nodes {
		if isOnline(nodes, name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(free(nodes[b]), free(nodes[a])), cmp.Compare(machinesOn(all, a), machinesOn(all, b)), cmp.Compare(a, b))
	})
	if len(names) == 0 {
		names = []string{online[0].Node}
	}
	var found []plan
	for _, name := range names {
		if f := free(nodes[name]); f > 0 && f < float64(d.settings.Memory)*(1<<20) {
			continue
		}
		found = append(found, plan{template: nearest(online, name), target: name})
	}
	if len(found) == 0 {
		return nil, provider.Errorf(provider.NoCapacity, "no node has %v of memory left: the most is %.1f GiB on node %s", d.settings.Memory, free(nodes[names[0]])/(1<<30), names[0])
	}
	return found, nil
}

// targets are those of the named nodes that can take a machine, in their order.
func (d *driver) targets(online []resource, nodes map[string]resource, names []string) (found []plan, last error) {
	for _, name := range names {
		p, err := d.fixedTarget(online, nodes, name)
		if err != nil {
			last = err
			continue
		}
		found = append(found, p)
	}
	if len(found) > 0 {
		last = nil
	}
	return found, last
}

func (d *driver) fixedTarget(online []resource, nodes map[string]resource, name string) (plan, error) {
	n, there := nodes[name]
	switch f := free(n); {
	case !there && len(nodes) > 0:
		return plan{}, provider.Errorf(provider.NoCapacity, "the cluster has no node %s: correct target_nodes; it has %s", name, nodeNames(nodes))
	case !isOnline(nodes, name):
		return plan{}, provider.Errorf(provider.NoCapacity, "node %s is offline", name)
	case f > 0 && f < float64(d.settings.Memory)*(1<<20):
		return plan{}, provider.Errorf(provider.NoCapacity, "node %s has %.1f GiB of memory left, a machine has %v", name, f/(1<<30), d.settings.Memory)
	}
	return plan{template: nearest(online, name), target: name, fixed: true}, nil
}

// noTemplate says why the setting template leads nowhere.
func (d *driver) noTemplate(all []resource) error {
	s := d.settings
	if loose := s.templates(all, true); len(loose) > 0 {
		if loose[0].Status == "unknown" || loose[0].Status == "" {
			return provider.Errorf(provider.Unavailable, "node %s does not tell whether VM %s is a template: it is offline, or its statistics service pvestatd does not run", loose[0].Node, s.Template)
		}
		return provider.Errorf(provider.Invalid, "VM %s (%s) is no template: convert it to one, or name another in template", s.Template, loose[0].Name)
	}
	for _, r := range all {
		if r.VMID != 0 && r.Name == "" && (r.Status == "unknown" || r.Status == "") {
			return provider.Errorf(provider.Unavailable, "there is no template %s on the nodes that are up; node %s does not tell the names of its virtual machines: it is offline, or its statistics service pvestatd does not run", s.Template, r.Node)
		}
	}
	if s.Node != "" {
		elsewhere := s
		elsewhere.Node = ""
		if other := elsewhere.templates(all, false); len(other) > 0 {
			return provider.Errorf(provider.Invalid, "node %s has no template %s, it is on %s: correct node", s.Node, s.Template, nodesOf(other))
		}
	}
	var names []string
	for _, r := range all {
		if r.Template {
			names = append(names, r.Name+" ("+strconv.Itoa(r.VMID)+")")
		}
	}
	if len(names) == 0 {
		return provider.Errorf(provider.Invalid, "there is no template %s: the API token sees no template at all; make one, or give the token VM.Audit on it", s.Template)
	}
	slices.Sort(names)
	return provider.Errorf(provider.Invalid, "there is no template %s that the API token can see; it sees %s", s.Template, joinAnd(names[:min(len(names), 10)]))
}

func isOnline(nodes map[string]resource, name string) bool {
	return len(nodes) == 0 || nodes[name].Status == "online"
}

// free is the memory of a node that nobody uses; 0 when it is not known.
func free(n resource) float64 { return max(n.MaxMem-n.Mem, 0) }

func machinesOn(all []resource, node string) int {
	n := 0
	for _, r := range all {
		if r.VMID != 0 && r.Node == node && r.Status == "running" {
			n++
		}
	}
	return n
}

// nearest is the template on the node, else the first.
func nearest(templates []resource, node string) resource {
	for _, t := range templates {
		if t.Node == node {
			return t
		}
	}
	return templates[0]
}

func nodesOf(templates []resource) string {
	var names []string
	for _, t := range templates {
		names = append(names, t.Node)
	}
	slices.Sort(names)
	return joinAnd(slices.Compact(names))
}

func nodeNames(nodes map[string]resource) string {
	var names []string
	for n := range nodes {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
