package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

// MaxDelete is how many objects one set deletion may name.
const MaxDelete = 15000

// ObjectRef names a configured object.
type ObjectRef struct {
	Kind fleet.Kind `json:"kind" example:"Pool"`
	Name string     `json:"name" example:"desktops"`
}

// DeleteRequest asks for a set of objects to be deleted.
type DeleteRequest struct {
	Objects       []ObjectRef `json:"objects" minItems:"1" maxItems:"15000" doc:"In any order; they may refer to one another."`
	Drain         bool        `json:"drain,omitempty" doc:"Let the machines that depend on them leave first."`
	DryRun        bool        `json:"dry_run,omitempty" doc:"Only say what would be deleted."`
	IgnoreMissing bool        `json:"ignore_missing,omitempty" doc:"Objects that do not exist are no error."`
}

// DeleteResult says what was deleted, or would be.
type DeleteResult struct {
	Deleted bool     `json:"deleted" doc:"False for a dry run."`
	Changes []Change `json:"changes"`
}

// DeleteObjects deletes a set of objects in one transaction, all of them or
// none. References among the set are fine. Whatever is in the way is reported
// at once: in_use with a line for each object that is needed or does not exist,
// not_found when missing objects are all that is wrong. With drain, and when
// machines are all that is in the way, they begin to leave and the answer is
// in_use until none is left, as with DeleteObject.
func (s *Service) DeleteObjects(ctx context.Context, p auth.Principal, r DeleteRequest) (DeleteResult, error) {
	if err := p.Need(auth.Configure); err != nil {
		return DeleteResult{}, err
	}
	named, err := r.refs()
	if err != nil {
		return DeleteResult{}, err
	}
	var out DeleteResult
	var refusal error
	run := s.Store.Write
	if r.DryRun {
		run = s.Store.Read
	}
	err = run(ctx, func(tx *store.Tx) error {
		out, refusal = DeleteResult{}, nil
		w, err := loadWorld(tx)
		if err != nil {
			return err
		}
		var present []ref
		var missing []fleet.FieldError
		for _, one := range named {
			if w.get(one.kind, one.name) != nil {
				present = append(present, one)
			} else if !r.IgnoreMissing {
				missing = append(missing, fleet.FieldError{Path: string(one.kind) + " " + one.name, Message: "does not exist"})
			}
		}
		set, err := s.compareIn(tx, w, nil, nil, present)
		if err := withMissing(missing, err); err != nil {
			if fleet.CodeOf(err) != fleet.CodeInUse || len(missing) > 0 || !r.Drain || r.DryRun || !set.onlyMachines {
				return err
			}
			// What drain does is committed; the refusal is the answer.
			refusal, err = s.drainSet(tx, w, present, p.Actor())
			return err
		}
		out = DeleteResult{Changes: set.changes, Deleted: !r.DryRun}
		if out.Changes == nil {
			out.Changes = []Change{}
		}
		if r.DryRun {
			return nil
		}
		return s.write(tx, set, p.Actor())
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return DeleteResult{}, err
	}
	return out, nil
}

// refs checks the names of a request; an object that is named twice is one.
func (r DeleteRequest) refs() ([]ref, error) {
	var fields []fleet.FieldError
	if len(r.Objects) == 0 || len(r.Objects) > MaxDelete {
		fields = append(fields, fleet.FieldError{Path: "objects", Message: fmt.Sprintf("has %s: name 1 to %d", count(int64(len(r.Objects)), "object"), MaxDelete)})
		return nil, fleet.Invalid("deletion", fields)
	}
	var list []ref
	seen := map[ref]bool{}
	for i, o := range r.Objects {
		if !slices.Contains(fleet.Kinds(), o.Kind) {
			fields = append(fields, fleet.FieldError{Path: fmt.Sprintf("objects[%d].kind", i), Value: oneLine(string(o.Kind), 100), Message: fmt.Sprintf("is no kind: use one of %v", fleet.Kinds())})
		}
		if o.Name == "" {
			fields = append(fields, fleet.FieldError{Path: fmt.Sprintf("objects[%d].name", i), Message: "is required"})
		}
		if one := (ref{o.Kind, o.Name}); !seen[one] {
			seen[one] = true
			list = append(list, one)
		}
	}
	return list, fleet.Invalid("deletion", fields)
}

// withMissing joins the objects that do not exist with what keeps others from
// being deleted.
func withMissing(missing []fleet.FieldError, err error) error {
	var e *fleet.Error
	if len(missing) == 0 || err != nil && (!errors.As(err, &e) || e.Code != fleet.CodeInUse) {
		return err
	}
	all, code := missing, fleet.CodeNotFound
	if e != nil {
		code = fleet.CodeInUse
		if all = append(all, e.Fields...); len(e.Fields) == 0 {
			all = append(all, fleet.FieldError{Message: e.Message})
		}
	}
	if len(all) == 1 {
		return fleet.Errorf(code, "%s does not exist: nothing was deleted", missing[0].Path)
	}
	return &fleet.Error{Code: code, Message: "nothing was deleted: " + count(int64(len(all)), "problem"), Fields: all}
}

// drainSet makes the machines of a set leave and returns the refusal that says
// how many there are. Every autoscale config of the set is disabled, so that
// none makes machines in place of those that leave.
func (s *Service) drainSet(tx *store.Tx, w *world, set []ref, actor string) (refusal, err error) {
	left := map[string]bool{}
	for _, r := range set {
		if _, any := dependants(r); !any {
			continue
		}
		servers, err := s.drainObject(tx, w.get(r.kind, r.name), actor)
		if err != nil {
			return nil, err
		}
		for _, id := range servers {
			left[id] = true
		}
	}
	return fleet.Errorf(fleet.CodeInUse, "%s are being drained and "+fleet.NotDeletedYet+": %s; machines with sessions wait for those to end; delete them again when none is left",
		count(int64(len(set)), "object"), verb(int64(len(left)), "machine", "depend", " on them still")), nil
}
