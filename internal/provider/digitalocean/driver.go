package digitalocean

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/sync/singleflight"

	"github.com/headroom-dev/headroom/internal/provider"
)

// page is the number of objects that one call lists; the API allows 200.
const page = 200

// driver makes Droplets with one token.
type driver struct {
	settings Settings
	api      *godo.Client
	now      func() time.Time

	// The API has no idempotency token, so that two calls for one machine that
	// run at once must not both find nothing.
	creates *singleflight.Group
}

// Offers implements provider.Offerer: the sizes.
func (d *driver) Offers() []string { return slices.Clone(d.settings.Size) }

// Create implements provider.Driver.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	if err := d.checkCreate(req); err != nil {
		return provider.Instance{}, err
	}
	if err := ctx.Err(); err != nil {
		return provider.Instance{}, classify(err, d.now())
	}
	v, err, _ := d.creates.Do(serverTag(req.Tags), func() (any, error) { return d.create(ctx, req) })
	if err != nil {
		return provider.Instance{}, madeOf(err, d.now())
	}
	i, _ := v.(provider.Instance)
	return i, nil
}

func (d *driver) checkCreate(req provider.Request) error {
	if n := len(req.Bootstrap.UserData); n > userDataLimit {
		return provider.Errorf(provider.Invalid, "the user data have %d bytes, a Droplet takes %d", n, userDataLimit)
	}
	if req.Offer != "" && !slices.Contains(d.settings.Size, req.Offer) {
		return provider.Errorf(provider.Invalid, "size %q is not one of the config's: %s", req.Offer, strings.Join(d.settings.Size, ", "))
	}
	return nil
}

func (d *driver) create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	have, _, err := d.api.Droplets.ListByTag(ctx, serverTag(req.Tags), &godo.ListOptions{PerPage: page})
	if err != nil {
		return provider.Instance{}, err
	}
	if len(have) > 0 {
		return instance(&have[0]), nil
	}
	body, err := d.request(ctx, req)
	if err != nil {
		return provider.Instance{}, err
	}
	if d.settings.FirewallName != "" {
		if err := d.applyFirewall(ctx, sharedTag(req.Tags.Owner())); err != nil {
			return provider.Instance{}, err
		}
	}
	made, _, err := d.api.Droplets.Create(ctx, body)
	if err != nil {
		return provider.Instance{}, err
	}
	out := instance(made)
	// The answer to a create does not always show the tags yet.
	out.ID, out.Tags = machineID(made.ID, req.Tags), req.Tags
	return out, nil
}

// request is the body of the create call.
func (d *driver) request(ctx context.Context, req provider.Request) (*godo.DropletCreateRequest, error) {
	size := req.Offer
	if size == "" {
		size = d.settings.Size[0]
	}
	body := &godo.DropletCreateRequest{
		Name: req.Name, Region: d.settings.Region, Size: size, VPCUUID: d.settings.VPCUUID,
		IPv6: d.settings.IPv6, Monitoring: d.settings.Monitoring, Backups: d.settings.Backups,
		UserData: string(req.Bootstrap.UserData),
		Tags:     append([]string{sharedTag(req.Tags.Owner()), serverTag(req.Tags)}, d.settings.Tags...),
		SSHKeys:  []godo.DropletCreateSSHKey{}, // the API refuses null
	}
	if n, err := strconv.Atoi(d.settings.Image); err == nil {
		body.Image.ID = n
	} else {
		body.Image.Slug = d.settings.Image
	}
	keys, err := d.sshKeys(ctx)
	body.SSHKeys = append(body.SSHKeys, keys...)
	return body, err
}

// sshKeys finds the keys that the settings name.
func (d *driver) sshKeys(ctx context.Context) ([]godo.DropletCreateSSHKey, error) {
	var out []godo.DropletCreateSSHKey
	var names []string
	for _, text := range d.settings.SSHKeyNames {
		n, err := strconv.Atoi(text)
		switch {
		case err == nil:
			out = append(out, godo.DropletCreateSSHKey{ID: n})
		case strings.Count(text, ":") == 15 && len(text) == 47:
			out = append(out, godo.DropletCreateSSHKey{Fingerprint: text})
		default:
			names = append(names, text)
		}
	}
	if len(names) == 0 {
		return out, nil
	}
	known := map[string]int{}
	for k, err := range all(ctx, d.api.Keys.List) {
		if err != nil {
			return nil, err
		}
		known[k.Name] = k.ID
	}
	for _, name := range names {
		id, ok := known[name]
		if !ok {
			return nil, provider.Errorf(provider.Invalid, "the account has no SSH key named %q: add it, or correct ssh_key_names", name)
		}
		out = append(out, godo.DropletCreateSSHKey{ID: id})
	}
	return out, nil
}

// applyFirewall puts the shared tag on the firewall, once. A firewall takes
// tags that exist only, so that the tag is made first.
func (d *driver) applyFirewall(ctx context.Context, tag string) error {
	for f, err := range all(ctx, d.api.Firewalls.List) {
		if err != nil {
			return err
		}
		if f.Name != d.settings.FirewallName {
			continue
		}
		if slices.Contains(f.Tags, tag) {
			return nil
		}
		if _, _, err := d.api.Tags.Create(ctx, &godo.TagCreateRequest{Name: tag}); err != nil {
			return err
		}
		_, err := d.api.Firewalls.AddTags(ctx, f.ID, tag)
		return err
	}
	return provider.Errorf(provider.Invalid, "the account has no firewall named %q: make it, or correct firewall_name", d.settings.FirewallName)
}

