package gcp

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Account is how a project is reached, for machines and for DNS alike.
type Account struct {
	Project     string `json:"project" pattern:"^([a-z][-a-z0-9.]*:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$" patternDescription:"the id of a project, not its number or its title" group:"Account" doc:"Id of the project." example:"desktops-prod"`
	Credentials string `json:"credentials,omitempty" secret:"true" multiline:"true" maxLength:"32768" group:"Account" title:"Service account key" doc:"The JSON key file of a service account. Empty: what the surroundings of the controller give (the service account of its own instance, workload identity, GOOGLE_APPLICATION_CREDENTIALS)."`
	Endpoint    string `json:"endpoint,omitempty" maxLength:"255" advanced:"true" group:"Connection" doc:"Base URL that is called in place of https://compute.googleapis.com, https://dns.googleapis.com and https://cloudresourcemanager.googleapis.com, such as that of a proxy." example:"https://googleapis.example.com"`
	provider.Connection
}

// Validate implements settings.Validator.
func (a Account) Validate() []fleet.FieldError {
	problems := a.Connection.Validate()
	if u, err := url.Parse(a.Endpoint); a.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		problems = append(problems, fleet.FieldError{Path: "endpoint", Value: a.Endpoint, Message: "is not a base URL: write for example https://googleapis.example.com"})
	}
	if why := faultOfKey(a.Credentials); why != "" {
		problems = append(problems, fleet.FieldError{Path: "credentials", Message: why})
	}
	return problems
}

// faultOfKey says what is wrong with the key of a service account, without
// quoting it.
func faultOfKey(text string) string {
	if text == "" {
		return ""
	}
	var key struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		TokenURI string `json:"token_uri"`
	}
	const paste = "paste the whole file that `gcloud iam service-accounts keys create` wrote"
	if json.Unmarshal([]byte(text), &key) != nil {
		return "is no JSON object: " + paste
	}
	if key.Type != "service_account" {
		return "is not the key of a service account (its type is not \"service_account\"): " + paste
	}
	if key.Email == "" || key.Key == "" {
		return "lacks client_email or private_key: " + paste
	}
	if block, _ := pem.Decode([]byte(key.Key)); block == nil {
		return "has a private_key that is no PEM text: " + paste
	}
	if u, err := url.Parse(key.TokenURI); key.TokenURI != "" && (err != nil || u.Host == "" || u.Scheme != "https") {
		return "has a token_uri that is no https URL: " + paste
	}
	return ""
}

