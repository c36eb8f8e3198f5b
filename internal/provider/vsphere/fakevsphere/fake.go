// Package fakevsphere is a vCenter server for tests: VMware's own simulator
// (vcsim of govmomi) in process, behind TLS with a private authority, with what
// it lacks added: guests that really run what they are told, ESXi hosts that
// take files over HTTPS, instant clones, privileges, clones that take time or
// fail in their tasks, and faults of the network and of the API. The simulator
// decodes every request with the types that VMware generates from its API
// description; requests for clones are kept, since it ignores parts of them.
package fakevsphere

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What is in the inventory of a new server.
const (
	Datacenter       = "DC0"
	Cluster          = "DC0_C0"
	ResourcePool     = "desktops"
	Datastore        = "LocalDS_0"
	DatastoreCluster = "DC0_POD0" // of two datastores
	Folder           = "headroom"
	Template         = "ubuntu-24.04"
	SourceVM         = "golden"
	Snapshot         = "base" // of SourceVM
	Network          = "DC0_DVPG0"

	Username      = "headroom@vsphere.local"
	Password      = "the-pass-word-of-vcenter"
	GuestUsername = "root"
	GuestPassword = "the-pass-word-of-the-guest"
)

// Server is a vCenter server.
type Server struct {
	Host    string
	Port    int64
	CA      string // certificate of the authority, PEM
	OtherCA string // of an authority that signed nothing here
	SHA256  string // fingerprint of the server's certificate

	t        testing.TB
	model    *simulator.Model
	admin    *vim25.Client // in process: not counted and not hindered
	front    *httptest.Server
	guests   *guests
	handler  http.Handler
	calls    atomic.Int64
	expired  atomic.Bool
	sessions atomic.Int64 // logins so far
	logouts  atomic.Int64
	done     chan struct{}

	mu      sync.Mutex
	revoked map[string]bool // cookies
	seen    map[string]bool
	faults  []*fault
	clones  []types.CloneVM_Task
	instant []types.InstantClone_Task
	fail    []types.BaseMethodFault // of the next clone tasks
	hold    bool
	held    []func(ctx *simulator.Context)
	denied  map[string]bool // privileges
	dying   map[types.ManagedObjectReference]bool
	making  map[string]bool // names of machines
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, done: make(chan struct{}), revoked: map[string]bool{}, seen: map[string]bool{}, denied: map[string]bool{}, dying: map[types.ManagedObjectReference]bool{}, making: map[string]bool{}}
	s.model = simulator.VPX()
	s.model.Host, s.model.Datastore, s.model.Pod = 0, 3, 1
	if err := s.model.Create(); err != nil {
		t.Fatalf("making the inventory of the simulator: %v", err)
	}
	s.model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(Username, Password)}
	inner := s.model.Service.NewServer()
	s.handler = inner.Config.Handler
	s.model.Map().SessionManager().ValidLogin = func(l *types.Login) bool {
		s.sessions.Add(1)
		return !s.expired.Load() && l.UserName == Username && l.Password == Password
	}
	pair := newCertificates(t)
	s.CA, s.OtherCA, s.SHA256 = pair.ca, pair.otherCA, pair.sha256
	s.front = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.front.TLS = &tls.Config{Certificates: []tls.Certificate{pair.server}, MinVersion: tls.VersionTLS12}
	s.front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // clients break connections on purpose
	s.front.StartTLS()
	host, port, err := net.SplitHostPort(s.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.Host = host
	s.Port, _ = strconv.ParseInt(port, 10, 64)
	s.guests = newGuests(t, s)
	t.Cleanup(func() {
		close(s.done)
		s.front.CloseClientConnections()
		s.front.Close()
		s.guests.close()
		s.settle()
		inner.Close()
		s.model.Remove()
	})
	s.furnish()
	return s
}

