package azure_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// cloud is the fake behind TLS.
type cloud struct {
	fake    *fakeazure.Server
	url, ca string
}

var theCloud = sync.OnceValue(func() *cloud {
	c, _ := startCloud()
	return c
})

func startCloud() (*cloud, *httptest.Server) {
	fake := fakeazure.New()
	front := httptest.NewUnstartedServer(fake)
	front.EnableHTTP2 = false                                                       // connections are taken over to break them
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are what some tests want
	front.StartTLS()
	return &cloud{fake: fake, url: front.URL, ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))}, front
}

// TestMain fails the run when a request broke the model: not every test would
// notice.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, v := range theCloud().fake.Violations() {
		fmt.Fprintln(os.Stderr, "against Azure's API:", v)
		code = 1
	}
	os.Exit(code)
}

const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJt1h2Q3fHk1mQmE5B0f0m2D0yqk6kqkqkqkqkqkqkqk admin@example.com"

// subscription makes a subscription and settings that work in it.
func subscription(t *testing.T) (*azure.Settings, *fakeazure.Subscription) {
	t.Helper()
	c := theCloud()
	p := c.fake.NewSubscription()
	s := &azure.Settings{
		ResourceGroup: p.Group, Region: p.Region, VMSize: []string{"Standard_D2s_v5", "Standard_D4as_v5"}, AvailabilityZones: []string{"1", "2"},
		Image: "Canonical:ubuntu-24_04-lts:server:latest", NetworkSecurityGroup: "desktops", Subnet: "office/desktops", PublicIP: true,
		OSDiskType: "Premium_LRS", OSUsername: "headroom", SSHPublicKey: sshKey,
	}
	s.Account = account(c, p)
	return s, p
}

func account(c *cloud, p *fakeazure.Subscription) azure.Account {
	a := azure.Account{TenantID: p.Tenant, ClientID: p.Client, ClientSecret: p.Secret, SubscriptionID: p.ID, Authority: "custom", AuthorityHost: c.url, Endpoint: c.url}
	a.CABundle = c.ca
	return a
}

// windows makes the settings those of machines with Windows.
func windows(s *azure.Settings) {
	s.Windows, s.Image, s.OSPassword, s.SSHPublicKey = true, "MicrosoftWindowsServer:WindowsServer:2022-datacenter-azure-edition:latest", "Corr3ct-horse.battery", ""
}

func opened(t *testing.T, s *azure.Settings) provider.Driver {
	t.Helper()
	d, err := azure.Kind().Open(t.Context(), s, provider.Host{Now: time.Now})
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

func tags(t provider.Tags) map[string]*string {
	return map[string]*string{"headroom-installation": &t.Installation, "Headroom-Provider": &t.Provider, "headroom-autoscale": &t.AutoscaleConfig, "headroom-server": &t.Server}
}

// at finds a value in a document by its path.
func at(doc any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := doc.(map[string]any)
			doc = m[s]
		case int:
			l, _ := doc.([]any)
			if s >= len(l) {
				return nil
			}
			doc = l[s]
		}
	}
	return doc
}

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
		s, p := subscription(t)
		a := harness(t, s, p)
		a.UserData = func(t *testing.T, id string) []byte {
			text, _ := at(p.Asked(id), "properties", "osProfile", "customData").(string)
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Error(err)
			}
			return data
		}
		return a
	}})
}

func TestConformanceWindows(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
		s, p := subscription(t)
		windows(s)
		s.AvailabilityZones, s.PublicIP = nil, false
		a := harness(t, s, p)
		a.Secrets = append(a.Secrets, s.OSPassword)
		a.ScriptRuns = func(_ *testing.T, id string) int { return p.Runs(id) }
		return a
	}})
}

