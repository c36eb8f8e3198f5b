package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// typePages bounds the listing of instance types, 100 on a page.
const typePages = 20

// wellKnown are images by SSM parameter, which AWS and the distributions keep up
// to date, offered besides those of the account.
var wellKnown = []provider.Choice{
	{Value: "resolve:ssm:/aws/service/debian/release/12/latest/amd64", Label: "Debian 12", Description: "root_device_name: /dev/xvda"},
	{Value: "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id", Label: "Ubuntu 24.04", Description: "root_device_name: /dev/sda1"},
	{Value: "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", Label: "Amazon Linux 2023", Description: "root_device_name: /dev/xvda"},
	{Value: "resolve:ssm:/aws/service/ami-windows-latest/Windows_Server-2022-English-Full-Base", Label: "Windows Server 2022", Description: "root_device_name: /dev/sda1, os_type: windows"},
}

// Choices implements provider.Catalog.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	var out []provider.Choice
	add := func(value *string, label, description string) {
		out = append(out, provider.Choice{Value: aws.ToString(value), Label: label, Description: description})
	}
	name := func(tags []types.Tag) string { n, _ := tagsOf(tags); return n }
	var err error
	switch setting {
	case "region":
		var list *ec2.DescribeRegionsOutput
		if list, err = d.api.DescribeRegions(ctx, &ec2.DescribeRegionsInput{}); err == nil {
			for _, r := range list.Regions {
				add(r.RegionName, aws.ToString(r.OptInStatus), "")
			}
		}
	case "ami_id":
		out, err = d.imageChoices(ctx)
	case "instance_types":
		out, err = d.typeChoices(ctx)
	case "subnet_ids":
		in := &ec2.DescribeSubnetsInput{MaxResults: aws.Int32(page)}
		for more := true; more && err == nil; {
			var list *ec2.DescribeSubnetsOutput
			if list, err = d.api.DescribeSubnets(ctx, in); err == nil {
				for _, n := range list.Subnets {
					add(n.SubnetId, strings.TrimSpace(name(n.Tags)+" "+aws.ToString(n.CidrBlock)), "in "+aws.ToString(n.AvailabilityZone)+", "+aws.ToString(n.VpcId))
				}
				in.NextToken, more = list.NextToken, aws.ToString(list.NextToken) != ""
			}
		}
	case "security_group_ids":
		in := &ec2.DescribeSecurityGroupsInput{MaxResults: aws.Int32(page)}
		for more := true; more && err == nil; {
			var list *ec2.DescribeSecurityGroupsOutput
			if list, err = d.api.DescribeSecurityGroups(ctx, in); err == nil {
				for _, g := range list.SecurityGroups {
					add(g.GroupId, aws.ToString(g.GroupName), aws.ToString(g.Description)+", in "+aws.ToString(g.VpcId))
				}
				in.NextToken, more = list.NextToken, aws.ToString(list.NextToken) != ""
			}
		}
	case "key_name":
		var list *ec2.DescribeKeyPairsOutput
		if list, err = d.api.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{}); err == nil {
			for _, k := range list.KeyPairs {
				add(k.KeyName, string(k.KeyType), "")
			}
		}
	default:
		return nil, provider.Errorf(provider.Unsupported, "EC2 has no choices for %q", setting)
	}
	if err != nil {
		return nil, d.fault(ctx, err)
	}
	return out, nil
}

// imageChoices are the account's own images, newest first, and well-known ones.
func (d *driver) imageChoices(ctx context.Context) ([]provider.Choice, error) {
	list, err := d.api.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{filter("state", string(types.ImageStateAvailable))}})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list.Images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(b.CreationDate), aws.ToString(a.CreationDate))
	})
	var out []provider.Choice
	for _, i := range list.Images {
		out = append(out, provider.Choice{Value: aws.ToString(i.ImageId), Label: aws.ToString(i.Name), Description: fmt.Sprintf("%s, made %s", i.Architecture, aws.ToString(i.CreationDate))})
	}
	return append(out, wellKnown...), nil
}

func (d *driver) typeChoices(ctx context.Context) ([]provider.Choice, error) {
	in := &ec2.DescribeInstanceTypesInput{MaxResults: aws.Int32(100)}
	var out []provider.Choice
	for range typePages {
		list, err := d.api.DescribeInstanceTypes(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, t := range list.InstanceTypes {
			var archs []string
			if t.ProcessorInfo != nil {
				for _, a := range t.ProcessorInfo.SupportedArchitectures {
					archs = append(archs, string(a))
				}
			}
			out = append(out, provider.Choice{Value: string(t.InstanceType), Label: fmt.Sprintf("%d cores, %d MiB", cores(t), memory(t)), Description: strings.Join(archs, ", ")})
		}
		if in.NextToken = list.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b provider.Choice) int { return strings.Compare(a.Value, b.Value) })
	return out, nil
}
