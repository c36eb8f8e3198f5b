package openstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Up brings the rig to life: it starts what does not run, and makes what is not
// there. say is told of each step.
func Up(ctx context.Context, say func(string)) (*Rig, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	r, err := load(dirOf())
	if errors.Is(err, fs.ErrNotExist) {
		r, err = fresh()
	}
	if err != nil {
		return nil, err
	}
	r.cache = filepath.Join(cache, "headroom", "rig-openstack")
	if _, err := os.Stat(filepath.Join(r.root(), ".complete")); err != nil {
		return nil, errors.New("packages are missing: run test/rigs/openstack/install.sh first")
	}
	for _, dir := range []string{
		"run", "log", "etc", "etc/placement", "done", "tmp", "images", "nova", "nova/guests", "nova/instances", "neutron", "cinder", "rabbitmq", "python",
	} {
		if err := os.MkdirAll(r.path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := r.save(); err != nil {
		return nil, err
	}
	if err := r.configure(); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	if err := r.copyConfig("placement.conf", "placement/placement.conf"); err != nil {
		return nil, err
	}
	return r, r.bringUp(ctx, say)
}

func fresh() (*Rig, error) {
	first := defaultPort
	if text := os.Getenv(PortVariable); text != "" {
		var err error
		if first, err = strconv.Atoi(text); err != nil || first < 1024 || first > 65500 {
			return nil, fmt.Errorf("%s is %q: it must be a number from 1024 to 65500", PortVariable, text)
		}
	}
	return &Rig{
		Dir: dirOf(), Region: RegionName, Ports: portsFrom(first),
		Secrets: Secrets{Admin: secret(), Service: secret(), Messages: secret()},
	}, nil
}

// lock keeps a second Up or Down away.
func (r *Rig) lock() (unlock func(), err error) {
	f, err := os.OpenFile(r.path("lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("the rig is being started or stopped by somebody else")
	}
	return func() { f.Close() }, nil
}

func (r *Rig) copyConfig(from, to string) error {
	b, err := os.ReadFile(r.config(from))
	if err != nil {
		return err
	}
	return os.WriteFile(r.config(to), b, 0o600)
}

func (r *Rig) bringUp(ctx context.Context, say func(string)) error {
	broker, err := r.rabbitmq()
	if err != nil {
		return err
	}
	for _, s := range []service{r.names(), broker} {
		if err := r.start(s); err != nil {
			return err
		}
	}
	if err := r.databases(ctx, say); err != nil {
		return fmt.Errorf("databases: %w", err)
	}
	say("databases are up")
	if err := r.bootstrap(ctx); err != nil {
		return err
	}
	if err := r.start(r.keystone()); err != nil {
		return err
	}
	if err := r.ready(ctx, r.keystone()); err != nil {
		return err
	}
	if err := r.onceDone("catalog", func() error { return r.catalog(ctx) }); err != nil {
		return fmt.Errorf("filling keystone: %w", err)
	}
	say("keystone is up")
	if err := r.ready(ctx, broker); err != nil {
		return err
	}
	for _, s := range r.workers() {
		if err := r.start(s); err != nil {
			return err
		}
	}
	for _, s := range r.workers() {
		if err := r.ready(ctx, s); err != nil {
			return err
		}
	}
	say("the services are up")
	if err := r.once(ctx, "hosts", r.cells("hosts")...); err != nil {
		return err
	}
	if err := r.stock(ctx); err != nil {
		return fmt.Errorf("making images, flavors and networks: %w", err)
	}
	return r.save()
}

// bootstrap puts into the databases what the services need before they start.
func (r *Rig) bootstrap(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		if err := r.onceDone("keys", r.keys); err != nil {
			return err
		}
		return r.once(ctx, "keystone-bootstrap", "keystone-manage", "--config-file", r.config("keystone.conf"), "bootstrap",
			"--bootstrap-username", "admin", "--bootstrap-password", r.Secrets.Admin, "--bootstrap-project-name", "admin", "--bootstrap-role-name", "admin",
			"--bootstrap-service-name", "keystone", "--bootstrap-region-id", r.Region,
			"--bootstrap-public-url", r.IdentityURL(), "--bootstrap-internal-url", r.IdentityURL(), "--bootstrap-admin-url", r.IdentityURL())
	})
	g.Go(func() error {
		return r.once(ctx, "cells", r.cells("cells", r.databaseURL("nova_cell0"), r.databaseURL("nova"), r.transport())...)
	})
	return g.Wait()
}

func (r *Rig) cells(step string, args ...string) []string {
	return append([]string{"/usr/bin/python3", r.path("python", "headroomrig", "cells.py"), r.config("nova.conf"), step}, args...)
}

// databases starts MariaDB with every schema in it. Migrating takes a minute,
// so that the result is kept for the next rig of the same packages.
func (r *Rig) databases(ctx context.Context, say func(string)) error {
	kept, err := r.keptDatabases()
	if err != nil {
		return err
	}
	data := r.path("db")
	complete := r.path("done", "schemas")
	if _, err := os.Stat(complete); err == nil {
		kept = "" // the data are there
	} else if _, err := os.Stat(kept); err == nil {
		if err := copyTree(ctx, kept, data); err != nil {
			return err
		}
		if err := os.WriteFile(complete, nil, 0o600); err != nil {
			return err
		}
		kept = ""
	}
	if kept == "" {
		if err := r.start(r.mariadb()); err != nil {
			return err
		}
		return r.ready(ctx, r.mariadb())
	}
	say("migrating the databases (once for these packages, about a minute)")
	if err := r.migrate(ctx, data); err != nil {
		return err
	}
	r.stop("mariadb", false)
	part := kept + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := copyTree(ctx, data, part); err != nil {
		return err
	}
	if err := os.Rename(part, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.WriteFile(complete, nil, 0o600); err != nil {
		return err
	}
	if err := r.start(r.mariadb()); err != nil {
		return err
	}
	return r.ready(ctx, r.mariadb())
}

func (r *Rig) migrate(ctx context.Context, data string) error {
	r.stop("mariadb", true)
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := r.run(ctx, "mariadb-install-db", "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data,
		"--skip-test-db", "--auth-root-authentication-method=normal", "--innodb-flush-method=nosync"); err != nil {
		return err
	}
	if err := r.start(r.mariadb()); err != nil {
		return err
	}
	if err := r.ready(ctx, r.mariadb()); err != nil {
		return err
	}
	for _, name := range []string{"keystone", "placement", "glance", "nova_api", "nova", "nova_cell0", "neutron", "cinder"} {
		if _, err := r.sql(ctx, "create database "+name+" character set utf8mb3"); err != nil {
			return err
		}
	}
	program := func(name, config string, args ...string) []string {
		return slices.Concat([]string{"/usr/bin/python3", r.path("python", "headroomrig", "run.py"), name, "--config-file", r.config(config)}, args)
	}
	g, ctx := errgroup.WithContext(ctx)
	for name, argv := range map[string][]string{
		"schema-keystone":  {"keystone-manage", "--config-file", r.config("keystone.conf"), "db_sync"},
		"schema-placement": {"placement-manage", "--config-file", r.config("placement.conf"), "db", "sync"},
		"schema-glance":    program("glance-manage", "glance-api.conf", "db_sync"),
		"schema-cinder":    program("cinder-manage", "cinder.conf", "db", "sync"),
		"schema-neutron":   program("neutron-db-manage", "neutron.conf", "upgrade", "heads"),
		"schema-nova":      r.cells("schema", r.databaseURL("nova_cell0")),
	} {
		g.Go(func() error { return r.run(ctx, name, argv...) })
	}
	return g.Wait()
}

// keptDatabases is where the migrated databases of the installed packages are
// kept.
func (r *Rig) keptDatabases() (string, error) {
	out, err := exec.Command("dpkg-query", "-W", "-f=${Package} ${Version}\n", "mariadb-server-core", "python3-keystone", "python3-placement",
		"python3-glance", "python3-nova", "python3-neutron", "python3-cinder").Output()
	if err != nil {
		return "", fmt.Errorf("looking at the installed packages: %w", err)
	}
	sum := sha256.Sum256(out)
	return filepath.Join(r.cache, "databases-"+hex.EncodeToString(sum[:6])), nil
}

func copyTree(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", "-T", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copying %s: %w: %s", from, err, out)
	}
	return nil
}

// Down ends the rig and removes its data.
func Down(say func(string)) error {
	r, err := load(dirOf())
	if errors.Is(err, fs.ErrNotExist) {
		say("there is no rig in " + dirOf())
		return nil
	}
	if err != nil {
		return err
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	var g errgroup.Group
	for _, s := range r.workers() {
		g.Go(func() error { r.stop(s.name, false); return nil })
	}
	_ = g.Wait()
	for _, name := range []string{"keystone", "rabbitmq", "epmd", "mariadb"} {
		r.stop(name, false)
	}
	return os.RemoveAll(r.Dir)
}

// Kill ends a daemon as a power cut would.
func (r *Rig) Kill(name string) { r.stop(name, true) }

// Start starts a daemon again that was killed, and waits until it does its work.
func (r *Rig) Start(ctx context.Context, name string) error {
	all := append(r.workers(), r.keystone())
	at := slices.IndexFunc(all, func(s service) bool { return s.name == name })
	if at < 0 {
		return fmt.Errorf("the rig has no daemon %q that can be started by itself", name)
	}
	if err := r.start(all[at]); err != nil {
		return err
	}
	return r.ready(ctx, all[at])
}
