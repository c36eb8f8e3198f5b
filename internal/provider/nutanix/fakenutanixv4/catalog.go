package fakenutanixv4

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

func (s *Server) category(o operation, r *http.Request, id string, body []byte) reply {
	var in struct{ Key, Value, Description string }
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return invalid(o, err.Error())
		}
	}
	show := func(c *category) object {
		return typedAs("prism.v4.config.Category", object{"extId": c.id, "key": c.key, "value": c.value, "description": c.description, "type": "USER"})
	}
	switch o.name {
	case ListCategories:
		var all []object
		for _, c := range s.categories {
			all = append(all, show(c))
		}
		slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a["extId"].(string), b["extId"].(string)) }) //nolint:errcheck // made above
		return s.page(o, r, "prism.v4.config.Category", all)
	case CreateCategory:
		for _, c := range s.categories {
			if c.key == in.Key && c.value == in.Value {
				return failure(o, http.StatusConflict, "CATEGORY_ALREADY_EXISTS", "category "+in.Key+":"+in.Value+" already exists")
			}
		}
		c := &category{id: s.newID(), key: in.Key, value: in.Value, description: in.Description}
		s.categories[c.id] = c
		return answer(o, http.StatusCreated, c.etag(), show(c))
	}
	c := s.categories[id]
	if c == nil {
		return notFound(o, "category "+id)
	}
	switch o.name {
	case GetCategory:
		return answer(o, http.StatusOK, c.etag(), show(c))
	case UpdateCategory:
		if refused, wrong := mismatch(o, r, c.etag()); wrong {
			return refused
		}
		if in.Key != c.key {
			return invalid(o, "the key cannot be changed")
		}
		c.value, c.description = in.Value, in.Description
		c.version++
		a := answer(o, http.StatusOK, "", nil)
		delete(a.body, "data")
		a.body["data"] = []object{typedAs("prism.v4.error.AppMessage", object{"message": "Updated", "severity": "INFO"})}
		return a
	}
	for _, v := range s.vms {
		if slices.Contains(v.categories, id) {
			return invalid(o, "category "+id+" is assigned to "+v.name)
		}
	}
	delete(s.categories, id)
	return reply{status: http.StatusNoContent}
}

func (s *Server) task(o operation, r *http.Request, id string) reply {
	show := func(t *task) object {
		shown := object{"extId": t.id, "status": t.status, "entitiesAffected": t.entities}
		if t.status == "FAILED" {
			shown["errorMessages"] = []object{typedAs("prism.v4.error.AppMessage", object{"message": t.message, "errorGroup": t.group, "severity": "ERROR"})}
		}
		return typedAs("prism.v4.config.Task", shown)
	}
	if o.name == GetTask {
		if t := s.tasks[id]; t != nil {
			return answer(o, http.StatusOK, "", show(t))
		}
		return notFound(o, "task "+id)
	}
	var all []object
	for _, t := range s.tasks {
		all = append(all, show(t))
	}
	return s.page(o, r, "prism.v4.config.Task", all)
}

// catalog answers for templates, clusters and subnets.
func (s *Server) catalog(o operation, r *http.Request, id string) reply {
	var all []object
	kind := ""
	switch {
	case strings.Contains(o.name, "/templates"):
		kind = "vmm.v4.content.Template"
		for _, t := range s.templates {
			all = append(all, object{"extId": t.id, "templateName": t.name})
		}
	case strings.Contains(o.name, "/clusters"):
		kind = "clustermgmt.v4.config.Cluster"
		for _, c := range s.clusters {
			config := object{"clusterFunction": []any{"AOS"}}
			if c.central {
				config = object{"clusterFunction": []any{"PRISM_CENTRAL"}, "buildInfo": typedAs("clustermgmt.v4.config.BuildReference", object{"version": "pc.2024.3"})}
			}
			all = append(all, object{"extId": c.id, "name": c.name, "config": typedAs("clustermgmt.v4.config.ClusterConfigReference", config)})
		}
	case strings.Contains(o.name, "/subnets"):
		kind = "networking.v4.config.Subnet"
		for _, n := range s.subnets {
			shown := object{"extId": n.id, "name": n.name, "subnetType": "VLAN"}
			if n.cluster != "" {
				shown["clusterReference"] = n.cluster
			}
			all = append(all, shown)
		}
	}
	for _, shown := range all {
		if typedAs(kind, shown); shown["extId"] == id {
			return answer(o, http.StatusOK, "etag-of-"+id, shown)
		}
	}
	if id != "" || kind == "" {
		return notFound(o, kind+" "+id)
	}
	return s.page(o, r, kind, all)
}