// settle waits until the simulator's tasks have ended: it would not survive that
// its files are removed under them.
func (s *Server) settle() {
	for again := true; again; {
		again = false
		for _, o := range s.model.Map().AllReference("Task") {
			task, ok := o.(*simulator.Task)
			if !ok || task.Execute == nil { // one of ours that is held
				continue
			}
			running := false
			s.model.Map().WithLock(&simulator.Context{Map: s.model.Map()}, task, func() {
				running = task.Info.State == types.TaskInfoStateRunning || task.Info.State == types.TaskInfoStateQueued
			})
			if running {
				task.Wait()
				again = true
			}
		}
	}
}

// Settings are those of a provider config, as an operator writes them.
func (s *Server) Settings() map[string]any {
	return map[string]any{
		"vcenter": s.Host, "port": s.Port, "username": Username, "password": Password, "ca_bundle": s.CA,
		"datacenter": Datacenter, "cluster": Cluster, "datastore": Datastore, "folder": Folder, "template": Template,
		"os_type": "linux", "guest_username": GuestUsername, "guest_password": GuestPassword,
	}
}

// furnish makes the template, the source of linked clones and the places.
func (s *Server) furnish() {
	ctx := context.Background()
	admin, err := vim25.NewClient(ctx, s.model.Service)
	s.must(err)
	s.admin = admin
	search := object.NewSearchIndex(admin)
	at := func(path string) types.ManagedObjectReference {
		ref, err := search.FindByInventoryPath(ctx, path)
		if err != nil || ref == nil {
			s.t.Fatalf("the simulator has no %s: %v", path, err)
		}
		return ref.Reference()
	}
	wait := func(task *object.Task, err error) {
		s.must(err)
		s.must(task.Wait(ctx))
	}
	_, err = object.NewFolder(admin, at("/DC0/vm")).CreateFolder(ctx, Folder)
	s.must(err)
	_, err = object.NewResourcePool(admin, at("/DC0/host/DC0_C0/Resources")).Create(ctx, ResourcePool, types.DefaultResourceConfigSpec())
	s.must(err)
	template := object.NewVirtualMachine(admin, at("/DC0/vm/DC0_C0_RP0_VM0"))
	wait(template.PowerOff(ctx))
	wait(template.Rename(ctx, Template))
	s.must(template.MarkAsTemplate(ctx))
	golden := object.NewVirtualMachine(admin, at("/DC0/vm/DC0_C0_RP0_VM1"))
	wait(golden.Rename(ctx, SourceVM))
	wait(golden.CreateSnapshot(ctx, Snapshot, "", false, false))
	pod := object.NewFolder(admin, at("/DC0/datastore/DC0_POD0"))
	wait(pod.MoveInto(ctx, []types.ManagedObjectReference{at("/DC0/datastore/LocalDS_1"), at("/DC0/datastore/LocalDS_2")}))
	registry := s.model.Map()
	for _, e := range registry.All("Datastore") {
		ds, ok := e.(*simulator.Datastore)
		if !ok {
			s.t.Fatalf("a datastore of the simulator is a %T", e)
		}
		ds.Summary.Capacity, ds.Summary.FreeSpace = 1<<40, 500<<30
		ds.Summary.MaintenanceMode = string(types.DatastoreSummaryMaintenanceModeStateNormal)
	}
	for _, ref := range []types.ManagedObjectReference{template.Reference(), golden.Reference()} {
		vm, ok := registry.Get(ref).(*simulator.VirtualMachine)
		if !ok {
			s.t.Fatalf("a machine of the simulator is a %T", registry.Get(ref))
		}
		vm.Summary.Storage = &types.VirtualMachineStorageSummary{Committed: 10 << 30}
		registry.Put(&source{vm, s})
	}
	authorization, ok := registry.Get(*admin.ServiceContent.AuthorizationManager).(*simulator.AuthorizationManager)
	if !ok {
		s.t.Fatal("the simulator has no authorization manager")
	}
	registry.Put(&privileges{authorization, s})
	s.guests.register(registry)
	registry.Handler = s.busy
}

