package proxmox

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// Settings are what can be chosen for machines on Proxmox VE.
type Settings struct {
	Host        string `json:"host" minLength:"1" maxLength:"253" group:"Connection" example:"pve.example.com" doc:"Name or address of any node of the cluster, or of a proxy in front of it. A URL (https://…) is accepted too."`
	Port        int64  `json:"port,omitempty" minimum:"1" maximum:"65535" default:"8006" group:"Connection" doc:"Port of the API."`
	TokenID     string `json:"token_id" maxLength:"256" pattern:"^[^\\s:/=!]+@[A-Za-z][A-Za-z0-9._-]+![A-Za-z][A-Za-z0-9._-]+$" patternDescription:"user@realm!name, as Proxmox VE shows it" access:"true" group:"Connection" title:"API token" example:"headroom@pve!controller" doc:"Id of the API token."`
	TokenSecret string `json:"token_secret" secret:"true" minLength:"1" maxLength:"256" group:"Connection" doc:"Secret of the API token; Proxmox VE shows it once, when the token is made."`
	provider.Connection

	Template  string       `json:"template" minLength:"1" maxLength:"100" lookup:"template" group:"Machine" example:"ubuntu-24.04" doc:"Name or VMID of the template that machines are cloned from. With a name, each node may have its own template of that name."`
	FullClone *bool        `json:"full_clone,omitempty" default:"true" group:"Machine" doc:"Copy the template's disks. false: linked clones, which are made in a second and need the template as long as they live."`
	Cores     int64        `json:"cores" minimum:"1" maximum:"512" group:"Machine" example:"4" doc:"Cores of a machine, on one socket."`
	Memory    fleet.Memory `json:"memory" minimum:"64Mi" maximum:"4096Gi" group:"Machine" example:"8Gi" doc:"Memory of a machine."`
	OSType    OSType       `json:"os_type,omitempty" enum:"linux,windows" default:"linux" group:"Machine" title:"Operating system" doc:"Family of the template's operating system. It decides how startup scripts are run."`
	VMIDRange string       `json:"vmid_range,omitempty" default:"100-999999999" pattern:"^[0-9]{3,9}-[0-9]{3,9}$" patternDescription:"two VMIDs with a hyphen between them" group:"Machine" title:"VMID range" example:"20000-29999" doc:"VMIDs that machines get. Give each provider config a range of its own that is at least ten times as large as max_instances."`
	Pool      string       `json:"pool,omitempty" maxLength:"100" pattern:"^[A-Za-z0-9_./-]+$" patternDescription:"letters, digits, dots, hyphens, underscores and slashes" lookup:"pool" group:"Machine" doc:"Resource pool that machines are put into."`
	Tags      []string     `json:"tags,omitempty" maxItems:"30" uniqueItems:"true" group:"Machine" doc:"Further tags of the machines, in lower case. Those that begin with headroom are ours."`

	Node        string   `json:"node,omitempty" maxLength:"63" pattern:"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$" patternDescription:"letters, digits and hyphens" lookup:"node" group:"Placement" title:"Node of the template" doc:"Node where the template is. Needed only where several nodes have templates of one name and one of them is meant."`
	TargetNodes []string `json:"target_nodes,omitempty" maxItems:"64" uniqueItems:"true" lookup:"target_nodes" group:"Placement" doc:"Nodes for the machines in order of preference; one that is offline or has too little free memory is passed over. Empty: the online node with the most free memory that the template can be cloned to."`
	Storage     string   `json:"storage,omitempty" maxLength:"100" pattern:"^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$" patternDescription:"letters, digits, dots, hyphens and underscores" lookup:"storage" group:"Placement" doc:"Storage for the disks of full clones. Empty: that of the template."`

	NetworkBridge string `json:"network_bridge,omitempty" maxLength:"15" pattern:"^[A-Za-z][A-Za-z0-9_.-]*$" patternDescription:"letters, digits, dots, hyphens and underscores, beginning with a letter" lookup:"network_bridge" group:"Network" example:"vmbr0" doc:"Bridge or virtual network of the first interface. Empty: as in the template."`
	NetworkVLAN   int64  `json:"network_vlan,omitempty" minimum:"0" maximum:"4094" group:"Network" title:"VLAN" doc:"VLAN tag of the first interface. 0: as in the template."`

	CloudInit     *bool    `json:"cloud_init,omitempty" default:"true" group:"Cloud-init" doc:"The template has a cloud-init drive; host name, network, user and key are given to the machine through it."`
	IPConfig      string   `json:"ip_config,omitempty" enum:"dhcp,dhcp6,auto6,template" default:"dhcp" group:"Cloud-init" title:"Addresses" doc:"How the first interface gets its address: dhcp (IPv4), dhcp6 or auto6 (IPv6), or template: as the template says."`
	NameServers   []string `json:"name_servers,omitempty" maxItems:"8" uniqueItems:"true" group:"Cloud-init" doc:"Addresses of DNS servers. Empty: those of the node."`
	CloudInitUser string   `json:"cloud_init_user,omitempty" maxLength:"32" pattern:"^[a-z_][a-z0-9_-]*$" patternDescription:"a user name in lower case" group:"Cloud-init" title:"User" doc:"User that the key is given to. Empty: the default user of the template."`
	SSHPublicKey  string   `json:"ssh_public_key,omitempty" maxLength:"4096" multiline:"true" group:"Cloud-init" title:"SSH public key" doc:"Public keys, one a line, that may log in. They are set through cloud-init and are the value of {ssh_key} in scripts."`

	ScriptPath     string         `json:"script_path,omitempty" maxLength:"200" group:"Scripts" doc:"Directory in the guest for the startup script and its result. Default: /var/lib/headroom on Linux, C:\\Windows\\Temp on Windows, where it must exist. It must outlive a restart of the guest: a script runs once because its marks are found there."`
	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Advanced" doc:"Options of the virtual machine as Proxmox VE spells them (qm set), laid over those that we set. null leaves an option as the template has it."`
}

