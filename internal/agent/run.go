package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	defaultHeartbeat = 10 * time.Second
	leastHeartbeat   = 100 * time.Millisecond
	longestHeartbeat = 5 * time.Minute
	firstBackoff     = 250 * time.Millisecond
	longestBackoff   = 30 * time.Second
	defaultLogLimit  = 4 << 20
)

// errGone says that the controller has deleted this server.
var errGone = errors.New("this server is no longer known to the controller")

// errRemoved says that somebody has removed the directory of this machine.
var errRemoved = errors.New("the file of the process id is gone")

// idleLook is how often an agent that reports to nobody looks for its file.
const idleLook = 10 * time.Second

type agent struct {
	cfg      Config
	clock    clock.Clock
	log      *slog.Logger
	buffer   *logBuffer
	client   *client.AgentClient
	detect   detector
	state    state
	capacity fleet.Resources
	phase    fleet.Phase
	sessions int
	trouble  string // the error that was logged last while calls fail
	failures int
}

// Run is the life of an agent. It returns nil when ctx ends, when the
// controller has deleted the server and when Config.PIDFile is removed, and an
// error when the configuration is wrong or the controller refuses the
// registration.
//
// With Config.Detach, a process that does not lead a session starts itself
// again as the leader of a new one, with the same arguments, and returns nil
// at once. Its starter has then only a short-lived child to wait for, and the
// agent outlives the starter.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.Detach && !leadsSession() {
		return startDetached(cfg.LockFD)
	}
	if cfg.LockFD > 0 {
		if err := keepFromChildren(cfg.LockFD); err != nil {
			return err
		}
	}
	if !cfg.Idle { // an idle one stores nothing
		lock, err := lockState(cfg)
		if err != nil {
			return err
		}
		defer lock.Close() //nolint:errcheck // nothing that matters was written
	}
	if cfg.PIDFile != "" {
		if err := writeFile(cfg.PIDFile, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
			return fleet.Errorf(fleet.CodeUnavailable, "writing the process id: %w", err)
		}
	}
	a, err := newAgent(ctx, cfg)
	if err != nil {
		return err
	}
	defer a.close()
	switch err := a.live(ctx); {
	case errors.Is(err, errRemoved):
		a.log.Info("the agent ends: somebody has removed its files", "pid_file", cfg.PIDFile)
		return nil
	case errors.Is(err, errGone):
		a.log.Info("this server is no longer known: the controller has deleted it; the agent ends", "server", a.state.Identity.Server)
		return nil
	case ctx.Err() != nil:
		a.log.Info("the agent ends", "reason", context.Cause(ctx).Error())
		return nil
	default:
		return err
	}
}

func newAgent(ctx context.Context, cfg Config) (*agent, error) {
	a := &agent{cfg: cfg, clock: cfg.Clock, buffer: &logBuffer{}, detect: newDetector()}
	if a.clock == nil {
		a.clock = clock.RealClock{}
	}
	inner := slog.Handler(slog.NewTextHandler(os.Stderr, nil))
	if cfg.Logger != nil {
		inner = cfg.Logger.Handler()
	}
	a.log = slog.New(newTee(inner, a.buffer))
	if cfg.Idle {
		return a, nil
	}

	var ca []byte
	var err error
	if cfg.CAFile != "" {
		if ca, err = readLimited(cfg.CAFile, caLimit); err != nil {
			return nil, fleet.Errorf(fleet.CodeInvalid, "reading the certificates of %s: %w", cfg.setting("ca_file"), err)
		}
	}
	if a.client, err = client.NewAgentClient(client.AgentOptions{URL: cfg.URL, CA: ca, Version: cfg.Version}); err != nil {
		return nil, cfg.renamed(err)
	}
	if a.state, err = loadState(cfg.StateDir); err != nil {
		return nil, err
	}
	a.capacity = fleet.Resources{
		Cores:     fleet.Or(cfg.Cores, a.detect.cores()),
		MemoryMiB: int64(fleet.Or(cfg.Memory, a.detect.memory())),
	}
	if cfg.GPUs != nil {
		a.capacity.GPUs = *cfg.GPUs
	} else {
		a.capacity.GPUs = a.detect.gpus(ctx)
	}
	if a.capacity.MemoryMiB == 0 {
		return nil, fleet.Invalid("agent settings", []fleet.FieldError{{
			Path: cfg.setting("memory"), Message: "cannot be found out on this system: give the memory to offer, for example 4Gi",
		}})
	}
	return a, nil
}

func (a *agent) close() {
	if a.client != nil {
		a.client.Close()
	}
}

