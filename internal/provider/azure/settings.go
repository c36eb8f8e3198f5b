package azure

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Settings are what can be chosen for virtual machines.
type Settings struct {
	Account
	ResourceGroup     string   `json:"resource_group" lookup:"resource_group" maxLength:"90" pattern:"^[-\\w._()]*[-\\w_()]$" patternDescription:"the name of a resource group, not its id" group:"Place" doc:"Resource group that machines, their disks, interfaces and addresses are made in. Best one that holds nothing else." example:"desktops"`
	Region            string   `json:"region" lookup:"region" pattern:"^[a-z0-9]+$" patternDescription:"the short name of a region, such as westeurope" maxLength:"64" group:"Place" doc:"Region of the machines, by its short name." example:"westeurope"`
	AvailabilityZones []string `json:"availability_zones,omitempty" enum:"1,2,3" maxItems:"3" uniqueItems:"true" group:"Place" doc:"Zones in order of preference: when one has no capacity, the next is used. Empty: the service chooses a place without a zone." example:"[\"1\",\"2\"]"`
	VMSize            []string `json:"vm_size" lookup:"vm_size" minItems:"1" maxItems:"20" uniqueItems:"true" group:"Machine" doc:"Sizes in order of preference: the next is used when no zone has capacity for the one before." example:"[\"Standard_D4s_v5\",\"Standard_D4as_v5\"]"`

	Image string `json:"image" lookup:"image" maxLength:"512" group:"Machine" doc:"PUBLISHER:OFFER:SKU:VERSION of the marketplace, version being latest or a number; or the id of an image, of an image or version in a gallery, /CommunityGalleries/… or /SharedGalleries/…." example:"Canonical:ubuntu-24_04-lts:server:latest"`
	Plan  Plan   `json:"plan,omitempty" group:"Machine" doc:"Purchase plan, which images of third parties need. Its terms must have been accepted in the subscription."`

	NetworkSecurityGroup string `json:"network_security_group" lookup:"network_security_group" maxLength:"512" group:"Network" doc:"Network security group of the interfaces; a name in the resource group, or an id." example:"desktops"`
	Subnet               string `json:"subnet" lookup:"subnet" maxLength:"512" group:"Network" doc:"Subnet of the interfaces; VNET/SUBNET in the resource group, or an id." example:"office/desktops"`
	PublicIP             bool   `json:"public_ip,omitempty" group:"Network" title:"Public address" doc:"Give each machine a public address of the Standard SKU, which costs extra and goes with the machine."`

	OSDiskType string `json:"os_disk_type,omitempty" enum:"Premium_LRS,Premium_ZRS,StandardSSD_LRS,StandardSSD_ZRS,Standard_LRS" default:"Premium_LRS" group:"Disk" doc:"Type of the disk. Premium needs a size with an s in its name."`
	OSDiskSize int64  `json:"os_disk_size,omitempty" minimum:"1" maximum:"4095" group:"Disk" doc:"Size of the disk in GiB. 0: that of the image."`

	Windows      bool   `json:"windows,omitempty" group:"Startup" doc:"The image is one of Windows."`
	OSUsername   string `json:"os_username,omitempty" default:"headroom" maxLength:"64" group:"Access" title:"User" doc:"Administrator that is made on the machine."`
	OSPassword   string `json:"os_password,omitempty" secret:"true" maxLength:"123" group:"Access" title:"Password" doc:"Password of the administrator: 8 to 123 characters on Windows and 6 to 72 on Linux, of three of the kinds lower case, upper case, digit and other. Windows needs it."`
	SSHPublicKey string `json:"ssh_public_key,omitempty" maxLength:"16384" group:"Access" doc:"Public key for the user, in the form of authorized_keys. Linux needs it or a password; startup scripts get it as {ssh_key}."`

	Tags map[string]string `json:"tags,omitempty" group:"Machine" doc:"Further tags of machines, disks, interfaces and addresses."`

	SecurityType string `json:"security_type,omitempty" enum:"Standard,TrustedLaunch,ConfidentialVM" group:"Security" doc:"Empty: as the service does with the image. TrustedLaunch and ConfidentialVM need an image of generation 2 and a size that supports them."`
	SecureBoot   *bool  `json:"secure_boot,omitempty" group:"Security" doc:"Start signed boot loaders and kernels only. Empty: on with TrustedLaunch and ConfidentialVM. Needs one of them."`
	VTPM         *bool  `json:"vtpm,omitempty" group:"Security" title:"vTPM" doc:"Give the machine a virtual TPM. Empty: on with TrustedLaunch and ConfidentialVM. Needs one of them."`

	Spot           bool    `json:"spot,omitempty" group:"Spot" doc:"Make spot machines: cheaper, and taken away with 30 s notice inside of the machine when Azure wants the capacity back."`
	EvictionPolicy string  `json:"eviction_policy,omitempty" enum:"Deallocate,Delete" default:"Delete" when:"spot=true" group:"Spot" doc:"What becomes of an evicted machine. Deallocate keeps it, with its disk that costs, until Headroom removes it, and tells why it stopped."`
	MaxPrice       float64 `json:"max_price,omitempty" minimum:"0" maximum:"1000" when:"spot=true" group:"Spot" doc:"The most that an hour may cost, in US dollars; above it the machine is evicted. 0: the price of a machine that is not spot."`

	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Machine" title:"Override" doc:"Laid over the VirtualMachine that is sent, as the REST API spells it: what these settings do not expose, such as identity or licenseType. Unknown keys and values are refused."`
}

