package fakenutanix

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// vm is a virtual machine.
type vm struct {
	id, name, description    string
	cluster, subnet, project string
	sockets, perSocket       int64
	memoryMiB                int64
	categories               map[string]string
	userData, metaData, file []byte
	address                  string
	created, ready           time.Time
	removed                  time.Time // when it is gone; zero: it is not being deleted
	off                      bool
	fault, faultReason       string // why it could not be made
	task                     string // that tells of the fault instead of the VM
	volumeGroup              bool
}

// furnish puts the things there that machines are made of.
func (s *Server) furnish() {
	s.clusters = []cluster{
		{id: s.id("central"), name: "prism-central", central: true},
		{id: s.id("cluster-a"), name: "cluster-a"},
	}
	s.subnets = []subnet{{id: s.id("vlan-120"), name: "vlan-120", cluster: s.id("cluster-a")}}
	s.projects = []project{{id: s.id("desktops"), name: "desktops"}}
	s.keys["Environment"] = ""
	s.values["Environment"] = map[string]string{"Production": ""}
	s.add(&vm{id: s.id("golden"), name: "golden", description: "The image of the desktops. Built on Monday.", off: true})
}

// id derives a UUID that tests can name from a word.
func (s *Server) id(word string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(word)).String()
}

// ID is the UUID of the object that the server was furnished with under this
// name.
func (s *Server) ID(name string) string { return s.id(name) }

func (s *Server) add(v *vm) *vm {
	v.cluster = s.id("cluster-a")
	v.sockets, v.perSocket, v.memoryMiB = 2, 1, 4096
	v.created = time.Now().Add(-time.Hour) //nolint:forbidigo // the fake runs on the real clock, as the service does
	v.ready = v.created
	s.vms[v.id], s.order = v, append(s.order, v.id)
	return v
}

// AddVM puts a virtual machine there that nobody of ours made.
func (s *Server) AddVM(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(&vm{id: uuid.NewString(), name: name}).id
}

// Rename renames a virtual machine behind the driver's back.
func (s *Server) Rename(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vms[id].name = name
}

// Change changes a virtual machine behind the driver's back.
func (s *Server) Change(id string, power string, volumeGroup bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vms[id].off, s.vms[id].volumeGroup = power != "ON", volumeGroup
}

// Exists says whether a virtual machine is there.
func (s *Server) Exists(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	return s.vms[id] != nil
}

// Machines counts the virtual machines that were cloned.
func (s *Server) Machines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	n := 0
	for _, v := range s.vms {
		if v.userData != nil || v.file != nil {
			n++
		}
	}
	return n
}

// Leftovers names everything but what the server was furnished with, and the
// category of marks itself, which stays by design.
func (s *Server) Leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var left []string
	for id, v := range s.vms {
		if id != s.id("golden") {
			left = append(left, "virtual machine "+v.name+" "+id)
		}
	}
	for key, values := range s.values {
		for value := range values {
			if key != "Environment" {
				left = append(left, "category value "+key+"/"+value)
			}
		}
	}
	slices.Sort(left)
	return left
}

// Guest is what a machine was told: the user data or the answer file, and the
// metadata of cloud-init.
func (s *Server) Guest(id string) (data, meta []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vms[id]
	if v == nil {
		return nil, nil
	}
	if v.file != nil {
		return v.file, nil
	}
	return v.userData, v.metaData
}

// VM shows a virtual machine as the API does.
func (s *Server) VM(id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.show(s.vms[id])
}

// Fail makes a virtual machine one that could not be made: without power, and
// not listed. With a task, the reason is found there only.
func (s *Server) Fail(id, reason, message string, byTask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vms[id]
	v.fault, v.faultReason, v.off = message, reason, true
	if byTask {
		v.task = uuid.NewString()
		s.tasks[v.task] = message
	}
}

// settle lets time pass: what was to be removed by now is gone.
func (s *Server) settle() {
	for id, v := range s.vms {
		if !v.removed.IsZero() && !time.Now().Before(v.removed) { //nolint:forbidigo // see add
			delete(s.vms, id)
			s.order = slices.DeleteFunc(s.order, func(o string) bool { return o == id })
		}
	}
}

func notFound(name, what string) reply {
	return failure(name, http.StatusNotFound, "ENTITY_NOT_FOUND", what+" does not exist")
}

func unprocessable(name, format string, args ...any) reply {
	return failure(name, http.StatusUnprocessableEntity, "INVALID_ARGUMENT", fmt.Sprintf(format, args...))
}

type ref struct {
	Kind string `json:"kind"`
	UUID string `json:"uuid"`
}