// busy refuses to touch a machine that is being made or destroyed, as vCenter
// does; the simulator would do both at once.
func (s *Server) busy(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if m.Name != "Destroy_Task" && m.Name != "PowerOffVM_Task" {
		return nil, nil
	}
	vm, ok := ctx.Map.Get(m.This).(*simulator.VirtualMachine)
	if !ok {
		return nil, nil
	}
	name := ""
	ctx.Map.WithLock(ctx, vm, func() { name = vm.Name })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dying[m.This] || s.making[name] {
		return nil, &types.TaskInProgress{}
	}
	s.dying[m.This] = m.Name == "Destroy_Task"
	return nil, nil
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("furnishing the simulator: %v", err)
	}
}

// privileges answers which of them the account has.
type privileges struct {
	*simulator.AuthorizationManager
	s *Server
}

// HasPrivilegeOnEntities denies what was taken away by Deny.
func (p *privileges) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	body := p.AuthorizationManager.HasPrivilegeOnEntities(req)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	answer := privilegeAnswer(body)
	for i := range answer {
		for j := range answer[i].PrivAvailability {
			a := &answer[i].PrivAvailability[j]
			a.IsGranted = a.IsGranted && !p.s.denied[a.PrivId]
		}
	}
	return body
}

// Deny takes a privilege away from the account, and gives all others back.
func (s *Server) Deny(privilege string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = map[string]bool{privilege: true}
}

// Machines are the virtual machines of the folder, without the driver's help.
func (s *Server) Machines() []mo.VirtualMachine {
	var out []mo.VirtualMachine
	for _, e := range s.model.Map().All("VirtualMachine") {
		vm, ok := e.(*simulator.VirtualMachine)
		if !ok {
			continue // a source
		}
		s.model.Map().WithLock(&simulator.Context{Map: s.model.Map()}, vm, func() { out = append(out, vm.VirtualMachine) })
	}
	return out
}

// Expire makes the server refuse the password and end all sessions, until it
// is called with false.
func (s *Server) Expire(on bool) {
	s.expired.Store(on)
	if on {
		s.EndSessions()
	}
}

// EndSessions ends all sessions.
func (s *Server) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cookie := range s.seen {
		s.revoked[cookie] = true
	}
}

// Calls is how many requests have come.
func (s *Server) Calls() int64 { return s.calls.Load() }

// Logins is how often somebody tried to log in.
func (s *Server) Logins() int64 { return s.sessions.Load() }

// Logouts is how often somebody logged out.
func (s *Server) Logouts() int64 { return s.logouts.Load() }

// SetFree sets the free space of a datastore.
func (s *Server) SetFree(name string, bytes int64) {
	for _, e := range s.model.Map().All("Datastore") {
		if ds, ok := e.(*simulator.Datastore); ok && ds.Name == name {
			s.model.Map().WithLock(&simulator.Context{Map: s.model.Map()}, ds, func() { ds.Summary.FreeSpace = bytes })
		}
	}
}

// SetConnection sets how vCenter reaches a machine.
func (s *Server) SetConnection(name string, state types.VirtualMachineConnectionState) {
	for _, e := range s.model.Map().All("VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok && vm.Name == name {
			s.model.Map().WithLock(&simulator.Context{Map: s.model.Map()}, vm, func() { vm.Runtime.ConnectionState = state })
		}
	}
}

// SetStorageDRS switches Storage DRS of the datastore cluster.
func (s *Server) SetStorageDRS(on bool) {
	for _, e := range s.model.Map().All("StoragePod") {
		if pod, ok := e.(*simulator.StoragePod); ok {
			if pod.PodStorageDrsEntry == nil {
				pod.PodStorageDrsEntry = &types.PodStorageDrsEntry{}
			}
			pod.PodStorageDrsEntry.StorageDrsConfig.PodConfig.Enabled = on
		}
	}
}

// Admin is a client with all rights that goes around the network.
func (s *Server) Admin() *vim25.Client { return s.admin }
