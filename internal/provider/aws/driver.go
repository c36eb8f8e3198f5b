package aws

import (
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

const page = 1000 // the most that one call lists

// Offers implements provider.Offerer: instance types in subnets, on the spot
// market first. All subnets are as good: each machine begins with another one, so
// that machines are spread over them.
func (d *driver) Offers() []string {
	first := 0
	if n := len(d.settings.SubnetIDs); n > 1 && d.random != nil {
		var b [1]byte
		if _, err := d.random.Read(b[:]); err == nil {
			first = int(b[0]) % n
		}
	}
	var out []string
	for _, o := range d.settings.offers(first) {
		out = append(out, o.String())
	}
	return out
}

// Create implements provider.Driver.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	o, in, err := d.prepare(ctx, req)
	if err != nil {
		return provider.Instance{}, err
	}
	out, err := d.api.RunInstances(ctx, in)
	switch code := codeOf(err); {
	case code == "IdempotentParameterMismatch" || code == "IdempotentInstanceTerminated":
		return d.adopt(ctx, req, aws.ToString(in.ClientToken), err)
	case err != nil:
		return provider.Instance{}, d.launchFault(ctx, err, o)
	case len(out.Instances) != 1:
		return provider.Instance{}, provider.Errorf(provider.Unknown, "EC2 was asked for one instance and answered %d", len(out.Instances))
	}
	return d.made(&out.Instances[0], o), nil
}

func (d *driver) prepare(ctx context.Context, req provider.Request) (offer, *ec2.RunInstancesInput, error) {
	o, err := d.settings.offerOf(req.Offer)
	if err != nil {
		return offer{}, nil, err
	}
	image, err := d.image(ctx)
	if err != nil {
		return offer{}, nil, err
	}
	in, err := d.settings.request(req, o, image)
	return o, in, err
}

// made is the answer of a create: an instance that has ended meanwhile is one
// that failed.
func (d *driver) made(i *types.Instance, o offer) provider.Instance {
	out, gone := d.instance(i)
	if gone && out.State != provider.StateFailed {
		out.State, out.Fault = provider.StateFailed, "the instance has been terminated"+stateReason(i)
	}
	if o.instanceType != "" {
		out.Offer = o.String()
	}
	return out
}

// adopt answers the instance that an earlier call with the same token made, with
// other parameters: the image may be newer now, or the script.
func (d *driver) adopt(ctx context.Context, req provider.Request, token string, cause error) (provider.Instance, error) {
	found, err := d.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{filter("client-token", token)}})
	if err != nil {
		return provider.Instance{}, d.fault(ctx, err)
	}
	i := first(found)
	if i == nil {
		return provider.Instance{}, provider.Errorf(provider.Conflict, "EC2 knows an earlier call for this machine with other parameters and shows no instance of it; it is looked for again (%w)", cause)
	}
	out := d.made(i, offer{})
	if out.Tags != req.Tags {
		return provider.Instance{}, provider.Errorf(provider.Conflict, "instance %s was made with this server's token, and its tags say that it is not this server's", out.ID)
	}
	return out, nil
}

// first is the instance of an answer that has at most one.
func first(out *ec2.DescribeInstancesOutput) *types.Instance {
	for _, r := range out.Reservations {
		if len(r.Instances) > 0 {
			return &r.Instances[0]
		}
	}
	return nil
}

// List implements provider.Driver.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		notices, err := d.notices(ctx, owner)
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		in := &ec2.DescribeInstancesInput{Filters: ownerFilter(owner), MaxResults: aws.Int32(page)}
		seen := map[string]bool{} // an instance may move from one page to the next
		for {
			list, err := d.api.DescribeInstances(ctx, in)
			if err != nil {
				yield(provider.Instance{}, d.fault(ctx, err))
				return
			}
			for _, r := range list.Reservations {
				for n := range r.Instances {
					i := &r.Instances[n]
					out, gone := d.instance(i)
					if gone || seen[out.ID] || out.Tags.Owner() != owner {
						continue
					}
					seen[out.ID] = true
					if out.State == provider.StateRunning {
						out.Interruption = notices[out.ID]
					}
					if !yield(out, nil) {
						return
					}
				}
			}
			if in.NextToken = list.NextToken; aws.ToString(in.NextToken) == "" {
				return
			}
		}
	}
}

