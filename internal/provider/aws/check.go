package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/headroom-dev/headroom/internal/provider"
)

// report gathers findings. An action is named once, however many calls lack it.
type report struct {
	provider.Report
	lacked map[string]bool

	image *types.Image // nil: not known
	vpc   string       // of the subnets; empty: not known
	zones []string     // of the subnets
}

func (r *report) add(verdict provider.Verdict, subject, message, remedy string) {
	r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
}

func (r *report) ok(subject, format string, args ...any) {
	r.add(provider.VerdictOK, subject, fmt.Sprintf(format, args...), "")
}

func (r *report) fail(subject, message, remedy string) {
	r.add(provider.VerdictFailed, subject, message, remedy)
}

// line is a statement of a policy that grants an action.
func line(action, resource string) string {
	if resource == "" {
		resource = "*"
	}
	return fmt.Sprintf(`add to the policy: {"Effect": "Allow", "Action": %q, "Resource": %q}`, action, resource)
}

// lack names an action that is refused. The refusal may name another than the
// call's own.
func (r *report) lack(action string, err error) {
	resource := ""
	if named, on := deniedAction(err.Error()); named != "" {
		action = named
		if strings.HasPrefix(action, "iam:") {
			resource = on
		}
	}
	if r.lacked[action] {
		return
	}
	r.lacked[action] = true
	r.fail("permission "+action, "the credentials may not do it", line(action, resource))
}

// judge says what the outcome of a call that looks tells about its action. fatal
// ends the check: nothing can be told then.
func (r *report) judge(action string, err error) (ok bool, fatal error) {
	if err == nil || codeOf(err) == "DryRunOperation" {
		return true, nil
	}
	e := classify(err)
	switch e.Class {
	case provider.Forbidden:
		if codeOf(err) == "OptInRequired" {
			r.fail("account", e.Message, "enable the region in the account's settings, or accept the image's terms in the Marketplace")
		} else {
			r.lack(action, err)
		}
		return false, nil
	case provider.Unauthenticated, provider.Unavailable, provider.RateLimited, provider.Unknown:
		return false, e
	}
	return true, nil
}

// Check implements provider.Driver. It makes about 16 calls, most of them dry
// runs.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	r := &report{lacked: map[string]bool{}}
	who, err := d.tokens.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		e := d.fault(ctx, err)
		if provider.ClassOf(e) == provider.Forbidden {
			r.fail("credentials", messageOf(e), "correct the role, its trust policy, or external_id")
			return r.Report, nil
		}
		return provider.Report{}, e
	}
	r.ok("credentials", "%s", aws.ToString(who.Arn))
	for _, step := range []func(context.Context, *report) error{
		d.checkImage, d.checkSubnets, d.checkGroups, d.checkKey, d.checkTypes, d.checkLaunch, d.checkReads, d.checkWrites,
	} {
		if err := step(ctx, r); err != nil {
			return provider.Report{}, d.fault(ctx, err)
		}
	}
	if d.settings.windows() && d.settings.RetrieveWindowsPassword {
		r.ok("retrieve_windows_password", "passwords are decrypted with private_key; that it belongs to key pair %s shows with the first machine", d.settings.KeyName)
	}
	return r.Report, nil
}

func messageOf(err error) string {
	_, text, found := strings.Cut(err.Error(), ": ")
	if !found {
		return err.Error()
	}
	return text
}

