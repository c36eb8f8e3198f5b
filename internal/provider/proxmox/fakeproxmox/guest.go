package fakeproxmox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// GuestRoot is where the files of guests seem to be; it stands for a directory
// of the test.
const GuestRoot = "/var/lib/headroom"

// guest is the inside of a machine. Paths below GuestRoot are below dir.
type guest struct {
	dir  string
	up   time.Time // from when its agent answers
	pids int
	runs int // runners that have been started
}

func (g *guest) path(p string) (string, bool) {
	if p != GuestRoot && !strings.HasPrefix(p, GuestRoot+"/") {
		return "", false
	}
	return filepath.Join(g.dir, filepath.Clean("/"+strings.TrimPrefix(p, GuestRoot))), true
}

// agent finds the guest of a machine whose agent answers.
func (c *Cloud) agent(k call) (*guest, *failure) {
	v, wrong := c.find(k)
	switch {
	case wrong != nil:
		return nil, wrong
	case !strings.HasPrefix(v.conf["agent"], "1") && !strings.HasPrefix(v.conf["agent"], "enabled=1"):
		return nil, fail("No QEMU guest agent configured")
	case v.status != "running":
		return nil, fail("VM %d is not running", v.id)
	case c.o.Now().Before(v.guest.up):
		return nil, fail("QEMU guest agent is not running")
	}
	return v.guest, nil
}

func (c *Cloud) ping(k call) (any, *failure) {
	_, wrong := c.agent(k)
	return map[string]any{"result": map[string]any{}}, wrong
}

func (c *Cloud) interfaces(k call) (any, *failure) {
	if _, wrong := c.agent(k); wrong != nil {
		return nil, wrong
	}
	address := func(kind, a string) map[string]any {
		return map[string]any{"ip-address-type": kind, "ip-address": a, "prefix": 24}
	}
	return map[string]any{"result": []map[string]any{
		{"name": "lo", "ip-addresses": []map[string]any{address("ipv4", "127.0.0.1"), address("ipv6", "::1")}},
		{"name": "eth0", "ip-addresses": []map[string]any{address("ipv6", "fe80::1"), address("ipv6", "2001:db8::1"), address("ipv4", fmt.Sprintf("10.1.%d.%d", k.vmid()>>8&255, k.vmid()&255))}},
	}}, nil
}

func (c *Cloud) fileWrite(k call) (any, *failure) {
	g, wrong := c.agent(k)
	if wrong != nil {
		return nil, wrong
	}
	content := []byte(k.text("content"))
	if k.text("encode") == "0" {
		raw, err := base64.StdEncoding.DecodeString(k.text("content"))
		if err != nil {
			return nil, fail("agent error: invalid base64: %v", err)
		}
		content = raw
	} else {
		for _, r := range string(content) {
			if r > 255 {
				return nil, fail("Wide character in subroutine entry at /usr/share/perl5/PVE/API2/Qemu/Agent.pm")
			}
		}
	}
	path, ok := g.path(k.text("file"))
	if !ok {
		return nil, fail("agent error: failed to open file '%s' (mode: 'wb'): Permission denied", k.text("file"))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return nil, fail("agent error: failed to open file '%s' (mode: 'wb'): No such file or directory", k.text("file"))
	}
	return nil, nil
}

func (c *Cloud) fileRead(k call) (any, *failure) {
	g, wrong := c.agent(k)
	if wrong != nil {
		return nil, wrong
	}
	path, ok := g.path(k.text("file"))
	content, err := os.ReadFile(path)
	if !ok || errors.Is(err, fs.ErrNotExist) {
		return nil, fail("agent error: failed to open file '%s' (mode: 'r'): No such file or directory", k.text("file"))
	}
	if err != nil {
		return nil, fail("agent error: %v", err)
	}
	return map[string]any{"content": string(content)}, nil
}

// exec really runs the command. It is not waited for.
func (c *Cloud) exec(k call) (any, *failure) {
	g, wrong := c.agent(k)
	if wrong != nil {
		return nil, wrong
	}
	var args []string
	for _, a := range asList(k.params["command"]) {
		text, _ := asText(a)
		if p, ok := g.path(text); ok {
			text = p
		}
		args = append(args, text)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the guest of a test
	if args[0] == "/bin/sh" {
		g.runs++
	} else {
		cmd.Dir = "/"
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fail("agent error: Guest agent command failed, error was 'Failed to execute child process “%s” (No such file or directory)'", args[0])
	}
	done := make(chan struct{})
	c.running.Go(func() {
		defer close(done)
		_ = cmd.Wait() // what it leaves is the outcome
	})
	c.running.Go(func() {
		defer cancel()
		select {
		case <-done:
		case <-c.stopped:
		}
	})
	g.pids++
	return map[string]any{"pid": 1000 + g.pids}, nil
}

// Runners counts how often a shell was started in a guest.
func (c *Cloud) Runners(id int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.vms[id]; v != nil && v.guest != nil {
		return v.guest.runs
	}
	return 0
}

// GuestFiles is the directory that stands for GuestRoot in a guest.
func (c *Cloud) GuestFiles(id int) string { return filepath.Join(c.o.Dir, fmt.Sprintf("vm-%d", id)) }
