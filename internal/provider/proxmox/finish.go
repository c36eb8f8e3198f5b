package proxmox

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	pve "github.com/luthermonson/go-proxmox"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// maxSteps is how many requests one listing spends on machines that are on
	// their way; the rest waits for the next one.
	maxSteps = 30
	// stepsOfOne is the same for a look at one machine.
	stepsOfOne = 4
	// agentPatience is how long after its start a machine is asked for its
	// addresses.
	agentPatience = 10 * time.Minute
)

// budget is how many requests are left.
type budget int

func (b *budget) take(n budget) bool {
	if *b < n {
		return false
	}
	*b -= n
	return true
}

// wanted are the options that every machine gets, before those that depend on
// what the template says.
func (d *driver) wanted() map[string]any {
	s := d.settings
	w := map[string]any{"cores": s.Cores, "sockets": 1, "memory": int64(s.Memory), "protection": 0}
	if fleet.Value(s.CloudInit, true) {
		switch s.IPConfig {
		case "", "dhcp":
			w["ipconfig0"] = "ip=dhcp"
		case "dhcp6":
			w["ipconfig0"] = "ip6=dhcp"
		case "auto6":
			w["ipconfig0"] = "ip6=auto"
		}
		if s.CloudInitUser != "" {
			w["ciuser"] = s.CloudInitUser
		}
		if len(s.NameServers) > 0 {
			w["nameserver"] = strings.Join(s.NameServers, " ")
		}
		if keys := strings.TrimSpace(s.SSHPublicKey); keys != "" {
			w["sshkeys"] = pve.EncodeSSHKeys(strings.ReplaceAll(keys, "\r\n", "\n"))
		}
	}
	for key, value := range s.ConfigOverride {
		if value == nil {
			delete(w, key)
			continue
		}
		if b, ok := value.(bool); ok {
			value = 0
			if b {
				value = 1
			}
		}
		w[key] = value
	}
	return w
}

// options are what a clone is configured with, seen what it got from its
// template.
func (n notes) options(c vmConfig) (map[string]any, error) {
	o := maps.Clone(n.Configure)
	if o == nil {
		o = map[string]any{}
	}
	if _, set := o["net0"]; n.Bridge != "" && !set {
		o["net0"] = netDevice(c.text("net0"), n.Bridge, n.VLAN)
	}
	if _, set := o["agent"]; n.Agent && !set {
		if value, done := withAgent(c.text("agent")); !done {
			o["agent"] = value
		}
	}
	if drop := inheritedLimits(o, c); len(drop) > 0 {
		o["delete"] = strings.Join(drop, ",")
	}
	_, inherited, _ := decodeTags(c.text("tags"), n.VMID)
	t := tagged{identity: n.identity(), tags: n.owned(), created: time.Unix(n.Created, 0), fresh: true}
	o["tags"] = t.encode(slices.Concat(inherited, n.More))
	n.Configure, n.Bridge, n.VLAN, n.Agent = nil, "", 0, false
	text, err := n.text()
	if err != nil {
		return nil, err
	}
	o["description"] = text
	// Two controllers may be at it: what was read must still be so.
	if digest := c.text("digest"); digest != "" {
		o["digest"] = digest
	}
	return o, nil
}

// inheritedLimits are options of the template that do not fit a machine of
// another size: the virtual machine would not start with them.
func inheritedLimits(o map[string]any, c vmConfig) (drop []string) {
	if _, set := o["balloon"]; !set {
		balloon, err := strconv.ParseInt(c.text("balloon"), 10, 64)
		if memory, ok := number(o["memory"]); err == nil && ok && balloon > memory {
			drop = append(drop, "balloon")
		}
	}
	if c.text("vcpus") != "" {
		drop = append(drop, "vcpus")
	}
	return drop
}

// number reads a number that may have been JSON in between.
func number(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	}
	return 0, false
}

// finish configures and starts a clone that has its disks. It is not to be
// called for a machine whose tags have been set meanwhile. What goes wrong
// leaves it as it is, for the next listing.
func (d *driver) finish(ctx context.Context, r resource, n notes, c vmConfig, i *provider.Instance, steps *budget) {
	if !steps.take(1) {
		return
	}
	o, err := n.options(c)
	if err == nil {
		err = d.api.configure(ctx, r.Node, r.VMID, o)
	}
	if err != nil {
		d.blame(i, "configuring the machine", err)
		return
	}
	d.start(ctx, r, i, steps)
}

func (d *driver) start(ctx context.Context, r resource, i *provider.Instance, steps *budget) {
	if !steps.take(1) {
		return
	}
	if err := d.api.post(ctx, vmPath(r.Node, r.VMID, "/status/start"), nil); err != nil {
		d.blame(i, "starting the machine", err)
	}
}

// blame keeps why a machine does not get on. What can never work fails the
// machine; what needs a right or a moment leaves it pending, so that it goes
// on once that is there.
func (d *driver) blame(i *provider.Instance, what string, err error) {
	e := failure(what, err)
	var pe *provider.Error
	if !errors.As(e, &pe) {
		return
	}
	i.Fault = pe.Message
	if pe.Class == provider.Invalid || pe.Class == provider.Unsupported {
		i.State = provider.StateFailed
	}
}

// settle looks after a machine that is configured and has not been seen
// running, or whose addresses are not known yet.
func (d *driver) settle(ctx context.Context, r resource, t tagged, i *provider.Instance, steps *budget) {
	switch i.State {
	case provider.StateRunning:
		d.learnAddresses(ctx, r, t, i, steps)
	case provider.StatePending, provider.StateDeleting, provider.StateFailed:
	case provider.StateStopped:
		i.State, i.Fault = provider.StatePending, ""
		if r.Lock != "" {
			return
		}
		d.startOnce(ctx, r, t, i, steps)
	}
}

// startOnce starts a machine that has never been started. The listing may be
// older than its start, so it is looked at anew.
func (d *driver) startOnce(ctx context.Context, r resource, t tagged, i *provider.Instance, steps *budget) {
	if !steps.take(2) {
		return
	}
	s, err := d.api.status(ctx, r.Node, r.VMID)
	if now, _, ours := decodeTags(s.Tags, r.VMID); err != nil || !ours || now.identity != t.identity || s.Lock != "" {
		return
	}
	if s.Status != "stopped" {
		return // listings will say so within ten seconds, and its tags are not touched before they do
	}
	ended, never, err := d.api.lastStart(ctx, r.Node, r.VMID)
	switch {
	case err != nil:
		d.blame(i, "reading how the machine was started", err)
	case never:
		d.start(ctx, r, i, steps)
	case ended == "":
	case ended == "OK" || strings.HasPrefix(ended, "WARNINGS"):
		i.State, i.Fault = provider.StateStopped, "the virtual machine has switched itself off after its start"
	default:
		i.State, i.Fault = provider.StateFailed, "the virtual machine could not be started: "+ended
	}
}

// learnAddresses writes the addresses of a machine into its tags, so that
// listings have them without asking every machine.
func (d *driver) learnAddresses(ctx context.Context, r resource, t tagged, i *provider.Instance, steps *budget) {
	if !steps.take(2) {
		return
	}
	addresses, err := d.api.addresses(ctx, r.Node, r.VMID)
	if (err != nil || len(addresses) == 0) && time.Duration(r.Uptime)*time.Second < agentPatience {
		return
	}
	i.Addresses = addresses
	_, others, _ := decodeTags(r.Tags, r.VMID)
	t.fresh, t.addresses = false, addresses
	_ = d.api.configure(ctx, r.Node, r.VMID, map[string]any{"tags": t.encode(others)}) // the next listing repeats it
}
