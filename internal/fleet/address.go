package fleet

import (
	"net/netip"
	"regexp"
	"strings"
)

var (
	hostRule    = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*\.?$`)
	numericTail = regexp.MustCompile(`(^|\.)[0-9]+\.?$`)
)

// IsAddress says that text is an IP address or a host name, at which a machine
// can be reached. A name whose last label is a number is none: it is a mistyped
// IPv4 address.
func IsAddress(text string) bool {
	if ip, err := netip.ParseAddr(text); err == nil {
		return !ip.IsUnspecified()
	}
	return len(strings.TrimSuffix(text, ".")) <= 253 && hostRule.MatchString(text) && !numericTail.MatchString(text)
}
