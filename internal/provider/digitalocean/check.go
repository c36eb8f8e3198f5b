package digitalocean

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/headroom-dev/headroom/internal/provider"
)

// report gathers findings. A call that the token may not make is a finding of
// its own, named by the scope that it lacks.
type report struct {
	provider.Report
	d *driver
}

func (r *report) ok(subject, format string, args ...any) {
	r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: provider.VerdictOK, Message: fmt.Sprintf(format, args...)})
}

func (r *report) failed(subject, message, remedy string) {
	r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: provider.VerdictFailed, Message: message, Remedy: remedy})
}

// scope notes whether a reading call was allowed. What is neither allowed nor
// refused ends the check: the service cannot be reached.
func (r *report) scope(name string, err error) (granted bool, fatal error) {
	err = classify(err, r.d.now())
	switch {
	case err == nil:
		r.ok("scope "+name, "granted")
		return true, nil
	case provider.ClassOf(err) == provider.Forbidden:
		r.failed("scope "+name, "the token lacks it", "make a token with this scope, or one with full access")
		return false, nil
	}
	return false, err
}

// Check implements provider.Driver.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	r := &report{d: d}
	account, _, err := d.api.Account.Get(ctx)
	switch err := classify(err, d.now()); {
	case err == nil && account.Status != "active":
		r.failed("account", fmt.Sprintf("its status is %s: %s", account.Status, account.StatusMessage), "see the account's page at DigitalOcean")
	case err == nil:
		r.ok("account", "active, at most %d Droplets", account.DropletLimit)
	case provider.ClassOf(err) == provider.Forbidden:
		r.failed("scope account:read", "the token lacks it", "make a token with this scope, or one with full access")
	default:
		return provider.Report{}, err
	}
	for _, step := range []func(context.Context, *report) error{d.checkDroplets, d.checkSize, d.checkImage, d.checkKeys, d.checkFirewall, d.checkVPC} {
		if err := step(ctx, r); err != nil {
			return provider.Report{}, classify(err, d.now())
		}
	}
	r.Findings = append(r.Findings, provider.Finding{
		Subject: "scopes droplet:create, droplet:delete, tag:create, tag:delete", Verdict: provider.VerdictWarning,
		Message: "cannot be tried without making something", Remedy: "see that the token has them; the first machine tells",
	})
	return r.Report, nil
}

func (d *driver) checkDroplets(ctx context.Context, r *report) error {
	_, _, err := d.api.Droplets.ListByTag(ctx, sharedPrefix+"check", &godo.ListOptions{PerPage: 1})
	if _, fatal := r.scope("droplet:read", err); fatal != nil {
		return fatal
	}
	_, _, err = d.api.Tags.List(ctx, &godo.ListOptions{PerPage: 1})
	_, fatal := r.scope("tag:read", err)
	return fatal
}

func (d *driver) checkSize(ctx context.Context, r *report) error {
	sizes := map[string]godo.Size{}
	var failure error
	for s, err := range all(ctx, d.api.Sizes.List) {
		if err != nil {
			failure = err
			break
		}
		sizes[s.Slug] = s
	}
	granted, fatal := r.scope("sizes:read", failure)
	if !granted || fatal != nil {
		return fatal
	}
	for _, slug := range d.settings.Size {
		s, known := sizes[slug]
		switch {
		case !known:
			r.failed("size "+slug, "there is no such size", "take one of `headroom provider catalog --setting size`")
		case !slices.Contains(s.Regions, d.settings.Region):
			r.failed("size "+slug, fmt.Sprintf("is not offered in region %s", d.settings.Region), "take another size or region: it is offered in "+strings.Join(s.Regions, ", "))
		case !s.Available:
			r.Findings = append(r.Findings, provider.Finding{
				Subject: "size " + slug, Verdict: provider.VerdictWarning, Message: "is sold out at the moment", Remedy: "add another size behind it",
			})
		default:
			r.ok("size "+slug, "%d cores, %d MiB", s.Vcpus, s.Memory)
		}
	}
	return nil
}

func (d *driver) checkImage(ctx context.Context, r *report) error {
	var image *godo.Image
	var err error
	if n, convErr := strconv.Atoi(d.settings.Image); convErr == nil {
		image, _, err = d.api.Images.GetByID(ctx, n)
	} else {
		image, _, err = d.api.Images.GetBySlug(ctx, d.settings.Image)
	}
	if err != nil && provider.ClassOf(classify(err, d.now())) == provider.NotFound {
		r.failed("image "+d.settings.Image, "there is no such image", "take one of `headroom provider catalog --setting image`")
		return nil
	}
	granted, fatal := r.scope("image:read", err)
	switch {
	case !granted || fatal != nil:
		return fatal
	case !slices.Contains(image.Regions, d.settings.Region):
		r.failed("image "+d.settings.Image, fmt.Sprintf("is not in region %s", d.settings.Region), "transfer it there, or take another region: it is in "+strings.Join(image.Regions, ", "))
	default:
		r.ok("image "+d.settings.Image, "%s %s", image.Distribution, image.Name)
	}
	return nil
}

func (d *driver) checkKeys(ctx context.Context, r *report) error {
	if len(d.settings.SSHKeyNames) == 0 {
		return nil
	}
	_, err := d.sshKeys(ctx)
	if err = classify(err, d.now()); err != nil && provider.ClassOf(err) == provider.Invalid {
		r.failed("ssh_key_names", err.Error(), "add the key to the account, or correct the name")
		return nil
	}
	_, fatal := r.scope("ssh_key:read", err)
	return fatal
}

func (d *driver) checkFirewall(ctx context.Context, r *report) error {
	if d.settings.FirewallName == "" {
		return nil
	}
	found := false
	var failure error
	for f, err := range all(ctx, d.api.Firewalls.List) {
		if err != nil {
			failure = err
			break
		}
		found = found || f.Name == d.settings.FirewallName
	}
	granted, fatal := r.scope("firewall:read", failure)
	if granted && !found {
		r.failed("firewall "+d.settings.FirewallName, "there is no such firewall", "make it, or correct firewall_name")
	}
	return fatal
}

func (d *driver) checkVPC(ctx context.Context, r *report) error {
	if d.settings.VPCUUID == "" {
		return nil
	}
	v, _, err := d.api.VPCs.Get(ctx, d.settings.VPCUUID)
	if err != nil && provider.ClassOf(classify(err, d.now())) == provider.NotFound {
		r.failed("VPC "+d.settings.VPCUUID, "there is no such network", "take one of `headroom provider catalog --setting vpc_uuid`")
		return nil
	}
	granted, fatal := r.scope("vpc:read", err)
	if granted && v.RegionSlug != d.settings.Region {
		r.failed("VPC "+d.settings.VPCUUID, fmt.Sprintf("is in region %s and the machines are in %s", v.RegionSlug, d.settings.Region), "take a network of the same region")
	}
	return fatal
}
