package fakevsphere

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// guestPrefix is what absolute paths in guests begin with; each guest has its
// own directory on this host in its place.
const guestPrefix = "/var/lib/"

// guests are the guests of all machines, and the one ESXi host that they are
// reached through.
type guests struct {
	s     *Server
	root  string
	shims string // directory of programs that count
	host  *httptest.Server
	down  bool // VMware Tools do not answer

	mu      sync.Mutex
	running map[string][]*exec.Cmd // by machine
	wg      sync.WaitGroup
	started map[string][]types.GuestProgramSpec
}

func newGuests(t testing.TB, s *Server) *guests {
	t.Helper()
	g := &guests{s: s, root: t.TempDir(), running: map[string][]*exec.Cmd{}, started: map[string][]types.GuestProgramSpec{}}
	g.shims = filepath.Join(g.root, "shims")
	s.must(os.Mkdir(g.shims, 0o700))
	real, err := exec.LookPath("head")
	s.must(err)
	// The wrapper looks at the head of the script right before it runs it: the
	// only way to count runs that does not trust the wrapper's own markers.
	shim := fmt.Sprintf("#!/bin/sh\necho run >>\"$HEADROOM_RUNS\"\nexec %s \"$@\"\n", real)
	s.must(os.WriteFile(filepath.Join(g.shims, "head"), []byte(shim), 0o700)) //nolint:gosec // a program
	cert := sign(t, nil, nil)
	g.host = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	g.host.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	g.host.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g.host.StartTLS()
	for _, e := range s.model.Map().All("HostSystem") {
		if h, ok := e.(*simulator.HostSystem); ok {
			h.Name = g.host.Listener.Addr().String()
			h.Summary.Config.SslThumbprint = thumbprint(cert)
		}
	}
	return g
}

func (g *guests) close() {
	g.mu.Lock()
	for _, all := range g.running {
		kill(all)
	}
	g.mu.Unlock()
	g.wg.Wait()
	g.host.CloseClientConnections()
	g.host.Close()
}

func kill(all []*exec.Cmd) {
	for _, cmd := range all {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	}
}

// register puts the guests' managers in the place of the simulator's, and lets
// VMware Tools come up and go down with the machines.
func (g *guests) register(r *simulator.Registry) {
	files := &fileManager{g: g}
	files.Self = types.ManagedObjectReference{Type: "GuestFileManager", Value: "guestOperationsFileManager"}
	processes := &processManager{g: g}
	processes.Self = types.ManagedObjectReference{Type: "GuestProcessManager", Value: "guestOperationsProcessManager"}
	r.Put(files)
	r.Put(processes)
	r.AddHandler(&power{g: g, self: types.ManagedObjectReference{Type: "HeadroomPower", Value: "power"}})
}

// SetTools lets VMware Tools answer in all guests or in none.
func (s *Server) SetTools(up bool) {
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	s.guests.down = !up
}

// StopHost takes the ESXi host off the network.
func (s *Server) StopHost() {
	s.guests.host.CloseClientConnections()
	s.guests.host.Close()
}

// HostAddress is where the ESXi host is reached, and its name in vCenter.
func (s *Server) HostAddress() string { return s.guests.host.Listener.Addr().String() }

// ForgetHost makes vCenter know another certificate of the ESXi host.
func (s *Server) ForgetHost() {
	for _, e := range s.model.Map().All("HostSystem") {
		if h, ok := e.(*simulator.HostSystem); ok {
			h.Summary.Config.SslThumbprint = strings.Repeat("00:", 19) + "00"
		}
	}
}

// Programs are those that were started in the guest of a machine.
func (s *Server) Programs(vm types.ManagedObjectReference) []types.GuestProgramSpec {
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	return append([]types.GuestProgramSpec(nil), s.guests.started[vm.Value]...)
}

// ScriptRuns is how often a script was run in the guest of a machine.
func (s *Server) ScriptRuns(vm types.ManagedObjectReference) int {
	b, err := os.ReadFile(s.guests.runs(vm.Value))
	if err != nil {
		return 0
	}
	return strings.Count(string(b), "run\n")
}

// GuestFile is where a file of a guest is on this host.
func (s *Server) GuestFile(vm types.ManagedObjectReference, path string) string {
	return s.guests.local(vm.Value, path)
}

