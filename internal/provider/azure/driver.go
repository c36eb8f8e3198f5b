package azure

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/headroom-dev/headroom/internal/provider"
)

// maxInterfaces is how many interfaces of a machine Get asks for addresses.
const maxInterfaces = 4

// Offers implements provider.Offerer: sizes in zones.
func (d *driver) Offers() []string {
	var out []string
	for _, o := range d.settings.offers() {
		out = append(out, o.String())
	}
	return out
}

// Create implements provider.Driver. It costs one call, two when the machine is
// there already.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	if err := checkID(req.Name); err != nil {
		return provider.Instance{}, err
	}
	o, err := d.settings.offerOf(req.Offer)
	if err != nil {
		return provider.Instance{}, err
	}
	body, err := d.settings.body(req, o)
	if err != nil {
		return provider.Instance{}, err
	}
	var resp *http.Response
	_, err = d.vms.BeginCreateOrUpdate(policy.WithCaptureResponse(ctx, &resp), d.settings.ResourceGroup, req.Name, *body,
		&armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")})
	switch accepted := resp != nil && resp.StatusCode < http.StatusMultipleChoices; {
	case err != nil && (statusOf(err) == http.StatusPreconditionFailed || exists(err)):
		return d.adopt(ctx, req, err)
	case err != nil && accepted && statusOf(err) == 0:
		// The service took it, and said so in a way that the SDK could not read.
		return provider.Instance{}, provider.Errorf(provider.Unknown, "the machine was accepted with an answer that cannot be read: %w", err)
	case err != nil:
		return provider.Instance{}, refused(err, d.now())
	}
	return provider.Instance{
		ID: machineID(req.Name), Name: req.Name, Tags: req.Tags, State: provider.StatePending, Offer: o.String(), Capacity: capacity(o.size),
	}, nil
}

// exists says that a create was refused since a machine of that name is there,
// also one that is just being made or removed.
func exists(err error) bool {
	if statusOf(err) != http.StatusConflict {
		return false
	}
	switch codeOf(err) {
	case "PropertyChangeNotAllowed", "AnotherOperationInProgress", "Conflict", "ResourceAlreadyExists", "ResourceExists", "OperationPreempted":
		return true
	}
	return false
}

// adopt answers the machine that an earlier call for the same server made.
func (d *driver) adopt(ctx context.Context, req provider.Request, cause error) (provider.Instance, error) {
	out, err := d.Get(ctx, req.Name)
	if err != nil {
		if provider.ClassOf(err) == provider.NotFound {
			err = classify(cause, d.now())
			var e *provider.Error
			if errors.As(err, &e) {
				e.Class = provider.Conflict // it was there a moment ago
			}
		}
		return provider.Instance{}, err
	}
	switch {
	case out.Tags != req.Tags:
		return provider.Instance{}, provider.Errorf(provider.Conflict, "resource group %s has a machine named %s already, and it is not this server's: delete it", d.settings.ResourceGroup, req.Name)
	case out.State == provider.StateDeleting:
		return provider.Instance{}, provider.Errorf(provider.Conflict, "the machine %s is being deleted", req.Name)
	}
	return out, nil
}

// List implements provider.Driver. It costs one call for each page of the group's
// machines, of the group's interfaces, of the subscription's statuses, and of the
// group's public addresses if our interfaces have any.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		fail := func(err error) { yield(provider.Instance{}, d.inGroup(err)) }
		statuses, err := d.statuses(ctx)
		if err != nil {
			fail(err)
			return
		}
		network, err := d.network(ctx, owner)
		if err != nil {
			fail(err)
			return
		}
		machines := d.vms.NewListPager(d.settings.ResourceGroup, nil)
		for machines.More() {
			page, err := machines.NextPage(ctx)
			if err != nil {
				fail(err)
				return
			}
			for _, m := range page.Value {
				if tagsOf(m.Tags).Owner() != owner {
					continue
				}
				out := instance(m, statuses[strings.ToLower(val(m.ID))])
				out.Addresses = network[strings.ToLower(val(m.ID))]
				if !yield(out, nil) {
					return
				}
			}
		}
	}
}

