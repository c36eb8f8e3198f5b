package aws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
)

// TestFallThrough: offers are in order of preference, spot before on demand, and
// each machine begins with another subnet.
func TestFallThrough(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.Spot, s.OnDemandFallback = true, true
	d, ok := opened(t, s).(provider.Offerer)
	if !ok {
		t.Fatal("has no offers")
	}
	got := d.Offers()
	const x, y = "subnet-0000000000000000a", "subnet-0000000000000000b"
	want := []string{
		"m6i.large@" + x + "/spot", "m6i.large@" + y + "/spot", "m5.large@" + x + "/spot", "m5.large@" + y + "/spot",
		"m6i.large@" + x, "m6i.large@" + y, "m5.large@" + x, "m5.large@" + y,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, o := range want[:5] {
		a.SellOut(o, "InsufficientInstanceCapacity")
	}
	var made provider.Instance
	for n, o := range want {
		req := request("a")
		req.Token, req.Offer = fmt.Sprintf("t-%d", n), o
		var err error
		if made, err = opened(t, s).Create(t.Context(), req); err == nil {
			break
		}
		if provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), o) {
			t.Errorf("%s: %v", o, err)
		}
	}
	if made.Offer != want[5] || a.Asked(made.ID)["InstanceMarketOptions"] != nil {
		t.Errorf("the machine was made as %q", made.Offer)
	}
	// A type that the zone does not have is no fault of the settings.
	s.InstanceTypes = []string{"g4dn.xlarge"}
	req := request("b")
	req.Offer = "g4dn.xlarge@" + y
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.NoCapacity {
		t.Errorf("a type that the zone does not have: %v", err)
	}
	first := map[string]bool{}
	for n := range 8 {
		spread, err := aws.Kind().Open(t.Context(), s, provider.Host{Now: time.Now, Random: strings.NewReader(string(rune(n)))})
		if err != nil {
			t.Fatal(err)
		}
		offers, ok := spread.(provider.Offerer)
		if !ok {
			t.Fatal("has no offers")
		}
		got := offers.Offers()
		if len(got) != 4 {
			t.Fatal(got)
		}
		first[got[0]] = true
	}
	if len(first) != 2 {
		t.Errorf("machines are not spread over the subnets: they begin with %v", first)
	}
}
