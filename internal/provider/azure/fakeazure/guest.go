package fakeazure

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
)

// extension is an extension of a machine, which runs one command.
type extension struct {
	ext     armcompute.VirtualMachineExtension
	command string
	exit    int
	output  string
	runs    int
	looks   int // how often it was looked at; it ends after two
	broken  string
}

var scriptRule = regexp.MustCompile(`FromBase64String\('([A-Za-z0-9+/=]*)'\)`)

// run is the guest: it has no PowerShell, so that it takes the script out of the
// command and runs it by a shell.
func (e *extension) run() {
	m := scriptRule.FindStringSubmatch(e.command)
	if m == nil {
		e.exit, e.output = 1, "no script in the command"
		return
	}
	text, err := base64.StdEncoding.DecodeString(m[1])
	if err != nil {
		e.exit, e.output = 1, err.Error()
		return
	}
	e.runs++
	var out bytes.Buffer
	cmd := exec.Command("/bin/sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))), &out, &out
	err = cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		e.exit = ended.ExitCode()
	} else if err != nil {
		e.exit = 127
	}
	e.output = out.String()
}

func (e *extension) show(view bool) armcompute.VirtualMachineExtension {
	out := e.ext
	props := *e.ext.Properties
	props.ProtectedSettings = nil // never shown
	done := e.looks >= 2
	switch {
	case !done:
		props.ProvisioningState = to.Ptr("Updating")
	case e.exit == 0 && e.broken == "":
		props.ProvisioningState = to.Ptr("Succeeded")
	default:
		props.ProvisioningState = to.Ptr("Failed")
	}
	if view && done {
		code := "ProvisioningState/succeeded"
		if e.exit != 0 {
			code = "ProvisioningState/failed/" + strconv.Itoa(e.exit)
		}
		message := "Finished executing command"
		if e.broken != "" {
			code, message = "ProvisioningState/failed/"+e.broken, messages[e.broken]
		}
		props.InstanceView = &armcompute.VirtualMachineExtensionInstanceView{
			Name: to.Ptr("headroom-startup"), Statuses: []*armcompute.InstanceViewStatus{{Code: to.Ptr(code), Level: to.Ptr(armcompute.StatusLevelTypesInfo), DisplayStatus: to.Ptr("Provisioning"), Message: to.Ptr(message)}},
			Substatuses: []*armcompute.InstanceViewStatus{
				{Code: to.Ptr("ComponentStatus/StdOut/succeeded"), Level: to.Ptr(armcompute.StatusLevelTypesInfo), DisplayStatus: to.Ptr("Provisioning succeeded"), Message: to.Ptr(e.output)},
				{Code: to.Ptr("ComponentStatus/StdErr/succeeded"), Level: to.Ptr(armcompute.StatusLevelTypesInfo), DisplayStatus: to.Ptr("Provisioning succeeded"), Message: to.Ptr("")},
			},
		}
	}
	out.Properties = &props
	return out
}

func (p *Subscription) extensionServer() *fake.VirtualMachineExtensionsServer {
	return &fake.VirtualMachineExtensionsServer{
		Get: func(_ context.Context, _, vm, name string, o *armcompute.VirtualMachineExtensionsClientGetOptions) (resp azfake.Responder[armcompute.VirtualMachineExtensionsClientGetResponse], no azfake.ErrorResponder) {
			m := p.machines[strings.ToLower(vm)]
			if m == nil {
				no.SetError(refuse(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform 'read' on resource(s) of type 'virtualMachines/extensions', because the parent resource '%s' could not be found.", p.id("Microsoft.Compute/virtualMachines/%s", vm)))
				return resp, no
			}
			e := m.extensions[name]
			if e == nil {
				no.SetError(absent("/providers/Microsoft.Compute/virtualMachines/" + vm + "/extensions/" + name))
				return resp, no
			}
			e.looks++
			resp.SetResponse(http.StatusOK, armcompute.VirtualMachineExtensionsClientGetResponse{VirtualMachineExtension: e.show(o != nil && val(o.Expand) == "instanceView")}, nil)
			return resp, no
		},
		BeginCreateOrUpdate: func(_ context.Context, _, vm, name string, body armcompute.VirtualMachineExtension, _ *armcompute.VirtualMachineExtensionsClientBeginCreateOrUpdateOptions) (resp azfake.PollerResponder[armcompute.VirtualMachineExtensionsClientCreateOrUpdateResponse], no azfake.ErrorResponder) {
			m := p.machines[strings.ToLower(vm)]
			switch {
			case m == nil:
				no.SetError(refuse(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform 'write' on resource(s) of type 'virtualMachines/extensions', because the parent resource '%s' could not be found.", p.id("Microsoft.Compute/virtualMachines/%s", vm)))
				return resp, no
			case m.power != "running":
				no.SetError(refuse(http.StatusConflict, "OperationNotAllowed", "Cannot modify extensions in the VM when the VM is not running."))
				return resp, no
			case body.Properties == nil || val(body.Properties.Publisher) == "" || val(body.Properties.Type) == "" || val(body.Location) != p.Region:
				no.SetError(invalid("Required parameter 'publisher' is missing (null)."))
				return resp, no
			}
			protected, _ := body.Properties.ProtectedSettings.(map[string]any)
			command, _ := protected["commandToExecute"].(string)
			e := m.extensions[name]
			if e == nil {
				e = &extension{}
				m.extensions[name] = e
			}
			// The guest's own guard: the command makes a directory, which works once.
			if first := e.runs == 0; first {
				e.command = command
				e.run()
			}
			e.ext = body
			e.ext.ID, e.ext.Name = to.Ptr(p.id("Microsoft.Compute/virtualMachines/%s/extensions/%s", vm, name)), to.Ptr(name)
			e.ext.Properties.ProvisioningState = to.Ptr("Creating")
			p.accepted = e.show(false)
			resp.AddNonTerminalResponse(http.StatusCreated, nil)
			resp.SetTerminalResponse(http.StatusOK, armcompute.VirtualMachineExtensionsClientCreateOrUpdateResponse{}, nil)
			return resp, no
		},
	}
}
