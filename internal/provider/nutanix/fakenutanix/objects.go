package fakenutanix

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

type cluster struct {
	id, name string
	central  bool
}

type subnet struct{ id, name, cluster string }

type project struct{ id, name string }

// AddSubnet puts another subnet there; without a cluster it is one of all.
func (s *Server) AddSubnet(name, clusterName string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := subnet{id: uuid.NewString(), name: name}
	if clusterName != "" {
		n.cluster = s.id(clusterName)
	}
	s.subnets = append(s.subnets, n)
	return n.id
}

// AddCluster puts another cluster there, whose UUID is ID of its name.
func (s *Server) AddCluster(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters = append(s.clusters, cluster{id: s.id(name), name: name})
}

// Mark puts a value with a description into a category, making the category if
// need be.
func (s *Server) Mark(key, value, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key] = ""
	if s.values[key] == nil {
		s.values[key] = map[string]string{}
	}
	s.values[key][value] = description
}

// Marks are the values of a category with their descriptions.
func (s *Server) Marks(key string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.values[key])
}

// operate carries an operation out.
func (s *Server) operate(name string, values map[string]string, body []byte) reply {
	s.settle()
	id := values["uuid"]
	switch name {
	case CreateVM:
		return s.createVM(name, body)
	case ListVMs:
		return s.listVMs(name, body)
	case GetVM:
		if v := s.vms[id]; v != nil {
			return reply{http.StatusOK, s.show(v)}
		}
		return notFound(name, "VM "+id)
	case DeleteVM:
		v := s.vms[id]
		if v == nil {
			return notFound(name, "VM "+id)
		}
		if v.removed.IsZero() {
			v.removed = time.Now().Add(s.options.DeleteTime) //nolint:forbidigo // see add
		}
		answer := s.show(v)
		delete(answer, "spec")
		return reply{http.StatusAccepted, answer}
	case "GET /tasks/{uuid}":
		if text, ok := s.tasks[id]; ok {
			return reply{http.StatusOK, map[string]any{"uuid": id, "status": "FAILED", "error_detail": text, "api_version": "3.1.0"}}
		}
		return notFound(name, "task "+id)
	case "PUT /categories/{name}":
		return s.putKey(values["name"], body)
	case PutMark, GetMark, DeleteMark, ListMarks:
		return s.category(name, values, body)
	case "GET /users/me":
		return s.me()
	case "GET /access_control_policies/{uuid}":
		return entity("access_control_policy", id, "headroom", map[string]any{"role_reference": reference("role", s.id("role"))}, nil)
	case "GET /roles/{uuid}":
		granted := []any{}
		for _, right := range s.rights {
			granted = append(granted, map[string]any{"kind": "permission", "uuid": s.id(right), "name": right})
		}
		return entity("role", id, "headroom", map[string]any{"permission_reference_list": granted}, nil)
	}
	return s.catalog(name, id, body)
}

func (s *Server) putKey(key string, body []byte) reply {
	var in struct {
		Description string `json:"description"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return unprocessable("PUT /categories/{name}", "%v", err)
	}
	s.keys[key] = in.Description
	if s.values[key] == nil {
		s.values[key] = map[string]string{}
	}
	return reply{http.StatusOK, map[string]any{"name": key, "description": in.Description, "system_defined": false, "api_version": "3.1.0"}}
}

func (s *Server) category(name string, in map[string]string, body []byte) reply {
	key, value := in["name"], in["value"]
	values, known := s.values[key]
	if !known {
		return notFound(name, "category "+key)
	}
	shown := func(value string) map[string]any {
		return map[string]any{"name": key, "value": value, "description": values[value], "system_defined": false}
	}
	_, there := values[value]
	switch {
	case name == ListMarks:
		all := []any{}
		for _, v := range slices.Sorted(maps.Keys(values)) {
			all = append(all, shown(v))
		}
		return s.page(name, "category", body, all, nil)
	case name == PutMark:
		var put struct {
			Description string `json:"description"`
		}
		if err := json.Unmarshal(body, &put); err != nil {
			return unprocessable(name, "%v", err)
		}
		values[value] = put.Description
		return reply{http.StatusOK, shown(value)}
	case !there:
		return notFound(name, "value "+value+" of category "+key)
	case name == GetMark:
		return reply{http.StatusOK, shown(value)}
	}
	for _, v := range s.vms {
		if v.categories[key] == value {
			return unprocessable(name, "category %s:%s is assigned to %s", key, value, v.name)
		}
	}
	delete(values, value)
	return reply{http.StatusOK, nil}
}

func (s *Server) me() reply {
	resources := map[string]any{"user_type": "LOCAL"}
	if s.rights != nil {
		resources["access_control_policy_reference_list"] = []any{reference("access_control_policy", s.id("policy"))}
	}
	return entity("user", s.id("user"), Username, resources, nil)
}

// entity is the usual form of an object.
func entity(kind, id, name string, resources, status map[string]any) reply {
	return reply{http.StatusOK, object(kind, id, name, resources, status)}
}

func object(kind, id, name string, resources, status map[string]any) map[string]any {
	if status == nil {
		status = map[string]any{}
	}
	status["name"], status["state"], status["resources"] = name, "COMPLETE", resources
	return map[string]any{"api_version": "3.1.0", "metadata": map[string]any{"kind": kind, "uuid": id}, "status": status}
}

// catalog answers for clusters, subnets and projects.
func (s *Server) catalog(name, id string, body []byte) reply {
	kind := kindOf(name)
	var all []any
	for _, c := range s.clusters {
		if kind != "cluster" {
			break
		}
		config := map[string]any{"service_list": []any{"AOS"}}
		if c.central {
			config = map[string]any{"service_list": []any{"PRISM_CENTRAL"}, "build": map[string]any{
				"version": "pc.2024.3", "build_type": "release", "commit_id": "0", "short_commit_id": "0",
			}}
		}
		all = append(all, object(kind, c.id, c.name, map[string]any{"config": config, "network": map[string]any{}}, nil))
	}
	for _, n := range s.subnets {
		if kind != "subnet" {
			break
		}
		status := map[string]any{}
		if n.cluster != "" {
			status["cluster_reference"] = reference("cluster", n.cluster)
		}
		all = append(all, object(kind, n.id, n.name, map[string]any{"subnet_type": "VLAN"}, status))
	}
	for _, p := range s.projects {
		if kind != "project" {
			break
		}
		all = append(all, object(kind, p.id, p.name, map[string]any{}, nil))
	}
	if id == "" {
		return s.page(name, kind, body, all, func(e map[string]any) string {
			status, _ := e["status"].(map[string]any)
			n, _ := status["name"].(string)
			return "name==" + n
		})
	}
	for _, o := range all {
		shown, _ := o.(map[string]any)
		if metadata, _ := shown["metadata"].(map[string]any); metadata["uuid"] == id {
			return reply{http.StatusOK, shown}
		}
	}
	return notFound(name, kind+" "+id)
}
