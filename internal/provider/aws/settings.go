package aws

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// Settings are what can be chosen for instances.
type Settings struct {
	Account
	Region string `json:"region" lookup:"region" pattern:"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$" patternDescription:"the name of a region, such as eu-central-1" group:"Place" doc:"Region of the machines." example:"eu-central-1"`

	AMIID          string   `json:"ami_id" lookup:"ami_id" maxLength:"512" group:"Machine" title:"Image" doc:"Image (AMI) of the machines: its id; a name with * and ? in it, together with ami_owner, of which the newest is taken at each create; or resolve:ssm:PARAMETER, which EC2 looks up at each create." example:"ami-0123456789abcdef0"`
	AMIOwner       string   `json:"ami_owner,omitempty" pattern:"^([0-9]{12}|self|amazon|aws-marketplace|aws-backup-vault)$" patternDescription:"an account number of 12 digits, self, amazon or aws-marketplace" group:"Machine" title:"Owner of the image" doc:"Whose images ami_id names by a pattern. Anybody may publish an image under any name; only the owner makes it trustworthy." example:"099720109477"`
	RootDeviceName string   `json:"root_device_name,omitempty" pattern:"^(/dev/)?[a-z0-9]+$" patternDescription:"the name of a device, such as /dev/xvda" advanced:"true" group:"Disk" doc:"Device of the root volume. Empty: looked up from the image. Needed where ami_id is an SSM parameter." example:"/dev/sda1"`
	InstanceTypes  []string `json:"instance_types" lookup:"instance_types" minItems:"1" maxItems:"20" uniqueItems:"true" group:"Machine" doc:"Instance types in order of preference: the next is used when no subnet has capacity for the one before." example:"[\"m7i.large\",\"m6i.large\"]"`

	SubnetIDs        []string `json:"subnet_ids,omitempty" lookup:"subnet_ids" maxItems:"20" uniqueItems:"true" group:"Network" title:"Subnets" doc:"Subnets of one VPC, best in several availability zones: machines are spread over them, and where one has no capacity the next is used. Empty: EC2 takes a default subnet of the default VPC." example:"[\"subnet-0a1b2c3d4e5f60718\"]"`
	SecurityGroupIDs []string `json:"security_group_ids,omitempty" lookup:"security_group_ids" maxItems:"16" uniqueItems:"true" group:"Network" title:"Security groups" doc:"Security groups of the machines. Empty: the default group of the VPC." example:"[\"sg-0a1b2c3d4e5f60718\"]"`
	PublicIP         *bool    `json:"public_ip,omitempty" group:"Network" title:"Public address" doc:"Give each machine a public IPv4 address, or none. Unset: as the subnet says."`

	RootVolumeSize int64  `json:"root_volume_size,omitempty" minimum:"1" maximum:"65536" group:"Disk" doc:"Size of the root volume in GiB. 0: that of the image."`
	RootVolumeType string `json:"root_volume_type,omitempty" enum:"gp3,gp2,io1,io2,st1,sc1,standard" default:"gp3" group:"Disk" doc:"Type of the root volume."`

	IAMInstanceProfile string            `json:"iam_instance_profile,omitempty" maxLength:"2048" pattern:"^(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/)?[\\w+=,.@/-]+$" patternDescription:"the name or the ARN of an instance profile" group:"Access" title:"Instance profile" doc:"What programs on the machines may do at AWS. Empty: nothing. Headroom needs iam:PassRole on its role."`
	Tags               map[string]string `json:"tags,omitempty" group:"Machine" doc:"Further tags of instances, volumes, network interfaces and spot requests."`
	KeyName            string            `json:"key_name,omitempty" lookup:"key_name" maxLength:"255" group:"Access" title:"Key pair" doc:"Key pair of the region that may log in, and with which EC2 encrypts the password of Windows machines."`
	SSHPublicKey       string            `json:"ssh_public_key,omitempty" maxLength:"16384" advanced:"true" group:"Access" doc:"Public key that startup scripts get as {ssh_key}. EC2 itself takes key pairs only, see key_name."`
	IMDSv2Required     *bool             `json:"imds_v2_required,omitempty" default:"true" group:"Access" title:"Require IMDSv2" doc:"Answer questions for instance metadata only to whoever holds a session token, which keeps web applications from being tricked into giving the machine's credentials away."`

	Spot             bool `json:"spot,omitempty" group:"Machine" title:"Spot" doc:"Spot machines cost less and are taken away with two minutes' notice when AWS wants the capacity back. Headroom drains and replaces them then."`
	OnDemandFallback bool `json:"on_demand_fallback,omitempty" when:"spot=true" group:"Machine" doc:"Make on-demand machines when no type and subnet has spot capacity."`

	OSType                  string `json:"os_type,omitempty" enum:"linux,windows" group:"Startup" title:"Operating system" doc:"Operating system of the image. Empty: windows with retrieve_windows_password, else linux."`
	RetrieveWindowsPassword bool   `json:"retrieve_windows_password,omitempty" group:"Access" doc:"Let headroom server password read the administrator's password, which EC2 makes and encrypts with key_name."`
	PrivateKey              string `json:"private_key,omitempty" secret:"true" multiline:"true" maxLength:"16384" group:"Access" doc:"Private part of key_name, an RSA key in PEM form without a passphrase, to decrypt the password."`

	ConfigOverride map[string]any `json:"config_override,omitempty" advanced:"true" group:"Machine" title:"Override" doc:"Laid over the request of RunInstances, in the spelling of the EC2 API and of boto3, bare or below instance_config: what these settings do not expose, such as CreditSpecification. Unknown keys and values are refused."`
}

