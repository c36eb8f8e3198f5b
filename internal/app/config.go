package app

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/control"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// Config says how a controller runs.
type Config struct {
	DataDir      string   // files of this controller: lock, key, database, machines of the local provider
	Listen       string   // address of the API, host:port
	DatabaseURL  string   // sqlite://PATH or postgres://…; empty: SQLite in DataDir
	AdvertiseURL string   // base URL under which machines and people reach the controller; empty: from Listen
	Apply        []string // manifests to apply after the start
	TLSCert      string   // PEM file; empty: plain HTTP
	TLSKey       string
	PriceTable   string // CSV file with the operator's own prices; empty: none
	AgentDir     string // directory with agents for other systems; empty: none
	Executable   string // path of the headroom binary, for the local provider
	Version      string
	Retention    control.Retention
}

// Defaults fills what was left empty and reports everything that is wrong.
func (c *Config) Defaults() error {
	var wrong []fleet.FieldError
	add := func(path string, value any, message string) {
		wrong = append(wrong, fleet.FieldError{Path: path, Value: value, Message: message})
	}
	c.DataDir = fleet.Or(c.DataDir, "./data")
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		add("data-dir", c.DataDir, "is not a path: name a directory")
	}
	c.DataDir = dir
	c.Listen = fleet.Or(c.Listen, "127.0.0.1:8080")
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		add("listen", c.Listen, "is not host:port: write for example 127.0.0.1:8080 or :8080")
	}
	c.DatabaseURL = fleet.Or(c.DatabaseURL, "sqlite://"+filepath.Join(c.DataDir, "headroom.db"))
	if scheme, _, ok := strings.Cut(c.DatabaseURL, "://"); !ok || (scheme != "sqlite" && scheme != "postgres" && scheme != "postgresql") {
		add("database-url", scheme+"://…", "names no known database: write sqlite:///path/headroom.db or postgres://user:password@host/database")
	}
	if u, err := url.Parse(c.AdvertiseURL); c.AdvertiseURL != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		add("advertise-url", c.AdvertiseURL, "is not a base URL: write for example https://headroom.example.com")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		add("tls-cert", c.TLSCert, "tls-cert and tls-key belong together: give both or neither")
	}
	for name, d := range map[string]time.Duration{"retain-events": c.Retention.Events, "retain-servers": c.Retention.Servers, "retain-sessions": c.Retention.Sessions} {
		if d < 0 || (d > 0 && d < time.Hour) {
			add(name, fleet.Duration(d).String(), "is shorter than an hour: records that other parts still need would be lost")
		}
	}
	def := control.DefaultRetention
	c.Retention.Events = fleet.Or(c.Retention.Events, def.Events)
	c.Retention.Servers = fleet.Or(c.Retention.Servers, def.Servers)
	c.Retention.Sessions = fleet.Or(c.Retention.Sessions, def.Sessions)
	return fleet.Invalid("the controller cannot start with this configuration", wrong)
}

// baseURL is where this controller is reached when nothing else is configured.
func (c *Config) baseURL(addr net.Addr) string {
	if c.AdvertiseURL != "" {
		return strings.TrimRight(c.AdvertiseURL, "/")
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return scheme + "://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return fmt.Sprintf("%s://%s", scheme, net.JoinHostPort(host, port))
}

// nodeName tells this controller from others of the same database, whatever
// address they advertise: the name of its host and its port.
func nodeName(addr net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return host
	}
	return net.JoinHostPort(host, port)
}
