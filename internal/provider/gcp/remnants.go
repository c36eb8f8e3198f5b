package gcp

import (
	"context"
	"iter"
	"strings"
	"time"

	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// diskKind is the only kind of object that can be left: external addresses of
// machines are ephemeral and end with them.
const diskKind = "disk"

// ListRemnants implements provider.Remnants: disks that no instance uses.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		call := d.api.Disks.AggregatedList(d.settings.Project).Filter(ownerFilter(owner)).MaxResults(page)
		for token := ""; ; {
			list, err := call.PageToken(token).Context(ctx).Do()
			if err == nil {
				err = completeDisks(list)
			}
			if err != nil {
				yield(provider.Remnant{}, inProject(err, d.now()))
				return
			}
			for _, place := range sortedKeys(list.Items) {
				for _, disk := range list.Items[place].Disks {
					r, ok := remnant(disk, owner)
					if ok && !yield(r, nil) {
						return
					}
				}
			}
			if token = list.NextPageToken; token == "" {
				return
			}
		}
	}
}

func completeDisks(list *compute.DiskAggregatedList) error {
	missing := list.Unreachables
	for _, place := range sortedKeys(list.Items) {
		if w := list.Items[place].Warning; w != nil && (w.Code == "UNREACHABLE" || w.Code == "PARTIAL_SUCCESS") {
			missing = append(missing, place)
		}
	}
	if w := list.Warning; w != nil && (w.Code == "UNREACHABLE" || w.Code == "PARTIAL_SUCCESS") {
		missing = append(missing, w.Message)
	}
	return complete(missing, "")
}

func remnant(disk *compute.Disk, owner provider.Owner) (provider.Remnant, bool) {
	t := tagsOf(disk.Labels)
	if len(disk.Users) > 0 || disk.Status == "DELETING" || t.Owner() != owner {
		return provider.Remnant{}, false
	}
	place := "zones/" + tail(disk.Zone)
	if disk.Zone == "" {
		place = "regions/" + tail(disk.Region)
	}
	out := provider.Remnant{Kind: diskKind, ID: place + "/" + disk.Name, Name: disk.Name, Tags: t}
	out.CreatedAt, _ = time.Parse(time.RFC3339, disk.CreationTimestamp) // zero where the cloud does not tell
	return out, true
}

// DeleteRemnant implements provider.Remnants.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	parts := strings.Split(r.ID, "/")
	if r.Kind != diskKind || len(parts) != 3 || parts[0] != "zones" && parts[0] != "regions" {
		return provider.Errorf(provider.Invalid, "%s %q is no disk", r.Kind, r.ID)
	}
	var err error
	if parts[0] == "zones" {
		_, err = d.api.Disks.Delete(d.settings.Project, parts[1], parts[2]).Context(ctx).Do()
	} else {
		_, err = d.api.RegionDisks.Delete(d.settings.Project, parts[1], parts[2]).Context(ctx).Do()
	}
	switch {
	case err == nil:
		return nil
	case isAbsent(err, "disks", parts[2]):
		return classify(err, d.now())
	}
	return inProject(err, d.now())
}
