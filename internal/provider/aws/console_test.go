package aws_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestConsole: the last bytes; of old instance types what there is.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, _ := account(t)
	s.InstanceTypes = []string{"m6i.large", "t2.small"}
	for _, o := range []string{firstOffer, "t2.small@subnet-0000000000000000a"} {
		d := opened(t, s)
		req := request(strings.Split(o, ".")[0])
		req.Offer = o
		i, err := d.Create(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		c, ok := d.(provider.ConsoleReader)
		if !ok {
			t.Fatal("has no console")
		}
		for limit, want := range map[int64]string{7: "login: ", 0: "", 1 << 20: "[    0.000000] Linux version 6.1.0\ncloud-init: words of the script\nlogin: "} {
			got, err := c.Console(t.Context(), i.ID, limit)
			if err != nil || string(got) != want {
				t.Errorf("%s, the last %d bytes: %q, %v", o, limit, got, err)
			}
		}
	}
}
