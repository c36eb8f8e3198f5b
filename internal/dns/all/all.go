// Package all lists the kinds of DNS services that are built into Headroom.
package all

import "github.com/headroom-dev/headroom/internal/dns"

// Kinds lists every kind, in order of name.
func Kinds() []dns.Kind { return nil }
