package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// checkLaunch tries the very request of a create as a dry run, once for each
// market.
func (d *driver) checkLaunch(ctx context.Context, r *report) error {
	if r.image == nil && !d.settings.bySSM() {
		return nil // there is nothing that could be launched
	}
	seen := map[bool]bool{}
	for _, o := range d.settings.offers(0) {
		if seen[o.spot] {
			continue
		}
		seen[o.spot] = true
		in, err := d.settings.request(provider.Request{
			Token: "check", Name: "headroom-check",
			Tags: provider.Tags{Installation: "check", Provider: "check", AutoscaleConfig: "check", Server: "check"},
		}, o, r.image)
		if err != nil {
			r.fail("request", messageOf(err), "correct the setting that it names")
			return nil
		}
		in.DryRun = aws.Bool(true)
		_, err = d.api.RunInstances(ctx, in)
		if codeOf(err) == "DryRunOperation" {
			r.ok("launch of "+o.String(), "EC2 would make it")
			continue
		}
		ok, fatal := r.judge("ec2:RunInstances", err)
		if fatal != nil {
			return fatal
		}
		if ok { // the rights are there, and something else is wrong
			r.fail("launch of "+o.String(), messageOf(d.launchFault(ctx, err, o)), "correct the setting that it names; `headroom provider render` shows the whole request")
		}
	}
	return nil
}

// actions are what reading needs, besides what the check has used already.
func (d *driver) reads() map[string]func(context.Context) error {
	dry := aws.Bool(true)
	out := map[string]func(context.Context) error{
		"ec2:DescribeInstanceStatus": func(ctx context.Context) error {
			_, err := d.api.DescribeInstanceStatus(ctx, &ec2.DescribeInstanceStatusInput{DryRun: dry})
			return err
		},
		"ec2:DescribeVolumes": func(ctx context.Context) error {
			_, err := d.api.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{DryRun: dry})
			return err
		},
		"ec2:DescribeNetworkInterfaces": func(ctx context.Context) error {
			_, err := d.api.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{DryRun: dry})
			return err
		},
	}
	if d.settings.Spot {
		out["ec2:DescribeSpotInstanceRequests"] = func(ctx context.Context) error {
			_, err := d.api.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{DryRun: dry})
			return err
		}
	}
	return out
}

func (d *driver) checkReads(ctx context.Context, r *report) error {
	reads := d.reads()
	for _, action := range sortedKeys(reads) {
		if _, fatal := r.judge(action, reads[action](ctx)); fatal != nil {
			return fatal
		}
	}
	return nil
}

// Objects that do not exist, for dry runs.
const (
	noInstance  = "i-00000000000000000"
	noVolume    = "vol-00000000000000000"
	noInterface = "eni-00000000000000000"
)

// checkWrites tries what is done to machines and to what they left, on a machine
// of Headroom's where there is one. A policy that allows an action by tag refuses
// it for an object that does not exist: then it cannot be told from a missing
// right.
func (d *driver) checkWrites(ctx context.Context, r *report) error {
	id, real := noInstance, false
	list, err := d.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		MaxResults: aws.Int32(5), Filters: []types.Filter{filter("tag-key", provider.TagInstallation), filter("instance-state-name", "pending", "running", "stopped")},
	})
	if _, fatal := r.judge("ec2:DescribeInstances", err); fatal != nil {
		return fatal
	}
	if err == nil {
		for _, res := range list.Reservations {
			for _, i := range res.Instances {
				id, real = aws.ToString(i.InstanceId), true
			}
		}
	}
	dry := aws.Bool(true)
	type try struct {
		action string
		real   bool
		call   func() error
	}
	tries := []try{
		{"ec2:TerminateInstances", real, func() error {
			_, err := d.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}, DryRun: dry})
			return err
		}},
		{"ec2:GetConsoleOutput", real, func() error {
			_, err := d.api.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(id), DryRun: dry})
			return err
		}},
		{"ec2:DeleteVolume", false, func() error {
			_, err := d.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(noVolume), DryRun: dry})
			return err
		}},
		{"ec2:DeleteNetworkInterface", false, func() error {
			_, err := d.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(noInterface), DryRun: dry})
			return err
		}},
	}
	if d.settings.RetrieveWindowsPassword {
		tries = append(tries, try{"ec2:GetPasswordData", real, func() error {
			_, err := d.api.GetPasswordData(ctx, &ec2.GetPasswordDataInput{InstanceId: aws.String(id), DryRun: dry})
			return err
		}})
	}
	granted := 0
	for _, t := range tries {
		err := t.call()
		if classifyNil(err) == provider.Forbidden && !t.real {
			r.add(provider.VerdictWarning, "permission "+t.action, "is refused for an object that does not exist, which a policy that allows it by tag does as well: whether it is granted for Headroom's own cannot be seen",
				"see that the policy has it: "+taggedLine(t.action))
			continue
		}
		ok, fatal := r.judge(t.action, err)
		if fatal != nil {
			return fatal
		}
		if ok {
			granted++
		}
	}
	if granted == len(tries) {
		r.ok("permissions", "%d actions were tried by dry runs and are granted", granted+len(d.reads()))
	}
	return nil
}

func classifyNil(err error) provider.Class {
	if err == nil || codeOf(err) == "DryRunOperation" {
		return ""
	}
	return classify(err).Class
}

func taggedLine(action string) string {
	return `{"Effect": "Allow", "Action": "` + action + `", "Resource": "*", "Condition": {"Null": {"aws:ResourceTag/` + provider.TagInstallation + `": "false"}}}`
}