// OSType is a family of operating systems.
type OSType string

// The values of Settings.OSType.
const (
	Linux   OSType = "linux"
	Windows OSType = "windows"
)

const (
	minVMID = 100
	maxVMID = 999999999
)

var tagRule = regexp.MustCompile(`^[a-z0-9_][a-z0-9_+.-]*$`)

// Shape is what a machine made with the settings offers.
func (s Settings) Shape() fleet.Resources {
	return fleet.Resources{Cores: fleet.Cores(s.Cores) * fleet.Core, MemoryMiB: int64(s.Memory)}
}

// Validate finds what is wrong across fields.
func (s Settings) Validate() []fleet.FieldError {
	found := s.Connection.Validate()
	say := func(path string, value any, format string, args ...any) {
		found = append(found, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	if s.Host != "" {
		if _, err := s.endpoint(); err != nil {
			say("host", s.Host, "%v", err)
		}
	}
	if s.VMIDRange != "" {
		if _, _, err := s.vmids(); err != nil {
			say("vmid_range", s.VMIDRange, "%v", err)
		}
	}
	for i, t := range s.Tags {
		switch {
		case !tagRule.MatchString(t):
			say(fmt.Sprintf("tags[%d]", i), t, "is no tag of Proxmox VE: use lower-case letters, digits, hyphens, dots, plus signs and underscores, beginning with a letter, a digit or an underscore")
		case strings.HasPrefix(t, "headroom"):
			say(fmt.Sprintf("tags[%d]", i), t, "begins with headroom: such tags mark whose a machine is and are set by Headroom alone")
		}
	}
	for i, n := range s.TargetNodes {
		if !nodeRule.MatchString(n) {
			say(fmt.Sprintf("target_nodes[%d]", i), n, "is no name of a node: use letters, digits and hyphens")
		}
	}
	for i, a := range s.NameServers {
		if _, err := netip.ParseAddr(a); err != nil {
			say(fmt.Sprintf("name_servers[%d]", i), a, "is no IP address")
		}
	}
	if s.Storage != "" && !fleet.Value(s.FullClone, true) {
		say("storage", s.Storage, "is only for full clones: the disks of linked clones are beside the template's; set full_clone, or leave storage out")
	}
	if s.NetworkVLAN != 0 && s.NetworkBridge == "" {
		say("network_vlan", s.NetworkVLAN, "needs network_bridge: name the bridge that the VLAN is on")
	}
	if p := s.ScriptPath; p != "" && !validScriptPath(p, s.OSType) {
		say("script_path", p, "must be an absolute path of the guest's operating system, without quotes or line breaks")
	}
	if !fleet.Value(s.CloudInit, true) {
		for name, given := range map[string]bool{"cloud_init_user": s.CloudInitUser != "", "name_servers": len(s.NameServers) > 0} {
			if given {
				say(name, nil, "has no effect while cloud_init is false")
			}
		}
	}
	found = append(found, checkOverride(s.ConfigOverride)...)
	slices.SortStableFunc(found, func(a, b fleet.FieldError) int { return strings.Compare(a.Path, b.Path) })
	return found
}

var nodeRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

func validScriptPath(p string, os OSType) bool {
	if strings.ContainsAny(p, "\"'`\r\n\x00") {
		return false
	}
	if os == Windows {
		return len(p) > 3 && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
	}
	return strings.HasPrefix(p, "/") && p != "/"
}

// endpoint is the base URL of the API.
func (s Settings) endpoint() (string, error) {
	text := s.Host
	if !strings.Contains(text, "://") {
		if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
			text = "[" + text + "]"
		}
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("is no host: give a name such as pve.example.com, an IP address, or a URL without user and query")
	}
	if u.Scheme != "https" {
		return "", fmt.Errorf("begins with %s: the token must not go over the network in the clear, use https", u.Scheme)
	}
	if u.Port() == "" {
		port := s.Port
		if port == 0 {
			port = 8006
		}
		u.Host += ":" + strconv.FormatInt(port, 10)
	}
	path := strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/api2/json")
	return u.Scheme + "://" + u.Host + path + "/api2/json", nil
}

// vmids are the bounds of the range, both included.
func (s Settings) vmids() (from, to int, err error) {
	a, b, _ := strings.Cut(fleet.Or(s.VMIDRange, "100-999999999"), "-")
	from, errA := strconv.Atoi(a)
	to, errB := strconv.Atoi(b)
	switch {
	case errA != nil || errB != nil:
		return 0, 0, fmt.Errorf("must be two VMIDs with a hyphen between them, such as 20000-29999")
	case from < minVMID || to > maxVMID:
		return 0, 0, fmt.Errorf("must lie between %d and %d", minVMID, maxVMID)
	case from > to:
		return 0, 0, fmt.Errorf("ends before it begins: the smaller VMID comes first")
	}
	return from, to, nil
}

// reserved are options that say whose a machine is or that would undo what a
// create does.
var reserved = map[string]string{
	"tags": "they mark whose the machine is; use the setting tags", "description": "the notes mark whose the machine is", "name": "names are made by Headroom",
	"lock": "locks belong to Proxmox VE", "template": "machines are no templates", "delete": "use null as the value of the option", "revert": "there is nothing to revert",
	"digest": "it changes with each change", "force": "it belongs to delete", "skiplock": "only root may do so", "node": "use node and target_nodes", "vmid": "use vmid_range",
	"cores": "use the setting cores", "memory": "use the setting memory", "sockets": "use the setting cores", "vcpus": "use the setting cores",
	"protection": "a protected machine could not be removed", "background_delay": "it belongs to another call", "cipassword": "the override is no place for secrets; use ssh_public_key",
}

// checkOverride finds options that Proxmox VE does not have.
func checkOverride(doc map[string]any) []fleet.FieldError {
	var found []fleet.FieldError
	for key, value := range doc {
		path := settings.JoinKey("config_override", key)
		if why, ok := reserved[key]; ok {
			found = append(found, fleet.FieldError{Path: path, Message: "cannot be overridden: " + why})
			continue
		}
		if !isOption(key) {
			found = append(found, fleet.FieldError{Path: path, Message: settings.Unknown("option", key, optionNames())})
			continue
		}
		if why := rootOnly(key, value); why != "" {
			found = append(found, fleet.FieldError{Path: path, Message: "cannot be set: " + why})
			continue
		}
		switch value.(type) {
		case map[string]any, []any:
			found = append(found, fleet.FieldError{Path: path, Message: "must be text, a number, or true or false, as in qm set: Proxmox VE writes compound options as text such as \"virtio,bridge=vmbr0\""})
		}
	}
	if text, err := json.Marshal(doc); err == nil && len(text) > maxOverride {
		found = append(found, fleet.FieldError{Path: "config_override", Message: fmt.Sprintf("takes %d bytes, %d are the most: it travels in the notes of the machine", len(text), maxOverride)})
	}
	slices.SortFunc(found, func(a, b fleet.FieldError) int { return strings.Compare(a.Path, b.Path) })
	return found
}
