package fakegcp

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var (
	zones     = []string{"europe-west3-a", "europe-west3-b", "europe-west3-c"}
	diskTypes = []string{"pd-balanced", "pd-ssd", "pd-standard"}
)

// typesOf are the machine types of a zone: not every zone has all.
func typesOf(zone string) []string {
	if zone == "europe-west3-c" {
		return []string{"e2-standard-2"}
	}
	return []string{"e2-standard-2", "n1-standard-4", "n2-standard-4"}
}

type image struct {
	project, name, family string
	size                  int
	windows               bool
}

var imagesThere = []image{
	{"debian-cloud", "debian-12-bookworm-v20261110", "debian-12", 10, false},
	{"", "golden-7", "golden", 30, false},
	{"", "golden-windows-3", "golden-windows", 50, true},
}

// findImage finds an image by its path; own stands for the project itself.
func findImage(own, path string) *image {
	for n := range imagesThere {
		i := &imagesThere[n]
		project := i.project
		if project == "" {
			project = own
		}
		if path == "projects/"+project+"/global/images/"+i.name || path == "projects/"+project+"/global/images/family/"+i.family {
			return i
		}
	}
	return nil
}

func (i *image) show(own string) map[string]any {
	project := i.project
	if project == "" {
		project = own
	}
	features := []any{map[string]any{"type": "UEFI_COMPATIBLE"}}
	if i.windows {
		features = append(features, map[string]any{"type": "WINDOWS"})
	}
	return map[string]any{
		"kind": "compute#image", "id": strconv.Itoa(len(i.name)), "name": i.name, "family": i.family, "status": "READY", "diskSizeGb": strconv.Itoa(i.size),
		"guestOsFeatures": features, "description": "An image.", "creationTimestamp": "2026-11-10T00:00:00.000-08:00",
		"selfLink": "https://www.googleapis.com/compute/v1/projects/" + project + "/global/images/" + i.name,
	}
}

// images answers calls about images: parts are project, global, images, …
func (p *Project) images(r *http.Request, parts []string) reply {
	project, own := parts[0], parts[0] == p.ID
	path := "projects/" + strings.Join(parts, "/")
	switch {
	case len(parts) == 3:
		if refusal, ok := p.need("global/images", "compute.images.list"); !ok && own {
			return refusal
		}
		list := []any{}
		for n := range imagesThere {
			if i := &imagesThere[n]; i.project == project || i.project == "" && own {
				list = append(list, i.show(p.ID))
			}
		}
		return ok(map[string]any{"kind": "compute#imageList", "id": path, "items": list})
	case len(parts) == 5 && parts[4] == "testIamPermissions":
		return p.granted(nil, "compute.images.useReadOnly")
	}
	if refusal, ok := p.need(strings.Join(parts[1:], "/"), "compute.images.get"); !ok && own {
		return refusal
	}
	_ = r
	i := findImage(p.ID, path)
	if i == nil {
		return absent(path)
	}
	return ok(i.show(p.ID))
}

// granted answers which of the permissions asked for are there.
func (p *Project) granted(body []byte, fixed ...string) reply {
	var in struct{ Permissions []string }
	in.Permissions = fixed
	if body != nil && json.Unmarshal(body, &in) != nil {
		return fault(http.StatusBadRequest, "invalid", "no JSON")
	}
	out := []any{}
	for _, name := range in.Permissions {
		if !p.lacking[name] {
			out = append(out, name)
		}
	}
	return ok(map[string]any{"permissions": out})
}

// catalog answers what can only be read.
func (p *Project) catalog(r *http.Request, parts []string, body []byte) reply {
	path := strings.Join(parts, "/")
	list := func(kind string, items ...any) reply {
		return ok(map[string]any{"kind": "compute#" + kind + "List", "id": "projects/" + p.ID + "/" + path, "selfLink": p.link("%s", path), "items": items})
	}
	need := func(permission string) (reply, bool) { return p.need(path, permission) }
	if parts[0] == "zones" && len(parts) >= 2 && !slices.Contains(zones, parts[1]) {
		return absent("projects/" + p.ID + "/zones/" + parts[1])
	}
	showZone := func(z string) map[string]any {
		return map[string]any{"kind": "compute#zone", "name": z, "status": "UP", "region": p.link("regions/europe-west3"), "selfLink": p.link("zones/%s", z)}
	}
	subnet := map[string]any{
		"kind": "compute#subnetwork", "name": "desktops", "network": p.link("global/networks/office"), "ipCidrRange": "10.156.0.0/20", "region": p.link("regions/europe-west3"),
	}
	switch {
	case path == "regions":
		return list("region", map[string]any{"kind": "compute#region", "name": "europe-west3", "status": "UP"})
	case path == "zones":
		var all []any
		for _, z := range zones {
			all = append(all, showZone(z))
		}
		return list("zone", all...)
	case parts[0] == "zones" && len(parts) == 2:
		if refusal, ok := need("compute.zones.get"); !ok {
			return refusal
		}
		return ok(showZone(parts[1]))
	case path == "global/networks":
		return list("network", map[string]any{"kind": "compute#network", "name": "office", "description": "the office"})
	case path == "regions/europe-west3/subnetworks":
		return list("subnetwork", subnet)
	case path == "regions/europe-west3/subnetworks/desktops":
		if refusal, ok := need("compute.subnetworks.get"); !ok {
			return refusal
		}
		return ok(subnet)
	case path == "regions/europe-west3/subnetworks/desktops/testIamPermissions":
		return p.granted(body)
	case parts[0] == "zones" && len(parts) >= 3:
		return p.kinds(parts, list)
	}
	_ = r
	return absent("projects/" + p.ID + "/" + path)
}

// kinds answers what types of machines, disks and GPUs a zone has.
func (p *Project) kinds(parts []string, list func(string, ...any) reply) reply {
	zone := parts[1]
	show := map[string]func(string) map[string]any{
		"machineTypes": func(name string) map[string]any {
			cores, _ := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
			return map[string]any{"kind": "compute#machineType", "name": name, "guestCpus": cores, "memoryMb": cores * 4096, "zone": zone, "description": "A machine."}
		},
		"diskTypes": func(name string) map[string]any {
			return map[string]any{"kind": "compute#diskType", "name": name, "validDiskSize": "10GB-65536GB", "description": "A disk."}
		},
		"acceleratorTypes": func(name string) map[string]any {
			return map[string]any{"kind": "compute#acceleratorType", "name": name, "maximumCardsPerInstance": 4, "description": "NVIDIA T4"}
		},
	}[parts[2]]
	names := map[string][]string{"machineTypes": typesOf(zone), "diskTypes": diskTypes, "acceleratorTypes": {"nvidia-tesla-t4"}}[parts[2]]
	path := strings.Join(parts, "/")
	kind := strings.TrimSuffix(parts[2], "s")
	if len(parts) == 3 {
		var all []any
		for _, name := range names {
			all = append(all, show(name))
		}
		return list(kind, all...)
	}
	if refusal, ok := p.need(path, "compute."+parts[2]+".get"); !ok {
		return refusal
	}
	if !slices.Contains(names, parts[3]) {
		return absent("projects/" + p.ID + "/" + path)
	}
	return ok(show(parts[3]))
}