// inGroup is an error of a call that names no object but the group: that one is
// missing is never the end of what was in it.
func (d *driver) inGroup(err error) error { return refused(err, d.now()) }

// statuses are those of all machines of the subscription, by id in lower case.
func (d *driver) statuses(ctx context.Context) (map[string][]*armcompute.InstanceViewStatus, error) {
	out := map[string][]*armcompute.InstanceViewStatus{}
	all := d.vms.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: to.Ptr("true")})
	for all.More() {
		page, err := all.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, m := range page.Value {
			if m.Properties != nil && m.Properties.InstanceView != nil {
				out[strings.ToLower(val(m.ID))] = m.Properties.InstanceView.Statuses
			}
		}
	}
	return out, nil
}

// network gives the addresses of the owner's machines by their ids, public ones
// first.
func (d *driver) network(ctx context.Context, owner provider.Owner) (map[string][]string, error) {
	var ours []*armnetwork.Interface
	public := false
	interfaces := d.interfaces.NewListPager(d.settings.ResourceGroup, nil)
	for interfaces.More() {
		page, err := interfaces.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, n := range page.Value {
			if n.Properties == nil || n.Properties.VirtualMachine == nil || tagsOf(n.Tags).Owner() != owner {
				continue
			}
			ours = append(ours, n)
			for _, c := range n.Properties.IPConfigurations {
				public = public || c.Properties != nil && c.Properties.PublicIPAddress != nil
			}
		}
	}
	addresses := map[string]*string{}
	if public {
		all := d.addresses.NewListPager(d.settings.ResourceGroup, nil)
		for all.More() {
			page, err := all.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, a := range page.Value {
				if a.Properties != nil {
					addresses[strings.ToLower(val(a.ID))] = a.Properties.IPAddress
				}
			}
		}
	}
	out := map[string][]string{}
	for _, first := range []bool{true, false} {
		for _, n := range ours {
			id := strings.ToLower(val(n.Properties.VirtualMachine.ID))
			out[id] = append(out[id], addressesOf(n, first, addresses)...)
		}
	}
	return out, nil
}

// addressesOf are the public or the private addresses of an interface. known are
// public addresses by id, for answers that name them only.
func addressesOf(n *armnetwork.Interface, public bool, known map[string]*string) []string {
	var out []string
	if n.Properties == nil {
		return nil
	}
	for _, c := range n.Properties.IPConfigurations {
		switch {
		case c.Properties == nil:
		case !public:
			out = addAddress(out, c.Properties.PrivateIPAddress)
		case c.Properties.PublicIPAddress != nil:
			a := c.Properties.PublicIPAddress
			if a.Properties != nil {
				out = addAddress(out, a.Properties.IPAddress)
			} else {
				out = addAddress(out, known[strings.ToLower(val(a.ID))])
			}
		}
	}
	return out
}

// Get implements provider.Driver. It costs one call, and one for each interface.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	m, err := d.machine(ctx, id)
	if err != nil {
		return provider.Instance{}, err
	}
	var statuses []*armcompute.InstanceViewStatus
	if m.Properties != nil && m.Properties.InstanceView != nil {
		statuses = m.Properties.InstanceView.Statuses
	}
	out := instance(m, statuses)
	out.ID = id
	if m.Properties == nil || m.Properties.NetworkProfile == nil {
		return out, nil
	}
	var public, private []string
	for i, ref := range m.Properties.NetworkProfile.NetworkInterfaces {
		if ref == nil || i >= maxInterfaces {
			break
		}
		n, err := d.interfaces.Get(ctx, groupOf(val(ref.ID)), tail(val(ref.ID)), &armnetwork.InterfacesClientGetOptions{Expand: to.Ptr("ipConfigurations/publicIPAddress")})
		if err != nil {
			if isGone(err) || provider.ClassOf(classify(err, d.now())) == provider.Forbidden {
				continue // the machine is what was asked for
			}
			return provider.Instance{}, onMachine(err, d.now())
		}
		public, private = append(public, addressesOf(&n.Interface, true, nil)...), append(private, addressesOf(&n.Interface, false, nil)...)
	}
	out.Addresses = append(public, private...)
	return out, nil
}

