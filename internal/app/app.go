// Package app puts a controller together: database, control loops, service,
// API. The serve command and the end-to-end tests start it.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/headroom-dev/headroom/internal/api"
	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/control"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/gauges"
	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/all"
	"github.com/headroom-dev/headroom/internal/provider/sim"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// shutdownGrace is how long requests under way may go on after the end was
// asked for.
const shutdownGrace = 10 * time.Second

// App is a controller that has been put together.
type App struct {
	cfg      Config
	keyPair  *tls.Certificate // nil: plain HTTP
	log      *slog.Logger
	clock    clock.WithTicker
	lock     *os.File
	store    *store.Store
	keeper   *secret.Keeper
	service  *service.Service
	control  *control.Controller
	listener net.Listener
	server   *http.Server
	sims     *simClouds
	url      string
	token    string // of the admin, when it is kept in the data directory
	firstRun bool
}

// New opens everything that a controller needs and takes its port, without
// doing any work yet. Close must be called, also after Run.
func New(ctx context.Context, cfg Config, log *slog.Logger) (_ *App, err error) {
	if err := cfg.Defaults(); err != nil {
		return nil, err
	}
	pair, err := loadKeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: log, clock: store.NewClock(clock.RealClock{}), keyPair: pair}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.lock, err = lockDataDir(ctx, a.clock, cfg.DataDir); err != nil {
		return nil, err
	}
	if a.listener, err = listen(ctx, cfg.Listen); err != nil {
		return nil, err
	}
	a.url = cfg.baseURL(a.listener.Addr())
	if a.store, err = store.Open(ctx, store.Options{URL: cfg.DatabaseURL, Clock: a.clock, Log: log, Program: cfg.Version}); err != nil {
		return nil, err
	}
	if a.keeper, err = secret.OpenKeeper(ctx, "file://"+filepath.Join(cfg.DataDir, keyFile)); err != nil {
		return nil, err
	}
	if err := a.compose(ctx); err != nil {
		return nil, err
	}
	if err := a.ensureAdmin(ctx); err != nil {
		return nil, err
	}
	return a, writeFile(filepath.Join(cfg.DataDir, urlFile), []byte(a.url+"\n"))
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	code, remedy := fleet.CodeInvalid, "give --listen a host of this machine and a port from 0 to 65535, for example 127.0.0.1:8080 or :8080"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		code, remedy = fleet.CodeUnavailable, "stop what uses the port, or choose another one with --listen"
	case errors.Is(err, syscall.EACCES):
		code, remedy = fleet.CodeUnavailable, "this user may not use the port: choose one of 1024 or above with --listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "this machine does not have the address: give --listen one of its own, or only :PORT for all of them"
	}
	return nil, fleet.Errorf(code, "cannot listen on %s: %w; %s", address, err, remedy)
}

// compose wires service, control and API to one store.
func (a *App) compose(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.sims = &simClouds{clock: a.clock, clouds: map[string]*sim.Cloud{}}
	kinds := all.Kinds(a.sims.get)
	deriver, err := service.OpenDeriver(ctx, a.store, a.keeper)
	if errors.Is(err, secret.ErrWrongKey) {
		return &fleet.Error{Code: fleet.CodeConflict, Cause: err, Message: fmt.Sprintf(
			"%v: all controllers of one database need the same %s: copy it from the data directory of the first one, or from your backup, to %s",
			err, keyFile, filepath.Join(a.cfg.DataDir, keyFile))}
	}
	if err != nil {
		return err
	}
	open := &opener{
		kinds: kinds, dns: all.DNSKinds(), keeper: a.keeper, owner: a.store.Installation(), host: newHost(a.cfg, a.clock),
		clock: a.clock, metrics: provider.NewMetrics(registry),
	}
	if open.prices, err = LoadPrices(a.cfg.PriceTable, kinds); err != nil {
		return err
	}
	registry.MustRegister(gauges.New(a.store, a.clock, a.log, open.price))
	agents, access := newAgentFiles(a.cfg), provider.Access(kinds)
	a.control = control.New(control.Deps{
		Store: a.store, Clock: a.clock, Log: a.log, Open: open.open, OpenDNS: open.openDNS, Shape: open.shape, Access: access,
		Bootstrap: func(ctx context.Context, s *fleet.Server) (provider.Bootstrap, error) {
			return a.service.Bootstrap(ctx, s)
		},
		Script: func(ctx context.Context, s *fleet.Server) ([]byte, []string, error) {
			return a.service.GuestScript(ctx, s)
		},
		Retention: a.cfg.Retention, Metrics: control.NewMetrics(registry), Address: nodeName(a.listener.Addr()),
	})
	a.service, err = service.New(service.Deps{
		Store: a.store, Clock: a.clock, Kinds: kinds, Keeper: a.keeper, Deriver: deriver, Log: a.log,
		Shape: open.shape, Price: open.price, Listed: open.prices.Has, Plan: a.planner(open.shape, access), Open: open.open, DNS: open.dns, OpenDNS: open.openDNS, URL: a.url, AgentSum: agents.sum,
	})
	if err != nil {
		return err
	}
	handler := api.New(api.Deps{
		Service: a.service, Log: a.log, Clock: a.clock, Metrics: registry,
		Version: api.Version{Version: a.cfg.Version, Go: runtime.Version()}, AgentFile: agents.open,
	})
	a.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// planner is the dry run: the decision that the control loop would take now.
func (a *App) planner(shape snapshot.ShapeFunc, access fleet.AccessFunc) func(context.Context, string) ([]plan.Decision, error) {
	return func(ctx context.Context, pool string) ([]plan.Decision, error) {
		var out []plan.Decision
		err := a.store.Read(ctx, func(tx *store.Tx) error {
			names := []string{pool}
			if pool == "" {
				objects, err := tx.Objects(fleet.KindPool)
				if err != nil {
					return err
				}
				names = names[:0]
				for _, o := range objects {
					names = append(names, o.Name)
				}
			}
			out = make([]plan.Decision, 0, len(names))
			for _, name := range names {
				in, err := snapshot.Load(tx, name, a.clock.Now(), shape, access)
				if err != nil {
					return err
				}
				out = append(out, plan.For(in))
			}
			return nil
		})
		return out, err
	}
}

// ensureAdmin makes the first admin token. It is written to its file before
// the database learns of it, so that a crash in between loses nothing.
func (a *App) ensureAdmin(ctx context.Context) error {
	path := filepath.Join(a.cfg.DataDir, tokenFile)
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		a.token = strings.TrimSpace(string(b))
	case errors.Is(err, os.ErrNotExist):
		a.token, _ = auth.NewToken()
		if err := writeFile(path, []byte(a.token+"\n")); err != nil {
			return err
		}
		a.firstRun = true
	default:
		return fleet.Errorf(fleet.CodeUnavailable, "the admin token cannot be read: %w", err)
	}
	accepted, err := a.service.EnsureAdmin(ctx, a.token)
	if err != nil || accepted {
		return err
	}
	a.token = ""
	if a.firstRun { // the installation has other admins: what was made is worth nothing
		a.firstRun = false
		return os.Remove(path)
	}
	a.log.WarnContext(ctx, "the token in the data directory is not an admin token of this installation", "file", path)
	return nil
}

