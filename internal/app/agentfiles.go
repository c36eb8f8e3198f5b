package app

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/headroom-dev/headroom/internal/service"
)

// agentFiles are the agents that machines can fetch: this program itself for
// its own system, and what the operator put into --agent-dir for others.
type agentFiles struct {
	own, dir string

	mu   sync.Mutex
	sums map[string]agentSum // by path
}

// agentSum is the digest of a file as it was at a size and time.
type agentSum struct {
	size, at int64
	sum      string
}

func newAgentFiles(cfg Config) *agentFiles {
	return &agentFiles{own: cfg.Executable, dir: cfg.AgentDir, sums: map[string]agentSum{}}
}

// path is where the agent of a name lies; empty when there is none. Names are
// compared and never joined unseen, so that none leads out of the directory.
func (f *agentFiles) path(name string) string {
	if f.dir != "" {
		entries, err := os.ReadDir(f.dir)
		if err == nil {
			for _, e := range entries {
				if e.Name() == name {
					return filepath.Join(f.dir, name)
				}
			}
		}
	}
	if f.own != "" && name == service.AgentFileName(runtime.GOOS, runtime.GOARCH) {
		return f.own
	}
	return ""
}

// open gives the file of a name; nil: there is none.
func (f *agentFiles) open(name string) (*os.File, error) {
	path := f.path(name)
	if path == "" {
		return nil, nil
	}
	return os.Open(path)
}

// sum is the SHA-256 of the agent for a system, read anew when the file has
// changed.
func (f *agentFiles) sum(system, arch string) (string, bool) {
	file, err := f.open(service.AgentFileName(system, arch))
	if err != nil || file == nil {
		return "", false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if have, ok := f.sums[file.Name()]; ok && have.size == info.Size() && have.at == info.ModTime().UnixNano() {
		return have.sum, true
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", false
	}
	sum := hex.EncodeToString(h.Sum(nil))
	f.sums[file.Name()] = agentSum{size: info.Size(), at: info.ModTime().UnixNano(), sum: sum}
	return sum, true
}
