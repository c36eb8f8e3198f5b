package aws

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	imagePage  = 1000
	imagePages = 5 // of images with a name that fits; further ones mean that the pattern is too wide
)

// image looks the image up; nil for one by SSM parameter, which EC2 alone can
// look up.
func (d *driver) image(ctx context.Context) (*types.Image, error) {
	s := &d.settings
	if s.bySSM() {
		return nil, nil
	}
	if !s.byName() {
		out, err := d.api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{s.AMIID}})
		if err != nil {
			return nil, d.launchFault(ctx, err, offer{})
		}
		if len(out.Images) == 0 {
			return nil, provider.Errorf(provider.Invalid, "ami_id %s does not exist in region %s, or is not shared with the account", s.AMIID, s.Region)
		}
		return &out.Images[0], nil
	}
	in := &ec2.DescribeImagesInput{
		Owners: []string{s.AMIOwner}, MaxResults: aws.Int32(imagePage),
		// The name is a pattern by intent.
		Filters: []types.Filter{{Name: aws.String("name"), Values: []string{s.AMIID}}, filter("state", string(types.ImageStateAvailable))},
	}
	var newest *types.Image
	for page := 0; ; page++ {
		if page == imagePages {
			return nil, provider.Errorf(provider.Invalid, "ami_id %q fits more than %d images of %s: make the pattern narrower", s.AMIID, imagePage*imagePages, s.AMIOwner)
		}
		out, err := d.api.DescribeImages(ctx, in)
		if err != nil {
			return nil, d.launchFault(ctx, err, offer{})
		}
		for n := range out.Images {
			if i := &out.Images[n]; newest == nil || newer(i, newest) {
				newest = i
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	if newest == nil {
		return nil, provider.Errorf(provider.Invalid, "%s has no image whose name fits ami_id %q in region %s: `aws ec2 describe-images --owners %s` lists them", s.AMIOwner, s.AMIID, s.Region, s.AMIOwner)
	}
	return newest, nil
}

// newer compares dates, which EC2 writes so that they sort as text; images of
// one moment are told apart by their ids, so that the choice is always the same.
func newer(a, b *types.Image) bool {
	x, y := aws.ToString(a.CreationDate), aws.ToString(b.CreationDate)
	return x > y || x == y && aws.ToString(a.ImageId) > aws.ToString(b.ImageId)
}

// request is what RunInstances gets. The image is nil when only EC2 knows it.
func (s *Settings) request(req provider.Request, o offer, image *types.Image) (*ec2.RunInstancesInput, error) {
	if n := len(req.Bootstrap.UserData); n > scriptLimit {
		return nil, provider.Errorf(provider.Invalid, "the startup script has %d bytes, user data of EC2 hold %d", n, scriptLimit)
	}
	for key, value := range map[string]string{
		provider.TagInstallation: req.Tags.Installation, provider.TagServer: req.Tags.Server,
		provider.TagAutoscale: req.Tags.AutoscaleConfig, provider.TagProvider: req.Tags.Provider, nameTag: req.Name,
	} {
		if len([]rune(value)) > 256 || !tagRule.MatchString(value) {
			return nil, provider.Errorf(provider.Invalid, "the tag %s of the machine is %q, which no tag of AWS can hold", key, value)
		}
	}
	in := &ec2.RunInstancesInput{}
	if s.KeyName != "" {
		in.KeyName = aws.String(s.KeyName)
	}
	if p := s.IAMInstanceProfile; strings.HasPrefix(p, "arn:") {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String(p)}
	} else if p != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(p)}
	}
	if s.imdsV2() {
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled}
	} else {
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateOptional, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled}
	}
	if o.spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{}
	}
	if err := s.applyOverride(in); err != nil {
		return nil, err
	}
	s.seal(in, req, o)
	s.sealDevices(in, image)
	s.sealInterfaces(in, o)
	return in, nil
}

