package fakenutanixv4

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

type vm struct {
	id, name, cluster, power string
	subnet, address          string
	sockets, perSocket       int64
	memory                   int64
	categories               []string
	guest                    *guest
	cloned                   bool
	removing                 bool
	created                  time.Time
	version                  int
}

// guest is what a machine was told.
type guest struct{ data, meta, answers []byte }

type template struct{ id, name string }

type category struct {
	id, key, value, description string
	version                     int
}

type cluster struct {
	id, name string
	central  bool
}

type subnet struct{ id, name, cluster string }

type task struct {
	id, status, group, message string
	entities                   []object
}

func (v *vm) etag() string { return "vm-" + v.id + "-" + strconv.Itoa(v.version) }

func (c *category) etag() string { return "category-" + c.id + "-" + strconv.Itoa(c.version) }

// newID counts, so that a failing test says the same twice.
func (s *Server) newID() string {
	s.serial++
	return ID("object " + strconv.Itoa(s.serial))
}

// ID is the UUID of the object that the server was furnished with under this
// name.
func ID(name string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String() }

func (s *Server) furnish() {
	s.clusters = []cluster{{ID("central"), "prism-central", true}, {ID("cluster-a"), "cluster-a", false}, {ID("cluster-b"), "cluster-b", false}}
	s.subnets = []subnet{{ID("vlan-120"), "vlan-120", ID("cluster-a")}, {ID("vlan-b"), "vlan-b", ID("cluster-b")}}
	s.templates = []template{{ID("golden-template"), "golden-template"}}
	s.categories[ID("Production")] = &category{id: ID("Production"), key: "Environment", value: "Production"}
	s.add(&vm{id: ID("golden"), name: "golden", power: "OFF"})
}

func (s *Server) add(v *vm) *vm {
	v.cluster, v.sockets, v.perSocket, v.memory = ID("cluster-a"), 2, 1, 4<<30
	v.created = time.Now().Add(-time.Hour) //nolint:forbidigo // see later
	s.vms[v.id], s.order = v, append(s.order, v.id)
	return v
}

// AddVM puts a virtual machine there that nobody of ours made.
func (s *Server) AddVM(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(&vm{id: s.newID(), name: name, power: "ON"}).id
}

// Category puts a category there and answers its id.
func (s *Server) Category(key, value, description string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = s.newID()
	s.categories[id] = &category{id: id, key: key, value: value, description: description}
	return id
}

// Categories are the values of a key with their descriptions.
func (s *Server) Categories(key string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for _, c := range s.categories {
		if c.key == key {
			all[c.value] = c.description
		}
	}
	return all
}

// VM is a virtual machine as tests look at it.
type VM struct {
	ID, Name, Power, Subnet string
	Categories              []string // "key:value"
	UserData, Metadata      []byte
	Answers                 []byte
}

// Find looks for the virtual machine that bears a value of a key, or has it as
// its id.
func (s *Server) Find(key, value string) (VM, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	for _, id := range s.order {
		v := s.vms[id]
		shown := VM{ID: v.id, Name: v.name, Power: v.power, Subnet: v.subnet}
		for _, c := range v.categories {
			shown.Categories = append(shown.Categories, s.categories[c].key+":"+s.categories[c].value)
		}
		if v.guest != nil {
			shown.UserData, shown.Metadata, shown.Answers = v.guest.data, v.guest.meta, v.guest.answers
		}
		if v.id == value || slices.Contains(shown.Categories, key+":"+value) {
			return shown, true
		}
	}
	return VM{}, false
}

// Change changes a virtual machine behind the driver's back.
func (s *Server) Change(id, name, power string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vms[id]
	v.name, v.power = name, power
	v.version++
}

// Remove takes a virtual machine away at once.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

func (s *Server) remove(id string) {
	delete(s.vms, id)
	s.order = slices.DeleteFunc(s.order, func(o string) bool { return o == id })
}

// Forget makes Prism forget its tasks.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	clear(s.tasks)
}

