package manifest

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// finding is a problem between fields. It is dropped when one of the fields
// that it is about is wrong by itself.
type finding struct {
	fleet.FieldError
	about []string // further paths
}

func problem(path string, value any, message string, about ...string) finding {
	return finding{fleet.FieldError{Path: path, Value: value, Message: message}, about}
}

func each(fields []fleet.FieldError) []finding {
	var all []finding
	for _, e := range fields {
		all = append(all, finding{FieldError: e})
	}
	return all
}

// remaining leaves out findings about fields that already have a problem.
func remaining(findings []finding, problems []fleet.FieldError) []fleet.FieldError {
	var left []fleet.FieldError
next:
	for _, f := range findings {
		for _, path := range append(f.about, f.Path) {
			for _, p := range problems {
				if inside(p.Path, path) || inside(path, p.Path) {
					continue next
				}
			}
		}
		left = append(left, f.FieldError)
	}
	return left
}

func inside(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

var (
	labelKey   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_./]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
)

// maxLabels is the number of labels that an object may have.
const maxLabels = 64

func checkMeta(m fleet.Meta) []fleet.FieldError {
	var problems []fleet.FieldError
	if err := fleet.CheckName(m.Name); err != nil {
		message := err.Error()
		if m.Name == "" {
			message = "is required: write for example name: desktops"
		}
		problems = append(problems, fleet.FieldError{Path: "metadata.name", Value: m.Name, Message: message})
	}
	if len(m.Labels) > maxLabels {
		problems = append(problems, fleet.FieldError{Path: "metadata.labels", Message: fmt.Sprintf(
			"has %d labels: give at most %d", len(m.Labels), maxLabels)})
	}
	for _, key := range sortedKeys(m.Labels) {
		path, value := settings.JoinKey("metadata.labels", key), m.Labels[key]
		if !labelKey.MatchString(key) {
			problems = append(problems, fleet.FieldError{
				Path: path, Value: key,
				Message: "is not a valid key of a label: use 1 to 63 letters, digits and - _ . / between them",
			})
		}
		if !labelValue.MatchString(value) {
			problems = append(problems, fleet.FieldError{
				Path: path, Value: value,
				Message: "is not a valid value of a label: use at most 63 letters, digits and - _ . between them",
			})
		}
	}
	return problems
}

// checkSpec checks what the tags of a spec cannot say. Paths begin with spec.
func checkSpec(spec any) []finding {
	switch s := spec.(type) {
	case *fleet.ZoneSpec:
		return checkZone(s)
	case *fleet.AutoscaleConfigSpec:
		return checkAutoscale(*s)
	case *fleet.ScheduleSpec:
		return checkSchedule(s)
	}
	return nil
}

