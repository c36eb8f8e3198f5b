package openstack

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/headroom-dev/headroom/internal/provider"
)

// port and floating are what we read of neutron's objects.
type port struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Created     string `json:"created_at"`
}

type floating struct {
	ID          string `json:"id"`
	Address     string `json:"floating_ip_address"`
	Description string `json:"description"`
	Created     string `json:"created_at"`
}

func portID(p port) string         { return p.ID }
func floatingID(f floating) string { return f.ID }

// entry gives the port of the machine with a floating address on it. The port is
// ours and not nova's because an address can be put on a port from the
// beginning, while a port of nova exists only some time after the create.
func (d *driver) entry(ctx context.Context, req provider.Request, p parts) (string, error) {
	sc, err := d.session.service(ctx, neutron)
	if err != nil {
		return "", err
	}
	description := mark(req.Tags)
	byMark := url.Values{"description": {description}}
	found, err := collect(ctx, sc, neutron, "ports", "ports", byMark, portID)
	if err != nil {
		return "", err
	}
	var id string
	if len(found) > 0 {
		id = found[0].ID
	} else {
		o := ports.CreateOpts{NetworkID: p.network, Name: req.Name, Description: description}
		if len(p.groups) > 0 {
			o.SecurityGroups = &p.groups
		}
		made, err := ports.Create(ctx, sc, o).Extract()
		if err != nil {
			return "", d.networkFault(err, "network", d.settings.Network)
		}
		id = made.ID
	}
	addresses, err := collect(ctx, sc, neutron, "floatingips", "floatingips", byMark, floatingID)
	if err != nil {
		return "", err
	}
	if len(addresses) > 0 {
		return id, nil
	}
	pool, err := d.lookUp(ctx, networksOf("floating_ip_pool"), d.settings.FloatingIPPool)
	if err != nil {
		return "", err
	}
	err = floatingips.Create(ctx, sc, floatingips.CreateOpts{FloatingNetworkID: pool, PortID: id, Description: description}).Err
	if err != nil {
		return "", d.networkFault(err, "floating_ip_pool", d.settings.FloatingIPPool)
	}
	return id, nil
}

// networkFault says which setting a 404 or 400 of neutron is about.
func (d *driver) networkFault(err error, setting, value string) error {
	classified := classify(err, neutron)
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) || gophercloud.ResponseCodeIs(err, http.StatusBadRequest) {
		d.refs.forget()
		if provider.ClassOf(classified) != provider.NoCapacity {
			return provider.Errorf(provider.Invalid, "%s %q cannot be used: %w", setting, value, classified)
		}
	}
	return classified
}

// closeEntry removes the floating address and the port of a machine that still
// exists. They are found by their marks: the port knows its machine only once
// nova has got so far.
func (d *driver) closeEntry(ctx context.Context, machine string) error {
	s, err := d.get(ctx, machine)
	if err != nil {
		return err
	}
	tags := tagsOf(s.Metadata)
	if tags.Server == "" || !markable(tags) {
		return nil // none of ours has its marks
	}
	sc, err := d.session.service(ctx, neutron)
	if err != nil {
		return err
	}
	byMark := url.Values{"description": {mark(tags)}}
	addresses, err := collect(ctx, sc, neutron, "floatingips", "floatingips", byMark, floatingID)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if err := floatingips.Delete(ctx, sc, a.ID).ExtractErr(); err != nil && !gone(err) {
			return classify(err, neutron)
		}
	}
	found, err := collect(ctx, sc, neutron, "ports", "ports", byMark, portID)
	if err != nil {
		return err
	}
	for _, p := range found {
		if err := ports.Delete(ctx, sc, p.ID).ExtractErr(); err != nil && !gone(err) {
			return classify(err, neutron)
		}
	}
	return nil
}
