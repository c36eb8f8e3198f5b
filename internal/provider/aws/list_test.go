package aws_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/aws"
)

// TestListPrices adds up what AWS bills, by the list that is part of the program.
func TestListPrices(t *testing.T) {
	t.Parallel()
	list, err := price.List()
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	base := aws.Settings{Region: "us-east-1", InstanceTypes: []string{"m7i.large", "m6i.large"}, SubnetIDs: []string{"subnet-0a1b2c3d4e5f60718"}, RootVolumeType: "gp3", RootVolumeSize: 73, PublicIP: &no}
	for name, c := range map[string]struct {
		change func(*aws.Settings)
		offer  string
		want   string
	}{
		"the first type":          {func(*aws.Settings) {}, "", "0.1088 USD/h"},
		"an offer":                {func(*aws.Settings) {}, "m6i.large@subnet-0a1b2c3d4e5f60718", "0.104 USD/h"},
		"a choice of the catalog": {func(*aws.Settings) {}, "m5.large", "0.104 USD/h"},
		"a public address":        {func(s *aws.Settings) { s.PublicIP = &yes }, "", "0.1138 USD/h"},
		"Windows":                 {func(s *aws.Settings) { s.OSType = "windows" }, "", "0.2008 USD/h"},
		"Windows on ARM":          {func(s *aws.Settings) { s.OSType = "windows" }, "m7g.large", "unknown (no price for machine m7g.large with Windows in us-east-1)"},
		"another type of volume":  {func(s *aws.Settings) { s.RootVolumeType = "gp2" }, "", "0.1108 USD/h"},
		"operations that are paid": {
			func(s *aws.Settings) { s.RootVolumeType = "io2" }, "", "at least 0.1008 USD/h (no price for disk io2 in us-east-1)",
		},
		"spot":              {func(s *aws.Settings) { s.Spot = true }, "", "unknown (no price for machine m7i.large (spot) in us-east-1)"},
		"a spot offer":      {func(s *aws.Settings) { s.Spot = true }, "m7i.large@subnet-0a1b2c3d4e5f60718/spot", "unknown (no price for machine m7i.large (spot) in us-east-1)"},
		"Windows on spot":   {func(s *aws.Settings) { s.Spot, s.OSType = true, "windows" }, "", "unknown (no price for machine m7i.large with Windows (spot) in us-east-1)"},
		"another region":    {func(s *aws.Settings) { s.Region = "eu-central-1" }, "", "0.1303 USD/h"},
		"an unknown region": {func(s *aws.Settings) { s.Region = "xx-west-9" }, "", "unknown (no price for machine m7i.large in xx-west-9, disk gp3 in xx-west-9)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := base
			c.change(&s)
			if got := list.Quote(aws.KindName, s.PriceItems(c.offer)).String(); got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}