// machine reads one machine with its instance view.
func (d *driver) machine(ctx context.Context, id string) (*armcompute.VirtualMachine, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	got, err := d.vms.Get(ctx, d.settings.ResourceGroup, id, &armcompute.VirtualMachinesClientGetOptions{Expand: to.Ptr(armcompute.InstanceViewTypesInstanceView)})
	if err != nil {
		return nil, onMachine(err, d.now())
	}
	if !strings.EqualFold(val(got.Name), id) {
		return nil, provider.Errorf(provider.Unknown, "asked for machine %s, Azure answered %q", id, val(got.Name))
	}
	return &got.VirtualMachine, nil
}

// Delete implements provider.Driver. It costs one call.
func (d *driver) Delete(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	var resp *http.Response
	_, err := d.vms.BeginDelete(policy.WithCaptureResponse(ctx, &resp), d.settings.ResourceGroup, id, nil)
	var refusal *azcore.ResponseError
	switch {
	case resp != nil && resp.StatusCode == http.StatusNoContent:
		return provider.Errorf(provider.NotFound, "there is no machine %s", id)
	case err == nil:
		return nil
	case resp != nil && resp.StatusCode == http.StatusAccepted && !errors.As(err, &refusal):
		return nil // how the SDK would follow the operation is of no concern
	case statusOf(err) == http.StatusConflict && provider.ClassOf(classify(err, d.now())) == provider.Conflict:
		// An operation is under way, often an earlier delete: the next look tells.
		return classify(err, d.now())
	}
	return onMachine(err, d.now())
}

// Render implements provider.Renderer.
func (d *driver) Render(_ context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	o, err := d.settings.offerOf(req.Offer)
	if err != nil {
		return nil, err
	}
	body, err := d.settings.body(req, o)
	if err != nil {
		return nil, err
	}
	shown, err := plain(body)
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "the request cannot be shown: %w", err)
	}
	if p, _ := shown["properties"].(map[string]any); p != nil {
		if profile, _ := p["osProfile"].(map[string]any); profile != nil && profile["adminPassword"] != nil {
			profile["adminPassword"] = "***"
		}
	}
	calls := []provider.RenderedCall{{
		Call: fmt.Sprintf("PUT %s/providers/Microsoft.Compute/virtualMachines/%s (If-None-Match: *)", d.settings.group(d.settings.ResourceGroup), req.Name),
		Body: shown,
	}}
	if d.settings.Windows {
		calls = append(calls, d.renderScript(req.Name))
	}
	return calls, nil
}

// get reads what no client of the SDK is here for.
func (d *driver) get(ctx context.Context, path, version string, into any) error {
	req, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(d.arm.Endpoint(), path))
	if err != nil {
		return err
	}
	q := req.Raw().URL.Query()
	q.Set("api-version", version)
	req.Raw().URL.RawQuery = q.Encode()
	req.Raw().Header.Set("Accept", "application/json")
	return d.send(req, into)
}

// follow reads a whole address of the service.
func (d *driver) follow(ctx context.Context, address string, into any) error {
	req, err := runtime.NewRequest(ctx, http.MethodGet, address)
	if err != nil {
		return err
	}
	req.Raw().Header.Set("Accept", "application/json")
	return d.send(req, into)
}

func (d *driver) send(req *policy.Request, into any) error {
	resp, err := d.arm.Pipeline().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return runtime.NewResponseError(resp)
	}
	return runtime.UnmarshalAsJSON(resp, into)
}