// Settings are what can be chosen for instances.
type Settings struct {
	Account
	Region      string   `json:"region,omitempty" lookup:"region" pattern:"^[a-z][-a-z0-9]{1,61}[0-9]$" patternDescription:"the name of a region" group:"Place" doc:"Region of the machines. Empty: the one of the zones." example:"europe-west3"`
	Zones       []string `json:"zones" lookup:"zones" minItems:"1" maxItems:"20" uniqueItems:"true" group:"Place" doc:"Zones in order of preference: when one has no capacity, the next is used. All in one region." example:"[\"europe-west3-a\",\"europe-west3-b\"]"`
	MachineType []string `json:"machine_type" lookup:"machine_type" minItems:"1" maxItems:"20" uniqueItems:"true" group:"Machine" doc:"Machine types in order of preference: the next is used when no zone has capacity for the one before." example:"[\"e2-standard-4\",\"n2-standard-4\"]"`

	Image        string `json:"image" lookup:"image" maxLength:"512" group:"Machine" doc:"Boot image: PROJECT/FAMILY, projects/PROJECT/global/images/NAME or its URL; a name alone is an image of the project. The newest image of a family is taken at each create." example:"projects/debian-cloud/global/images/family/debian-12"`
	BootDiskSize int64  `json:"boot_disk_size,omitempty" minimum:"1" maximum:"65536" group:"Disk" doc:"Size of the boot disk in GiB. 0: that of the image."`
	DiskType     string `json:"disk_type,omitempty" lookup:"disk_type" default:"pd-balanced" maxLength:"63" pattern:"^[a-z]([-a-z0-9]*[a-z0-9])?$" patternDescription:"the name of a disk type" group:"Disk" doc:"Type of the boot disk."`
	CMEK         string `json:"cmek,omitempty" maxLength:"512" pattern:"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+(/cryptoKeyVersions/[0-9]+)?$" patternDescription:"projects/…/locations/…/keyRings/…/cryptoKeys/…" group:"Disk" title:"Encryption key" doc:"Key of Cloud KMS that encrypts the boot disk. Empty: Google's own."`

	Network     string   `json:"network,omitempty" lookup:"network" maxLength:"512" group:"Network" doc:"VPC network; a name, or projects/…/global/networks/NAME. Empty: that of the subnetwork."`
	Subnetwork  string   `json:"subnetwork" lookup:"subnetwork" maxLength:"512" group:"Network" doc:"Subnetwork in the region of the zones; a name, or projects/HOST-PROJECT/regions/REGION/subnetworks/NAME for a shared VPC." example:"desktops"`
	PublicIP    bool     `json:"public_ip,omitempty" group:"Network" title:"External address" doc:"Give each machine an ephemeral external address. Without one it reaches the outside by Cloud NAT only."`
	NetworkTags []string `json:"network_tags,omitempty" maxItems:"64" uniqueItems:"true" group:"Network" doc:"Network tags, to which firewall rules apply."`

	Labels            map[string]string `json:"labels,omitempty" group:"Machine" doc:"Further labels of instances and disks."`
	Metadata          map[string]string `json:"metadata,omitempty" group:"Machine" doc:"Further metadata of instances, such as enable-oslogin. Not for secrets: whoever may read instances reads them."`
	ServiceAccount    ServiceAccount    `json:"service_account,omitempty" group:"Access" doc:"What programs on the machines may do at Google Cloud. Empty: nothing."`
	GuestAccelerators []Accelerator     `json:"guest_accelerators,omitempty" maxItems:"8" group:"Machine" title:"GPUs" doc:"GPUs that are attached to each machine. Machine types that have GPUs of their own (a2, a3, a4, g2, g4) need none."`

	OSType            string `json:"os_type,omitempty" enum:"linux,windows" group:"Startup" title:"Operating system" doc:"Operating system of the image. Empty: windows where startup_script_type is ps1, cmd or bat, else linux; where neither is set, the script itself is looked at."`
	StartupScriptType string `json:"startup_script_type,omitempty" enum:"bash,ps1,cmd,bat" group:"Startup" title:"Script type" doc:"Language of the startup script, which decides on the metadata key that carries it. Empty: bash on linux and ps1 on windows."`
	ProvisioningModel string `json:"provisioning_model,omitempty" enum:"standard,spot" default:"standard" group:"Machine" doc:"spot machines are cheaper and are taken away with 30 s notice when Google wants the capacity back."`

	SSHPublicKey   string         `json:"ssh_public_key,omitempty" maxLength:"16384" advanced:"true" group:"Access" doc:"Public key that startup scripts get as {ssh_key}. Google Cloud itself takes keys by OS Login or by the metadata key ssh-keys."`
	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Machine" title:"Override" doc:"Laid over the Instance that is sent to instances.insert, as the REST API spells it: what these settings do not expose, such as shieldedInstanceConfig. Unknown keys and values are refused."`
}

// ServiceAccount is attached to machines.
type ServiceAccount struct {
	Email  string   `json:"email,omitempty" maxLength:"254" pattern:"^(default|[^@ ]+@[^@ ]+)$" patternDescription:"an e-mail address, or default" doc:"E-mail address of the service account; default stands for the project's own." example:"desktops@desktops-prod.iam.gserviceaccount.com"`
	Scopes []string `json:"scopes,omitempty" maxItems:"50" uniqueItems:"true" doc:"Access scopes, full or without https://www.googleapis.com/auth/. Empty: cloud-platform, so that IAM decides."`
}

// Accelerator is a kind of GPU.
type Accelerator struct {
	Type  string `json:"type" lookup:"accelerator_type" pattern:"^[a-z]([-a-z0-9]*[a-z0-9])?$" patternDescription:"the name of an accelerator type" maxLength:"63" doc:"Accelerator type." example:"nvidia-tesla-t4"`
	Count int64  `json:"count,omitempty" minimum:"1" maximum:"16" default:"1" doc:"GPUs of the type on each machine."`
}

var (
	zoneRule     = regexp.MustCompile(`^([a-z][-a-z0-9]{1,61}[0-9])-[a-z][a-z0-9]?$`)
	nameRule     = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	labelKeyRule = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	labelRule    = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
	metadataRule = regexp.MustCompile(`^[A-Za-z0-9_-]{1,127}$`)
	scopeRule    = regexp.MustCompile(`^(https://www\.googleapis\.com/auth/)?[a-z][a-z0-9._-]*$`)
)

// regionOf is the region of a zone.
func regionOf(zone string) string {
	if m := zoneRule.FindStringSubmatch(zone); m != nil {
		return m[1]
	}
	return ""
}

func (s *Settings) region() string {
	if s.Region != "" || len(s.Zones) == 0 {
		return s.Region
	}
	return regionOf(s.Zones[0])
}

// system is the operating system that the settings tell of; empty when they
// tell nothing.
func (s *Settings) system() startup.System {
	switch {
	case s.OSType != "":
		return startup.System(s.OSType)
	case s.StartupScriptType == "":
		return ""
	case s.StartupScriptType == "bash":
		return startup.Linux
	}
	return startup.Windows
}