type vmInput struct {
	Metadata struct {
		UUID       string            `json:"uuid"`
		Categories map[string]string `json:"categories"`
		Project    *ref              `json:"project_reference"`
	} `json:"metadata"`
	Spec struct {
		Name      string `json:"name"`
		Cluster   *ref   `json:"cluster_reference"`
		Resources struct {
			Sockets   int64  `json:"num_sockets"`
			PerSocket int64  `json:"num_vcpus_per_socket"`
			Memory    int64  `json:"memory_size_mib"`
			Power     string `json:"power_state"`
			Parent    *ref   `json:"parent_reference"`
			Disks     []struct {
				Source *ref `json:"data_source_reference"`
			} `json:"disk_list"`
			NICs []struct {
				Subnet *ref `json:"subnet_reference"`
			} `json:"nic_list"`
			Guest *struct {
				CloudInit *struct {
					UserData string `json:"user_data"`
					MetaData string `json:"meta_data"`
				} `json:"cloud_init"`
				Sysprep *struct {
					File string `json:"unattend_xml"`
				} `json:"sysprep"`
			} `json:"guest_customization"`
		} `json:"resources"`
	} `json:"spec"`
}

func (s *Server) createVM(name string, body []byte) reply {
	var in vmInput
	if err := json.Unmarshal(body, &in); err != nil {
		return unprocessable(name, "%v", err)
	}
	res := in.Spec.Resources
	switch {
	case in.Spec.Name == "":
		return unprocessable(name, "the name is empty")
	case res.Parent == nil || res.Parent.Kind != "vm" || s.vms[res.Parent.UUID] == nil:
		return notFound(name, "the VM to clone")
	case len(res.Disks) != 1 || res.Disks[0].Source == nil || *res.Disks[0].Source != *res.Parent:
		return unprocessable(name, "a clone's disk must name the VM to clone")
	case in.Spec.Cluster == nil || !slices.ContainsFunc(s.clusters, func(c cluster) bool { return c.id == in.Spec.Cluster.UUID && !c.central }):
		return notFound(name, "the cluster")
	case in.Metadata.Project != nil && !slices.ContainsFunc(s.projects, func(p project) bool { return p.id == in.Metadata.Project.UUID }):
		return notFound(name, "the project")
	case in.Metadata.UUID != "" && s.used(in.Metadata.UUID):
		return failure(name, http.StatusConflict, "ENTITY_ALREADY_EXISTS", "an entity with UUID "+in.Metadata.UUID+" already exists")
	}
	for key, value := range in.Metadata.Categories {
		if _, ok := s.values[key][value]; !ok {
			return failure(name, http.StatusUnprocessableEntity, "CATEGORY_NAME_VALUE_MISMATCH", "category "+key+":"+value+" does not exist")
		}
	}
	if in.Metadata.UUID == "" || s.options.OwnUUIDs {
		in.Metadata.UUID = uuid.NewString()
	}
	source := s.vms[res.Parent.UUID]
	now := time.Now() //nolint:forbidigo // see add
	s.serial++
	v := &vm{
		id: in.Metadata.UUID, name: in.Spec.Name, description: source.description, cluster: in.Spec.Cluster.UUID, subnet: source.subnet,
		sockets: max(res.Sockets, 1), perSocket: max(res.PerSocket, 1), memoryMiB: max(res.Memory, 1), categories: in.Metadata.Categories,
		created: now, ready: now.Add(s.options.CloneTime), off: res.Power != "ON", address: fmt.Sprintf("10.20.%d.%d", s.serial/250, s.serial%250+1),
	}
	if in.Metadata.Project != nil {
		v.project = in.Metadata.Project.UUID
	}
	for _, nic := range res.NICs {
		if nic.Subnet == nil || !slices.ContainsFunc(s.subnets, func(n subnet) bool { return n.id == nic.Subnet.UUID && (n.cluster == "" || n.cluster == v.cluster) }) {
			return notFound(name, "the subnet")
		}
		v.subnet = nic.Subnet.UUID
	}
	if err := v.tell(in); err != nil {
		return unprocessable(name, "guest_customization: %v", err)
	}
	s.vms[v.id], s.order = v, append(s.order, v.id)
	s.tasks[v.id] = ""
	return reply{http.StatusAccepted, s.show(v)}
}

// used says whether a UUID was ever given to a machine.
func (s *Server) used(id string) bool {
	_, used := s.tasks[id]
	return used || s.vms[id] != nil
}

