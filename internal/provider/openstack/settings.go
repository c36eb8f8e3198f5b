package openstack

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// The ways to sign in.
const (
	authApplicationCredential = "application_credential"
	authPassword              = "password"
	authCloudsYAML            = "clouds_yaml"
)

// Settings of a provider config of kind openstack.
type Settings struct {
	AuthMethod string `json:"auth_method,omitempty" enum:"application_credential,password,clouds_yaml" default:"application_credential" access:"true" group:"Credentials" doc:"How Headroom signs in. An application credential can be restricted to the few calls that are needed and is the better choice."`
	AuthURL    string `json:"auth_url,omitempty" required:"true" when:"auth_method=application_credential|password" maxLength:"2048" title:"Identity URL" group:"Credentials" doc:"URL of the identity service (keystone): OS_AUTH_URL in the RC file that the dashboard offers." example:"https://cloud.example.com:5000/v3"`

	ApplicationCredentialID     string `json:"application_credential_id,omitempty" required:"true" when:"auth_method=application_credential" maxLength:"255" title:"Application credential ID" access:"true" group:"Credentials" doc:"ID of the application credential, not its name."`
	ApplicationCredentialSecret string `json:"application_credential_secret,omitempty" required:"true" when:"auth_method=application_credential" maxLength:"512" secret:"true" title:"Application credential secret" group:"Credentials" doc:"Its secret, which OpenStack shows once, when the credential is made."`

	Username      string `json:"username,omitempty" required:"true" when:"auth_method=password" maxLength:"255" access:"true" group:"Credentials" doc:"Name of the user."`
	Password      string `json:"password,omitempty" required:"true" when:"auth_method=password" maxLength:"512" secret:"true" group:"Credentials" doc:"Password of the user."`
	UserDomain    string `json:"user_domain,omitempty" when:"auth_method=password" default:"Default" maxLength:"255" access:"true" group:"Credentials" doc:"Name of the domain of the user; \"default\" is the ID of the first domain."`
	ProjectName   string `json:"project_name,omitempty" required:"true" when:"auth_method=password" maxLength:"255" group:"Credentials" doc:"Name of the project in which machines are made. An application credential belongs to one project already."`
	ProjectDomain string `json:"project_domain,omitempty" when:"auth_method=password" default:"Default" maxLength:"255" group:"Credentials" doc:"Name of the domain of the project."`

	CloudsYAML string `json:"clouds_yaml,omitempty" required:"true" when:"auth_method=clouds_yaml" maxLength:"65536" secret:"true" multiline:"true" title:"clouds.yaml" group:"Credentials" doc:"Text of a clouds.yaml file, as OpenStack's own tools read it. Files that it refers to are not read."`
	Cloud      string `json:"cloud,omitempty" required:"true" when:"auth_method=clouds_yaml" maxLength:"255" group:"Credentials" doc:"Name of the entry of clouds.yaml." example:"production"`

	provider.Connection

	Region             string `json:"region,omitempty" maxLength:"255" group:"Connection" doc:"Region whose endpoints are used. It may be left out where the catalog has one region." example:"RegionOne"`
	Interface          string `json:"interface,omitempty" enum:"public,internal,admin" advanced:"true" access:"true" group:"Connection" doc:"Which endpoints of the catalog are used. Left out: what clouds.yaml says, otherwise the public ones."`
	NovaEndpoint       string `json:"nova_endpoint,omitempty" maxLength:"2048" advanced:"true" title:"Endpoint of nova" group:"Connection" doc:"Used instead of the catalog's endpoint of the compute service." example:"https://cloud.example.com:8774/v2.1"`
	NovaMicroversion   string `json:"nova_microversion,omitempty" default:"2.69" pattern:"^2\\.[0-9]{1,3}$" patternDescription:"a version such as 2.69" advanced:"true" title:"Microversion of nova" group:"Connection" doc:"Version of the compute API that is spoken, 2.47 at least. Below 2.69 (release Stein), nova leaves machines out of listings without a word while one of its cells is down."`
	GlanceEndpoint     string `json:"glance_endpoint,omitempty" maxLength:"2048" advanced:"true" title:"Endpoint of glance" group:"Connection" doc:"Used instead of the catalog's endpoint of the image service, with or without /v2." example:"https://cloud.example.com:9292"`
	CinderEndpoint     string `json:"cinder_endpoint,omitempty" maxLength:"2048" advanced:"true" title:"Endpoint of cinder" group:"Connection" doc:"Used instead of the catalog's endpoint of the block storage service. %(project_id)s stands for the project." example:"https://cloud.example.com:8776/v3/%(project_id)s"`
	CinderMicroversion string `json:"cinder_microversion,omitempty" pattern:"^3\\.[0-9]{1,3}$" patternDescription:"a version such as 3.59" advanced:"true" title:"Microversion of cinder" group:"Connection" doc:"Version of the block storage API that is spoken. Left out: the first one."`
	NeutronEndpoint    string `json:"neutron_endpoint,omitempty" maxLength:"2048" advanced:"true" title:"Endpoint of neutron" group:"Connection" doc:"Used instead of the catalog's endpoint of the network service, with or without /v2.0." example:"https://cloud.example.com:9696"`

	Flavor           string            `json:"flavor" maxLength:"255" lookup:"flavor" group:"Machine" doc:"Name or ID of the flavor: cores, memory, disk." example:"m1.large"`
	Image            string            `json:"image" maxLength:"255" lookup:"image" group:"Machine" doc:"ID of the image, or its name. A name must be the only one, and needs the right to list images, which the smallest set of access rules does not have."`
	OSType           string            `json:"os_type,omitempty" enum:"linux,windows" default:"linux" title:"Operating system" group:"Machine" doc:"Decides how startup scripts are packed: for cloud-init, or for Cloudbase-Init on Windows."`
	AvailabilityZone string            `json:"availability_zone,omitempty" maxLength:"255" lookup:"availability_zone" group:"Machine" doc:"Where machines are placed. Left out: the cloud chooses." example:"nova"`
	KeyName          string            `json:"key_name,omitempty" maxLength:"255" lookup:"key_name" title:"Key pair" group:"Machine" doc:"Name of a key pair of the user whose public key machines accept."`
	Metadata         map[string]string `json:"metadata,omitempty" group:"Machine" doc:"Added to the metadata of each machine and of its boot volume. Keys that begin with headroom- are Headroom's own."`

	BootFromVolume bool   `json:"boot_from_volume,omitempty" group:"Disk" doc:"Machines boot from a volume that is made from the image and removed with the machine, instead of from a disk of the host."`
	VolumeSize     int64  `json:"volume_size,omitempty" required:"true" when:"boot_from_volume=true" minimum:"1" maximum:"65536" group:"Disk" doc:"Size of the boot volume in GiB, at least the image's minimum." example:"40"`
	VolumeType     string `json:"volume_type,omitempty" when:"boot_from_volume=true" maxLength:"255" lookup:"volume_type" group:"Disk" doc:"Type of the boot volume. Left out: the cloud's default." example:"ssd"`

	Network        string   `json:"network" maxLength:"255" lookup:"network" group:"Network" doc:"ID of the network that machines are put on, or its name, which needs the right to list networks; auto lets the cloud find or make one, none gives machines no network."`
	SecurityGroups []string `json:"security_groups,omitempty" maxItems:"50" uniqueItems:"true" lookup:"security_groups" group:"Network" doc:"Names of security groups. Left out: the project's default group." example:"[\"desktops\"]"`
	FloatingIPPool string   `json:"floating_ip_pool,omitempty" maxLength:"255" lookup:"floating_ip_pool" title:"Floating IP pool" group:"Network" doc:"Name or ID of the external network from which each machine gets a floating address of its own, given back with the machine. It needs rights on the network service. Left out: machines get none."`

	ReadConsole    bool           `json:"read_console,omitempty" advanced:"true" title:"Read the console" group:"Machine" doc:"Keep what a machine that failed wrote to its console. It needs the right to call server actions, which the smallest set of access rules does not have."`
	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Machine" doc:"What these settings do not offer: merged into the object server of the request that makes a machine, as the compute API spells it. A document with the key server may have os:scheduler_hints beside it."`
}

