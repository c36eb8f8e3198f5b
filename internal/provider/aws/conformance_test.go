package aws_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// cloud is the fake behind TLS, held against botocore's service models.
type cloud struct {
	fake    *fakeaws.Server
	url, ca string
}

var (
	theModel = sync.OnceValues(func() (*fakeaws.Model, error) { return fakeaws.LoadModel(fakeaws.DebianDir) })
	theCloud = sync.OnceValues(func() (*cloud, error) {
		model, err := theModel()
		if err != nil {
			return nil, err
		}
		fake := fakeaws.New(model)
		front := httptest.NewUnstartedServer(fake)
		front.EnableHTTP2 = false                                                       // connections are taken over to break them
		front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are what some tests want
		front.StartTLS()
		return &cloud{fake: fake, url: front.URL, ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))}, nil
	})
)

// TestMain fails the run when a request or an answer broke the model: not every
// test would notice.
func TestMain(m *testing.M) {
	code := m.Run()
	if c, err := theCloud(); err == nil {
		for _, v := range c.fake.Violations() {
			fmt.Fprintln(os.Stderr, "against botocore's service models:", v)
			code = 1
		}
	}
	os.Exit(code)
}

func start(t *testing.T) *cloud {
	t.Helper()
	c, err := theCloud()
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: the service models of EC2, STS and Route 53 are missing (%v): install the Debian package %s, which puts them into %s", err, fakeaws.Debian, fakeaws.DebianDir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// account makes an account and settings that work in it.
func account(t *testing.T) (*aws.Settings, *fakeaws.Account) {
	t.Helper()
	c := start(t)
	keys, a := c.fake.NewAccount()
	s := &aws.Settings{
		Region: "eu-central-1", AMIID: "ami-000000000000000a0", InstanceTypes: []string{"m6i.large", "m5.large"},
		SubnetIDs: []string{"subnet-0000000000000000a", "subnet-0000000000000000b"}, SecurityGroupIDs: []string{"sg-0000000000000000a"}, RootVolumeType: "gp3",
	}
	s.AccessKeyID, s.SecretAccessKey, s.Endpoint, s.STSEndpoint, s.CABundle = keys.ID, keys.Secret, c.url, c.url, c.ca
	return s, a
}

func opened(t *testing.T, s *aws.Settings) provider.Driver {
	t.Helper()
	d, err := aws.Kind().Open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func request(server string) provider.Request {
	return provider.Request{
		Token: "t-" + server, Name: "hr-" + server,
		Tags:      provider.Tags{Installation: "01ji", Provider: "p", AutoscaleConfig: "c", Server: server},
		Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
	}
}

func tags(t provider.Tags) map[string]string {
	return map[string]string{"headroom-installation": t.Installation, "headroom-provider": t.Provider, "headroom-autoscale": t.AutoscaleConfig, "headroom-server": t.Server}
}

const firstOffer = "m6i.large@subnet-0000000000000000a"

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: harness})
}

