package oci

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// pageSize is the number of objects that one call lists; the services may give
// fewer.
const pageSize = 500

// driver makes instances in one compartment.
type driver struct {
	clients
	settings Settings
	now      func() time.Time
}

func open(_ context.Context, s Settings, host provider.Host) (*driver, error) {
	c, err := s.connect(realmOf(s.CompartmentOCID), host.Now)
	if err != nil {
		return nil, err
	}
	return &driver{clients: c.clients(), settings: s, now: host.Now}, nil
}

// Offers implements provider.Offerer: shapes in availability domains.
func (d *driver) Offers() []string {
	var out []string
	for _, o := range d.settings.offers() {
		out = append(out, o.String())
	}
	return out
}

// Create implements provider.Driver.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	o, err := d.settings.offerOf(req.Offer)
	if err != nil {
		return provider.Instance{}, err
	}
	details, err := d.settings.details(req, o)
	if err != nil {
		return provider.Instance{}, err
	}
	made, err := d.compute.LaunchInstance(ctx, core.LaunchInstanceRequest{LaunchInstanceDetails: details, OpcRetryToken: new(retryToken(req.Token))})
	if err != nil {
		return provider.Instance{}, launchFault(err)
	}
	if made.Id == nil {
		return provider.Instance{}, provider.Errorf(provider.Unknown, "Oracle Cloud accepted the launch and named no instance")
	}
	return instance(&made.Instance), nil
}

// List implements provider.Driver. Instances that have ended stay listed by the
// service for half a day. They are left out, but for launches that have just
// failed: so that the control loop hears of it at once, and not when it misses
// the machine. They are shown for less than the grace period, within which the
// sweep takes nothing for an orphan.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		found, err := d.ours(ctx, owner)
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		living := slices.ContainsFunc(found, func(i core.Instance) bool { return i.LifecycleState != core.InstanceLifecycleStateTerminated })
		addresses := map[string][]string{}
		if living {
			if addresses, err = d.addresses(ctx); err != nil {
				yield(provider.Instance{}, err)
				return
			}
		}
		asked := 0
		for i := range found {
			ended := found[i].LifecycleState == core.InstanceLifecycleStateTerminated
			out := instance(&found[i])
			out.Addresses = addresses[out.ID]
			if d.maybeStillborn(&found[i]) && (!ended || d.age(&found[i]) < failureListed) && asked < maxAsked {
				asked++
				out = d.stillborn(ctx, &found[i], out)
			}
			if ended && out.State != provider.StateFailed {
				continue
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// ours are the owner's instances in every state. The service cannot pick them by
// their tags.
func (d *driver) ours(ctx context.Context, owner provider.Owner) ([]core.Instance, error) {
	var out []core.Instance
	err := pages(func(page *string) (*string, error) {
		list, err := d.compute.ListInstances(ctx, core.ListInstancesRequest{CompartmentId: &d.settings.CompartmentOCID, Limit: new(pageSize), Page: page})
		for i := range list.Items {
			if tagsOf(list.Items[i].FreeformTags).Owner() == owner && list.Items[i].Id != nil {
				out = append(out, list.Items[i])
			}
		}
		return list.OpcNextPage, err
	})
	return out, err
}

// inCompartment is an error of a call that names nothing but the compartment, or
// what else the settings name: not to be found is not to be allowed.
func inCompartment(err error) error {
	err = classify(err)
	if e, ok := err.(*provider.Error); ok && e.Class == provider.NotFound { //nolint:errorlint // classify answers this type or nothing
		out := *e
		out.Class = provider.Forbidden
		out.Message = "the compartment or the subnet does not exist, or the credentials may not read what is in it; Oracle Cloud does not tell which (" + e.Message + "): `headroom provider check` looks at each"
		return &out
	}
	return err
}

// Get implements provider.Driver. It tells no addresses: whoever waits for those
// reads the listing.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	if err := checkID(id); err != nil {
		return provider.Instance{}, err
	}
	i, err := d.get(ctx, id)
	if err != nil {
		return provider.Instance{}, err
	}
	out := instance(i)
	if d.maybeStillborn(i) {
		out = d.stillborn(ctx, i, out)
	}
	if i.LifecycleState == core.InstanceLifecycleStateTerminated && out.State != provider.StateFailed {
		return provider.Instance{}, gone(id)
	}
	return out, nil
}

func gone(id string) error {
	return provider.Errorf(provider.NotFound, "instance %s has been terminated", id)
}

// get reads one instance. The service answers alike when an instance is not
// there and when it may not be read, and a right that was taken away must not
// make machines pass for gone: only who may list the compartment is believed.
func (d *driver) get(ctx context.Context, id string) (*core.Instance, error) {
	got, err := d.compute.GetInstance(ctx, core.GetInstanceRequest{InstanceId: &id})
	if err == nil {
		if fleet.Value(got.Id, "") != id {
			return nil, provider.Errorf(provider.Unknown, "asked for instance %s, Oracle Cloud answered %q", id, fleet.Value(got.Id, ""))
		}
		return &got.Instance, nil
	}
	absent := classify(err)
	if !isClass(absent, provider.NotFound) {
		return nil, absent
	}
	if _, err := d.compute.ListInstances(ctx, core.ListInstancesRequest{CompartmentId: &d.settings.CompartmentOCID, Limit: new(1)}); err != nil {
		return nil, inCompartment(err)
	}
	return nil, absent
}

// Delete implements provider.Driver. The boot volume goes with the instance.
func (d *driver) Delete(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	_, err := d.compute.TerminateInstance(ctx, core.TerminateInstanceRequest{
		InstanceId: &id, PreserveBootVolume: new(false), PreserveDataVolumesCreatedAtLaunch: new(false),
	})
	if err == nil {
		return nil
	}
	refused := classify(err)
	if !isClass(refused, provider.NotFound) && !isClass(refused, provider.Conflict) {
		return refused
	}
	i, err := d.get(ctx, id)
	switch {
	case err != nil:
		return err
	case i.LifecycleState == core.InstanceLifecycleStateTerminated:
		return gone(id)
	case i.LifecycleState == core.InstanceLifecycleStateTerminating:
		return nil // an earlier call is at work
	case isClass(refused, provider.NotFound):
		return provider.Errorf(provider.Forbidden, "the instance exists and may not be terminated (%w): the credentials lack manage instances, use vnics or use subnets", refused)
	}
	return refused
}

// Render implements provider.Renderer.
func (d *driver) Render(_ context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	o, err := d.settings.offerOf(req.Offer)
	if err != nil {
		return nil, err
	}
	details, err := d.settings.details(req, o)
	if err != nil {
		return nil, err
	}
	body, err := bodyOf(details)
	if err != nil {
		return nil, err
	}
	return []provider.RenderedCall{{Call: "POST /" + coreVersion + "/instances, opc-retry-token: " + retryToken(req.Token), Body: body}}, nil
}

// bodyOf is what the SDK sends of a launch.
func bodyOf(details core.LaunchInstanceDetails) (map[string]any, error) {
	r, err := core.LaunchInstanceRequest{LaunchInstanceDetails: details}.HTTPRequest("POST", "/instances", nil, nil)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the launch cannot be encoded: %w", err)
	}
	return decoded(r.Body)
}
