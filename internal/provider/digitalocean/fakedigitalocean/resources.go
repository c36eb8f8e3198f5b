package fakedigitalocean

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type droplet struct {
	ID       int
	Name     string
	Size     string
	Image    any
	VPC      string
	Tags     []string
	UserData string
	Keys     []any
	Features []string
	Created  time.Time
	Status   string
	gone     time.Time
}

type firewall struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Status string   `json:"status"`
	Tags   []string `json:"tags"`
}

type record struct {
	ID       int     `json:"id"`
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Data     string  `json:"data"`
	Priority *int    `json:"priority"`
	Port     *int    `json:"port"`
	TTL      int     `json:"ttl"`
	Weight   *int    `json:"weight"`
	Flags    *int    `json:"flags"`
	Tag      *string `json:"tag"`
}

const vpcID = "5a4981aa-9653-4bd1-bef5-d6bff52042e4"

var (
	regions = []string{"fra1", "nyc3"}
	sizes   = []map[string]any{
		size("s-1vcpu-1gb", 1, 1024, 25, 6, 0.00893, regions),
		size("s-2vcpu-4gb", 2, 4096, 80, 24, 0.03571, regions),
		size("gpu-h100x1-80gb", 20, 245760, 720, 2476, 3.39, []string{"nyc3"}),
	}
	images = []map[string]any{
		image(129211873, "ubuntu-24-04-x64", "24.04 (LTS) x64", "Ubuntu", true),
		image(7555620, "", "golden", "Ubuntu", false),
	}
	keys = []map[string]any{{
		"id": 289794, "name": "ops", "fingerprint": "3b:16:e4:bf:8b:00:8b:b8:59:8c:a9:d3:f0:19:fa:45",
		"public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ops",
	}}
)

func size(slug string, cpus, memory, disk int, month, hour float64, in []string) map[string]any {
	return map[string]any{
		"slug": slug, "memory": memory, "vcpus": cpus, "disk": disk, "transfer": 1.0, "price_monthly": month, "price_hourly": hour,
		"regions": in, "available": true, "description": "Basic",
	}
}

func image(id int, slug, name, distribution string, public bool) map[string]any {
	kind := "snapshot"
	if public {
		kind = "base"
	}
	out := map[string]any{
		"id": id, "name": name, "distribution": distribution, "slug": nil, "public": public, "regions": regions, "created_at": "2024-05-01T00:00:00Z",
		"type": kind, "min_disk_size": 7, "size_gigabytes": 2.3, "description": name, "tags": []string{}, "status": "available",
	}
	if slug != "" {
		out["slug"] = slug
	}
	return out
}

func region(slug string) map[string]any {
	return map[string]any{"slug": slug, "name": strings.ToUpper(slug), "features": []string{"backups", "ipv6"}, "available": true, "sizes": []string{"s-1vcpu-1gb"}}
}

// show is the droplet as the API shows it.
func (d *droplet) show() map[string]any {
	var s map[string]any
	for _, one := range sizes {
		if one["slug"] == d.Size {
			s = one
		}
	}
	return map[string]any{
		"id": d.ID, "name": d.Name, "memory": s["memory"], "vcpus": s["vcpus"], "disk": s["disk"], "locked": d.Status == "new",
		"status": d.Status, "kernel": nil, "created_at": d.Created.UTC().Format(time.RFC3339), "features": d.Features, "backup_ids": []int{},
		"next_backup_window": nil, "snapshot_ids": []int{}, "image": images[0], "volume_ids": []string{}, "size": s, "size_slug": d.Size,
		"networks": map[string]any{
			"v4": []map[string]any{
				{"ip_address": "10.110.0.2", "netmask": "255.255.240.0", "gateway": "10.110.0.1", "type": "private"},
				{"ip_address": "203.0.113.7", "netmask": "255.255.240.0", "gateway": "203.0.113.1", "type": "public"},
			},
			"v6": []map[string]any{},
		},
		"region": region("fra1"), "tags": d.Tags, "vpc_uuid": vpcID,
	}
}

