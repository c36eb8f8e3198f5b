package providertest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// Overrides are documents for config_override as people have them: copied from a
// vendor's pages, from programs, from what another tool has written.
type Overrides struct {
	Account Account
	With    func(doc map[string]any) any // the account's settings with the document
	Good    map[string]string            // JSON, by what it is; taken without a word, and a request can be made with it
	Bad     []WrongOverride              // refused when they are saved
	Unsure  []WrongOverride              // taken, with a warning: the vendor may know better
}

// WrongOverride is a document with one fault.
type WrongOverride struct {
	Doc  string // JSON
	Path string // where the fault is
	Says string // all that is said about it; its beginning, where it ends with …
}

// CheckOverrides holds the settings of a kind against the documents.
func CheckOverrides(t *testing.T, o Overrides) {
	t.Helper()
	o.Account.fill(t)
	if len(o.Good) < 6 || len(o.Bad) < 6 {
		t.Fatalf("%d good and %d bad documents are too few to tell anything", len(o.Good), len(o.Bad))
	}
	for what, text := range o.Good {
		found, warnings, with := o.found(t, text)
		if len(found)+len(warnings) > 0 {
			t.Errorf("%s: %v %v, expected nothing", what, found, warnings)
			continue
		}
		settings.ApplyDefaults(with)
		d, err := o.Account.Kind.Open(t.Context(), with, o.Account.Host)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r, ok := d.(provider.Renderer)
		if !ok {
			t.Fatal("a kind with overrides shows its requests")
		}
		if _, err := r.Render(t.Context(), Request("x")); err != nil {
			t.Errorf("%s: no request can be made: %v", what, err)
		}
	}
	for _, b := range o.Bad {
		found, _, _ := o.found(t, b.Doc)
		if len(found) != 1 || found[0].Path != b.Path || !says(found[0].Message, b.Says) {
			t.Errorf("%s: found %v, expected at %s: %s", b.Doc, found, b.Path, b.Says)
		}
	}
	for _, b := range o.Unsure {
		found, warnings, _ := o.found(t, b.Doc)
		if len(found) > 0 || len(warnings) != 1 || !strings.HasPrefix(warnings[0], b.Path+": ") || !says(strings.TrimPrefix(warnings[0], b.Path+": "), b.Says) {
			t.Errorf("%s: found %v, warned %q, expected a warning at %s: %s", b.Doc, found, warnings, b.Path, b.Says)
		}
	}
}

func says(text, want string) bool {
	if start, cut := strings.CutSuffix(want, "…"); cut {
		return strings.HasPrefix(text, start)
	}
	return text == want
}

func (o *Overrides) found(t *testing.T, text string) (faults []fleet.FieldError, warnings []string, with any) {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	with = o.With(doc)
	v, ok := with.(settings.Validator)
	if !ok {
		t.Fatalf("settings of type %T are not validated", with)
	}
	faults = v.Validate()
	if w, ok := with.(settings.Warner); ok && len(faults) == 0 {
		warnings = w.Warnings()
	}
	return faults, warnings, with
}

// Enumerated holds that each type below the roots whose values an SDK lists is
// known, and counts them. Types to pass over are those that an override cannot
// say.
func Enumerated(t *testing.T, known func(reflect.Type) bool, passOver []reflect.Type, roots ...reflect.Type) (count int) {
	t.Helper()
	seen := map[reflect.Type]bool{reflect.TypeFor[time.Time](): true}
	for _, p := range passOver {
		seen[p] = true
	}
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch {
		case typ.Kind() == reflect.String && typ.PkgPath() != "":
			if count++; !known(typ) {
				t.Errorf("%s has values of type %s, which are not checked", path, typ)
			}
		case typ.Kind() == reflect.Struct:
			for i := range typ.NumField() {
				if f := typ.Field(i); f.IsExported() {
					walk(f.Type, path+"."+f.Name)
				}
			}
		}
	}
	for _, r := range roots {
		walk(r, r.Name())
	}
	return count
}
