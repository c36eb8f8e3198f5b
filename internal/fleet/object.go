package fleet

import (
	"fmt"
	"regexp"
	"time"
)

// APIVersion is the version of the manifests that people write.
const APIVersion = "headroom.dev/v1"

// Kind names a sort of configured object.
type Kind string

// The configured kinds, in the order in which they can be created: each refers
// only to earlier ones.
const (
	KindZone            Kind = "Zone"
	KindPool            Kind = "Pool"
	KindVMProvider      Kind = "VMProvider"
	KindDNSProvider     Kind = "DNSProvider"
	KindAutoscaleConfig Kind = "AutoscaleConfig"
	KindSchedule        Kind = "Schedule"
	KindStaging         Kind = "Staging"
)

// Kinds lists the configured kinds so that each refers only to earlier ones.
func Kinds() []Kind {
	return []Kind{KindZone, KindPool, KindVMProvider, KindDNSProvider, KindAutoscaleConfig, KindSchedule, KindStaging}
}

// Plural is the kind's name in URLs and on the command line.
func (k Kind) Plural() string {
	switch k {
	case KindZone:
		return "zones"
	case KindPool:
		return "pools"
	case KindVMProvider:
		return "vm-providers"
	case KindDNSProvider:
		return "dns-providers"
	case KindAutoscaleConfig:
		return "autoscale-configs"
	case KindSchedule:
		return "schedules"
	case KindStaging:
		return "stagings"
	}
	return ""
}

// Meta identifies a configured object. Names are identities: they cannot be
// changed, and everything refers to an object by its name.
type Meta struct {
	Name   string            `json:"name" doc:"Unique within its kind; cannot be changed." minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" patternDescription:"lower-case letters, digits and hyphens" example:"desktops"`
	Labels map[string]string `json:"labels,omitempty" doc:"Free key-value pairs to find objects by."`
}

// Object is a configured object as stored and shown. S is the spec of its
// kind.
type Object[S any] struct {
	APIVersion string    `json:"apiVersion" example:"headroom.dev/v1"`
	Kind       Kind      `json:"kind"`
	Meta       Meta      `json:"metadata"`
	Spec       S         `json:"spec"`
	Version    int64     `json:"version" doc:"Grows with every change; the ETag of the object."`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

var nameRule = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// CheckName returns an error that says what a name must look like.
func CheckName(name string) error {
	if nameRule.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%q is not a valid name: use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit", name)
}