var (
	amiRule    = regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`)
	ssmRule    = regexp.MustCompile(`^resolve:ssm:(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter)?[A-Za-z0-9_./-]+(:[A-Za-z0-9_.-]+)?$`)
	typeRule   = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	subnetRule = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
	groupRule  = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
	tagRule    = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

const (
	ownPrefix = "headroom-"
	nameTag   = "Name"
	maxTags   = 45 // of the 50 that an object may have, 5 are ours
)

func (s *Settings) bySSM() bool { return strings.HasPrefix(s.AMIID, "resolve:ssm:") }

func (s *Settings) byName() bool { return !s.bySSM() && !strings.HasPrefix(s.AMIID, "ami-") }

func (s *Settings) windows() bool {
	return s.OSType == "windows" || s.OSType == "" && s.RetrieveWindowsPassword
}

func (s *Settings) imdsV2() bool { return s.IMDSv2Required == nil || *s.IMDSv2Required }

// Validate implements settings.Validator.
func (s *Settings) Validate() []fleet.FieldError {
	problems := s.Account.Validate()
	say := func(path string, value any, format string, args ...any) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case s.AMIID == "":
	case s.bySSM() && !ssmRule.MatchString(s.AMIID):
		say("ami_id", s.AMIID, "is no SSM parameter: write resolve:ssm:NAME or resolve:ssm:NAME:VERSION, such as resolve:ssm:/aws/service/debian/release/12/latest/amd64")
	case strings.HasPrefix(s.AMIID, "ami-") && !amiRule.MatchString(s.AMIID):
		say("ami_id", s.AMIID, "is no id of an image: it is ami- and 8 or 17 of 0-9 and a-f")
	case s.byName() && s.AMIOwner == "":
		say("ami_owner", nil, "is missing: ami_id is a name, and anybody may publish an image under any name; give the account that owns it, such as 099720109477 for Ubuntu, 136693071363 for Debian, amazon for Amazon's own, or self")
	case !s.byName() && s.AMIOwner != "":
		say("ami_owner", s.AMIOwner, "says whose images a name stands for, and ami_id is none: leave it out")
	}
	if s.bySSM() && s.RootDeviceName == "" {
		say("root_device_name", nil, "is missing: EC2 looks the SSM parameter up by itself, so that the image's root device is not known; write /dev/xvda for Debian and Amazon Linux, /dev/sda1 for Ubuntu and Windows")
	}
	for i, t := range s.InstanceTypes {
		if !typeRule.MatchString(t) {
			say(fmt.Sprintf("instance_types[%d]", i), t, "is no instance type: write for example m7i.large")
		}
	}
	for i, id := range s.SubnetIDs {
		if !subnetRule.MatchString(id) {
			say(fmt.Sprintf("subnet_ids[%d]", i), id, "is no id of a subnet: it begins with subnet-")
		}
	}
	for i, id := range s.SecurityGroupIDs {
		if !groupRule.MatchString(id) {
			say(fmt.Sprintf("security_group_ids[%d]", i), id, "is no id of a security group: write its id, which begins with sg-, not its name")
		}
	}
	if s.PublicIP != nil && len(s.SubnetIDs) == 0 {
		say("subnet_ids", nil, "is missing: EC2 takes public_ip together with a subnet only; give the subnets, or leave public_ip out")
	}
	problems = append(problems, s.validateTags()...)
	problems = append(problems, s.validatePassword()...)
	return append(problems, s.checkOverride()...)
}

func (s *Settings) validateTags() []fleet.FieldError {
	var problems []fleet.FieldError
	say := func(path string, value any, text string) {
		problems = append(problems, fleet.FieldError{Path: path, Value: value, Message: text})
	}
	for _, key := range sortedKeys(s.Tags) {
		value := s.Tags[key]
		lower := strings.ToLower(key)
		switch at := "tags." + key; {
		case key == "" || len([]rune(key)) > 128 || !tagRule.MatchString(key):
			say(at, key, "is no key of a tag: use 1 to 128 letters, digits, spaces and _.:/=+-@")
		case strings.HasPrefix(lower, "aws:"):
			say(at, key, "begins with aws:, which AWS keeps for itself: take another key")
		case strings.HasPrefix(lower, ownPrefix):
			say(at, key, "is Headroom's own: take another key")
		case key == nameTag:
			say(at, value, "is the machine's host name: take another key")
		case len([]rune(value)) > 256 || !tagRule.MatchString(value):
			say(at, value, "is no value of a tag: use at most 256 letters, digits, spaces and _.:/=+-@")
		}
	}
	if len(s.Tags) > maxTags {
		say("tags", len(s.Tags), fmt.Sprintf("are too many: %d fit beside Headroom's own", maxTags))
	}
	return problems
}

func (s *Settings) validatePassword() []fleet.FieldError {
	var problems []fleet.FieldError
	say := func(path, text string) {
		problems = append(problems, fleet.FieldError{Path: path, Message: text})
	}
	if s.PrivateKey != "" {
		if _, err := rsaKey(s.PrivateKey); err != nil {
			say("private_key", err.Error())
		}
	}
	if !s.RetrieveWindowsPassword {
		return problems
	}
	if s.OSType == "linux" {
		say("retrieve_windows_password", "is for Windows, and os_type is linux: correct either")
	}
	if s.KeyName == "" {
		say("key_name", "is missing: EC2 encrypts the password with the machine's key pair, and makes none without one")
	}
	if s.PrivateKey == "" {
		say("private_key", "is missing: the password is encrypted with key_name and decrypted with its private part")
	}
	return problems
}

// rsaKey reads the private part of a key pair. Errors do not quote it.
func rsaKey(text string) (*rsa.PrivateKey, error) {
	key, err := ssh.ParseRawPrivateKey([]byte(text))
	if err != nil {
		if strings.Contains(err.Error(), "passphrase") {
			return nil, fmt.Errorf("is protected by a passphrase: give it without one, as EC2 handed it out")
		}
		return nil, fmt.Errorf("is no private key in PEM form: paste the whole .pem file of the key pair, with its first and last line")
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("is no RSA key: EC2 encrypts passwords of Windows with RSA key pairs only")
	}
	return k, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
