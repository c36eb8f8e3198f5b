package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/api"
)

func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	raw, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := api.OpenAPI(); string(again) != string(raw) {
		t.Error("the document is not the same each time")
	}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string                     `json:"operationId"`
			Summary     string                     `json:"summary"`
			Responses   map[string]json.RawMessage `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("version %q, error %v", doc.OpenAPI, err)
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s: operation id %q, summary %q", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			if !strings.Contains(string(op.Responses["default"]), "Problem") && path != "/api/v1/events/stream" {
				t.Errorf("%s %s does not document its errors", method, path)
			}
		}
	}
	if len(ids) < 50 {
		t.Errorf("only %d operations", len(ids))
	}
	for _, name := range []string{"Pool", "VMProvider", "AutoscaleConfigSpec", "Server", "SessionView", "AcquireRequest", "Event", "PricedPlan", "CostReport", "Problem"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	for ref := range strings.SplitSeq(string(raw), `"#/components/schemas/`) {
		if name, _, _ := strings.Cut(ref, `"`); !strings.HasPrefix(ref, "{") && doc.Components.Schemas[name] == nil {
			t.Errorf("a reference to schema %q, which is not there", name)
		}
	}
	if doc.Components.Schemas["ErrorModel"] != nil {
		t.Error("errors are documented as those of the framework")
	}
}
