package sim

import (
	"context"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// userDataLimit is what a machine of the simulated cloud can be given.
const userDataLimit = 16 << 10

// KindName is the name of the kind in a provider config.
const KindName = "sim"

// Settings of a provider config of kind sim.
type Settings struct {
	Cloud    string       `json:"cloud,omitempty" maxLength:"63" default:"default" doc:"Name of the simulated cloud. Provider configs that name the same one share its machines and its quota."`
	APIToken string       `json:"api_token,omitempty" maxLength:"512" secret:"true" doc:"Credential. Any value is accepted, except for the word invalid, which stands for a wrong credential."`
	Cores    fleet.Cores  `json:"cores,omitempty" default:"2" doc:"Cores of a machine." example:"2"`
	Memory   fleet.Memory `json:"memory,omitempty" default:"2Gi" doc:"Memory of a machine." example:"2Gi"`
	GPUs     int64        `json:"gpus,omitempty" minimum:"0" maximum:"1000" doc:"GPUs of a machine."`
	Offers   []string     `json:"offers,omitempty" lookup:"offers" maxItems:"50" uniqueItems:"true" doc:"Names of sizes and places in order of preference. Empty: there is one." example:"[\"small@zone-a\",\"small@zone-b\"]"`
	Quota    int64        `json:"quota,omitempty" minimum:"0" maximum:"1000000" doc:"Machines of this provider config that the cloud allows at once. 0: no limit."`

	BootTime    fleet.Duration `json:"boot_time,omitempty" default:"2s" doc:"Mean time from the create call until a machine runs."`
	BootLaw     Law            `json:"boot_law,omitempty" enum:"fixed,uniform,exponential,lognormal" default:"fixed" doc:"How boot times are distributed around their mean."`
	Latency     fleet.Duration `json:"latency,omitempty" doc:"Mean duration of a call." example:"80ms"`
	LatencyLaw  Law            `json:"latency_law,omitempty" enum:"fixed,uniform,exponential,lognormal" default:"fixed" doc:"How durations of calls are distributed around their mean."`
	ListLag     fleet.Duration `json:"list_lag,omitempty" doc:"Longest time until a change shows in a listing, at most 60 s; drawn evenly below it."`
	DeleteTime  fleet.Duration `json:"delete_time,omitempty" doc:"Time from the delete call until a machine is gone."`
	RequestRate float64        `json:"request_rate,omitempty" minimum:"0" maximum:"100000" doc:"Calls per second above which the cloud answers that there are too many. 0: no limit."`

	FailCallRate   float64 `json:"fail_call_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of calls that fail without effect."`
	LoseCreateRate float64 `json:"lose_create_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of creates that take effect while their answer is lost."`
	LoseDeleteRate float64 `json:"lose_delete_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of deletes that take effect while their answer is lost."`
	NeverBootRate  float64 `json:"never_boot_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of machines that never run."`
	FailBootRate   float64 `json:"fail_boot_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of machines that the cloud gives up on."`
	DieRate        float64 `json:"die_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of machines that stop by themselves some time after they ran."`
	LeaveDiskRate  float64 `json:"leave_disk_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of creates that fail and of deletes that succeed with a disk left behind."`
	FailListRate   float64 `json:"fail_list_rate,omitempty" minimum:"0" maximum:"1" doc:"Share of listings that break off with an error."`
}

// The defaults of settings that are left out.
const (
	defaultCloud  = "default"
	defaultBoot   = 2 * time.Second
	defaultCores  = 2 * fleet.Core
	defaultMemory = 2 * fleet.GiB
	maxListLag    = time.Minute
	meanLifeDying = time.Minute
)

// Kind describes the simulated cloud. The resolver gives the cloud of a name;
// it answers the same one each time and makes it when it is new.
func Kind(resolve func(name string) *Cloud) provider.Kind {
	return provider.KindOf(provider.Kind{
		Name:  KindName,
		Title: "Simulated cloud",
		About: "A cloud in the memory of the controller, for trying things out and for tests: its machines are imagined, and a restart of the controller loses them.",
		VM:    false,

		IDsComeBack: true, // see Behaviour.ReuseIDs

		Defaults: provider.Defaults{
			RateLimit: 0, Concurrency: 32, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: time.Second, RestInterval: 15 * time.Second,
			// Twice the longest lag of a listing.
			Grace: 2 * maxListLag,
		},
	}, channel, func(_ context.Context, s Settings, _ provider.Host) (provider.Driver, error) {
		name := fleet.Or(s.Cloud, defaultCloud)
		cloud := resolve(name)
		if cloud == nil {
			return nil, provider.Errorf(provider.Invalid, "there is no simulated cloud %q", name)
		}
		return cloud.Driver(s.Behaviour()), nil
	})
}

func channel(Settings) startup.Channel {
	return startup.Channel{Form: startup.FormCloudInit, Limit: userDataLimit}
}

// Shape is what a machine made with the settings offers.
func (s *Settings) Shape() fleet.Resources {
	return fleet.Resources{
		Cores:     fleet.Or(s.Cores, defaultCores),
		MemoryMiB: int64(fleet.Or(s.Memory, defaultMemory)),
		GPUs:      s.GPUs,
	}
}

// Behaviour is how the cloud treats the calls of a driver with the settings.
func (s *Settings) Behaviour() Behaviour {
	return Behaviour{
		Token:       s.APIToken,
		Shape:       s.Shape(),
		Offers:      slices.Clone(s.Offers),
		Quota:       int(s.Quota),
		Boot:        Spread{Law: s.BootLaw, Mean: time.Duration(fleet.Or(s.BootTime, fleet.Duration(defaultBoot)))},
		Latency:     Spread{Law: s.LatencyLaw, Mean: time.Duration(s.Latency)},
		ListLag:     Spread{Law: Uniform, Mean: min(time.Duration(s.ListLag), maxListLag) / 2},
		DeleteTime:  Always(time.Duration(s.DeleteTime)),
		RequestRate: s.RequestRate,
		Rates: Rates{
			FailCall: s.FailCallRate, LoseCreate: s.LoseCreateRate, LoseDelete: s.LoseDeleteRate, NeverBoot: s.NeverBootRate,
			FailBoot: s.FailBootRate, Die: s.DieRate, DieAfter: meanLifeDying, LeaveDisk: s.LeaveDiskRate, FailList: s.FailListRate,
		},
	}
}
