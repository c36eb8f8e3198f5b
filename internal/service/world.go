package service

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/store"
)

// missingReference begins the error about a reference to nothing.
const missingReference = "there is no "

// ref names an object.
type ref struct {
	kind fleet.Kind
	name string
}

// world is every configured object, as stored and as it will be.
type world struct {
	stored map[ref]*store.Object
	specs  map[ref]any // as they will be: pointers to the specs of package fleet

	// from lists for each object those that will refer to it. It is made when
	// it is first needed, when specs is complete: looking through all specs for
	// each object of a large set would take minutes.
	from map[ref][]ref
}

func loadWorld(tx *store.Tx) (*world, error) {
	w := &world{stored: map[ref]*store.Object{}, specs: map[ref]any{}}
	for _, kind := range fleet.Kinds() {
		objects, err := tx.Objects(kind)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", kind.Plural(), err)
		}
		for _, o := range objects {
			spec := manifest.NewSpec(kind)
			if err := json.Unmarshal(o.Spec, spec); err != nil {
				return nil, fmt.Errorf("decoding the spec of %s %s: %w", kind, o.Name, err)
			}
			w.stored[ref{kind, o.Name}], w.specs[ref{kind, o.Name}] = o, spec
		}
	}
	return w, nil
}

func (w *world) get(kind fleet.Kind, name string) *store.Object { return w.stored[ref{kind, name}] }

// names lists the objects of a kind that there will be.
func (w *world) names(kind fleet.Kind) []string {
	var names []string
	for r := range w.specs {
		if r.kind == kind {
			names = append(names, r.name)
		}
	}
	slices.Sort(names)
	return names
}

// referrers lists the objects that will refer to r, as "Kind name". specs must
// not change after the first call.
func (w *world) referrers(r ref) []string {
	if w.from == nil {
		w.from = map[ref][]ref{}
		for from, spec := range w.specs {
			for _, to := range manifest.References(manifest.Document{Kind: from.kind, Spec: spec}) {
				used := ref{to.Kind, to.Name}
				if list := w.from[used]; len(list) == 0 || list[len(list)-1] != from { // it may refer twice
					w.from[used] = append(list, from)
				}
			}
		}
	}
	var list []string
	for _, from := range w.from[r] {
		list = append(list, fmt.Sprintf("%s %s", from.kind, from.name))
	}
	slices.Sort(list)
	return list
}

// checkReferences reports references of a document to nothing.
func (w *world) checkReferences(doc manifest.Document) []fleet.FieldError {
	var fields []fleet.FieldError
	for _, to := range manifest.References(doc) {
		if _, ok := w.specs[ref{to.Kind, to.Name}]; ok || to.Name == "" {
			continue
		}
		hint := ""
		if near := settings.Nearest(to.Name, w.names(to.Kind)); near != "" {
			hint = ": did you mean " + near + "?"
		}
		fields = append(fields, fleet.FieldError{
			Source: doc.Line(to.Path), Path: to.Path, Value: to.Name,
			Message: fmt.Sprintf("%s%s %q, neither in the database nor in the documents%s", missingReference, to.Kind, to.Name, hint),
		})
	}
	return fields
}

