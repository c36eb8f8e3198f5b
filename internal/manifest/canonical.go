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
	secrets = map[string]string{}
	split := func(target any, written map[string]any, prefix string) (map[string]any, error) {
		all, err := settings.Map(target)
		if err != nil {
			return nil, fmt.Errorf("canonical form of %s %s: %w", d.Kind, d.Meta.Name, err)
		}
		public, _, err := settings.SplitSecrets(all, target)
		if err != nil {
			return nil, fmt.Errorf("taking the secrets out of %s %s: %w", d.Kind, d.Meta.Name, err)
		}
		// Whether a secret is absent or to be cleared can only be seen in what was written.
		_, given, err := settings.SplitSecrets(written, target)
		if err != nil {
			return nil, fmt.Errorf("taking the secrets out of %s %s: %w", d.Kind, d.Meta.Name, err)
		}
		for path, value := range given {
			secrets[prefix+path] = value
		}
		return public, nil
	}
	if spec, err = split(d.Spec, d.RawSpec, ""); err != nil {
		return nil, nil, err
	}
	delete(spec, "settings")
	if d.Settings != nil {
		written, _ := d.RawSpec["settings"].(map[string]any)
		if spec["settings"], err = split(d.Settings, written, "settings."); err != nil {
			return nil, nil, err
		}
	}
	prune(spec)
	return spec, secrets, nil
}

// SecretPaths lists the paths of the document's secrets inside its spec, set or
// not.
func (d Document) SecretPaths() []string {
	paths := settings.SecretPaths(d.Spec)
	if d.Settings == nil {
		return paths
	}
	for _, path := range settings.SecretPaths(d.Settings) {
		paths = append(paths, "settings."+path)
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
