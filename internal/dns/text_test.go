package dns_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/dns"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": `""`, "v=spf1 -all": `"v=spf1 -all"`, `a "b" \c`: `"a \"b\" \\c"`,
		strings.Repeat("x", 256): `"` + strings.Repeat("x", 255) + `" "x"`,
	} {
		if got := dns.Quote(text); got != want {
			t.Errorf("%q is %s, expected %s", text, got, want)
		}
	}
	for _, text := range []string{"", " ", "plain", `ü"\ `, strings.Repeat(`ü"\ `, 200), "1\\065", "tab\tnewline\n"} {
		if got := dns.Unquote(dns.Quote(text)); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"": "", "plain text": "plain text", `"v=spf1 " "-all"`: "v=spf1 -all", `"\195\188ber"`: "über", `"\999"`: "999", `"a\"b"`: `a"b`, `"open`: "open", `\`: `\`, `"12\0"`: "120",
	} {
		if got := dns.Unquote(data); got != want {
			t.Errorf("%s is %q, expected %q", data, got, want)
		}
	}
}