// checkDocument reports what is wrong with a document in view of the other
// objects: missing references, and fields that do not fit the pool's type.
func (w *world) checkDocument(doc manifest.Document) []fleet.FieldError {
	fields := w.checkReferences(doc)
	bad := func(path string, value any, format string, args ...any) {
		fields = append(fields, fleet.FieldError{Source: doc.Line(path), Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	switch spec := doc.Spec.(type) {
	case *fleet.AutoscaleConfigSpec:
		if pool, ok := w.specs[ref{fleet.KindPool, spec.Pool}].(*fleet.PoolSpec); ok {
			checkPolicy(*spec, spec.Pool, pool.Type, bad)
		}
		if service, ok := w.specs[ref{fleet.KindDNSProvider, spec.DNSProvider}].(*fleet.DNSProviderSpec); ok && spec.BaseDomain != "" {
			zone, _ := service.Settings["zone"].(string)
			if _, inside := dns.Relative(spec.BaseDomain, zone); zone != "" && !inside {
				bad("spec.base_domain", spec.BaseDomain, "is not in the zone %s of DNS provider %s: write %s or a name below it", zone, spec.DNSProvider, zone)
			}
		}
	case *fleet.ScheduleSpec:
		config, ok := w.specs[ref{fleet.KindAutoscaleConfig, spec.AutoscaleConfig}].(*fleet.AutoscaleConfigSpec)
		if !ok {
			break
		}
		if pool, ok := w.specs[ref{fleet.KindPool, config.Pool}].(*fleet.PoolSpec); ok {
			for i, win := range spec.Windows {
				if win.Standby != nil && !win.Standby.IsZero() && pool.Type == fleet.PoolServer {
					bad(fmt.Sprintf("spec.windows[%d].standby", i), nil, "pool %s is of type server: use min_available_sessions", config.Pool)
				}
				if n := fleet.Value(win.MinAvailableSessions, 0); n != 0 && pool.Type == fleet.PoolDockerAgent {
					bad(fmt.Sprintf("spec.windows[%d].min_available_sessions", i), n, "pool %s is of type docker_agent: use standby", config.Pool)
				}
			}
		}
	case *fleet.StagingSpec:
		if pool, ok := w.specs[ref{fleet.KindPool, spec.Pool}].(*fleet.PoolSpec); ok {
			switch {
			case pool.Type == fleet.PoolServer && !spec.Shape.IsZero():
				bad("spec.shape", nil, "pool %s is of type server, where a session takes one place: leave shape out", spec.Pool)
			case pool.Type == fleet.PoolDockerAgent && spec.Shape.Cores == 0 && spec.Shape.Memory == 0:
				bad("spec.shape", nil, "pool %s is of type docker_agent: give the cores or the memory of each session", spec.Pool)
			}
		}
	}
	return fields
}

// checkPolicy reports the fields of an autoscale config that mean nothing for
// the type of its pool.
func checkPolicy(c fleet.AutoscaleConfigSpec, name string, t fleet.PoolType, bad complain) {
	const server, agent = fleet.PoolServer, fleet.PoolDockerAgent
	for _, f := range []struct {
		path   string
		given  bool
		for_   fleet.PoolType
		remedy string
	}{
		{"standby", !c.Standby.IsZero(), agent, "use min_available_sessions"},
		{"max_total_standby", !c.MaxTotalStandby.IsZero(), agent, "use max_total_sessions"},
		{"agent_cores_override", c.AgentCoresOverride != 0, agent, "use max_simultaneous_sessions"},
		{"agent_memory_override", c.AgentMemoryOverride != 0, agent, "use max_simultaneous_sessions"},
		{"agent_gpus_override", c.AgentGPUsOverride != 0, agent, "use max_simultaneous_sessions"},
		{"min_available_sessions", c.MinAvailableSessions != 0, server, "use standby"},
		{"max_total_sessions", c.MaxTotalSessions != 0, server, "use max_total_standby"},
		{"max_simultaneous_sessions", c.MaxSimultaneousSessions != 0, server, "use agent_cores_override and agent_memory_override"},
		{"max_simultaneous_users", c.MaxSimultaneousUsers != 0, server, "leave it out"},
		{"reusable", c.Reusable != nil, server, "leave it out"},
	} {
		if f.given && t != f.for_ {
			bad("spec."+f.path, nil, "is for pools of type %s, and pool %s is of type %s: %s", f.for_, name, t, f.remedy)
		}
	}
}

// dependants selects the servers that cannot do without an object.
func dependants(r ref) (f store.ServerFilter, any bool) {
	switch r.kind {
	case fleet.KindZone:
		return store.ServerFilter{Zone: r.name}, true
	case fleet.KindPool:
		return store.ServerFilter{Pool: r.name}, true
	case fleet.KindVMProvider:
		return store.ServerFilter{VMProvider: r.name}, true
	case fleet.KindAutoscaleConfig:
		return store.ServerFilter{AutoscaleConfig: r.name}, true
	default:
		return store.ServerFilter{}, false
	}
}

func machines(tx *store.Tx, r ref) (int64, error) {
	f, any := dependants(r)
	if !any {
		return 0, nil
	}
	n, err := tx.CountServers(f)
	if err != nil {
		return 0, fmt.Errorf("counting the machines of %s %s: %w", r.kind, r.name, err)
	}
	return n, nil
}

// checkDelete says what keeps an object from being deleted; machines is true
// when machines are the only thing.
func (w *world) checkDelete(tx *store.Tx, r ref) (problem string, onlyMachines bool, err error) {
	if from := w.referrers(r); len(from) > 0 {
		shown := from
		if len(shown) > 5 {
			shown = append(slices.Clone(shown[:5]), fmt.Sprintf("%d more", len(from)-5))
		}
		return fmt.Sprintf("%s: %s", verb(int64(len(from)), "object", "refer", " to it"), strings.Join(shown, ", ")), false, nil
	}
	n, err := machines(tx, r)
	if err != nil {
		return "", false, err
	}
	if n > 0 {
		return verb(n, "machine", "depend", " on it: drain or delete them first, or delete with drain and repeat until they are gone"), true, nil
	}
	if r.kind == fleet.KindDNSProvider {
		n, _, err := tx.CountDNSRecords(r.name)
		if err != nil {
			return "", false, err
		}
		if n > 0 {
			return fmt.Sprintf("%s of machines are registered with it and are being removed: delete it again when none is left", count(n, "name")), false, nil
		}
	}
	if r.kind == fleet.KindPool {
		counts, err := tx.CountSessions(store.SessionFilter{Pool: r.name})
		if err != nil {
			return "", false, fmt.Errorf("counting the sessions of pool %s: %w", r.name, err)
		}
		if n := counts[fleet.SessionQueued] + counts[fleet.SessionActive] + counts[fleet.SessionStaged]; n > 0 {
			return fmt.Sprintf("%s are live in it: end them first", count(n, "session")), false, nil
		}
	}
	return "", false, nil
}