// Machines counts the virtual machines that were cloned.
func (s *Server) Machines() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	for _, v := range s.vms {
		if v.cloned {
			n++
		}
	}
	return n
}

// Leftovers names everything but what the server was furnished with.
func (s *Server) Leftovers() (left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	for id, v := range s.vms {
		if id != ID("golden") {
			left = append(left, "virtual machine "+v.name+" "+id)
		}
	}
	for _, c := range s.categories {
		if c.key != "Environment" {
			left = append(left, "category "+c.key+"/"+c.value)
		}
	}
	slices.Sort(left)
	return left
}

// operate carries an operation out.
func (s *Server) operate(o operation, r *http.Request, values map[string]string, body []byte) reply {
	id := values["extId"]
	switch o.name {
	case ListVMs:
		var all []object
		for _, id := range s.order {
			all = append(all, s.showVM(s.vms[id]))
		}
		return s.page(o, r, "vmm.v4.ahv.config.Vm", all)
	case CreateCategory, ListCategories, GetCategory, UpdateCategory, DeleteCategory:
		return s.category(o, r, id, body)
	case GetTask, ListTasks:
		return s.task(o, r, id)
	case DeployTemplate:
		return s.deploy(o, id, body)
	}
	if v := s.vms[id]; v != nil {
		return s.machine(o, r, v, body)
	}
	return s.catalog(o, r, id)
}

// machine is about one virtual machine.
func (s *Server) machine(o operation, r *http.Request, v *vm, body []byte) reply {
	if o.name == GetVM {
		return answer(o, http.StatusOK, v.etag(), s.showVM(v))
	}
	if refused, wrong := mismatch(o, r, v.etag()); wrong {
		return refused
	}
	entity := typedAs("prism.v4.config.EntityReference", object{"extId": v.id, "rel": "vmm:ahv:config:vm"})
	switch o.name {
	case CloneVM:
		return s.clone(o, v, v.cluster, entity, body)
	case Associate:
		var in struct {
			Categories []struct {
				ID string `json:"extId"`
			} `json:"categories"`
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return invalid(o, err.Error())
		}
		for _, c := range in.Categories {
			if s.categories[c.ID] == nil {
				return invalid(o, "category "+c.ID+" does not exist")
			}
		}
		return s.accept(o, s.options.ChangeTime, []object{entity}, func() {
			for _, c := range in.Categories {
				if !slices.Contains(v.categories, c.ID) {
					v.categories = append(v.categories, c.ID)
				}
			}
			v.version++
		})
	case PowerOn:
		if v.power == "ON" {
			return invalid(o, "the VM is on")
		}
		return s.accept(o, s.options.ChangeTime, []object{entity}, func() { v.power = "ON"; v.version++ })
	case DeleteVM:
		if v.removing {
			return invalid(o, "the VM is being deleted")
		}
		v.removing = true
		return s.accept(o, s.options.DeleteTime, []object{entity}, func() { s.remove(v.id) })
	}
	return invalid(o, "the fake does not do that")
}

// wish is what a clone or a deployed template gets of its own.
type wish struct {
	Name      string `json:"name"`
	Sockets   int64  `json:"numSockets"`
	PerSocket int64  `json:"numCoresPerSocket"`
	Memory    int64  `json:"memorySizeBytes"`
	NICs      []struct {
		Network struct {
			Subnet struct {
				ID string `json:"extId"`
			} `json:"subnet"`
		} `json:"networkInfo"`
	} `json:"nics"`
	Guest *struct {
		Config struct {
			Metadata string `json:"metadata"`
			Script   struct {
				Value string `json:"value"`
			} `json:"cloudInitScript"`
			Answers struct {
				Value string `json:"value"`
			} `json:"sysprepScript"`
		} `json:"config"`
	} `json:"guestCustomization"`
}

