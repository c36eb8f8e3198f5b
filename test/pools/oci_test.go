package pools_test

import (
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
	"github.com/headroom-dev/headroom/test/pools"
)

func TestOCI(t *testing.T) {
	t.Parallel()
	fake, err := fakeoci.New()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(fake)
	t.Cleanup(srv.Close)
	of := fake.NewTenancy()
	// The first availability domain has no room, and the second takes every launch
	// and has none then: the pool must come to life in the third.
	of.SellOut("VM.Standard.E5.Flex@"+fakeoci.Domain(1), "at once")
	of.SellOut("VM.Standard.E5.Flex@"+fakeoci.Domain(2), "later")
	pools.Run(t, pools.Pool{
		Kind:   oci.KindName,
		Script: "#!/bin/sh\necho {server_hostname}\n",
		Settings: map[string]any{
			"tenancy_ocid": of.Tenancy, "user_ocid": of.User, "fingerprint": fakeoci.Fingerprint, "private_key": fake.Key(), "region": fakeoci.Region, "endpoint": srv.URL,
			"compartment_ocid": of.Compartment, "availability_domains": []string{fakeoci.Domain(1), fakeoci.Domain(2), fakeoci.Domain(3)}, "image_ocid": of.Image,
			"shape": []string{"VM.Standard.E5.Flex"}, "flex_ocpus": 2, "flex_memory": 16, "subnet_ocid": of.Subnet, "nsg_ocids": []string{of.NSG}, "freeform_tags": map[string]string{"team": "desk"},
			"config_override": map[string]any{"launch_instance_details": map[string]any{"instance_options": map[string]any{"are_legacy_imds_endpoints_disabled": true}}},
			"ca_bundle":       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		},
		Machines:  func(*testing.T) int { return of.Instances() },
		Leftovers: func(*testing.T) []string { return of.Objects() },
	})
	if left := fake.Violations(); len(left) > 0 {
		t.Error("against the SDK's model:", strings.Join(left, "\n"))
	}
}
