package oci_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

// unseen is the warning that every check ends with.
const unseen = "permissions for launches"

// findings are the subjects with the verdict.
func findings(t *testing.T, s *oci.Settings, verdict provider.Verdict) []string {
	t.Helper()
	r, err := opened(t, s).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		if f.Verdict == verdict && f.Subject != unseen {
			out = append(out, f.Subject)
		}
		if f.Verdict != provider.VerdictOK && (f.Remedy == "" || f.Message == "") {
			t.Errorf("no remedy or no message: %+v", f)
		}
	}
	return out
}

// TestCheckNamesPermissions: with one permission missing, exactly that is named,
// though the service never says which one it was.
func TestCheckNamesPermissions(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.ConfigOverride = document(t, `{"create_vnic_details": {"assign_ipv6_ip": true}}`)
	for _, verdict := range []provider.Verdict{provider.VerdictFailed, provider.VerdictWarning} {
		if got := findings(t, s, verdict); got != nil {
			t.Fatalf("a healthy tenancy: %s %v", verdict, got)
		}
	}
	for _, permission := range []string{
		"INSTANCE_READ", "INSTANCE_INSPECT", "INSTANCE_IMAGE_INSPECT", "VNIC_ATTACHMENT_READ", "SUBNET_READ", "NETWORK_SECURITY_GROUP_READ", "PRIVATE_IP_READ", "IPV6_READ",
		"VOLUME_INSPECT", "VOLUME_ATTACHMENT_INSPECT", "CONSOLE_HISTORY_READ", "WORKREQUEST_INSPECT",
	} {
		of.Lack(permission)
		if diff := cmp.Diff([]string{"permission " + permission}, findings(t, s, provider.VerdictFailed)); diff != "" {
			t.Errorf("without %s:\n%s", permission, diff)
		}
	}
	for _, permission := range []string{"COMPARTMENT_INSPECT", "RESOURCE_AVAILABILITY_READ"} { // only checks need them
		of.Lack(permission)
		if diff := cmp.Diff([]string{"permission " + permission}, findings(t, s, provider.VerdictWarning)); diff != "" {
			t.Errorf("without %s:\n%s", permission, diff)
		}
		if got := findings(t, s, provider.VerdictFailed); got != nil {
			t.Errorf("without %s failed: %v", permission, got)
		}
	}
}

// TestLeastPermissions: with what the documentation names and nothing else, a
// machine lives and dies; without any one of them, something says so.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	for permission, op := range map[string]string{
		"INSTANCE_CREATE": "create", "INSTANCE_IMAGE_READ": "create", "VNIC_CREATE": "create", "VNIC_ATTACH": "create", "SUBNET_ATTACH": "create",
		"NETWORK_SECURITY_GROUP_UPDATE_MEMBERS": "create", "VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP": "create",
		"INSTANCE_DELETE": "delete", "VNIC_DELETE": "delete", "SUBNET_DETACH": "delete", "VOLUME_DELETE": "remnant",
	} {
		s, of := tenancy(t)
		of.Lack(permission)
		d := opened(t, s)
		_, err := d.Create(t.Context(), request("a"))
		if op == "create" {
			if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "provider check") {
				t.Errorf("create without %s: %v", permission, err)
			}
			if left := of.Objects(); len(left) > 0 {
				t.Errorf("without %s left: %v", permission, left)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var id string
		for id = range listed(t, d) {
		}
		if op == "delete" {
			if err := d.Delete(t.Context(), id); provider.ClassOf(err) != provider.Forbidden {
				t.Errorf("delete without %s: %v", permission, err)
			}
			continue
		}
		of.PlantVolume("left (Boot Volume)", tags(request("z").Tags))
		r, _ := d.(provider.Remnants)
		for _, left := range remnants(t, d) {
			if err := r.DeleteRemnant(t.Context(), left); err == nil {
				t.Errorf("removed %+v without %s", left, permission)
			}
		}
	}
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	of := func(kind string) string { return "ocid1." + kind + ".oc1.eu-frankfurt-1.aaaaaaaaother" }
	both := func(subject string) []string {
		return []string{subject + " in " + fakeoci.Domain(1), subject + " in " + fakeoci.Domain(2)}
	}
	for _, c := range []struct {
		change func(*oci.Settings, *fakeoci.Tenancy)
		want   []string
	}{
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.CompartmentOCID = of("compartment") }, []string{"compartment " + of("compartment")}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.AvailabilityDomains[1] = "xxxx:EU-FRANKFURT-1-AD-2" }, []string{
			"availability domain xxxx:EU-FRANKFURT-1-AD-2", "shape VM.Standard.E5.Flex in xxxx:EU-FRANKFURT-1-AD-2", "shape VM.Standard.E4.Flex in xxxx:EU-FRANKFURT-1-AD-2",
		}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.Shapes[1] = "VM.Standard.E9.Flex" }, append(both("shape VM.Standard.E9.Flex"), "image with shape VM.Standard.E9.Flex")},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) {
			s.Shapes, s.AvailabilityDomains = []string{"VM.Standard.E4.Flex"}, []string{fakeoci.Domain(3)}
		}, []string{"shape VM.Standard.E4.Flex in " + fakeoci.Domain(3)}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) {
			s.AvailabilityDomains, s.FlexOCPUs = s.AvailabilityDomains[:1], 200
		}, []string{"flex_ocpus", "flex_ocpus"}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) {
			s.AvailabilityDomains, s.Shapes, s.FlexMemory = s.AvailabilityDomains[:1], s.Shapes[:1], 500
		}, []string{"flex_memory"}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) {
			s.AvailabilityDomains, s.BaselineOCPUUtilization = s.AvailabilityDomains[:1], "BASELINE_1_8"
		}, []string{"baseline_ocpu_utilization"}}, // the first shape cannot, the second can
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.ImageOCID = of("image") }, []string{"image " + of("image")}},
		{func(s *oci.Settings, t *fakeoci.Tenancy) { s.ImageOCID = t.Arm }, []string{"image with shape VM.Standard.E5.Flex", "image with shape VM.Standard.E4.Flex"}},
		{func(s *oci.Settings, t *fakeoci.Tenancy) { s.ImageOCID = t.Windows }, []string{"os_type"}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.OSType = "windows" }, []string{"os_type"}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.BootVolumeSize = 40 }, []string{"boot_volume_size"}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.SubnetOCID = of("subnet") }, []string{"subnet " + of("subnet")}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.NSGOCIDs = []string{of("networksecuritygroup")} }, []string{"network security group " + of("networksecuritygroup")}},
		{func(s *oci.Settings, t *fakeoci.Tenancy) { s.NSGOCIDs = []string{t.OtherNSG} }, []string{"network security group OTHER"}},
		{func(s *oci.Settings, _ *fakeoci.Tenancy) { s.Fingerprint = strings.Repeat("00:", 15) + "00" }, []string{"credentials"}},
		{func(_ *oci.Settings, t *fakeoci.Tenancy) { t.Expire(true) }, []string{"credentials"}},
	} {
		s, t2 := tenancy(t)
		c.change(s, t2)
		got := findings(t, s, provider.VerdictFailed)
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], t2.OtherNSG, "OTHER")
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v:\n%s", c.want, diff)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	s.Shapes, s.AvailabilityDomains = s.Shapes[:1], s.AvailabilityDomains[:1]
	of.Limit(1)
	if diff := cmp.Diff([]string{"limit standard-core-count in " + fakeoci.Domain(1)}, findings(t, s, provider.VerdictWarning)); diff != "" {
		t.Error(diff)
	}
}

