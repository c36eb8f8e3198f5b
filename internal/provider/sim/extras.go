package sim

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Offers implements provider.Offerer.
func (d *driver) Offers() []string { return slices.Clone(d.b.Offers) }

// ListRemnants implements provider.Remnants.
func (d *driver) ListRemnants(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Remnant, error] {
	return func(yield func(provider.Remnant, error) bool) {
		var all []provider.Remnant
		err := d.do(ctx, Call{Op: OpListRemnants, Owner: owner}, func(time.Time, Fault) error {
			for _, k := range d.cloud.disks {
				if k.tags.Owner() == owner {
					all = append(all, k.remnant())
				}
			}
			return nil
		})
		if err != nil {
			yield(provider.Remnant{}, err)
			return
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// DeleteRemnant implements provider.Remnants.
func (d *driver) DeleteRemnant(ctx context.Context, r provider.Remnant) error {
	call := Call{Op: OpDeleteRemnant, Owner: r.Tags.Owner(), Server: r.Tags.Server, ID: r.ID}
	return d.do(ctx, call, func(time.Time, Fault) error {
		c := d.cloud
		at := slices.IndexFunc(c.disks, func(k *disk) bool { return k.id == r.ID })
		if at < 0 {
			return provider.Errorf(provider.NotFound, "there is no disk %q", r.ID)
		}
		c.disks = slices.Delete(c.disks, at, at+1)
		return nil
	})
}

// Console implements provider.ConsoleReader.
func (d *driver) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	var out []byte
	err := d.do(ctx, d.about(OpConsole, id), func(now time.Time, _ Fault) error {
		m := d.cloud.byID[id]
		if m == nil || m.gone(now) {
			return provider.Errorf(provider.NotFound, "there is no machine %q", id)
		}
		out = []byte(m.console(now))
		return nil
	})
	return out[max(0, int64(len(out))-max(limit, 0)):], err
}

// Password implements provider.PasswordReader.
func (d *driver) Password(ctx context.Context, id string) (provider.Login, error) {
	var out provider.Login
	err := d.do(ctx, d.about(OpPassword, id), func(now time.Time, _ Fault) error {
		m := d.cloud.byID[id]
		switch {
		case m == nil || m.gone(now):
			return provider.Errorf(provider.NotFound, "there is no machine %q", id)
		case m.password == "":
			return provider.Errorf(provider.Unavailable, "machine %s has not made a password yet", id)
		}
		out = provider.Login{User: "Administrator", Password: m.password}
		return nil
	})
	return out, err
}

// Choices implements provider.Catalog.
func (d *driver) Choices(_ context.Context, setting string) ([]provider.Choice, error) {
	if setting != "offers" {
		return nil, provider.Errorf(provider.Unsupported, "the simulated cloud has no choices for %q: only for offers", setting)
	}
	var out []provider.Choice
	for _, n := range d.Offers() {
		out = append(out, provider.Choice{Value: n})
	}
	return out, nil
}

// Render implements provider.Renderer.
func (d *driver) Render(_ context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	return []provider.RenderedCall{{Call: string(OpCreate), Body: map[string]any{
		"name": req.Name, "token": req.Token, "offer": req.Offer, "user_data": string(req.Bootstrap.UserData),
		"tags": map[string]string{
			provider.TagInstallation: req.Tags.Installation, provider.TagServer: req.Tags.Server,
			provider.TagAutoscale: req.Tags.AutoscaleConfig, provider.TagProvider: req.Tags.Provider,
		},
	}}}, nil
}
