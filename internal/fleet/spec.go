package fleet

import (
	"maps"
	"reflect"
	"time"
)

// ZoneSpec describes a deployment zone: a place whose machines reach the
// controller under one address.
type ZoneSpec struct {
	UpstreamAddress string    `json:"upstream_address,omitempty" maxLength:"255" doc:"Base URL or host name under which agents of this zone reach the controller. Empty: the address that the controller advertises." example:"https://headroom.example.com"`
	Placement       Placement `json:"placement,omitempty" enum:"pack,spread" default:"pack" doc:"How sessions are laid onto servers: pack fills the fullest server that fits, spread takes the emptiest."`
	PreferFixed     *bool     `json:"prefer_fixed,omitempty" default:"true" doc:"Use servers that were registered by hand before autoscaled ones."`
	FallOver        *bool     `json:"fall_over,omitempty" default:"true" doc:"A session that asks for this zone may be placed in another zone when this one has no room."`
}

// Placement is a strategy for laying sessions onto servers.
type Placement string

// The placement strategies.
const (
	PlacementPack   Placement = "pack"
	PlacementSpread Placement = "spread"
)

// PoolType says what the machines of a pool offer.
type PoolType string

// The pool types.
const (
	PoolDockerAgent PoolType = "docker_agent" // machines offer cores, memory and GPUs
	PoolServer      PoolType = "server"       // machines offer session places
)

// PoolSpec describes a set of interchangeable machines.
type PoolSpec struct {
	Type        PoolType `json:"type" enum:"docker_agent,server" doc:"docker_agent: machines offer cores, memory and GPUs to many sessions. server: machines offer session places."`
	Description string   `json:"description,omitempty" maxLength:"500" doc:"What the pool is for."`
	QueueLimit  *int64   `json:"queue_limit,omitempty" minimum:"0" maximum:"1000000" default:"10000" doc:"How many sessions may wait for capacity; a further one is refused."`
	Frozen      bool     `json:"frozen,omitempty" doc:"A frozen pool makes and retires no machine by itself; sessions still start and end."`
}

// VMProviderSpec describes credentials, machine shape and limits on one cloud.
type VMProviderSpec struct {
	Provider       string         `json:"provider" doc:"The kind of cloud or hypervisor." example:"local"`
	MaxInstances   int64          `json:"max_instances" minimum:"0" maximum:"1000000" doc:"Machines that may exist at most, over every autoscale config that uses this provider." example:"10"`
	Settings       map[string]any `json:"settings,omitempty" doc:"Settings of the provider kind; see its page."`
	StartupScript  string         `json:"startup_script,omitempty" maxLength:"524288" multiline:"true" doc:"What each machine runs when it is made: Bash, PowerShell, batch or a cloud-config, by its first line. {server_id} and other variables are filled in; {{ and }} are braces. Everybody who may read objects can read it: secrets belong into variables."`
	InstallAgent   *bool          `json:"install_agent,omitempty" default:"true" doc:"docker_agent pools: install the agent beside the startup script. A script that names {agent_url} installs it itself. false: the image holds it, or nothing does."`
	AgentArch      AgentArch      `json:"agent_arch,omitempty" enum:"amd64,arm64" default:"amd64" doc:"Processor architecture of the machines, for the agent that they fetch."`
	RateLimit      float64        `json:"rate_limit,omitempty" minimum:"0" maximum:"100000" doc:"Calls per second to the provider's API. 0: the default of the provider kind."`
	Concurrency    int64          `json:"concurrency,omitempty" minimum:"0" maximum:"10000" doc:"Calls under way at once. 0: the default of the provider kind."`
	CreateBurst    int64          `json:"create_burst,omitempty" minimum:"0" maximum:"100000" doc:"Machines that may be created in one burst. 0: 20."`
	CreateRate     float64        `json:"create_rate,omitempty" minimum:"0" maximum:"100000" doc:"Machines per second that may be created after the burst. 0: 1."`
	CleanupOrphans CleanupMode    `json:"cleanup_orphans,omitempty" enum:"delete,report" default:"delete" doc:"What to do with machines that bear our mark and that no record explains."`
	MaxOrphanShare int64          `json:"max_orphan_share,omitempty" minimum:"0" maximum:"100" doc:"Share, in percent, of the machines that a sweep finds which it may remove without a record that ever knew them, at least one; the same of disks, addresses and other objects without a machine. With more of them nothing unknown is removed and an alert is raised: the database is more likely wrong than the cloud. 0: 20."`
	Frozen         bool           `json:"frozen,omitempty" doc:"A frozen provider makes no machine; those that exist stay."`

	Prices   map[string]float64 `json:"prices,omitempty" minimum:"0" maximum:"1000000" doc:"What a whole machine costs by the hour, by offer or size; * stands for every other. It wins over price tables. Prices decide nothing: they are shown."`
	Currency string             `json:"currency,omitempty" pattern:"^[A-Z]{3}$" patternDescription:"three letters, such as EUR" default:"USD" doc:"Currency of the prices."`
}

