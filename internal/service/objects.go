package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/startup"
	"github.com/headroom-dev/headroom/internal/store"
)

// Resource is a configured object as it is shown. Secrets are never part of it.
type Resource struct {
	fleet.Object[json.RawMessage]
	Status     any      `json:"status,omitempty"` // *PoolStatus, *VMProviderStatus, *AutoscaleConfigStatus or nil
	SecretsSet []string `json:"secrets_set,omitempty"`
}

// ObjectQuery selects objects of one kind.
type ObjectQuery struct {
	Labels map[string]string // all of them; an empty value means that the label is present
	After  string            // name of the last one seen
	Limit  int
}

// Objects lists the objects of a kind by name. next is the After of the
// following page, empty at the end.
func (s *Service) Objects(ctx context.Context, p auth.Principal, kind fleet.Kind, q ObjectQuery) (items []Resource, next string, err error) {
	if err := p.Need(auth.Read); err != nil {
		return nil, "", err
	}
	most := limit(q.Limit)
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		items, next = []Resource{}, ""
		all, err := tx.Objects(kind)
		if err != nil {
			return fmt.Errorf("listing %s: %w", kind.Plural(), err)
		}
		for _, o := range all {
			if o.Name <= q.After || !hasLabels(o.Labels, q.Labels) {
				continue
			}
			if len(items) == most {
				next = items[most-1].Meta.Name
				return nil
			}
			r, err := resource(tx, o, s.now())
			if err != nil {
				return err
			}
			items = append(items, r)
		}
		return nil
	})
	return items, next, err
}

func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || v != "" && got != v {
			return false
		}
	}
	return true
}

// Object reads one object.
func (s *Service) Object(ctx context.Context, p auth.Principal, kind fleet.Kind, name string) (Resource, error) {
	if err := p.Need(auth.Read); err != nil {
		return Resource{}, err
	}
	var r Resource
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		o, err := tx.Object(kind, name)
		if err != nil {
			return notFound(err, string(kind), name)
		}
		r, err = resource(tx, o, s.now())
		return err
	})
	return r, err
}

func resource(tx *store.Tx, o *store.Object, now time.Time) (Resource, error) {
	status, err := statusOf(tx, o, now)
	if err != nil {
		return Resource{}, fmt.Errorf("reading the status of %s %s: %w", o.Kind, o.Name, err)
	}
	return Resource{
		Object: fleet.Object[json.RawMessage]{
			APIVersion: fleet.APIVersion, Kind: o.Kind, Meta: fleet.Meta{Name: o.Name, Labels: o.Labels},
			Spec: o.Spec, Version: o.Version, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
		},
		Status: status, SecretsSet: secret.Names(o.Secrets),
	}, nil
}

// Condition guards a change of one object.
type Condition struct {
	Version int64 // only if the object has this version; 0: any
	Absent  bool  // only if there is no such object
}

func (c Condition) check(kind fleet.Kind, name string, have *store.Object) error {
	switch {
	case c.Absent && have != nil:
		return fleet.Errorf(fleet.CodeVersionMismatch, "%s %s exists already", kind, name)
	case c.Version > 0 && have == nil:
		return fleet.Errorf(fleet.CodeVersionMismatch, "%s %s does not exist, so it does not have version %d", kind, name, c.Version)
	case c.Version > 0 && have.Version != c.Version:
		return fleet.Errorf(fleet.CodeVersionMismatch, "%s %s has been changed meanwhile: it has version %d, not %d; read it again", kind, name, have.Version, c.Version)
	}
	return nil
}

// PutObject creates or replaces one object. spec is JSON; a secret that it does
// not mention keeps its value, one that is null or empty is cleared. The notes
// say what the change touches.
func (s *Service) PutObject(ctx context.Context, p auth.Principal, kind fleet.Kind, meta fleet.Meta, spec json.RawMessage, c Condition) (r Resource, created bool, err error) {
	if err := p.Need(auth.Configure); err != nil {
		return Resource{}, false, err
	}
	doc, fields := manifest.FromJSON(kind, meta, spec, s.kindSettings())
	if err := fleet.Invalid(string(kind)+" "+meta.Name, fields); err != nil {
		return Resource{}, false, err
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		set, err := s.compare(tx, []manifest.Document{doc}, nil, nil)
		if err != nil {
			return err
		}
		have := set.world.get(kind, meta.Name)
		created = have == nil
		if err := c.check(kind, meta.Name, have); err != nil {
			return err
		}
		if err := s.write(tx, set, p.Actor()); err != nil {
			return err
		}
		o, err := tx.Object(kind, meta.Name)
		if err != nil {
			return fmt.Errorf("reading %s %s: %w", kind, meta.Name, err)
		}
		r, err = resource(tx, o, s.now())
		return err
	})
	return r, created, err
}