const (
	guessed = "neither os_type nor startup_script_type is set: whether a script is one for Windows is guessed from its text"
	toGuess = "set os_type, and startup_script_type where the script is not Bash or PowerShell"
)

// Warnings implements settings.Warner: configs from before there were these
// fields must not break unseen, and an override may have values that only Google
// knows.
func (s *Settings) Warnings() []string {
	var out []string
	if s.system() == "" {
		out = append(out, "os_type: "+guessed+"; "+toGuess)
	}
	if len(s.ConfigOverride) > 0 {
		_, more := checkApplied(s.ConfigOverride)
		out = append(out, more...)
	}
	return out
}

// Validate implements settings.Validator.
func (s *Settings) Validate() []fleet.FieldError {
	problems := s.Account.Validate()
	say := func(path string, value any, format string, args ...any) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	for i, z := range s.Zones {
		switch at := fmt.Sprintf("zones[%d]", i); {
		case regionOf(z) == "":
			say(at, z, "is no zone: a zone is a region and a letter, such as europe-west3-a")
		case regionOf(z) != s.region():
			say(at, z, "is not in region %s: all zones must be in one region, since the subnetwork is; make another VM provider for another region", s.region())
		}
	}
	for i, m := range s.MachineType {
		if !nameRule.MatchString(m) {
			say(fmt.Sprintf("machine_type[%d]", i), m, "is no machine type: write its name alone, such as e2-standard-4")
		}
	}
	for path, text := range map[string]string{"image": s.Image, "subnetwork": s.Subnetwork, "network": s.Network} {
		if text == "" {
			continue
		}
		if _, err := s.reference(path, text); err != nil {
			say(path, text, "%s", err.Error())
		}
	}
	if ref, err := s.reference("subnetwork", s.Subnetwork); err == nil && ref.region != s.region() && s.region() != "" {
		say("subnetwork", s.Subnetwork, "is in region %s and the zones are in %s", ref.region, s.region())
	}
	for i, tag := range s.NetworkTags {
		if !nameRule.MatchString(tag) {
			say(fmt.Sprintf("network_tags[%d]", i), tag, "is no network tag: use 1 to 63 lower-case letters, digits and hyphens, with a letter first")
		}
	}
	problems = append(problems, s.validateMaps()...)
	for i, sc := range s.ServiceAccount.Scopes {
		if !scopeRule.MatchString(sc) {
			say(fmt.Sprintf("service_account.scopes[%d]", i), sc, "is no scope: write for example cloud-platform")
		}
	}
	if len(s.ServiceAccount.Scopes) > 0 && s.ServiceAccount.Email == "" {
		say("service_account.email", nil, "is missing: scopes are those of a service account; write default for the project's own")
	}
	if s.OSType == "linux" && s.StartupScriptType != "" && s.StartupScriptType != "bash" || s.OSType == "windows" && s.StartupScriptType == "bash" {
		say("startup_script_type", s.StartupScriptType, "does not run on %s: leave it out, or correct os_type", s.OSType)
	}
	return append(problems, checkOverride(s.ConfigOverride)...)
}

func (s *Settings) validateMaps() []fleet.FieldError {
	var problems []fleet.FieldError
	say := func(path string, value any, text string) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: text})
	}
	for _, key := range sortedKeys(s.Labels) {
		switch at := "labels." + key; {
		case !labelKeyRule.MatchString(key):
			say(at, key, "is no key of a label: use at most 63 lower-case letters, digits, underscores and hyphens, with a letter first")
		case strings.HasPrefix(key, ownPrefix):
			say(at, key, "is Headroom's own: take another key")
		case !labelRule.MatchString(s.Labels[key]):
			say(at, s.Labels[key], "is no value of a label: use at most 63 lower-case letters, digits, underscores and hyphens")
		}
	}
	if len(s.Labels) > maxLabels {
		say("labels", len(s.Labels), fmt.Sprintf("are too many: %d fit beside Headroom's own", maxLabels))
	}
	total := 0
	for _, key := range sortedKeys(s.Metadata) {
		value := s.Metadata[key]
		total += len(key) + len(value)
		switch at := "metadata." + key; {
		case !metadataRule.MatchString(key):
			say(at, key, "is no metadata key: use at most 127 letters, digits, underscores and hyphens")
		case slices.Contains(scriptKeys, key):
			say(at, key, "carries the startup script: write it into startup_script of the VM provider")
		case len(value) > scriptLimit:
			say(at, len(value), fmt.Sprintf("is larger than the %d bytes that a metadata value holds", scriptLimit))
		}
	}
	// All metadata of an instance hold 512 KiB; what the script may need stays free.
	if total > maxMetadata && len(problems) == 0 {
		say("metadata", total, fmt.Sprintf("are larger than the %d bytes that are left beside a startup script", maxMetadata))
	}
	return problems
}
