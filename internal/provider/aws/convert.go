package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// tags are those of everything that is made for a machine, in order of key.
func (s *Settings) tags(name string, t provider.Tags) []types.Tag {
	all := map[string]string{
		nameTag: name, provider.TagInstallation: t.Installation, provider.TagServer: t.Server,
		provider.TagAutoscale: t.AutoscaleConfig, provider.TagProvider: t.Provider,
	}
	for key, value := range s.Tags {
		if _, own := all[key]; !own {
			all[key] = value
		}
	}
	var out []types.Tag
	for _, key := range sortedKeys(all) {
		out = append(out, types.Tag{Key: aws.String(key), Value: aws.String(all[key])})
	}
	return out
}

func tagsOf(list []types.Tag) (name string, t provider.Tags) {
	m := map[string]string{}
	for _, tag := range list {
		m[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return m[nameTag], provider.Tags{
		Installation: m[provider.TagInstallation], Server: m[provider.TagServer],
		AutoscaleConfig: m[provider.TagAutoscale], Provider: m[provider.TagProvider],
	}
}

// ownerFilter lets the service pick what is the owner's.
func ownerFilter(o provider.Owner, more ...types.Filter) []types.Filter {
	return append([]types.Filter{
		filter("tag:"+provider.TagInstallation, o.Installation), filter("tag:"+provider.TagProvider, o.Provider),
	}, more...)
}

// filter is a condition. EC2 takes * and ? in values as wildcards; they are
// escaped, so that only the value itself fits.
func filter(name string, values ...string) types.Filter {
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(v)
	}
	return types.Filter{Name: aws.String(name), Values: escaped}
}

// clientToken makes the idempotency token, which EC2 limits to 64 ASCII
// characters.
func clientToken(token string) string {
	sum := sha256.Sum256([]byte("headroom create " + token))
	return hex.EncodeToString(sum[:])
}

// offer is an instance type in a subnet, on one of the two markets.
type offer struct {
	instanceType, subnet string // no subnet: the default one
	spot                 bool
}

func (o offer) String() string {
	text := o.instanceType
	if o.subnet != "" {
		text += "@" + o.subnet
	}
	if o.spot {
		text += "/spot"
	}
	return text
}

// offers are in order of preference; among subnets the one at first begins.
func (s *Settings) offers(first int) []offer {
	subnets := s.SubnetIDs
	if len(subnets) == 0 {
		subnets = []string{""}
	}
	markets := []bool{s.Spot}
	if s.Spot && s.OnDemandFallback {
		markets = append(markets, false)
	}
	var out []offer
	for _, spot := range markets {
		for _, t := range s.InstanceTypes {
			for i := range subnets {
				out = append(out, offer{instanceType: t, subnet: subnets[(first+i)%len(subnets)], spot: spot})
			}
		}
	}
	return out
}

// offerOf reads an offer; empty stands for the first.
func (s *Settings) offerOf(text string) (offer, error) {
	all := s.offers(0)
	if text == "" && len(all) > 0 {
		return all[0], nil
	}
	for _, o := range all {
		if o.String() == text {
			return o, nil
		}
	}
	return offer{}, provider.Errorf(provider.Invalid, "%q is not one of the config's instance types, subnets and markets", text)
}

// instance is an instance as the contract shows it; gone says that nothing is
// left of it.
func (d *driver) instance(i *types.Instance) (out provider.Instance, gone bool) {
	out = provider.Instance{ID: aws.ToString(i.InstanceId), CreatedAt: aws.ToTime(i.LaunchTime)}
	out.Name, out.Tags = tagsOf(i.Tags)
	o := offer{instanceType: string(i.InstanceType), spot: i.InstanceLifecycle == types.InstanceLifecycleTypeSpot}
	if len(d.settings.SubnetIDs) > 0 {
		o.subnet = aws.ToString(i.SubnetId)
	}
	out.Offer, out.Capacity = o.String(), capacity(o.instanceType)
	for _, public := range []bool{true, false} {
		for _, n := range i.NetworkInterfaces {
			if public {
				if n.Association != nil {
					out.Addresses = addAddress(out.Addresses, n.Association.PublicIp)
				}
				for _, a := range n.Ipv6Addresses {
					out.Addresses = addAddress(out.Addresses, a.Ipv6Address)
				}
				continue
			}
			out.Addresses = addAddress(out.Addresses, n.PrivateIpAddress)
		}
	}
	reason := stateReason(i)
	name := types.InstanceStateNamePending
	if i.State != nil {
		name = i.State.Name
	}
	switch name {
	case types.InstanceStateNameRunning:
		out.State = provider.StateRunning
	case types.InstanceStateNameStopping, types.InstanceStateNameStopped:
		out.State, out.Fault = provider.StateStopped, "the instance is "+string(name)+reason
	case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
		out.State = provider.StateDeleting
		if endedByItself(i) {
			out.State, out.Fault, out.FaultClass = provider.StateFailed, "EC2 ended the instance"+reason, faultClass(i)
		}
		gone = name == types.InstanceStateNameTerminated
	default:
		out.State = provider.StatePending
	}
	return out, gone
}

func addAddress(list []string, text *string) []string {
	if a, err := netip.ParseAddr(aws.ToString(text)); err == nil {
		list = append(list, a.String())
	}
	return list
}

// stateReason is what EC2 says about the last change of state, as the end of a
// sentence.
func stateReason(i *types.Instance) string {
	if r := i.StateReason; r != nil && aws.ToString(r.Message) != "" {
		return ": " + aws.ToString(r.Message)
	}
	if text := aws.ToString(i.StateTransitionReason); text != "" {
		return ": " + text
	}
	return ""
}

// endedByItself says that nobody asked for the end of the instance.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
func endedByItself(i *types.Instance) bool {
	switch code := reasonCode(i); code {
	case "", "Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate", "Client.InstanceInitiatedShutdown":
		return false
	}
	return true
}

func reasonCode(i *types.Instance) string {
	if i.StateReason == nil {
		return ""
	}
	return aws.ToString(i.StateReason.Code)
}

func faultClass(i *types.Instance) provider.Class {
	switch code := reasonCode(i); code {
	case "Server.InsufficientInstanceCapacity", "Server.SpotInstanceTermination", "Server.SpotInstanceShutdown":
		return provider.NoCapacity
	case "Client.VolumeLimitExceeded":
		return provider.Quota
	}
	return ""
}

// notice says that EC2 is about to stop or end an instance.
func notice(e types.InstanceStatusEvent) string {
	text := aws.ToString(e.Description)
	if strings.HasPrefix(text, "[Completed]") || strings.HasPrefix(text, "[Canceled]") {
		return ""
	}
	switch e.Code {
	case types.EventCodeInstanceStop, types.EventCodeInstanceRetirement, types.EventCodeInstanceReboot, types.EventCodeSystemReboot:
	default: // maintenance of network or power, which instances outlive
		return ""
	}
	when := ""
	if e.NotBefore != nil {
		when = " not before " + e.NotBefore.UTC().Format(time.RFC3339)
	}
	return strings.TrimSuffix(fmt.Sprintf("AWS has scheduled %s%s: %s", e.Code, when, text), ": ")
}

var (
	sizeRule  = regexp.MustCompile(`^(?:([cmr])([5-9])[a-z0-9]*(?:-flex)?|(t[234])[a-z]*)\.(nano|micro|small|medium|large|xlarge|([0-9]{1,3})xlarge)$`)
	burstable = map[string]fleet.Resources{ // of t3, t3a and t4g
		"nano": {Cores: 2 * fleet.Core, MemoryMiB: 512}, "micro": {Cores: 2 * fleet.Core, MemoryMiB: 1024}, "small": {Cores: 2 * fleet.Core, MemoryMiB: 2048},
		"medium": {Cores: 2 * fleet.Core, MemoryMiB: 4096}, "large": {Cores: 2 * fleet.Core, MemoryMiB: 8192},
		"xlarge": {Cores: 4 * fleet.Core, MemoryMiB: 16384}, "2xlarge": {Cores: 8 * fleet.Core, MemoryMiB: 32768},
	}
)

// capacity is what the name of an instance type tells: of the families c, m and
// r since the fifth generation, which have 2, 4 and 8 GiB a core, and of t. Zero
// where it does not.
// https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
func capacity(instanceType string) fleet.Resources {
	m := sizeRule.FindStringSubmatch(instanceType)
	if m == nil {
		return fleet.Resources{}
	}
	family, size := m[1], m[4]
	if m[3] != "" {
		out := burstable[size]
		if less, ok := map[string]int64{"nano": 1, "micro": 1, "small": 1}[size]; ok && m[3] == "t2" {
			out.Cores = fleet.Cores(less) * fleet.Core
		}
		return out
	}
	var cores int64
	switch {
	case size == "medium":
		cores = 1
	case size == "large":
		cores = 2
	case size == "xlarge":
		cores = 4
	case m[5] != "":
		n, _ := strconv.ParseInt(m[5], 10, 64) // the expression lets digits pass only
		cores = 4 * n
	default:
		return fleet.Resources{}
	}
	return fleet.Resources{Cores: fleet.Cores(cores) * fleet.Core, MemoryMiB: cores * map[string]int64{"c": 2048, "m": 4096, "r": 8192}[family]}
}

// Shape implements provider.Shaped: what the first instance type offers.
func (s *Settings) Shape() fleet.Resources {
	if len(s.InstanceTypes) == 0 {
		return fleet.Resources{}
	}
	return capacity(s.InstanceTypes[0])
}
