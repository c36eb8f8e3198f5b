package oci

import (
	"context"
	"iter"
	"regexp"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// The kinds of objects that can be left: network interfaces and ephemeral
// addresses end with their instance.
const (
	volumeKind  = "disk"
	historyKind = "console history"
)

// remnantRule are the ids that DeleteRemnant takes.
var remnantRule = map[string]*regexp.Regexp{ //nolint:gochecknoglobals // never changed
	volumeKind:  regexp.MustCompile(`^ocid1\.bootvolume\.[a-z0-9]+\.[a-z0-9-]*(\.[a-z0-9-]*)?\.[a-z0-9]+$`),
	historyKind: regexp.MustCompile(`^ocid1\.(console|instanceconsole)history\.[a-z0-9]+\.[a-z0-9-]*(\.[a-z0-9-]*)?\.[a-z0-9]+$`),
}

// ListRemnants implements provider.Remnants: boot volumes that no instance uses,
// and captured consoles.
//
// A boot volume is known by its tags, which Oracle takes over from the instance
// that it was made with. The launch has no place to say so, hence a volume
// without them is known by the attachment that once bound it to an instance
// which bears them and is still listed.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		left, err := d.remnants(ctx, owner)
		if err != nil {
			yield(provider.Remnant{}, err)
			return
		}
		for _, r := range left {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (d *driver) remnants(ctx context.Context, owner provider.Owner) ([]provider.Remnant, error) {
	instances, err := d.ours(ctx, owner)
	if err != nil {
		return nil, err
	}
	living, tags := map[string]bool{}, map[string]provider.Tags{} // by server; by instance
	for i := range instances {
		t := tagsOf(instances[i].FreeformTags)
		tags[*instances[i].Id] = t
		if instances[i].LifecycleState != core.InstanceLifecycleStateTerminated {
			living[t.Server] = true
		}
	}
	used, of, err := d.bootAttachments(ctx, tags)
	if err != nil {
		return nil, err
	}
	out, err := d.bootVolumes(ctx, owner, living, used, of)
	if err != nil {
		return nil, err
	}
	histories, err := d.histories(ctx, owner)
	return append(out, histories...), err
}

// bootAttachments tells which boot volumes are in use, and those of which once
// were by whom.
func (d *driver) bootAttachments(ctx context.Context, tags map[string]provider.Tags) (used map[string]bool, of map[string]provider.Tags, err error) {
	used, of = map[string]bool{}, map[string]provider.Tags{}
	for _, domain := range d.settings.AvailabilityDomains {
		err := pages(func(page *string) (*string, error) {
			list, err := d.compute.ListBootVolumeAttachments(ctx, core.ListBootVolumeAttachmentsRequest{
				CompartmentId: &d.settings.CompartmentOCID, AvailabilityDomain: &domain, Limit: new(pageSize), Page: page,
			})
			for _, a := range list.Items {
				volume := fleet.Value(a.BootVolumeId, "")
				if a.LifecycleState != core.BootVolumeAttachmentLifecycleStateDetached {
					used[volume] = true
				}
				if t, ok := tags[fleet.Value(a.InstanceId, "")]; ok {
					of[volume] = t
				}
			}
			return list.OpcNextPage, err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return used, of, nil
}

func (d *driver) bootVolumes(ctx context.Context, owner provider.Owner, living, used map[string]bool, of map[string]provider.Tags) ([]provider.Remnant, error) {
	var out []provider.Remnant
	err := pages(func(page *string) (*string, error) {
		list, err := d.block.ListBootVolumes(ctx, core.ListBootVolumesRequest{CompartmentId: &d.settings.CompartmentOCID, Limit: new(pageSize), Page: page})
		for i := range list.Items {
			v := &list.Items[i]
			id, t := fleet.Value(v.Id, ""), tagsOf(v.FreeformTags)
			if t == (provider.Tags{}) {
				t = of[id]
			}
			rests := v.LifecycleState == core.BootVolumeLifecycleStateAvailable || v.LifecycleState == core.BootVolumeLifecycleStateFaulty
			if !rests || used[id] || t.Owner() != owner || living[t.Server] {
				continue
			}
			out = append(out, provider.Remnant{Kind: volumeKind, ID: id, Name: fleet.Value(v.DisplayName, ""), Tags: t, CreatedAt: timeOf(v.TimeCreated)})
		}
		return list.OpcNextPage, err
	})
	return out, err
}

func (d *driver) histories(ctx context.Context, owner provider.Owner) ([]provider.Remnant, error) {
	var out []provider.Remnant
	err := pages(func(page *string) (*string, error) {
		list, err := d.compute.ListConsoleHistories(ctx, core.ListConsoleHistoriesRequest{CompartmentId: &d.settings.CompartmentOCID, Limit: new(pageSize), Page: page})
		for i := range list.Items {
			h := &list.Items[i]
			if t := tagsOf(h.FreeformTags); t.Owner() == owner {
				out = append(out, provider.Remnant{Kind: historyKind, ID: fleet.Value(h.Id, ""), Name: fleet.Value(h.DisplayName, ""), Tags: t, CreatedAt: timeOf(h.TimeCreated)})
			}
		}
		return list.OpcNextPage, err
	})
	return out, err
}

// DeleteRemnant implements provider.Remnants. That the object is not found is
// believed: it was listed by the same rights, and a further listing shows it
// again if it is still there.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	rule := remnantRule[r.Kind]
	if rule == nil || len(r.ID) > 255 || !rule.MatchString(r.ID) {
		return provider.Errorf(provider.Invalid, "%s %q is nothing that machines leave", r.Kind, r.ID)
	}
	var err error
	if r.Kind == volumeKind {
		_, err = d.block.DeleteBootVolume(ctx, core.DeleteBootVolumeRequest{BootVolumeId: &r.ID})
	} else {
		_, err = d.compute.DeleteConsoleHistory(ctx, core.DeleteConsoleHistoryRequest{InstanceConsoleHistoryId: &r.ID})
	}
	return classify(err)
}

func timeOf(t *common.SDKTime) (out time.Time) {
	if t != nil {
		out = t.Time
	}
	return out
}
