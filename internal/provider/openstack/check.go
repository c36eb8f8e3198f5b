package openstack

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/headroom-dev/headroom/internal/provider"
)

// nowhere is an ID that no object has.
const nowhere = "00000000-0000-4000-8000-000000000000"

// right is a call that the credential must be allowed to make. It is tried in a
// way that does nothing: reading, removing what does not exist, or making
// something from an empty description, which is refused after the right was
// looked at.
type right struct {
	service service
	method  string
	path    string
	why     string
}

func (r right) String() string {
	return r.service.name() + ": " + r.method + " " + r.path
}

// rights are those that machines with these settings need.
func (s *Settings) rights() []right {
	all := []right{
		{nova, http.MethodGet, "servers/detail", "listing machines"},
		{nova, http.MethodGet, "servers/" + nowhere, "looking at a machine"},
		{nova, http.MethodPost, "servers", "making a machine"},
		{nova, http.MethodDelete, "servers/" + nowhere, "removing a machine"},
	}
	if s.BootFromVolume {
		all = append(all,
			right{cinder, http.MethodGet, "volumes/detail", "finding boot volumes"},
			right{cinder, http.MethodPost, "volumes", "making a boot volume"},
			right{cinder, http.MethodDelete, "volumes/" + nowhere, "removing a boot volume that was left"},
		)
	}
	if s.FloatingIPPool != "" {
		all = append(all,
			right{neutron, http.MethodGet, "ports", "finding ports"},
			right{neutron, http.MethodPost, "ports", "making the port of a floating address"},
			right{neutron, http.MethodDelete, "ports/" + nowhere, "removing the port of a floating address"},
			right{neutron, http.MethodGet, "floatingips", "finding floating addresses"},
			right{neutron, http.MethodPost, "floatingips", "allocating a floating address"},
			right{neutron, http.MethodDelete, "floatingips/" + nowhere, "releasing a floating address"},
		)
	}
	if s.ReadConsole {
		all = append(all, right{nova, http.MethodPost, "servers/" + nowhere + "/action", "reading a console"})
	}
	return all
}

// Check implements provider.Driver.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	var r provider.Report
	say := func(subject string, verdict provider.Verdict, message, remedy string) {
		r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
	}
	p, err := d.session.signIn(ctx)
	if err != nil {
		if provider.ClassOf(err) == provider.Unavailable {
			return r, err
		}
		say("credential", provider.VerdictFailed, textOf(err), "Make an application credential in the dashboard under Identity, or with `openstack application credential create`.")
		return r, nil
	}
	project, err := projectOf(p)
	if err != nil {
		say("project", provider.VerdictFailed, textOf(err), "Use a credential that is scoped to a project.")
		return r, nil
	}
	say("credential", provider.VerdictOK, "keystone accepts it for project "+project, "")
	d.checkRegion(p, say)
	if d.settings.InsecureSkipVerify {
		say("certificate", provider.VerdictWarning, "certificates are not verified", "Give the authority's certificate in ca_bundle and turn insecure_skip_verify off.")
	}
	if minor, ok := microversionMinor(d.settings.novaMicroversion()); ok && minor < 69 {
		say("nova_microversion", provider.VerdictWarning, "below 2.69 nova leaves machines out of listings while one of its cells is down, and they would be taken for lost",
			"Leave nova_microversion out if the cloud has release Stein or newer.")
	}
	for _, right := range d.settings.rights() {
		if err := d.try(ctx, right); provider.ClassOf(err) == provider.Unavailable && err != nil {
			return r, err
		} else if err != nil {
			say(right.String(), provider.VerdictFailed, right.why+": "+textOf(err), remedyOf(err))
		} else {
			say(right.String(), provider.VerdictOK, right.why, "")
		}
	}
	return r, d.checkReferences(ctx, say)
}

type sayer func(subject string, verdict provider.Verdict, message, remedy string)

// checkRegion warns where the first region of several would be used by chance.
func (d *driver) checkRegion(p *gophercloud.ProviderClient, say sayer) {
	if d.session.endpoints.Region != "" {
		return
	}
	entries, err := catalogOf(p)
	if err != nil {
		return // each service says so itself
	}
	regions := map[string]bool{}
	for _, e := range entries {
		for _, at := range e.Endpoints {
			regions[at.Region] = true
		}
	}
	if len(regions) > 1 {
		say("region", provider.VerdictWarning, "the catalog has several regions, and the first one is used: "+strings.Join(sortedKeys(regions), ", "), "Name one of them in region.")
	}
}

