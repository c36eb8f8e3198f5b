package manifest

import (
	"reflect"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
)

const scriptPath = "spec.startup_script"

// checkScript finds what is wrong with the startup script of a VM provider, and
// notes what may be wrong with it or with the settings. What machines can run is
// only known when the settings are right.
func (d *Document) checkScript(kinds KindSettings, problems []fleet.FieldError) []fleet.FieldError {
	spec, ok := d.Spec.(*fleet.VMProviderSpec)
	if !ok || d.Settings == nil {
		return nil
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Path, "spec.settings") {
			return nil
		}
	}
	full := reflect.New(reflect.TypeOf(d.Settings).Elem())
	full.Elem().Set(reflect.ValueOf(d.Settings).Elem())
	settings.ApplyDefaults(full.Interface())
	if w, ok := full.Interface().(settings.Warner); ok {
		for _, text := range w.Warnings() {
			d.Warnings = append(d.Warnings, "spec.settings."+text)
		}
	}
	if spec.StartupScript == "" || kinds.Channel == nil || has(problems, scriptPath) {
		return nil
	}
	var found []fleet.FieldError
	for _, p := range startup.Check(spec.StartupScript, kinds.Channel(spec.Provider, full.Interface())) {
		if p.Warning {
			d.Warnings = append(d.Warnings, scriptPath+": "+p.String())
			continue
		}
		found = append(found, fleet.FieldError{Source: d.Line(scriptPath), Path: scriptPath, Message: p.String()})
	}
	return found
}