func (d *driver) checkImage(ctx context.Context, r *report) error {
	s := &d.settings
	subject := "image " + s.AMIID
	i, err := d.image(ctx)
	switch class := provider.ClassOf(err); {
	case err == nil && i == nil:
		r.ok(subject, "is looked up by EC2 at each create; the dry run below tries it")
		return nil
	case class == provider.Forbidden:
		r.lack("ec2:DescribeImages", err)
		return nil
	case class == provider.Invalid:
		r.fail(subject, messageOf(err), "take one of `headroom provider catalog --setting ami_id`")
		return nil
	case err != nil:
		return err
	}
	r.image = i
	windows := strings.EqualFold(string(i.Platform), string(types.PlatformValuesWindows)) // EC2 writes it small, the SDK does not
	var size int32
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil && aws.ToString(m.DeviceName) == aws.ToString(i.RootDeviceName) {
			size = aws.ToInt32(m.Ebs.VolumeSize)
		}
	}
	switch {
	case i.State != "" && i.State != types.ImageStateAvailable:
		r.fail(subject, "is "+string(i.State), "take another image")
	case windows && !s.windows():
		r.fail("os_type", "the image is one of Windows", "set os_type: windows")
	case !windows && s.windows():
		r.fail("os_type", "the image is not one of Windows", "set os_type: linux, and retrieve_windows_password: false")
	case s.RootVolumeSize > 0 && int64(size) > s.RootVolumeSize:
		r.fail("root_volume_size", fmt.Sprintf("the image needs %d GiB", size), fmt.Sprintf("set at least %d, or leave it out", size))
	default:
		r.ok(subject, "%s, %s, %s, of account %s, made %s", aws.ToString(i.ImageId), aws.ToString(i.Name), i.Architecture, aws.ToString(i.OwnerId), aws.ToString(i.CreationDate))
	}
	return nil
}

func (d *driver) checkSubnets(ctx context.Context, r *report) error {
	s := &d.settings
	if len(s.SubnetIDs) == 0 {
		return nil
	}
	out, err := d.api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("subnet-id", s.SubnetIDs...)}})
	if ok, fatal := r.judge("ec2:DescribeSubnets", err); !ok || fatal != nil {
		return fatal
	}
	if err != nil {
		return err
	}
	for _, id := range s.SubnetIDs {
		at := slices.IndexFunc(out.Subnets, func(n types.Subnet) bool { return aws.ToString(n.SubnetId) == id })
		if at < 0 {
			r.fail("subnet "+id, "does not exist in region "+s.Region, "take one of `headroom provider catalog --setting subnet_ids`")
			continue
		}
		n := out.Subnets[at]
		zone, vpc := aws.ToString(n.AvailabilityZone), aws.ToString(n.VpcId)
		if r.vpc == "" {
			r.vpc = vpc
		}
		r.zones = append(r.zones, zone)
		switch {
		case vpc != r.vpc:
			r.fail("subnet "+id, "is in VPC "+vpc+", the first one in "+r.vpc, "take subnets of one VPC; make another VM provider for another VPC")
		case aws.ToInt32(n.AvailableIpAddressCount) == 0:
			r.add(provider.VerdictWarning, "subnet "+id, "has no free address", "enlarge it, or add another subnet")
		default:
			r.ok("subnet "+id, "%s in %s, %s, %d free addresses", aws.ToString(n.CidrBlock), zone, vpc, aws.ToInt32(n.AvailableIpAddressCount))
		}
	}
	return nil
}

func (d *driver) checkGroups(ctx context.Context, r *report) error {
	s := &d.settings
	if len(s.SecurityGroupIDs) == 0 {
		return nil
	}
	out, err := d.api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{filter("group-id", s.SecurityGroupIDs...)}})
	if ok, fatal := r.judge("ec2:DescribeSecurityGroups", err); !ok || fatal != nil {
		return fatal
	}
	if err != nil {
		return err
	}
	for _, id := range s.SecurityGroupIDs {
		at := slices.IndexFunc(out.SecurityGroups, func(g types.SecurityGroup) bool { return aws.ToString(g.GroupId) == id })
		switch {
		case at < 0:
			r.fail("security group "+id, "does not exist in region "+s.Region, "take one of `headroom provider catalog --setting security_group_ids`")
		case r.vpc != "" && aws.ToString(out.SecurityGroups[at].VpcId) != r.vpc:
			r.fail("security group "+id, "is in VPC "+aws.ToString(out.SecurityGroups[at].VpcId)+", the subnets are in "+r.vpc, "take a security group of that VPC")
		default:
			r.ok("security group "+id, "%s", aws.ToString(out.SecurityGroups[at].GroupName))
		}
	}
	return nil
}

