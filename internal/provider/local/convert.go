package local

import (
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// record is the content of machine.json.
type record struct {
	Name      string            `json:"name"`
	Token     string            `json:"token"` // of the request, for idempotency; no secret of the machine
	Tags      map[string]string `json:"tags"`
	Offer     string            `json:"offer,omitempty"`
	Shape     fleet.Resources   `json:"shape"`
	CreatedAt time.Time         `json:"created_at"`
	Cgroup    string            `json:"cgroup,omitempty"` // control group of the machine; empty: none
}

// agentConfig is what the agent reads. It repeats the names of the agent's own
// settings; a test holds both together.
type agentConfig struct {
	URL       string         `json:"controller_url,omitempty"`
	TokenFile string         `json:"token_file,omitempty"`
	StateDir  string         `json:"state_dir"`
	Idle      bool           `json:"idle,omitempty"`
	Cores     fleet.Cores    `json:"cores"`
	Memory    fleet.Memory   `json:"memory"`
	GPUs      int64          `json:"gpus"`
	Addresses []string       `json:"addresses"`
	Hostname  string         `json:"hostname"`
	Delay     fleet.Duration `json:"start_delay,omitempty"`
	Detach    bool           `json:"detach"`
	PIDFile   string         `json:"pid_file"`
	LockFD    int            `json:"lock_fd"`
	LogFile   string         `json:"log_file"`
	LogLimit  int64          `json:"log_limit"`
}

// Every machine is reached over the loopback address of its host.
var addresses = []string{"127.0.0.1"}

func tagsToMap(t provider.Tags) map[string]string {
	return map[string]string{
		provider.TagInstallation: t.Installation,
		provider.TagServer:       t.Server,
		provider.TagAutoscale:    t.AutoscaleConfig,
		provider.TagProvider:     t.Provider,
	}
}

func tagsFromMap(m map[string]string) provider.Tags {
	return provider.Tags{
		Installation:    m[provider.TagInstallation],
		Server:          m[provider.TagServer],
		AutoscaleConfig: m[provider.TagAutoscale],
		Provider:        m[provider.TagProvider],
	}
}

func (r record) instance(state provider.State, fault string) provider.Instance {
	return provider.Instance{
		ID: r.Name, Name: r.Name, Tags: tagsFromMap(r.Tags),
		State: state, Fault: fault, Addresses: append([]string(nil), addresses...),
		Offer: r.Offer, Capacity: r.Shape, CreatedAt: r.CreatedAt,
	}
}
