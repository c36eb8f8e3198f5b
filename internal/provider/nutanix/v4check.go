package nutanix

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Check asks Prism for its version and for each reference, and reads whatever
// the driver reads. It makes nothing. The v4 API does not say what a user may
// change.
func (d *driver4) Check(ctx context.Context) (provider.Report, error) {
	var c checks
	version := ""
	err := d.clusters(ctx, "", func(cl cluster4) {
		if cl.central() {
			version = orElse(cl.Config.Build.Version, "of a version that it does not say")
		}
	})
	switch class := provider.ClassOf(err); {
	case err != nil && class != provider.Forbidden:
		c.fail("Prism Central", err, "")
		return provider.Report{Findings: c}, nil
	case err != nil:
		c.warn("Prism Central", "reached, but it does not list its clusters: "+err.Error(), "give the user the right View_Cluster; without it, cluster must be empty or a UUID")
	case version == "":
		c.warn("Prism Central", "reached at "+d.api.connection.host+", but none of the clusters that it shows is a Prism Central; Prism Element has no categories and cannot be used", "give the address of Prism Central as host, or let the user view it")
	default:
		c.ok("Prism Central", fmt.Sprintf("reached at %s, %s, API v4.0", d.api.connection.host, version))
	}
	c.warn("api_version", "v4 is experimental: it was tried with the vendor's published models and with no real Prism Central", "try one machine before you rely on many, or use v3")
	d.checkReferences(ctx, &c)
	if _, err := d.api.do(ctx, call4{doing: "marks of machines", method: http.MethodGet, path: categoriesV4, query: url.Values{
		"$page": {"0"}, "$limit": {"1"}, "$filter": {equals("key", markKey)},
	}}); err != nil {
		c.fail("marks of machines", err, "give the user the right View_Category")
	} else {
		c.ok("marks of machines", "the values of category "+markKey+" can be read")
	}
	if _, err := d.api.do(ctx, call4{doing: "tasks", method: http.MethodGet, path: tasksV4, query: url.Values{"$page": {"0"}, "$limit": {"1"}}}); err != nil {
		c.fail("tasks", err, "give the user the right View_Task: without it a clone cannot be followed")
	} else {
		c.ok("tasks", "can be read")
	}
	c.warn("rights", "the v4 API does not say what the user may change", "compare the role of the user with the list on the page of the provider")
	return provider.Report{Findings: c}, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// checkReferences looks each reference up anew, not in the memory.
func (d *driver4) checkReferences(ctx context.Context, c *checks) {
	from, err := d.source(ctx)
	switch {
	case err != nil:
		c.fail("vm_candidate", err, "choose a virtual machine or a template that exists; provider catalog lists them")
		return
	case from.template:
		c.ok("vm_candidate", fmt.Sprintf("template %s (%s)", from.name, from.id))
	default:
		c.ok("vm_candidate", fmt.Sprintf("%s (%s), %d virtual CPUs, %d MiB", from.name, from.id,
			from.vm.Sockets*orDefault(from.vm.PerSocket, 1)*orDefault(from.vm.Threads, 1), from.vm.MemoryBytes>>20))
		if from.vm.Power == "ON" {
			c.warn("vm_candidate power", "it is running: its clones begin with disks as after a power failure", "shut it down before machines are made from it")
		}
	}
	cluster, err := d.cluster(ctx, from)
	switch {
	case err != nil:
		c.fail("cluster", err, "choose a cluster that exists; provider catalog lists them")
	case cluster != "":
		c.ok("cluster", shown(d.settings.Cluster, cluster))
	}
	if d.settings.Subnet != "" {
		if subnet, err := d.subnet(ctx, cluster); err != nil {
			c.fail("subnet", err, "choose a subnet that exists; provider catalog lists them")
		} else {
			c.ok("subnet", shown(d.settings.Subnet, subnet))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(d.settings.Categories)) {
		if _, err := d.category(ctx, key, d.settings.Categories[key]); err != nil {
			c.fail("category "+key, err, "make it in Prism Central under Administration, Categories, or correct categories."+key)
		} else {
			c.ok("category "+key, d.settings.Categories[key])
		}
	}
}