// AccessFunc names the settings of a kind of VM provider that are access alone:
// who asks and by which way, never what a machine is nor where. nil: no kind has
// any.
type AccessFunc func(kind string) []string

// SameMachines says that machines made with either spec are alike. What else may
// differ is how many there may be, how fast they are made, what they cost and
// by which access. Secrets are no part of a spec: credentials that are replaced
// make no machine outdated.
func (s VMProviderSpec) SameMachines(o VMProviderSpec, access AccessFunc) bool {
	var sides [2]VMProviderSpec
	for i, from := range []VMProviderSpec{s, o} {
		sides[i] = VMProviderSpec{
			Provider: from.Provider, StartupScript: from.StartupScript, InstallAgent: new(Value(from.InstallAgent, true)),
			AgentArch: Or(from.AgentArch, ArchAMD64), Settings: from.Lasting(access),
		}
	}
	return reflect.DeepEqual(sides[0], sides[1])
}

// Lasting are the settings without those that are access alone.
func (s VMProviderSpec) Lasting(access AccessFunc) map[string]any {
	lasting := map[string]any{}
	maps.Copy(lasting, s.Settings)
	if access != nil {
		for _, name := range access(s.Provider) {
			delete(lasting, name)
		}
	}
	return lasting
}

// AgentArch is a processor architecture as Go names it.
type AgentArch string

// The architectures for which agents can be fetched.
const (
	ArchAMD64 AgentArch = "amd64"
	ArchARM64 AgentArch = "arm64"
)

// CleanupMode says what a sweep does with an orphan.
type CleanupMode string

// The clean-up modes.
const (
	CleanupDelete CleanupMode = "delete"
	CleanupReport CleanupMode = "report"
)

// DNSProviderSpec describes credentials for DNS records.
type DNSProviderSpec struct {
	Provider string         `json:"provider" doc:"The kind of DNS service."`
	Settings map[string]any `json:"settings,omitempty" doc:"Settings of the DNS service."`

	MaxOrphanShare int64 `json:"max_orphan_share,omitempty" minimum:"0" maximum:"100" doc:"Share, in percent, of our names in the zone which a sweep may remove without a record that ever knew them, at least one. With more of them nothing unknown is removed and an alert is raised: the database is more likely wrong than the zone. 0: 20."`
}

// MaxOrphans is how many of n objects that a sweep has found it may remove when
// no record ever knew them, of a share in percent; 0: the default share. It is at
// least one.
func MaxOrphans(share int64, n int) int {
	return max(1, int(int64(n)*Or(share, DefaultOrphanShare)/100))
}