func (a *agent) live(ctx context.Context) error {
	for a.cfg.Idle {
		if err := a.wait(ctx, idleLook); err != nil {
			return err
		}
	}
	if err := a.wait(ctx, a.cfg.Delay.D()); err != nil {
		return err
	}
	if err := a.register(ctx); err != nil {
		return err
	}
	a.log.Info("reporting", "server", a.state.Identity.Server, "controller", a.cfg.URL, "capacity", a.capacity.String())
	for {
		pause, err := a.report(ctx)
		if err != nil {
			return err
		}
		if err := a.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// report gives one sign of life, obeys what comes back, and says how long to
// wait before the next.
func (a *agent) report(ctx context.Context) (time.Duration, error) {
	if a.cfg.LogFile != "" {
		if err := trimLog(a.cfg.LogFile, fleet.Or(a.cfg.LogLimit, defaultLogLimit)); err != nil {
			a.log.Debug("the log file stays as long as it is", "error", err.Error())
		}
	}
	orders, err := a.client.Report(ctx, a.state.Credential, a.signOfLife())
	switch {
	case err == nil:
		a.calm()
		a.obey(ctx, orders)
		a.postLogs(ctx)
		return jittered(heartbeat(orders.Heartbeat, a.state.Identity.Heartbeat)), ctx.Err()
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case says(err, http.StatusUnauthorized, http.StatusGone) && a.state.Next != "":
		// The controller may have taken the next credential without our
		// hearing of it, and have dropped this one.
		a.state.Credential, a.state.Next = a.state.Next, ""
		a.remember()
		return 0, nil
	case says(err, http.StatusUnauthorized, http.StatusGone):
		return 0, errGone
	}
	return a.failed("reporting", err), nil
}

func (a *agent) obey(ctx context.Context, o fleet.AgentOrders) {
	if o.Phase != a.phase || len(o.Sessions) != a.sessions {
		a.log.Debug("orders", "phase", o.Phase, "sessions", len(o.Sessions))
		a.phase, a.sessions = o.Phase, len(o.Sessions)
	}
	if o.Drain != a.state.Draining {
		a.state.Draining = o.Drain
		a.remember()
		if o.Drain {
			a.log.Info("draining: this machine gets no new sessions", "sessions", len(o.Sessions))
		} else {
			a.log.Info("no longer draining: this machine gets sessions again")
		}
	}
	if o.RotateCredential || a.state.Next != "" {
		a.rotate(ctx)
	}
}

func (a *agent) postLogs(ctx context.Context) {
	lines, mark := a.buffer.batch()
	if len(lines) == 0 {
		return
	}
	err := a.client.Logs(ctx, a.state.Credential, lines)
	// What the controller cannot take it will not take the next time either.
	if err == nil || says(err, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge) {
		a.buffer.done(mark)
	}
	if err != nil {
		a.log.Debug("log lines could not be posted", "error", err.Error()) // debug: a line at info would be posted too
	}
}

func (a *agent) signOfLife() fleet.AgentReport {
	return fleet.AgentReport{Capacity: a.capacity, Usage: a.detect.usage(), Addresses: a.addresses(), Version: a.cfg.Version}
}

func (a *agent) addresses() []string {
	if len(a.cfg.Addresses) > 0 {
		return a.cfg.Addresses
	}
	return addresses()
}

func (a *agent) hostname() string {
	if a.cfg.Hostname != "" {
		return a.cfg.Hostname
	}
	name, _ := os.Hostname()
	return name
}

// failed notes a failed call and says how long to wait. A trouble is logged
// when it begins and when it changes, not at every attempt.
func (a *agent) failed(doing string, err error) time.Duration {
	a.failures++
	if text := err.Error(); text != a.trouble {
		a.trouble = text
		a.log.Warn(doing+" failed; it is tried again", "error", text)
	}
	pause := min(firstBackoff<<min(a.failures-1, 20), longestBackoff)
	pause = pause/2 + rand.N(pause)
	var e *client.AgentError
	if errors.As(err, &e) {
		pause = max(pause, e.RetryAfter)
	}
	return pause
}

func (a *agent) calm() {
	if a.failures > 0 {
		a.log.Info("the controller answers again", "failed_calls", a.failures)
	}
	a.failures, a.trouble = 0, ""
}

func (a *agent) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := a.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		return a.owned()
	}
}

// owned is an error when the file of the process id is gone: a machine whose
// directory was removed by hand must not live on unseen.
func (a *agent) owned() error {
	if a.cfg.PIDFile == "" {
		return nil
	}
	if _, err := os.Stat(a.cfg.PIDFile); errors.Is(err, fs.ErrNotExist) {
		return errRemoved
	}
	return nil
}

// says is true when a controller itself, not something in between, answered
// with one of the statuses.
func says(err error, statuses ...int) bool {
	var e *client.AgentError
	if !errors.As(err, &e) || !e.Documented {
		return false
	}
	for _, s := range statuses {
		if e.Status == s {
			return true
		}
	}
	return false
}

func heartbeat(ordered, known fleet.Duration) time.Duration {
	d := fleet.Or(fleet.Or(ordered, known).D(), defaultHeartbeat)
	return min(max(d, leastHeartbeat), longestHeartbeat)
}

// jittered spreads the reports of many agents: 90 to 110 % of d.
func jittered(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }
