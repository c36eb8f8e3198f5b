package gcp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	resources "google.golang.org/api/cloudresourcemanager/v3"
	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// permissions are what the settings need in the project, in order of the
// alphabet.
func (s *Settings) permissions() []string {
	out := []string{
		"compute.disks.create", "compute.disks.delete", "compute.disks.list", "compute.disks.setLabels",
		"compute.instances.create", "compute.instances.delete", "compute.instances.get", "compute.instances.getSerialPortOutput",
		"compute.instances.list", "compute.instances.setLabels", "compute.instances.setMetadata",
		"compute.zoneOperations.get", "compute.zoneOperations.list",
	}
	if len(s.NetworkTags) > 0 {
		out = append(out, "compute.instances.setTags")
	}
	if s.ServiceAccount.Email != "" {
		out = append(out, "compute.instances.setServiceAccount")
	}
	slices.Sort(out)
	return out
}

// report gathers findings. A permission is named once, however many calls lack
// it.
type report struct {
	provider.Report
	d      *driver
	lacked map[string]bool
}

func (r *report) add(verdict provider.Verdict, subject, message, remedy string) {
	r.Findings = append(r.Findings, provider.Finding{Subject: subject, Verdict: verdict, Message: message, Remedy: remedy})
}

func (r *report) ok(subject, format string, args ...any) {
	r.add(provider.VerdictOK, subject, fmt.Sprintf(format, args...), "")
}

func (r *report) lack(permission, where string) {
	if r.lacked[permission] {
		return
	}
	r.lacked[permission] = true
	r.add(provider.VerdictFailed, "permission "+permission, "the service account lacks it on "+where, "grant a role that has it, such as roles/compute.instanceAdmin.v1 and roles/compute.networkUser, or add it to the custom role")
}

// look judges the answer to a call that reads a reference. found says that it
// can be looked at further; fatal ends the check.
func (r *report) look(subject string, err error, remedy string) (found bool, fatal error) {
	if err == nil {
		return true, nil
	}
	fault := classify(err, r.d.now())
	switch provider.ClassOf(fault) {
	case provider.NotFound, provider.Invalid:
		r.add(provider.VerdictFailed, subject, "there is no such thing, or the service account may not see it", remedy)
		return false, nil
	case provider.Forbidden:
		if p := permissionIn(err.Error()); p != "" {
			r.lack(p, "what "+subject+" names")
			return false, nil
		}
		r.add(provider.VerdictFailed, subject, fault.Error(), "grant the service account what it lacks, or enable the API")
		return false, nil
	}
	return false, fault
}

// Check implements provider.Driver.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	r := &report{d: d, lacked: map[string]bool{}}
	for _, step := range []func(context.Context, *report) error{d.checkProject, d.checkPlaces, d.checkImage, d.checkSubnetwork} {
		if err := step(ctx, r); err != nil {
			return provider.Report{}, err
		}
	}
	s := &d.settings
	if s.system() == "" {
		r.add(provider.VerdictWarning, "os_type", guessed, toGuess)
	}
	if s.CMEK != "" {
		r.add(provider.VerdictWarning, "cmek", "whether Compute Engine may use the key cannot be seen from here", "grant the project's Compute Engine service agent roles/cloudkms.cryptoKeyEncrypterDecrypter on the key; the first machine tells")
	}
	if s.ServiceAccount.Email != "" {
		r.add(provider.VerdictWarning, "permission iam.serviceAccounts.actAs", "whether it is granted on "+s.ServiceAccount.Email+" cannot be seen from here", "grant roles/iam.serviceAccountUser on that service account; the first machine tells")
	}
	return r.Report, nil
}