// tick lets time pass: droplets boot, and vanish after their deletion.
func (a *Account) tick() {
	now := time.Now()
	for _, d := range a.droplets {
		if d.Status == "new" && now.Sub(d.Created) >= a.boot {
			d.Status = "active"
		}
	}
	a.droplets = slices.DeleteFunc(a.droplets, func(d *droplet) bool { return !d.gone.IsZero() && now.After(d.gone) })
}

// scopes are what the calls need, by method and the first part of the path.
var scopes = map[string]string{
	"GET account": "account:read", "GET droplets": "droplet:read", "POST droplets": "droplet:create", "DELETE droplets": "droplet:delete",
	"GET tags": "tag:read", "POST tags": "tag:create", "DELETE tags": "tag:delete", "GET sizes": "sizes:read", "GET images": "image:read",
	"GET regions": "regions:read", "GET vpcs": "vpc:read", "GET firewalls": "firewall:read", "POST firewalls": "firewall:update",
	"GET domains": "domain:read", "POST domains": "domain:create", "PUT domains": "domain:update", "PATCH domains": "domain:update", "DELETE domains": "domain:delete",
}

// route answers one call. The server is locked.
func (a *Account) route(o *answer, r *http.Request) {
	a.tick()
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	first := parts[0]
	scope := scopes[r.Method+" "+first]
	if first == "account" && len(parts) > 1 {
		scope = "ssh_key:read"
	}
	if a.lacking[scope] {
		o.fail(http.StatusForbidden, "forbidden", "You are missing the required permission %s.", scope)
		return
	}
	switch call := r.Method + " " + first; {
	case call == "GET account" && len(parts) == 2:
		o.send(http.StatusOK, paged(r, "ssh_keys", keys))
	case call == "GET account":
		o.send(http.StatusOK, map[string]any{"account": map[string]any{
			"droplet_limit": a.limit, "floating_ip_limit": 5, "email": "ops@example.com", "uuid": uuid(7), "email_verified": true, "status": "active", "status_message": "",
			"team": map[string]string{"uuid": uuid(8), "name": "team"},
		}})
	case call == "GET sizes":
		o.send(http.StatusOK, paged(r, "sizes", sizes))
	case call == "GET regions":
		o.send(http.StatusOK, paged(r, "regions", []map[string]any{region("fra1"), region("nyc3")}))
	case call == "GET images":
		a.images(o, r, parts)
	case call == "GET vpcs":
		a.vpcs(o, r, parts)
	case first == "droplets":
		a.dropletCall(o, r, parts)
	case first == "tags":
		a.tagCall(o, r, parts)
	case first == "firewalls":
		a.firewallCall(o, r, parts)
	case first == "domains":
		a.domainCall(o, r, parts)
	default:
		o.notFound()
	}
}

func (a *Account) images(o *answer, r *http.Request, parts []string) {
	if len(parts) == 1 {
		o.send(http.StatusOK, paged(r, "images", images))
		return
	}
	for _, i := range images {
		if i["slug"] == parts[1] || strconv.Itoa(i["id"].(int)) == parts[1] {
			o.send(http.StatusOK, map[string]any{"image": i})
			return
		}
	}
	o.notFound()
}

func (a *Account) vpcs(o *answer, r *http.Request, parts []string) {
	vpc := map[string]any{
		"id": vpcID, "urn": "do:vpc:" + vpcID, "name": "default-fra1", "description": "", "region": "fra1", "ip_range": "10.110.0.0/20", "default": true, "created_at": "2024-05-01T00:00:00Z",
	}
	switch {
	case len(parts) == 1:
		o.send(http.StatusOK, paged(r, "vpcs", []map[string]any{vpc}))
	case parts[1] == vpcID:
		o.send(http.StatusOK, map[string]any{"vpc": vpc})
	default:
		o.notFound()
	}
}

// shows says that the API shows a Droplet already.
func (a *Account) shows(id int) bool { return a.settled == nil || a.settled[id] }

