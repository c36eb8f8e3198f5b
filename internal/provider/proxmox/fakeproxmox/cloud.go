package fakeproxmox

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Options shape a cluster. Schema, Dir, Fail and Now are required.
type Options struct {
	Schema  *Schema
	Dir     string                           // where guests have their files
	Fail    func(format string, args ...any) // told of requests that the schema refuses
	Now     func() time.Time
	Release int    // 8 or 9; 0: 9
	TokenID string // "headroom@pve!test" when empty
	Secret  string
	Grants  []Grant // nil: Administrator

	CloneTime  time.Duration // from the call until the disks are copied
	CloneDelay time.Duration // from the call until the placeholder is there
	StartTime  time.Duration
	StopTime   time.Duration
	AgentTime  time.Duration // from running until the guest agent answers
	StatsEvery time.Duration // how old names and states of a listing can be; 0: they are fresh
}

// Cloud is a cluster.
type Cloud struct {
	o       Options
	release int

	mu       sync.Mutex
	grants   []Grant
	expired  bool
	nodes    map[string]*node
	storages map[string]*storage
	pools    map[string]bool
	vms      map[int]*vm
	tasks    []*task
	statsAt  time.Time
	serial   int
	requests int64
	log      []string
	faults   []fault
	hung     chan struct{}

	cloneFault string

	running sync.WaitGroup // commands in guests
	stop    func()
	stopped <-chan struct{}
}

type node struct {
	name    string
	online  bool
	maxMem  float64
	usedMem float64
	bridges []string
}

type storage struct {
	name   string
	shared bool
	nodes  []string
	images bool
	plugin string
	size   float64 // bytes
	used   float64
}

type vm struct {
	id       int
	node     string
	conf     map[string]string
	status   string
	template bool
	pool     string
	since    time.Time // of its status
	shown    stats     // what listings say
	guest    *guest
	failing  string // its starts end with this
}

type stats struct {
	name, status string
	template     bool
}

func (v *vm) lock() string { return v.conf["lock"] }

// task is something that is done at a later moment, and is then told.
type task struct {
	upid   string
	node   string
	kind   string
	vmid   int
	start  time.Time
	due    time.Time
	ended  time.Time
	status string // empty while it runs
	do     func() error
}

// Fault is what happens to a call instead of, or after, its work.
type Fault struct {
	Status int         // answered instead of the work
	Text   string      // the reason
	Header http.Header // of that answer
	Lost   bool        // the work is done, the answer is not sent
	Hang   bool        // nothing is answered until the test ends
	Body   string      // answered with 200 instead of the work
}

type fault struct {
	call string // "POST /nodes/{node}/qemu/{vmid}/clone"; empty: any
	Fault
}

// New makes a cluster of one node, pve1, with the template 9000 named "base"
// on it, storage local-lvm and bridge vmbr0.
func New(o Options) *Cloud {
	if o.Release == 0 {
		o.Release = 9
	}
	if o.TokenID == "" {
		o.TokenID = "headroom@pve!test"
	}
	if o.Grants == nil {
		o.Grants = Administrator(o.Release)
	}
	done := make(chan struct{})
	c := &Cloud{
		o: o, release: o.Release, grants: o.Grants, nodes: map[string]*node{}, storages: map[string]*storage{}, pools: map[string]bool{},
		vms: map[int]*vm{}, hung: make(chan struct{}), stopped: done, stop: sync.OnceFunc(func() { close(done) }),
	}
	c.AddNode("pve1", 64)
	c.AddStorage("local-lvm", false, "pve1")
	c.AddTemplate(9000, "base", "pve1", "local-lvm")
	return c
}

// Close ends hanging calls and what runs in guests.
func (c *Cloud) Close() {
	c.stop()
	c.running.Wait()
}

// AddNode adds a node with its memory in GiB.
func (c *Cloud) AddNode(name string, memoryGiB float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name] = &node{name: name, online: true, maxMem: memoryGiB * (1 << 30), usedMem: 1 << 30, bridges: []string{"vmbr0"}}
}

// SetOnline takes a node down or up. Its machines stay as they are.
func (c *Cloud) SetOnline(name string, online bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name].online = online
}

// SetUsedMemory says how much memory of a node is used, in GiB.
func (c *Cloud) SetUsedMemory(name string, gib float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name].usedMem = gib * (1 << 30)
}

// AddStorage adds a storage for disk images.
func (c *Cloud) AddStorage(name string, shared bool, nodes ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storages[name] = &storage{name: name, shared: shared, nodes: nodes, images: true, plugin: "lvmthin", size: 500 << 30}
}

// SetSpace says of which type a storage is, and how much of it is left, in GiB.
func (c *Cloud) SetSpace(name, plugin string, left float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.storages[name]
	s.plugin, s.used = plugin, s.size-left*(1<<30)
}

// FailClones lets the clones that begin from now on end with this; empty: they
// succeed.
func (c *Cloud) FailClones(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cloneFault = why
}

// AddPool adds a resource pool.
func (c *Cloud) AddPool(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[name] = true
}