func (d *driver) checkProject(ctx context.Context, r *report) error {
	wanted := d.settings.permissions()
	project := "project " + d.settings.Project
	got, err := d.iam.Projects.TestIamPermissions("projects/"+d.settings.Project, &resources.TestIamPermissionsRequest{Permissions: wanted}).Context(ctx).Do()
	switch fault := classify(err, d.now()); {
	case err == nil:
		for _, p := range wanted {
			if !slices.Contains(got.Permissions, p) {
				r.lack(p, project)
			}
		}
		if len(r.lacked) == 0 {
			r.ok(project, "all %d permissions are granted", len(wanted))
		}
	case provider.ClassOf(fault) == provider.Forbidden || provider.ClassOf(fault) == provider.NotFound || provider.ClassOf(fault) == provider.Invalid:
		r.add(provider.VerdictWarning, project, "its permissions cannot be asked for: "+fault.Error(), "enable the Cloud Resource Manager API in the project (gcloud services enable cloudresourcemanager.googleapis.com), and see that the project's id is right")
	default:
		return fault
	}
	return nil
}

func (d *driver) checkPlaces(ctx context.Context, r *report) error {
	s := &d.settings
	for _, zone := range s.Zones {
		z, err := d.api.Zones.Get(s.Project, zone).Context(ctx).Do()
		found, fatal := r.look("zone "+zone, err, "take one of `headroom provider catalog --setting zones`")
		if fatal != nil {
			return fatal
		}
		switch {
		case !found:
			continue
		case z.Status != "UP":
			r.add(provider.VerdictWarning, "zone "+zone, "its status is "+z.Status, "add another zone")
		default:
			r.ok("zone "+zone, "up")
		}
		if err := d.checkTypes(ctx, r, zone); err != nil {
			return err
		}
	}
	return nil
}

// checkTypes looks at everything that a zone may or may not have.
func (d *driver) checkTypes(ctx context.Context, r *report, zone string) error {
	s := &d.settings
	for _, name := range s.MachineType {
		subject := "machine type " + name + " in " + zone
		m, err := d.api.MachineTypes.Get(s.Project, zone, name).Context(ctx).Do()
		found, fatal := r.look(subject, err, "leave it or the zone out, or take one of `headroom provider catalog --setting machine_type`")
		switch {
		case fatal != nil:
			return fatal
		case found && m.Deprecated != nil:
			r.add(provider.VerdictWarning, subject, "is "+m.Deprecated.State, "take a newer machine type")
		case found:
			r.ok(subject, "%d cores, %d MiB", m.GuestCpus, m.MemoryMb)
		}
	}
	_, err := d.api.DiskTypes.Get(s.Project, zone, orBalanced(s.DiskType)).Context(ctx).Do()
	if _, fatal := r.look("disk type "+orBalanced(s.DiskType)+" in "+zone, err, "take one of `headroom provider catalog --setting disk_type`"); fatal != nil {
		return fatal
	}
	for _, a := range s.GuestAccelerators {
		subject := "accelerator " + a.Type + " in " + zone
		got, err := d.api.AcceleratorTypes.Get(s.Project, zone, a.Type).Context(ctx).Do()
		found, fatal := r.look(subject, err, "take one of `headroom provider catalog --setting accelerator_type`, or another zone")
		switch {
		case fatal != nil:
			return fatal
		case found && got.MaximumCardsPerInstance > 0 && max(a.Count, 1) > got.MaximumCardsPerInstance:
			r.add(provider.VerdictFailed, subject, fmt.Sprintf("an instance takes at most %d", got.MaximumCardsPerInstance), "lower its count")
		}
	}
	return nil
}

func (d *driver) image(ctx context.Context) (*compute.Image, error) {
	ref, err := d.settings.reference("image", d.settings.Image)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "image %w", err)
	}
	if ref.family {
		return d.api.Images.GetFromFamily(ref.project, ref.name).Context(ctx).Do()
	}
	return d.api.Images.Get(ref.project, ref.name).Context(ctx).Do()
}

