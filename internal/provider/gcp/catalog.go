package gcp

import (
	"context"
	"errors"
	"fmt"
	"strings"

	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// publicImages are the projects whose image families are offered besides the
// images of the own project.
// https://cloud.google.com/compute/docs/images/os-details
var publicImages = []string{"debian-cloud", "ubuntu-os-cloud", "rocky-linux-cloud", "windows-cloud"}

// errEnough ends a listing early.
var errEnough = errors.New("enough")

// Choices implements provider.Catalog.
func (d *driver) Choices(ctx context.Context, setting string) ([]provider.Choice, error) {
	s := &d.settings
	var out []provider.Choice
	add := func(value, label, description string) {
		out = append(out, provider.Choice{Value: value, Label: label, Description: description})
	}
	zone := ""
	if len(s.Zones) > 0 {
		zone = s.Zones[0]
	}
	var err error
	switch setting {
	case "region":
		err = d.api.Regions.List(s.Project).Pages(ctx, func(l *compute.RegionList) error {
			for _, r := range l.Items {
				add(r.Name, r.Status, "")
			}
			return nil
		})
	case "zones":
		err = d.api.Zones.List(s.Project).Pages(ctx, func(l *compute.ZoneList) error {
			for _, z := range l.Items {
				if s.region() == "" || tail(z.Region) == s.region() {
					add(z.Name, z.Status, "")
				}
			}
			return nil
		})
	case "machine_type":
		err = d.api.MachineTypes.List(s.Project, zone).Pages(ctx, func(l *compute.MachineTypeList) error {
			for _, m := range l.Items {
				if m.Deprecated == nil {
					add(m.Name, fmt.Sprintf("%d cores, %d MiB", m.GuestCpus, m.MemoryMb), m.Description)
				}
			}
			return nil
		})
	case "disk_type":
		err = d.api.DiskTypes.List(s.Project, zone).Pages(ctx, func(l *compute.DiskTypeList) error {
			for _, t := range l.Items {
				add(t.Name, t.Description, t.ValidDiskSize)
			}
			return nil
		})
	case "accelerator_type":
		err = d.api.AcceleratorTypes.List(s.Project, zone).Pages(ctx, func(l *compute.AcceleratorTypeList) error {
			for _, t := range l.Items {
				add(t.Name, t.Description, fmt.Sprintf("at most %d on a machine", t.MaximumCardsPerInstance))
			}
			return nil
		})
	case "network":
		err = d.api.Networks.List(s.Project).Pages(ctx, func(l *compute.NetworkList) error {
			for _, n := range l.Items {
				add(n.Name, n.Description, "")
			}
			return nil
		})
	case "subnetwork":
		err = d.api.Subnetworks.List(s.Project, s.region()).Pages(ctx, func(l *compute.SubnetworkList) error {
			for _, n := range l.Items {
				add(n.Name, n.IpCidrRange, "in "+tail(n.Network))
			}
			return nil
		})
	case "image":
		out, err = d.imageChoices(ctx)
	default:
		return nil, provider.Errorf(provider.Unsupported, "Google Cloud has no choices for %q", setting)
	}
	if err != nil {
		return nil, inProject(err, d.now())
	}
	return out, nil
}

// imageChoices are the images of the project, and the families of public ones.
func (d *driver) imageChoices(ctx context.Context) ([]provider.Choice, error) {
	var out []provider.Choice
	for _, project := range append([]string{d.settings.Project}, publicImages...) {
		ours := project == d.settings.Project
		seen := map[string]bool{}
		pages := 0
		err := d.api.Images.List(project).OrderBy("creationTimestamp desc").MaxResults(page).Pages(ctx, func(l *compute.ImageList) error {
			for _, i := range l.Items {
				if i.Deprecated != nil && i.Deprecated.State != "ACTIVE" {
					continue
				}
				value := "projects/" + project + "/global/images/family/" + i.Family
				if ours {
					value = i.Name
				} else if i.Family == "" || seen[i.Family] {
					continue
				}
				seen[i.Family] = true
				out = append(out, provider.Choice{Value: value, Label: strings.TrimSpace(i.Description), Description: i.Name})
			}
			if pages++; pages == 3 {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	return out, nil
}
