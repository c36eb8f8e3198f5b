package provider

import (
	"context"
	"iter"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
)

// Driver speaks to one account of one cloud. Its methods are called
// concurrently. Errors are [*Error] with a class; any other error counts as
// Unknown.
type Driver interface {
	// Check looks at credentials, permissions and references, one finding each.
	// It creates nothing.
	Check(ctx context.Context) (Report, error)

	// Create makes a machine with the name, tags and user data of the request.
	// It is idempotent on Request.Token: a repeated call answers the machine
	// that an earlier one made, or an error after which the machine may exist
	// (see [Class.MadeNothing]), also when the rest of the request has changed
	// meanwhile. It may return before the machine runs.
	Create(ctx context.Context, req Request) (Instance, error)

	// List yields every machine that bears the owner's marks, all pages. After
	// an error it stops: the listing is incomplete then and proves no absence.
	List(ctx context.Context, owner Owner) iter.Seq2[Instance, error]

	// Get looks at one machine. NotFound means that nothing of it is left: while
	// only its disk remains, the answer is StateDeleting with the machine's tags.
	Get(ctx context.Context, id string) (Instance, error)

	// Delete begins the removal of a machine with everything that Create made.
	// nil means accepted; NotFound means that it is gone. It may be called any
	// number of times.
	Delete(ctx context.Context, id string) error
}

// Offerer is a driver that can make a machine in several sizes or places.
type Offerer interface {
	// Offers names size × place combinations in order of preference, as the
	// settings have them: it asks nobody. The names are opaque; one of them is
	// given back in Request.Offer.
	Offers() []string
}

// Remnants is a driver whose machines can leave other objects behind: disks,
// addresses, secrets, records.
type Remnants interface {
	// ListRemnants yields objects that bear the owner's marks and that belong
	// to no machine. It follows the rules of Driver.List.
	ListRemnants(ctx context.Context, owner Owner) iter.Seq2[Remnant, error]
	// DeleteRemnant removes one of them; NotFound means that it is gone.
	DeleteRemnant(ctx context.Context, r Remnant) error
}

// ConsoleReader is a driver that can show what a machine wrote to its console.
type ConsoleReader interface {
	// Console returns at most the last limit bytes.
	Console(ctx context.Context, id string, limit int64) ([]byte, error)
}

// PasswordReader is a driver whose cloud makes the password of a Windows
// machine's administrator.
type PasswordReader interface {
	// Password answers it. Unavailable while the machine has not made one yet;
	// Unsupported, with the reason, when the settings make it impossible.
	Password(ctx context.Context, id string) (Login, error)
}

// Login is how a person enters a machine.
type Login struct {
	User     string
	Password string
}

// Catalog is a driver that can list the choices for a setting.
type Catalog interface {
	// Choices lists values for the setting with this lookup tag, which is the
	// field's name. For any other, Unsupported.
	Choices(ctx context.Context, setting string) ([]Choice, error)
}

// ScriptRunner is a driver that runs a script inside of a machine that is up,
// through an agent of the hypervisor in the guest. It is used for provider
// configs whose channel says AfterBoot.
type ScriptRunner interface {
	// RunScript takes the delivery and the run of the machine's script one short
	// step further: at most a few quick calls, no waiting. progress is what the
	// last step answered, empty at first. The steps may be cut off anywhere and
	// may be repeated with an old progress, and still the script must run once.
	//
	// While the guest cannot be reached yet, the answer is the progress as it was
	// with a Note, not an error.
	RunScript(ctx context.Context, id string, script []byte, progress string) (ScriptRun, error)
}

// ScriptRun is how far a script has come.
type ScriptRun struct {
	Progress string // opaque to everybody but the driver; at most 1 KiB
	Note     string // for people: what is being waited for
	Done     bool   // the script has ended
	ExitCode int64  // when Done
	Output   []byte // when Done: standard output and error, the last 64 KiB at most
}

// Renderer is a driver that can show the requests that Create would send.
type Renderer interface {
	// Render makes nothing. It may read from the cloud, to resolve names.
	Render(ctx context.Context, req Request) ([]RenderedCall, error)
}

// RenderedCall is one request that would be sent.
type RenderedCall struct {
	Call string `json:"call" doc:"Method and path, or the name of the operation." example:"POST /v2.1/servers"`
	Body any    `json:"body,omitempty" doc:"What would be sent, as the vendor's API spells it; secrets are masked."`
}

