package vsphere

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// maxOutput is how much of a script's output is read.
const maxOutput = 64 << 10

// Progress of a script: what the last step did. The files in the guest decide,
// not this; it is for people who look into the database.
const (
	progressDelivered = "delivered"
	progressStarted   = "started"
)

// guestOps speaks with one guest through VMware Tools.
type guestOps struct {
	d    *driver
	s    *session
	vm   types.ManagedObjectReference
	host *types.ManagedObjectReference
	auth *types.NamePasswordAuthentication

	files, processes types.ManagedObjectReference
}

// RunScript looks which files are in the guest and does what comes next: puts
// the script there, then the wrapper, runs the wrapper, and reads the result.
// The files say how far it has come, and the wrapper runs the script once
// however often it is started, so that no step needs the outcome of the one
// before.
func (d *driver) RunScript(ctx context.Context, id string, script []byte, progress string) (provider.ScriptRun, error) {
	m, ok := parseID(id)
	if !ok {
		return provider.ScriptRun{}, notFound(id)
	}
	if d.settings.ScriptMethod == Guestinfo {
		return provider.ScriptRun{}, provider.Errorf(provider.Unsupported, "script_method is guestinfo: the script is run by cloud-init in the guest")
	}
	var run provider.ScriptRun
	err := d.link.with(ctx, func(s *session) (err error) {
		run, err = d.runScript(ctx, s, m, script, progress)
		return err
	})
	return run, failure("running the script of machine "+m.Name, err)
}

func (d *driver) runScript(ctx context.Context, s *session, m mark, script []byte, progress string) (provider.ScriptRun, error) {
	wait := func(note string) (provider.ScriptRun, error) {
		return provider.ScriptRun{Progress: progress, Note: note}, nil
	}
	found, ok, err := d.byUUID(ctx, s, m)
	switch {
	case err != nil:
		return provider.ScriptRun{}, err
	case !ok:
		return provider.ScriptRun{}, notFound(m.Name)
	case found.vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn:
		return wait("the machine is not switched on yet")
	case found.vm.Guest == nil || found.vm.Guest.GuestOperationsReady == nil || !*found.vm.Guest.GuestOperationsReady:
		return wait("VMware Tools in the guest are not ready for guest operations yet")
	}
	g, err := d.guestOps(ctx, s, found)
	if err != nil {
		return provider.ScriptRun{}, err
	}
	run, err := g.step(ctx, guestOf(d.settings.OSType, m.Name, script), script)
	if isFault(err, "GuestOperationsUnavailable", "GuestComponentsOutOfDate", "ToolsUnavailable", "TaskInProgress") {
		return wait("VMware Tools in the guest do not answer yet")
	}
	return run, err
}

func (d *driver) guestOps(ctx context.Context, s *session, found machine) (*guestOps, error) {
	manager := s.client.ServiceContent.GuestOperationsManager
	if manager == nil {
		return nil, provider.Errorf(provider.Unsupported, "this vCenter server has no guest operations")
	}
	g := &guestOps{d: d, s: s, vm: found.ref, auth: &types.NamePasswordAuthentication{Username: d.settings.GuestUsername, Password: d.settings.GuestPassword}}
	var m mo.GuestOperationsManager
	if err := s.one(ctx, *manager, &m, "fileManager", "processManager"); err != nil {
		return nil, err
	}
	if m.FileManager == nil || m.ProcessManager == nil {
		return nil, provider.Errorf(provider.Unsupported, "this vCenter server has no guest operations for files and programs")
	}
	g.files, g.processes, g.host = *m.FileManager, *m.ProcessManager, found.vm.Runtime.Host
	return g, nil
}

func (g *guestOps) step(ctx context.Context, lay guest, script []byte) (provider.ScriptRun, error) {
	sizes, err := g.list(ctx, lay.dir)
	if err != nil {
		return provider.ScriptRun{}, err
	}
	_, ended := sizes[fileExit]
	_, started := sizes[fileStarted]
	switch {
	case ended:
		return g.result(ctx, lay)
	case started:
		return provider.ScriptRun{Progress: progressStarted, Note: "the script is running"}, nil
	case sizes[base(lay.script)] == int64(len(script)) && sizes[base(lay.wrapper)] == int64(len(lay.text)):
		if err := g.start(ctx, lay); err != nil {
			return provider.ScriptRun{}, err
		}
		return provider.ScriptRun{Progress: progressStarted, Note: "the script was started"}, nil
	}
	if sizes == nil {
		if err := g.makeDirectory(ctx, lay.dir); err != nil {
			return provider.ScriptRun{}, err
		}
	}
	// The wrapper comes last: where it is whole, everything is.
	if err := g.put(ctx, lay.script, script); err != nil {
		return provider.ScriptRun{}, err
	}
	if err := g.put(ctx, lay.wrapper, lay.text); err != nil {
		return provider.ScriptRun{}, err
	}
	return provider.ScriptRun{Progress: progressDelivered, Note: "the script is in the guest"}, nil
}

// result reads how the script ended.
func (g *guestOps) result(ctx context.Context, lay guest) (provider.ScriptRun, error) {
	text, err := g.fetch(ctx, lay.file(fileExit), 64)
	if err != nil {
		return provider.ScriptRun{}, err
	}
	code, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return provider.ScriptRun{}, provider.Errorf(provider.Unknown, "the file %s in the guest holds %q, no exit code: something else wrote it", lay.file(fileExit), text)
	}
	output, err := g.fetch(ctx, lay.file(fileOutput), maxOutput)
	if err != nil {
		return provider.ScriptRun{}, err
	}
	return provider.ScriptRun{Progress: progressStarted, Done: true, ExitCode: code, Output: output}, nil
}

