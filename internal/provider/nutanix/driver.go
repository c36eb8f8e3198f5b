package nutanix

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/provider"
)

// pageLength is how many objects a page of a listing is asked to hold. Prism
// may give fewer.
const pageLength = 500

type driver struct {
	settings   Settings
	connection *connection
	now        func() time.Time

	mu    sync.Mutex
	known *references // what names were found to mean; nil: not looked up
}

func open(_ context.Context, s Settings, host provider.Host) (provider.Driver, error) {
	c, err := connectionOf(s)
	switch {
	case err != nil:
		return nil, err
	case s.APIVersion == v4Name:
		return openV4(s, c, host), nil
	}
	return openV3(s, c, host)
}

func connectionOf(s Settings) (*connection, error) {
	transport, err := s.Transport()
	if err != nil {
		return nil, err
	}
	return &connection{
		host: address(s.Host, orDefault(s.Port, 9440)), username: s.Username, password: s.Password, apiKey: s.APIKey,
		transport: provider.LimitAnswers(transport),
	}, nil
}

func openV3(s Settings, c *connection, host provider.Host) (*driver, error) {
	if errSDK != nil {
		return nil, fmt.Errorf("preparing the client of Prism: %w", errSDK)
	}
	return &driver{settings: s, connection: c, now: host.Now}, nil
}

// machineID derives the UUID of a machine from the token (RFC 9562, version 5).
func machineID(req provider.Request) string {
	name := "headroom/machine\x00" + req.Tags.Installation + "\x00" + req.Tags.Provider + "\x00" + req.Token
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String()
}

// Create marks the machine and asks for it. Whatever Prism answers to the
// request, the machine of an earlier one with the same token is found by its
// UUID.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	ctx = d.connection.connect(ctx)
	refs, err := d.references(ctx)
	if err != nil {
		return provider.Instance{}, err
	}
	id, m := machineID(req), newMark(req, d.now())
	input, err := d.input(req, id, refs)
	if err != nil {
		return provider.Instance{}, err
	}
	if err := d.putMark(ctx, id, m); err != nil {
		return provider.Instance{}, err
	}
	resp, err := sdk.CreateVM(ctx, input)
	if err != nil {
		return d.refused(ctx, id, m, d.failure(ctx, "creating machine "+req.Name, err))
	}
	made := ""
	if resp.Metadata != nil {
		made = deref(resp.Metadata.UUID)
	}
	switch made {
	case id:
		return instance(id, m, (*v3.VMIntentResource)(resp)), nil
	case "":
		return provider.Instance{}, provider.Errorf(provider.Unknown, "creating machine %s: Prism accepted it and named no UUID", req.Name)
	}
	// Without the UUID of ours, a repeated request would make a second machine.
	if _, err := sdk.DeleteVM(ctx, made); err != nil {
		return provider.Instance{}, provider.Errorf(provider.Unknown, "creating machine %s: Prism made it as %s although it was asked for as %s, and it could not be removed: remove it by hand", req.Name, made, id)
	}
	_ = d.deleteMark(ctx, id) // what stays is a remnant, which the sweep finds
	return provider.Instance{}, provider.Errorf(provider.Unsupported, "creating machine %s: Prism ignores the UUID of the request, so that a lost answer could make two machines; it made %s, which was removed again", req.Name, made)
}

// refused handles a create request that failed: an earlier one may have made
// the machine, and the mark of a machine that was not made is taken away.
func (d *driver) refused(ctx context.Context, id string, m mark, cause *provider.Error) (provider.Instance, error) {
	if !cause.Class.MadeNothing() && cause.Class != provider.Conflict && cause.Class != provider.NotFound {
		return provider.Instance{}, cause
	}
	vm, err := sdk.GetVM(ctx, id)
	if err == nil {
		return instance(id, m, (*v3.VMIntentResource)(vm)), nil
	}
	if failed := d.failure(ctx, "looking for the machine", err); failed.Class != provider.NotFound {
		return provider.Instance{}, provider.Errorf(provider.Unavailable, "%s (whether an earlier request made the machine could not be found out: %s)", cause.Message, failed.Message)
	}
	switch cause.Class {
	case provider.Conflict: // with another request of the same token, perhaps, which needs the mark
		return provider.Instance{}, cause
	case provider.NotFound: // of something that the request refers to
		cause.Class = provider.Invalid
	}
	d.forget()
	_ = d.deleteMark(ctx, id) // what stays is a remnant, which the sweep finds
	return provider.Instance{}, cause
}

// List joins the owner's marks with the virtual machines that Prism shows.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		ctx := d.connection.connect(ctx)
		left, err := d.marks(ctx, owner)
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		if len(left) == 0 {
			return
		}
		stopped := false
		err = d.vms(ctx, commonName(left), func(vm *v3.VMIntentResource) bool {
			id := vmID(vm)
			m, ours := left[id]
			if !ours {
				return true
			}
			delete(left, id)
			stopped = !yield(instance(id, m, vm), nil)
			return !stopped
		})
		if stopped {
			return
		}
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		// Prism does not list what it failed to make, pages that shift while
		// machines are removed can skip one, and somebody may have renamed one:
		// what has had time to show is asked for by itself.
		for id, m := range left {
			if d.now().Sub(m.Created) < grace {
				continue
			}
			i, err := d.look(ctx, id, m)
			if isNotFound(err) {
				continue
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
	}
}

