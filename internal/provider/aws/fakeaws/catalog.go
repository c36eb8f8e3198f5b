package fakeaws

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

type subnetPlace struct {
	zone, vpc string
	net       int
	public    bool
}

// subnets are those of every account; the first is a default subnet.
var subnets = map[string]subnetPlace{
	"subnet-0000000000000000a": {"eu-central-1a", "vpc-0000000000000000a", 1, true},
	"subnet-0000000000000000b": {"eu-central-1b", "vpc-0000000000000000a", 2, false},
	"subnet-0000000000000000c": {"eu-central-1c", "vpc-0000000000000000a", 3, false},
	"subnet-0000000000000000f": {"eu-central-1a", "vpc-0000000000000000f", 6, false},
}

type typeInfo struct {
	arch          string
	cores, memory int
	zones         []string
}

var (
	everywhere = []string{"eu-central-1a", "eu-central-1b", "eu-central-1c"}
	types      = map[string]typeInfo{
		"m6i.large":   {"x86_64", 2, 8192, everywhere},
		"m5.large":    {"x86_64", 2, 8192, everywhere},
		"t2.small":    {"x86_64", 1, 2048, everywhere},
		"c6g.large":   {"arm64", 2, 4096, everywhere},
		"g4dn.xlarge": {"x86_64", 4, 16384, everywhere[:1]},
	}
)

func imageOf(id, name, owner, arch, root, date string, size int) map[string]any {
	return map[string]any{
		"ImageId": id, "Name": name, "OwnerId": owner, "Architecture": arch, "RootDeviceName": root, "RootDeviceType": "ebs", "State": "available", "CreationDate": date,
		"VirtualizationType": "hvm", "Hypervisor": "xen", "EnaSupport": true, "ImageType": "machine",
		"BlockDeviceMappings": []any{map[string]any{"DeviceName": root, "Ebs": map[string]any{"VolumeSize": int64(size), "VolumeType": "gp2", "DeleteOnTermination": true, "SnapshotId": "snap-0fa4e"}}},
	}
}

const ubuntu = "099720109477"

func publicImages(self string) []map[string]any {
	golden := imageOf("ami-000000000000000d0", "golden-7", self, "x86_64", "/dev/sda1", "2026-05-01T00:00:00.000Z", 20)
	devices, _ := golden["BlockDeviceMappings"].([]any)
	// An image with a second volume that was registered so that it stays.
	golden["BlockDeviceMappings"] = append(devices, map[string]any{"DeviceName": "/dev/sdf", "Ebs": map[string]any{"VolumeSize": int64(5), "VolumeType": "gp2", "DeleteOnTermination": false}})
	windows := imageOf("ami-000000000000000e0", "Windows_Server-2022-English-Full-Base-2026.11.12", "801119661308", "x86_64", "/dev/sda1", "2026-11-12T00:00:00.000Z", 30)
	windows["Platform"] = "windows"
	return []map[string]any{
		imageOf("ami-000000000000000a0", "debian-12-amd64-20261101", "136693071363", "x86_64", "/dev/xvda", "2026-11-01T00:00:00.000Z", 8),
		imageOf("ami-000000000000000b1", "ubuntu/images/hvm-ssd/ubuntu-noble-24.04-amd64-server-20261001", ubuntu, "x86_64", "/dev/sda1", "2026-10-01T00:00:00.000Z", 8),
		imageOf("ami-000000000000000b2", "ubuntu/images/hvm-ssd/ubuntu-noble-24.04-amd64-server-20261102", ubuntu, "x86_64", "/dev/sda1", "2026-11-02T00:00:00.000Z", 8),
		imageOf("ami-000000000000000bf", "ubuntu/images/hvm-ssd/ubuntu-noble-24.04-amd64-server-20991231", "666666666666", "x86_64", "/dev/sda1", "2099-12-31T00:00:00.000Z", 8),
		imageOf("ami-000000000000000c0", "debian-12-arm64-20261101", "136693071363", "arm64", "/dev/xvda", "2026-11-01T00:00:00.000Z", 8),
		golden, windows,
	}
}