// Plan is what an image of a third party is bought by.
type Plan struct {
	Name      string `json:"name,omitempty" maxLength:"256" doc:"Name of the plan, mostly the SKU."`
	Product   string `json:"product,omitempty" maxLength:"256" doc:"Product, mostly the offer."`
	Publisher string `json:"publisher,omitempty" maxLength:"256" doc:"Publisher."`
}

const (
	ownPrefix = "headroom-"
	maxTags   = 46 // of the 50 that a resource may have, 4 are ours
)

// What tags cannot hold in their names.
// https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
const tagForbidden = `<>%&\?/`

var (
	sizeRule = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_-]+$`)
	keyRule  = regexp.MustCompile(`^(ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( .*)?$`)
	// Names that Azure refuses for administrators, of those that people try.
	// https://learn.microsoft.com/azure/virtual-machines/windows/faq
	takenUsers = []string{"administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "admin1", "1", "123", "a", "actuser", "adm", "admin2", "aspnet", "backup", "console", "david", "guest", "john", "owner", "root", "server", "sql", "support", "support_388945a0", "sys", "test2", "test3", "user4", "user5"}
)

// Validate implements settings.Validator.
func (s *Settings) Validate() []fleet.FieldError {
	problems := s.Account.Validate()
	say := func(path string, value any, format string, args ...any) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	for i, size := range s.VMSize {
		if !sizeRule.MatchString(size) {
			say(fmt.Sprintf("vm_size[%d]", i), size, "is no size: sizes are written as Standard_D4s_v5")
		}
	}
	for _, r := range []struct{ path, value string }{{"image", s.Image}, {"network_security_group", s.NetworkSecurityGroup}, {"subnet", s.Subnet}} {
		if err := s.checkReference(r.path, r.value); err != nil {
			say(r.path, r.value, "%s", err.Error())
		}
	}
	if p := s.Plan; p != (Plan{}) && (p.Name == "" || p.Product == "" || p.Publisher == "") {
		say("plan", nil, "needs name, product and publisher: `az vm image show --urn …` names them")
	}
	problems = append(problems, s.checkAccess()...)
	problems = append(problems, s.checkTags()...)
	if uefi := s.SecurityType == "TrustedLaunch" || s.SecurityType == "ConfidentialVM"; !uefi {
		for _, f := range []struct {
			path string
			set  *bool
		}{{"secure_boot", s.SecureBoot}, {"vtpm", s.VTPM}} {
			if fleet.Value(f.set, false) {
				say(f.path, true, "needs security_type TrustedLaunch or ConfidentialVM")
			}
		}
	}
	if s.SecurityType == "ConfidentialVM" && s.VTPM != nil && !*s.VTPM {
		say("vtpm", false, "cannot be off with security_type ConfidentialVM: leave it out")
	}
	return append(problems, checkOverride(s.ConfigOverride)...)
}

// checkAccess looks at how people enter the machine.
func (s *Settings) checkAccess() []fleet.FieldError {
	var problems []fleet.FieldError
	say := func(path string, value any, message string) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: message})
	}
	user := fleet.Or(s.OSUsername, "headroom")
	switch {
	case slices.Contains(takenUsers, strings.ToLower(user)):
		say("os_username", user, "is refused by Azure: take another name")
	case s.Windows && (len(user) > 20 || strings.ContainsAny(user, `\/"[]:|<>+=;,?*@& `) || strings.HasSuffix(user, ".")):
		say("os_username", user, "is no user name for Windows: at most 20 characters, none of \\ / \" [ ] : | < > + = ; , ? * @ & and space, and no dot at the end")
	case !s.Windows && !regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`).MatchString(user):
		say("os_username", user, "is no user name for Linux: lower-case letters, digits, _ and -, beginning with a letter")
	}
	least, most := 6, 72
	if s.Windows {
		least, most = 8, 123
	}
	switch n := len([]rune(s.OSPassword)); {
	case n == 0 && s.Windows:
		say("os_password", nil, "is required with windows: Azure makes no Windows machine without one")
	case n == 0 && s.SSHPublicKey == "" && !s.withoutProfile():
		say("ssh_public_key", nil, "or os_password is required: Azure makes no Linux machine without a way in. An image that is specialised needs config_override {properties: {osProfile: null}} instead")
	case n > 0 && (n < least || n > most):
		say("os_password", nil, fmt.Sprintf("must have %d to %d characters", least, most))
	case n > 0 && kinds(s.OSPassword) < 3:
		say("os_password", nil, "must have three of the kinds lower case, upper case, digit and other")
	}
	if key := strings.TrimSpace(s.SSHPublicKey); key != "" && !keyRule.MatchString(key) {
		say("ssh_public_key", key, "is no public key: it begins with ssh-rsa, ssh-ed25519 or ecdsa-sha2-nistp256 and is one line")
	}
	return problems
}

// withoutProfile says that the override takes the user away, for images that are
// not generalised.
func (s *Settings) withoutProfile() bool {
	p, _ := s.ConfigOverride["properties"].(map[string]any)
	value, there := p["osProfile"]
	return there && value == nil
}

func kinds(text string) int {
	n := 0
	for _, rule := range []string{`[a-z]`, `[A-Z]`, `[0-9]`, `[^A-Za-z0-9]`} {
		if regexp.MustCompile(rule).MatchString(text) {
			n++
		}
	}
	return n
}

func (s *Settings) checkTags() []fleet.FieldError {
	var problems []fleet.FieldError
	seen := map[string]string{}
	for _, key := range sortedKeys(s.Tags) {
		at, lower := "tags."+key, strings.ToLower(key)
		say := func(value any, message string) {
			problems = append(problems, fleet.FieldError{Path: at, Value: value, Message: message})
		}
		switch twin, twice := seen[lower]; {
		case strings.HasPrefix(lower, ownPrefix):
			say(key, "is Headroom's own: take another name")
		case key == "" || len(key) > 256 || strings.ContainsAny(key, tagForbidden):
			say(key, `is no name of a tag: 1 to 256 characters, none of < > % & \ ? /`)
		case len(s.Tags[key]) > 256:
			say(len(s.Tags[key]), "is longer than the 256 characters of a tag")
		case twice:
			say(key, "is the same name as "+twin+": Azure ignores case")
		}
		seen[lower] = key
	}
	if len(s.Tags) > maxTags {
		problems = append(problems, fleet.FieldError{Path: "tags", Value: len(s.Tags), Message: fmt.Sprintf("are too many: %d fit beside Headroom's own", maxTags)})
	}
	return problems
}

// Shape implements provider.Shaped: what the first size offers.
func (s *Settings) Shape() fleet.Resources {
	if len(s.VMSize) == 0 {
		return fleet.Resources{}
	}
	return capacity(s.VMSize[0])
}

// offer is a size, and a zone where zones are named.
type offer struct{ size, zone string }

func (o offer) String() string {
	if o.zone == "" {
		return o.size
	}
	return o.size + "@" + o.zone
}

func (s *Settings) offers() []offer {
	zones := s.AvailabilityZones
	if len(zones) == 0 {
		zones = []string{""}
	}
	var out []offer
	for _, size := range s.VMSize {
		for _, zone := range zones {
			out = append(out, offer{size, zone})
		}
	}
	return out
}

// offerOf reads an offer; empty stands for the first.
func (s *Settings) offerOf(text string) (offer, error) {
	all := s.offers()
	if text == "" && len(all) > 0 {
		return all[0], nil
	}
	for _, o := range all {
		if o.String() == text {
			return o, nil
		}
	}
	return offer{}, provider.Errorf(provider.Invalid, "%q is not one of the config's sizes and zones", text)
}