// AutoscaleConfigSpec is the policy that keeps one pool warm in one zone.
type AutoscaleConfigSpec struct {
	Pool        string   `json:"pool" doc:"The pool to keep warm." example:"desktops"`
	Zone        string   `json:"zone" doc:"The zone in which machines are made." example:"default"`
	VMProviders []string `json:"vm_providers" minItems:"1" maxItems:"50" uniqueItems:"true" doc:"Providers in order of preference: one without capacity falls through to the next."`
	Enabled     *bool    `json:"enabled,omitempty" default:"true" doc:"A disabled config makes and retires no machine by itself."`

	Standby              Shape `json:"standby,omitempty" doc:"docker_agent pools: capacity that is kept free."`
	MinAvailableSessions int64 `json:"min_available_sessions,omitempty" minimum:"0" maximum:"1000000" doc:"server pools: session places that are kept free."`
	MaxTotalStandby      Shape `json:"max_total_standby,omitempty" doc:"docker_agent pools: ceiling for claimed plus free capacity; standby shrinks as users arrive so that it is kept. 0: none."`
	MaxTotalSessions     int64 `json:"max_total_sessions,omitempty" minimum:"0" maximum:"1000000" doc:"server pools: ceiling for claimed plus free places. 0: none."`

	MinServers int64 `json:"min_servers,omitempty" minimum:"0" maximum:"1000000" doc:"Machines to keep at least."`
	MaxServers int64 `json:"max_servers,omitempty" minimum:"0" maximum:"1000000" doc:"Machines to have at most. 0: no limit of its own."`

	AggressiveScaling *bool    `json:"aggressive_scaling,omitempty" default:"true" doc:"Count queued sessions as demand on top of standby."`
	DownscaleBackoff  Duration `json:"downscale_backoff,omitempty" default:"10m" doc:"How long capacity must have been in surplus before a machine is retired."`

	AgentCoresOverride  Cores  `json:"agent_cores_override,omitempty" doc:"Cores that an agent counts for. 0: what it reports."`
	AgentMemoryOverride Memory `json:"agent_memory_override,omitempty" doc:"Memory that an agent counts for. 0: what it reports."`
	AgentGPUsOverride   int64  `json:"agent_gpus_override,omitempty" minimum:"0" maximum:"1000" doc:"GPUs that an agent counts for. 0: what it reports."`

	MaxSimultaneousSessions int64 `json:"max_simultaneous_sessions,omitempty" minimum:"0" maximum:"10000" default:"1" doc:"server pools: session places of one machine."`
	MaxSimultaneousUsers    int64 `json:"max_simultaneous_users,omitempty" minimum:"0" maximum:"10000" doc:"server pools: different users on one machine. 0: no limit."`
	Reusable                *bool `json:"reusable,omitempty" default:"true" doc:"server pools: a machine whose last session ended returns to the pool. false: it is retired."`

	RequireCheckin *bool `json:"require_checkin,omitempty" default:"true" doc:"A machine is ready when its agent or script has checked in. false: when the cloud says that it runs and the connection port, if any, answers."`
	ConnectionPort int64 `json:"connection_port,omitempty" minimum:"0" maximum:"65535" doc:"TCP port that must answer before a machine without check-in is ready. 0: none."`

	RegisterDNS bool     `json:"register_dns,omitempty" doc:"Give each machine a DNS name, its own name below base_domain, and remove it with the machine."`
	DNSProvider string   `json:"dns_provider,omitempty" doc:"The DNS provider that keeps the names." example:"corp-dns"`
	BaseDomain  string   `json:"base_domain,omitempty" maxLength:"237" pattern:"^([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a domain name in lower case, without a dot at its end" doc:"The domain below which machines are named: the provider's zone or a part of it." example:"desktops.example.com"`
	DNSTTL      Duration `json:"dns_ttl,omitempty" default:"1m" doc:"How long resolvers may keep the addresses."`

	ConnectionUsername string `json:"connection_username,omitempty" maxLength:"255" doc:"server pools: account by which sessions connect; startup scripts get it as {connection_username}."`
	ConnectionPassword string `json:"connection_password,omitempty" maxLength:"1024" secret:"true" doc:"Its password; startup scripts get it as {connection_password}."`
	TLSCertificate     string `json:"tls_certificate,omitempty" maxLength:"65536" multiline:"true" doc:"Certificate chain in PEM form that machines serve with; startup scripts get it as {nginx_cert_in}."`
	TLSKey             string `json:"tls_key,omitempty" maxLength:"65536" multiline:"true" secret:"true" doc:"Private key of tls_certificate in PEM form; startup scripts get it as {nginx_key_in}."`

	ProvisionTimeout Duration `json:"provision_timeout,omitempty" default:"10m" doc:"From the create call to check-in; later, the machine has failed. At least 10s."`
	MissingAfter     Duration `json:"missing_after,omitempty" default:"10m" doc:"Silence after which a machine gets no new session. At least 5s."`
	DeadAfter        Duration `json:"dead_after,omitempty" default:"1h" doc:"Silence after which a machine without sessions is replaced. Not less than missing_after."`

	RotateAfter    Duration `json:"rotate_after,omitempty" doc:"Age at which a machine is replaced. 0: never."`
	RotatePrewarm  Duration `json:"rotate_prewarm,omitempty" default:"15m" doc:"How long before rotation the replacement is started."`
	ReplaceOnDrift bool     `json:"replace_on_drift,omitempty" doc:"Replace machines that were made with older provider settings. Off: only show them. Ceilings, rates, prices, secrets and settings that are access alone are not what machines are made of."`
	MaxUnavailable int64    `json:"max_unavailable,omitempty" minimum:"0" maximum:"100000" default:"1" doc:"Machines that rotation and drift may replace at once."`
}

