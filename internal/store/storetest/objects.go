package storetest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/store"
)

func put(t *testing.T, s *store.Store, o store.Object, seconds int) (got store.Object, created, changed bool) {
	t.Helper()
	write(t, s, func(tx *store.Tx) (err error) {
		got = o
		created, changed, err = tx.PutObject(&got, at(seconds))
		return err
	})
	return got, created, changed
}

func object(t *testing.T, s *store.Store, kind fleet.Kind, name string) store.Object {
	t.Helper()
	return *get(t, s, func(tx *store.Tx) (*store.Object, error) { return tx.Object(kind, name) })
}

func testObjects(t *testing.T, s *store.Store) {
	pool := store.Object{
		Kind: fleet.KindPool, Name: "desktops", Labels: map[string]string{"team": "a"},
		Spec: json.RawMessage("{\"type\":\n \"docker_agent\"}"), Secrets: []byte{0, 1, 255},
	}
	got, created, changed := put(t, s, pool, 1)
	if !created || !changed {
		t.Errorf("first PutObject: created %t, changed %t, want true, true", created, changed)
	}
	want := pool
	want.Spec, want.Revision, want.Version, want.CreatedAt, want.UpdatedAt = json.RawMessage(`{"type":"docker_agent"}`), 1, 1, at(1), at(1)
	wantSame(t, "after PutObject", got, want)
	wantSame(t, "read back", object(t, s, fleet.KindPool, "desktops"), want)

	spec, err := store.Spec[fleet.PoolSpec](&got)
	if err != nil || spec.Type != fleet.PoolDockerAgent {
		t.Errorf("Spec: %v, %v", spec, err)
	}

	put(t, s, store.Object{Kind: fleet.KindPool, Name: "b-2", Spec: json.RawMessage(`{}`)}, 2)
	put(t, s, store.Object{Kind: fleet.KindPool, Name: "b", Spec: json.RawMessage(`{}`)}, 2)
	put(t, s, store.Object{Kind: fleet.KindPool, Name: "b1", Spec: json.RawMessage(`{}`)}, 2)
	put(t, s, store.Object{Kind: fleet.KindZone, Name: "desktops", Spec: json.RawMessage(`{}`)}, 2)
	names := []string{}
	for _, o := range get(t, s, func(tx *store.Tx) ([]*store.Object, error) { return tx.Objects(fleet.KindPool) }) {
		names = append(names, o.Name)
	}
	wantSame(t, "Objects by name", names, []string{"b", "b-2", "b1", "desktops"})

	write(t, s, func(tx *store.Tx) error { return tx.DeleteObject(fleet.KindPool, "desktops") })
	read(t, s, func(tx *store.Tx) error {
		_, err := tx.Object(fleet.KindPool, "desktops")
		wantErr(t, "a deleted object", err, store.ErrNotFound)
		_, err = tx.Object(fleet.KindZone, "desktops")
		wantErr(t, "the zone of the same name", err, nil)
		return nil
	})
	wantErr(t, "deleting twice", s.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteObject(fleet.KindPool, "desktops") }), store.ErrNotFound)
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, _, err := tx.PutObject(&store.Object{Kind: fleet.KindPool, Name: "x", Spec: json.RawMessage(`{`)}, t0)
		return err
	}); err == nil {
		t.Error("a spec that is no JSON was saved")
	}
}

