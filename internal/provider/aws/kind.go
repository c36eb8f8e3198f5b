package aws

import (
	"context"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// KindName is the name of the kind in a provider config.
const KindName = "aws"

// scriptLimit is what user data hold before they are encoded.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
const scriptLimit = 16 << 10

// Kind describes instances of EC2.
func Kind() provider.Kind {
	return provider.KindOf(provider.Kind{
		Name: KindName, Title: "Amazon EC2", About: "Machines are EC2 instances.", VM: true,
		// RunInstances is admitted 5 times at once and 2 times a second after that,
		// in an account and region; calls that look are admitted 20 times a second.
		// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
		Defaults: provider.Defaults{
			RateLimit: 10, Concurrency: 16, CallTimeout: provider.MaxCallTimeout,
			BusyInterval: 5 * time.Second, RestInterval: 30 * time.Second, Grace: 2 * time.Minute,
			CreateBurst: 5, CreateRate: 1.5,
		},
	}, channel, open)
}

// channel says how startup scripts reach machines made with the settings.
func channel(s Settings) startup.Channel {
	c := startup.Channel{Form: startup.FormCloudInit, Limit: scriptLimit}
	if s.windows() {
		c.Form, c.System = startup.FormEC2Launch, startup.Windows
	}
	return c
}

// driver makes instances in one region of one account.
type driver struct {
	settings Settings
	*clients
	api    *ec2.Client
	now    func() time.Time
	random io.Reader
}

func open(_ context.Context, s Settings, host provider.Host) (*driver, error) {
	c, err := s.open(s.Region)
	if err != nil {
		return nil, err
	}
	return &driver{settings: s, clients: c, api: c.ec2(s.Endpoint), now: host.Now, random: host.Random}, nil
}
