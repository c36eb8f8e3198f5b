package aws_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
)

// findings are the subjects that are not well.
func findings(t *testing.T, s *aws.Settings) []string {
	t.Helper()
	r, err := opened(t, s).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		if f.Verdict != provider.VerdictOK {
			out = append(out, f.Subject)
		}
		if f.Verdict != provider.VerdictOK && (f.Remedy == "" || f.Message == "") {
			t.Errorf("no remedy or no message: %+v", f)
		}
		if strings.HasPrefix(f.Subject, "permission ") && !strings.Contains(f.Remedy, `"Action": "`+strings.TrimPrefix(f.Subject, "permission ")+`"`) {
			t.Errorf("the remedy shows no line of a policy: %+v", f)
		}
	}
	return out
}

// TestCheckNamesPermissions: with one action missing, exactly that is named.
func TestCheckNamesPermissions(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.Spot, s.OnDemandFallback, s.IAMInstanceProfile, s.KeyName = true, true, "desktops", "desk"
	s.AMIID, s.RetrieveWindowsPassword, s.PrivateKey = "ami-000000000000000e0", true, pemOf(testKey(t))
	if got := findings(t, s); got != nil {
		t.Fatalf("a healthy account: %v", got)
	}
	actions := []string{
		"ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeInstanceStatus", "ec2:DescribeSpotInstanceRequests", "ec2:DescribeVolumes", "ec2:DescribeNetworkInterfaces",
		"ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeKeyPairs", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings",
		"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole",
		"ec2:TerminateInstances", "ec2:GetConsoleOutput", "ec2:GetPasswordData", "ec2:DeleteVolume", "ec2:DeleteNetworkInterface",
	}
	for _, machine := range []bool{false, true} {
		if machine {
			create(t, opened(t, s), "a")
		}
		for _, action := range actions {
			a.Lack(action)
			if diff := cmp.Diff([]string{"permission " + action}, findings(t, s)); diff != "" {
				t.Errorf("without %s, with a machine %v:\n%s", action, machine, diff)
			}
		}
		a.Lack()
	}
	// On a machine of ours the missing right is certain; on none it cannot be told
	// from a policy that allows it by tag.
	a.Lack("ec2:TerminateInstances")
	verdict := func(s *aws.Settings) provider.Verdict {
		r, err := opened(t, s).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(r.Findings, func(f provider.Finding) bool { return f.Subject == "permission ec2:TerminateInstances" })
		if at < 0 {
			t.Fatalf("not found: %+v", r)
		}
		return r.Findings[at].Verdict
	}
	if v := verdict(s); v != provider.VerdictFailed {
		t.Errorf("with a machine: %s", v)
	}
	empty, b := account(t)
	b.Lack("ec2:TerminateInstances")
	if v := verdict(empty); v != provider.VerdictWarning {
		t.Errorf("without a machine: %s", v)
	}
	ssm, c := account(t)
	ssm.AMIID, ssm.RootDeviceName = "resolve:ssm:/aws/service/debian/release/12/latest/amd64", "/dev/xvda"
	c.Lack("ssm:GetParameters")
	if diff := cmp.Diff([]string{"permission ssm:GetParameters"}, findings(t, ssm)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	const first = "launch of m6i.large@subnet-0000000000000000a"
	for _, c := range []struct {
		change func(*aws.Settings)
		want   []string
	}{
		{func(s *aws.Settings) { s.AMIID = "ami-00000000000000bad" }, []string{"image ami-00000000000000bad"}},
		{func(s *aws.Settings) { s.AMIID, s.AMIOwner = "nothing-*", "self" }, []string{"image nothing-*"}},
		{func(s *aws.Settings) { s.AMIID = "ami-000000000000000e0" }, []string{"os_type"}},
		{func(s *aws.Settings) { s.OSType = "windows" }, []string{"os_type"}},
		{func(s *aws.Settings) { s.RootVolumeSize = 4 }, []string{"root_volume_size"}},
		{func(s *aws.Settings) { s.SubnetIDs = append(s.SubnetIDs, "subnet-00000000000000bad") }, []string{"subnet subnet-00000000000000bad"}},
		{func(s *aws.Settings) { s.SubnetIDs = append(s.SubnetIDs, "subnet-0000000000000000f") }, []string{"subnet subnet-0000000000000000f"}},
		{func(s *aws.Settings) { s.SecurityGroupIDs = []string{"sg-00000000000000bad"} }, []string{"security group sg-00000000000000bad", first}},
		{func(s *aws.Settings) { s.SecurityGroupIDs = append(s.SecurityGroupIDs, "sg-0000000000000000f") }, []string{"security group sg-0000000000000000f", first}},
		{func(s *aws.Settings) { s.KeyName = "none" }, []string{"key pair none", first}},
		{func(s *aws.Settings) { s.AMIID, s.OSType, s.KeyName = "ami-000000000000000e0", "windows", "curve" }, []string{"key pair curve", first}},
		{func(s *aws.Settings) { s.InstanceTypes = append(s.InstanceTypes, "z9.huge") }, []string{"instance type z9.huge"}},
		{func(s *aws.Settings) { s.InstanceTypes = append(s.InstanceTypes, "c6g.large") }, []string{"instance type c6g.large"}},
		{func(s *aws.Settings) {
			s.InstanceTypes, s.SubnetIDs = append(s.InstanceTypes, "g4dn.xlarge"), []string{"subnet-0000000000000000b"}
		}, []string{"instance type g4dn.xlarge"}},
		{func(s *aws.Settings) { s.InstanceTypes = append(s.InstanceTypes, "g4dn.xlarge") }, nil},
		{func(s *aws.Settings) { s.IAMInstanceProfile = "none" }, []string{first}},
		{func(s *aws.Settings) { s.AMIID, s.RootDeviceName = "resolve:ssm:/no/such", "/dev/xvda" }, []string{first}},
	} {
		s, a := account(t)
		c.change(s)
		if diff := cmp.Diff(c.want, findings(t, s)); diff != "" {
			t.Errorf("%v:\n%s", c.want, diff)
		}
		if n := a.Instances(); n != 0 {
			t.Errorf("%v: the check made %d instances", c.want, n)
		}
	}
}

// TestCheckOutages: what says nothing about rights is no finding.
func TestCheckOutages(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	for _, name := range []string{"GetCallerIdentity", "DescribeImages", "DescribeSubnets", "DescribeInstanceTypes", "RunInstances", "DescribeVolumes", "TerminateInstances"} {
		for code, want := range map[string]provider.Class{"InternalFailure": provider.Unavailable, "RequestLimitExceeded": provider.RateLimited} {
			a.Spoil(fakeaws.Fault{Name: name, Status: 503, Code: code, Message: "try later"})
			if r, err := opened(t, s).Check(t.Context()); provider.ClassOf(err) != want || err == nil {
				t.Errorf("%s with %s: %+v, %v", name, code, r, err)
			}
		}
	}
	a.Expire(true)
	if _, err := opened(t, s).Check(t.Context()); provider.ClassOf(err) != provider.Unauthenticated {
		t.Errorf("with a key that is refused: %v", err)
	}
	a.Expire(false)
	s.AssumeRoleARN = "arn:aws:iam::123456789012:role/headroom"
	if diff := cmp.Diff([]string{"credentials"}, findings(t, s)); diff != "" {
		t.Errorf("a role that may not be assumed:\n%s", diff)
	}
}

// TestCatalog: each setting with a lookup has choices.
func TestCatalog(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	d, ok := opened(t, s).(provider.Catalog)
	if !ok {
		t.Fatal("has no catalog")
	}
	for setting, want := range map[string]string{
		"region": "eu-central-1", "ami_id": "ami-000000000000000d0", "instance_types": "c6g.large", "subnet_ids": "subnet-0000000000000000a", "security_group_ids": "sg-0000000000000000a", "key_name": "desk",
	} {
		got, err := d.Choices(t.Context(), setting)
		if err != nil || !slices.ContainsFunc(got, func(c provider.Choice) bool { return c.Value == want }) {
			t.Errorf("%s: %v, %v", setting, got, err)
		}
	}
	if _, err := d.Choices(t.Context(), "weather"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("a setting without choices: %v", err)
	}
	a.Lack("ec2:DescribeSubnets")
	if _, err := d.Choices(t.Context(), "subnet_ids"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "ec2:DescribeSubnets") {
		t.Errorf("without the right: %v", err)
	}
}

// TestRenderShowsTheImage: which image a name stands for can be seen before a
// machine is made of it.
func TestRenderShowsTheImage(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	s.AMIID, s.AMIOwner = "ubuntu/images/*noble-24.04-amd64-server-*", "099720109477"
	d, ok := opened(t, s).(provider.Renderer)
	if !ok {
		t.Fatal("shows no requests")
	}
	calls, err := d.Render(t.Context(), request("a"))
	if err != nil || len(calls) != 1 || !strings.Contains(calls[0].Call, "20261102 (2026-11-02") {
		t.Fatalf("%+v, %v", calls, err)
	}
	body, _ := calls[0].Body.(map[string]any)
	if body["ImageId"] != "ami-000000000000000b2" || len(body["ClientToken"].(string)) != 64 || a.Instances() != 0 {
		t.Errorf("%v", body)
	}
}