func (s *Server) deploy(o operation, id string, body []byte) reply {
	if !slices.ContainsFunc(s.templates, func(t template) bool { return t.id == id }) {
		return notFound(o, "template "+id)
	}
	var in struct {
		Cluster   string                     `json:"clusterReference"`
		VMs       int                        `json:"numberOfVms"`
		Overrides map[string]json.RawMessage `json:"overrideVmConfigMap"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return invalid(o, err.Error())
	}
	known := slices.ContainsFunc(s.clusters, func(c cluster) bool { return c.id == in.Cluster && !c.central })
	if !known || in.VMs != 1 || len(in.Overrides) != 1 {
		return invalid(o, fmt.Sprintf("cluster %q, %d machines, %d overrides", in.Cluster, in.VMs, len(in.Overrides)))
	}
	entity := typedAs("prism.v4.config.EntityReference", object{"extId": id, "rel": "vmm:content:template"})
	return s.clone(o, &vm{sockets: 2, perSocket: 1, memory: 4 << 30}, in.Cluster, entity, in.Overrides["0"])
}

func (s *Server) clone(o operation, from *vm, on string, source object, body []byte) reply {
	var in wish
	if err := json.Unmarshal(body, &in); err != nil {
		return invalid(o, err.Error())
	}
	v := &vm{
		id: s.newID(), name: in.Name, cluster: on, power: "OFF", subnet: from.subnet, sockets: from.sockets, perSocket: from.perSocket,
		memory: from.memory, cloned: true, guest: &guest{},
	}
	if in.Sockets > 0 {
		v.sockets, v.perSocket = in.Sockets, in.PerSocket
	}
	v.memory = max(in.Memory, v.memory*boolInt(in.Memory == 0))
	for _, nic := range in.NICs {
		v.subnet = nic.Network.Subnet.ID
		if !slices.ContainsFunc(s.subnets, func(n subnet) bool { return n.id == v.subnet && (n.cluster == "" || n.cluster == on) }) {
			return invalid(o, "subnet "+v.subnet+" is not on cluster "+on)
		}
	}
	if g := in.Guest; g != nil {
		for _, p := range []struct {
			to   *[]byte
			from string
		}{{&v.guest.data, g.Config.Script.Value}, {&v.guest.meta, g.Config.Metadata}, {&v.guest.answers, g.Config.Answers.Value}} {
			var err error
			if *p.to, err = base64.StdEncoding.DecodeString(p.from); err != nil {
				return invalid(o, "guestCustomization: "+err.Error())
			}
		}
	}
	v.address = fmt.Sprintf("10.20.%d.%d", s.serial/250, s.serial%250+1)
	clone := typedAs("prism.v4.config.EntityReference", object{"extId": v.id, "rel": "vmm:ahv:config:vm"})
	return s.accept(o, s.options.CloneTime, []object{source, clone}, func() {
		v.created = time.Now() //nolint:forbidigo // see later
		s.vms[v.id], s.order = v, append(s.order, v.id)
	})
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (s *Server) showVM(v *vm) object {
	reference := func(kind, id string) object {
		return typedAs("vmm.v4.ahv.config."+kind, object{"extId": id})
	}
	shown := object{
		"extId": v.id, "name": v.name, "powerState": v.power, "createTime": v.created.UTC().Format(time.RFC3339Nano),
		"cluster": reference("ClusterReference", v.cluster), "numSockets": v.sockets, "numCoresPerSocket": v.perSocket, "numThreadsPerCore": 1,
		"memorySizeBytes": v.memory,
	}
	var categories []object
	for _, c := range v.categories {
		categories = append(categories, reference("CategoryReference", c))
	}
	if categories != nil {
		shown["categories"] = categories
	}
	if v.power == "ON" && v.address != "" {
		learned := func(ip string) object {
			return typedAs("common.v1.config.IPv4Address", object{"value": ip, "prefixLength": 32})
		}
		shown["nics"] = []object{typedAs("vmm.v4.ahv.config.Nic", object{"networkInfo": typedAs("vmm.v4.ahv.config.NicNetworkInfo", object{
			"ipv4Info": typedAs("vmm.v4.ahv.config.Ipv4Info", object{"learnedIpAddresses": []object{learned(v.address), learned("169.254.3.4")}}),
		})})}
	}
	return typedAs("vmm.v4.ahv.config.Vm", shown)
}