func (g *guests) runs(vm string) string { return filepath.Join(g.root, "runs-"+vm) }

// local is where a path of a guest is on this host.
func (g *guests) local(vm, path string) string {
	return filepath.Join(g.root, vm, filepath.Clean("/"+strings.ReplaceAll(path, `\`, "/")))
}

// power follows machines that are switched on and off.
type power struct {
	g    *guests
	self types.ManagedObjectReference
}

// Reference names the handler.
func (p *power) Reference() types.ManagedObjectReference { return p.self }

// PutObject does nothing.
func (p *power) PutObject(*simulator.Context, mo.Reference) {}

// UpdateObject lets VMware Tools come up with their machine.
func (p *power) UpdateObject(_ *simulator.Context, o mo.Reference, changes []types.PropertyChange) {
	vm, ok := o.(*mo.VirtualMachine)
	if !ok {
		return
	}
	for _, c := range changes {
		if c.Name != "runtime.powerState" {
			continue
		}
		on := c.Val == types.VirtualMachinePowerStatePoweredOn
		if vm.Guest == nil {
			vm.Guest = &types.GuestInfo{}
		}
		vm.Guest.GuestOperationsReady = types.NewBool(on)
		vm.Guest.IpAddress = ""
		if on {
			vm.Guest.IpAddress = "192.0.2.7"
			continue
		}
		p.g.mu.Lock()
		kill(p.g.running[vm.Self.Value])
		delete(p.g.running, vm.Self.Value)
		p.g.mu.Unlock()
	}
}

// RemoveObject does nothing.
func (p *power) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}

// admit is what a guest says to a caller, before anything else.
func (g *guests) admit(ctx *simulator.Context, vm types.ManagedObjectReference, auth types.BaseGuestAuthentication) types.BaseMethodFault {
	g.mu.Lock()
	down := g.down
	g.mu.Unlock()
	m, ok := ctx.Map.Get(vm).(*simulator.VirtualMachine)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: vm}
	}
	if m.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return &types.InvalidPowerState{RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: m.Runtime.PowerState}
	}
	if down {
		return &types.GuestOperationsUnavailable{}
	}
	name, ok := auth.(*types.NamePasswordAuthentication)
	if !ok || name.Username != GuestUsername || name.Password != GuestPassword {
		return &types.InvalidGuestLogin{}
	}
	return nil
}

type fileManager struct {
	mo.GuestFileManager
	g *guests
}

func (m *fileManager) address(vm types.ManagedObjectReference, path string) string {
	return "https://" + m.g.host.Listener.Addr().String() + "/guestFile?" + url.Values{"id": {vm.Value}, "path": {path}}.Encode()
}

// InitiateFileTransferToGuest answers where a file is sent to.
func (m *fileManager) InitiateFileTransferToGuest(ctx *simulator.Context, req *types.InitiateFileTransferToGuest) soap.HasFault {
	body := &methods.InitiateFileTransferToGuestBody{}
	if f := m.g.admit(ctx, req.Vm, req.Auth); f != nil {
		body.Fault_ = simulator.Fault("", f)
		return body
	}
	body.Res = &types.InitiateFileTransferToGuestResponse{Returnval: m.address(req.Vm, req.GuestFilePath)}
	return body
}

// InitiateFileTransferFromGuest answers where a file is read.
func (m *fileManager) InitiateFileTransferFromGuest(ctx *simulator.Context, req *types.InitiateFileTransferFromGuest) soap.HasFault {
	body := &methods.InitiateFileTransferFromGuestBody{}
	f := m.g.admit(ctx, req.Vm, req.Auth)
	if f == nil {
		if _, err := os.Stat(m.g.local(req.Vm.Value, req.GuestFilePath)); err != nil {
			f = &types.FileNotFound{FileFault: types.FileFault{File: req.GuestFilePath}}
		}
	}
	if f != nil {
		body.Fault_ = simulator.Fault("", f)
		return body
	}
	body.Res = &types.InitiateFileTransferFromGuestResponse{Returnval: types.FileTransferInformation{
		Attributes: &types.GuestPosixFileAttributes{}, Url: m.address(req.Vm, req.GuestFilePath),
	}}
	return body
}

// MakeDirectoryInGuest makes a directory.
func (m *fileManager) MakeDirectoryInGuest(ctx *simulator.Context, req *types.MakeDirectoryInGuest) soap.HasFault {
	body := &methods.MakeDirectoryInGuestBody{}
	f := m.g.admit(ctx, req.Vm, req.Auth)
	path := m.g.local(req.Vm.Value, req.DirectoryPath)
	switch _, err := os.Stat(path); {
	case f != nil:
	case err == nil:
		f = &types.FileAlreadyExists{FileFault: types.FileFault{File: req.DirectoryPath}}
	case os.MkdirAll(path, 0o700) != nil:
		f = &types.CannotAccessFile{FileFault: types.FileFault{File: req.DirectoryPath}}
	}
	if f != nil {
		body.Fault_ = simulator.Fault("", f)
		return body
	}
	body.Res = &types.MakeDirectoryInGuestResponse{}
	return body
}

// ListFilesInGuest lists a directory.
func (m *fileManager) ListFilesInGuest(ctx *simulator.Context, req *types.ListFilesInGuest) soap.HasFault {
	body := &methods.ListFilesInGuestBody{}
	f := m.g.admit(ctx, req.Vm, req.Auth)
	entries, err := os.ReadDir(m.g.local(req.Vm.Value, req.FilePath))
	if f == nil && errors.Is(err, fs.ErrNotExist) {
		f = &types.FileNotFound{FileFault: types.FileFault{File: req.FilePath}}
	}
	if f != nil {
		body.Fault_ = simulator.Fault("", f)
		return body
	}
	body.Res = &types.ListFilesInGuestResponse{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		body.Res.Returnval.Files = append(body.Res.Returnval.Files, types.GuestFileInfo{
			Path: e.Name(), Type: string(types.GuestFileTypeFile), Size: info.Size(), Attributes: &types.GuestPosixFileAttributes{},
		})
	}
	return body
}

// serve is the ESXi host: files go to and from guests.
func (g *guests) serve(w http.ResponseWriter, r *http.Request) {
	path := g.local(filepath.Base(r.URL.Query().Get("id")), r.URL.Query().Get("path"))
	switch r.Method {
	case http.MethodPut:
		content, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	case http.MethodGet:
		content, err := os.ReadFile(path)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(content)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

type processManager struct {
	mo.GuestProcessManager
	g *guests
}

// StartProgramInGuest runs the program on this host, with the guest's directory
// in the place of the guest's paths. Programs of Windows are noted only.
func (m *processManager) StartProgramInGuest(ctx *simulator.Context, req *types.StartProgramInGuest) soap.HasFault {
	body := &methods.StartProgramInGuestBody{}
	spec, ok := req.Spec.(*types.GuestProgramSpec)
	f := m.g.admit(ctx, req.Vm, req.Auth)
	if f == nil && !ok {
		f = &types.InvalidArgument{InvalidProperty: "spec"}
	}
	if f == nil {
		f = m.g.start(req.Vm.Value, *spec)
	}
	if f != nil {
		body.Fault_ = simulator.Fault("", f)
		return body
	}
	body.Res = &types.StartProgramInGuestResponse{Returnval: 4711}
	return body
}

func (g *guests) start(vm string, spec types.GuestProgramSpec) types.BaseMethodFault {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started[vm] = append(g.started[vm], spec)
	if strings.Contains(spec.ProgramPath, `\`) {
		return nil
	}
	args := strings.Fields(strings.ReplaceAll(spec.Arguments, guestPrefix, g.local(vm, guestPrefix)+"/"))
	cmd := exec.CommandContext(context.Background(), spec.ProgramPath, args...) //nolint:gosec // it is what guests are for
	cmd.Env = []string{"PATH=" + g.shims + ":" + os.Getenv("PATH"), "HEADROOM_RUNS=" + g.runs(vm)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return &types.FileNotFound{FileFault: types.FileFault{File: spec.ProgramPath}}
	}
	g.running[vm] = append(g.running[vm], cmd)
	g.wg.Go(func() { _ = cmd.Wait() }) // its exit code is in the guest's files
	return nil
}
