package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/store"
)

// Action is what happens to an object.
type Action string

// The actions.
const (
	ActionCreate    Action = "create"
	ActionUpdate    Action = "update"
	ActionDelete    Action = "delete"
	ActionUnchanged Action = "unchanged"
)

// Change is what happens, or would happen, to one object.
type Change struct {
	Kind   fleet.Kind        `json:"kind"`
	Name   string            `json:"name"`
	Action Action            `json:"action" enum:"create,update,delete,unchanged"`
	Source string            `json:"source,omitempty" doc:"File and line of the document."`
	Diff   []manifest.Change `json:"diff,omitempty"`
	Notes  []string          `json:"notes,omitempty" doc:"What else the change touches."`
}

// changeSet is a set of changes that has been checked and can be written.
type changeSet struct {
	world        *world
	changes      []Change
	objects      []*store.Object // beside changes; nil for deletions and what is unchanged
	onlyMachines bool            // of a refused deletion: machines are all that is in the way of any object
}

// compare works out what the documents and deletions change, and reports
// everything that is wrong with them at once. It writes nothing.
func (s *Service) compare(tx *store.Tx, docs, broken []manifest.Document, deletes []ref) (*changeSet, error) {
	w, err := loadWorld(tx)
	if err != nil {
		return nil, err
	}
	return s.compareIn(tx, w, docs, broken, deletes)
}

// compareIn is compare with a world that has been read.
func (s *Service) compareIn(tx *store.Tx, w *world, docs, broken []manifest.Document, deletes []ref) (*changeSet, error) {
	set := &changeSet{world: w}
	for _, doc := range docs {
		w.specs[ref{doc.Kind, doc.Meta.Name}] = doc.Spec
	}
	for _, doc := range broken { // others may refer to it: it is there, if not right yet
		if r := (ref{doc.Kind, doc.Meta.Name}); w.specs[r] == nil {
			w.specs[r] = doc.Spec
		}
	}
	for _, r := range deletes {
		delete(w.specs, r)
	}
	var fields []fleet.FieldError
	slices.SortStableFunc(docs, func(a, b manifest.Document) int {
		return slices.Index(fleet.Kinds(), a.Kind) - slices.Index(fleet.Kinds(), b.Kind)
	})
	for _, doc := range docs {
		found, err := s.compareDocument(tx, set, doc)
		if err != nil {
			return nil, err
		}
		fields = append(fields, w.checkDocument(doc)...)
		fields = append(fields, found...)
	}
	for _, doc := range broken {
		fields = append(fields, w.checkReferences(doc)...)
	}
	slices.SortStableFunc(fields, bySource)
	if err := fleet.Invalid("documents", fields); err != nil {
		return set, err
	}
	return set, s.compareDeletes(tx, set, deletes)
}

