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

// summary is "action Kind/name" of each change.
func summary(r service.ApplyResult) (out []string) {
	for _, c := range r.Changes {
		out = append(out, fmt.Sprintf("%s %s/%s", c.Action, c.Kind, c.Name))
	}
	return out
}

func (w *world) tryApply(text string, change ...func(*service.ApplyRequest)) (service.ApplyResult, error) {
	r := service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "a.yaml", Text: text}}}
	for _, c := range change {
		c(&r)
	}
	return w.Apply(w.ctx, admin, r)
}

func dryRun(r *service.ApplyRequest) { r.DryRun = true }
func prune(r *service.ApplyRequest)  { r.Prune = true }

func TestApplyIsOrderFreeAndIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	parts := strings.Split(basic, "---\n")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	backwards := strings.Join(parts, "\n---\n")
	dry, err := w.tryApply(backwards, dryRun)
	if err != nil || dry.Applied || len(dry.Changes) != 5 {
		t.Fatalf("dry run %+v, error %v", dry, err)
	}
	if _, err := w.Object(w.ctx, admin, fleet.KindPool, "desk"); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Errorf("the dry run wrote: %v", err)
	}
	r := w.apply(backwards)
	want := []string{"create Zone/default", "create Pool/win", "create Pool/desk", "create VMProvider/cloud1", "create AutoscaleConfig/desk-here"}
	if diff := cmp.Diff(want, summary(r)); diff != "" || !r.Applied {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	before, err := w.Object(w.ctx, admin, fleet.KindVMProvider, "cloud1")
	if err != nil {
		t.Fatal(err)
	}
	seq := w.lastSeq()
	for _, c := range summary(w.apply(basic)) {
		if !strings.HasPrefix(c, "unchanged ") {
			t.Errorf("the repetition does %s", c)
		}
	}
	if after, _ := w.Object(w.ctx, admin, fleet.KindVMProvider, "cloud1"); after.Version != before.Version || w.lastSeq() != seq {
		t.Error("the repetition changed something")
	}
}

func (w *world) lastSeq() (seq int64) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		var err error
		seq, err = tx.LastEventSeq()
		return err
	})
	return seq
}

func TestApplyReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	seq := w.lastSeq()
	_, err := w.tryApply(`apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: good}
spec: {type: server}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: bad1}
spec:
  pool: win
  zone: defalt
  vm_providers: [cloud1, cloud2]
  standby: {cores: 1}
---
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: bad2}
spec:
  pool: desk
  zone: default
  vm_providers: [cloud1]
  min_available_sessions: 3
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: Bad_Name}
spec: {type: desktop, queue_limt: 3}
---
apiVersion: headroom.dev/v1
kind: Staging
metadata: {name: st}
spec: {pool: good, count: 1, shape: {cores: 1}}
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: no-secret}
spec: {provider: cloud, max_instances: 1, settings: {region: x}}
`)
	wantCode(
		t, err, fleet.CodeInvalid,
		`a.yaml:11: spec.zone: there is no Zone "defalt", neither in the database nor in the documents: did you mean default?`,
		`a.yaml:12: spec.vm_providers[1]: there is no VMProvider "cloud2"`,
		`a.yaml:13: spec.standby: is for pools of type docker_agent, and pool win is of type server: use min_available_sessions`,
		`a.yaml:22: spec.min_available_sessions: is for pools of type server`,
		`metadata.name`, `spec.type`, `queue_limt`,
		`a.yaml:32: spec.shape: pool good is of type server`,
		`a.yaml:37: spec.settings`, `token`,
	)
	if _, err := w.Object(w.ctx, admin, fleet.KindPool, "good"); fleet.CodeOf(err) != fleet.CodeNotFound || w.lastSeq() != seq {
		t.Errorf("something was written: %v", err)
	}
}

func TestApplyDiffsAndNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	w.server("s2")
	changed := strings.NewReplacer("token: s3cret", "token: n3w, size: big", "standby: {cores: 2, memory: 2Gi}", "standby: {cores: 4, memory: 2048Mi}").Replace(basic)
	r, err := w.tryApply(changed, dryRun)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(r)
	if strings.Contains(text, "n3w") || strings.Contains(text, "s3cret") {
		t.Errorf("the diff shows a secret: %s", text)
	}
	for _, c := range r.Changes {
		var paths []string
		for _, d := range c.Diff {
			paths = append(paths, d.Path)
		}
		switch c.Name {
		case "cloud1":
			if diff := cmp.Diff([]string{"spec.settings.size", "spec.settings.token"}, paths); diff != "" {
				t.Errorf("paths:\n%s", diff)
			}
			if len(c.Notes) == 0 || c.Notes[0] != "touches 1 autoscale config (desk-here) and 2 machines" {
				t.Errorf("notes %q", c.Notes)
			}
		case "desk-here":
			if diff := cmp.Diff([]string{"spec.standby.cores"}, paths); diff != "" {
				t.Errorf("paths:\n%s", diff)
			}
		default:
			if c.Action != service.ActionUnchanged {
				t.Errorf("%s %s", c.Action, c.Name)
			}
		}
	}
}

func TestSecretsAreWriteOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	read := func() service.Resource {
		r, err := w.Object(w.ctx, admin, fleet.KindVMProvider, "cloud1")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := read()
	if strings.Contains(string(r.Spec), "s3cret") || strings.Contains(string(r.Spec), "token") || !cmp.Equal(r.SecretsSet, []string{"settings.token"}) {
		t.Errorf("spec %s, secrets %v", r.Spec, r.SecretsSet)
	}
	secretNow := func() (value string) {
		w.write(func(tx *store.Tx) error {
			o, err := tx.Object(fleet.KindVMProvider, "cloud1")
			if err != nil {
				return err
			}
			if strings.Contains(string(o.Secrets), "s3cret") {
				t.Error("the database shows the secret")
			}
			values, err := w.Keeper.Open(w.ctx, o.Secrets)
			value = values["settings.token"]
			return err
		})
		return value
	}
	put := func(spec string) error {
		_, _, err := w.PutObject(w.ctx, admin, fleet.KindVMProvider, fleet.Meta{Name: "cloud1"}, raw(spec), service.Condition{})
		return err
	}
	if err := put(string(r.Spec)); err != nil || secretNow() != "s3cret" || read().Version != r.Version {
		t.Errorf("sending back what was read: %v, secret %q", err, secretNow())
	}
	if err := put(`{"provider":"cloud","max_instances":11,"settings":{"region":"here"}}`); err != nil || secretNow() != "s3cret" {
		t.Errorf("a change beside the secret: %v, secret %q", err, secretNow())
	}
	if err := put(`{"provider":"cloud","max_instances":11,"settings":{"region":"here","token":"n3w"}}`); err != nil || secretNow() != "n3w" {
		t.Errorf("a new secret: %v, secret %q", err, secretNow())
	}
	if e := w.lastEvent("VMProvider", "cloud1"); strings.Contains(fmt.Sprint(e), "n3w") || !strings.Contains(e.Message, "spec.settings.token") {
		t.Errorf("event %+v", e)
	}
	err := put(`{"provider":"cloud","max_instances":11,"settings":{"region":"here","token":null}}`)
	wantCode(t, err, fleet.CodeInvalid, "token")
	if secretNow() != "n3w" {
		t.Error("a refused change cleared the secret")
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(spec string, c service.Condition) (service.Resource, bool, error) {
		return w.PutObject(w.ctx, admin, fleet.KindPool, fleet.Meta{Name: "p"}, raw(spec), c)
	}
	_, _, err := put(`{"type":"server"}`, service.Condition{Version: 3})
	wantCode(t, err, fleet.CodeVersionMismatch)
	r, created, err := put(`{"type":"server"}`, service.Condition{Absent: true})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	_, _, err = put(`{"type":"server"}`, service.Condition{Absent: true})
	wantCode(t, err, fleet.CodeVersionMismatch, "exists already")
	r2, created, err := put(`{"type":"server","description":"x"}`, service.Condition{Version: r.Version})
	if err != nil || created || r2.Version == r.Version {
		t.Errorf("%+v, %v, %v", r2, created, err)
	}
	_, _, err = put(`{"type":"server","description":"y"}`, service.Condition{Version: r.Version})
	wantCode(t, err, fleet.CodeVersionMismatch, "changed meanwhile")
	wantCode(t, w.DeleteObject(w.ctx, admin, fleet.KindPool, "p", service.Condition{Version: r.Version}, false), fleet.CodeVersionMismatch)
	if err := w.DeleteObject(w.ctx, admin, fleet.KindPool, "p", service.Condition{Version: r2.Version}, false); err != nil {
		t.Error(err)
	}
	wantCode(t, w.DeleteObject(w.ctx, admin, fleet.KindPool, "p", service.Condition{}, false), fleet.CodeNotFound)
}

func TestImmutableFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic + doc("Zone", "second", "{}"))
	for name, tc := range map[string]struct {
		old, new string
		path     string
		always   bool // also without machines
	}{
		"type of a pool":     {"metadata: {name: win}\nspec: {type: server}", "metadata: {name: win}\nspec: {type: docker_agent}", "spec.type", true},
		"immutable setting":  {"region: here", "region: there", "spec.settings.region", true},
		"zone of a config":   {"zone: default, vm", "zone: second, vm", "spec.zone", false},
		"provider of config": {"", "", "", false},
	} {
		if tc.old == "" {
			continue
		}
		changed := strings.Replace(basic, tc.old, tc.new, 1)
		if changed == basic {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if _, err := w.tryApply(changed, dryRun); (err != nil) != tc.always {
			t.Errorf("%s without machines: %v", name, err)
		}
	}
	w.server("s1")
	_, err := w.tryApply(strings.Replace(basic, "zone: default, vm", "zone: second, vm", 1))
	wantCode(t, err, fleet.CodeInvalid, "spec.zone: cannot be changed from default while 1 machine exist")
}

func TestDeleteRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	del := func(k fleet.Kind, name string, drain bool) error {
		return w.DeleteObject(w.ctx, admin, k, name, service.Condition{}, drain)
	}
	wantCode(t, del(fleet.KindPool, "desk", true), fleet.CodeInUse, "1 object refers to it: AutoscaleConfig desk-here")
	wantCode(t, del(fleet.KindVMProvider, "cloud1", false), fleet.CodeInUse)
	w.server("s1")
	w.server("s2", inPhase(fleet.PhaseBooting))
	wantCode(t, del(fleet.KindAutoscaleConfig, "desk-here", false), fleet.CodeInUse, "2 machines depend on it")
	wantCode(t, del(fleet.KindVMProvider, "cloud1", true), fleet.CodeInUse, "refers to it")
	if s := w.get("s1"); s.Phase != fleet.PhaseReady {
		t.Errorf("a refused deletion drained s1: %s", s.Phase)
	}
	for range 2 { // it can be repeated
		wantCode(t, del(fleet.KindAutoscaleConfig, "desk-here", true), fleet.CodeInUse, "is being drained and not deleted yet: 2 machines depend on it still")
	}
	if a, b := w.get("s1").Phase, w.get("s2").Phase; a != fleet.PhaseDraining || b != fleet.PhaseDeleting {
		t.Errorf("s1 is %s, s2 is %s", a, b)
	}
	r, err := w.Object(w.ctx, admin, fleet.KindAutoscaleConfig, "desk-here")
	if err != nil || !strings.Contains(string(r.Spec), `"enabled":false`) {
		t.Errorf("config %s, error %v", r.Spec, err)
	}
	for _, id := range []string{"s1", "s2"} {
		w.write(func(tx *store.Tx) error {
			s, err := tx.Server(id)
			if err != nil {
				return err
			}
			s.Phase = fleet.PhaseGone
			return tx.SaveServer(s)
		})
	}
	for _, d := range []struct {
		kind fleet.Kind
		name string
	}{{fleet.KindAutoscaleConfig, "desk-here"}, {fleet.KindVMProvider, "cloud1"}, {fleet.KindPool, "desk"}, {fleet.KindZone, "default"}} {
		if err := del(d.kind, d.name, false); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	if _, err := w.Acquire(w.ctx, ann, service.AcquireRequest{Pool: "win"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, del(fleet.KindPool, "win", false), fleet.CodeInUse, "1 session are live")
}

func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	if _, _, err := w.PutObject(w.ctx, admin, fleet.KindPool, fleet.Meta{Name: "by-hand"}, raw(`{"type":"server"}`), service.Condition{}); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(basic, "---\n")
	less := strings.Join(parts[:3], "---\n") // without cloud1 and desk-here
	if r, err := w.tryApply(less, dryRun); err != nil || len(r.Changes) != 3 {
		t.Errorf("without prune: %v, %v", summary(r), err)
	}
	r, err := w.tryApply(less, prune)
	want := []string{"unchanged Zone/default", "unchanged Pool/desk", "unchanged Pool/win", "delete AutoscaleConfig/desk-here", "delete VMProvider/cloud1"}
	if diff := cmp.Diff(want, summary(r)); err != nil || diff != "" {
		t.Errorf("error %v, changes:\n%s", err, diff)
	}
	if _, err := w.Object(w.ctx, admin, fleet.KindPool, "by-hand"); err != nil {
		t.Errorf("prune deleted what apply did not make: %v", err)
	}
	if r, err = w.tryApply(less, prune); err != nil || len(r.Changes) != 3 {
		t.Errorf("pruning again: %v, %v", summary(r), err)
	}
	w.apply(basic)
	w.server("s1")
	_, err = w.tryApply(less, prune)
	wantCode(t, err, fleet.CodeInUse, "2 objects cannot be deleted\n", "\n  AutoscaleConfig desk-here: cannot be deleted: 1 machine depend", "\n  VMProvider cloud1: cannot be deleted: 1 machine depend")
	if _, err := w.Object(w.ctx, admin, fleet.KindVMProvider, "cloud1"); err != nil {
		t.Errorf("a refused prune deleted something: %v", err)
	}
}