func (d *driver) checkKey(ctx context.Context, r *report) error {
	s := &d.settings
	if s.KeyName == "" {
		return nil
	}
	out, err := d.api.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{Filters: []types.Filter{filter("key-name", s.KeyName)}})
	if ok, fatal := r.judge("ec2:DescribeKeyPairs", err); !ok || fatal != nil {
		return fatal
	}
	switch {
	case err != nil:
		return err
	case len(out.KeyPairs) == 0:
		r.fail("key pair "+s.KeyName, "does not exist in region "+s.Region, "take one of `headroom provider catalog --setting key_name`; key pairs belong to one region")
	case s.windows() && out.KeyPairs[0].KeyType != "" && out.KeyPairs[0].KeyType != types.KeyTypeRsa:
		r.fail("key pair "+s.KeyName, "is of type "+string(out.KeyPairs[0].KeyType), "take an RSA key pair: EC2 starts no Windows machine with another")
	default:
		r.ok("key pair "+s.KeyName, "%s", out.KeyPairs[0].KeyType)
	}
	return nil
}

func (d *driver) checkTypes(ctx context.Context, r *report) error {
	s := &d.settings
	out, err := d.api.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{Filters: []types.Filter{filter("instance-type", s.InstanceTypes...)}})
	ok, fatal := r.judge("ec2:DescribeInstanceTypes", err)
	if fatal != nil {
		return fatal
	}
	offered := map[string][]string{}
	looked := false
	if len(r.zones) > 0 {
		list, err := d.api.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
			LocationType: types.LocationTypeAvailabilityZone,
			Filters:      []types.Filter{filter("instance-type", s.InstanceTypes...), filter("location", r.zones...)},
		})
		if looked, fatal = r.judge("ec2:DescribeInstanceTypeOfferings", err); fatal != nil {
			return fatal
		}
		if looked && err == nil {
			for _, o := range list.InstanceTypeOfferings {
				offered[string(o.InstanceType)] = append(offered[string(o.InstanceType)], aws.ToString(o.Location))
			}
		}
	}
	if !ok {
		return fatal
	}
	if err != nil {
		return err
	}
	for _, name := range s.InstanceTypes {
		subject := "instance type " + name
		at := slices.IndexFunc(out.InstanceTypes, func(t types.InstanceTypeInfo) bool { return string(t.InstanceType) == name })
		if at < 0 {
			r.fail(subject, "does not exist in region "+s.Region, "take one of `headroom provider catalog --setting instance_types`")
			continue
		}
		t := out.InstanceTypes[at]
		var archs []string
		if t.ProcessorInfo != nil {
			for _, a := range t.ProcessorInfo.SupportedArchitectures {
				archs = append(archs, string(a))
			}
		}
		slices.Sort(offered[name])
		switch {
		case r.image != nil && len(archs) > 0 && !slices.Contains(archs, string(r.image.Architecture)):
			r.fail(subject, fmt.Sprintf("is %s, and the image is %s", strings.Join(archs, ", "), r.image.Architecture), "take an image and instance types of one architecture")
		case s.Spot && !slices.Contains(t.SupportedUsageClasses, types.UsageClassTypeSpot):
			r.fail(subject, "is not sold on the spot market", "take another type, or spot: false")
		case looked && len(offered[name]) == 0:
			r.fail(subject, "is not offered in "+strings.Join(r.zones, ", "), "add a subnet in another zone, or take another type")
		default:
			text := fmt.Sprintf("%d cores, %d MiB", cores(t), memory(t))
			if looked {
				text += ", in " + strings.Join(offered[name], ", ")
			}
			r.ok(subject, "%s", text)
		}
	}
	return nil
}

func cores(t types.InstanceTypeInfo) int32 {
	if t.VCpuInfo == nil {
		return 0
	}
	return aws.ToInt32(t.VCpuInfo.DefaultVCpus)
}

func memory(t types.InstanceTypeInfo) int64 {
	if t.MemoryInfo == nil {
		return 0
	}
	return aws.ToInt64(t.MemoryInfo.SizeInMiB)
}
