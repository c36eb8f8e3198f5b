package oci_test

import (
	"context"
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
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// cloud is the fake behind TLS.
type cloud struct {
	fake    *fakeoci.Server
	url, ca string
}

var theCloud = sync.OnceValues(startCloud)

func startCloud() (*cloud, error) {
	fake, err := fakeoci.New()
	if err != nil {
		return nil, err
	}
	front := httptest.NewUnstartedServer(fake)
	front.EnableHTTP2 = false                                                       // connections are taken over to break them
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are what some tests want
	front.StartTLS()
	return &cloud{fake: fake, url: front.URL, ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))}, nil
}

// TestMain fails the run when a request broke the SDK's model: not every test
// would notice.
func TestMain(m *testing.M) {
	code := m.Run()
	if c, err := theCloud(); err == nil {
		for _, v := range c.fake.Violations() {
			fmt.Fprintln(os.Stderr, "against the SDK's model:", v)
			code = 1
		}
	}
	os.Exit(code)
}

func open(t *testing.T) *cloud {
	t.Helper()
	c, err := theCloud()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// account fills in how a tenancy is reached.
func (c *cloud) account(a *oci.Account, of *fakeoci.Tenancy) {
	a.Auth, a.TenancyOCID, a.UserOCID, a.Fingerprint, a.PrivateKey, a.Region = "api_key", of.Tenancy, of.User, fakeoci.Fingerprint, c.fake.Key(), fakeoci.Region
	a.Endpoint, a.CABundle = c.url, c.ca
}

// tenancy makes a tenancy and settings that work in it.
func tenancy(t *testing.T) (*oci.Settings, *fakeoci.Tenancy) {
	t.Helper()
	c := open(t)
	of := c.fake.NewTenancy()
	s := &oci.Settings{
		CompartmentOCID: of.Compartment, AvailabilityDomains: []string{fakeoci.Domain(1), fakeoci.Domain(2)},
		ImageOCID: of.Image, Shapes: []string{"VM.Standard.E5.Flex", "VM.Standard.E4.Flex"}, FlexOCPUs: 2, FlexMemory: 16,
		SubnetOCID: of.Subnet, NSGOCIDs: []string{of.NSG}, OSType: "linux",
	}
	c.account(&s.Account, of)
	return s, of
}

func opened(t *testing.T, s *oci.Settings) provider.Driver {
	t.Helper()
	d, err := oci.Kind().Open(t.Context(), s, provider.Host{Now: time.Now})
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

// gone is an id as instances have them, of none.
const gone = "ocid1.instance.oc1.eu-frankfurt-1.aaaaaaaanothing"

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: account})
}