func TestObjectList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		labels := map[string]string{"team": fmt.Sprint(i % 2)}
		if _, _, err := w.PutObject(w.ctx, admin, fleet.KindPool, fleet.Meta{Name: fmt.Sprintf("p%d", i), Labels: labels}, raw(`{"type":"server"}`), service.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	got := ""
	after := ""
	for {
		items, next, err := w.Objects(w.ctx, viewer, fleet.KindPool, service.ObjectQuery{Labels: map[string]string{"team": "0"}, Limit: 2, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range items {
			got += r.Meta.Name + " "
			if _, ok := r.Status.(*service.PoolStatus); !ok {
				t.Errorf("status %T", r.Status)
			}
		}
		got += "| "
		if after = next; after == "" {
			break
		}
	}
	if got != "p0 p2 | p4 | " {
		t.Errorf("pages %q", got)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	w.server("s1")
	w.server("s2", inPhase(fleet.PhaseBooting))
	w.take(ann)
	w.write(func(tx *store.Tx) error {
		return tx.SaveProviderState(store.ProviderState{Provider: "cloud1", Circuit: "open", Failures: 3, Error: "bad image", OpenUntil: w.clock.Now().Add(time.Minute)})
	})
	status := func(k fleet.Kind, name string) any {
		r, err := w.Object(w.ctx, viewer, k, name)
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	p := status(fleet.KindPool, "desk").(*service.PoolStatus)
	if p.Servers["ready"] != 1 || p.Servers["booting"] != 1 || p.Sessions["active"] != 1 || p.Capacity.Cores != 2*fleet.Core || p.Free.Cores != fleet.Core {
		t.Errorf("pool %+v", p)
	}
	v := status(fleet.KindVMProvider, "cloud1").(*service.VMProviderStatus)
	if v.Total != 2 || v.Circuit != "open" || v.Error != "bad image" || !cmp.Equal(v.AutoscaleConfigs, []string{"desk-here"}) {
		t.Errorf("provider %+v", v)
	}
	if c := status(fleet.KindAutoscaleConfig, "desk-here").(*service.AutoscaleConfigStatus); c.Total != 2 {
		t.Errorf("config %+v", c)
	}
	if st := status(fleet.KindZone, "default"); st != nil {
		t.Errorf("zone %+v", st)
	}
}

func TestReferencesToBrokenDocumentsAreNotReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	_, err := w.tryApply(`apiVersion: headroom.dev/v1
kind: Staging
metadata: {name: st}
spec: {pool: broken, zone: nowhere, count: 1}
---
apiVersion: headroom.dev/v1
kind: Pool
metadata: {name: broken}
spec: {type: desktop}
`)
	wantCode(t, err, fleet.CodeInvalid, "a.yaml:4: spec.zone: there is no Zone", "a.yaml:9: spec.type", "2 problems")
}
