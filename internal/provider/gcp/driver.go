package gcp

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	resources "google.golang.org/api/cloudresourcemanager/v3"
	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	page = 500 // the most that one call lists

	// insertWait is how long a create waits at the service's side for the outcome
	// of its operation: most stock-outs show within it, so that the next offer can
	// have its turn at once. What takes longer is seen by Get.
	insertWait = 5 * time.Second

	// maxInserts bounds the operations of earlier calls that one create walks past.
	maxInserts = 6

	// failureShown is how long Get tells of an instance whose creation failed.
	// After that it is as if it had never been asked for.
	failureShown = 10 * time.Minute
)

// driver makes instances in one project.
type driver struct {
	settings Settings
	api      *compute.Service
	iam      *resources.Service
	now      func() time.Time
}

// Offers implements provider.Offerer: machine types in zones.
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
	body, err := d.settings.body(req, o)
	if err != nil {
		return provider.Instance{}, err
	}
	m := machine{zone: o.zone, name: req.Name, tags: req.Tags}
	op, err := d.insert(ctx, o.zone, body, req.Token)
	if statusOf(err) == http.StatusConflict {
		return d.adopt(ctx, m, err)
	}
	if err != nil {
		return provider.Instance{}, refused(err, d.now())
	}
	if op = d.await(ctx, o.zone, op); alreadyThere(op) {
		return d.adopt(ctx, m, operationFault(op))
	}
	if fault := operationFault(op); fault != nil {
		return provider.Instance{}, fault
	}
	return provider.Instance{
		ID: m.id(), Name: req.Name, Tags: req.Tags, State: provider.StatePending, Offer: o.String(),
		Capacity: capacity(o.machineType, body.GuestAccelerators),
	}, nil
}

// insert begins the creation of an instance. The service answers a request id that
// it knows with the operation of the first call, for about an hour, also when that
// failed: then nothing is there, and the next id is tried. The ids follow from the
// token and from the operations that failed, so that each repetition of the create
// goes the same way; the name keeps a second instance from being made in any case.
func (d *driver) insert(ctx context.Context, zone string, body *compute.Instance, token string) (op *compute.Operation, err error) {
	id := requestID(token)
	for range maxInserts {
		op, err = d.api.Instances.Insert(d.settings.Project, zone, body).RequestId(id).Context(ctx).Do()
		if err != nil || op.Status != "DONE" {
			return op, err
		}
		fault := operationFault(op)
		if fault == nil || fault.Class.MadeNothing() || alreadyThere(op) {
			return op, nil
		}
		id = requestID(token + " after " + op.Name)
	}
	return op, err
}

// alreadyThere says that an insert failed since there is an instance of the name.
func alreadyThere(op *compute.Operation) bool {
	return op.Error != nil && len(op.Error.Errors) > 0 && op.Error.Errors[0].Code == "RESOURCE_ALREADY_EXISTS"
}

// await gives a new operation a moment to end. Whatever goes wrong here, the
// operation goes on.
func (d *driver) await(ctx context.Context, zone string, op *compute.Operation) *compute.Operation {
	if op.Status == "DONE" {
		return op
	}
	ctx, cancel := context.WithTimeout(ctx, insertWait)
	defer cancel()
	if later, err := d.api.ZoneOperations.Wait(d.settings.Project, zone, op.Name).Context(ctx).Do(); err == nil {
		return later
	}
	return op
}

// adopt answers the instance that an earlier call for the same server made.
func (d *driver) adopt(ctx context.Context, m machine, cause error) (provider.Instance, error) {
	i, err := d.api.Instances.Get(d.settings.Project, m.zone, m.name).Context(ctx).Do()
	if err != nil {
		if isAbsent(err, "instances", m.name) {
			err = cause
		}
		return provider.Instance{}, classify(err, d.now())
	}
	out := instance(i)
	if out.Tags != m.tags {
		return provider.Instance{}, provider.Errorf(provider.Conflict, "zone %s has an instance named %s already, and it is not this server's: delete or rename it", m.zone, m.name)
	}
	return out, nil
}

// List implements provider.Driver.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		call := d.api.Instances.AggregatedList(d.settings.Project).Filter(ownerFilter(owner)).MaxResults(page)
		for token := ""; ; {
			list, err := call.PageToken(token).Context(ctx).Do()
			if err == nil {
				err = complete(list.Unreachables, warningOf(list.Warning))
			}
			if err != nil {
				yield(provider.Instance{}, inProject(err, d.now()))
				return
			}
			for _, place := range sortedKeys(list.Items) {
				scoped := list.Items[place]
				if err := unreachable(place, scoped.Warning); err != nil {
					yield(provider.Instance{}, err)
					return
				}
				for _, i := range scoped.Instances {
					if out := instance(i); out.Tags.Owner() == owner && !yield(out, nil) {
						return
					}
				}
			}
			if token = list.NextPageToken; token == "" {
				return
			}
		}
	}
}

