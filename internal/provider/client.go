package provider

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// MaxCallTimeout is the longest that one call of a driver may take; it is also
// the default.
const MaxCallTimeout = 20 * time.Second

const (
	defaultConcurrency = 8
	maxConsole         = 1 << 20
	maxMessage         = 2 << 10
	maxCause           = 16 << 10
	maxProgress        = 1 << 10
	maxOutput          = 64 << 10
)

// ClientOptions are the parts of a client. Kind, Driver, Owner and Clock are
// required.
type ClientOptions struct {
	Kind        Kind
	Driver      Driver
	Owner       Owner
	Clock       clock.WithTicker
	RateLimit   float64  // calls per second; 0: the kind's default
	Concurrency int      // calls under way at once; 0: the kind's default, then 8
	Secrets     []string // removed from the text of every error
	Metrics     *Metrics // nil: none are kept
}

// Client calls one cloud account for one provider config. It is safe for
// concurrent use and starts no goroutine.
//
// Nothing is retried inside: the caller repeats a step after [Backoff]. A call
// that the rate limit does not admit at once is refused with RateLimited and
// the time to wait, so that no worker is held by the limiter; the refused
// callers of one moment are told different times. Every error is an [*Error]
// without secrets.
//
// The deadline of a call runs on the real clock, since what it guards against
// is a network that hangs; everything else runs on the injected one.
type Client struct {
	kind    Kind
	driver  Driver
	owner   Owner
	clock   clock.WithTicker
	timeout time.Duration
	gate    *gate
	redact  redactor
	metrics *Metrics

	mu      sync.Mutex
	started int64 // listings begun
	flight  *flight
	latest  *Listing
}

// NewClient makes a client. It panics when a required option is missing,
// which is a defect of the program.
func NewClient(o ClientOptions) *Client {
	if o.Driver == nil || o.Clock == nil || o.Owner.Installation == "" || o.Owner.Provider == "" {
		panic("provider.NewClient: driver, clock and a complete owner are required")
	}
	d := o.Kind.Defaults
	timeout := fleet.Or(d.CallTimeout, MaxCallTimeout)
	concurrency := fleet.Or(fleet.Or(o.Concurrency, d.Concurrency), defaultConcurrency)
	return &Client{
		kind: o.Kind, driver: o.Driver, owner: o.Owner, clock: o.Clock,
		timeout: min(timeout, MaxCallTimeout),
		gate:    newGate(o.Clock, fleet.Or(o.RateLimit, d.RateLimit), concurrency),
		redact:  newRedactor(o.Secrets),
		metrics: o.Metrics,
	}
}

// Owner is whose objects the client sees.
func (c *Client) Owner() Owner { return c.owner }

// Kind is the kind of cloud that the client calls.
func (c *Client) Kind() Kind { return c.kind }

// PausedUntil is the moment until which the cloud asked for silence; zero when
// calls are allowed.
func (c *Client) PausedUntil() time.Time { return c.gate.paused(c.clock.Now()) }

// Create makes the machine of the request. The class tells by
// [Class.MadeNothing] whether a failed call can have left a machine: whoever
// repeats such a call looks for the machine in listings first, see
// [Listing.Find].
func (c *Client) Create(ctx context.Context, req Request) (Instance, error) {
	if err := c.checkRequest(req); err != nil {
		return Instance{}, err
	}
	if err := c.admit("create", 1, false); err != nil {
		return Instance{}, err
	}
	leave, err := c.enter(ctx, "create")
	if err != nil {
		return Instance{}, err
	}
	defer leave()
	return call(ctx, c, "create", append([]string{req.Bootstrap.RegistrationToken}, req.Bootstrap.Secrets...), func(ctx context.Context) (Instance, error) {
		i, err := c.driver.Create(ctx, req)
		switch {
		case err != nil:
			return Instance{}, err
		case i.ID == "":
			return Instance{}, Errorf(Unknown, "the cloud accepted machine %s and named no id", req.Name)
		case i.Tags.Owner() != c.owner || i.Tags.Server != req.Tags.Server:
			return Instance{}, Errorf(Conflict, "the cloud answered machine %s, which belongs to %s and not to server %s", i.ID, describe(i.Tags), req.Tags.Server)
		}
		i.Fault, i.Interruption = c.redact.text(i.Fault), c.redact.text(i.Interruption)
		return i, nil
	})
}