func (s *Service) compareDeletes(tx *store.Tx, set *changeSet, deletes []ref) error {
	var problems []fleet.FieldError
	set.onlyMachines = true
	slices.SortFunc(deletes, func(a, b ref) int { // what refers to others goes first
		if d := slices.Index(fleet.Kinds(), b.kind) - slices.Index(fleet.Kinds(), a.kind); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	for _, r := range deletes {
		problem, only, err := set.world.checkDelete(tx, r)
		if err != nil {
			return err
		}
		if problem != "" {
			problems = append(problems, fleet.FieldError{Path: fmt.Sprintf("%s %s", r.kind, r.name), Message: "cannot be deleted: " + problem})
			set.onlyMachines = set.onlyMachines && only
		}
		set.changes = append(set.changes, Change{Kind: r.kind, Name: r.name, Action: ActionDelete})
		set.objects = append(set.objects, nil)
	}
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return &fleet.Error{Code: fleet.CodeInUse, Message: problems[0].Path + " " + problems[0].Message}
	}
	return &fleet.Error{Code: fleet.CodeInUse, Message: fmt.Sprintf("%d objects cannot be deleted", len(problems)), Fields: problems}
}

// compareDocument adds the change of one document to the set.
func (s *Service) compareDocument(tx *store.Tx, set *changeSet, doc manifest.Document) ([]fleet.FieldError, error) {
	r := ref{doc.Kind, doc.Meta.Name}
	spec, given, err := doc.Canonical()
	if err != nil {
		return nil, err
	}
	change := Change{Kind: r.kind, Name: r.name, Action: ActionCreate, Source: doc.Source}
	object := &store.Object{Kind: r.kind, Name: r.name, Labels: doc.Meta.Labels}
	old, oldSecrets := map[string]any{}, map[string]string{}
	have := set.world.stored[r]
	if have != nil {
		object.Version, object.Secrets = have.Version, have.Secrets
		if err := json.Unmarshal(have.Spec, &old); err != nil {
			return nil, fmt.Errorf("decoding the spec of %s %s: %w", r.kind, r.name, err)
		}
		if oldSecrets, err = s.Keeper.Open(tx.Context(), have.Secrets); err != nil {
			return nil, fmt.Errorf("reading the secrets of %s %s: %w", r.kind, r.name, err)
		}
	}
	newSecrets := settings.UpdateSecrets(oldSecrets, given)
	maps.DeleteFunc(newSecrets, func(path, _ string) bool { return !slices.Contains(doc.SecretPaths(), path) })
	fields := checkSecrets(doc, spec, newSecrets)
	if have != nil {
		more, err := checkImmutable(tx, doc, r, old, spec)
		if err != nil {
			return nil, err
		}
		fields = append(fields, more...)
	}
	if len(fields) > 0 {
		return fields, nil
	}
	if !maps.Equal(oldSecrets, newSecrets) {
		if object.Secrets, err = s.Keeper.Seal(tx.Context(), newSecrets); err != nil {
			return nil, err
		}
	}
	if object.Spec, err = json.Marshal(spec); err != nil {
		return nil, fmt.Errorf("encoding the spec of %s %s: %w", r.kind, r.name, err)
	}
	if have != nil {
		change.Diff = manifest.Diff(whole(have.Labels, old), whole(doc.Meta.Labels, spec))
		for _, path := range doc.SecretPaths() {
			if oldSecrets[path] != newSecrets[path] {
				change.Diff = append(change.Diff, manifest.Change{Path: "spec." + path, Old: masked(oldSecrets[path]), New: masked(newSecrets[path])})
			}
		}
		if change.Action = ActionUpdate; len(change.Diff) == 0 {
			change.Action, object = ActionUnchanged, nil
		} else if change.Notes, err = s.notes(tx, set.world, have, object); err != nil {
			return nil, err
		}
	}
	for _, warning := range doc.Warnings {
		change.Notes = append(change.Notes, "warning: "+warning)
	}
	set.changes, set.objects = append(set.changes, change), append(set.objects, object)
	return nil, nil
}

// checkSecrets checks the settings with their secrets, kept ones included:
// only now is known whether a required secret is missing.
func checkSecrets(doc manifest.Document, spec map[string]any, secrets map[string]string) []fleet.FieldError {
	if doc.Settings == nil {
		return nil
	}
	full, _ := settings.MergeSecrets(spec, secrets)["settings"].(map[string]any)
	fields := settings.DecodeMap(full, reflect.New(reflect.TypeOf(doc.Settings).Elem()).Interface(), settings.Options{Path: "spec.settings"})
	for i := range fields {
		fields[i].Source = doc.Line(fields[i].Path)
	}
	return fields
}

// checkImmutable reports changes of what cannot be changed, at all or while
// machines exist.
func checkImmutable(tx *store.Tx, doc manifest.Document, r ref, old, spec map[string]any) ([]fleet.FieldError, error) {
	var fields []fleet.FieldError
	n, counted := int64(0), false
	frozen := func(name string, always bool) error {
		if fmt.Sprint(old[name]) == fmt.Sprint(spec[name]) {
			return nil
		}
		path := "spec." + name
		if always {
			fields = append(fields, fleet.FieldError{Source: doc.Line(path), Path: path, Value: spec[name], Message: fmt.Sprintf(
				"cannot be changed from %v: make another %s", old[name], r.kind)})
			return nil
		}
		if !counted {
			var err error
			if n, err = machines(tx, r); err != nil {
				return err
			}
			counted = true
		}
		if n > 0 {
			fields = append(fields, fleet.FieldError{Source: doc.Line(path), Path: path, Value: spec[name], Message: fmt.Sprintf(
				"cannot be changed from %v while %s exist: delete them first, or make another %s", old[name], count(n, "machine"), r.kind)})
		}
		return nil
	}
	var err error
	switch doc.Kind {
	case fleet.KindPool:
		err = frozen("type", true)
	case fleet.KindAutoscaleConfig:
		if err = frozen("pool", false); err == nil {
			err = frozen("zone", false)
		}
	case fleet.KindVMProvider:
		err = frozen("provider", false)
	default:
	}
	if err != nil {
		return nil, err
	}
	if doc.Settings != nil && old["provider"] == spec["provider"] {
		before, _ := old["settings"].(map[string]any)
		after, _ := spec["settings"].(map[string]any)
		found := settings.CheckImmutable(before, after, doc.Settings, "spec.settings")
		for i := range found {
			found[i].Source = doc.Line(found[i].Path)
		}
		fields = append(fields, found...)
	}
	return fields, nil
}

// notes say what the change of a shared object touches.
func (s *Service) notes(tx *store.Tx, w *world, have, changed *store.Object) ([]string, error) {
	r := ref{have.Kind, have.Name}
	if _, shared := dependants(r); !shared || r.kind == fleet.KindAutoscaleConfig {
		return nil, nil
	}
	n, err := machines(tx, r)
	if err != nil {
		return nil, err
	}
	var configs []string
	for _, from := range w.referrers(r) {
		if name, ok := strings.CutPrefix(from, string(fleet.KindAutoscaleConfig)+" "); ok {
			configs = append(configs, name)
		}
	}
	if n == 0 && len(configs) == 0 {
		return nil, nil
	}
	list := []string{fmt.Sprintf("touches %s%s and %s", count(int64(len(configs)), "autoscale config"), named(configs), count(n, "machine"))}
	if r.kind == fleet.KindVMProvider && n > 0 {
		before, err := store.Spec[fleet.VMProviderSpec](have)
		if err != nil {
			return nil, err
		}
		after, err := store.Spec[fleet.VMProviderSpec](changed)
		if err != nil {
			return nil, err
		}
		note := "machines that exist keep the settings they were made with; they are replaced only where replace_on_drift is set"
		if before.SameMachines(after, s.access) {
			note = "nothing that machines are made of changes: none is replaced"
			if names := s.otherAccess(before, after); len(names) > 0 {
				note += "; access alone changes (" + strings.Join(names, ", ") + "): machines that exist are reached by the new one once its listing has shown one of them"
			}
		}
		list = append(list, note)
	}
	return list, nil
}

// otherAccess names the settings that are access alone and differ.
func (s *Service) otherAccess(before, after fleet.VMProviderSpec) (names []string) {
	if before.Provider != after.Provider {
		return nil
	}
	for _, name := range s.access(after.Provider) {
		if !reflect.DeepEqual(before.Settings[name], after.Settings[name]) {
			names = append(names, name)
		}
	}
	return names
}

// mostNamed is how many objects a note names.
const mostNamed = 10

// named lists names in brackets, the first ones of many.
func named(names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	if more := len(names) - mostNamed; more > 0 {
		return fmt.Sprintf(" (%s and %d more)", strings.Join(names[:mostNamed], ", "), more)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func whole(labels map[string]string, spec map[string]any) map[string]any {
	m := map[string]any{}
	for k, v := range labels {
		m[k] = v
	}
	return map[string]any{"metadata": map[string]any{"labels": m}, "spec": spec}
}

func masked(secret string) any {
	if secret == "" {
		return nil
	}
	return settings.Masked
}

func canonicalJSON(spec any) (json.RawMessage, error) {
	m, err := settings.Map(spec)
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// write carries a checked set out, with an event for each change.
func (s *Service) write(tx *store.Tx, set *changeSet, actor string) error {
	now := s.now()
	for i, c := range set.changes {
		r := ref{c.Kind, c.Name}
		pool := poolOf(r, set.world.specs[r])
		switch c.Action {
		case ActionUnchanged:
		case ActionDelete:
			if err := tx.DeleteObject(c.Kind, c.Name); err != nil {
				return fmt.Errorf("deleting %s %s: %w", c.Kind, c.Name, err)
			}
			emitObject(tx, fleet.EventObjectDeleted, r, pool, actor, "deleted", nil)
		default:
			if _, _, err := tx.PutObject(set.objects[i], now); err != nil {
				return fmt.Errorf("writing %s %s: %w", c.Kind, c.Name, err)
			}
			what, message := fleet.EventObjectCreated, "created"
			data := map[string]any{"version": set.objects[i].Version}
			if c.Action == ActionUpdate {
				what, message = fleet.EventObjectUpdated, describe(c.Diff)
				data["changes"] = shorten(c.Diff)
			}
			emitObject(tx, what, r, pool, actor, message, data)
		}
	}
	return nil
}

// poolOf is the pool that an object belongs to, if any.
func poolOf(r ref, spec any) string {
	switch spec := spec.(type) {
	case *fleet.AutoscaleConfigSpec:
		return spec.Pool
	case *fleet.StagingSpec:
		return spec.Pool
	}
	if r.kind == fleet.KindPool {
		return r.name
	}
	return ""
}

func describe(diff []manifest.Change) string {
	var paths []string
	for _, d := range diff {
		paths = append(paths, d.Path)
	}
	if len(paths) > 5 {
		paths = append(paths[:5], fmt.Sprintf("%d more", len(paths)-5))
	}
	return "changed " + strings.Join(paths, ", ")
}

// shorten bounds what an event carries of a diff.
func shorten(diff []manifest.Change) []manifest.Change {
	var list []manifest.Change
	for _, d := range diff[:min(len(diff), 20)] {
		for _, v := range []*any{&d.Old, &d.New} {
			if text, ok := (*v).(string); ok && len(text) > 200 {
				*v = oneLine(text, 200)
			}
		}
		list = append(list, d)
	}
	return list
}