func (d *driver) checkImage(ctx context.Context, r *report) error {
	s := &d.settings
	subject := "image " + s.Image
	i, err := d.image(ctx)
	found, fatal := r.look(subject, err, "take one of `headroom provider catalog --setting image`; another project's image needs roles/compute.imageUser there")
	if !found || fatal != nil {
		return fatal
	}
	windows := slices.ContainsFunc(i.GuestOsFeatures, func(f *compute.GuestOsFeature) bool { return f.Type == "WINDOWS" })
	switch {
	case i.Status != "READY":
		r.add(provider.VerdictFailed, subject, "its status is "+i.Status, "wait until it is ready, or take another image")
	case i.Deprecated != nil && i.Deprecated.State != "ACTIVE":
		r.add(provider.VerdictWarning, subject, "is "+i.Deprecated.State, "take "+tail(i.Deprecated.Replacement)+" or a family, which always has the newest")
	case s.BootDiskSize > 0 && s.BootDiskSize < i.DiskSizeGb:
		r.add(provider.VerdictFailed, "boot_disk_size", fmt.Sprintf("is %d GiB and the image needs %d", s.BootDiskSize, i.DiskSizeGb), "raise it, or leave it out")
	case s.system() != "" && windows != (s.system() == "windows"):
		r.add(provider.VerdictFailed, "os_type", fmt.Sprintf("is %s, which the image %s is not: startup scripts would not run", s.system(), i.Name), "correct os_type or image")
	default:
		r.ok(subject, "%s, %d GiB", i.Name, i.DiskSizeGb)
	}
	ref, err := s.reference("image", s.Image)
	if err != nil {
		return provider.Errorf(provider.Invalid, "image %w", err)
	}
	if ref.project != s.Project { // public images are for everybody, and do not tell
		return nil
	}
	return r.permit(subject, []string{"compute.images.useReadOnly"}, func(q *compute.TestPermissionsRequest) (*compute.TestPermissionsResponse, error) {
		return d.api.Images.TestIamPermissions(ref.project, i.Name, q).Context(ctx).Do()
	})
}

// permit asks for permissions on one object.
func (r *report) permit(subject string, wanted []string, ask func(*compute.TestPermissionsRequest) (*compute.TestPermissionsResponse, error)) error {
	got, err := ask(&compute.TestPermissionsRequest{Permissions: wanted})
	found, fatal := r.look(subject, err, "see that it exists")
	if !found || fatal != nil {
		return fatal
	}
	for _, p := range wanted {
		if !slices.Contains(got.Permissions, p) {
			r.lack(p, subject)
		}
	}
	return nil
}

func (d *driver) checkSubnetwork(ctx context.Context, r *report) error {
	s := &d.settings
	subject := "subnetwork " + s.Subnetwork
	ref, err := s.reference("subnetwork", s.Subnetwork)
	if err != nil {
		return provider.Errorf(provider.Invalid, "subnetwork %w", err)
	}
	n, err := d.api.Subnetworks.Get(ref.project, ref.region, ref.name).Context(ctx).Do()
	found, fatal := r.look(subject, err, "take one of `headroom provider catalog --setting subnetwork`; one of a shared VPC is written with its project")
	if fatal != nil {
		return fatal
	}
	if found {
		network, err := s.reference("network", s.Network)
		if s.Network != "" && (err != nil || !strings.HasSuffix(n.Network, network.networkPath())) {
			r.add(provider.VerdictFailed, "network "+s.Network, "the subnetwork is in network "+tail(n.Network), "correct network, or leave it out")
		} else {
			r.ok(subject, "%s in %s", n.IpCidrRange, tail(n.Network))
		}
	}
	wanted := []string{"compute.subnetworks.use"}
	if s.PublicIP {
		wanted = append(wanted, "compute.subnetworks.useExternalIp")
	}
	return r.permit(subject, wanted, func(q *compute.TestPermissionsRequest) (*compute.TestPermissionsResponse, error) {
		return d.api.Subnetworks.TestIamPermissions(ref.project, ref.region, ref.name, q).Context(ctx).Do()
	})
}
