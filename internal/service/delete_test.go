package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/store"
)

func refs(list ...string) []service.ObjectRef {
	var out []service.ObjectRef
	for _, one := range list {
		kind, name, _ := strings.Cut(one, "/")
		out = append(out, service.ObjectRef{Kind: fleet.Kind(kind), Name: name})
	}
	return out
}

func TestDeleteSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	del := func(change func(*service.DeleteRequest), objects ...string) ([]string, error) {
		r := service.DeleteRequest{Objects: refs(objects...)}
		if change != nil {
			change(&r)
		}
		out, err := w.DeleteObjects(w.ctx, admin, r)
		if err == nil && out.Deleted == r.DryRun {
			t.Errorf("deleted %v of %+v", out.Deleted, r)
		}
		return summary(service.ApplyResult{Changes: out.Changes}), err
	}
	_, err := w.DeleteObjects(w.ctx, operator, service.DeleteRequest{Objects: refs("Pool/win")})
	wantCode(t, err, fleet.CodeForbidden)
	_, err = del(nil)
	wantCode(t, err, fleet.CodeInvalid, "objects: has 0 objects")
	_, err = del(nil, "Pol/x", "Pool/")
	wantCode(t, err, fleet.CodeInvalid, "objects[0].kind", "objects[1].name")
	_, err = del(nil, "Pool/nope", "Zone/nope", "Pool/win")
	wantCode(t, err, fleet.CodeNotFound, "\n  Pool nope: does not exist\n  Zone nope: does not exist")
	_, err = del(nil, "Pool/desk", "Pool/nope", "Zone/default", "Pool/win")
	wantCode(t, err, fleet.CodeInUse, "\n  Pool nope: does not exist\n  Pool desk: cannot be deleted: 1 object refers to it: AutoscaleConfig desk-here\n  Zone default: cannot be deleted")
	_, err = del(nil, "Pool/desk", "Pool/nope")
	wantCode(t, err, fleet.CodeInUse, "Pool nope: does not exist", "Pool desk cannot be deleted")
	_, err = del(nil, "Pool/win", "Pool/nope")
	wantCode(t, err, fleet.CodeNotFound, "Pool nope does not exist: nothing was deleted")

	set := []string{"Zone/default", "Pool/desk", "AutoscaleConfig/desk-here", "VMProvider/cloud1", "Pool/desk"}
	want := []string{"delete AutoscaleConfig/desk-here", "delete VMProvider/cloud1", "delete Pool/desk", "delete Zone/default"}
	got, err := del(func(r *service.DeleteRequest) { r.DryRun = true }, set...)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("dry run: %v\n%s", err, diff)
	}
	w.server("s1")
	_, err = del(func(r *service.DeleteRequest) { r.DryRun, r.Drain = true, true }, set...)
	wantCode(t, err, fleet.CodeInUse, "Pool desk: cannot be deleted: 1 machine depends on it")
	if s := w.get("s1"); s.Phase != fleet.PhaseReady {
		t.Errorf("a dry run drained s1: %s", s.Phase)
	}
	for range 2 {
		_, err = del(func(r *service.DeleteRequest) { r.Drain = true }, set...)
		wantCode(t, err, fleet.CodeInUse, "4 objects are being drained and not deleted yet: 1 machine depends on them still")
	}
	r, err := w.Object(w.ctx, admin, fleet.KindAutoscaleConfig, "desk-here")
	if s := w.get("s1"); err != nil || s.Phase != fleet.PhaseDraining || !strings.Contains(string(r.Spec), `"enabled":false`) {
		t.Errorf("s1 is %s, config %s, error %v", s.Phase, r.Spec, err)
	}
	w.write(func(tx *store.Tx) error {
		s, err := tx.Server("s1")
		if err != nil {
			return err
		}
		s.Phase = fleet.PhaseGone
		return tx.SaveServer(s)
	})
	got, err = del(func(r *service.DeleteRequest) { r.IgnoreMissing = true }, append(set, "Pool/nope")...)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("deletion: %v\n%s", err, diff)
	}
	if got, err = del(func(r *service.DeleteRequest) { r.IgnoreMissing = true }, set...); err != nil || len(got) != 0 {
		t.Errorf("deleting again: %v, %v", got, err)
	}
	if e := w.lastEvent("Pool", "desk"); e.Type != fleet.EventObjectDeleted || e.Actor != "token/root" {
		t.Errorf("event %+v", e)
	}
}

// A set of thousands must not look at every object for each of its own.
func TestDeleteSetIsNotQuadratic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 10000
	var text strings.Builder
	var all []string
	for i := range n {
		name := fmt.Sprintf("p%05d", i)
		text.WriteString(doc("Pool", name, "{type: server}"))
		all = append(all, "Pool/"+name)
	}
	w.apply(text.String())
	start := time.Now()
	r, err := w.DeleteObjects(w.ctx, admin, service.DeleteRequest{Objects: refs(all...)})
	if err != nil || len(r.Changes) != n {
		t.Fatalf("%d deleted, error %v", len(r.Changes), err)
	}
	took := time.Since(start)
	t.Logf("%d pools were deleted in %s", n, took)
	if took > 20*time.Second {
		t.Errorf("%d pools took %s", n, took)
	}
}
