package settings

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// refPrefix is where OpenAPI keeps named schemas.
const refPrefix = "#/components/schemas/"

// Registry makes a registry of schemas for an OpenAPI document. It knows the
// types of package fleet that are written as text, and the tags of this
// package; names are those of huma, with the package's name put before one that
// another package has taken.
//
// huma reads default tags of request bodies by itself and panics at those of
// types such as fleet.Duration: give it [Raw] as the type of such a body.
func Registry() huma.Registry { return newRegistry(false) }

// registry implements huma.Registry. The map registry of huma cannot be
// wrapped: it calls itself for nested types.
type registry struct {
	schemas map[string]*huma.Schema
	types   map[string]reflect.Type
	names   map[reflect.Type]string
	aliases map[reflect.Type]reflect.Type

	inline bool // no references at all: each schema stands alone
	open   map[reflect.Type]bool
}

func newRegistry(inline bool) *registry {
	return &registry{
		schemas: map[string]*huma.Schema{},
		types:   map[string]reflect.Type{},
		names:   map[reflect.Type]string{},
		aliases: map[reflect.Type]reflect.Type{},
		inline:  inline,
		open:    map[reflect.Type]bool{},
	}
}

// Schema is the schema of a type or, for a named one when allowed, a reference
// to it.
func (r *registry) Schema(t reflect.Type, allowRef bool, hint string) *huma.Schema {
	original := t
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		original = t
	}
	if alias, ok := r.aliases[t]; ok {
		return r.Schema(alias, allowRef, hint)
	}
	own := fleetSchema(t)
	if own == nil && !named(t) {
		return huma.SchemaFromType(r, original)
	}
	if r.inline {
		if own != nil {
			return own
		}
		if r.open[t] {
			panic(fmt.Sprintf("settings: type %s contains itself", t))
		}
		r.open[t] = true
		defer delete(r.open, t)
		return r.structSchema(t)
	}
	name, known := r.names[t]
	if !known {
		name = r.newName(t, hint)
		r.names[t], r.types[name] = name, t
		r.schemas[name] = &huma.Schema{} // for types that contain themselves
		if own == nil {
			own = r.structSchema(t)
		}
		r.schemas[name] = own
	}
	if allowRef {
		return &huma.Schema{Ref: refPrefix + name}
	}
	return r.schemas[name]
}

// newName is huma's name for a type; two types do not share one.
func (r *registry) newName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if _, taken := r.types[name]; !taken {
		return name
	}
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	if pkg != "" {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	for n, base := 2, name; ; n++ {
		if _, taken := r.types[name]; !taken {
			return name
		}
		name = fmt.Sprintf("%s%d", base, n)
	}
}

// named says that huma gives the type a name of its own in the document.
func named(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" || t.PkgPath() == "net/url" {
		return false
	}
	p := reflect.PointerTo(t)
	return !p.Implements(reflect.TypeFor[huma.SchemaProvider]()) && !p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (r *registry) SchemaFromRef(ref string) *huma.Schema {
	name, ok := strings.CutPrefix(ref, refPrefix)
	if !ok {
		return nil
	}
	return r.schemas[name]
}

func (r *registry) TypeFromRef(ref string) reflect.Type {
	return r.types[strings.TrimPrefix(ref, refPrefix)]
}

func (r *registry) Map() map[string]*huma.Schema { return r.schemas }

func (r *registry) RegisterTypeAlias(t, alias reflect.Type) { r.aliases[t] = alias }

// MarshalJSON writes the schemas by name, as components of OpenAPI.
func (r *registry) MarshalJSON() ([]byte, error) { return json.Marshal(r.schemas) }

// MarshalYAML does the same for YAML.
func (r *registry) MarshalYAML() (any, error) { return r.schemas, nil }

// Raw is JSON text of a value of type T that has not been decoded. As the type
// of a request body it has the schema of T and leaves the checks to
// [DecodeJSON], whose errors are better; set SkipValidateBody on the operation.
type Raw[T any] []byte

// UnmarshalJSON keeps the text.
func (r *Raw[T]) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

// MarshalJSON gives the text back.
func (r Raw[T]) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// Schema is the schema of T.
func (r *Raw[T]) Schema(reg huma.Registry) *huma.Schema {
	return reg.Schema(reflect.TypeFor[T](), true, "")
}
