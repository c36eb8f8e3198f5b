package all_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/all"
	"github.com/headroom-dev/headroom/internal/provider/sim"
)

// TestAccess lists what of each kind's settings is access alone: with a change of
// these, no machine is replaced. What decides where machines are must not be
// among them, whoever asks: a region, an account, a project, a namespace, a host.
func TestAccess(t *testing.T) {
	t.Parallel()
	trust := []string{"ca_bundle", "insecure_skip_verify"}
	cluster := []string{"ca_cert", "insecure_skip_verify"} // all else is secret or names the cluster
	want := map[string][]string{
		"aws":           {"external_id"}, // keys are secrets; the ARN of a role names an account
		"azure":         {"client_id"},   // not tenant_id: another tenant has other subscriptions
		"digital_ocean": nil,
		"gcp":           nil,
		"harvester":     cluster,
		"kubevirt":      cluster,
		"local":         nil,
		"nutanix":       {"username"}, // not api_version: each marks machines in its own way
		"oci":           {"auth", "fingerprint", "user_ocid"},
		"openstack":     {"application_credential_id", "auth_method", "interface", "user_domain", "username"},
		"proxmox":       {"token_id"},
		"sim":           nil,
		"vsphere":       {"thumbprint", "username"},
	}
	for _, kind := range []string{"aws", "azure", "digital_ocean", "gcp", "nutanix", "oci", "openstack", "proxmox", "vsphere"} {
		want[kind] = append(want[kind], trust...)
	}
	kinds := all.Kinds(func(string) *sim.Cloud { return nil })
	access := provider.Access(kinds)
	got := map[string][]string{}
	for _, k := range kinds {
		got[k.Name] = access(k.Name)
		slices.Sort(got[k.Name])
		slices.Sort(want[k.Name])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if names := access("unheard-of"); names != nil {
		t.Errorf("a kind that is not built in has access %v", names)
	}
}