func (v *vm) tell(in vmInput) (err error) {
	g := in.Spec.Resources.Guest
	if g == nil {
		return nil
	}
	decode := base64.StdEncoding.DecodeString
	if g.Sysprep != nil {
		v.file, err = decode(g.Sysprep.File)
		return err
	}
	if v.userData, err = decode(g.CloudInit.UserData); err != nil {
		return err
	}
	v.metaData, err = decode(g.CloudInit.MetaData)
	return err
}

// state is that of the entity and its power.
func (v *vm) state() (entity, power string) {
	now := time.Now() //nolint:forbidigo // see add
	power = "OFF"
	switch {
	case !v.removed.IsZero():
		return "DELETE_PENDING", power
	case v.fault != "":
		return "ERROR", power
	case now.Before(v.ready):
		return "PENDING", power
	case !v.off:
		power = "ON"
	}
	return "COMPLETE", power
}

func reference(kind, id string) map[string]any { return map[string]any{"kind": kind, "uuid": id} }

func (s *Server) show(v *vm) map[string]any {
	entity, power := v.state()
	resources := map[string]any{
		"num_sockets": v.sockets, "num_vcpus_per_socket": v.perSocket, "memory_size_mib": v.memoryMiB, "power_state": power,
		"hypervisor_type": "AHV", "disk_list": []any{map[string]any{"uuid": s.id("disk of " + v.id), "disk_size_mib": 20480}},
	}
	if v.volumeGroup {
		resources["disk_list"] = append(resources["disk_list"].([]any), map[string]any{"device_properties": map[string]any{"device_type": "VOLUME_GROUP"}}) //nolint:errcheck // made above
	}
	if v.subnet != "" && v.address != "" && power == "ON" {
		resources["nic_list"] = []any{map[string]any{
			"subnet_reference": reference("subnet", v.subnet),
			"ip_endpoint_list": []any{map[string]any{"ip": v.address, "type": "LEARNED"}, map[string]any{"ip": "169.254.3.4", "type": "LEARNED"}},
		}}
	}
	status := map[string]any{
		"name": v.name, "description": v.description, "state": entity, "cluster_reference": reference("cluster", v.cluster), "resources": resources,
	}
	switch {
	case v.task != "":
		status["execution_context"] = map[string]any{"task_uuid": []any{v.task}}
	case v.fault != "":
		status["message_list"] = []any{map[string]any{"message": v.fault, "reason": v.faultReason}}
	}
	metadata := map[string]any{
		"kind": "vm", "uuid": v.id, "spec_version": 1, "creation_time": v.created.UTC().Format(time.RFC3339), "categories": maps.Clone(v.categories),
	}
	if v.categories == nil {
		delete(metadata, "categories")
	}
	if v.project != "" {
		metadata["project_reference"] = reference("project", v.project)
	}
	return map[string]any{
		"api_version": "3.1.0", "metadata": metadata, "status": status,
		"spec": map[string]any{"name": v.name, "description": v.description, "resources": map[string]any{}},
	}
}

func (s *Server) listVMs(name string, body []byte) reply {
	var shown []any
	for _, id := range s.order {
		if v := s.vms[id]; v.fault == "" { // what could not be made is not listed
			shown = append(shown, s.show(v))
		}
	}
	return s.page(name, "vm", body, shown, func(entity map[string]any) string {
		spec, _ := entity["spec"].(map[string]any)
		n, _ := spec["name"].(string)
		return "vm_name==" + n
	})
}

// page cuts a page out of a listing; text is what the filter must match to show
// an entity.
func (s *Server) page(name, kind string, body []byte, all []any, text func(map[string]any) string) reply {
	var q struct {
		Filter string `json:"filter"`
		Offset int    `json:"offset"`
		Length int    `json:"length"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			return unprocessable(name, "%v", err)
		}
	}
	if q.Filter != "" {
		pattern, err := regexp.Compile("(?i)^" + q.Filter + "$")
		if err != nil {
			return unprocessable(name, "filter: %v", err)
		}
		all = slices.DeleteFunc(slices.Clone(all), func(e any) bool {
			entity, _ := e.(map[string]any)
			return !pattern.MatchString(text(entity))
		})
	}
	from := min(q.Offset, len(all))
	length := s.options.PageLength
	if q.Length > 0 {
		length = min(length, q.Length)
	}
	to := min(from+length, len(all))
	metadata := map[string]any{"kind": kind, "offset": q.Offset}
	if to > from {
		metadata["length"] = to - from
	}
	if kind != "category" || !s.options.Uncounted {
		metadata["total_matches"] = len(all)
	}
	return reply{http.StatusOK, map[string]any{"api_version": "3.1.0", "entities": append([]any{}, all[from:to]...), "metadata": metadata}}
}
