package oci

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// How a tenancy is entered.
const (
	authKey       = "api_key"
	authPrincipal = "instance_principal"
)

// Account is how a tenancy is reached, for machines and for DNS alike.
type Account struct {
	Auth        string `json:"auth,omitempty" enum:"api_key,instance_principal" default:"api_key" access:"true" group:"Account" title:"Authentication" doc:"api_key signs requests with the key of a user. instance_principal uses the identity of the instance that the controller itself runs on."`
	TenancyOCID string `json:"tenancy_ocid" when:"auth=api_key" pattern:"^ocid1\\.tenancy\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of a tenancy: ocid1.tenancy.oc1.." maxLength:"255" group:"Account" title:"Tenancy" doc:"OCID of the tenancy." example:"ocid1.tenancy.oc1..aaaaaaaaexample"`
	UserOCID    string `json:"user_ocid" when:"auth=api_key" pattern:"^ocid1\\.user\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of a user: ocid1.user.oc1.." maxLength:"255" access:"true" group:"Account" title:"User" doc:"OCID of the user whose key signs the requests." example:"ocid1.user.oc1..aaaaaaaaexample"`
	Fingerprint string `json:"fingerprint" when:"auth=api_key" pattern:"^([0-9a-fA-F]{2}:){15}[0-9a-fA-F]{2}$" patternDescription:"16 bytes in hexadecimal with colons, as the console shows it" access:"true" group:"Account" doc:"Fingerprint of the key, as the console shows it under the user's API keys." example:"20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"`
	PrivateKey  string `json:"private_key" when:"auth=api_key" secret:"true" multiline:"true" maxLength:"16384" group:"Account" title:"Private key" doc:"The private half of the user's API key, in PEM form."`
	Passphrase  string `json:"passphrase,omitempty" when:"auth=api_key" secret:"true" maxLength:"1024" group:"Account" doc:"Opens an encrypted private key."`
	Region      string `json:"region" pattern:"^[a-z]{2}(-[a-z0-9]+)+-[0-9]{1,2}$" patternDescription:"the identifier of a region, such as eu-frankfurt-1" maxLength:"63" group:"Place" doc:"Identifier of the region." example:"eu-frankfurt-1"`
	Endpoint    string `json:"endpoint,omitempty" maxLength:"255" advanced:"true" group:"Connection" doc:"URL that is called in place of https://SERVICE.REGION.oraclecloud.com, such as that of a proxy. {service} in it stands for iaas, identity, limits, dns or auth." example:"https://{service}.us-example-1.oraclecloud99.com"`
	provider.Connection
}

// Validate implements settings.Validator.
func (a Account) Validate() []fleet.FieldError {
	problems := a.Connection.Validate()
	if a.Endpoint != "" {
		u, err := url.Parse(strings.ReplaceAll(a.Endpoint, servicePlace, "service"))
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			problems = append(problems, fleet.FieldError{Path: "endpoint", Value: a.Endpoint, Message: "is not a URL: write for example https://{service}.us-example-1.oraclecloud99.com"})
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
			problems = append(problems, fleet.FieldError{Path: "endpoint", Value: a.Endpoint, Message: "has more than a scheme, a host and a port: leave the rest out, the services have paths of their own"})
		}
	}
	if a.Auth == authPrincipal || a.PrivateKey == "" {
		return problems
	}
	if why := faultOfKey(a.PrivateKey, a.Passphrase); why.text != "" {
		problems = append(problems, fleet.FieldError{Path: why.field, Message: why.text})
	}
	if realmOf(a.TenancyOCID) != realmOf(a.UserOCID) {
		problems = append(problems, fleet.FieldError{Path: "user_ocid", Value: a.UserOCID, Message: "is of realm " + realmOf(a.UserOCID) + " and the tenancy is of realm " + realmOf(a.TenancyOCID) + ": take both from the same console"})
	}
	return problems
}

