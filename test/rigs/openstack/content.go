package openstack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type object = map[string]any

// identified is an object of which only the id matters.
type identified struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// catalog makes the accounts and the endpoints of the services.
func (r *Rig) catalog(ctx context.Context) error {
	admin, err := r.Admin(ctx)
	if err != nil {
		return err
	}
	create := func(path, noun string, body object) (string, error) {
		var out map[string]identified
		err := admin.Do(ctx, http.MethodPost, "identity", path, object{noun: body}, &out)
		return out[noun].ID, err
	}
	roles := map[string]string{}
	var list struct{ Roles []identified }
	if err := admin.Do(ctx, http.MethodGet, "identity", "/roles", nil, &list); err != nil {
		return err
	}
	for _, role := range list.Roles {
		roles[role.Name] = role.ID
	}
	if roles["service"], err = create("/roles", "role", object{"name": "service"}); err != nil {
		return err
	}
	project, err := create("/projects", "project", object{"name": "service", "domain_id": "default"})
	if err != nil {
		return err
	}
	for _, name := range []string{"nova", "placement", "glance", "neutron", "cinder"} {
		user, err := create("/users", "user", object{"name": name, "domain_id": "default", "password": r.Secrets.Service})
		if err != nil {
			return err
		}
		for _, role := range []string{"admin", "service"} {
			if err := admin.Do(ctx, http.MethodPut, "identity", "/projects/"+project+"/users/"+user+"/roles/"+roles[role], nil, nil); err != nil {
				return err
			}
		}
	}
	for _, s := range []struct{ name, kind, url string }{
		{"placement", "placement", r.base(r.Ports.Placement)},
		{"glance", "image", r.base(r.Ports.Glance)},
		{"nova", "compute", r.base(r.Ports.Nova) + "/v2.1"},
		{"neutron", "network", r.base(r.Ports.Neutron)},
		{"cinderv3", "volumev3", r.base(r.Ports.Cinder) + "/v3/%(project_id)s"},
		{"cinder", "block-storage", r.base(r.Ports.Cinder) + "/v3/%(project_id)s"},
	} {
		id, err := create("/services", "service", object{"name": s.name, "type": s.kind})
		if err != nil {
			return err
		}
		for _, side := range []string{"public", "internal"} {
			if _, err := create("/endpoints", "endpoint", object{"service_id": id, "interface": side, "url": s.url, "region_id": r.Region}); err != nil {
				return err
			}
		}
	}
	r.Things.AdminID, r.Things.MemberRole = admin.UserID, roles["member"]
	return r.save()
}

// stock makes what every project uses.
func (r *Rig) stock(ctx context.Context) error {
	admin, err := r.Admin(ctx)
	if err != nil {
		return err
	}
	return r.onceDone("stock", func() error {
		for _, f := range []func(context.Context, *Session) error{r.stockImage, r.stockFlavors, r.stockNetworks} {
			if err := f(ctx, admin); err != nil {
				return err
			}
		}
		return r.save()
	})
}

func (r *Rig) stockImage(ctx context.Context, admin *Session) error {
	var image identified
	err := admin.Do(ctx, http.MethodPost, "image", "/images", object{
		"name": ImageName, "disk_format": "raw", "container_format": "bare", "visibility": "public", "min_disk": 1,
	}, &image)
	if err != nil {
		return err
	}
	r.Things.Image = image.ID
	// No guest ever reads it.
	return admin.Do(ctx, http.MethodPut, "image", "/images/"+image.ID+"/file", make([]byte, 1<<16), nil)
}