func (c *Client) checkRequest(req Request) error {
	var missing []string
	for _, f := range []struct{ name, value string }{
		{"token", req.Token},
		{"name", req.Name},
		{"tag " + TagInstallation, req.Tags.Installation},
		{"tag " + TagServer, req.Tags.Server},
		{"tag " + TagAutoscale, req.Tags.AutoscaleConfig},
		{"tag " + TagProvider, req.Tags.Provider},
	} {
		if f.value == "" {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return Errorf(Invalid, "machine %q cannot be created without %s", req.Name, strings.Join(missing, ", "))
	}
	if req.Tags.Owner() != c.owner {
		return Errorf(Invalid, "machine %q is for %s, but this client works for provider %s of installation %s",
			req.Name, describe(req.Tags), c.owner.Provider, c.owner.Installation)
	}
	return nil
}

// Get looks at one machine. NotFound means that nothing of it is left. The
// answer may be a machine that is not ours.
func (c *Client) Get(ctx context.Context, id string) (Instance, error) {
	if err := c.admit("get", 1, false); err != nil {
		return Instance{}, err
	}
	leave, err := c.enter(ctx, "get")
	if err != nil {
		return Instance{}, err
	}
	defer leave()
	return c.get(ctx, id)
}

func (c *Client) get(ctx context.Context, id string) (Instance, error) {
	return call(ctx, c, "get", nil, func(ctx context.Context) (Instance, error) {
		if id == "" {
			return Instance{}, Errorf(Invalid, "a machine without id cannot be looked at")
		}
		i, err := c.driver.Get(ctx, id)
		if err != nil {
			return Instance{}, err
		}
		if i.ID != id {
			return Instance{}, Errorf(Unknown, "asked for machine %s, the cloud answered machine %q", id, i.ID)
		}
		i.Fault, i.Interruption = c.redact.text(i.Fault), c.redact.text(i.Interruption)
		return i, nil
	})
}

// Delete begins the removal of the server's machine with everything that its
// create made. nil means that the cloud accepted; an error of class NotFound
// means that nothing is left. A machine that does not bear our marks and this
// server's id is refused with Conflict and is not touched.
func (c *Client) Delete(ctx context.Context, id, serverID string) error {
	// Both calls are admitted together: a delete that got through its look
	// and no further would never end under a tight limit.
	if err := c.admit("delete", 2, false); err != nil {
		return err
	}
	leave, err := c.enter(ctx, "delete")
	if err != nil {
		return err
	}
	defer leave()
	i, err := c.get(ctx, id)
	if err != nil {
		return err
	}
	if serverID == "" || i.Tags.Owner() != c.owner || i.Tags.Server != serverID {
		return Errorf(Conflict, "machine %s is not ours to delete: it belongs to %s, expected server %q of provider %s of installation %s",
			id, describe(i.Tags), serverID, c.owner.Provider, c.owner.Installation)
	}
	_, err = call(ctx, c, "delete", nil, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.driver.Delete(ctx, id)
	})
	return err
}

// Check looks at credentials, permissions and references.
func (c *Client) Check(ctx context.Context) (Report, error) {
	r, err := admittedWithin(ctx, c, "check", patience, c.driver.Check)
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Subject, f.Message, f.Remedy = c.redact.text(f.Subject), c.redact.text(f.Message), c.redact.text(f.Remedy)
	}
	return r, err
}

// Offers names size × place combinations in order of preference; none when the
// kind knows only one.
func (c *Client) Offers() []string {
	d, ok := c.driver.(Offerer)
	if !ok {
		return nil
	}
	return d.Offers()
}

// Console returns at most the last limit bytes, and at most 1 MiB, of what the
// machine wrote to its console.
func (c *Client) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	d, ok := c.driver.(ConsoleReader)
	if !ok {
		return nil, c.unsupported("reading the console of a machine")
	}
	limit = min(max(limit, 0), maxConsole)
	b, err := admitted(ctx, c, "console", func(ctx context.Context) ([]byte, error) { return d.Console(ctx, id, limit) })
	if err != nil {
		return nil, err
	}
	b = []byte(c.redact.text(string(b)))
	return b[max(0, int64(len(b))-limit):], nil
}

