package gcp

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// apiSchema is a schema of the API's description.
type apiSchema struct {
	Ref        string               `json:"$ref"`
	Enum       []string             `json:"enum"`
	Items      *apiSchema           `json:"items"`
	Additional *apiSchema           `json:"additionalProperties"`
	Properties map[string]apiSchema `json:"properties"`
}

// TestEnumerations: the values are those of the API's description, all of them.
func TestEnumerations(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "compute/v1/compute-api.json"))
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Schemas map[string]apiSchema `json:"schemas"`
	}
	if err := json.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	seen := map[string]bool{"ResourceStatus": true} // only read
	var walk func(name string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for field, s := range api.Schemas[name].Properties {
			for s.Items != nil || s.Additional != nil {
				if s.Items == nil {
					s.Items = s.Additional
				}
				s = *s.Items
			}
			switch key := name + "." + field; {
			case s.Ref != "":
				walk(s.Ref)
			case len(s.Enum) > 0 && key != "Instance.status" && key != "AttachedDisk.savedState": // only read
				want[key] = slices.Sorted(slices.Values(s.Enum))
			}
		}
	}
	walk("Instance")
	if diff := cmp.Diff(want, enumerations); diff != "" || len(want) < 20 {
		t.Errorf("the %d lists of the API are not ours (-API +ours):\n%s", len(want), diff)
	}
	for key := range growing {
		if want[key] == nil {
			t.Errorf("%s grows and has no list", key)
		}
	}
}