// list are the files of a directory with their sizes; nil when there is no such
// directory.
func (g *guestOps) list(ctx context.Context, dir string) (map[string]int64, error) {
	resp, err := methods.ListFilesInGuest(ctx, g.s.client, &types.ListFilesInGuest{This: g.files, Vm: g.vm, Auth: g.auth, FilePath: dir, MaxResults: 50})
	if isFault(err, "FileNotFound", "FileFault") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, f := range resp.Returnval.Files {
		sizes[base(strings.TrimRight(f.Path, `/\`))] = f.Size
	}
	return sizes, nil
}

func (g *guestOps) makeDirectory(ctx context.Context, dir string) error {
	_, err := methods.MakeDirectoryInGuest(ctx, g.s.client, &types.MakeDirectoryInGuest{
		This: g.files, Vm: g.vm, Auth: g.auth, DirectoryPath: dir, CreateParentDirectories: true,
	})
	if isFault(err, "FileAlreadyExists") {
		return nil
	}
	return err
}

func (g *guestOps) start(ctx context.Context, lay guest) error {
	_, err := methods.StartProgramInGuest(ctx, g.s.client, &types.StartProgramInGuest{
		This: g.processes, Vm: g.vm, Auth: g.auth,
		Spec: &types.GuestProgramSpec{ProgramPath: lay.program, Arguments: lay.args, WorkingDirectory: lay.dir},
	})
	return err
}

// put writes a file that only its owner may read.
func (g *guestOps) put(ctx context.Context, path string, content []byte) error {
	var attributes types.BaseGuestFileAttributes = &types.GuestFileAttributes{}
	if g.d.settings.OSType != Windows {
		attributes = &types.GuestPosixFileAttributes{Permissions: 0o600}
	}
	resp, err := methods.InitiateFileTransferToGuest(ctx, g.s.client, &types.InitiateFileTransferToGuest{
		This: g.files, Vm: g.vm, Auth: g.auth, GuestFilePath: path, FileAttributes: attributes, FileSize: int64(len(content)), Overwrite: true,
	})
	if err != nil {
		return err
	}
	body, err := g.transfer(ctx, http.MethodPut, resp.Returnval, content, 0)
	if err != nil {
		return err
	}
	_ = body
	return nil
}

// fetch reads the end of a file.
func (g *guestOps) fetch(ctx context.Context, path string, limit int64) ([]byte, error) {
	resp, err := methods.InitiateFileTransferFromGuest(ctx, g.s.client, &types.InitiateFileTransferFromGuest{This: g.files, Vm: g.vm, Auth: g.auth, GuestFilePath: path})
	if err != nil {
		return nil, err
	}
	return g.transfer(ctx, http.MethodGet, resp.Returnval.Url, nil, limit)
}

// transfer moves a file between us and the ESXi host that runs the machine.
// The certificate is accepted when it verifies as vCenter's does, or when it is
// the one that vCenter knows of the host.
func (g *guestOps) transfer(ctx context.Context, method, address string, content []byte, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "vCenter gave an address for the transfer of a file that cannot be read")
	}
	if u.Hostname() == "*" { // vCenter's way to say: where you are talking to
		u.Host = strings.Replace(u.Host, "*", g.s.client.URL().Hostname(), 1)
	}
	config, err := g.d.hostTLS(ctx, g.s, g.host)
	if err != nil {
		return nil, err
	}
	t, err := g.d.settings.Transport()
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = config
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(content))
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "vCenter gave an address for the transfer of a file that cannot be used")
	}
	req.ContentLength = int64(len(content))
	if method == http.MethodGet {
		req.Body, req.ContentLength = nil, 0
	}
	resp, err := provider.LimitAnswers(t).RoundTrip(req)
	if err != nil {
		return nil, hostFailure(u.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, provider.Errorf(provider.StatusClass(resp.StatusCode), "ESXi host %s answered %s to the transfer of a file", u.Host, resp.Status)
	}
	if method != http.MethodGet {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return nil, hostFailure(u.Host, err)
	}
	return body, nil
}

// hostFailure names the ESXi host that cannot be reached. The address itself
// holds a ticket and is not shown.
func hostFailure(host string, err error) error {
	var done *provider.Error
	if errors.As(err, &done) {
		return provider.Errorf(done.Class, "HTTPS to ESXi host %s: %s", host, done.Message)
	}
	class, what := provider.Unavailable, "the connection broke off"
	if t := provider.TransportError(err); t != nil {
		class, what = t.Class, t.Message
	}
	return provider.Errorf(class, "HTTPS to ESXi host %s: %s. Guest operations need a way from the controller to port 443 of each ESXi host; open it, or use script_method guestinfo", host, what)
}

// hostTLS verifies an ESXi host: as the settings say, or by the fingerprint
// that vCenter has of it.
func (d *driver) hostTLS(ctx context.Context, s *session, host *types.ManagedObjectReference) (*tls.Config, error) {
	config, err := d.settings.TLSConfig()
	if err != nil || host == nil || d.settings.InsecureSkipVerify {
		return config, err
	}
	var h mo.HostSystem
	if err := s.one(ctx, *host, &h, "name", "summary.config.sslThumbprint"); err != nil {
		return nil, fmt.Errorf("reading the fingerprint of the ESXi host: %w", err)
	}
	return hostConfig(config, h), nil
}

func hostConfig(config *tls.Config, h mo.HostSystem) *tls.Config {
	pin, err := hex.DecodeString(strings.ReplaceAll(h.Summary.Config.SslThumbprint, ":", ""))
	if err != nil || len(pin) < 20 {
		return config
	}
	return pinned(config, pin, "ESXi host "+h.Name, "vCenter's inventory")
}
