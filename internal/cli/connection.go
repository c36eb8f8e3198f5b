package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

// connection is how the controller is found.
type connection struct {
	url, token, dataDir, caFile string
	timeout                     fleet.Duration

	urlFrom, tokenFrom string // where each came from, for messages
	tokenTrouble       string // why there is no token
}

func (c *connection) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.url, "url", "", "URL of the controller (HEADROOM_URL; default: from the data directory, then "+client.DefaultURL+")")
	f.StringVar(&c.token, "token", "", "API token (HEADROOM_TOKEN; default: from the data directory); prefer the variable, flags are visible to other users")
	f.StringVar(&c.dataDir, "data-dir", "", "data directory of a controller on this host (HEADROOM_DATA_DIR; default: ./data)")
	f.StringVar(&c.caFile, "ca-file", "", "PEM file with the authorities to trust (HEADROOM_CA_FILE; default: those of the system)")
	c.timeout = fleet.Duration(client.DefaultTimeout)
	f.Var(durationValue(&c.timeout), "timeout", "longest time for one call, apart from time spent waiting on purpose")
}

// resolve fills what was not given, in the order flag, environment, data
// directory, default.
func (c *connection) resolve(env func(string) string) {
	dir := first(c.dataDir, env("HEADROOM_DATA_DIR"), "data")
	urlFile, tokenFile := filepath.Join(dir, "server.url"), filepath.Join(dir, "admin.token")
	local, _ := readLine(urlFile)
	switch {
	case c.url != "":
		c.urlFrom = "--url"
	case env("HEADROOM_URL") != "":
		c.url, c.urlFrom = env("HEADROOM_URL"), "HEADROOM_URL"
	case local != "":
		c.url, c.urlFrom = local, urlFile
	default:
		c.url, c.urlFrom = client.DefaultURL, ""
	}
	c.caFile = first(c.caFile, env("HEADROOM_CA_FILE"))
	switch {
	case c.token != "":
		c.tokenFrom = "--token"
	case env("HEADROOM_TOKEN") != "":
		c.token, c.tokenFrom = env("HEADROOM_TOKEN"), "HEADROOM_TOKEN"
	case !c.trusts(local):
		c.tokenTrouble = fmt.Sprintf("%s is not used because %s names another host", tokenFile, c.urlFrom)
	default:
		token, err := readLine(tokenFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.tokenTrouble = tokenFile + " does not exist"
		case errors.Is(err, fs.ErrPermission):
			c.tokenTrouble = tokenFile + " is not readable for this user"
		case err != nil:
			c.tokenTrouble = err.Error()
		}
		c.token, c.tokenFrom = token, tokenFile
	}
}

// trusts says that the admin token of the local data directory may be sent to
// the URL: it must never reach a foreign host only because the working
// directory holds one.
func (c *connection) trusts(local string) bool {
	if c.urlFrom == "" || c.url == local {
		return true
	}
	u, err := url.Parse(c.url)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// readLine reads a file that holds one short line.
func readLine(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, 4096))
	return strings.TrimSpace(string(data)), err
}

func (c *connection) unreachableHint(reason string) string {
	if strings.Contains(reason, "not trusted") {
		return "Pass the authority's certificate with --ca-file FILE or HEADROOM_CA_FILE.\n"
	}
	from := "That is the default URL"
	if c.urlFrom != "" {
		from = "The URL comes from " + c.urlFrom
	}
	return from + ". Is `headroom serve` running there? Another controller is named with --url, HEADROOM_URL or --data-dir.\n"
}

func (c *connection) tokenHint() string {
	if c.token == "" {
		return fmt.Sprintf("No token was sent: %s. Pass --token, set HEADROOM_TOKEN, or name the controller's data directory with --data-dir.\n", c.tokenTrouble)
	}
	return fmt.Sprintf("The token comes from %s. `headroom token create` makes a new one.\n", c.tokenFrom)
}

// client opens the connection that the flags describe.
func (a *app) client() (*client.Client, error) {
	a.conn.resolve(a.env)
	c, err := client.New(client.Options{
		URL: a.conn.url, Token: a.conn.token, CAFile: a.conn.caFile, Timeout: a.conn.timeout.D(),
		Version: a.version, Clock: a.clock,
	})
	if err != nil {
		return nil, &usageError{message: err.Error()}
	}
	return c, nil
}

// with runs fn with a client.
func (a *app) with(fn func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return fn(cmd.Context(), c, args)
	}
}

// sleep waits on the clock; it returns false when ctx ended first.
func (a *app) sleep(ctx context.Context, d time.Duration) bool {
	timer := a.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