// AddTemplate adds a template with a disk and a cloud-init drive.
func (c *Cloud) AddTemplate(id int, name, on, disk string) {
	c.AddVM(id, name, on, map[string]string{
		"scsi0": fmt.Sprintf("%s:base-%d-disk-0,size=8G", disk, id), "ide2": fmt.Sprintf("%s:vm-%d-cloudinit,media=cdrom", disk, id),
		"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1", "agent": "1", "memory": "2048", "cores": "1", "balloon": "1024", "protection": "1", "template": "1",
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vms[id].template = true
	c.refresh(c.vms[id])
}

// AddVM adds a virtual machine that is switched off.
func (c *Cloud) AddVM(id int, name, on string, conf map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conf = maps.Clone(conf)
	if conf == nil {
		conf = map[string]string{}
	}
	conf["name"] = name
	v := &vm{id: id, node: on, conf: conf, status: "stopped", since: c.o.Now()}
	c.vms[id] = v
	c.refresh(v)
}

// RemoveVM takes a virtual machine away, as its owner would.
func (c *Cloud) RemoveVM(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.vms, id)
}

// VM is what can be seen of a virtual machine.
type VM struct {
	ID           int
	Node, Status string
	Pool         string
	Template     bool
	Config       map[string]string
}

// VMs shows every virtual machine; tasks that are due have been done.
func (c *Cloud) VMs() map[int]VM {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	out := map[int]VM{}
	for id, v := range c.vms {
		out[id] = VM{ID: id, Node: v.node, Status: v.status, Pool: v.pool, Template: v.template, Config: maps.Clone(v.conf)}
	}
	return out
}

// SetConfig changes options behind everybody's back; an empty value removes
// one.
func (c *Cloud) SetConfig(id int, conf map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, value := range conf {
		if value == "" {
			delete(c.vms[id].conf, k)
		} else {
			c.vms[id].conf[k] = value
		}
	}
}

// SetStatus switches a machine off or on behind everybody's back, or pauses it.
func (c *Cloud) SetStatus(id int, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vms[id].status, c.vms[id].since = status, c.o.Now()
	c.refresh(c.vms[id])
}

// FailStarts lets starts of all machines that are cloned from now on fail.
func (c *Cloud) FailStarts(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.vms {
		if v.template {
			v.failing = why
		}
	}
}

// SetGrants changes what the token may do.
func (c *Cloud) SetGrants(g []Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants = g
}

// SetExpired makes the token invalid, or valid again.
func (c *Cloud) SetExpired(expired bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expired = expired
}

// Inject lets the next call, or the next of a kind such as
// "POST /nodes/{node}/qemu/{vmid}/clone", meet a fault.
func (c *Cloud) Inject(call string, f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fault{call, f})
}

// Requests counts the calls so far.
func (c *Cloud) Requests() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Log lists the calls so far, as "METHOD /path/of/schema".
func (c *Cloud) Log() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.log...)
}

// Volumes lists the disks of machines that are no templates.
func (c *Cloud) Volumes() []string {
	var out []string
	for _, v := range c.VMs() {
		if v.Template {
			continue
		}
		for key, value := range v.Config {
			if isDisk(key) {
				volume, _, _ := strings.Cut(value, ",")
				out = append(out, volume)
			}
		}
	}
	return out
}

func isDisk(key string) bool {
	stem := strings.TrimRight(key, "0123456789")
	return stem != key && (stem == "scsi" || stem == "virtio" || stem == "sata" || stem == "ide") || key == "efidisk0" || key == "tpmstate0"
}

// settle does what is due. c.mu is held.
func (c *Cloud) settle() {
	now := c.o.Now()
	for _, t := range c.tasks {
		if t.status != "" || now.Before(t.due) {
			continue
		}
		t.ended, t.status = t.due, "OK"
		if err := t.do(); err != nil {
			t.status = err.Error()
		}
	}
	if now.Sub(c.statsAt) >= c.o.StatsEvery {
		c.statsAt = now
		for _, v := range c.vms {
			c.refresh(v)
		}
	}
}

func (c *Cloud) refresh(v *vm) {
	v.shown = stats{name: v.conf["name"], status: v.status, template: v.template}
	if v.shown.name == "" {
		v.shown.name = fmt.Sprintf("VM %d", v.id)
	}
}

// start begins a task. c.mu is held.
func (c *Cloud) start(on, kind string, vmid int, takes time.Duration, do func() error) string {
	c.serial++
	now := c.o.Now()
	t := &task{
		upid: fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%d:%s:", on, c.serial, c.serial, now.Unix(), kind, vmid, c.o.TokenID),
		node: on, kind: kind, vmid: vmid, start: now, due: now.Add(takes), do: do,
	}
	c.tasks = append(c.tasks, t)
	return t.upid
}

func (c *Cloud) guestDir(id int) string {
	dir := fmt.Sprintf("%s/vm-%d", c.o.Dir, id)
	_ = os.MkdirAll(dir, 0o700) // a guest without it fails its first write, which says so
	return dir
}
