package manifest

import (
	"fmt"

	"github.com/headroom-dev/headroom/internal/settings"
)

// Canonical is the spec in the one form in which it is stored and compared:
// units as they are rendered ("1Gi" for 1024Mi), what was not written left out,
// secrets taken away. The keys of secrets are paths inside the spec
// (settings.token); a secret that was written as null or empty text has the
// value "", to be cleared (see settings.UpdateSecrets).
func (d Document) Canonical() (spec map[string]any, secrets map[string]string, err error) {
	if spec, err = settings.Map(d.Spec); err != nil {
		return nil, nil, fmt.Errorf("canonical form of %s %s: %w", d.Kind, d.Meta.Name, err)
	}
	secrets = map[string]string{}
	delete(spec, "settings")
	if d.Settings != nil {
		public, err := settings.Map(d.Settings)
		if err != nil {
			return nil, nil, fmt.Errorf("canonical form of the settings of %s %s: %w", d.Kind, d.Meta.Name, err)
		}
		if public, _, err = settings.SplitSecrets(public, d.Settings); err != nil {
			return nil, nil, fmt.Errorf("taking the secrets out of %s %s: %w", d.Kind, d.Meta.Name, err)
		}
		// Whether a secret is absent or to be cleared can only be seen in what was written.
		written, _ := d.RawSpec["settings"].(map[string]any)
		_, given, err := settings.SplitSecrets(written, d.Settings)
		if err != nil {
			return nil, nil, fmt.Errorf("taking the secrets out of %s %s: %w", d.Kind, d.Meta.Name, err)
		}
		for path, value := range given {
			secrets["settings."+path] = value
		}
		spec["settings"] = public
	}
	prune(spec)
	return spec, secrets, nil
}

// SecretPaths lists the paths of the document's secrets inside its spec, set or
// not.
func (d Document) SecretPaths() []string {
	if d.Settings == nil {
		return nil
	}
	paths := settings.SecretPaths(d.Settings)
	for i := range paths {
		paths[i] = "settings." + paths[i]
	}
	return paths
}

// prune removes empty mappings, which structs leave behind where nothing was
// written.
func prune(m map[string]any) {
	for key, value := range m {
		inner, ok := value.(map[string]any)
		if !ok {
			continue
		}
		if prune(inner); len(inner) == 0 {
			delete(m, key)
		}
	}
}
