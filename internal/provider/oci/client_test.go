package oci

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oracle/oci-go-sdk/v65/common"
)

// TestDomains: every region that the SDK knows is reached under the same name,
// found by its realm alone; and so are those that it does not know.
func TestDomains(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/oracle/oci-go-sdk/v65").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "common", "regions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var regions []struct{ RegionIdentifier, RealmKey string }
	if err := json.Unmarshal(text, &regions); err != nil || len(regions) < 50 {
		t.Fatalf("%d regions, %v", len(regions), err)
	}
	for _, r := range regions {
		for service, template := range map[string]string{
			"iaas": "https://iaas.{region}.{secondLevelDomain}", "identity": "https://identity.{region}.oci.{secondLevelDomain}",
			"limits": "https://limits.{region}.oci.{secondLevelDomain}", "dns": "https://dns.{region}.oci.{secondLevelDomain}",
		} {
			want := common.StringToRegion(r.RegionIdentifier).EndpointForTemplate(service, template)
			if !strings.HasPrefix(want, "https://") {
				want = "https://" + want
			}
			if got := (Account{Region: r.RegionIdentifier}).host(service, r.RealmKey); got != want {
				t.Errorf("%s in %s is %s, the SDK says %s", service, r.RegionIdentifier, got, want)
			}
		}
		if got, want := (Account{Region: r.RegionIdentifier}).host("auth", r.RealmKey), "https://"+common.StringToRegion(r.RegionIdentifier).Endpoint("auth"); got != want {
			t.Errorf("auth in %s is %s, the SDK says %s", r.RegionIdentifier, got, want)
		}
	}
	for _, c := range []struct {
		account        Account
		service, realm string
		want           string
	}{
		{Account{Region: "eu-atlantis-1"}, "iaas", "oc1", "https://iaas.eu-atlantis-1.oraclecloud.com"},
		{Account{Region: "eu-atlantis-1"}, "dns", "oc77", "https://dns.eu-atlantis-1.oci.oraclecloud77.com"},
		{Account{Region: "x-y-1", Endpoint: "https://{service}.example.com:8443/"}, "identity", "oc1", "https://identity.example.com:8443"},
		{Account{Region: "x-y-1", Endpoint: "http://proxy"}, "limits", "oc1", "http://proxy"},
	} {
		if got := c.account.host(c.service, c.realm); got != c.want {
			t.Errorf("%+v: %s, expected %s", c, got, c.want)
		}
	}
}

// TestSnake spells names as Oracle's Python SDK does.
func TestSnake(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"areLegacyImdsEndpointsDisabled": "are_legacy_imds_endpoints_disabled", "bootVolumeSizeInGBs": "boot_volume_size_in_gbs", "bootVolumeVpusPerGB": "boot_volume_vpus_per_gb",
		"memoryInGBs": "memory_in_gbs", "isAIEnterpriseEnabled": "is_ai_enterprise_enabled", "assignIpv6Ip": "assign_ipv6_ip", "kmsKeyId": "kms_key_id", "ocpus": "ocpus",
		"ipv6AddressIpv6SubnetCidrPairDetails": "ipv6_address_ipv6_subnet_cidr_pair_details", "localVolumeSizeInGBs": "local_volume_size_in_gbs", "nsgIds": "nsg_ids",
	} {
		if got := snake(name); got != want {
			t.Errorf("%s is %s, expected %s", name, got, want)
		}
		if !strings.EqualFold(camel(want), name) {
			t.Errorf("%s is %s, expected %s", want, camel(want), name)
		}
	}
}
