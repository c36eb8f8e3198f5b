package aws_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider/aws"
)

func TestPriceItems(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, c := range []struct {
		settings aws.Settings
		offer    string
		want     []price.Item
	}{
		{
			aws.Settings{Region: "eu-central-1", InstanceTypes: []string{"m6i.large", "m5.large"}, PublicIP: &no, RootVolumeSize: 30, RootVolumeType: "gp2"},
			"",
			[]price.Item{
				{Part: price.Machine, Name: "m6i.large", Region: "eu-central-1", OS: "linux", Market: price.OnDemand},
				{Part: price.Disk, Name: "gp2", Region: "eu-central-1", Quantity: 30},
			},
		},
		{
			aws.Settings{Region: "us-east-1", InstanceTypes: []string{"m6i.large", "m5.large"}, Spot: true, PublicIP: &yes, OSType: "windows"},
			"m5.large/spot",
			[]price.Item{
				{Part: price.Machine, Name: "m5.large", Region: "us-east-1", OS: "windows", Market: price.Spot},
				{Part: price.Disk, Name: "gp3", Region: "us-east-1", Quantity: price.Unsaid},
				{Part: price.Address, Region: "us-east-1"},
			},
		},
		{
			aws.Settings{Region: "us-east-1", InstanceTypes: []string{"m5.large"}, RootVolumeSize: 8},
			"m5.large",
			[]price.Item{
				{Part: price.Machine, Name: "m5.large", Region: "us-east-1", OS: "linux", Market: price.OnDemand},
				{Part: price.Disk, Name: "gp3", Region: "us-east-1", Quantity: 8},
				{Part: price.Address, Region: "us-east-1", Quantity: price.Unsaid},
			},
		},
		{aws.Settings{Region: "us-east-1", InstanceTypes: []string{"m5.large"}}, "no such thing", nil},
	} {
		if diff := cmp.Diff(c.want, c.settings.PriceItems(c.offer)); diff != "" {
			t.Errorf("%q:\n%s", c.offer, diff)
		}
	}
}