// TestCheckOutage: what is down is no finding about the settings.
func TestCheckOutage(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/availabilityDomains", "/instances", "/shapes", "/images/", "/subnets/", "/networkSecurityGroups/", "/vnicAttachments", "/bootVolumes", "/workRequests", "/limits/"} {
		s, of := tenancy(t)
		of.Spoil(fakeoci.Fault{Path: path, Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "down"})
		if _, err := opened(t, s).Check(t.Context()); provider.ClassOf(err) != provider.Unavailable {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	c, ok := opened(t, s).(provider.Catalog)
	if !ok {
		t.Fatal("the driver has no choices")
	}
	for setting, want := range map[string][]string{
		"compartment_ocid":     {of.Tenancy, of.Compartment},
		"availability_domains": {fakeoci.Domain(1), fakeoci.Domain(2), fakeoci.Domain(3)},
		"shape":                {"VM.Standard.E5.Flex", "VM.Standard.E4.Flex", "VM.Standard2.1", "VM.Standard.A1.Flex"},
		"image_ocid":           {of.Image, of.Windows, of.Arm}, "subnet_ocid": {of.Subnet}, "nsg_ocids": {of.NSG, of.OtherNSG},
	} {
		choices, err := c.Choices(t.Context(), setting)
		var got []string
		for _, choice := range choices {
			got = append(got, choice.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", setting, err, diff)
		}
	}
	if _, err := c.Choices(t.Context(), "flavor"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("a setting without choices: %v", err)
	}
	of.Lack("SUBNET_READ")
	if _, err := c.Choices(t.Context(), "subnet_ocid"); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("without the right: %v", err)
	}
}

// TestSkew: a clock that is wrong is told with the figure. The stand-in of this
// test is its own, since its clock is.
func TestSkew(t *testing.T) {
	t.Parallel()
	c, err := startCloud()
	if err != nil {
		t.Fatal(err)
	}
	of := c.fake.NewTenancy()
	s := &oci.Settings{CompartmentOCID: of.Compartment, AvailabilityDomains: []string{fakeoci.Domain(1)}}
	c.account(&s.Account, of)
	for ahead, says := range map[time.Duration]string{10 * time.Minute: "off by -", -time.Hour: "off by 1h0m"} {
		c.fake.Clock(ahead)
		_, err := opened(t, s).Get(t.Context(), gone)
		if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, expected %q", ahead, err, says)
		}
	}
	c.fake.Clock(4 * time.Minute)
	if _, err := opened(t, s).Get(t.Context(), gone); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("within what is allowed: %v", err)
	}
}
