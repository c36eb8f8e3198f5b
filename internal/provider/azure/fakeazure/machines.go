package fakeazure

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
)

// pageSize is how much one page of any listing holds.
const pageSize = 50

// machine is one virtual machine.
type machine struct {
	asked      map[string]any // the body that it was made with
	vm         *armcompute.VirtualMachine
	due        time.Time // when the operation that is under way ends
	code       string    // why its creation will fail
	power      string
	extensions map[string]*extension
}

func (m *machine) state() string { return val(m.vm.Properties.ProvisioningState) }

// statuses are those of the instance view.
func (m *machine) statuses() []*armcompute.InstanceViewStatus {
	status := func(code, level, display, message string) *armcompute.InstanceViewStatus {
		out := &armcompute.InstanceViewStatus{Code: to.Ptr(code), Level: to.Ptr(armcompute.StatusLevelTypes(level)), DisplayStatus: to.Ptr(display)}
		if message != "" {
			out.Message = to.Ptr(message)
		}
		return out
	}
	var out []*armcompute.InstanceViewStatus
	switch m.state() {
	case "Failed":
		out = append(out, status("ProvisioningState/failed/"+m.code, "Error", "Provisioning failed", messages[m.code]))
	default:
		out = append(out, status("ProvisioningState/"+strings.ToLower(m.state()), "Info", "Provisioning "+strings.ToLower(m.state()), ""))
	}
	if m.power != "" {
		out = append(out, status("PowerState/"+m.power, "Info", "VM "+m.power, ""))
	}
	return out
}

// messages are what Azure says with codes.
var messages = map[string]string{
	"AllocationFailed":                 "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more about improving likelihood of allocation success at https://aka.ms/allocation-guidance",
	"ZonalAllocationFailed":            "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone. Read more about improving likelihood of allocation success at https://aka.ms/allocation-guidance.",
	"OverconstrainedAllocationRequest": "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too restrictive. Please remove some constraints and try again.",
	"SkuNotAvailable":                  "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: Standard_D2s_v5' is currently not available in location 'westeurope'. Please try another size or deploy to a different location or different zone.",
	"QuotaExceeded":                    "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota.",
	"OperationNotAllowed":              "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. Additional details - Deployment Model: Resource Manager, Location: westeurope, Current Limit: 10, Current Usage: 10, Additional Required: 2.",
	"OSProvisioningTimedOut":           "OS Provisioning for VM did not finish in the allotted time.",
	"VMExtensionProvisioningError":     "VM has reported a failure when processing extension.",
}

// tick lets what is due happen.
func (p *Subscription) tick() {
	now := time.Now()
	for _, name := range sorted(p.machines) {
		m := p.machines[name]
		if now.Before(m.due) {
			continue
		}
		switch m.state() {
		case "Creating":
			m.vm.Properties.ProvisioningState = to.Ptr("Succeeded")
			m.power = "running"
			if m.code != "" {
				m.vm.Properties.ProvisioningState, m.power = to.Ptr("Failed"), ""
			}
		case "Deleting":
			p.remove(name)
		}
	}
}

// show is a machine as it is answered.
func (m *machine) show(view bool) armcompute.VirtualMachine {
	out := *m.vm
	props := *m.vm.Properties
	if view {
		props.InstanceView = &armcompute.VirtualMachineInstanceView{Statuses: m.statuses()}
	}
	if props.OSProfile != nil { // what is secret is never shown
		profile := *props.OSProfile
		profile.AdminPassword, profile.CustomData = nil, nil
		props.OSProfile = &profile
	}
	out.Properties = &props
	return out
}

func (p *Subscription) machineServer() *fake.VirtualMachinesServer {
	return &fake.VirtualMachinesServer{
		BeginCreateOrUpdate:         p.createMachine,
		Get:                         p.getMachine,
		BeginDelete:                 p.deleteMachine,
		NewListPager:                p.listMachines,
		NewListAllPager:             p.listStatuses,
		RetrieveBootDiagnosticsData: p.bootDiagnostics,
	}
}

func (p *Subscription) createMachine(_ context.Context, group, name string, body armcompute.VirtualMachine, o *armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions) (resp azfake.PollerResponder[armcompute.VirtualMachinesClientCreateOrUpdateResponse], no azfake.ErrorResponder) {
	m, err := p.begin(group, name, body, o != nil && val(o.IfNoneMatch) == "*")
	if err != nil {
		no.SetError(err)
		return resp, no
	}
	resp.AddNonTerminalResponse(http.StatusCreated, nil)
	resp.SetTerminalResponse(http.StatusOK, armcompute.VirtualMachinesClientCreateOrUpdateResponse{}, nil)
	p.accepted = m.show(false)
	return resp, no
}

// begin checks a machine that is asked for, and makes it.
func (p *Subscription) begin(group, name string, body armcompute.VirtualMachine, onlyNew bool) (*machine, error) {
	key := strings.ToLower(name)
	if m := p.machines[key]; m != nil {
		switch {
		case onlyNew:
			return nil, refuse(http.StatusPreconditionFailed, "PreconditionFailed", "The condition '*' in the If-None-Match header was not satisfied. The current etag is '1'.")
		default:
			return nil, refuse(http.StatusConflict, "PropertyChangeNotAllowed", "Changing property 'osProfile' is not allowed.")
		}
	}
	if !strings.EqualFold(group, p.Group) {
		return nil, refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", group)
	}
	if err := p.checkMachine(name, &body); err != nil {
		return nil, err
	}
	size, zone := string(val(body.Properties.HardwareProfile.VMSize)), ""
	if len(body.Zones) > 0 {
		zone = "@" + val(body.Zones[0])
	}
	short := p.soldOut[size+zone]
	switch {
	case short.code != "" && !short.later:
		return nil, refuse(http.StatusConflict, short.code, "%s", messages[short.code])
	case len(p.machines) >= p.limit:
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "%s", messages["OperationNotAllowed"])
	}
	m := &machine{vm: &body, due: time.Now().Add(p.took), code: short.code, extensions: map[string]*extension{}, asked: document(p.current)}
	p.serial++
	body.ID, body.Name, body.Type = to.Ptr(p.id("Microsoft.Compute/virtualMachines/%s", name)), to.Ptr(name), to.Ptr("Microsoft.Compute/virtualMachines")
	body.Etag = to.Ptr(strconv.Quote(strconv.Itoa(p.serial)))
	body.Properties.ProvisioningState, body.Properties.TimeCreated = to.Ptr("Creating"), to.Ptr(stamp())
	body.Properties.VMID = to.Ptr(fmt.Sprintf("00000000-0000-4000-8000-%012d", p.serial))
	p.machines[key] = m
	p.build(name, m.vm)
	return m, nil
}

func (p *Subscription) getMachine(_ context.Context, _, name string, o *armcompute.VirtualMachinesClientGetOptions) (resp azfake.Responder[armcompute.VirtualMachinesClientGetResponse], no azfake.ErrorResponder) {
	m := p.machines[strings.ToLower(name)]
	if m == nil {
		no.SetError(absent("/providers/Microsoft.Compute/virtualMachines/" + name))
		return resp, no
	}
	view := o != nil && val(o.Expand) == armcompute.InstanceViewTypesInstanceView
	resp.SetResponse(http.StatusOK, armcompute.VirtualMachinesClientGetResponse{VirtualMachine: m.show(view)}, nil)
	return resp, no
}

func (p *Subscription) deleteMachine(_ context.Context, _, name string, _ *armcompute.VirtualMachinesClientBeginDeleteOptions) (resp azfake.PollerResponder[armcompute.VirtualMachinesClientDeleteResponse], no azfake.ErrorResponder) {
	m := p.machines[strings.ToLower(name)]
	if m == nil {
		resp.SetTerminalResponse(http.StatusNoContent, armcompute.VirtualMachinesClientDeleteResponse{}, nil)
		return resp, no
	}
	if m.state() != "Deleting" {
		m.vm.Properties.ProvisioningState, m.due = to.Ptr("Deleting"), time.Now().Add(p.took)
	}
	resp.AddNonTerminalResponse(http.StatusAccepted, nil)
	resp.SetTerminalResponse(http.StatusOK, armcompute.VirtualMachinesClientDeleteResponse{}, nil)
	return resp, no
}