// try makes the call of a right.
func (d *driver) try(ctx context.Context, r right) error {
	sc, err := d.session.service(ctx, r.service)
	if err != nil {
		return err
	}
	o := &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusNoContent, http.StatusNotFound, http.StatusBadRequest}}
	if r.method == http.MethodPost {
		o.JSONBody = map[string]any{}
	}
	resp, err := sc.Request(ctx, r.method, sc.ServiceURL(r.path), o)
	if resp != nil {
		resp.Body.Close()
	}
	return classify(err, r.service)
}

func textOf(err error) string {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, ": "); ok {
		return rest // without the class
	}
	return text
}

func remedyOf(err error) string {
	switch provider.ClassOf(err) {
	case provider.Forbidden:
		return "Give the user the role, or the application credential the access rule, that is named here."
	case provider.Unauthenticated:
		return "Make a new credential, or correct its settings."
	case provider.Invalid:
		return "Correct the setting that is named here."
	}
	return "Ask the cloud's administrator what hinders the service."
}

// checkReferences looks at what the settings name.
func (d *driver) checkReferences(ctx context.Context, say sayer) error {
	s := d.settings
	check := func(setting string, look func() (string, error)) error {
		message, err := look()
		switch {
		case err == nil:
			say(setting, provider.VerdictOK, message, "")
		case provider.ClassOf(err) == provider.Unavailable:
			return err
		default:
			say(setting, provider.VerdictFailed, textOf(err), remedyOf(err))
		}
		return nil
	}
	var flavor named
	if err := check("flavor", func() (string, error) {
		found, err := d.candidates(ctx, flavorsOf("flavor"), s.Flavor)
		if err == nil {
			flavor, err = only(flavorsOf("flavor"), s.Flavor, found)
		}
		return fmt.Sprintf("%s is %s: %s", s.Flavor, flavor.ID, describeFlavor(flavor)), err
	}); err != nil {
		return err
	}
	if err := check("image", func() (string, error) { return d.checkImage(ctx, flavor) }); err != nil {
		return err
	}
	if s.Network != networkAuto && s.Network != networkNone && !uuid.MatchString(s.Network) {
		if err := check("network", func() (string, error) {
			id, err := d.lookUp(ctx, networksOf("network"), s.Network)
			return s.Network + " is " + id, err
		}); err != nil {
			return err
		}
	}
	if s.FloatingIPPool == "" {
		return nil
	}
	if err := check("floating_ip_pool", func() (string, error) {
		id, err := d.lookUp(ctx, networksOf("floating_ip_pool"), s.FloatingIPPool)
		return s.FloatingIPPool + " is " + id, err
	}); err != nil {
		return err
	}
	for _, g := range s.SecurityGroups {
		if err := check("security_groups", func() (string, error) {
			id, err := d.lookUp(ctx, groupsOf("security_groups"), g)
			return g + " is " + id, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// checkImage looks whether the image can be used and fits on the disk.
func (d *driver) checkImage(ctx context.Context, flavor named) (string, error) {
	s := d.settings
	id, err := d.lookUp(ctx, imagesOf("image"), s.Image)
	if err != nil {
		return "", err
	}
	sc, err := d.session.service(ctx, glance)
	if err != nil {
		return "", err
	}
	image, err := getOne(ctx, sc, glance, "images/"+id, "")
	switch {
	case provider.ClassOf(err) == provider.NotFound:
		return "", provider.Errorf(provider.Invalid, "there is no image %s, or the project does not see it: check image", id)
	case err != nil:
		return "", err
	case image.Status != "active":
		return "", provider.Errorf(provider.Invalid, "image %s (%s) is %s, and only an active one can be booted from", image.Name, id, image.Status)
	case s.BootFromVolume && image.MinDisk > s.VolumeSize:
		return "", provider.Errorf(provider.Invalid, "image %s needs a disk of %d GiB and volume_size is %d", image.Name, image.MinDisk, s.VolumeSize)
	case !s.BootFromVolume && flavor.ID != "" && flavor.DiskGiB == 0:
		return "", provider.Errorf(provider.Invalid, "flavor %s has no disk of its own: turn boot_from_volume on, or take another flavor", flavor.Name)
	case !s.BootFromVolume && flavor.ID != "" && image.MinDisk > flavor.DiskGiB:
		return "", provider.Errorf(provider.Invalid, "image %s needs a disk of %d GiB and flavor %s has %d: take a larger flavor, or turn boot_from_volume on", image.Name, image.MinDisk, flavor.Name, flavor.DiskGiB)
	case flavor.ID != "" && image.MinMiB > flavor.MiB:
		return "", provider.Errorf(provider.Invalid, "image %s needs %d MiB of memory and flavor %s has %d", image.Name, image.MinMiB, flavor.Name, flavor.MiB)
	}
	return fmt.Sprintf("%s (%s) is active", image.Name, id), nil
}