func testObjectVersions(t *testing.T, s *store.Store) {
	o, _, _ := put(t, s, store.Object{Kind: fleet.KindPool, Name: "p", Spec: json.RawMessage(`{"a":1}`)}, 1)
	steps := []struct {
		what              string
		change            func(*store.Object)
		changed           bool
		revision, version int64
	}{
		{"nothing", func(*store.Object) {}, false, 1, 1},
		{"white space", func(o *store.Object) { o.Spec = json.RawMessage(`{ "a": 1 }`) }, false, 1, 1},
		{"labels", func(o *store.Object) { o.Labels = map[string]string{"k": "v"} }, true, 1, 2},
		{"spec", func(o *store.Object) { o.Spec = json.RawMessage(`{"a":2}`) }, true, 2, 3},
		{"secrets", func(o *store.Object) { o.Secrets = []byte("sealed") }, true, 3, 4},
		{"no secrets", func(o *store.Object) { o.Secrets = nil }, true, 4, 5},
	}
	for i, step := range steps {
		step.change(&o)
		got, created, changed := put(t, s, o, 10+i)
		if created || changed != step.changed || got.Revision != step.revision || got.Version != step.version {
			t.Errorf("changing %s: created %t, changed %t, revision %d, version %d; want false, %t, %d, %d",
				step.what, created, changed, got.Revision, got.Version, step.changed, step.revision, step.version)
		}
		wantSame(t, "read back after changing "+step.what, object(t, s, fleet.KindPool, "p"), got)
		o = got
	}

	stale := o
	stale.Version = 2
	stale.Spec = json.RawMessage(`{"a":3}`)
	wantErr(t, "an old version", s.Write(t.Context(), func(tx *store.Tx) error {
		_, _, err := tx.PutObject(&stale, t0)
		return err
	}), store.ErrStale)
	if stale.Version != 2 {
		t.Errorf("a refused object was changed to version %d", stale.Version)
	}
	absent := store.Object{Kind: fleet.KindPool, Name: "absent", Version: 1, Spec: json.RawMessage(`{}`)}
	wantErr(t, "a version of an absent object", s.Write(t.Context(), func(tx *store.Tx) error {
		_, _, err := tx.PutObject(&absent, t0)
		return err
	}), store.ErrStale)

	write(t, s, func(tx *store.Tx) error { return tx.DeleteObject(fleet.KindPool, "p") })
	again, created, _ := put(t, s, store.Object{Kind: fleet.KindPool, Name: "p", Spec: json.RawMessage(`{"a":2}`)}, 30)
	if !created || again.Revision != 5 || again.Version != 6 || !again.CreatedAt.Equal(at(30)) {
		t.Errorf("made again: %+v, created %t; want revision 5, version 6, a new creation time", again, created)
	}
}

func testProviderRevisions(t *testing.T, s *store.Store) {
	v := store.Object{Kind: fleet.KindVMProvider, Name: "v", Spec: json.RawMessage(`{"n":1}`), Secrets: []byte("s1")}
	first, _, _ := put(t, s, v, 1)
	v.Labels = map[string]string{"a": "b"} // no new revision
	put(t, s, v, 2)
	v.Spec = json.RawMessage(`{"n":2}`)
	put(t, s, v, 3)
	v.Spec = json.RawMessage(`{"n":3}`)
	third, _, _ := put(t, s, v, 4)
	var kept []int64
	if err := s.Read(t.Context(), func(tx *store.Tx) error {
		list, err := tx.ProviderRevisions("v")
		for _, o := range list {
			kept = append(kept, o.Revision)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "the revisions that are kept", kept, []int64{1, 2, 3})
	revision := func(n int64) (*store.Object, error) {
		var o *store.Object
		err := s.Read(t.Context(), func(tx *store.Tx) (err error) {
			o, err = tx.ProviderRevision("v", n)
			return err
		})
		return o, err
	}
	prune := func() (n int64) {
		write(t, s, func(tx *store.Tx) (err error) {
			n, err = tx.PruneProviderRevisions()
			return err
		})
		return n
	}
	o, err := revision(1)
	wantErr(t, "revision 1", err, nil)
	wantSame(t, "revision 1", *o, first)
	o, err = revision(3)
	wantErr(t, "revision 3", err, nil)
	wantSame(t, "revision 3", *o, third)
	_, err = revision(4)
	wantErr(t, "revision 4", err, store.ErrNotFound)

	user := agent("a", res(1, 1, 0))
	user.VMProvider, user.ProviderRevision = "v", 1
	addServers(t, s, user)
	if n := prune(); n != 1 { // 2: 1 is used, 3 is current
		t.Errorf("pruned %d revisions, want 1", n)
	}
	write(t, s, func(tx *store.Tx) error { return tx.DeleteObject(fleet.KindVMProvider, "v") })
	o, err = revision(1)
	wantErr(t, "revision 1 of a deleted object", err, nil)
	wantSame(t, "revision 1 of a deleted object", *o, first, cmpopts.EquateEmpty())
	if n := prune(); n != 1 { // 3 is not current any more
		t.Errorf("pruned %d revisions after the deletion, want 1", n)
	}
	write(t, s, func(tx *store.Tx) error {
		v, err := tx.Server("a")
		if err != nil {
			return err
		}
		v.Phase, v.GoneAt = fleet.PhaseGone, ptr(t0)
		return tx.SaveServer(v)
	})
	if n := prune(); n != 1 {
		t.Errorf("pruned %d revisions after the server was gone, want 1", n)
	}
	_, err = revision(1)
	wantErr(t, "a pruned revision", err, store.ErrNotFound)
}
