package openstack

import (
	"context"
	"net/url"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"

	"github.com/headroom-dev/headroom/internal/provider"
)

// volumeWait is how long to wait before a volume that is being made is looked at
// again.
const volumeWait = 3 * time.Second

// volume is what we read of a volume of cinder.
type volume struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
	Created  string            `json:"created_at"`
}

func volumeID(v volume) string { return v.ID }

// createdAt reads cinder's time, which is UTC and does not say so.
func (v volume) createdAt() time.Time {
	t, err := time.Parse("2006-01-02T15:04:05.999999", v.Created)
	if err != nil {
		return time.Time{}
	}
	return t
}

// bootVolume gives the volume that the machine boots from. We make it, and not
// nova on its own: nova's volumes have neither name nor metadata, so that one
// that was left behind could not be told from anybody's.
//
// Filling it from the image takes a while. Until then the answer is Conflict with
// the time to wait, and the create goes on here when it is repeated.
func (d *driver) bootVolume(ctx context.Context, req provider.Request, p parts) (string, error) {
	sc, err := d.session.service(ctx, cinder)
	if err != nil {
		return "", err
	}
	all, err := collect(ctx, sc, cinder, "volumes/detail", "volumes", url.Values{"name": {req.Name}}, volumeID)
	if err != nil {
		return "", err
	}
	for _, v := range all {
		if tagsOf(v.Metadata).Owner() != req.Tags.Owner() || tagsOf(v.Metadata).Server != req.Tags.Server {
			continue
		}
		switch v.Status {
		case "available":
			return v.ID, nil
		case "error":
			// No backend had room for it, or copying the image failed.
			if err := volumes.Delete(ctx, sc, v.ID, nil).ExtractErr(); err != nil && !gone(err) {
				return "", classify(err, cinder)
			}
			return "", provider.Errorf(provider.NoCapacity, "cinder could not make the boot volume of machine %s (%s): "+
				"its administrator finds the reason under the volume's ID; a full backend is the usual one", req.Name, v.ID)
		case "deleting", "error_deleting":
			continue // of an earlier attempt
		}
		return "", d.making(v.ID, v.Status)
	}
	var made volume
	r := volumes.Create(ctx, sc, volumeOpts(d.settings, req, p), nil)
	if r.Err != nil {
		return "", classify(r.Err, cinder)
	}
	if err := r.ExtractIntoStructPtr(&made, "volume"); err != nil {
		return "", provider.Errorf(provider.Unknown, "cinder accepted the boot volume of machine %s and its answer cannot be read", req.Name)
	}
	if made.Status == "available" {
		return made.ID, nil
	}
	return "", d.making(made.ID, made.Status)
}

func volumeOpts(s *Settings, req provider.Request, p parts) volumes.CreateOpts {
	return volumes.CreateOpts{
		Size: int(s.VolumeSize), Name: req.Name, ImageID: p.image, VolumeType: s.VolumeType, Metadata: metadataOf(req.Tags, s.Metadata),
	}
}

func (d *driver) making(id, status string) error {
	return &provider.Error{
		Class: provider.Conflict, After: volumeWait,
		Message: "the boot volume " + id + " is " + status + "; the machine is made when it is available",
	}
}
