// Package rigdir keeps the state of a running rig in one directory: keys,
// ports, logs, and a pid file for each process.
package rigdir

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Dir is the directory of one rig.
type Dir string

// Path is the path of a file in the directory.
func (d Dir) Path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Processes in the order in which they are started.
var Processes = []string{"etcd", "kube-apiserver", "kube-controller-manager", "virt-api", "virt-controller", "stand-in"}

// bornAt is when a process was started, in the kernel's clock ticks; empty
// when it is gone. With the pid it names a process for good.
func bornAt(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name in parentheses may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// PID is the process that was started under the name, 0 when it has ended.
func (d Dir) PID(name string) int {
	text, err := os.ReadFile(d.Path(name + ".pid"))
	if err != nil {
		return 0
	}
	number, born, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || born == "" || bornAt(pid) != born {
		return 0
	}
	return pid
}

// Start runs a program in a session of its own with its output in NAME.log. A
// process that runs under the name already is left alone.
func (d Dir) Start(name, program string, args ...string) error {
	if d.PID(name) != 0 {
		return nil
	}
	log, err := os.OpenFile(d.Path(name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, string(d)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // so that a death while we wait for it shows
	pid := cmd.Process.Pid
	return os.WriteFile(d.Path(name+".pid"), fmt.Appendf(nil, "%d %s\n", pid, bornAt(pid)), 0o600)
}

// Stop ends a process by the pid that Start wrote: SIGTERM, and SIGKILL when
// that has not helped after a while.
func (d Dir) Stop(name string, patience time.Duration) error {
	pid := d.PID(name)
	if pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("ending %s: %w", name, err)
		}
		over := time.After(patience)
		for d.PID(name) != 0 {
			select {
			case <-over:
				_ = syscall.Kill(pid, syscall.SIGKILL)
				over = nil
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if err := os.Remove(d.Path(name + ".pid")); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// Ports are n free ports of the loopback interface, the same ones each time.
func (d Dir) Ports(n int) ([]string, error) {
	if text, err := os.ReadFile(d.Path("ports")); err == nil {
		if ports := strings.Fields(string(text)); len(ports) == n {
			return ports, nil
		}
	}
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are known, so that they differ
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports, os.WriteFile(d.Path("ports"), []byte(strings.Join(ports, " ")), 0o600)
}