// Settings are what can be chosen for instances.
type Settings struct {
	Account
	CompartmentOCID     string   `json:"compartment_ocid" lookup:"compartment_ocid" pattern:"^ocid1\\.(compartment|tenancy)\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of a compartment: ocid1.compartment.oc1.." maxLength:"255" group:"Place" title:"Compartment" doc:"OCID of the compartment that machines are made in. One that has nothing else in it keeps listings short." example:"ocid1.compartment.oc1..aaaaaaaaexample"`
	AvailabilityDomains []string `json:"availability_domains" lookup:"availability_domains" minItems:"1" maxItems:"10" uniqueItems:"true" group:"Place" doc:"Availability domains in order of preference: when one is out of host capacity, the next is used." example:"[\"Uocm:EU-FRANKFURT-1-AD-1\",\"Uocm:EU-FRANKFURT-1-AD-2\"]"`

	ImageOCID               string   `json:"image_ocid" lookup:"image_ocid" pattern:"^ocid1\\.image\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of an image: ocid1.image.oc1.REGION." maxLength:"255" group:"Machine" title:"Image" doc:"OCID of the image, which is another in each region." example:"ocid1.image.oc1.eu-frankfurt-1.aaaaaaaaexample"`
	Shapes                  []string `json:"shape" lookup:"shape" minItems:"1" maxItems:"20" uniqueItems:"true" group:"Machine" doc:"Shapes in order of preference: the next is used when no availability domain has capacity for the one before." example:"[\"VM.Standard.E5.Flex\",\"VM.Standard.E4.Flex\"]"`
	FlexOCPUs               float64  `json:"flex_ocpus,omitempty" minimum:"0.1" maximum:"512" group:"Machine" title:"OCPUs" doc:"OCPUs of machines of flexible shapes. An OCPU is two threads on Intel and AMD." example:"2"`
	FlexMemory              float64  `json:"flex_memory,omitempty" minimum:"0.5" maximum:"4096" group:"Machine" title:"Memory" doc:"Memory of machines of flexible shapes in GiB. 0: the shape's own for each OCPU." example:"16"`
	BaselineOCPUUtilization string   `json:"baseline_ocpu_utilization,omitempty" enum:"BASELINE_1_8,BASELINE_1_2,BASELINE_1_1" advanced:"true" group:"Machine" title:"Baseline" doc:"Share of the OCPUs that burstable machines of flexible shapes may use all the time. BASELINE_1_1 and empty: all of them."`
	Preemptible             bool     `json:"preemptible,omitempty" group:"Machine" doc:"Preemptible machines cost half and are terminated when Oracle wants the capacity back, without notice to the controller."`

	BootVolumeSize      int64 `json:"boot_volume_size,omitempty" minimum:"50" maximum:"32768" group:"Disk" doc:"Size of the boot volume in GiB. 0: that of the image."`
	BootVolumeVPUsPerGB int64 `json:"boot_volume_vpus_per_gb,omitempty" minimum:"10" maximum:"120" group:"Disk" title:"Boot volume performance" doc:"Volume performance units for each GB: 10 balanced, 20 higher, 30 to 120 ultra high performance. 0: Oracle's default."`

	SubnetOCID string   `json:"subnet_ocid" lookup:"subnet_ocid" pattern:"^ocid1\\.subnet\\.[a-z0-9]+\\.[^ ]*$" patternDescription:"the OCID of a subnet: ocid1.subnet.oc1.REGION." maxLength:"255" group:"Network" title:"Subnet" doc:"OCID of the subnet. Whether machines have public addresses is for the subnet to say." example:"ocid1.subnet.oc1.eu-frankfurt-1.aaaaaaaaexample"`
	NSGOCIDs   []string `json:"nsg_ocids,omitempty" lookup:"nsg_ocids" maxItems:"5" uniqueItems:"true" group:"Network" title:"Network security groups" doc:"OCIDs of network security groups, of the subnet's network."`

	SSHPublicKey string                       `json:"ssh_public_key,omitempty" maxLength:"8192" multiline:"true" group:"Access" title:"SSH keys" doc:"Public keys, one a line, that may log in as the image's own user. Startup scripts get them as {ssh_key}."`
	FreeformTags map[string]string            `json:"freeform_tags,omitempty" group:"Machine" doc:"Further free-form tags of instances and their network interfaces."`
	DefinedTags  map[string]map[string]string `json:"defined_tags,omitempty" advanced:"true" group:"Machine" doc:"Defined tags of instances and their network interfaces: namespaces with their keys and values."`

	OSType         string         `json:"os_type,omitempty" enum:"linux,windows" default:"linux" group:"Startup" title:"Operating system" doc:"Operating system of the image: decides whether cloud-init or Cloudbase-Init reads the startup script."`
	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Machine" title:"Override" doc:"Laid over the LaunchInstanceDetails that are sent, with keys in snake_case as Oracle's Python SDK spells them, bare or inside of launch_instance_details: what these settings do not expose. Unknown keys and values are refused."`
}