const (
	maxMetadata     = 255 // characters of a key and of a value, nova's limit
	ownPrefix       = "headroom-"
	lowMicroversion = 47
)

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$`)

// Validate implements settings.Validator.
func (s *Settings) Validate() []fleet.FieldError {
	found := s.Connection.Validate()
	say := func(path string, value any, format string, args ...any) {
		found = append(found, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	for _, u := range []struct{ path, url string }{
		{"auth_url", s.AuthURL},
		{"nova_endpoint", s.NovaEndpoint},
		{"glance_endpoint", s.GlanceEndpoint},
		{"cinder_endpoint", s.CinderEndpoint},
		{"neutron_endpoint", s.NeutronEndpoint},
	} {
		if msg := urlFault(u.url); msg != "" {
			say(u.path, u.url, "%s", msg)
		}
	}
	if s.AuthMethod == authCloudsYAML && s.CloudsYAML != "" && s.Cloud != "" {
		if _, _, err := parseClouds(s.CloudsYAML, s.Cloud); err != nil {
			say("clouds_yaml", nil, "%s", err.Error())
		}
	}
	if minor, ok := microversionMinor(s.NovaMicroversion); ok && minor < lowMicroversion {
		say("nova_microversion", s.NovaMicroversion, "is below 2.%d, from which on nova tells the size of a machine: use 2.69, or leave it out", lowMicroversion)
	}
	for _, key := range sortedKeys(s.Metadata) {
		path := "metadata." + key
		switch value := s.Metadata[key]; {
		case key == "" || len([]rune(key)) > maxMetadata:
			say(path, key, "is no key of metadata: use 1 to %d characters", maxMetadata)
		case strings.HasPrefix(key, ownPrefix):
			say(path, key, "begins with %s, which marks what belongs to Headroom: use another key", ownPrefix)
		case !metadataKey.MatchString(key):
			say(path, key, "has a character that OpenStack does not accept in keys: use letters, digits, spaces and - _ : .")
		case len([]rune(value)) > maxMetadata:
			say(path, value, "has %d characters, OpenStack accepts %d", len([]rune(value)), maxMetadata)
		}
	}
	if s.Network == networkNone && len(s.SecurityGroups) > 0 {
		say("security_groups", s.SecurityGroups, "cannot be applied to machines without a network: leave them out, or name a network")
	}
	if s.FloatingIPPool != "" && (s.Network == networkNone || s.Network == networkAuto) {
		say("floating_ip_pool", s.FloatingIPPool, "needs the ID or name of a network in network, which is %q", s.Network)
	}
	return append(found, s.checkOverride()...)
}

var metadataKey = regexp.MustCompile(`^[a-zA-Z0-9-_:. ]+$`)

func urlFault(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(strings.ReplaceAll(text, projectPlaceholder, "project"))
	switch {
	case err != nil:
		return "is no URL: write it as https://HOST:PORT/PATH"
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "must begin with https:// (or http:// for a service without TLS) and name a host"
	case u.User != nil:
		return "holds a user name: credentials have settings of their own"
	case u.RawQuery != "" || u.Fragment != "":
		return "must end with its path: no ? and no #"
	}
	return ""
}

func microversionMinor(text string) (int, bool) {
	var minor int
	if _, err := fmt.Sscanf(text, "2.%d", &minor); err != nil {
		return 0, false
	}
	return minor, true
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
