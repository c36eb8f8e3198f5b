package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// The environment variables.
const (
	DirVariable      = "HEADROOM_RIG_OPENSTACK"
	PortVariable     = "HEADROOM_RIG_OPENSTACK_PORT"
	RequiredVariable = "HEADROOM_REQUIRE_OPENSTACK"
)

const (
	host        = "127.0.0.1"
	defaultPort = 25000
)

// Ports are where the services listen.
type Ports struct {
	Keystone, Placement, Glance, Nova, Neutron, Cinder int
	Messages, Names, Cluster                           int // RabbitMQ, Erlang's epmd, Erlang's distribution
}

func portsFrom(first int) Ports {
	return Ports{
		Keystone: first, Placement: first + 1, Glance: first + 2, Nova: first + 3, Neutron: first + 4, Cinder: first + 5,
		Messages: first + 6, Names: first + 7, Cluster: first + 8,
	}
}

// Secrets are made anew for each rig.
type Secrets struct {
	Admin, Service, Messages string
}

// Rig is a rig that is up, or is being brought up.
type Rig struct {
	Dir     string  `json:"dir"`
	Region  string  `json:"region"`
	Ports   Ports   `json:"ports"`
	Secrets Secrets `json:"secrets"`
	Things  Things  `json:"things"`

	cache string // directory of what outlives a rig
}

// Things are the objects that every project may use.
type Things struct {
	Image      string            `json:"image"`       // id; its name is ImageName
	Network    string            `json:"network"`     // id of the network that machines are put on
	Outside    string            `json:"outside"`     // id of the network that floating addresses come from
	Flavors    map[string]string `json:"flavors"`     // id by name
	AdminID    string            `json:"admin_id"`    // id of the user admin
	MemberRole string            `json:"member_role"` // id
}

// Names of the objects.
const (
	ImageName   = "debian"
	NetworkName = "machines"
	OutsideName = "outside"
	RegionName  = "RegionOne"
	// FlavorSmall has 1 core, 2 GiB and a disk; FlavorDiskless has no disk;
	// FlavorHuge fits on no host; FlavorGPU has a virtual GPU in its extra specs.
	FlavorSmall    = "small"
	FlavorDiskless = "diskless"
	FlavorHuge     = "huge"
	FlavorGPU      = "gpu"
)

// IdentityURL is where keystone listens.
func (r *Rig) IdentityURL() string { return r.base(r.Ports.Keystone) + "/v3" }

// ServiceURLs are the addresses of the services by the names that the endpoint
// settings of the provider have.
func (r *Rig) ServiceURLs() map[string]string {
	return map[string]string{
		"identity": r.base(r.Ports.Keystone),
		"compute":  r.base(r.Ports.Nova),
		"image":    r.base(r.Ports.Glance),
		"network":  r.base(r.Ports.Neutron),
		"volume":   r.base(r.Ports.Cinder),
	}
}

func (r *Rig) base(port int) string { return "http://" + host + ":" + strconv.Itoa(port) }

func (r *Rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.Dir}, parts...)...)
}

// dirOf is the rig's directory as the environment says.
func dirOf() string {
	if dir := os.Getenv(DirVariable); dir != "" {
		return dir
	}
	return filepath.Join(os.TempDir(), "headroom-rig-openstack-"+strconv.Itoa(os.Getuid()))
}

const stateFile = "rig.json"

// load reads what an earlier Up has written; fs.ErrNotExist when there is none.
func load(dir string) (*Rig, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	r := new(Rig)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading the state of the rig: %w", err)
	}
	r.Dir = dir
	return r, nil
}

func (r *Rig) save() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	part := r.path(stateFile + ".part")
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return err
	}
	return os.Rename(part, r.path(stateFile))
}

// Open gives the rig that is up. Without one the test is skipped, or fails if
// HEADROOM_REQUIRE_OPENSTACK is 1.
func Open(t testing.TB) *Rig {
	t.Helper()
	r, err := load(dirOf())
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("it was never started")
	}
	if err == nil {
		err = r.usable()
	}
	if err != nil {
		text := fmt.Sprintf("the OpenStack rig in %s is not up (%v): run `make rig-openstack`", dirOf(), err)
		if os.Getenv(RequiredVariable) == "1" {
			t.Fatal(text)
		}
		t.Skip("NOT TESTED AGAINST A REAL OPENSTACK: " + text)
	}
	return r
}

func (r *Rig) usable() error {
	if r.Things.Image == "" {
		return errors.New("its last start did not get to its end")
	}
	for _, name := range []string{"keystone", "nova-api"} {
		if !r.running(name) {
			return fmt.Errorf("%s does not run", name)
		}
	}
	return nil
}
