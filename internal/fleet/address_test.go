package fleet_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
)

func TestIsAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"10.0.0.7": true, "2001:db8::1": true, "fe80::1%eth0": true, "rack-1": true, "Rack-1.example.com": true, "host.": true, "1password.example": true,
		"": false, "foo bar": false, "http://x/y": false, "host:22": false, "10.0.0.300": false, "10.0.0": false, "0.0.0.0": false, "::": false,
		"-x": false, "a..b": false, "räck": false, strings.Repeat("a", 64): false, strings.Repeat("a.", 130): false,
	} {
		if got := fleet.IsAddress(text); got != want {
			t.Errorf("IsAddress(%q) = %v", text, got)
		}
	}
}
