package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const lookEvery = 100 * time.Millisecond

// process is how a daemon is known: ids of processes are used again, together
// with the moment of the start they are not.
type process struct {
	PID   int    `json:"pid"`
	Began string `json:"began"` // clock ticks since the machine's start, as /proc tells
}

// beganOf reads the moment at which a process started.
func beganOf(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name in parentheses may hold anything, even spaces.
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return fields[19], nil
}

func (r *Rig) processFile(name string) string { return r.path("run", name+".json") }

// LogFile is where a daemon writes what it has to say.
func (r *Rig) LogFile(name string) string { return r.path("log", name+".log") }

func (r *Rig) process(name string) (process, bool) {
	var p process
	b, err := os.ReadFile(r.processFile(name))
	if err != nil || json.Unmarshal(b, &p) != nil || p.PID <= 1 {
		return p, false
	}
	began, err := beganOf(p.PID)
	return p, err == nil && began == p.Began
}

func (r *Rig) running(name string) bool {
	_, ok := r.process(name)
	return ok
}

// start runs a daemon in a session of its own, with less priority than the tests
// that use it. One that runs is left alone.
func (r *Rig) start(s service) error {
	if r.running(s.name) {
		return nil
	}
	log, err := os.OpenFile(r.LogFile(s.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("nice", append([]string{"-n", "10"}, s.argv...)...)
	cmd.Dir = r.Dir
	cmd.Env = append(r.environment(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	pid := cmd.Process.Pid
	began, err := beganOf(pid)
	if err != nil {
		_ = cmd.Wait()
		return fmt.Errorf("%s ended at once: %s", s.name, r.tail(s.name))
	}
	// A test that starts a daemon stays its parent: somebody must collect it.
	go func() { _ = cmd.Wait() }()
	b, err := json.Marshal(process{PID: pid, Began: began})
	if err != nil {
		return err
	}
	return os.WriteFile(r.processFile(s.name), b, 0o600)
}

// environment is that of every program of the rig: nothing of the caller's gets
// in but the path.
func (r *Rig) environment() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + r.Dir,
		"PYTHONPATH=" + r.path("python"), "PYTHONUNBUFFERED=1", "TMPDIR=" + r.path("tmp"),
	}
}

// stop ends a daemon with all of its children: it is asked first unless hard,
// and made to after a while.
func (r *Rig) stop(name string, hard bool) {
	p, ok := r.process(name)
	if ok && !hard {
		_ = syscall.Kill(p.PID, syscall.SIGTERM)
		_ = r.until(5*time.Second, func() error {
			if r.running(name) {
				return errors.New("still running")
			}
			return nil
		})
	}
	if _, ok := r.process(name); ok {
		_ = syscall.Kill(-p.PID, syscall.SIGKILL) // it leads its own session
		_ = r.until(5*time.Second, func() error {
			if r.running(name) {
				return errors.New("still running")
			}
			return nil
		})
	}
	_ = os.Remove(r.processFile(name))
}

// until repeats f until it answers nil.
func (r *Rig) until(limit time.Duration, f func() error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-over.C:
			return fmt.Errorf("still after %v: %w", limit, err)
		}
	}
}

// ready waits until a daemon does its work, and gives up at once when it died.
func (r *Rig) ready(ctx context.Context, s service) error {
	var died error
	err := r.until(2*time.Minute, func() error {
		if died = ctx.Err(); died != nil {
			return nil //nolint:nilerr // the loop ends, and the error is told after it
		}
		if !r.running(s.name) {
			died = fmt.Errorf("%s has ended: %s", s.name, r.tail(s.name))
			return nil
		}
		return s.ready(ctx)
	})
	if died != nil {
		return died
	}
	if err != nil {
		return fmt.Errorf("%s is not ready, %w\n%s", s.name, err, r.tail(s.name))
	}
	return nil
}

// tail is the end of a daemon's log.
func (r *Rig) tail(name string) string {
	b, _ := os.ReadFile(r.LogFile(name))
	return string(b[max(0, len(b)-2000):])
}

// run carries out one program to its end, with its output in a log.
func (r *Rig) run(ctx context.Context, name string, argv ...string) error {
	log, err := os.Create(r.LogFile(name))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5"}, argv...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.Dir, r.environment(), log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, r.tail(name))
	}
	return nil
}

// once is run for steps that are done once in the life of a rig's data.
func (r *Rig) once(ctx context.Context, name string, argv ...string) error {
	return r.onceDone(name, func() error { return r.run(ctx, name, argv...) })
}

func (r *Rig) onceDone(name string, f func() error) error {
	mark := r.path("done", name)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := f(); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o600)
}
