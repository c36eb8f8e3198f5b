package provider

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// Access tells which settings of the kinds are access alone.
func Access(kinds []Kind) fleet.AccessFunc {
	names := make(map[string][]string, len(kinds))
	for _, k := range kinds {
		names[k.Name] = settings.Access(k.NewSettings())
	}
	return func(kind string) []string { return names[kind] }
}
