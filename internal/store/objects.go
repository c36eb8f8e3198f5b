package store

import (
	"bytes"
	"cmp"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

const objectColumns = "kind, name, labels, spec, secrets, revision, version, created_at, updated_at"

// Object reads one object; ErrNotFound.
func (tx *Tx) Object(kind fleet.Kind, name string) (*Object, error) {
	return tx.object("SELECT "+objectColumns+" FROM objects WHERE kind = $1 AND name = $2",
		fmt.Sprintf("%s %q", kind, name), string(kind), name)
}

// ProviderRevision reads a VMProvider as it was in that revision, also after
// the object has been deleted; ErrNotFound.
func (tx *Tx) ProviderRevision(name string, revision int64) (*Object, error) {
	return tx.object("SELECT 'VMProvider', name, labels, spec, secrets, revision, version, created_at, updated_at FROM provider_revisions WHERE name = $1 AND revision = $2",
		fmt.Sprintf("revision %d of %s %q", revision, fleet.KindVMProvider, name), name, revision)
}

func (tx *Tx) object(query, what string, args ...any) (*Object, error) {
	var o *Object
	err := tx.each(query, args, func(r row) (err error) {
		o, err = scanObject(r)
		return err
	})
	if err == nil && o == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return o, nil
}

// Objects lists the objects of a kind by name.
func (tx *Tx) Objects(kind fleet.Kind) ([]*Object, error) {
	list := []*Object{}
	err := tx.each("SELECT "+objectColumns+" FROM objects WHERE kind = $1", []any{string(kind)}, func(r row) error {
		o, err := scanObject(r)
		list = append(list, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing objects of kind %s: %w", kind, err)
	}
	// Not by the database, whose order depends on its collation.
	slices.SortFunc(list, func(a, b *Object) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func scanObject(r row) (*Object, error) {
	var o Object
	var labels, spec string
	var secrets sql.NullString
	var created, updated int64
	if err := r.Scan(&o.Kind, &o.Name, &labels, &spec, &secrets, &o.Revision, &o.Version, &created, &updated); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(labels), &o.Labels); err != nil {
		return nil, fmt.Errorf("decoding labels: %w", err)
	}
	if secrets.Valid {
		b, err := base64.StdEncoding.DecodeString(secrets.String)
		if err != nil {
			return nil, fmt.Errorf("decoding sealed secrets: %w", err)
		}
		o.Secrets = b
	}
	o.Spec, o.CreatedAt, o.UpdatedAt = json.RawMessage(spec), moment(created), moment(updated)
	return &o, nil
}

// PutObject creates or changes an object and fills in its Version, Revision and
// times; its Spec is compacted. When Version is not 0 it must be that of the
// stored object, else ErrStale. changed is false when the object was the same
// already. Every revision of a VMProvider is kept.
func (tx *Tx) PutObject(o *Object, now time.Time) (created, changed bool, err error) {
	var spec bytes.Buffer
	if err := json.Compact(&spec, o.Spec); err != nil {
		return false, false, fmt.Errorf("saving %s %q: the spec is not JSON: %w", o.Kind, o.Name, err)
	}
	n := *o
	n.Spec = spec.Bytes()
	if len(n.Labels) == 0 {
		n.Labels = nil
	}
	if len(n.Secrets) == 0 {
		n.Secrets = nil
	}
	n.UpdatedAt = exact(now)

	old, err := tx.storedObject(o.Kind, o.Name)
	if err == nil {
		created = old == nil
		changed, err = tx.putObject(&n, old)
	}
	if err != nil {
		return false, false, fmt.Errorf("saving %s %q: %w", o.Kind, o.Name, err)
	}
	*o = n
	return created, changed, nil
}

func (tx *Tx) storedObject(kind fleet.Kind, name string) (o *Object, err error) {
	err = tx.each("SELECT "+objectColumns+" FROM objects WHERE kind = $1 AND name = $2", []any{string(kind), name}, func(r row) (err error) {
		o, err = scanObject(r)
		return err
	})
	return o, err
}

// putObject writes n in place of old, which is nil when there is none.
func (tx *Tx) putObject(n, old *Object) (changed bool, err error) {
	switch {
	case old == nil && n.Version > 0, old != nil && n.Version > 0 && n.Version != old.Version:
		return false, ErrStale
	case old == nil:
		n.Revision, n.Version = 0, 0
		if _, err := tx.get("SELECT revision, version FROM object_marks WHERE kind = $1 AND name = $2",
			[]any{string(n.Kind), n.Name}, &n.Revision, &n.Version); err != nil {
			return false, err
		}
		n.Revision, n.Version, n.CreatedAt = n.Revision+1, n.Version+1, n.UpdatedAt
	default:
		n.CreatedAt, n.Revision, n.Version = old.CreatedAt, old.Revision, old.Version
		sameSpec := bytes.Equal(n.Spec, old.Spec) && bytes.Equal(n.Secrets, old.Secrets)
		if sameSpec && maps.Equal(n.Labels, old.Labels) {
			n.UpdatedAt = old.UpdatedAt
			return false, nil
		}
		n.Version++
		if !sameSpec {
			n.Revision++
		}
	}
	if err := tx.writeObject(n, old); err != nil {
		return false, err
	}
	tx.objectsChanged()
	if n.Kind == fleet.KindVMProvider && (old == nil || old.Revision != n.Revision) {
		return true, tx.keepRevision(n)
	}
	return true, nil
}

func (tx *Tx) writeObject(n, old *Object) error {
	labels, err := jsonText(n.Labels)
	if err != nil {
		return err
	}
	args := []any{string(n.Kind), n.Name, labels, string(n.Spec), secretsText(n.Secrets), n.Revision, n.Version, n.UpdatedAt.UnixMicro()}
	var rows int64
	if old == nil {
		rows, err = tx.exec(`INSERT INTO objects (kind, name, labels, spec, secrets, revision, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING`, args...)
	} else {
		rows, err = tx.exec(`UPDATE objects SET labels = $3, spec = $4, secrets = $5, revision = $6, version = $7, updated_at = $8
			WHERE kind = $1 AND name = $2 AND version = $9`, append(args, old.Version)...)
	}
	if err == nil && rows == 0 {
		err = ErrStale // a rival was faster; only on PostgreSQL
	}
	return err
}

func (tx *Tx) keepRevision(o *Object) error {
	labels, err := jsonText(o.Labels)
	if err != nil {
		return err
	}
	err = tx.do(`INSERT INTO provider_revisions (name, revision, version, labels, spec, secrets, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		o.Name, o.Revision, o.Version, labels, string(o.Spec), secretsText(o.Secrets), o.CreatedAt.UnixMicro(), o.UpdatedAt.UnixMicro())
	return err
}

func secretsText(b []byte) any {
	if b == nil {
		return nil
	}
	return base64.StdEncoding.EncodeToString(b)
}

// ProviderRevisions lists the revisions of a VMProvider that are kept: the
// current one and those with which machines were made.
func (tx *Tx) ProviderRevisions(name string) (list []*Object, err error) {
	err = tx.each("SELECT 'VMProvider', name, labels, spec, secrets, revision, version, created_at, updated_at FROM provider_revisions WHERE name = $1 ORDER BY revision",
		[]any{name}, func(r row) error {
			o, err := scanObject(r)
			list = append(list, o)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the revisions of %s %q: %w", fleet.KindVMProvider, name, err)
	}
	return list, nil
}

// DeleteObject removes an object; ErrNotFound. Revisions of a VMProvider stay
// until they are pruned.
func (tx *Tx) DeleteObject(kind fleet.Kind, name string) error {
	var revision, version int64
	found, err := tx.change("DELETE FROM objects WHERE kind = $1 AND name = $2 RETURNING revision, version",
		[]any{string(kind), name}, &revision, &version)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err == nil {
		tx.objectsChanged()
		err = tx.do(`INSERT INTO object_marks (kind, name, revision, version) VALUES ($1, $2, $3, $4)
			ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, version = excluded.version`,
			string(kind), name, revision, version)
	}
	if err != nil {
		return fmt.Errorf("deleting %s %q: %w", kind, name, err)
	}
	return nil
}

// PruneProviderRevisions drops the revisions that are neither current nor used
// by a server that is not gone, and returns how many.
func (tx *Tx) PruneProviderRevisions() (int64, error) {
	n, err := tx.exec(`DELETE FROM provider_revisions
		WHERE NOT EXISTS (SELECT 1 FROM objects AS o WHERE o.kind = $1 AND o.name = provider_revisions.name AND o.revision = provider_revisions.revision)
		AND NOT EXISTS (SELECT 1 FROM servers AS s WHERE s.live AND s.vm_provider = provider_revisions.name AND s.provider_revision = provider_revisions.revision)`,
		string(fleet.KindVMProvider))
	if err != nil {
		return 0, fmt.Errorf("pruning provider revisions: %w", err)
	}
	return n, nil
}

// AutoscaleConfig reads the spec of an autoscale config; ErrNotFound. What it
// refers to is shared and must not be changed.
func (tx *Tx) AutoscaleConfig(name string) (fleet.AutoscaleConfigSpec, error) {
	var text string
	found, err := tx.get("SELECT spec FROM objects WHERE kind = $1 AND name = $2", []any{string(fleet.KindAutoscaleConfig), name}, &text)
	if err == nil && !found {
		err = ErrNotFound
	}
	var spec *fleet.AutoscaleConfigSpec
	if err == nil {
		spec, err = tx.s.specs.configs.decode(text)
	}
	if err != nil {
		return fleet.AutoscaleConfigSpec{}, fmt.Errorf("reading autoscale config %s: %w", name, err)
	}
	return *spec, nil
}