// pageOf cuts the page out of all names that the request asks for, and gives the
// link to the next one.
func (p *Subscription) pageOf(all []string) (names []string, next *string) {
	r := p.current
	from, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	to := min(from+pageSize, len(all))
	from = min(from, len(all))
	if to < len(all) {
		u := *r.URL
		q := u.Query()
		q.Set("$skiptoken", strconv.Itoa(to))
		u.RawQuery, u.Scheme, u.Host = q.Encode(), "https", r.Host
		link := u.String()
		next = &link
	}
	return all[from:to], next
}

func (p *Subscription) listMachines(group string, o *armcompute.VirtualMachinesClientListOptions) (resp azfake.PagerResponder[armcompute.VirtualMachinesClientListResponse]) {
	if o != nil && o.Expand != nil && o.Filter == nil {
		resp.AddError(refuse(http.StatusBadRequest, "InvalidParameter", "$expand is only supported with a $filter on virtualMachineScaleSet/id."))
		return resp
	}
	var page armcompute.VirtualMachinesClientListResponse
	page.Value = []*armcompute.VirtualMachine{}
	names, next := p.pageOf(p.listed())
	for _, name := range names {
		vm := p.machines[name].show(false)
		// The service spells the group as it likes.
		vm.ID = to.Ptr(strings.Replace(*vm.ID, "/resourceGroups/"+p.Group+"/", "/resourceGroups/"+strings.ToUpper(group)+"/", 1))
		page.Value = append(page.Value, &vm)
	}
	page.NextLink = next
	resp.AddPage(http.StatusOK, page, nil)
	return resp
}

// listed are the machines that listings show.
func (p *Subscription) listed() []string {
	return slices.DeleteFunc(sorted(p.machines), func(name string) bool { return p.settled != nil && !p.settled[name] })
}

// listStatuses is the listing of the subscription with statusOnly: ids, states and
// statuses, and neither tags nor sizes.
func (p *Subscription) listStatuses(o *armcompute.VirtualMachinesClientListAllOptions) (resp azfake.PagerResponder[armcompute.VirtualMachinesClientListAllResponse]) {
	if o == nil || val(o.StatusOnly) != "true" {
		resp.AddError(fmt.Errorf("the subscription is listed without statusOnly"))
		return resp
	}
	var page armcompute.VirtualMachinesClientListAllResponse
	page.Value = []*armcompute.VirtualMachine{}
	all := p.listed()
	if p.blind {
		all = nil
	}
	names, next := p.pageOf(all)
	for _, name := range names {
		m := p.machines[name]
		page.Value = append(page.Value, &armcompute.VirtualMachine{ID: m.vm.ID, Name: m.vm.Name, Type: m.vm.Type, Location: m.vm.Location, Properties: &armcompute.VirtualMachineProperties{
			ProvisioningState: m.vm.Properties.ProvisioningState, InstanceView: &armcompute.VirtualMachineInstanceView{Statuses: m.statuses()},
		}})
	}
	page.NextLink = next
	resp.AddPage(http.StatusOK, page, nil)
	return resp
}

func (p *Subscription) bootDiagnostics(_ context.Context, _, name string, o *armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataOptions) (resp azfake.Responder[armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse], no azfake.ErrorResponder) {
	m := p.machines[strings.ToLower(name)]
	switch {
	case m == nil:
		no.SetError(absent("/providers/Microsoft.Compute/virtualMachines/" + name))
		return resp, no
	case m.vm.Properties.DiagnosticsProfile == nil || m.vm.Properties.DiagnosticsProfile.BootDiagnostics == nil || !val(m.vm.Properties.DiagnosticsProfile.BootDiagnostics.Enabled):
		no.SetError(refuse(http.StatusConflict, "BootDiagnosticsNotEnabled", "Boot diagnostics is not enabled on the VM."))
		return resp, no
	case o != nil && o.SasURIExpirationTimeInMinutes != nil && (*o.SasURIExpirationTimeInMinutes < 1 || *o.SasURIExpirationTimeInMinutes > 1440):
		no.SetError(refuse(http.StatusBadRequest, "InvalidParameter", "sasUriExpirationTimeInMinutes must be 1 to 1440."))
		return resp, no
	}
	var out armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse
	out.SerialConsoleLogBlobURI = to.Ptr("https://" + p.current.Host + "/blob/" + p.ID + "/" + strings.ToLower(name) + "?sv=2021&sig=" + "c29tZSBzaWduYXR1cmU%3D")
	resp.SetResponse(http.StatusOK, out, nil)
	return resp, no
}