// Service gives the use cases, for tests and the composing program.
func (a *App) Service() *service.Service { return a.service }

// URL is where the controller is reached.
func (a *App) URL() string { return a.url }

// AdminToken is the admin token of the data directory, empty when there is
// none; first says that it was made by this start.
func (a *App) AdminToken() (token string, first bool) { return a.token, a.firstRun }

// Run works until ctx ends, and returns when everything has stopped.
func (a *App) Run(ctx context.Context) error {
	ordered := ctx // its end is an order, that of the group may be a failure
	g, ctx := errgroup.WithContext(ctx)
	var agents sync.WaitGroup
	a.sims.mu.Lock()
	a.sims.made = func(c *sim.Cloud) { agents.Go(func() { a.playAgents(ctx, c) }) }
	a.sims.mu.Unlock()

	g.Go(func() error { a.store.Follow(ctx); return nil })
	g.Go(func() error { return a.control.Run(ctx) })
	g.Go(func() error {
		err := a.serve()
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serving the API: %w", err)
	})
	g.Go(func() error {
		<-ctx.Done()
		if ordered.Err() != nil {
			a.log.InfoContext(ctx, "stopping in order; machines and their sessions go on running", "url", a.url)
		}
		a.service.Close() // ends streams and long polls, which would hold up the shutdown
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := a.server.Shutdown(grace); err != nil {
			a.log.WarnContext(ctx, "requests were cut off at the end", "error", err)
			return a.server.Close()
		}
		return nil
	})
	a.store.OnCommit(logEvents(a.log))
	a.log.InfoContext(ctx, "serving", "url", a.url, "version", a.cfg.Version, "installation", a.store.Installation())
	err := g.Wait()
	agents.Wait()
	if err == nil && ordered.Err() != nil {
		a.log.InfoContext(ctx, "stopped", "url", a.url)
	}
	return err
}

// Pools lists the names of the pools.
func (a *App) Pools(ctx context.Context) (names []string, err error) {
	err = a.store.Read(ctx, func(tx *store.Tx) error {
		objects, err := tx.Objects(fleet.KindPool)
		names = make([]string, 0, len(objects))
		for _, o := range objects {
			names = append(names, o.Name)
		}
		return err
	})
	return names, err
}

func (a *App) serve() error {
	if a.keyPair != nil {
		a.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*a.keyPair}}
		return a.server.ServeTLS(a.listener, "", "")
	}
	return a.server.Serve(a.listener)
}

// playAgents lets the machines of a simulated cloud check in.
func (a *App) playAgents(ctx context.Context, c *sim.Cloud) {
	players := newSimAgents(a.service)
	err := sim.Agents{
		Cloud: c, Clock: a.clock, Register: players.register, Heartbeat: players.beat,
		Failed: func(m sim.Checkin, err error) {
			a.log.DebugContext(ctx, "a simulated machine cannot check in", "machine", m.Instance.Name, "error", err)
		},
	}.Run(ctx)
	if err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "simulated machines have stopped", "error", err)
	}
}

// Close releases everything. It may be called at any time after New.
func (a *App) Close() error {
	var errs []error
	if a.service != nil {
		a.service.Close()
	}
	if a.server != nil {
		errs = append(errs, a.server.Close())
	} else if a.listener != nil {
		errs = append(errs, a.listener.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.keeper != nil {
		errs = append(errs, a.keeper.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}