func account(t *testing.T) providertest.Account {
	s, of := tenancy(t)
	windows := *s
	windows.OSType, windows.ImageOCID = "windows", of.Windows
	wrong := *s
	wrong.CABundle = providertest.OtherAuthority(t)
	spoil := func(f fakeoci.Fault) func(*testing.T) {
		return func(*testing.T) { of.Spoil(f) }
	}
	create := func(t *testing.T, d provider.Driver) error {
		_, err := d.Create(t.Context(), request("x"))
		return err
	}
	refused := func(f fakeoci.Fault) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			f.Method, f.Path = http.MethodPost, "/instances"
			of.Spoil(f)
			return create(t, d)
		}
	}
	return providertest.Account{
		Kind: oci.Kind(), Settings: s, WrongCA: &wrong, Secrets: []string{s.PrivateKey, strings.Split(s.PrivateKey, "\n")[3]}, Pages: 51,
		Foreign:    func(*testing.T) string { return of.Plant("somebody-elses", nil) },
		Exists:     func(_ *testing.T, id string) bool { return of.Asked(id) != "" },
		Leftovers:  func(*testing.T) []string { return of.Objects() },
		HideNew:    func(*testing.T) func() { of.Lag(time.Hour); return func() { of.Lag(0) } },
		LoseCreate: spoil(fakeoci.Fault{Method: http.MethodPost, Path: "/instances", Lose: true}),
		LoseDelete: spoil(fakeoci.Fault{Method: http.MethodDelete, Path: "/instances", Lose: true}),
		BreakList:  spoil(fakeoci.Fault{Path: "/20160918/instances", Status: http.StatusInternalServerError, Code: "InternalError", Message: "Internal error", After: 1}),
		LeaveRemnant: func(_ *testing.T, of2 provider.Tags) {
			of.PlantVolume("left-"+of2.Server+" (Boot Volume)", tags(of2))
		},
		UserData: func(_ *testing.T, id string) []byte { return of.UserData(id) },
		Tagged: func(*testing.T) map[string]provider.Tags {
			out := map[string]provider.Tags{}
			for name, have := range of.Tags() {
				out[name] = provider.Tags{Installation: have["headroom-installation"], Provider: have["headroom-provider"], AutoscaleConfig: have["headroom-autoscale"], Server: have["headroom-server"]}
			}
			return out
		},
		Expire: func(*testing.T) func() { of.Expire(true); return func() { of.Expire(false) } },
		Hang: func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			of.Spoil(fakeoci.Fault{Hang: ctx.Done()})
		},
		Interrupt: func(_ *testing.T, id string) { of.Maintain(id, time.Now().Add(24*time.Hour)) },
		// A launch that failed is over, so that nothing of it is left to be deleted,
		// and the service goes on to tell of it: TestStillborn stands for GiveUp.
		Stop:          func(_ *testing.T, id string) { of.State(id, "STOPPED") },
		Console:       func(*testing.T, string) []byte { return []byte(fakeoci.Console) },
		TakeRight:     func(*testing.T) string { of.Lack("VOLUME_INSPECT"); return "VOLUME_INSPECT" },
		Addresses:     func(_ *testing.T, id string) []string { return of.Addresses(id) },
		BreakRemnants: spoil(fakeoci.Fault{Path: "/bootVolumes", Status: http.StatusInternalServerError, Code: "InternalError", Message: "Internal error", After: 1}),
		WithPassword:  &windows, Throttle: 7 * time.Second,
		Password: func(_ *testing.T, id string) provider.Login {
			of.SetPassword(id, "Initial-1")
			return provider.Login{User: "opc", Password: "Initial-1"}
		},
		Override: &providertest.Override{
			With: func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
			Good: map[string]any{"launch_instance_details": map[string]any{
				"instance_options": map[string]any{"OCI_MODEL_NAME": "InstanceOptions", "are_legacy_imds_endpoints_disabled": true},
				"freeform_tags":    map[string]any{"team": "desk"}, "fault_domain": "FAULT-DOMAIN-2",
			}},
			Shown: func(_ *testing.T, id string) string {
				asked := of.Asked(id)
				for _, part := range []string{`"instanceOptions":{"areLegacyImdsEndpointsDisabled":true}`, `"team":"desk"`, `"faultDomain":"FAULT-DOMAIN-2"`} {
					if !strings.Contains(asked, part) {
						return asked
					}
				}
				return ""
			},
			Bad:     map[string]any{"launch_instance_details": map[string]any{"instance_options": map[string]any{"are_legacy_imds_disabled": true}}},
			BadPath: "launch_instance_details.instance_options.are_legacy_imds_disabled",
			Hostile: []map[string]any{
				{"display_name": "stolen"},
				{"display_name": nil},
				{"freeform_tags": nil},
				{"freeform_tags": map[string]any{"headroom-server": "stolen"}},
				{"create_vnic_details": nil},
				{"create_vnic_details": map[string]any{"freeform_tags": nil, "display_name": "stolen"}},
				{"metadata": nil},
				{"metadata": map[string]any{"user_data": "IyEvYmluL3No"}},
				{"source_details": nil},
				{"compartment_id": "stolen"},
				{"launch_instance_details": map[string]any{"freeform_tags": map[string]any{"headroom-provider": nil}}},
			},
		},
		Calls: of.Calls, LifeCalls: 4, // launch; terminate; look at it, and whether its launch had failed
		Provoke: map[provider.Class]func(*testing.T, provider.Driver) error{
			provider.NotFound: func(t *testing.T, d provider.Driver) error { return d.Delete(t.Context(), gone) },
			provider.Invalid: func(t *testing.T, _ provider.Driver) error {
				bad := *s
				bad.ImageOCID = of.Arm
				return create(t, opened(t, &bad))
			},
			provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
				of.Expire(true)
				defer of.Expire(false)
				return create(t, d)
			},
			provider.Forbidden: func(t *testing.T, d provider.Driver) error {
				of.Lack("INSTANCE_CREATE")
				defer of.Lack()
				return create(t, d)
			},
			provider.Quota: func(t *testing.T, d provider.Driver) error {
				of.Limit(0)
				defer of.Limit(1000)
				return create(t, d)
			},
			provider.NoCapacity: func(t *testing.T, d provider.Driver) error {
				at := s.Shapes[0] + "@" + s.AvailabilityDomains[0]
				of.SellOut(at, "at once")
				defer of.SellOut(at, "")
				return create(t, d)
			},
			provider.RateLimited: func(t *testing.T, d provider.Driver) error {
				return refused(fakeoci.Fault{
					Status: http.StatusTooManyRequests, Code: "TooManyRequests", Message: "Too many requests for the user", Header: map[string]string{"Retry-After": "7"},
				})(t, d)
			},
			provider.Conflict: func(t *testing.T, d provider.Driver) error {
				i, err := d.Create(t.Context(), request("again"))
				if err != nil {
					return err
				}
				if err := d.Delete(t.Context(), i.ID); err != nil {
					return err
				}
				_, err = d.Create(t.Context(), request("again"))
				return err
			},
			provider.Unavailable: refused(fakeoci.Fault{Status: http.StatusInternalServerError, Code: "InternalError", Message: "An internal server error has occurred."}),
			provider.Unsupported: refused(fakeoci.Fault{Status: http.StatusNotImplemented, Code: "MethodNotImplemented", Message: "Not implemented"}),
		},
	}
}