// DeleteObject deletes one object. It is refused with a count while other
// objects refer to it or machines depend on it. With drain those machines begin
// to leave, and an autoscale config is disabled so that it makes no new ones;
// the call still answers in_use until none is left, and can be repeated.
func (s *Service) DeleteObject(ctx context.Context, p auth.Principal, kind fleet.Kind, name string, c Condition, drainFirst bool) error {
	if err := p.Need(auth.Configure); err != nil {
		return err
	}
	var refusal error
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		refusal = nil
		have, err := tx.Object(kind, name)
		if err != nil {
			return notFound(err, string(kind), name)
		}
		if err := c.check(kind, name, have); err != nil {
			return err
		}
		set, err := s.compare(tx, nil, nil, []ref{{kind, name}})
		var inUse *fleet.Error
		if errors.As(err, &inUse) && inUse.Code == fleet.CodeInUse && drainFirst && set.onlyMachines {
			// What drain does is committed; the refusal is the answer.
			servers, err := s.drainObject(tx, have, p.Actor())
			left := int64(len(servers))
			refusal = fleet.Errorf(fleet.CodeInUse, "%s %s is being drained and "+fleet.NotDeletedYet+": %s; machines with sessions wait for those to end; delete it again when none is left",
				kind, name, verb(left, "machine", "depend", " on it still"))
			return err
		}
		if err != nil {
			return err
		}
		return s.write(tx, set, p.Actor())
	})
	if err != nil {
		return err
	}
	return refusal
}

// drainObject makes the machines that depend on an object leave. It returns the
// ids of those that there are.
func (s *Service) drainObject(tx *store.Tx, o *store.Object, actor string) ([]string, error) {
	now := s.now()
	if o.Kind == fleet.KindAutoscaleConfig {
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
		if err != nil {
			return nil, err
		}
		if fleet.Value(spec.Enabled, true) {
			off := false
			spec.Enabled = &off
			if o.Spec, err = canonicalJSON(spec); err != nil {
				return nil, err
			}
			if _, _, err := tx.PutObject(o, now); err != nil {
				return nil, fmt.Errorf("disabling autoscale config %s: %w", o.Name, err)
			}
			emitObject(tx, fleet.EventObjectUpdated, ref{o.Kind, o.Name}, spec.Pool, actor, "disabled, since it is to be deleted when its machines are gone", nil)
		}
	}
	f, _ := dependants(ref{o.Kind, o.Name})
	servers, err := tx.Servers(f)
	if err != nil {
		return nil, fmt.Errorf("listing the machines of %s %s: %w", o.Kind, o.Name, err)
	}
	reason := fmt.Sprintf("%s %s is to be deleted", o.Kind, o.Name)
	var ids []string
	for _, server := range servers {
		ids = append(ids, server.ID)
		before := server.Phase
		switch {
		case before == fleet.PhaseReady:
			err = drain(tx, server, 0, actor, reason, now)
		case before.ComingUp():
			if err = server.Move(fleet.PhaseDeleting, reason, now); err == nil {
				err = saveServer(tx, server, before, actor)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("draining server %s: %w", server.Name, err)
		}
	}
	return ids, nil
}

// kindSettings tells package manifest the settings of the provider kinds.
func (s *Service) kindSettings() manifest.KindSettings {
	var known []string
	for _, k := range s.Kinds {
		known = append(known, k.Name)
	}
	slices.Sort(known)
	return manifest.KindSettings{VM: func(name string) (func() any, []string, bool) {
		k, ok := s.kind(name)
		return k.NewSettings, known, ok
	}, DNS: func(name string) (func() any, []string, bool) {
		var names []string
		i := slices.IndexFunc(s.DNS, func(k dns.Kind) bool { names = append(names, k.Name); return k.Name == name })
		if i < 0 {
			return nil, names, false
		}
		return s.DNS[i].NewSettings, names, true
	}, Channel: func(name string, full any) startup.Channel {
		k, _ := s.kind(name)
		return k.ScriptChannel(full)
	}}
}

func emitObject(tx *store.Tx, what fleet.EventType, r ref, pool, actor, message string, data map[string]any) {
	tx.Emit(fleet.Event{Type: what, Kind: string(r.kind), Name: r.name, Pool: pool, Actor: actor, Message: message, Data: data})
}