// FQDN is the DNS name of a server of the config, empty when none is
// registered.
func (c AutoscaleConfigSpec) FQDN(server string) string {
	if !c.RegisterDNS || c.BaseDomain == "" {
		return ""
	}
	return server + "." + c.BaseDomain
}

// ScheduleSpec gives an autoscale config other numbers inside of time windows.
type ScheduleSpec struct {
	AutoscaleConfig string   `json:"autoscale_config" doc:"The config whose numbers change."`
	TimeZone        string   `json:"time_zone" doc:"IANA time zone in which the windows are read." example:"Europe/Berlin"`
	Windows         []Window `json:"windows" minItems:"1" maxItems:"200" doc:"The first window that holds the present moment counts."`
}

// Window is a part of the week with its own standby and bounds. Fields that
// are absent keep the value of the autoscale config.
type Window struct {
	Days                 []Weekday `json:"days" minItems:"1" maxItems:"7" uniqueItems:"true" doc:"Days on which the window begins."`
	Start                TimeOfDay `json:"start" doc:"Begin, 24-hour clock." example:"07:30"`
	End                  TimeOfDay `json:"end" doc:"End, exclusive; before start it lies on the next day." example:"18:00"`
	Standby              *Shape    `json:"standby,omitempty" doc:"docker_agent pools: capacity that is kept free within the window."`
	MinAvailableSessions *int64    `json:"min_available_sessions,omitempty" minimum:"0" maximum:"1000000" doc:"server pools: session places that are kept free within the window."`
	MinServers           *int64    `json:"min_servers,omitempty" minimum:"0" maximum:"1000000" doc:"Machines to keep at least within the window."`
	MaxServers           *int64    `json:"max_servers,omitempty" minimum:"0" maximum:"1000000" doc:"Machines to have at most within the window."`
}

// StagingSpec wishes for pre-made unassigned sessions.
type StagingSpec struct {
	Pool  string `json:"pool" doc:"The pool in which the sessions are made."`
	Zone  string `json:"zone,omitempty" doc:"Only on servers of this zone."`
	Count int64  `json:"count" minimum:"0" maximum:"100000" doc:"Sessions to keep ready."`
	Shape Shape  `json:"shape,omitempty" doc:"docker_agent pools: what each session claims."`
}

// Value is *p, or def when p is nil.
func Value[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

// Or is v, or def when v is the zero value.
func Or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Defaults of settings whose zero value means "the default".
const (
	DefaultDownscaleBackoff = 10 * time.Minute
	DefaultProvisionTimeout = 10 * time.Minute
	DefaultMissingAfter     = 10 * time.Minute
	DefaultDeadAfter        = time.Hour
	DefaultRotatePrewarm    = 15 * time.Minute
	DefaultQueueLimit       = 10000
	DefaultCreateBurst      = 20
	DefaultCreateRate       = 1.0
	DefaultOrphanShare      = 20 // percent
)