func checkZone(s *fleet.ZoneSpec) []finding {
	if s.UpstreamAddress == "" || addressable(s.UpstreamAddress) {
		return nil
	}
	return []finding{problem("spec.upstream_address", s.UpstreamAddress, fmt.Sprintf(
		"%q is not an address that a machine can reach: write a host name, an IP address or a URL such as https://headroom.example.com", s.UpstreamAddress))}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*\.?$`)

// addressable says that text is a host, a host with a port, or an HTTP URL.
func addressable(s string) bool {
	if !strings.Contains(s, "://") {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Is6() {
			return !ip.IsUnspecified()
		}
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false
		}
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsUnspecified()
	}
	return hostName.MatchString(host)
}

// The shortest times that leave room for what they wait for.
const (
	minMissingAfter     = 5 * time.Second  // agents report every second at most
	minProvisionTimeout = 10 * time.Second // no machine boots faster
)

func checkAutoscale(s fleet.AutoscaleConfigSpec) []finding {
	var all []finding
	if s.MaxServers > 0 && s.MaxServers < s.MinServers {
		all = append(all, problem("spec.max_servers", s.MaxServers, fmt.Sprintf(
			"is less than min_servers %d: raise it or lower min_servers", s.MinServers), "spec.min_servers"))
	}
	if s.MaxTotalSessions > 0 && s.MaxTotalSessions < s.MinAvailableSessions {
		all = append(all, problem("spec.max_total_sessions", s.MaxTotalSessions, fmt.Sprintf(
			"is less than min_available_sessions %d, which could never be kept: raise it or lower min_available_sessions", s.MinAvailableSessions),
			"spec.min_available_sessions"))
	}
	ceiling := func(name string, most, standby int64, shownMost, shownStandby any) {
		if most > 0 && most < standby {
			all = append(all, problem("spec.max_total_standby."+name, shownMost, fmt.Sprintf(
				"is less than standby.%s %v, which could never be kept: raise it or lower the standby", name, shownStandby),
				"spec.standby."+name))
		}
	}
	t, b := s.MaxTotalStandby, s.Standby
	ceiling("cores", int64(t.Cores), int64(b.Cores), t.Cores.String(), b.Cores)
	ceiling("memory", int64(t.Memory), int64(b.Memory), t.Memory.String(), b.Memory)
	ceiling("gpus", t.GPUs, b.GPUs, t.GPUs, b.GPUs)

	for _, f := range []struct{ path, value string }{{"spec.dns_provider", s.DNSProvider}, {"spec.base_domain", s.BaseDomain}} {
		if s.RegisterDNS && f.value == "" {
			all = append(all, problem(f.path, nil, "is required when register_dns is true", "spec.register_dns"))
		}
	}
	if s.DNSTTL != 0 && (s.DNSTTL.D() < time.Second || s.DNSTTL.D() > 24*time.Hour) {
		all = append(all, problem("spec.dns_ttl", s.DNSTTL.String(), "is not between 1s and 24h"))
	}
	atLeast := func(path string, d fleet.Duration, least time.Duration, why string) {
		if d != 0 && d.D() < least {
			all = append(all, problem(path, d.String(), fmt.Sprintf("%s is shorter than %s: %s", d, fleet.Duration(least), why)))
		}
	}
	atLeast("spec.provision_timeout", s.ProvisionTimeout, minProvisionTimeout, "every machine would fail before it has started")
	atLeast("spec.missing_after", s.MissingAfter, minMissingAfter, "a single late heartbeat would take a machine out of service")
	given := s
	settings.ApplyDefaults(&s)
	if s.DeadAfter < s.MissingAfter {
		path, other := "spec.dead_after", "spec.missing_after"
		if given.DeadAfter == 0 {
			path, other = other, path
		}
		all = append(all, problem(path, nil, fmt.Sprintf(
			"dead_after %s is less than missing_after %s: a machine is missing before it is dead", s.DeadAfter, s.MissingAfter), other))
	}
	if s.RotateAfter > 0 && s.RotatePrewarm >= s.RotateAfter {
		all = append(all, problem("spec.rotate_after", s.RotateAfter.String(), fmt.Sprintf(
			"rotate_after %s is not longer than rotate_prewarm %s: the replacement would start before the machine", s.RotateAfter, s.RotatePrewarm),
			"spec.rotate_prewarm"))
	}
	return all
}

func checkSchedule(s *fleet.ScheduleSpec) []finding {
	var all []finding
	if _, err := time.LoadLocation(s.TimeZone); s.TimeZone != "" && (err != nil || s.TimeZone == "Local") {
		all = append(all, problem("spec.time_zone", s.TimeZone, fmt.Sprintf(
			"time zone %q is not known: write an IANA name such as Europe/Berlin", s.TimeZone)))
	}
	const endOfDay = 24 * 60
	for i, w := range s.Windows {
		at := func(name string) string { return fmt.Sprintf("spec.windows[%d].%s", i, name) }
		switch {
		case w.Start == endOfDay:
			all = append(all, problem(at("start"), w.Start.String(), "a window cannot begin at 24:00: write 00:00 and the next day"))
		case w.Start == w.End:
			all = append(all, problem(at("end"), w.End.String(), fmt.Sprintf(
				"start and end are both %s: for a whole day write start: \"00:00\" and end: \"24:00\"", w.End), at("start")))
		}
		if w.MinServers != nil && w.MaxServers != nil && *w.MaxServers > 0 && *w.MaxServers < *w.MinServers {
			all = append(all, problem(at("max_servers"), *w.MaxServers, fmt.Sprintf(
				"is less than min_servers %d: raise it or lower min_servers", *w.MinServers), at("min_servers")))
		}
		if w.Standby == nil && w.MinAvailableSessions == nil && w.MinServers == nil && w.MaxServers == nil {
			all = append(all, problem(fmt.Sprintf("spec.windows[%d]", i), nil,
				"changes nothing: give standby, min_available_sessions, min_servers or max_servers"))
		}
	}
	return all
}