func harness(t *testing.T, s *azure.Settings, p *fakeazure.Subscription) providertest.Account {
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	spoil := func(f fakeazure.Fault) func(*testing.T) {
		return func(*testing.T) { p.Spoil(f) }
	}
	create := func(t *testing.T, d provider.Driver) error {
		_, err := d.Create(t.Context(), request("x"))
		return err
	}
	const machines = "/virtualMachines"
	return providertest.Account{
		Kind: azure.Kind(), Settings: s, WrongCA: &wrong, Secrets: []string{p.Secret, "eyJ0."}, Pages: 51,
		Foreign: func(*testing.T) string {
			p.Plant("somebody-elses", nil)
			return "somebody-elses"
		},
		Exists:       func(_ *testing.T, id string) bool { return p.Asked(id) != nil },
		Leftovers:    func(*testing.T) []string { return p.Objects() },
		HideNew:      func(*testing.T) func() { return p.HideNew() },
		LoseCreate:   spoil(fakeazure.Fault{Method: http.MethodPut, Path: machines, Lose: true}),
		LoseDelete:   spoil(fakeazure.Fault{Method: http.MethodDelete, Path: machines, Lose: true}),
		BreakList:    spoil(fakeazure.Fault{Path: "/resourceGroups/desktops/providers/Microsoft.Compute/virtualMachines?", After: 1, Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "The service is unavailable now, please retry the request later."}),
		LeaveRemnant: func(_ *testing.T, t provider.Tags) { p.PlantRemnants("left-"+t.Server+"-"+t.Provider, tags(t)) },
		Tagged: func(*testing.T) map[string]provider.Tags {
			out := map[string]provider.Tags{}
			for name, all := range p.Tags() {
				out[name] = provider.Tags{Installation: all["headroom-installation"], Provider: all["headroom-provider"], AutoscaleConfig: all["headroom-autoscale"], Server: all["headroom-server"]}
			}
			return out
		},
		BreakRemnants: spoil(fakeazure.Fault{Path: "/publicIPAddresses?", Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "The service is unavailable now, please retry the request later."}),
		Addresses:     func(_ *testing.T, id string) []string { return p.Addresses(id) },
		Stop:          func(_ *testing.T, id string) { p.Power(id, "stopped") },
		GiveUp: func(_ *testing.T, id string) provider.Class {
			p.Power(id, "")
			p.Provisioning(id, "Failed", "ZonalAllocationFailed")
			return provider.NoCapacity
		},
		Console: func(_ *testing.T, id string) []byte {
			text := strings.Repeat("[  OK  ] Reached target\r\n", 50)
			p.Say(id, strings.Repeat("earlier\n", 40000)+text)
			return []byte(text)
		},
		TakeRight: func(*testing.T) string {
			p.Lack("Microsoft.Compute/virtualMachines/delete")
			return "Microsoft.Compute/virtualMachines/delete"
		},
		Throttle: 7 * time.Second,
		Expire:   func(*testing.T) func() { p.Expire(true); return func() { p.Expire(false) } },
		Hang: func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			p.Spoil(fakeazure.Fault{Hang: ctx.Done()})
		},
		Override: &providertest.Override{
			With: func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
			Good: map[string]any{
				"identity": map[string]any{"type": "SystemAssigned"}, "tags": map[string]any{"team": "desk"},
				"properties": map[string]any{"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": map[string]any{"maxPrice": 0.25}, "licenseType": "None"},
			},
			Shown: func(_ *testing.T, id string) string {
				asked := p.Asked(id)
				if at(asked, "identity", "type") != "SystemAssigned" || at(asked, "tags", "team") != "desk" || at(asked, "properties", "priority") != "Spot" ||
					at(asked, "properties", "evictionPolicy") != "Deallocate" || at(asked, "properties", "billingProfile", "maxPrice") != 0.25 || at(asked, "properties", "licenseType") != "None" {
					return fmt.Sprint(asked)
				}
				return ""
			},
			Bad:     map[string]any{"properties": map[string]any{"billingProfile": map[string]any{"maximalPrice": 1}}},
			BadPath: "properties.billingProfile.maximalPrice",
			Hostile: []map[string]any{
				{"tags": nil},
				{"tags": map[string]any{"HEADROOM-SERVER": "stolen"}},
				{"properties": map[string]any{"osProfile": map[string]any{"computerName": "stolen", "customData": ""}}},
				{"properties": map[string]any{"storageProfile": map[string]any{"osDisk": map[string]any{"name": "kept", "deleteOption": "Detach"}}}},
				{"properties": map[string]any{"networkProfile": map[string]any{"networkInterfaceConfigurations": []any{map[string]any{
					"name": "kept", "tags": map[string]any{"Headroom-Server": "stolen"}, "properties": map[string]any{
						"deleteOption": "Detach", "primary": true, "ipConfigurations": []any{map[string]any{"name": "a", "properties": map[string]any{
							"primary": true, "subnet": map[string]any{"id": "/subscriptions/" + p.ID + "/resourceGroups/desktops/providers/Microsoft.Network/virtualNetworks/office/subnets/desktops"},
							"publicIPAddressConfiguration": map[string]any{"name": "kept-ip", "properties": map[string]any{"deleteOption": "Detach"}},
						}}},
					},
				}}}}},
			},
		},
		Calls: p.Calls, LifeCalls: 3, // make it; delete it; find it gone
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error { return d.Delete(t.Context(), "nothing") },
			provider.Invalid: func(t *testing.T, _ provider.Driver) error {
				bad := *s
				bad.Image = "Canonical:ubuntu-24_04-lts:no-such-sku:latest"
				return create(t, opened(t, &bad))
			},
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				p.Expire(true)
				defer p.Expire(false)
				return create(t, d)
			},
			provider.Forbidden: func(t *testing.T, d provider.Driver) error {
				p.Lack("Microsoft.Compute/virtualMachines/write")
				defer p.Lack()
				return create(t, d)
			},
			provider.Quota: func(t *testing.T, d provider.Driver) error {
				p.Limit(0)
				defer p.Limit(1000)
				return create(t, d)
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				o, ok := d.(provider.Offerer)
				if !ok {
					o, _ = opened(t, s).(provider.Offerer)
				}
				names := o.Offers()
				p.SellOut(names[0], "SkuNotAvailable", false)
				defer p.SellOut(names[0], "", false)
				return create(t, d)
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				p.Spoil(fakeazure.Fault{
					Path: machines, Status: http.StatusTooManyRequests, Code: "OperationNotAllowed",
					Header:  map[string]string{"Retry-After": "7", "X-Ms-Ratelimit-Remaining-Resource": "Microsoft.Compute/PutVM3Min;0,Microsoft.Compute/PutVM30Min;107"},
					Message: "The server rejected the request because too many requests have been received for this subscription.",
				})
				err := create(t, d)
				if after := provider.RetryAfter(err); after != 7*time.Second || !strings.Contains(err.Error(), "used up: Microsoft.Compute/PutVM3Min)") {
					return fmt.Errorf("the time to wait is %v, expected 7s and the limit that is used up: %w", after, err)
				}
				return err
			},
			provider.Conflict: func(t *testing.T, d provider.Driver) error {
				p.Plant("hr-taken", nil)
				_, err := d.Create(t.Context(), request("taken"))
				return err
			},
			provider.Unavailable: func(t *testing.T, d provider.Driver) error {
				p.Spoil(fakeazure.Fault{Path: machines, Status: http.StatusInternalServerError, Code: "InternalServerError", Message: "An unexpected error occurred while processing the request."})
				return create(t, d)
			},
			provider.Unknown: func(t *testing.T, d provider.Driver) error {
				p.Spoil(fakeazure.Fault{Path: machines, Status: http.StatusTeapot, Code: "SomethingNew", Message: "A new thing."})
				return create(t, d)
			},
			provider.Unsupported: func(t *testing.T, d provider.Driver) error {
				p.Spoil(fakeazure.Fault{Path: machines, Status: http.StatusBadRequest, Code: "NoRegisteredProviderFound", Message: "No registered resource provider found for location 'westeurope' and API version '2026-04-01' for type 'virtualMachines'."})
				return create(t, d)
			},
		},
		// Azure gives notice of an eviction inside of the machine only, and makes no
		// passwords: Interrupt and Password stay empty.
	}
}