// Closer is a driver that keeps something open at the service, such as a
// session that counts against a limit there.
type Closer interface {
	// Close gives it back. Calls after it may open it anew.
	Close(ctx context.Context) error
}

// Owner selects what belongs to one provider config of one installation.
type Owner struct {
	Installation string
	Provider     string
}

// Tags mark everything that is made for a server. Each cloud spells the keys
// as its rules demand; the driver translates both ways. Ids are 26 characters of
// a-z0-9, names at most 63 of a-z0-9-.
type Tags struct {
	Installation    string
	Server          string // id of the server
	AutoscaleConfig string
	Provider        string // name of the provider config
}

// Owner is the part of the tags that a listing selects by.
func (t Tags) Owner() Owner { return Owner{Installation: t.Installation, Provider: t.Provider} }

// The keys of the tags on a cloud without restrictions.
const (
	TagInstallation = "headroom-installation"
	TagServer       = "headroom-server"
	TagAutoscale    = "headroom-autoscale"
	TagProvider     = "headroom-provider"
)

// Request is a wish for one machine.
type Request struct {
	Token     string          // idempotency: the same for each repetition of the same wish; at most 40 characters of a-z0-9-
	Name      string          // unique host name: hr- and 12 characters of a-z2-7
	Tags      Tags            // set on everything that is made
	Offer     string          // one of Offerer.Offers, empty otherwise
	Bootstrap Bootstrap       // what the machine needs to report back
	Shape     fleet.Resources // overrides of the autoscale config, each part 0: the provider's own; clouds with fixed sizes ignore it
}

// Bootstrap is what a machine needs to find and convince its controller.
type Bootstrap struct {
	ControllerURL     string // base URL under which the machine reaches the controller
	RegistrationToken string // one machine, one use
	Pool              string
	RunAgent          bool     // machines of docker_agent pools run the agent
	Secrets           []string // what of UserData must not be seen in errors and previews
	UserData          []byte   // the rendered startup script, packed for the channel of the kind; empty when the channel says AfterBoot
}

// State is where a machine stands in the cloud.
type State string

// The states of an instance.
const (
	StatePending  State = "pending" // also for states that the driver does not know: the machine is waited for
	StateRunning  State = "running"
	StateStopped  State = "stopped"
	StateDeleting State = "deleting"
	StateFailed   State = "failed" // the machine is lost
)

// Instance is a machine as the cloud shows it.
type Instance struct {
	ID    string
	Name  string
	Tags  Tags
	State State
	Fault string // why it is stopped, failed or still pending, in the cloud's words
	// FaultClass is NoCapacity or Quota when that is why the cloud gave the machine
	// up after it had accepted it: another offer or provider may have what this one
	// lacks. Empty otherwise.
	FaultClass Class
	// Interruption says why and when the cloud is about to take back a machine
	// that still runs, such as a spot machine; empty when it is not. Such a machine
	// is drained and replaced.
	Interruption string
	Addresses    []string
	Offer        string
	Capacity     fleet.Resources // of its shape; zero when the cloud does not tell
	CreatedAt    time.Time       // the same at each look; zero when the cloud does not tell
}

// Remnant is an object that was left without its machine.
type Remnant struct {
	Kind      string // "disk", "address", "secret", …
	ID        string
	Name      string
	Tags      Tags
	CreatedAt time.Time
}

// Choice is a value that a setting can take.
type Choice struct {
	Value       string `json:"value"`
	Label       string `json:"label,omitempty"`
	Description string `json:"description,omitempty"`
	// Price is what a machine of this size costs, where the choice is one of sizes.
	// A driver fills it in when the cloud's API tells.
	Price *price.Quote `json:"price,omitempty" doc:"What a machine of this size costs by the hour."`
}

// Report is the outcome of a check.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Finding is one line of a report.
type Finding struct {
	Subject string  `json:"subject" doc:"The permission, reference or precondition."`
	Verdict Verdict `json:"verdict" enum:"ok,warning,failed"`
	Message string  `json:"message,omitempty"`
	Remedy  string  `json:"remedy,omitempty"`
}

// Verdict says how a finding turned out.
type Verdict string

// The verdicts.
const (
	VerdictOK      Verdict = "ok"
	VerdictWarning Verdict = "warning"
	VerdictFailed  Verdict = "failed"
)

// OK says that no finding failed.
func (r Report) OK() bool {
	for _, f := range r.Findings {
		if f.Verdict == VerdictFailed {
			return false
		}
	}
	return true
}
