package app

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/store"
)

// tightened are settings with a rule about the override that is newer than what
// is stored.
type tightened struct {
	Region         string         `json:"region" doc:"Region." example:"eu-1"`
	ConfigOverride map[string]any `json:"config_override,omitempty" doc:"Override."`
}

// Validate implements settings.Validator.
func (s *tightened) Validate() []fleet.FieldError {
	var found []fleet.FieldError
	if s.ConfigOverride["mode"] == "bad" {
		found = append(found, fleet.FieldError{Path: "config_override.mode", Message: "is not one of its values"})
	}
	if s.Region == "mars" {
		found = append(found, fleet.FieldError{Path: "region", Message: "is no region"})
	}
	return found
}

// TestStoredOverride: a config whose override breaks a rule that came later is
// opened all the same, since its machines must be looked after and deleted;
// other faults are told.
func TestStoredOverride(t *testing.T) {
	t.Parallel()
	keeper, err := secret.OpenKeeper(t.Context(), "file://"+t.TempDir()+"/secret.key")
	if err != nil {
		t.Fatal(err)
	}
	o := &opener{keeper: keeper}
	obj := &store.Object{Kind: fleet.KindVMProvider, Name: "old"}
	got := &tightened{}
	if _, err := o.decode(t.Context(), obj, map[string]any{"region": "eu-1", "config_override": map[string]any{"mode": "bad"}}, got); err != nil || got.ConfigOverride["mode"] != "bad" || got.Region != "eu-1" {
		t.Errorf("%+v, %v, expected the settings as they are stored", got, err)
	}
	for _, wrong := range []map[string]any{
		{"region": "mars", "config_override": map[string]any{"mode": "bad"}},
		{"region": "eu-1", "config_override": "text"},
		{"config_override": map[string]any{}},
	} {
		if _, err := o.decode(t.Context(), obj, wrong, &tightened{}); err == nil || !strings.Contains(err.Error(), "spec.settings.") {
			t.Errorf("%v: %v, expected a fault of the settings", wrong, err)
		}
	}
}
