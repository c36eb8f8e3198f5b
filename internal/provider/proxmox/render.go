package proxmox

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Render shows the requests that make a machine: the clone, and those that
// finish it.
func (d *driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	what := "showing the requests for machine " + req.Name
	all, err := d.api.resources(ctx, "")
	if err != nil {
		return nil, failure(what, err)
	}
	plans, err := d.plans(all, req.Offer)
	if err != nil {
		return nil, err
	}
	p, err := d.withRoom(ctx, all, plans)
	if err != nil {
		p = plans[0] // what would be sent is shown all the same
	}
	mark, start := markOf(req)
	vmid, _, err := d.claim(vmids(all), mark, start)
	if err != nil {
		return nil, failure(what, err)
	}
	d.unclaim(vmid, mark)
	i := provider.Instance{ID: identity{vmid, mark}.String(), CreatedAt: d.now().UTC().Truncate(time.Second)}
	o, err := d.cloneOptions(p, req, i)
	if err != nil {
		return nil, failure(what, err)
	}
	c, err := d.api.config(ctx, p.template.Node, p.template.VMID)
	if err != nil {
		return nil, failure(what, err)
	}
	delete(c, "digest")
	n, _ := parseNotes(o.Description, vmid)
	configure, err := n.options(c)
	if err != nil {
		return nil, failure(what, err)
	}
	calls := []provider.RenderedCall{
		{Call: "POST " + vmPath(p.template.Node, p.template.VMID, "/clone"), Body: o},
		{Call: "PUT " + vmPath(p.target, vmid, "/config"), Body: configure},
		{Call: "POST " + vmPath(p.target, vmid, "/status/start")},
	}
	return calls, nil
}

// Choices lists values for a setting.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	what := "listing choices for " + setting
	if setting == "network_bridge" {
		return d.bridges(ctx)
	}
	kind := map[string]string{"template": "vm", "node": "node", "target_nodes": "node", "storage": "storage"}[setting]
	if kind == "" && setting != "pool" {
		return nil, provider.Errorf(provider.Unsupported, "there is no list of choices for %s; there are lists for template, node, target_nodes, storage, network_bridge and pool", setting)
	}
	if setting == "pool" {
		return d.pools(ctx)
	}
	all, err := d.api.resources(ctx, kind)
	if err != nil {
		return nil, failure(what, err)
	}
	var out []provider.Choice
	for _, r := range all {
		switch {
		case kind == "vm" && bool(r.Template) && (r.Type == "" || r.Type == "qemu"):
			out = append(out, provider.Choice{Value: strconv.Itoa(r.VMID), Label: r.Name, Description: "on node " + r.Node})
		case kind == "node":
			out = append(out, provider.Choice{Value: r.Node, Description: r.Status})
		case kind == "storage" && strings.Contains(r.Content, "images"):
			about := "local to node " + r.Node
			if r.Shared {
				about = "shared"
			}
			out = append(out, provider.Choice{Value: r.Storage, Description: about})
		}
	}
	return sorted(out), nil
}

func sorted(all []provider.Choice) []provider.Choice {
	slices.SortFunc(all, func(a, b provider.Choice) int { return strings.Compare(a.Value, b.Value) })
	return slices.CompactFunc(all, func(a, b provider.Choice) bool { return a.Value == b.Value })
}

func (d *driver) pools(ctx context.Context) ([]provider.Choice, error) {
	var list []struct {
		ID      string `json:"poolid"`
		Comment string `json:"comment"`
	}
	if err := d.api.client.Get(ctx, "/pools", &list); err != nil {
		return nil, failure("listing pools", err)
	}
	var out []provider.Choice
	for _, p := range list {
		out = append(out, provider.Choice{Value: p.ID, Description: p.Comment})
	}
	return sorted(out), nil
}

func (d *driver) bridges(ctx context.Context) ([]provider.Choice, error) {
	all, err := d.api.resources(ctx, "node")
	if err != nil {
		return nil, failure("listing nodes", err)
	}
	var out []provider.Choice
	for _, n := range all {
		if n.Status != "online" {
			continue
		}
		names, err := d.api.bridges(ctx, n.Node)
		if err != nil {
			return nil, failure("listing the bridges of node "+n.Node, err)
		}
		for _, name := range names {
			out = append(out, provider.Choice{Value: name, Description: "on node " + n.Node})
		}
	}
	return sorted(out), nil
}