func (r *Rig) stockFlavors(ctx context.Context, admin *Session) error {
	r.Things.Flavors = map[string]string{}
	for _, f := range []struct {
		name             string
		cores, mib, disk int
		extra            object
	}{
		{FlavorSmall, 1, 2048, 5, nil},
		{FlavorDiskless, 1, 2048, 0, nil},
		{FlavorHuge, 100000, 1 << 30, 5, nil},
		{FlavorGPU, 4, 8192, 5, object{"resources:VGPU": "1"}},
	} {
		var out struct{ Flavor identified }
		err := admin.Do(ctx, http.MethodPost, "compute", "/flavors", object{"flavor": object{
			"name": f.name, "vcpus": f.cores, "ram": f.mib, "disk": f.disk,
		}}, &out)
		if err != nil {
			return err
		}
		r.Things.Flavors[f.name] = out.Flavor.ID
		if f.extra != nil {
			if err := admin.Do(ctx, http.MethodPost, "compute", "/flavors/"+out.Flavor.ID+"/os-extra_specs", object{"extra_specs": f.extra}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// stockNetworks makes a network that every project may put machines on, and one
// that gives floating addresses, with a router between them.
func (r *Rig) stockNetworks(ctx context.Context, admin *Session) error {
	network := func(body object, cidr string) (id, subnet string, err error) {
		var n struct{ Network identified }
		if err := admin.Do(ctx, http.MethodPost, "network", "/networks", object{"network": body}, &n); err != nil {
			return "", "", err
		}
		var s struct{ Subnet identified }
		err = admin.Do(ctx, http.MethodPost, "network", "/subnets", object{"subnet": object{
			"network_id": n.Network.ID, "ip_version": 4, "cidr": cidr, "enable_dhcp": false,
		}}, &s)
		return n.Network.ID, s.Subnet.ID, err
	}
	var err error
	if r.Things.Outside, _, err = network(object{
		"name": OutsideName, "router:external": true, "provider:network_type": "flat", "provider:physical_network": "outside",
	}, "203.0.113.0/24"); err != nil {
		return err
	}
	var subnet string
	if r.Things.Network, subnet, err = network(object{"name": NetworkName, "shared": true}, "10.77.0.0/16"); err != nil {
		return err
	}
	var router struct{ Router identified }
	if err := admin.Do(ctx, http.MethodPost, "network", "/routers", object{"router": object{
		"name": "router", "external_gateway_info": object{"network_id": r.Things.Outside},
	}}, &router); err != nil {
		return err
	}
	return admin.Do(ctx, http.MethodPut, "network", "/routers/"+router.Router.ID+"/add_router_interface", object{"subnet_id": subnet}, nil)
}

// Rule is an access rule of an application credential.
type Rule struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	Path    string `json:"path"`
}

// Tenant is a project with one user of its own.
type Tenant struct {
	*Session
	Name     string // of the project and of the user
	Password string
}

// Tenant makes a project. Remove removes it.
func (r *Rig) Tenant(ctx context.Context, name string) (*Tenant, error) {
	admin, err := r.Admin(ctx)
	if err != nil {
		return nil, err
	}
	t := &Tenant{Name: name, Password: secret()}
	var p struct{ Project identified }
	if err := admin.Do(ctx, http.MethodPost, "identity", "/projects", object{"project": object{"name": name, "domain_id": "default"}}, &p); err != nil {
		return nil, err
	}
	var u struct{ User identified }
	if err := admin.Do(ctx, http.MethodPost, "identity", "/users", object{"user": object{
		"name": name, "domain_id": "default", "password": t.Password,
	}}, &u); err != nil {
		return nil, err
	}
	if err := admin.Do(ctx, http.MethodPut, "identity", "/projects/"+p.Project.ID+"/users/"+u.User.ID+"/roles/"+r.Things.MemberRole, nil, nil); err != nil {
		return nil, err
	}
	t.Session, err = r.Login(ctx, name, t.Password, name)
	return t, err
}

// Remove removes the project and its user; its machines must be gone.
func (t *Tenant) Remove(ctx context.Context) error {
	admin, err := t.rig.Admin(ctx)
	if err != nil {
		return err
	}
	if err := admin.Do(ctx, http.MethodDelete, "identity", "/users/"+t.UserID, nil, nil); err != nil {
		return err
	}
	return admin.Do(ctx, http.MethodDelete, "identity", "/projects/"+t.Project, nil, nil)
}

// Clear removes everything from the project, whoever made it, and then the
// project.
func (t *Tenant) Clear(ctx context.Context) error {
	limit := time.Minute * 2
	if at, ok := ctx.Deadline(); ok {
		limit = time.Until(at)
	}
	err := t.rig.until(limit, func() error {
		for _, kind := range []struct {
			service, path string
			list          func(context.Context) ([]map[string]any, error)
		}{
			{"compute", "/servers/", t.Machines}, {"network", "/floatingips/", t.FloatingIPs}, {"network", "/ports/", t.Ports}, {"volume", "/volumes/", t.Volumes},
		} {
			found, err := kind.list(ctx)
			if err != nil {
				return err
			}
			for _, o := range found {
				if o["OS-EXT-STS:task_state"] != "deleting" {
					// The next round sees whether it helped.
					_ = t.Do(ctx, http.MethodDelete, kind.service, kind.path+fmt.Sprint(o["id"]), nil, nil)
				}
			}
		}
		left, err := t.Everything(ctx)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left in the project: %s", strings.Join(left, ", "))
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.Remove(ctx)
}

// Quota limits what the project may have: instances, cores, ram for compute;
// volumes, gigabytes for volume; floatingip, port for network.
func (t *Tenant) Quota(ctx context.Context, service string, limits map[string]int) error {
	admin, err := t.rig.Admin(ctx)
	if err != nil {
		return err
	}
	if service == "network" {
		return admin.Do(ctx, http.MethodPut, service, "/quotas/"+t.Project, object{"quota": limits}, nil)
	}
	return admin.Do(ctx, http.MethodPut, service, "/os-quota-sets/"+t.Project, object{"quota_set": limits}, nil)
}

// Credential makes an application credential; without rules it may do all that
// its user may.
func (t *Tenant) Credential(ctx context.Context, name string, rules []Rule) (id, password string, err error) {
	body := object{"name": name, "roles": []object{{"name": "member"}}}
	if rules != nil {
		body["access_rules"] = rules
	}
	var out struct {
		Credential struct{ ID, Secret string } `json:"application_credential"`
	}
	err = t.Do(ctx, http.MethodPost, "identity", "/users/"+t.UserID+"/application_credentials", object{"application_credential": body}, &out)
	return out.Credential.ID, out.Credential.Secret, err
}

// Revoke removes an application credential.
func (t *Tenant) Revoke(ctx context.Context, id string) error {
	return t.Do(ctx, http.MethodDelete, "identity", "/users/"+t.UserID+"/application_credentials/"+id, nil, nil)
}

// names lists what a page of a collection holds.
func (t *Tenant) all(ctx context.Context, service, collection string) ([]object, error) {
	var found []object
	noun := collection
	path := "/" + collection
	if service == "compute" || service == "volume" {
		path += "/detail"
	}
	marker := ""
	for {
		var page map[string]any
		query := ""
		if marker != "" {
			query = "?marker=" + marker
		}
		if err := t.Do(ctx, http.MethodGet, service, path+query, nil, &page); err != nil {
			return nil, err
		}
		items, ok := page[noun].([]any)
		if !ok {
			return nil, fmt.Errorf("the answer of %s has no %s", service, noun)
		}
		for _, item := range items {
			o, ok := item.(object)
			if !ok {
				return nil, fmt.Errorf("an entry of %s is no object", noun)
			}
			found = append(found, o)
			marker, _ = o["id"].(string)
		}
		if _, more := page[noun+"_links"]; !more || len(items) == 0 {
			return found, nil
		}
	}
}

// Machines lists the servers of the project as nova shows them. One that is
// DELETED is no machine any more: nova says so once guest, volumes and ports are
// gone, a moment before it drops the row.
func (t *Tenant) Machines(ctx context.Context) ([]map[string]any, error) {
	all, err := t.all(ctx, "compute", "servers")
	return slices.DeleteFunc(all, func(s map[string]any) bool { return s["status"] == "DELETED" }), err
}

// Volumes lists the volumes of the project as cinder shows them.
func (t *Tenant) Volumes(ctx context.Context) ([]map[string]any, error) {
	return t.all(ctx, "volume", "volumes")
}

// Ports lists the project's ports as neutron shows them.
func (t *Tenant) Ports(ctx context.Context) ([]map[string]any, error) {
	return t.all(ctx, "network", "ports")
}

// FloatingIPs lists the project's floating addresses as neutron shows them.
func (t *Tenant) FloatingIPs(ctx context.Context) ([]map[string]any, error) {
	return t.all(ctx, "network", "floatingips")
}

// Everything names all objects of the project that cost something.
func (t *Tenant) Everything(ctx context.Context) ([]string, error) {
	var out []string
	for _, kind := range []struct {
		name string
		list func(context.Context) ([]map[string]any, error)
	}{{"server", t.Machines}, {"volume", t.Volumes}, {"port", t.Ports}, {"floating IP", t.FloatingIPs}} {
		found, err := kind.list(ctx)
		if err != nil {
			return nil, err
		}
		for i, o := range found {
			out = append(out, kind.name+" "+strconv.Itoa(i+1)+" "+fmt.Sprint(o["id"], " ", o["name"], " ", o["status"]))
		}
	}
	return out, nil
}
