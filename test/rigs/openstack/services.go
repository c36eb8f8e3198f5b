package openstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// service is a daemon.
type service struct {
	name  string
	argv  []string
	env   []string
	ready func(context.Context) error
}

func (r *Rig) socket() string { return r.path("run", "mysql.sock") }

func (r *Rig) mariadb() service {
	return service{
		name: "mariadb",
		// Nothing here must survive the machine: no syncing.
		argv: []string{
			"mariadbd", "--no-defaults", "--user=root", "--datadir=" + r.path("db"), "--socket=" + r.socket(),
			"--pid-file=" + r.path("run", "mariadbd.pid"), "--skip-networking", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0",
			"--innodb-flush-method=nosync", "--innodb-doublewrite=0", "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=32M",
			"--performance-schema=off", "--max-connections=600", "--character-set-server=utf8mb3",
			"--collation-server=utf8mb3_general_ci", "--skip-name-resolve",
		},
		ready: func(ctx context.Context) error { _, err := r.sql(ctx, "select 1"); return err },
	}
}

// sql runs statements on the database server.
func (r *Rig) sql(ctx context.Context, statements string) (string, error) {
	cmd := exec.CommandContext(ctx, "mariadb", "--no-defaults", "-N", "-uroot", "-S", r.socket(), "-e", statements)
	cmd.Env = r.environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.TrimSpace(string(out)), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// names is Erlang's name service, without which RabbitMQ would start one that
// outlives it.
func (r *Rig) names() service {
	return service{
		name: "epmd", argv: []string{"epmd", "-port", strconv.Itoa(r.Ports.Names)}, env: []string{"ERL_EPMD_ADDRESS=" + host},
		ready: func(ctx context.Context) error { return listens(ctx, r.Ports.Names) },
	}
}

func (r *Rig) rabbitmq() (service, error) {
	found, err := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	if err != nil || len(found) == 0 {
		return service{}, errors.New("RabbitMQ is not installed: run test/rigs/openstack/install.sh")
	}
	return service{
		name: "rabbitmq", argv: []string{found[len(found)-1]},
		env: []string{
			"ERL_EPMD_ADDRESS=" + host, "ERL_EPMD_PORT=" + strconv.Itoa(r.Ports.Names), "RABBITMQ_NODENAME=headroom-rig@localhost",
			"RABBITMQ_CONFIG_FILE=" + r.config("rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE=" + r.config("enabled_plugins"),
			"RABBITMQ_CONF_ENV_FILE=" + r.config("rabbitmq-env.conf"), "RABBITMQ_MNESIA_BASE=" + r.path("rabbitmq"),
			"RABBITMQ_LOG_BASE=" + r.path("log"), "RABBITMQ_DIST_PORT=" + strconv.Itoa(r.Ports.Cluster),
			"RABBITMQ_PID_FILE=" + r.path("run", "rabbitmq.pid"),
			// The script then becomes the broker instead of starting one, and our id is its id.
			"RUNNING_UNDER_SYSTEMD=1",
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none +S 2:2 +A 8",
		},
		ready: func(ctx context.Context) error { return speaksAMQP(ctx, r.Ports.Messages) },
	}, nil
}

// wsgi is a service that uWSGI runs: one process, some threads.
func (r *Rig) wsgi(name string, port int, file string, env ...string) service {
	return service{
		name: name, env: env,
		argv: []string{
			"uwsgi", "--plugin", "python3", "--http-socket", net.JoinHostPort(host, strconv.Itoa(port)), "--wsgi-file", file,
			"--master", "--need-app", "--lazy-apps", "--processes", "1", "--threads", "8", "--enable-threads", "--die-on-term", "--no-orphans",
			"--buffer-size", "65535", "--listen", "100", "--disable-logging", "--add-header", "Connection: close",
		},
		ready: func(ctx context.Context) error { return answers(ctx, r.base(port)+"/") },
	}
}

func (r *Rig) keystone() service {
	return r.wsgi("keystone", r.Ports.Keystone, "/usr/bin/keystone-wsgi-public", "OS_KEYSTONE_CONFIG_FILES="+r.config("keystone.conf"))
}

func (r *Rig) placement() service {
	return r.wsgi("placement", r.Ports.Placement, "/usr/bin/placement-api", "OS_PLACEMENT_CONFIG_DIR="+r.path("etc", "placement"))
}

// program is one of run.py's.
func (r *Rig) program(name, config string, ready func(context.Context) error) service {
	return service{
		name: name, ready: ready,
		argv: []string{"/usr/bin/python3", r.path("python", "headroomrig", "run.py"), name, "--config-file", r.config(config)},
	}
}

// workers are the services that come up at the same time, after keystone.
func (r *Rig) workers() []service {
	at := func(port int) func(context.Context) error {
		return func(ctx context.Context) error { return answers(ctx, r.base(port)+"/") }
	}
	here := func(context.Context) error { return nil }
	return []service{
		r.placement(),
		r.program("glance-api", "glance-api.conf", at(r.Ports.Glance)),
		r.program("neutron-server", "neutron.conf", at(r.Ports.Neutron)),
		r.program("nova-conductor", "nova.conf", here),
		r.program("nova-api", "nova.conf", at(r.Ports.Nova)),
		r.program("nova-scheduler", "nova.conf", here),
		r.program("nova-compute", "nova.conf", r.hypervisorUp),
		r.program("cinder-api", "cinder.conf", at(r.Ports.Cinder)),
		r.program("cinder-scheduler", "cinder.conf", here),
		r.program("cinder-volume", "cinder.conf", r.disksUp),
	}
}

// hypervisorUp says that the host has reported itself since it was started.
func (r *Rig) hypervisorUp(ctx context.Context) error {
	began, err := os.Stat(r.processFile("nova-compute"))
	if err != nil {
		return err
	}
	return r.fresh(ctx, `select count(*) from nova.services s join nova.compute_nodes n on n.host = s.host
		where s.binary = 'nova-compute' and s.deleted = 0 and n.deleted = 0
		and coalesce(s.last_seen_up, s.created_at) >= '`+began.ModTime().UTC().Format(time.DateTime)+`'`)
}

func (r *Rig) disksUp(ctx context.Context) error {
	return r.fresh(ctx, "select count(*) from cinder.services s where s.binary = 'cinder-volume' and s.deleted = 0"+
		" and timestampdiff(second, coalesce(s.updated_at, s.created_at), utc_timestamp()) < 30")
}

func (r *Rig) fresh(ctx context.Context, count string) error {
	n, err := r.sql(ctx, strings.ReplaceAll(count, "s.binary", "s.`binary`"))
	if err == nil && n == "0" {
		err = errors.New("it has not reported itself yet")
	}
	return err
}

func listens(ctx context.Context, port int) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err == nil {
		err = c.Close()
	}
	return err
}

// speaksAMQP sends a greeting that no broker accepts; a broker that is up
// answers with its own.
func speaksAMQP(ctx context.Context, port int) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	greeting := make([]byte, 4)
	if _, err := c.Write([]byte("HTTP\x01\x01\x01\x01")); err != nil {
		return err
	}
	if _, err := c.Read(greeting); err != nil {
		return err
	}
	if string(greeting) != "AMQP" {
		return errors.New("what listens there is no AMQP broker")
	}
	return nil
}

// answers says that an HTTP service answers at all, and not with an error of its
// own.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return errors.New(resp.Status)
	}
	return nil
}