// seal sets what no override may change: what the machine is, what it is found
// by, and what it runs.
func (s *Settings) seal(in *ec2.RunInstancesInput, req provider.Request, o offer) {
	in.MinCount, in.MaxCount = aws.Int32(1), aws.Int32(1)
	in.ClientToken = aws.String(clientToken(req.Token))
	in.InstanceType = types.InstanceType(o.instanceType)
	if len(req.Bootstrap.UserData) > 0 {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(req.Bootstrap.UserData))
	}
	tags := s.tags(req.Name, req.Tags)
	kinds := []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface}
	if !o.spot {
		in.InstanceMarketOptions = nil
	} else {
		kinds = append(kinds, types.ResourceTypeSpotInstancesRequest)
		if in.InstanceMarketOptions == nil {
			in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{}
		}
		in.InstanceMarketOptions.MarketType = types.MarketTypeSpot
		if in.InstanceMarketOptions.SpotOptions == nil {
			in.InstanceMarketOptions.SpotOptions = &types.SpotMarketOptions{}
		}
		// A persistent request would make further machines by itself.
		in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypeOneTime
		in.InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior = types.InstanceInterruptionBehaviorTerminate
	}
	in.TagSpecifications = nil
	for _, kind := range kinds {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: tags})
	}
}

// sealDevices adds the root volume, and lets every volume end with the instance:
// those of the override, and those that the image asks for.
func (s *Settings) sealDevices(in *ec2.RunInstancesInput, image *types.Image) {
	root := s.RootDeviceName
	in.ImageId = aws.String(s.AMIID)
	var devices []types.BlockDeviceMapping
	if image != nil {
		in.ImageId = image.ImageId
		if root == "" {
			root = aws.ToString(image.RootDeviceName)
		}
		devices = image.BlockDeviceMappings
	}
	at := func(name string) *types.BlockDeviceMapping {
		for i := range in.BlockDeviceMappings {
			if aws.ToString(in.BlockDeviceMappings[i].DeviceName) == name {
				return &in.BlockDeviceMappings[i]
			}
		}
		return nil
	}
	for _, d := range devices {
		name := aws.ToString(d.DeviceName)
		keeps := d.Ebs != nil && d.Ebs.DeleteOnTermination != nil && !*d.Ebs.DeleteOnTermination
		if name != root && keeps && at(name) == nil {
			in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: d.DeviceName, Ebs: &types.EbsBlockDevice{}})
		}
	}
	if root != "" {
		if at(root) == nil {
			in.BlockDeviceMappings = append([]types.BlockDeviceMapping{{DeviceName: aws.String(root)}}, in.BlockDeviceMappings...)
		}
		m := at(root)
		if m.Ebs == nil {
			m.Ebs = &types.EbsBlockDevice{}
		}
		if m.Ebs.VolumeSize == nil && s.RootVolumeSize > 0 {
			m.Ebs.VolumeSize = aws.Int32(int32(s.RootVolumeSize)) //nolint:gosec // at most 65536, by the rule of the setting
		}
		if m.Ebs.VolumeType == "" {
			m.Ebs.VolumeType = types.VolumeType(orGP3(s.RootVolumeType))
		}
	}
	for i := range in.BlockDeviceMappings {
		if e := in.BlockDeviceMappings[i].Ebs; e != nil {
			e.DeleteOnTermination = aws.Bool(true)
		}
	}
}

func orGP3(kind string) string {
	if kind == "" {
		return string(types.VolumeTypeGp3)
	}
	return kind
}

// sealInterfaces puts the machine into its subnet, and lets every interface that
// is made for it end with it.
func (s *Settings) sealInterfaces(in *ec2.RunInstancesInput, o offer) {
	for i := range in.SecondaryInterfaces {
		in.SecondaryInterfaces[i].DeleteOnTermination = aws.Bool(true)
	}
	if o.subnet == "" && len(in.NetworkInterfaces) == 0 {
		in.SecurityGroupIds = s.SecurityGroupIDs // the interface that EC2 makes by itself ends with the instance
		return
	}
	if len(in.NetworkInterfaces) == 0 {
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0)}}
	}
	for i := range in.NetworkInterfaces {
		n := &in.NetworkInterfaces[i]
		if n.NetworkInterfaceId != nil {
			continue // an interface that was there before is not the machine's
		}
		n.DeleteOnTermination = aws.Bool(true)
		if n.DeviceIndex == nil {
			n.DeviceIndex = aws.Int32(int32(i)) //nolint:gosec // a handful
		}
		if o.subnet != "" {
			n.SubnetId = aws.String(o.subnet)
		}
		if len(n.Groups) == 0 {
			n.Groups = s.SecurityGroupIDs
		}
		if *n.DeviceIndex == 0 && n.AssociatePublicIpAddress == nil && len(in.NetworkInterfaces) == 1 {
			n.AssociatePublicIpAddress = s.PublicIP
		}
	}
}
