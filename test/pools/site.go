package pools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const lookEvery = 200 * time.Millisecond

// site is one controller with its data directory.
type site struct {
	t    *testing.T
	pool Pool
	dir  string
	addr string
	cmd  *exec.Cmd
	done chan struct{}
}

// binary builds headroom once per test process, with the flags of every other
// build, so that the build cache serves it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "headroom-pools-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "headroom")
	out, err := exec.Command("go", "build", "-o", path, "github.com/headroom-dev/headroom/cmd/headroom").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building headroom: %w\n%s", err, out)
	}
	return path, nil
})

// Cleanup removes the binary; TestMain calls it at the end.
func Cleanup() {
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}

func newSite(t *testing.T, p Pool) *site {
	t.Helper()
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p.Dir == "" {
		p.Dir = t.TempDir()
	}
	s := &site{t: t, pool: p, dir: p.Dir, addr: l.Addr().String()}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the controller said:\n%s", s.log())
		}
	})
	return s
}

func (s *site) url() string { return "http://" + s.addr }

func (s *site) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *site) env() []string {
	env := append(os.Environ(), "HOME="+s.dir, "HEADROOM_URL="+s.url())
	if token, err := os.ReadFile(filepath.Join(s.dir, "data", "admin.token")); err == nil {
		env = append(env, "HEADROOM_TOKEN="+strings.TrimSpace(string(token)))
	}
	return append(env, s.pool.Env...)
}

// start runs the controller and waits until it serves.
func (s *site) start() {
	s.t.Helper()
	path, _ := binary()
	out, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd = exec.Command(path, "serve", "--data-dir", filepath.Join(s.dir, "data"), "--listen", s.addr, "--log-level", "debug")
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.env(), out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	s.until("the controller serves", func() string {
		select {
		case <-s.done:
			s.t.Fatalf("the controller ended: %s\n%s", s.cmd.ProcessState, s.log())
		default:
		}
		resp, err := http.Get(s.url() + "/readyz")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
}

// kill ends the controller as a power cut would.
func (s *site) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *site) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b[max(0, len(b)-16<<10):])
}

// headroom runs a command of the binary and answers what it printed.
func (s *site) headroom(args ...string) []byte {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("headroom %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try is headroom for commands that may fail; the answer ends with what the
// failure said.
func (s *site) try(args ...string) ([]byte, error) {
	path, _ := binary()
	ctx, cancel := context.WithTimeout(context.Background(), s.pool.Patience+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = s.env(), &stderr
	out, err := cmd.Output()
	if err != nil {
		out = append(out, stderr.Bytes()...)
	}
	return out, err
}

func (s *site) decode(v any, args ...string) {
	s.t.Helper()
	if out := s.headroom(args...); json.Unmarshal(out, v) != nil {
		s.t.Fatalf("headroom %s printed no JSON of the expected form:\n%s", strings.Join(args, " "), out)
	}
}

// until repeats look until it says nothing, and plays the machines meanwhile.
func (s *site) until(what string, look func() (wrong string)) {
	s.t.Helper()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	over := time.NewTimer(s.pool.Patience)
	defer over.Stop()
	for {
		if s.pool.Ready != nil && s.done != nil {
			s.pool.Ready(s.t, s.url())
		}
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			s.t.Fatalf("waited %v until %s: %s", s.pool.Patience, what, wrong)
		}
	}
}
