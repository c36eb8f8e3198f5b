package nutanix

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Settings are what can be chosen for machines on Nutanix AHV.
type Settings struct {
	Host       string `json:"host" maxLength:"253" group:"Connection" doc:"Name or IP address of Prism Central, without https:// and port." example:"prism.example.com"`
	Port       int64  `json:"port,omitempty" default:"9440" minimum:"1" maximum:"65535" advanced:"true" group:"Connection" doc:"TCP port of Prism Central."`
	APIVersion string `json:"api_version,omitempty" enum:"v3,v4" default:"v3" advanced:"true" group:"Connection" title:"API version" doc:"Version of the Prism API that is used. v4 is experimental: it has met no real Prism Central yet, only the vendor's published models."`
	Username   string `json:"username,omitempty" maxLength:"256" access:"true" group:"Connection" doc:"User of Prism Central that the controller works as. Goes with password; not needed with api_key." example:"headroom@example.com"`
	Password   string `json:"password,omitempty" secret:"true" maxLength:"1024" group:"Connection" doc:"Password of the user."`
	APIKey     string `json:"api_key,omitempty" secret:"true" maxLength:"4096" group:"Connection" title:"API key" doc:"API key of a service account, instead of username and password."`
	provider.Connection

	VMCandidate string            `json:"vm_candidate" maxLength:"256" lookup:"vm_candidate" group:"Machine" title:"VM to clone" doc:"Virtual machine, or template kept as one, that machines are cloned from: its UUID, or its name where only one has it. Best powered off. With v4 also a template of Prism's." example:"ubuntu-24.04-golden"`
	Cluster     string            `json:"cluster,omitempty" maxLength:"256" lookup:"cluster" group:"Machine" doc:"Cluster (Prism Element) to run machines on: UUID or name. Empty: that of the VM to clone." example:"cluster-a"`
	Subnet      string            `json:"subnet,omitempty" maxLength:"256" lookup:"subnet" group:"Machine" doc:"Subnet of the only network interface of machines: UUID or name. Empty: interfaces as the VM to clone has them." example:"vlan-120"`
	Project     string            `json:"project,omitempty" maxLength:"256" lookup:"project" group:"Machine" doc:"Project that machines belong to and whose quota counts: UUID or name. Empty: Prism's default. Not with v4." example:"desktops"`
	Cores       int64             `json:"cores,omitempty" minimum:"1" maximum:"512" group:"Machine" doc:"Virtual CPUs, one per socket. Empty: as the VM to clone." example:"4"`
	Memory      fleet.Memory      `json:"memory,omitempty" minimum:"64Mi" maximum:"16Ti" group:"Machine" doc:"Memory. Empty: as the VM to clone." example:"8Gi"`
	Categories  map[string]string `json:"categories,omitempty" group:"Machine" doc:"Categories of machines, such as those of security policies: key and value. Both must exist in Prism Central."`

	SSHPublicKey string `json:"ssh_public_key,omitempty" maxLength:"16384" multiline:"true" group:"Guest" title:"SSH public key" doc:"Key that cloud-init lets into its default user. Linux only." example:"ssh-ed25519 AAAA… admin@example.com"`
	Windows      bool   `json:"windows,omitempty" group:"Guest" doc:"The VM to clone is Windows, prepared by Sysprep. The startup script then arrives in an answer file instead of cloud-init."`
}

// What the API allows of keys and values of categories.
const maxCategory = 64

var categoryName = regexp.MustCompile(`^[a-zA-Z0-9_.-]+( [a-zA-Z0-9_.-]+)*$`)

// Validate finds what no tag can say.
func (s Settings) Validate() []fleet.FieldError {
	wrong := s.Connection.Validate()
	say := func(path, format string, args ...any) {
		wrong = append(wrong, fleet.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if strings.ContainsAny(s.Host, "/@ \t\r\n?#") || strings.Contains(s.Host, ":") && net.ParseIP(strings.Trim(s.Host, "[]")) == nil {
		say("host", "is %q: give the name or the address alone, such as prism.example.com; the port has a field of its own", s.Host)
	}
	switch user := s.Username != "" || s.Password != ""; {
	case s.APIKey != "" && user:
		say("api_key", "is given besides username or password: keep one of the two ways to log in")
	case s.APIKey == "" && s.Username == "":
		say("username", "is empty: give username and password, or api_key")
	case s.APIKey == "" && s.Password == "":
		say("password", "is empty: give username and password, or api_key")
	}
	if s.APIVersion == v4Name && s.Project != "" {
		say("project", "cannot be chosen with api_version v4, whose clones belong to the project of what they are cloned from: take it out, or use v3")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Categories)) {
		path := "categories." + key
		switch value := s.Categories[key]; {
		case key == markKey:
			say(path, "is Headroom's own category and cannot be set: take it out")
		case len(key) > maxCategory || !categoryName.MatchString(key):
			say(path, "has a key that Prism does not take: letters, digits, '.', '_', '-' and single spaces between them, at most %d", maxCategory)
		case len(value) > maxCategory || !categoryName.MatchString(value):
			say(path, "is %q, which Prism does not take: letters, digits, '.', '_', '-' and single spaces between them, at most %d", value, maxCategory)
		}
	}
	if s.SSHPublicKey != "" {
		_, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(s.SSHPublicKey))
		switch {
		case s.Windows:
			say("ssh_public_key", "has no effect with windows: take it out, and let the startup script install it")
		case err != nil:
			say("ssh_public_key", "is no public key: paste one line as in authorized_keys, such as ssh-ed25519 AAAA… name")
		case len(options) > 0 || strings.TrimSpace(string(rest)) != "":
			say("ssh_public_key", "must be one key without options: one line that begins with the type, such as ssh-ed25519")
		}
	}
	return wrong
}

// shape is what a machine offers as far as the settings say, with the overrides
// of a request before them.
func (s Settings) shape(override fleet.Resources) fleet.Resources {
	return fleet.Resources{
		Cores:     fleet.Or(override.Cores, fleet.Cores(s.Cores)*fleet.Core),
		MemoryMiB: fleet.Or(override.MemoryMiB, int64(s.Memory)),
	}
}

// Shape is what a machine made with the settings offers, zero where the VM to
// clone decides.
func (s Settings) Shape() fleet.Resources { return s.shape(fleet.Resources{}) }
