package startup

// Channel says how a script reaches the machines of a provider config, and what
// the channel can carry.
type Channel struct {
	Form   Form   // how the script is packed; empty: no script is run
	System System // of the machines; empty: Linux

	// Limit is the largest number of bytes that the driver takes, after packing
	// and before any encoding that the driver does itself; 0: no limit.
	Limit int

	// AfterBoot: the script is not part of the create call but is run through
	// the provider's ScriptRunner when the machine is up.
	AfterBoot bool

	// EveryBoot: the machine runs what it is given at each of its boots. The
	// script is guarded then, since it is meant to run once.
	EveryBoot bool
}

// Form is how a script is packed for its channel.
type Form string

// The forms.
const (
	// FormPlain is the rendered script and nothing else: metadata keys that name
	// the language, guest agents.
	FormPlain Form = "plain"
	// FormCloudInit is user data for cloud-init: scripts by their first line,
	// cloud-configs, MIME multipart, all of them also compressed by gzip.
	FormCloudInit Form = "cloud-init"
	// FormCloudbase is user data for Cloudbase-Init: "#ps1_sysnative" or "rem cmd"
	// in the first line, or a cloud-config.
	FormCloudbase Form = "cloudbase-init"
	// FormEC2Launch is user data for EC2Launch: <powershell> or <script> around
	// the script.
	FormEC2Launch Form = "ec2launch"
)

// System is the family of operating systems of a machine.
type System string

// The systems.
const (
	Linux   System = "linux"
	Windows System = "windows"
)

// Runs says that machines run a script at all.
func (c Channel) Runs() bool { return c.Form != "" }