// A listing without some zone proves nothing about the machines there.
func complete(unreachables []string, warning string) error {
	if len(unreachables) > 0 {
		return provider.Errorf(provider.Unavailable, "the listing is incomplete: Google Cloud cannot reach %s at the moment", strings.Join(unreachables, ", "))
	}
	if warning != "" {
		return provider.Errorf(provider.Unavailable, "the listing is incomplete: %s", warning)
	}
	return nil
}

func warningOf(w *compute.InstanceAggregatedListWarning) string {
	if w == nil || w.Code != "UNREACHABLE" && w.Code != "PARTIAL_SUCCESS" {
		return ""
	}
	return w.Code + " " + w.Message
}

func unreachable(place string, w *compute.InstancesScopedListWarning) error {
	if w == nil || w.Code != "UNREACHABLE" && w.Code != "PARTIAL_SUCCESS" {
		return nil
	}
	return complete([]string{place}, "")
}

// inProject is an error of a call that names no object but the project.
func inProject(err error, now time.Time) error {
	if statusOf(err) == http.StatusNotFound {
		return refused(err, now)
	}
	return classify(err, now)
}

// Get implements provider.Driver.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	m, err := parseID(id)
	if err != nil {
		return provider.Instance{}, err
	}
	i, err := d.api.Instances.Get(d.settings.Project, m.zone, m.name).Context(ctx).Do()
	if err == nil {
		out := instance(i)
		out.ID = id // whatever became of its labels
		return out, nil
	}
	if !isAbsent(err, "instances", m.name) {
		return provider.Instance{}, inProject(err, d.now())
	}
	return d.unborn(ctx, m, err)
}

// unborn looks at what became of the creation of an instance that is not there:
// it may be under way, or have failed.
func (d *driver) unborn(ctx context.Context, m machine, absent error) (provider.Instance, error) {
	gone := classify(absent, d.now())
	target := "/zones/" + m.zone + "/instances/" + m.name
	var last *compute.Operation
	var at time.Time
	call := d.api.ZoneOperations.List(d.settings.Project, m.zone).Filter(`targetLink eq ".*` + target + `"`).MaxResults(page)
	err := call.Pages(ctx, func(list *compute.OperationList) error { // filtered pages may be empty
		for _, op := range list.Items {
			began, err := time.Parse(time.RFC3339, op.InsertTime)
			if err == nil && strings.HasSuffix(op.TargetLink, target) && (last == nil || began.After(at)) {
				last, at = op, began
			}
		}
		return nil
	})
	if err != nil {
		if err = classify(err, d.now()); provider.ClassOf(err) == provider.Forbidden {
			err = gone // the question was about details only
		}
		return provider.Instance{}, err
	}
	if last == nil || last.OperationType != "insert" {
		return provider.Instance{}, gone
	}
	out := provider.Instance{ID: m.id(), Name: m.name, Tags: m.tags, State: provider.StatePending, CreatedAt: at}
	if last.Status != "DONE" {
		return out, nil
	}
	ended, err := time.Parse(time.RFC3339, last.EndTime)
	fault := operationFault(last)
	if fault == nil || err != nil || d.now().Sub(ended) > failureShown {
		return provider.Instance{}, gone
	}
	out.State, out.Fault = provider.StateFailed, "the instance could not be made: "+fault.Message
	if fault.Class.FallsThrough() {
		out.FaultClass = fault.Class
	}
	return out, nil
}

// Delete implements provider.Driver.
func (d *driver) Delete(ctx context.Context, id string) error {
	m, err := parseID(id)
	if err != nil {
		return err
	}
	_, err = d.api.Instances.Delete(d.settings.Project, m.zone, m.name).Context(ctx).Do()
	switch {
	case err == nil:
		return nil
	case isAbsent(err, "instances", m.name):
		// What is not there yet must not pass for gone.
		i, unknown := d.unborn(ctx, m, err)
		switch {
		case unknown != nil:
			return unknown
		case i.State == provider.StatePending:
			return provider.Errorf(provider.Unavailable, "the creation of instance %s is still under way", m.name)
		}
		return classify(err, d.now())
	case statusOf(err) == http.StatusBadRequest && provider.ClassOf(classify(err, d.now())) == provider.Conflict:
		return nil // an operation is under way already, mostly an earlier delete
	}
	return inProject(err, d.now())
}

// Console implements provider.ConsoleReader: the first serial port.
func (d *driver) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	m, err := parseID(id)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, nil
	}
	out, err := d.api.Instances.GetSerialPortOutput(d.settings.Project, m.zone, m.name).Port(1).Start(-limit).Context(ctx).Do()
	if err != nil {
		return nil, inProject(err, d.now())
	}
	return []byte(out.Contents), nil
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
	return []provider.RenderedCall{{
		Call: fmt.Sprintf("POST /compute/v1/projects/%s/zones/%s/instances?requestId=%s", d.settings.Project, o.zone, requestID(req.Token)),
		Body: body,
	}}, nil
}