func (a *Account) dropletCall(o *answer, r *http.Request, parts []string) {
	if len(parts) == 1 && r.Method == http.MethodPost {
		a.create(o, r)
		return
	}
	if len(parts) == 1 {
		list := []map[string]any{}
		for _, d := range a.droplets {
			if tag := r.URL.Query().Get("tag_name"); a.shows(d.ID) && (tag == "" || slices.Contains(d.Tags, tag)) {
				list = append(list, d.show())
			}
		}
		o.send(http.StatusOK, paged(r, "droplets", list))
		return
	}
	id, _ := strconv.Atoi(parts[1])
	i := slices.IndexFunc(a.droplets, func(d *droplet) bool { return d.ID == id && a.shows(id) })
	if i < 0 {
		o.notFound()
		return
	}
	d := a.droplets[i]
	if r.Method == http.MethodDelete {
		if d.gone.IsZero() {
			d.gone, d.Status = time.Now().Add(a.vanish), "archive"
		}
		o.send(http.StatusNoContent, nil)
		return
	}
	o.send(http.StatusOK, map[string]any{"droplet": d.show()})
}

func (a *Account) create(o *answer, r *http.Request) {
	var in struct {
		Name     string   `json:"name"`
		Region   string   `json:"region"`
		Size     string   `json:"size"`
		Image    any      `json:"image"`
		Keys     []any    `json:"ssh_keys"`
		Tags     []string `json:"tags"`
		UserData string   `json:"user_data"`
		VPC      string   `json:"vpc_uuid"`
		Backups  bool     `json:"backups"`
		IPv6     bool     `json:"ipv6"`
		Monitor  bool     `json:"monitoring"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		o.unprocessable("the body is no JSON")
		return
	}
	s := slices.IndexFunc(sizes, func(s map[string]any) bool { return s["slug"] == in.Size })
	known := slices.ContainsFunc(images, func(i map[string]any) bool {
		n, isNumber := in.Image.(float64)
		return i["slug"] == in.Image && in.Image != nil || isNumber && int(n) == i["id"]
	})
	switch {
	case len(a.droplets) >= a.limit:
		o.unprocessable("creating this/these droplet(s) will exceed your droplet limit")
	case !slices.Contains(regions, in.Region):
		o.unprocessable("You specified an invalid region for Droplet creation.")
	case s < 0:
		o.unprocessable("You specified an invalid size for Droplet creation.")
	case !slices.Contains(sizes[s]["regions"].([]string), in.Region) || a.soldOut[in.Size]:
		o.unprocessable("Size is not available in this region.")
	case !known:
		o.unprocessable("You specified an invalid image for Droplet creation.")
	case in.VPC != "" && in.VPC != vpcID:
		o.unprocessable("VPC does not exist")
	case len(in.UserData) > 64<<10:
		o.unprocessable("User data is too long")
	default:
		d := &droplet{
			ID: a.server.id(), Name: in.Name, Size: in.Size, Image: in.Image, VPC: in.VPC, Tags: in.Tags, UserData: in.UserData, Keys: in.Keys,
			Created: time.Now(), Status: "new", Features: []string{},
		}
		for name, on := range map[string]bool{"backups": in.Backups, "ipv6": in.IPv6, "monitoring": in.Monitor} {
			if on {
				d.Features = append(d.Features, name)
			}
		}
		slices.Sort(d.Features)
		for _, tag := range in.Tags {
			a.tags[tag] = true
		}
		a.droplets = append(a.droplets, d)
		o.send(http.StatusAccepted, map[string]any{"droplet": d.show(), "links": map[string]any{}})
	}
}

func (a *Account) showTag(name string) map[string]any {
	n := 0
	last := ""
	for _, d := range a.droplets {
		if slices.Contains(d.Tags, name) {
			n++
			last = "https://api.digitalocean.com/v2/droplets/" + strconv.Itoa(d.ID)
		}
	}
	count := map[string]any{"count": n}
	droplets := map[string]any{"count": n}
	if n > 0 {
		count["last_tagged_uri"], droplets["last_tagged_uri"] = last, last
	}
	none := map[string]any{"count": 0}
	count["droplets"], count["images"], count["imgages"] = droplets, none, none
	delete(count, "imgages")
	count["volumes"], count["volume_snapshots"], count["databases"] = none, none, none
	return map[string]any{"name": name, "resources": count}
}

func (a *Account) tagCall(o *answer, r *http.Request, parts []string) {
	name := strings.Join(parts[1:], "/")
	switch {
	case r.Method == http.MethodPost:
		var in struct{ Name string }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Name == "" {
			o.unprocessable("Name is required")
			return
		}
		a.tags[in.Name] = true
		o.send(http.StatusCreated, map[string]any{"tag": a.showTag(in.Name)})
	case len(parts) == 1:
		list := []map[string]any{}
		for _, name := range sorted(a.tags) {
			list = append(list, a.showTag(name))
		}
		o.send(http.StatusOK, paged(r, "tags", list))
	case !a.tags[name]:
		o.notFound()
	case r.Method == http.MethodDelete:
		delete(a.tags, name)
		for _, d := range a.droplets {
			d.Tags = slices.DeleteFunc(d.Tags, func(t string) bool { return t == name })
		}
		o.send(http.StatusNoContent, nil)
	default:
		o.send(http.StatusOK, map[string]any{"tag": a.showTag(name)})
	}
}

func (a *Account) firewallCall(o *answer, r *http.Request, parts []string) {
	if len(parts) == 1 {
		list := []map[string]any{}
		for _, f := range a.firewalls {
			list = append(list, map[string]any{
				"id": f.ID, "name": f.Name, "status": f.Status, "created_at": "2024-05-01T00:00:00Z", "pending_changes": []any{}, "droplet_ids": []int{}, "tags": f.Tags,
				"inbound_rules":  []map[string]any{{"protocol": "tcp", "ports": "22", "sources": map[string]any{"addresses": []string{"0.0.0.0/0"}}}},
				"outbound_rules": []map[string]any{{"protocol": "tcp", "ports": "all", "destinations": map[string]any{"addresses": []string{"0.0.0.0/0"}}}},
			})
		}
		o.send(http.StatusOK, paged(r, "firewalls", list))
		return
	}
	var in struct{ Tags []string }
	i := slices.IndexFunc(a.firewalls, func(f *firewall) bool { return f.ID == parts[1] })
	if i < 0 || len(parts) < 3 || json.NewDecoder(r.Body).Decode(&in) != nil {
		o.notFound()
		return
	}
	for _, tag := range in.Tags {
		if !a.tags[tag] {
			o.unprocessable("tag %s does not exist", tag)
			return
		}
	}
	a.firewalls[i].Tags = append(a.firewalls[i].Tags, in.Tags...)
	o.send(http.StatusNoContent, nil)
}

func (a *Account) domainCall(o *answer, r *http.Request, parts []string) {
	if len(parts) < 2 || a.records[parts[1]] == nil {
		o.notFound()
		return
	}
	domain := parts[1]
	switch {
	case len(parts) == 2:
		o.send(http.StatusOK, map[string]any{"domain": map[string]any{"name": domain, "ttl": 1800, "zone_file": "$ORIGIN " + domain + "."}})
		return
	case len(parts) == 3 && r.Method == http.MethodGet:
		o.send(http.StatusOK, paged(r, "domain_records", a.records[domain]))
		return
	}
	var in record
	if r.Method != http.MethodDelete && (json.NewDecoder(r.Body).Decode(&in) != nil || in.TTL < 30) {
		o.unprocessable("TTL must be at least 30")
		return
	}
	if len(parts) == 3 {
		in.ID = a.server.id()
		a.records[domain] = append(a.records[domain], &in)
		o.send(http.StatusCreated, map[string]any{"domain_record": in})
		return
	}
	id, _ := strconv.Atoi(parts[3])
	i := slices.IndexFunc(a.records[domain], func(r *record) bool { return r.ID == id })
	switch {
	case i < 0:
		o.notFound()
	case r.Method == http.MethodDelete:
		a.records[domain] = slices.Delete(a.records[domain], i, i+1)
		o.send(http.StatusNoContent, nil)
	default:
		in.ID = id
		a.records[domain][i] = &in
		o.send(http.StatusOK, map[string]any{"domain_record": in})
	}
}
