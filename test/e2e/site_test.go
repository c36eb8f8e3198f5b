package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

const (
	startTime = 20 * time.Second // for a controller to become ready, on a busy machine
	stopTime  = 20 * time.Second // for a controller to end
	pollEvery = 50 * time.Millisecond
)

type siteKey struct{}

// site is what one script runs: controllers by name, each with a data directory
// and an address that it keeps over restarts, and the machines that they made.
type site struct {
	work        string
	bin         string     // directory of this script's own copy of the binary
	database    string     // URL for every controller; empty: the embedded one in its data directory
	mu          sync.Mutex // held while controllers are started
	controllers map[string]*controller
	remembered  map[string][]string
}

// controller is a headroom serve process.
type controller struct {
	name, dir, addr, log string
	cmd                  *exec.Cmd
	done                 chan struct{} // closed when the process has ended
}

// newSite gives the script its own copy of the binary, so that every process
// which it starts, also indirectly, can be told by its executable.
func newSite(work, database string) (*site, error) {
	s := &site{work: work, database: database, bin: filepath.Join(work, ".bin"), controllers: map[string]*controller{}, remembered: map[string][]string{}}
	if err := os.Mkdir(s.bin, 0o755); err != nil {
		return nil, err
	}
	own := filepath.Join(s.bin, "headroom")
	if err := os.Link(binary, own); err == nil {
		return s, nil
	}
	src, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	return s, os.WriteFile(own, src, 0o755)
}

// close ends everything that the script started: controllers first, since they
// would replace the agents.
func (s *site) close() {
	for _, c := range s.controllers {
		if c.running() {
			_ = c.cmd.Process.Kill()
			<-c.done
		}
	}
	for range 50 {
		pids := s.processes()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-time.After(pollEvery)
	}
}

// processes lists the processes that run an executable of this script.
func (s *site) processes() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err == nil && strings.HasPrefix(exe, s.work+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// agents lists the processes that are agents.
func (s *site) agents() map[int]string {
	out := map[int]string{}
	for _, pid := range s.processes() {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if args := strings.Split(string(line), "\x00"); err == nil && len(args) > 1 && args[1] == "agent" {
			out[pid] = strings.Join(args, " ")
		}
	}
	return out
}

func (s *site) controller(name string) (*controller, error) {
	if c, ok := s.controllers[name]; ok {
		return c, nil
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &controller{name: name, dir: filepath.Join(s.work, name), addr: addr, log: filepath.Join(s.work, name+".log")}
	s.controllers[name] = c
	return c, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (c *controller) url() string { return "http://" + c.addr }

func (c *controller) token() string {
	t, _ := os.ReadFile(filepath.Join(c.dir, "admin.token"))
	return strings.TrimSpace(string(t))
}

func (c *controller) running() bool {
	if c.cmd == nil {
		return false
	}
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// start runs headroom serve with the arguments and the environment. It does not
// wait for it.
func (c *controller) start(s *site, env []string, args []string) error {
	if c.running() {
		return fmt.Errorf("controller %s runs already", c.name)
	}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	all := append([]string{"serve"}, args...)
	if !slices.Contains(args, "--data-dir") {
		all = append(all, "--data-dir", c.dir)
	}
	if !slices.Contains(args, "--listen") {
		all = append(all, "--listen", c.addr)
	}
	if s.database != "" {
		all = append(all, "--database-url", s.database)
	}
	cmd := exec.Command(filepath.Join(s.bin, "headroom"), all...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.work, env, out, out
	// Its own process group: what the test run's terminal sends does not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd, c.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(done)
	}(c.done)
	return nil
}

// waitReady returns when the controller says that it can serve.
func (c *controller) waitReady() error {
	deadline := time.After(startTime)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		resp, err := http.Get(c.url() + "/readyz")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-c.done:
			return fmt.Errorf("controller %s ended (%s):\n%s", c.name, c.cmd.ProcessState, c.output())
		case <-deadline:
			return fmt.Errorf("controller %s is not ready after %s: %w\n%s", c.name, startTime, err, c.output())
		case <-tick.C:
		}
	}
}

// end sends the signal and waits for the process to be gone.
func (c *controller) end(sig syscall.Signal) error {
	if !c.running() {
		return fmt.Errorf("controller %s does not run:\n%s", c.name, c.output())
	}
	if err := c.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-time.After(stopTime):
		return fmt.Errorf("controller %s still runs %s after %s:\n%s", c.name, stopTime, sig, c.output())
	}
	if sig != syscall.SIGKILL && !c.cmd.ProcessState.Success() {
		return fmt.Errorf("controller %s ended with %s after %s:\n%s", c.name, c.cmd.ProcessState, sig, c.output())
	}
	return nil
}

// output is the end of what the controller wrote.
func (c *controller) output() string {
	b, _ := os.ReadFile(c.log)
	if len(b) > 8<<10 {
		b = b[len(b)-8<<10:]
	}
	return string(bytes.TrimSpace(b))
}

// remote speaks to the controller under the URL.
func remote(url, token string) (*client.Client, error) {
	return client.New(client.Options{URL: url, Token: token, Version: "e2e"})
}

// servers lists the machines that are not gone, by name.
func servers(ctx context.Context, c *client.Client) ([]fleet.Server, error) {
	list, err := c.Servers(ctx, client.ServerFilter{})
	slices.SortFunc(list, func(a, b fleet.Server) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}
