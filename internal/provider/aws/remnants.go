package aws

import (
	"context"
	"iter"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// The kinds of objects that can be left. Public addresses of machines are
// EC2's own and end with them.
const (
	volumeKind    = "disk"
	interfaceKind = "network interface"
)

var (
	volumeRule    = regexp.MustCompile(`^vol-[0-9a-f]{8,17}$`)
	interfaceRule = regexp.MustCompile(`^eni-[0-9a-f]{8,17}$`)
)

// ListRemnants implements provider.Remnants: volumes and interfaces that no
// instance uses.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		for _, list := range []func(context.Context, provider.Owner, func(provider.Remnant) bool) (bool, error){d.volumes, d.interfaces} {
			more, err := list(ctx, owner, func(r provider.Remnant) bool { return r.Tags.Owner() != owner || yield(r, nil) })
			if err != nil {
				yield(provider.Remnant{}, d.fault(ctx, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

func (d *driver) volumes(ctx context.Context, owner provider.Owner, take func(provider.Remnant) bool) (more bool, err error) {
	in := &ec2.DescribeVolumesInput{MaxResults: aws.Int32(500), Filters: ownerFilter(owner, filter("status", string(types.VolumeStateAvailable), string(types.VolumeStateError)))}
	for {
		out, err := d.api.DescribeVolumes(ctx, in)
		if err != nil {
			return false, err
		}
		for _, v := range out.Volumes {
			r := provider.Remnant{Kind: volumeKind, ID: aws.ToString(v.VolumeId), CreatedAt: aws.ToTime(v.CreateTime)}
			r.Name, r.Tags = tagsOf(v.Tags)
			if len(v.Attachments) == 0 && !take(r) {
				return false, nil
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return true, nil
		}
	}
}

func (d *driver) interfaces(ctx context.Context, owner provider.Owner, take func(provider.Remnant) bool) (more bool, err error) {
	in := &ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(page), Filters: ownerFilter(owner, filter("status", string(types.NetworkInterfaceStatusAvailable)))}
	for {
		out, err := d.api.DescribeNetworkInterfaces(ctx, in)
		if err != nil {
			return false, err
		}
		for _, n := range out.NetworkInterfaces {
			r := provider.Remnant{Kind: interfaceKind, ID: aws.ToString(n.NetworkInterfaceId)}
			r.Name, r.Tags = tagsOf(n.TagSet)
			if n.Attachment == nil && !take(r) {
				return false, nil
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return true, nil
		}
	}
}

// DeleteRemnant implements provider.Remnants.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	var err error
	switch {
	case r.Kind == volumeKind && volumeRule.MatchString(r.ID):
		_, err = d.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(r.ID)})
	case r.Kind == interfaceKind && interfaceRule.MatchString(r.ID):
		_, err = d.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(r.ID)})
	default:
		return provider.Errorf(provider.Invalid, "%s %q is neither a volume nor a network interface", r.Kind, r.ID)
	}
	return d.fault(ctx, err)
}