// look asks for one virtual machine of which the mark is known.
func (d *driver) look(ctx context.Context, id string, m mark) (provider.Instance, error) {
	vm, err := sdk.GetVM(ctx, id)
	if err != nil {
		return provider.Instance{}, d.failure(ctx, "looking at machine "+id, err)
	}
	i := instance(id, m, (*v3.VMIntentResource)(vm))
	if i.State == provider.StateFailed && i.Fault == "" {
		i.Fault = d.taskFault(ctx, vm)
		i.FaultClass = faultClass([]message{{Message: i.Fault}})
	}
	return i, nil
}

// taskFault is what the last task of a virtual machine says of its failure. It
// is an extra: without it, the machine has failed all the same.
func (d *driver) taskFault(ctx context.Context, vm *v3.VMIntentResponse) string {
	const unknown = "Prism gives no reason"
	if vm.Status == nil || vm.Status.ExecutionContext == nil {
		return unknown
	}
	id, _ := vm.Status.ExecutionContext.TaskUUID.(string)
	if list, ok := vm.Status.ExecutionContext.TaskUUID.([]any); ok && len(list) > 0 {
		id, _ = list[len(list)-1].(string)
	}
	if uuid.Validate(id) != nil {
		return unknown
	}
	task, err := sdk.GetTask(ctx, id)
	if err != nil || deref(task.ErrorDetail) == "" {
		return unknown + "; see task " + id
	}
	return deref(task.ErrorDetail)
}

// Get looks at the machine and its mark. A virtual machine without mark is
// shown with no tags; a mark without virtual machine is a machine that is being
// deleted.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	if uuid.Validate(id) != nil {
		return provider.Instance{}, notFound(id)
	}
	ctx = d.connection.connect(ctx)
	i, err := d.look(ctx, id, mark{})
	if err != nil && !isNotFound(err) {
		return provider.Instance{}, err
	}
	m, markErr := d.mark(ctx, id)
	switch {
	case markErr != nil && !isNotFound(markErr):
		return provider.Instance{}, markErr
	case err != nil && markErr != nil:
		return provider.Instance{}, notFound(id)
	case err != nil:
		i = provider.Instance{ID: id, Name: m.Name, State: provider.StateDeleting, CreatedAt: m.Created}
	}
	i.Tags = m.tags()
	return i, nil //nolint:nilerr // the error says that there is no virtual machine, which is one way for a machine to be
}

// Delete begins the removal of the machine; once it is gone, its mark goes.
func (d *driver) Delete(ctx context.Context, id string) error {
	if uuid.Validate(id) != nil {
		return notFound(id)
	}
	ctx = d.connection.connect(ctx)
	_, err := sdk.DeleteVM(ctx, id)
	if err == nil {
		return nil
	}
	if failed := d.failure(ctx, "deleting machine "+id, err); failed.Class != provider.NotFound {
		return failed
	}
	if err := d.deleteMark(ctx, id); err != nil {
		return err
	}
	return notFound(id)
}

// remnantKind is the only thing that a machine can leave behind.
const remnantKind = "category value"

// ListRemnants yields marks whose machines do not exist.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		ctx := d.connection.connect(ctx)
		left, err := d.marks(ctx, owner)
		if err == nil && len(left) > 0 {
			err = d.vms(ctx, commonName(left), func(vm *v3.VMIntentResource) bool {
				delete(left, vmID(vm))
				return true
			})
		}
		if err != nil {
			yield(provider.Remnant{}, err)
			return
		}
		for id, m := range left {
			switch _, err := d.look(ctx, id, m); {
			case err == nil:
				continue
			case !isNotFound(err):
				yield(provider.Remnant{}, err)
				return
			}
			if !yield(provider.Remnant{Kind: remnantKind, ID: id, Name: m.Name, Tags: m.tags(), CreatedAt: m.Created}, nil) {
				return
			}
		}
	}
}

// DeleteRemnant removes a mark, unless its machine has come to be meanwhile.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	if r.Kind != remnantKind || uuid.Validate(r.ID) != nil {
		return provider.Errorf(provider.NotFound, "there is no %s %q", r.Kind, r.ID)
	}
	ctx = d.connection.connect(ctx)
	switch _, err := d.look(ctx, r.ID, mark{}); {
	case err == nil:
		return provider.Errorf(provider.Conflict, "the mark %s belongs to a machine", r.ID)
	case !isNotFound(err):
		return err
	}
	return d.deleteMark(ctx, r.ID)
}

// Render shows the two requests of a create.
func (d *driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	ctx = d.connection.connect(ctx)
	refs, err := d.references(ctx)
	if err != nil {
		return nil, err
	}
	id := machineID(req)
	value, err := newMark(req, d.now()).value(id)
	if err != nil {
		return nil, d.failure(ctx, "marking the machine", err)
	}
	input, err := d.input(req, id, refs)
	if err != nil {
		return nil, err
	}
	maskGuest(input.Spec.Resources.GuestCustomization)
	const root = " /api/nutanix/v3"
	return []provider.RenderedCall{
		{Call: http.MethodPut + root + "/categories/" + markKey + "/" + id, Body: value},
		{Call: http.MethodPost + root + "/vms", Body: input},
	}, nil
}
