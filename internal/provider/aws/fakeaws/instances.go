package fakeaws

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (a *Account) id(kind string) string {
	a.server.serial++
	return fmt.Sprintf("%s-%017x", kind, 0xfa4e0000+a.server.serial)
}

const bad = http.StatusBadRequest

// run is RunInstances.
func (a *Account) run(in map[string]any) (map[string]any, *refusal) {
	if in["MinCount"] != int64(1) || in["MaxCount"] != int64(1) {
		return nil, refuse(bad, "InvalidParameterValue", "The fake makes one instance at a time.")
	}
	subnet, instanceType := subnetOf(in), textOf(in, "InstanceType")
	if subnet == "" {
		subnet = "subnet-0000000000000000a"
	}
	place := subnets[subnet]
	if place.zone == "" {
		return nil, refuse(bad, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", subnet)
	}
	token := textOf(in, "ClientToken")
	if token == "" || len(token) > 64 {
		return nil, refuse(bad, "InvalidParameterValue", "Value (%s) for parameter clientToken is invalid.", token)
	}
	remembered := map[string]any{}
	for key, value := range in {
		if key != "DryRun" {
			remembered[key] = value
		}
	}
	text, err := json.Marshal(remembered)
	if err != nil {
		panic(err)
	}
	key := token + "@" + place.zone // zonal idempotency: a subnet is named
	if before := a.tokens[key]; before != nil && in["DryRun"] != true {
		switch {
		case before.asked != string(text):
			return nil, refuse(bad, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		case before.id != "" && a.instances[before.id] == nil:
			return nil, refuse(bad, "IdempotentInstanceTerminated", "The instance that was made with this token has been terminated.")
		case before.id != "":
			return a.reservation(a.instances[before.id]), nil
		}
	}
	if no := a.badReference(in, place); no != nil {
		return nil, no
	}
	spot := spotOf(in)
	offer := instanceType + "@" + subnet
	if spot {
		offer += "/spot"
	}
	code := a.soldOut[offer]
	switch {
	case in["DryRun"] == true:
		return nil, dryRun()
	case code != "":
		a.tokens[key] = &launch{asked: string(text)}
		return nil, refuse(http.StatusInternalServerError, code, "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.", instanceType, place.zone)
	case a.running() >= a.limit:
		return nil, refuse(bad, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", a.limit)
	}
	i := a.build(in, subnet, spot)
	a.tokens[key] = &launch{asked: string(text), id: i.id}
	return a.reservation(i), nil
}

func spotOf(in map[string]any) bool {
	market, _ := in["InstanceMarketOptions"].(map[string]any)
	return textOf(market, "MarketType") == "spot"
}

func subnetOf(in map[string]any) string {
	for _, n := range listOf(in, "NetworkInterfaces") {
		if s := textOf(n, "SubnetId"); s != "" {
			return s
		}
	}
	return textOf(in, "SubnetId")
}

func (a *Account) running() int {
	n := 0
	for _, i := range a.instances {
		if i.state() != "terminated" {
			n++
		}
	}
	return n
}

func (a *Account) reservation(list ...*instance) map[string]any {
	items := []any{}
	for _, i := range list {
		items = append(items, i.show)
	}
	return map[string]any{"ReservationId": "r-0fa4e", "OwnerId": a.ID, "Instances": items}
}

var ssmParameter = "/aws/service/debian/release/12/latest/amd64"

// badReference refuses what does not exist, as the service words it.
func (a *Account) badReference(in map[string]any, place subnetPlace) *refusal {
	id := textOf(in, "ImageId")
	if name, is := strings.CutPrefix(id, "resolve:ssm:"); is {
		if name != ssmParameter {
			return refuse(bad, "InvalidParameterValue", "Could not resolve SSM parameter %s", name)
		}
		id = textOf(a.images[0], "ImageId")
	}
	at := slices.IndexFunc(a.images, func(i map[string]any) bool { return textOf(i, "ImageId") == id })
	if at < 0 {
		return refuse(bad, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	instanceType := textOf(in, "InstanceType")
	t, known := types[instanceType]
	switch {
	case !known:
		return refuse(bad, "InvalidParameterValue", "Invalid value '%s' for InstanceType.", instanceType)
	case !slices.Contains(t.zones, place.zone):
		return refuse(bad, "Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). Please retry your request by not specifying an Availability Zone or choosing %s.", instanceType, place.zone, strings.Join(t.zones, ", "))
	case t.arch != textOf(a.images[at], "Architecture"):
		return refuse(bad, "InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI.", t.arch, textOf(a.images[at], "Architecture"))
	}
	groups := textsOf(in, "SecurityGroupIds")
	for _, n := range listOf(in, "NetworkInterfaces") {
		groups = append(groups, textsOf(n, "Groups")...)
		if in["SubnetId"] != nil || in["SecurityGroupIds"] != nil {
			return refuse(bad, "InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
		}
	}
	for _, g := range groups {
		if g != "sg-0000000000000000a" && g != "sg-0000000000000000b" {
			return refuse(bad, "InvalidGroup.NotFound", "The security group '%s' does not exist", g)
		}
	}
	if k := textOf(in, "KeyName"); k != "" && k != "desk" {
		return refuse(bad, "InvalidKeyPair.NotFound", "The key pair '%s' does not exist", k)
	}
	profile, _ := in["IamInstanceProfile"].(map[string]any)
	if n := textOf(profile, "Name"); n != "" && n != "desktops" {
		return refuse(bad, "InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", n)
	}
	text, err := base64.StdEncoding.DecodeString(textOf(in, "UserData"))
	if err != nil {
		return refuse(bad, "InvalidParameterValue", "Invalid BASE64 encoding of user data.")
	}
	if len(text) > 16<<10 {
		return refuse(bad, "InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	for _, s := range listOf(in, "TagSpecifications") {
		for _, t := range listOf(s, "Tags") {
			if !regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`).MatchString(textOf(t, "Key") + textOf(t, "Value")) {
				return refuse(bad, "InvalidParameterValue", "Tag value is invalid.")
			}
		}
		if textOf(s, "ResourceType") == "spot-instances-request" && !spotOf(in) {
			return refuse(bad, "InvalidParameterValue", "'spot-instances-request' is not a valid taggable resource type for this operation.")
		}
	}
	return nil
}

// tagsFor are the tags that a request sets on a kind of object.
func tagsFor(in map[string]any, kind string) []any {
	for _, s := range listOf(in, "TagSpecifications") {
		if textOf(s, "ResourceType") == kind {
			list, _ := s["Tags"].([]any)
			return slices.Clone(list)
		}
	}
	return []any{}
}

// build makes an instance with its volumes and interfaces.
func (a *Account) build(in map[string]any, subnet string, spot bool) *instance {
	now := time.Now().UTC().Truncate(time.Second)
	place := subnets[subnet]
	id := a.id("i")
	i := &instance{id: id, asked: in, shown: time.Now().Add(a.lag), runs: time.Now().Add(a.boot), keep: map[string]bool{}}
	image := a.images[0]
	for _, m := range a.images {
		if textOf(m, "ImageId") == textOf(in, "ImageId") {
			image = m
		}
	}
	address := fmt.Sprintf("10.0.%d.%d", place.net, 4+a.server.serial%250)
	i.show = map[string]any{
		"InstanceId": id, "ImageId": textOf(image, "ImageId"), "State": state("pending"), "InstanceType": textOf(in, "InstanceType"), "LaunchTime": now,
		"Placement": map[string]any{"AvailabilityZone": place.zone}, "SubnetId": subnet, "VpcId": place.vpc, "PrivateIpAddress": address, "ClientToken": textOf(in, "ClientToken"),
		"Tags": tagsFor(in, "instance"), "RootDeviceName": textOf(image, "RootDeviceName"), "RootDeviceType": "ebs", "Architecture": textOf(image, "Architecture"),
	}
	var attached []any
	devices := listOf(image, "BlockDeviceMappings")
	for _, m := range listOf(in, "BlockDeviceMappings") {
		at := slices.IndexFunc(devices, func(d map[string]any) bool { return textOf(d, "DeviceName") == textOf(m, "DeviceName") })
		if at < 0 {
			devices = append(devices, m)
			continue
		}
		merged := map[string]any{}
		for _, from := range []map[string]any{ebsOf(devices[at]), ebsOf(m)} {
			for key, value := range from {
				merged[key] = value
			}
		}
		devices = slices.Clone(devices)
		devices[at] = map[string]any{"DeviceName": textOf(m, "DeviceName"), "Ebs": merged}
	}
	for _, m := range devices {
		ebs := ebsOf(m)
		if ebs == nil {
			continue
		}
		v := a.id("vol")
		size, kind := ebs["VolumeSize"], textOf(ebs, "VolumeType")
		if size == nil {
			size = int64(8)
		}
		if kind == "" {
			kind = "gp2"
		}
		ends := ebs["DeleteOnTermination"] == true
		a.volumes[v] = &object{
			"VolumeId": v, "State": "in-use", "CreateTime": now, "Size": size, "VolumeType": kind, "AvailabilityZone": place.zone, "Tags": tagsFor(in, "volume"),
			"Attachments": []any{map[string]any{"InstanceId": id, "VolumeId": v, "Device": textOf(m, "DeviceName"), "State": "attached", "DeleteOnTermination": ends}},
		}
		attached = append(attached, map[string]any{"DeviceName": textOf(m, "DeviceName"), "Ebs": map[string]any{"VolumeId": v, "Status": "attached", "DeleteOnTermination": ends, "AttachTime": now}})
	}
	i.show["BlockDeviceMappings"] = attached
	specs := listOf(in, "NetworkInterfaces")
	if len(specs) == 0 {
		specs = []map[string]any{{"DeviceIndex": int64(0), "DeleteOnTermination": true}}
	}
	var nics []any
	for n, spec := range specs {
		e := a.id("eni")
		ends := spec["DeleteOnTermination"] != false && (n == 0 || spec["DeleteOnTermination"] == true)
		a.nics[e] = &object{
			"NetworkInterfaceId": e, "Status": "in-use", "SubnetId": subnet, "VpcId": place.vpc, "TagSet": tagsFor(in, "network-interface"), "PrivateIpAddress": address,
			"Attachment": map[string]any{"InstanceId": id, "AttachmentId": "eni-attach-1", "DeleteOnTermination": ends, "DeviceIndex": n, "Status": "attached"},
		}
		shown := map[string]any{"NetworkInterfaceId": e, "SubnetId": subnet, "VpcId": place.vpc, "PrivateIpAddress": address, "Status": "in-use"}
		if public, said := spec["AssociatePublicIpAddress"].(bool); said && public || !said && place.public {
			shown["Association"] = map[string]any{"PublicIp": "203.0.113.7", "IpOwnerId": "amazon"}
			i.show["PublicIpAddress"] = "203.0.113.7"
		}
		nics = append(nics, shown)
	}
	i.show["NetworkInterfaces"] = nics
	if spot {
		s := a.id("sir")
		i.show["InstanceLifecycle"], i.show["SpotInstanceRequestId"] = "spot", s
		a.spots[s] = &object{
			"SpotInstanceRequestId": s, "InstanceId": id, "State": "active", "Type": "one-time", "CreateTime": now, "Tags": tagsFor(in, "spot-instances-request"),
			"Status": map[string]any{"Code": "fulfilled", "Message": "Your spot request is fulfilled.", "UpdateTime": now},
		}
	}
	a.instances[id] = i
	return i
}

func ebsOf(m map[string]any) map[string]any { e, _ := m["Ebs"].(map[string]any); return e }

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// find is an instance that the API shows.
func (a *Account) find(id string) (*instance, *refusal) {
	if !instanceID.MatchString(id) {
		return nil, refuse(bad, "InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
	}
	i := a.instances[id]
	if i == nil || time.Now().Before(i.shown) {
		return nil, refuse(bad, "InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	}
	return i, nil
}

// terminate is TerminateInstances.
func (a *Account) terminate(in map[string]any) (map[string]any, *refusal) {
	var out []any
	for _, id := range textsOf(in, "InstanceIds") {
		i, no := a.find(id)
		if no != nil {
			return nil, no
		}
		if i.asked["DisableApiTermination"] == true {
			return nil, refuse(bad, "OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", id)
		}
		before := i.show["State"]
		if i.state() == "shutting-down" && in["DryRun"] != true {
			if soon := time.Now().Add(a.vanish); i.gone.After(soon) {
				i.gone = soon
			}
		}
		if i.state() != "terminated" && i.state() != "shutting-down" && in["DryRun"] != true {
			i.show["State"] = state("shutting-down")
			i.show["StateReason"] = map[string]any{"Code": "Client.UserInitiatedShutdown", "Message": "Client.UserInitiatedShutdown: User initiated shutdown"}
			i.gone = time.Now().Add(a.vanish)
		}
		out = append(out, map[string]any{"InstanceId": id, "CurrentState": i.show["State"], "PreviousState": before})
	}
	return map[string]any{"TerminatingInstances": out}, nil
}

// describe is DescribeInstances: one reservation for each instance.
func (a *Account) describe(in map[string]any) (map[string]any, *refusal) {
	ids := textsOf(in, "InstanceIds")
	var all []any
	for _, id := range ids {
		i, no := a.find(id)
		if no != nil {
			return nil, no
		}
		all = append(all, a.reservation(i))
	}
	for _, id := range sorted(a.instances) {
		i := a.instances[id]
		if len(ids) > 0 || time.Now().Before(i.shown) {
			continue
		}
		ok, no := fits(in, listOf(i.show, "Tags"), map[string][]string{"client-token": {textOf(i.show, "ClientToken")}, "instance-state-name": {i.state()}})
		if no != nil {
			return nil, no
		}
		if ok {
			all = append(all, a.reservation(i))
		}
	}
	part, next, no := paged(in, all)
	return listing("Reservations", part, next), no
}

// status is DescribeInstanceStatus, of instances with scheduled events.
func (a *Account) status(in map[string]any) (map[string]any, *refusal) {
	all := []any{}
	for _, id := range sorted(a.events) {
		var codes []string
		for _, e := range listOf(map[string]any{"e": a.events[id]}, "e") {
			codes = append(codes, textOf(e, "Code"))
		}
		ok, no := fits(in, nil, map[string][]string{"event.code": codes})
		if no != nil {
			return nil, no
		}
		if i := a.instances[id]; ok && i != nil && i.state() == "running" {
			all = append(all, map[string]any{"InstanceId": id, "Events": a.events[id], "InstanceState": i.show["State"]})
		}
	}
	part, next, no := paged(in, all)
	return listing("InstanceStatuses", part, next), no
}

func (a *Account) console(in map[string]any) (map[string]any, *refusal) {
	i, no := a.find(textOf(in, "InstanceId"))
	if no != nil {
		return nil, no
	}
	if in["Latest"] == true && strings.HasPrefix(textOf(i.show, "InstanceType"), "t2.") {
		return nil, refuse(bad, "UnsupportedOperation", "This instance type does not support retrieving the latest console logs.")
	}
	text := base64.StdEncoding.EncodeToString([]byte("[    0.000000] Linux version 6.1.0\ncloud-init: words of the script\nlogin: " + i.console))
	return map[string]any{"InstanceId": i.id, "Output": text[:20] + "\n" + text[20:], "Timestamp": time.Now()}, nil
}

func (a *Account) passwordData(in map[string]any) (map[string]any, *refusal) {
	i, no := a.find(textOf(in, "InstanceId"))
	if no != nil {
		return nil, no
	}
	return map[string]any{"InstanceId": i.id, "PasswordData": i.password, "Timestamp": time.Now()}, nil
}