// notices are what AWS has announced, by instance: events that will stop it, and
// the end of spot machines.
func (d *driver) notices(ctx context.Context, owner provider.Owner) (map[string]string, error) {
	out := map[string]string{}
	events := &ec2.DescribeInstanceStatusInput{MaxResults: aws.Int32(page), Filters: []types.Filter{filter(
		"event.code", string(types.EventCodeInstanceStop), string(types.EventCodeInstanceRetirement),
		string(types.EventCodeInstanceReboot), string(types.EventCodeSystemReboot),
	)}}
	for {
		list, err := d.api.DescribeInstanceStatus(ctx, events)
		if err != nil {
			return nil, d.fault(ctx, err)
		}
		for _, s := range list.InstanceStatuses {
			for _, e := range s.Events {
				if text := notice(e); text != "" {
					out[aws.ToString(s.InstanceId)] = text
				}
			}
		}
		if events.NextToken = list.NextToken; aws.ToString(events.NextToken) == "" {
			break
		}
	}
	if !d.settings.Spot {
		return out, nil
	}
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html
	spot := &ec2.DescribeSpotInstanceRequestsInput{MaxResults: aws.Int32(page), Filters: ownerFilter(owner, filter("status-code", "marked-for-termination", "marked-for-stop"))}
	for {
		list, err := d.api.DescribeSpotInstanceRequests(ctx, spot)
		if err != nil {
			return nil, d.fault(ctx, err)
		}
		for _, r := range list.SpotInstanceRequests {
			text := "AWS takes the spot machine back"
			if s := r.Status; s != nil {
				if s.UpdateTime != nil {
					text += ", announced at " + s.UpdateTime.UTC().Format("15:04:05") + " UTC with two minutes' notice"
				}
				if m := aws.ToString(s.Message); m != "" {
					text += ": " + m
				}
			}
			out[aws.ToString(r.InstanceId)] = text
		}
		if spot.NextToken = list.NextToken; aws.ToString(spot.NextToken) == "" {
			return out, nil
		}
	}
}

var idRule = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

func checkID(id string) error {
	if !idRule.MatchString(id) {
		return provider.Errorf(provider.Invalid, "%q is no id of an instance", id)
	}
	return nil
}

// Get implements provider.Driver.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	if err := checkID(id); err != nil {
		return provider.Instance{}, err
	}
	found, err := d.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return provider.Instance{}, d.fault(ctx, err)
	}
	i := first(found)
	if i == nil { // what does not exist is answered with an error
		return provider.Instance{}, provider.Errorf(provider.Unavailable, "EC2 answered nothing about instance %s", id)
	}
	out, gone := d.instance(i)
	if gone {
		return provider.Instance{}, provider.Errorf(provider.NotFound, "instance %s has been terminated%s", id, stateReason(i))
	}
	return out, nil
}

// Delete implements provider.Driver.
func (d *driver) Delete(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	out, err := d.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if codeOf(err) == "OperationNotPermitted" {
		return provider.Errorf(provider.Conflict, "instance %s is protected from being terminated (%w): switch its termination protection off", id, err)
	}
	if err != nil {
		return d.fault(ctx, err)
	}
	for _, c := range out.TerminatingInstances {
		if c.PreviousState != nil && c.PreviousState.Name == types.InstanceStateNameTerminated {
			return provider.Errorf(provider.NotFound, "instance %s has been terminated", id)
		}
	}
	return nil
}

// Console implements provider.ConsoleReader: the serial console. Instances that
// are not of the Nitro system show what they had written some minutes ago.
func (d *driver) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	in := &ec2.GetConsoleOutputInput{InstanceId: aws.String(id), Latest: aws.Bool(true)}
	out, err := d.api.GetConsoleOutput(ctx, in)
	if codeOf(err) == "UnsupportedOperation" {
		in.Latest = nil
		out, err = d.api.GetConsoleOutput(ctx, in)
	}
	if err != nil {
		return nil, d.fault(ctx, err)
	}
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(aws.ToString(out.Output)), ""))
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "the console of instance %s is not encoded as EC2 does: %w", id, err)
	}
	return text[max(0, int64(len(text))-max(limit, 0)):], nil
}

// Render implements provider.Renderer. It costs the look at the image.
func (d *driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	o, err := d.settings.offerOf(req.Offer)
	if err != nil {
		return nil, err
	}
	image, err := d.image(ctx)
	if err != nil {
		return nil, err
	}
	in, err := d.settings.request(req, o, image)
	if err != nil {
		return nil, err
	}
	body, err := document(in)
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "the request cannot be shown: %w", err)
	}
	call := fmt.Sprintf("RunInstances in %s", d.settings.Region)
	if image != nil && d.settings.byName() {
		call += fmt.Sprintf(", with image %s (%s of %s)", aws.ToString(image.Name), aws.ToString(image.CreationDate), d.settings.AMIOwner)
	}
	return []provider.RenderedCall{{Call: call, Body: body}}, nil
}