// List implements provider.Driver.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	list := func(ctx context.Context, o *godo.ListOptions) ([]godo.Droplet, *godo.Response, error) {
		return d.api.Droplets.ListByTag(ctx, sharedTag(owner), o)
	}
	return func(yield func(provider.Instance, error) bool) {
		for m, err := range all(ctx, list) {
			if err != nil {
				yield(provider.Instance{}, classify(err, d.now()))
				return
			}
			if i := instance(&m); i.Tags.Owner() == owner && !yield(i, nil) {
				return
			}
		}
	}
}

// Get implements provider.Driver. A machine whose Droplet is gone is still
// being deleted as long as its tag is there; one whose tag counts a Droplet is
// not shown yet, or not counted out yet.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	droplet, t, err := parseID(id)
	if err != nil {
		return provider.Instance{}, err
	}
	m, _, err := d.api.Droplets.Get(ctx, droplet)
	if err == nil {
		out := instance(m)
		if out.Tags.Server == "" {
			out.ID = id // its tag is gone already
		}
		return out, nil
	}
	if err = classify(err, d.now()); provider.ClassOf(err) != provider.NotFound {
		return provider.Instance{}, err
	}
	counted, err := d.counted(ctx, t)
	if err != nil {
		return provider.Instance{}, err
	}
	if counted {
		return provider.Instance{ID: id, Tags: t, State: provider.StatePending, Fault: "DigitalOcean does not show the Droplet, and its tag still counts it"}, nil
	}
	return provider.Instance{ID: id, Tags: t, State: provider.StateDeleting}, nil
}

// counted says that the tag of a machine counts a Droplet; NotFound means that
// there is no such tag.
func (d *driver) counted(ctx context.Context, t provider.Tags) (bool, error) {
	tag, _, err := d.api.Tags.Get(ctx, serverTag(t))
	if err != nil {
		return false, classify(err, d.now())
	}
	return tag.Resources != nil && tag.Resources.Count > 0, nil
}

// Delete implements provider.Driver: first the Droplet, then its tag. Without its
// tag a Droplet could not be found any more, so that it stays while it counts one.
func (d *driver) Delete(ctx context.Context, id string) error {
	droplet, t, err := parseID(id)
	if err != nil {
		return err
	}
	_, err = d.api.Droplets.Delete(ctx, droplet)
	if err == nil {
		return nil
	}
	if err = classify(err, d.now()); provider.ClassOf(err) != provider.NotFound {
		return err
	}
	counted, err := d.counted(ctx, t)
	switch {
	case err != nil:
		return err
	case counted:
		return provider.Errorf(provider.Conflict, "DigitalOcean does not find Droplet %d, and its tag still counts it: it is looked at again", droplet)
	}
	if _, err := d.api.Tags.Delete(ctx, serverTag(t)); err != nil {
		return classify(err, d.now())
	}
	return nil
}

// ListRemnants implements provider.Remnants: tags of machines that are gone.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		for tag, err := range all(ctx, d.api.Tags.List) {
			if err != nil {
				yield(provider.Remnant{}, classify(err, d.now()))
				return
			}
			text, ours := strings.CutPrefix(tag.Name, serverPrefix)
			t, ok := parseMarks(text)
			if !ours || !ok || t.Owner() != owner || tag.Resources == nil || tag.Resources.Count > 0 {
				continue
			}
			if !yield(provider.Remnant{Kind: "tag", ID: tag.Name, Name: tag.Name, Tags: t}, nil) {
				return
			}
		}
	}
}

// DeleteRemnant implements provider.Remnants.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	if !strings.HasPrefix(r.ID, serverPrefix) {
		return provider.Errorf(provider.Invalid, "%q is no tag of a machine", r.ID)
	}
	if _, err := d.api.Tags.Delete(ctx, r.ID); err != nil {
		return classify(err, d.now())
	}
	return nil
}

// Render implements provider.Renderer.
func (d *driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	if err := d.checkCreate(req); err != nil {
		return nil, err
	}
	body, err := d.request(ctx, req)
	if err != nil {
		return nil, classify(err, d.now())
	}
	var calls []provider.RenderedCall
	if d.settings.FirewallName != "" {
		tag := sharedTag(req.Tags.Owner())
		calls = append(calls,
			provider.RenderedCall{Call: http.MethodPost + " /v2/tags", Body: godo.TagCreateRequest{Name: tag}},
			provider.RenderedCall{Call: http.MethodPost + " /v2/firewalls/{id of " + d.settings.FirewallName + "}/tags, once", Body: map[string]any{"tags": []string{tag}}})
	}
	return append(calls, provider.RenderedCall{Call: http.MethodPost + " /v2/droplets", Body: body}), nil
}

// all lists every page. After an error it ends.
func all[T any](ctx context.Context, list func(context.Context, *godo.ListOptions) ([]T, *godo.Response, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		for o := (&godo.ListOptions{Page: 1, PerPage: page}); ; o.Page++ {
			items, resp, err := list(ctx, o)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if resp == nil || resp.Links == nil || resp.Links.IsLastPage() {
				return
			}
		}
	}
}