// Password answers the password of a machine's administrator, as the cloud made
// it. It is not redacted and belongs to the person who asked for it alone.
func (c *Client) Password(ctx context.Context, id string) (Login, error) {
	d, ok := c.driver.(PasswordReader)
	if !ok {
		return Login{}, c.unsupported("reading the password of a machine")
	}
	return admitted(ctx, c, "password", func(ctx context.Context) (Login, error) { return d.Password(ctx, id) })
}

// patience bounds what a person waits for: it reads many things of the cloud,
// one after the other.
const patience = 3 * MaxCallTimeout

// closeTimeout bounds the farewell of a driver, also when the caller's context
// has ended.
const closeTimeout = 5 * time.Second

// Close gives back what the driver keeps open at the service. A client that is
// not used any more is closed; one that is used again opens it anew.
func (c *Client) Close(ctx context.Context) error {
	d, ok := c.driver.(Closer)
	if !ok {
		return nil
	}
	_, err := callWithin(context.WithoutCancel(ctx), c, "close", closeTimeout, nil, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.Close(ctx)
	})
	return err
}

// RunsScripts says that the driver can run scripts in machines.
func (c *Client) RunsScripts() bool {
	_, ok := c.driver.(ScriptRunner)
	return ok
}

// RunScript takes the startup script of a machine one step further; see
// [ScriptRunner]. Secrets are removed from its output.
func (c *Client) RunScript(ctx context.Context, id string, script []byte, progress string, secrets []string) (ScriptRun, error) {
	d, ok := c.driver.(ScriptRunner)
	if !ok {
		return ScriptRun{}, c.unsupported("running a script in a machine")
	}
	if err := c.admit("run_script", 1, false); err != nil {
		return ScriptRun{}, err
	}
	leave, err := c.enter(ctx, "run_script")
	if err != nil {
		return ScriptRun{}, err
	}
	defer leave()
	run, err := call(ctx, c, "run_script", secrets, func(ctx context.Context) (ScriptRun, error) {
		run, err := d.RunScript(ctx, id, script, progress)
		if err == nil && len(run.Progress) > maxProgress {
			err = Errorf(Unknown, "the progress of the script of machine %s takes %d bytes, %d are the most", id, len(run.Progress), maxProgress)
		}
		return run, err
	})
	redact := c.redact.with(secrets)
	out := run.Output[max(0, len(run.Output)-maxOutput):]
	run.Note, run.Output = redact.text(run.Note), []byte(redact.text(string(out)))
	return run, err
}

// Render shows the requests that Create would send, without secrets.
func (c *Client) Render(ctx context.Context, req Request) ([]RenderedCall, error) {
	d, ok := c.driver.(Renderer)
	if !ok {
		return nil, c.unsupported("showing the requests of a create")
	}
	calls, err := admitted(ctx, c, "render", func(ctx context.Context) ([]RenderedCall, error) { return d.Render(ctx, req) })
	if err != nil {
		return nil, err
	}
	redact := c.redact.with(append([]string{req.Bootstrap.RegistrationToken}, req.Bootstrap.Secrets...))
	for i := range calls {
		if calls[i].Body, err = redact.document(calls[i].Body); err != nil {
			return nil, Errorf(Unknown, "the request %s cannot be shown: %w", calls[i].Call, err)
		}
	}
	return calls, nil
}

// Choices lists values for the setting of the given name.
func (c *Client) Choices(ctx context.Context, setting string) ([]Choice, error) {
	d, ok := c.driver.(Catalog)
	if !ok {
		return nil, c.unsupported("listing choices for a setting")
	}
	return admittedWithin(ctx, c, "choices", patience, func(ctx context.Context) ([]Choice, error) { return d.Choices(ctx, setting) })
}