const (
	ownPrefix = "headroom-"
	// A resource bears ten free-form tags, of which four are Headroom's, and 64
	// defined ones.
	// https://docs.oracle.com/en-us/iaas/Content/Tagging/Concepts/taggingoverview.htm#limits
	maxFreeform = 10 - 4
	maxDefined  = 64
)

var (
	domainRule = regexp.MustCompile(`^[^\s:]+:\S+-AD-[0-9]$`)
	shapeRule  = regexp.MustCompile(`^(VM|BM)\.[A-Za-z0-9._-]{1,80}$`)
	nsgRule    = regexp.MustCompile(`^ocid1\.networksecuritygroup\.[a-z0-9]+\.\S*$`)
	tagKeyRule = regexp.MustCompile(`^[!-~]{1,100}$`)
	textRule   = regexp.MustCompile(`^[ -~]*$`)
)

// isFlexible says that a shape has no OCPUs and memory of its own.
// https://docs.oracle.com/en-us/iaas/Content/Compute/References/computeshapes.htm#flexible
func isFlexible(shape string) bool {
	return strings.HasSuffix(shape, ".Flex") || strings.HasSuffix(shape, ".Generic")
}

// Validate implements settings.Validator.
func (s *Settings) Validate() []fleet.FieldError {
	problems := s.Account.Validate()
	say := func(path string, value any, format string, args ...any) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	for i, d := range s.AvailabilityDomains {
		if !domainRule.MatchString(d) {
			say(fmt.Sprintf("availability_domains[%d]", i), d, "is no availability domain: write its whole name with the tenancy's prefix, such as Uocm:EU-FRANKFURT-1-AD-1")
		}
	}
	flexible := false
	for i, shape := range s.Shapes {
		at := fmt.Sprintf("shape[%d]", i)
		switch {
		case !shapeRule.MatchString(shape):
			say(at, shape, "is no shape: write its name, such as VM.Standard.E5.Flex")
		case s.Preemptible && strings.HasPrefix(shape, "BM."):
			say(at, shape, "cannot be preemptible: take a shape of virtual machines, or set preemptible to false")
		}
		flexible = flexible || isFlexible(shape)
	}
	burstable := s.BaselineOCPUUtilization != "" && s.BaselineOCPUUtilization != "BASELINE_1_1"
	switch {
	case flexible && s.FlexOCPUs == 0:
		say("flex_ocpus", nil, "is missing: flexible shapes have no number of OCPUs of their own")
	case !flexible && len(s.Shapes) > 0 && (s.FlexOCPUs != 0 || s.FlexMemory != 0):
		say("shape", nil, "has no flexible shape, and flex_ocpus and flex_memory are for those only: leave them out, or take a shape that ends with .Flex")
	}
	if burstable && !flexible && len(s.Shapes) > 0 {
		say("baseline_ocpu_utilization", s.BaselineOCPUUtilization, "is for flexible shapes only: leave it out, or take a shape that ends with .Flex")
	}
	if burstable && s.Preemptible {
		say("baseline_ocpu_utilization", s.BaselineOCPUUtilization, "makes burstable machines, which cannot be preemptible: leave one of them out")
	}
	if s.BootVolumeVPUsPerGB%10 != 0 {
		say("boot_volume_vpus_per_gb", s.BootVolumeVPUsPerGB, "is no multiple of 10")
	}
	for i, id := range s.NSGOCIDs {
		if !nsgRule.MatchString(id) {
			say(fmt.Sprintf("nsg_ocids[%d]", i), id, "is no OCID of a network security group: it begins with ocid1.networksecuritygroup.")
		}
	}
	problems = append(problems, s.validatePlaces()...)
	problems = append(problems, s.validateTags()...)
	if !textRule.MatchString(strings.Map(dropLines, s.SSHPublicKey)) {
		say("ssh_public_key", nil, "has characters that no public key has: copy it anew, each key in one line")
	}
	return append(problems, checkOverride(s.ConfigOverride)...)
}

