package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	superuser = "headroom"
	startTime = 60 * time.Second // until a server must answer
)

// Server is a PostgreSQL server of a test.
type Server struct {
	bin       string // directory of the binaries
	dir       string // of the socket, the log and the data
	options   options
	leash     *os.File // the server ends when this end of the pipe is closed
	cmd       *exec.Cmd
	databases atomic.Int64
}

// watch runs the server as long as its standard input stays open, which is as
// long as the test binary lives, and notes when the server has exited. $1: the
// directory; the rest: the server.
const watch = `
dir=$1; shift
exec 3<&0
"$@" </dev/null >>"$dir/log" 2>&1 3<&- &
server=$!
(
	read -r word <&3
	echo "$word" >"$dir/word"
	case $word in
	kill) kill -KILL $server $(pgrep -P $server) ;;
	*)    kill -QUIT $server ;;
	esac
) &
reader=$!
wait $server
if [ -e "$dir/word" ]; then
	wait $reader
	[ -n "$(cat "$dir/word")" ] || rm -rf "$dir"
else
	kill $reader
	: >"$dir/exited"
fi
`

// errMissing says that there is no PostgreSQL on this machine.
var errMissing = errors.New("no PostgreSQL server binaries (initdb, postgres) in PATH or /usr/lib/postgresql/*/bin")

func missing(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, errMissing) {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	const how = "Install them, for example with: apt-get install postgresql (Debian, Ubuntu), dnf install postgresql-server (Fedora), brew install postgresql (macOS)"
	if os.Getenv(Required) == "1" {
		t.Fatalf("%v, and %s=1 demands them. %s", err, Required, how)
	}
	t.Skipf("SKIPPED, NOT TESTED ON POSTGRESQL: %v. %s. Set %s=1 to make this a failure.", err, how, Required)
}

func start(o options) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	// Not the test's directory: the path of a socket has 107 bytes at most.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, options: o}
	if err := s.initialise(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) initialise() error {
	attr, err := unprivileged(s.dir)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"), //nolint:gosec // a test's own arguments
		"-U", superuser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, out)
	}
	return nil
}

// Start starts a server that was stopped, on the same data, and returns when it
// answers.
func (s *Server) Start() error {
	deadline := time.Now().Add(startTime)
	for {
		exited, err := s.launch()
		if !exited || time.Now().After(deadline) {
			return err
		}
		// A killed server's memory may be in use for a moment.
		s.end("")
	}
}

func (s *Server) launch() (exited bool, err error) {
	attr, err := unprivileged(s.dir)
	if err != nil {
		return false, err
	}
	for _, name := range []string{"word", "exited"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	args := []string{
		"-c", watch, "pgtest", s.dir, filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"),
		"-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=64MB",
	}
	if !s.options.durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	stdin, leash, err := os.Pipe()
	if err != nil {
		return false, err
	}
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec // a test's own arguments
	cmd.Dir, cmd.SysProcAttr, cmd.Stdin = s.dir, attr, stdin
	err = errors.Join(cmd.Start(), stdin.Close())
	if err != nil {
		return false, errors.Join(err, leash.Close())
	}
	s.cmd, s.leash = cmd, leash
	return s.awaitReady()
}

func (s *Server) awaitReady() (exited bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.do(ctx, "SELECT 1")
		if err == nil {
			return false, nil
		}
		if _, e := os.Stat(filepath.Join(s.dir, "exited")); e == nil {
			exited = true
		}
		select {
		case <-tick.C:
			if !exited {
				continue
			}
		case <-ctx.Done():
		}
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return exited, fmt.Errorf("the server does not answer: %w\n%s", err, log)
	}
}

// Stop shuts the server down at once, breaking every connection, and returns
// when it has ended. Its data stay.
func (s *Server) Stop() { s.end("stop\n") }

// Kill is like Stop with the server given no chance to do anything.
func (s *Server) Kill() { s.end("kill\n") }

// remove ends the server and deletes its data.
func (s *Server) remove() {
	s.end("")
	// After a stop the watching shell has left the data to the next start.
	_ = os.RemoveAll(s.dir)
}

func (s *Server) end(word string) {
	if s.cmd == nil {
		return
	}
	_, _ = s.leash.WriteString(word) // fails if the shell has ended: so has the server
	_ = s.leash.Close()
	_ = s.cmd.Wait() // its status is that of a killed server
	s.cmd = nil
}

// findBinaries looks through PATH and then takes the newest of Debian's.
func findBinaries() (string, error) {
	whole := func(dir string) bool {
		for _, name := range []string{"initdb", "postgres"} {
			if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
				return false
			}
		}
		return true
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) && whole(dir) {
			return dir, nil
		}
	}
	best, newest := "", -1.0
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // fails for a bad pattern only
	for _, dir := range dirs {
		version, err := strconv.ParseFloat(strings.Split(dir, "/")[4], 64)
		if err == nil && version > newest && whole(dir) {
			best, newest = dir, version
		}
	}
	if best == "" {
		return "", errMissing
	}
	return best, nil
}

// unprivileged makes the server run as another user when the tests run as
// root, which PostgreSQL refuses, and gives that user the directory.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	return asOtherUser(dir)
}