// DeleteRemnant removes an object that was left without its machine. An object
// that does not bear our marks is refused with Conflict and is not touched.
func (c *Client) DeleteRemnant(ctx context.Context, r Remnant) error {
	d, ok := c.driver.(Remnants)
	if !ok {
		return c.unsupported("deleting remnants")
	}
	if r.ID == "" || r.Tags.Owner() != c.owner {
		return Errorf(Conflict, "%s %q is not ours to delete: it belongs to %s", r.Kind, r.ID, describe(r.Tags))
	}
	_, err := admitted(ctx, c, "delete_remnant", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.DeleteRemnant(ctx, r)
	})
	return err
}

func (c *Client) unsupported(what string) error {
	return Errorf(Unsupported, "%s is not possible with providers of kind %s", what, c.kind.Name)
}

func describe(t Tags) string {
	if t == (Tags{}) {
		return "nobody we know"
	}
	return fmt.Sprintf("server %q of provider %q of installation %q", t.Server, t.Provider, t.Installation)
}

func (c *Client) admit(op string, n int, credit bool) error {
	if err := c.gate.admit(n, credit); err != nil {
		c.metrics.throttled(c.owner.Provider, op)
		return err
	}
	return nil
}

// enter takes one of the slots for calls under way and waits for it at most as
// long as a call may take.
func (c *Client) enter(ctx context.Context, op string) (leave func(), err error) {
	wait, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.gate.enter(wait); err != nil {
		c.metrics.throttled(c.owner.Provider, op)
		return nil, err
	}
	return c.gate.leave, nil
}

// admitted makes one call under the limits.
func admitted[T any](ctx context.Context, c *Client, op string, f func(context.Context) (T, error)) (T, error) {
	return admittedWithin(ctx, c, op, c.timeout, f)
}

func admittedWithin[T any](ctx context.Context, c *Client, op string, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := c.admit(op, 1, false); err != nil {
		return zero, err
	}
	leave, err := c.enter(ctx, op)
	if err != nil {
		return zero, err
	}
	defer leave()
	return callWithin(ctx, c, op, limit, nil, f)
}

// call makes one call of the driver with its deadline, and turns every outcome
// into a classified error without secrets. The secrets given here are those of
// this call alone.
func call[T any](ctx context.Context, c *Client, op string, secrets []string, f func(context.Context) (T, error)) (T, error) {
	return callWithin(ctx, c, op, c.timeout, secrets, f)
}

func callWithin[T any](ctx context.Context, c *Client, op string, limit time.Duration, secrets []string, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := c.clock.Now()
	done := c.metrics.begin(c.owner.Provider, op)
	v, err := protect(ctx, f)
	var failure *Error
	if err != nil {
		failure = c.classify(ctx, err, secrets)
	}
	done(c.clock.Since(began), failure)
	if failure == nil {
		c.gate.succeeded(began)
		return v, nil
	}
	if failure.Class == RateLimited {
		failure.After = c.gate.throttle(began, failure.After)
	}
	var zero T
	return zero, failure
}

// protect turns a panic of a driver into an error.
func protect[T any](ctx context.Context, f func(context.Context) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{
				Class:   Unknown,
				Message: "the driver failed by a defect of its own; please report it",
				Cause:   fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
			}
		}
	}()
	return f(ctx)
}

func (c *Client) classify(ctx context.Context, err error, secrets []string) *Error {
	redact := c.redact.with(secrets)
	out := &Error{Class: Unknown, Message: err.Error(), Cause: redact.cause(err)}
	var e *Error
	switch isError := errors.As(err, &e); {
	case isError && e != nil:
		out.Class, out.Message, out.After = e.Class, e.Message, max(e.After, 0)
		if !e.Class.known() {
			out.Class = Unknown
		}
		if e.Cause != nil {
			out.Cause = redact.cause(e.Cause)
		}
		if out.Class == Unknown && ctx.Err() != nil {
			out.Class = Unavailable
		}
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		out.Class, out.Message = Unavailable, fmt.Sprintf("the cloud did not answer within %v", c.timeout)
	case ctx.Err() != nil:
		out.Class, out.Message = Unavailable, "the call was given up before the cloud answered"
	}
	out.Message = cut(redact.text(out.Message), maxMessage)
	return out
}
