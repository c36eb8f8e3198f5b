package digitalocean

import (
	"fmt"
	"net/url"
	"regexp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Account is how the API is reached, for machines and for DNS alike.
type Account struct {
	Token    string `json:"token" secret:"true" maxLength:"512" group:"Account" title:"API token" doc:"Personal access token. See the page of this provider for the scopes that it needs."`
	Endpoint string `json:"endpoint,omitempty" default:"https://api.digitalocean.com" maxLength:"255" advanced:"true" group:"Connection" doc:"Base URL of the API."`
	provider.Connection
}

// Validate implements settings.Validator.
func (a Account) Validate() []fleet.FieldError {
	problems := a.Connection.Validate()
	if u, err := url.Parse(a.Endpoint); a.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		problems = append(problems, fleet.FieldError{Path: "endpoint", Value: a.Endpoint, Message: "is not a base URL: write for example https://api.digitalocean.com"})
	}
	return problems
}

// Settings are what can be chosen for Droplets.
type Settings struct {
	Account

	Region       string   `json:"region" lookup:"region" maxLength:"64" group:"Machine" doc:"Slug of the region." example:"fra1"`
	Image        string   `json:"image" lookup:"image" maxLength:"255" group:"Machine" doc:"Slug of a public image, or the number of an image or snapshot of the account." example:"ubuntu-24-04-x64"`
	Size         []string `json:"size" lookup:"size" minItems:"1" maxItems:"20" uniqueItems:"true" group:"Machine" doc:"Slugs of sizes in order of preference: when one is sold out, the next is used." example:"[\"s-2vcpu-4gb\",\"s-4vcpu-8gb\"]"`
	SSHKeyNames  []string `json:"ssh_key_names,omitempty" lookup:"ssh_key_names" maxItems:"50" uniqueItems:"true" group:"Access" title:"SSH keys" doc:"Names of keys of the account that may log in as root. A number or fingerprint is taken as such."`
	Tags         []string `json:"tags,omitempty" maxItems:"50" uniqueItems:"true" group:"Machine" doc:"Further tags of each Droplet; those that do not exist are made."`
	FirewallName string   `json:"firewall_name,omitempty" lookup:"firewall_name" maxLength:"255" group:"Network" doc:"Cloud firewall that is applied to the machines, by their shared tag."`
	VPCUUID      string   `json:"vpc_uuid,omitempty" lookup:"vpc_uuid" pattern:"^[0-9a-fA-F-]{36}$" patternDescription:"a UUID" group:"Network" title:"VPC" doc:"Network of the machines. Empty: the region's default." example:"5a4981aa-9653-4bd1-bef5-d6bff52042e4"`
	IPv6         bool     `json:"ipv6,omitempty" group:"Network" title:"IPv6" doc:"Give each machine an IPv6 address besides."`
	Monitoring   bool     `json:"monitoring,omitempty" group:"Machine" doc:"Install DigitalOcean's monitoring agent."`
	Backups      bool     `json:"backups,omitempty" group:"Machine" doc:"Take backups, which cost extra and are rarely wanted of machines that come and go."`
	SSHPublicKey string   `json:"ssh_public_key,omitempty" maxLength:"16384" advanced:"true" group:"Access" doc:"Public key that startup scripts get as {ssh_key}; the API itself takes keys of the account only."`
}

var tagRule = regexp.MustCompile(`^[A-Za-z0-9:_-]{1,255}$`)

// Validate implements settings.Validator.
func (s *Settings) Validate() []fleet.FieldError {
	problems := s.Account.Validate()
	for i, tag := range s.Tags {
		if !tagRule.MatchString(tag) {
			problems = append(problems, fleet.FieldError{Path: fmt.Sprintf("tags[%d]", i), Value: tag, Message: "is not a tag: use 1 to 255 letters, digits, colons, dashes and underscores"})
		}
	}
	return problems
}