func dropLines(r rune) rune {
	if r == '\n' || r == '\r' || r == '\t' {
		return -1
	}
	return r
}

// validatePlaces finds OCIDs of another region or realm, which the cloud would
// only say not to know.
func (s *Settings) validatePlaces() []fleet.FieldError {
	var problems []fleet.FieldError
	check := func(path, id string) {
		if id == "" {
			return
		}
		if want := realmOf(s.CompartmentOCID); want != "" && realmOf(id) != want {
			problems = append(problems, fleet.FieldError{Path: path, Value: id, Message: "is of realm " + realmOf(id) + " and the compartment is of realm " + want + ": take both from the same console"})
			return
		}
		// The oldest regions are named by short codes in OCIDs.
		if at := placeOf(id); strings.Contains(at, "-") && at != s.Region {
			problems = append(problems, fleet.FieldError{Path: path, Value: id, Message: "is in region " + at + ", and region is " + s.Region})
		}
	}
	check("image_ocid", s.ImageOCID)
	check("subnet_ocid", s.SubnetOCID)
	for i, id := range s.NSGOCIDs {
		if nsgRule.MatchString(id) {
			check(fmt.Sprintf("nsg_ocids[%d]", i), id)
		}
	}
	if s.Auth != authPrincipal && s.TenancyOCID != "" && realmOf(s.TenancyOCID) != realmOf(s.CompartmentOCID) {
		problems = append(problems, fleet.FieldError{Path: "compartment_ocid", Value: s.CompartmentOCID, Message: "is of realm " + realmOf(s.CompartmentOCID) + " and the tenancy is of realm " + realmOf(s.TenancyOCID) + ": take both from the same console"})
	}
	return problems
}

func (s *Settings) validateTags() []fleet.FieldError {
	var problems []fleet.FieldError
	say := func(path string, value any, text string) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: text})
	}
	for _, key := range sorted(s.FreeformTags) {
		at := "freeform_tags." + key
		if why := faultOfTag(key, s.FreeformTags[key]); why != "" {
			say(at, key, why)
		}
	}
	if len(s.FreeformTags) > maxFreeform {
		say("freeform_tags", len(s.FreeformTags), fmt.Sprintf("are too many: %d fit beside Headroom's own", maxFreeform))
	}
	count := 0
	for _, space := range sorted(s.DefinedTags) {
		at := "defined_tags." + space
		if space == "" || strings.ContainsAny(space, ". ") || !tagKeyRule.MatchString(space) {
			say(at, space, "is no namespace of tags: use at most 100 characters without spaces and periods")
		}
		for _, key := range sorted(s.DefinedTags[space]) {
			count++
			switch {
			case strings.ContainsAny(key, ". ") || !tagKeyRule.MatchString(key):
				say(at+"."+key, key, "is no key of a tag: use at most 100 characters without spaces and periods")
			case utf8.RuneCountInString(s.DefinedTags[space][key]) > 256:
				say(at+"."+key, nil, "is longer than the 256 characters of a value")
			}
		}
	}
	if count > maxDefined {
		say("defined_tags", count, fmt.Sprintf("are too many: a resource bears %d", maxDefined))
	}
	return problems
}

// faultOfTag says what is wrong with a free-form tag.
func faultOfTag(key, value string) string {
	switch {
	case !tagKeyRule.MatchString(key) || strings.Contains(key, "."):
		return "is no key of a tag: use at most 100 characters without spaces and periods"
	case strings.HasPrefix(key, ownPrefix):
		return "is Headroom's own: take another key"
	case utf8.RuneCountInString(value) > 256:
		return "is longer than the 256 characters of a value"
	}
	return ""
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// realmOf is the realm in an OCID, such as oc1.
func realmOf(ocid string) string {
	if parts := strings.Split(ocid, "."); len(parts) > 2 {
		return parts[2]
	}
	return ""
}

// placeOf is the region in an OCID, as OCIDs spell it; empty for what has none.
func placeOf(ocid string) string {
	if parts := strings.Split(ocid, "."); len(parts) > 3 {
		return parts[3]
	}
	return ""
}