func harness(t *testing.T) providertest.Account {
	s, a := account(t)
	s.Spot, s.OnDemandFallback = true, true
	key := testKey(t)
	s.KeyName, s.PrivateKey, s.RetrieveWindowsPassword, s.OSType = "desk", pemOf(key), true, "windows"
	s.AMIID = "ami-000000000000000e0"
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	spoil := func(f fakeaws.Fault) func(*testing.T) {
		return func(*testing.T) { a.Spoil(f) }
	}
	create := func(t *testing.T, d provider.Driver) error {
		_, err := d.Create(t.Context(), request("x"))
		return err
	}
	refused := func(f fakeaws.Fault) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			a.Spoil(f)
			return create(t, d)
		}
	}
	return providertest.Account{
		Kind: aws.Kind(), Settings: s, WrongCA: &wrong, Secrets: []string{s.AccessKeyID, s.SecretAccessKey, "PRIVATE KEY"}, Pages: 51,
		Foreign:    func(*testing.T) string { return a.Plant() },
		Exists:     func(_ *testing.T, id string) bool { return a.Asked(id) != nil },
		Leftovers:  func(*testing.T) []string { return a.Objects() },
		HideNew:    func(*testing.T) func() { a.Lag(time.Hour); return a.ShowAll },
		LoseCreate: spoil(fakeaws.Fault{Name: "RunInstances", Lose: true}),
		LoseDelete: spoil(fakeaws.Fault{Name: "TerminateInstances", Lose: true}),
		BreakList:  spoil(fakeaws.Fault{Name: "DescribeInstances", Status: http.StatusServiceUnavailable, Code: "Unavailable", Message: "The server is overloaded and can't handle the request.", After: 1}),
		LeaveRemnant: func(_ *testing.T, t provider.Tags) {
			a.PlantVolume(tags(t))
			a.PlantNIC(tags(t))
		},
		UserData: func(_ *testing.T, id string) []byte { return a.UserData(id) },
		Tagged: func(*testing.T) map[string]provider.Tags {
			out := map[string]provider.Tags{}
			for name, l := range a.Tags() {
				out[name] = provider.Tags{Installation: l["headroom-installation"], Provider: l["headroom-provider"], AutoscaleConfig: l["headroom-autoscale"], Server: l["headroom-server"]}
			}
			return out
		},
		BreakRemnants: spoil(fakeaws.Fault{Name: "DescribeNetworkInterfaces", Status: http.StatusServiceUnavailable, Code: "Unavailable", Message: "The server is overloaded and can't handle the request."}),
		Addresses:     func(_ *testing.T, id string) []string { return a.Addresses(id) },
		Stop:          func(_ *testing.T, id string) { a.Stop(id) },
		GiveUp: func(_ *testing.T, id string) provider.Class {
			a.GiveUp(id)
			return provider.NoCapacity
		},
		Console: func(_ *testing.T, id string) []byte {
			text := strings.Repeat("kernel: something went wrong\r\n", 8)
			a.Write(id, text)
			return []byte(text)
		},
		TakeRight: func(*testing.T) string {
			a.Lack("ec2:RunInstances")
			return "ec2:RunInstances"
		},
		Throttle: 7 * time.Second,
		Expire:   func(*testing.T) func() { a.Expire(true); return func() { a.Expire(false) } },
		Hang: func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			a.Spoil(fakeaws.Fault{Hang: ctx.Done()})
		},
		Override: &providertest.Override{
			With: func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
			Good: map[string]any{"instance_config": map[string]any{
				"CreditSpecification": map[string]any{"CpuCredits": "standard"}, "EbsOptimized": false,
				"MetadataOptions":       map[string]any{"HttpPutResponseHopLimit": 2},
				"InstanceMarketOptions": map[string]any{"SpotOptions": map[string]any{"MaxPrice": "0.10", "ValidUntil": "2027-01-01"}},
			}},
			Shown: func(_ *testing.T, id string) string {
				asked := a.Asked(id)
				credit, _ := asked["CreditSpecification"].(map[string]any)
				meta, _ := asked["MetadataOptions"].(map[string]any)
				market, _ := asked["InstanceMarketOptions"].(map[string]any)
				options, _ := market["SpotOptions"].(map[string]any)
				if credit["CpuCredits"] != "standard" || asked["EbsOptimized"] != false || meta["HttpPutResponseHopLimit"] != int64(2) || meta["HttpTokens"] != "required" ||
					options["MaxPrice"] != "0.10" || options["ValidUntil"] != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) || options["SpotInstanceType"] != "one-time" {
					return fmt.Sprint(asked)
				}
				return ""
			},
			Bad:     map[string]any{"MetadataOptions": map[string]any{"HttpToken": "required"}},
			BadPath: "MetadataOptions.HttpToken",
			Hostile: []map[string]any{
				{"TagSpecifications": []any{}},
				{"TagSpecifications": nil},
				{"UserData": "x"},
				{"UserData": nil},
				{"ClientToken": nil},
				{"MinCount": 0, "MaxCount": 0},
				{"instance_config": map[string]any{"TagSpecifications": []any{map[string]any{"ResourceType": "instance", "Tags": []any{map[string]any{"Key": "headroom-server", "Value": "x"}}}}}},
				{"BlockDeviceMappings": []any{map[string]any{"DeviceName": "/dev/sda1", "Ebs": map[string]any{"DeleteOnTermination": false}}}},
				{"NetworkInterfaces": []any{map[string]any{"DeviceIndex": 0, "DeleteOnTermination": false}, map[string]any{"DeviceIndex": 1}}},
			},
		},
		Calls: a.Calls, LifeCalls: 4, // look at the image; make it; delete it; find it gone
		Interrupt: func(_ *testing.T, id string) { a.Interrupt(id) },
		Password: func(t *testing.T, id string) provider.Login {
			if err := a.MakePassword(id, "Pa$$w0rd-ü", &key.PublicKey); err != nil {
				t.Fatal(err)
			}
			return provider.Login{User: "Administrator", Password: "Pa$$w0rd-ü"}
		},
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error { return d.Delete(t.Context(), "i-0123456789abcdef0") },
			provider.Invalid: func(t *testing.T, _ provider.Driver) error {
				wrong := *s
				wrong.AMIID = "ami-0123456789abcdef0"
				return create(t, opened(t, &wrong))
			},
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				a.Expire(true)
				defer a.Expire(false)
				return create(t, d)
			},
			provider.Forbidden: func(t *testing.T, d provider.Driver) error {
				a.Lack("ec2:RunInstances")
				defer a.Lack()
				return create(t, d)
			},
			provider.Quota: func(t *testing.T, _ provider.Driver) error {
				a.Limit(0)
				defer a.Limit(1000)
				onDemand := *s
				onDemand.Spot, onDemand.OnDemandFallback = false, false
				return create(t, opened(t, &onDemand))
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				a.SellOut(firstOffer+"/spot", "InsufficientInstanceCapacity")
				defer a.SellOut(firstOffer+"/spot", "")
				return create(t, d)
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				return refused(fakeaws.Fault{Name: "RunInstances", Status: http.StatusServiceUnavailable, Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Header: map[string]string{"Retry-After": "7"}})(t, d)
			},
			provider.Conflict: func(t *testing.T, d provider.Driver) error {
				req := request("protected")
				i, err := d.Create(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				a.Protect(i.ID, true)
				defer a.Protect(i.ID, false)
				return d.Delete(t.Context(), i.ID)
			},
			provider.Unavailable: refused(fakeaws.Fault{Name: "RunInstances", Status: http.StatusInternalServerError, Code: "InternalError", Message: "An internal error has occurred."}),
			provider.Unsupported: func(t *testing.T, _ provider.Driver) error {
				off := *s
				off.RetrieveWindowsPassword = false
				p, ok := opened(t, &off).(provider.PasswordReader)
				if !ok {
					return errors.New("no password can be read")
				}
				_, err := p.Password(t.Context(), "i-0123456789abcdef0")
				return err
			},
		},
	}
}
