package oci_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/provider/oci"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	for _, v := range []any{&oci.Settings{}} {
		for _, p := range settings.CheckDefinition(v) {
			t.Error(p)
		}
	}
}
