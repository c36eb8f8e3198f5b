package digitalocean

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	sharedPrefix = provider.TagProvider + ":"
	serverPrefix = provider.TagServer + ":"
)

// sharedTag is on everything of one owner.
func sharedTag(o provider.Owner) string { return sharedPrefix + o.Installation + ":" + o.Provider }

// marks is what the tag of one machine says.
func marks(t provider.Tags) string {
	return strings.Join([]string{t.Installation, t.Provider, t.AutoscaleConfig, t.Server}, ":")
}

func serverTag(t provider.Tags) string { return serverPrefix + marks(t) }

// parseMarks reads what marks wrote. No part of it holds a colon.
func parseMarks(text string) (provider.Tags, bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 {
		return provider.Tags{}, false
	}
	return provider.Tags{Installation: parts[0], Provider: parts[1], AutoscaleConfig: parts[2], Server: parts[3]}, true
}

// tagsOf reads whose a Droplet is.
func tagsOf(tags []string) provider.Tags {
	var shared provider.Tags
	for _, tag := range tags {
		if text, ok := strings.CutPrefix(tag, serverPrefix); ok {
			if t, ok := parseMarks(text); ok {
				return t
			}
		}
		if text, ok := strings.CutPrefix(tag, sharedPrefix); ok {
			if installation, name, ok := strings.Cut(text, ":"); ok {
				shared = provider.Tags{Installation: installation, Provider: name}
			}
		}
	}
	return shared
}

// machineID is the id of a machine: the Droplet, and what its tag says.
func machineID(droplet int, t provider.Tags) string { return strconv.Itoa(droplet) + "@" + marks(t) }

func parseID(id string) (droplet int, t provider.Tags, err error) {
	number, text, ok := strings.Cut(id, "@")
	droplet, convErr := strconv.Atoi(number)
	t, marked := parseMarks(text)
	if !ok || !marked || convErr != nil || droplet <= 0 {
		return 0, t, provider.Errorf(provider.Invalid, "%q is no id of a Droplet", id)
	}
	return droplet, t, nil
}

// instance is a Droplet as the contract shows it.
func instance(d *godo.Droplet) provider.Instance {
	t := tagsOf(d.Tags)
	out := provider.Instance{
		ID: machineID(d.ID, t), Name: d.Name, Tags: t, Offer: d.SizeSlug,
		Capacity: fleet.Resources{Cores: fleet.Cores(d.Vcpus) * fleet.Core, MemoryMiB: int64(d.Memory)},
	}
	out.CreatedAt, _ = time.Parse(time.RFC3339, d.Created) // zero where the cloud does not tell
	switch d.Status {
	case "active":
		out.State = provider.StateRunning
	case "off":
		out.State, out.Fault = provider.StateStopped, "the Droplet is powered off"
	case "archive":
		out.State = provider.StateDeleting
	default: // new
		out.State = provider.StatePending
	}
	if d.Networks != nil {
		for _, kind := range []string{"public", "private"} {
			for _, n := range d.Networks.V4 {
				out.Addresses = addAddress(out.Addresses, n.IPAddress, n.Type == kind)
			}
			for _, n := range d.Networks.V6 {
				out.Addresses = addAddress(out.Addresses, n.IPAddress, n.Type == kind)
			}
		}
	}
	return out
}

func addAddress(list []string, text string, wanted bool) []string {
	if a, err := netip.ParseAddr(text); err == nil && wanted {
		list = append(list, a.String())
	}
	return list
}
