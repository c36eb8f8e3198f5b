package gcp_test

import (
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/gcp"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestCatalog(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	d, ok := opened(t, s).(provider.Catalog)
	if !ok {
		t.Fatal("no catalog")
	}
	for _, setting := range append(settings.Lookups(&gcp.Settings{}), "accelerator_type") {
		if choices, err := d.Choices(t.Context(), setting); err != nil || len(choices) == 0 {
			t.Errorf("%s: %v, %v", setting, choices, err)
		}
	}
	if _, err := d.Choices(t.Context(), "colour"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("choices of colours: %v", err)
	}
}