func (a *Account) describeImages(in map[string]any) (map[string]any, *refusal) {
	ids, owners := textsOf(in, "ImageIds"), textsOf(in, "Owners")
	for _, id := range ids {
		if !strings.HasPrefix(id, "ami-") {
			return nil, refuse(bad, "InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
		}
		if !slices.ContainsFunc(a.images, func(i map[string]any) bool { return textOf(i, "ImageId") == id }) {
			return nil, refuse(bad, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
	}
	all := []any{}
	for _, i := range a.images {
		owner := textOf(i, "OwnerId")
		if len(ids) > 0 && !slices.Contains(ids, textOf(i, "ImageId")) || len(owners) > 0 && !slices.ContainsFunc(owners, func(o string) bool {
			return o == owner || o == "self" && owner == a.ID || o == "amazon" && owner == "801119661308"
		}) {
			continue
		}
		ok, no := fits(in, nil, map[string][]string{"name": {textOf(i, "Name")}, "state": {textOf(i, "State")}, "architecture": {textOf(i, "Architecture")}})
		if no != nil {
			return nil, no
		}
		if ok {
			all = append(all, i)
		}
	}
	part, next, no := paged(in, all)
	return listing("Images", part, next), no
}

func (a *Account) describeSubnets(in map[string]any) (map[string]any, *refusal) {
	ids := textsOf(in, "SubnetIds")
	for _, id := range ids {
		if _, ok := subnets[id]; !ok {
			return nil, refuse(bad, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	all := []any{}
	for _, id := range sorted(subnets) {
		ok, no := fits(in, nil, map[string][]string{"subnet-id": {id}})
		if no != nil {
			return nil, no
		}
		if s := subnets[id]; ok && (len(ids) == 0 || slices.Contains(ids, id)) {
			all = append(all, map[string]any{
				"SubnetId": id, "VpcId": s.vpc, "AvailabilityZone": s.zone, "CidrBlock": fmt.Sprintf("10.0.%d.0/24", s.net), "AvailableIpAddressCount": 250,
				"MapPublicIpOnLaunch": s.public, "State": "available", "DefaultForAz": s.public,
			})
		}
	}
	return listing("Subnets", all, ""), nil
}

func (a *Account) describeGroups(in map[string]any) (map[string]any, *refusal) {
	groups := map[string]string{"sg-0000000000000000a": "vpc-0000000000000000a", "sg-0000000000000000b": "vpc-0000000000000000a", "sg-0000000000000000f": "vpc-0000000000000000f"}
	ids := textsOf(in, "GroupIds")
	for _, id := range ids {
		if groups[id] == "" {
			return nil, refuse(bad, "InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	all := []any{}
	for _, id := range sorted(groups) {
		ok, no := fits(in, nil, map[string][]string{"group-id": {id}})
		if no != nil {
			return nil, no
		}
		if ok && (len(ids) == 0 || slices.Contains(ids, id)) {
			all = append(all, map[string]any{"GroupId": id, "GroupName": "desk", "VpcId": groups[id], "Description": "desktops"})
		}
	}
	return listing("SecurityGroups", all, ""), nil
}

func (a *Account) describeKeys(in map[string]any) (map[string]any, *refusal) {
	for _, name := range textsOf(in, "KeyNames") {
		if name != "desk" && name != "curve" {
			return nil, refuse(bad, "InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
		}
	}
	all := []any{}
	for name, kind := range map[string]string{"desk": "rsa", "curve": "ed25519"} {
		ok, no := fits(in, nil, map[string][]string{"key-name": {name}})
		if no != nil {
			return nil, no
		}
		if names := textsOf(in, "KeyNames"); ok && (len(names) == 0 || slices.Contains(names, name)) {
			all = append(all, map[string]any{"KeyName": name, "KeyType": kind, "KeyPairId": "key-0fa4e"})
		}
	}
	return map[string]any{"KeyPairs": all}, nil
}

func (a *Account) describeTypes(in map[string]any) (map[string]any, *refusal) {
	names := textsOf(in, "InstanceTypes")
	for _, name := range names {
		if _, ok := types[name]; !ok {
			return nil, refuse(bad, "InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
	}
	all := []any{}
	for _, name := range sorted(types) {
		ok, no := fits(in, nil, map[string][]string{"instance-type": {name}})
		if no != nil {
			return nil, no
		}
		if t := types[name]; ok && (len(names) == 0 || slices.Contains(names, name)) {
			all = append(all, map[string]any{
				"InstanceType": name, "VCpuInfo": map[string]any{"DefaultVCpus": t.cores}, "MemoryInfo": map[string]any{"SizeInMiB": t.memory}, "CurrentGeneration": true,
				"ProcessorInfo": map[string]any{"SupportedArchitectures": []any{t.arch}}, "SupportedUsageClasses": []any{"on-demand", "spot"},
			})
		}
	}
	part, next, no := paged(in, all)
	return listing("InstanceTypes", part, next), no
}

func (a *Account) describeOfferings(in map[string]any) (map[string]any, *refusal) {
	if textOf(in, "LocationType") != "availability-zone" {
		return nil, refuse(bad, "InvalidParameterValue", "The fake tells offerings by zone.")
	}
	all := []any{}
	for _, name := range sorted(types) {
		for _, zone := range types[name].zones {
			ok, no := fits(in, nil, map[string][]string{"instance-type": {name}, "location": {zone}})
			if no != nil {
				return nil, no
			}
			if ok {
				all = append(all, map[string]any{"InstanceType": name, "LocationType": "availability-zone", "Location": zone})
			}
		}
	}
	part, next, no := paged(in, all)
	return listing("InstanceTypeOfferings", part, next), no
}

func (a *Account) describeRegions(map[string]any) (map[string]any, *refusal) {
	return map[string]any{"Regions": []any{
		map[string]any{"RegionName": "eu-central-1", "Endpoint": "ec2.eu-central-1.amazonaws.com", "OptInStatus": "opt-in-not-required"},
		map[string]any{"RegionName": "us-east-1", "Endpoint": "ec2.us-east-1.amazonaws.com", "OptInStatus": "opt-in-not-required"},
	}}, nil
}

func (a *Account) describeSpots(in map[string]any) (map[string]any, *refusal) {
	all := []any{}
	for _, id := range sorted(a.spots) {
		s := *a.spots[id]
		status, _ := s["Status"].(map[string]any)
		ok, no := fits(in, listOf(s, "Tags"), map[string][]string{"status-code": {textOf(status, "Code")}, "state": {textOf(s, "State")}})
		if no != nil {
			return nil, no
		}
		if ok {
			all = append(all, map[string]any(s))
		}
	}
	part, next, no := paged(in, all)
	return listing("SpotInstanceRequests", part, next), no
}

func (a *Account) describeVolumes(in map[string]any) (map[string]any, *refusal) {
	all := []any{}
	for _, id := range sorted(a.volumes) {
		v := *a.volumes[id]
		ok, no := fits(in, listOf(v, "Tags"), map[string][]string{"status": {textOf(v, "State")}})
		if no != nil {
			return nil, no
		}
		if ok {
			all = append(all, map[string]any(v))
		}
	}
	part, next, no := paged(in, all)
	return listing("Volumes", part, next), no
}

func (a *Account) describeNICs(in map[string]any) (map[string]any, *refusal) {
	all := []any{}
	for _, id := range sorted(a.nics) {
		n := *a.nics[id]
		ok, no := fits(in, listOf(n, "TagSet"), map[string][]string{"status": {textOf(n, "Status")}})
		if no != nil {
			return nil, no
		}
		if ok {
			all = append(all, map[string]any(n))
		}
	}
	part, next, no := paged(in, all)
	return listing("NetworkInterfaces", part, next), no
}

func (a *Account) deleteVolume(in map[string]any) (map[string]any, *refusal) {
	id := textOf(in, "VolumeId")
	v := a.volumes[id]
	switch {
	case v == nil:
		return nil, refuse(bad, "InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	case textOf(*v, "State") != "available":
		return nil, refuse(bad, "VolumeInUse", "Volume %s is currently attached", id)
	}
	if in["DryRun"] != true {
		delete(a.volumes, id)
	}
	return nil, nil
}

func (a *Account) deleteNIC(in map[string]any) (map[string]any, *refusal) {
	id := textOf(in, "NetworkInterfaceId")
	n := a.nics[id]
	switch {
	case n == nil:
		return nil, refuse(bad, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
	case textOf(*n, "Status") != "available":
		return nil, refuse(bad, "InvalidParameterValue", "Network interface '%s' is currently in use.", id)
	}
	if in["DryRun"] != true {
		delete(a.nics, id)
	}
	return nil, nil
}

// sts answers a call to the token service.
func (a *Account) sts(c *call) (map[string]any, *refusal) {
	switch c.name {
	case "GetCallerIdentity":
		arn := "arn:aws:iam::" + a.ID + ":user/headroom"
		if c.login.role != "" {
			arn = "arn:aws:sts::" + a.ID + ":assumed-role/headroom/headroom"
		}
		return map[string]any{"Account": a.ID, "Arn": arn, "UserId": "AIDAFAKE"}, nil
	case "AssumeRole":
		role := textOf(c.in, "RoleArn")
		want, known := a.roles[role]
		if !known || want != textOf(c.in, "ExternalId") || a.lacking["sts:AssumeRole"] {
			return nil, refuse(403, "AccessDenied", "User: arn:aws:iam::%s:user/headroom is not authorized to perform: sts:AssumeRole on resource: %s", a.ID, role)
		}
		a.server.serial++
		a.minted++
		id := fmt.Sprintf("ASIAFAKE%012d", a.server.serial)
		l := &login{account: a, secret: "minted/secret/" + id, token: "minted-token-of-" + id, role: role, ends: time.Now().Add(time.Hour)}
		a.server.accounts[id] = l
		return map[string]any{
			"Credentials":     map[string]any{"AccessKeyId": id, "SecretAccessKey": l.secret, "SessionToken": l.token, "Expiration": l.ends},
			"AssumedRoleUser": map[string]any{"AssumedRoleId": "AROAFAKE:headroom", "Arn": "arn:aws:sts::" + a.ID + ":assumed-role/headroom/headroom"},
		}, nil
	}
	return nil, refuse(bad, "InvalidAction", "Could not find operation %s", c.name)
}
