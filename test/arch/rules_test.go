package arch_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// layers is the direction of imports, lowest first. A package imports only
// packages of earlier lines, never of its own line. Names are folders below
// internal/, or below the module where they begin with cmd, hack or test. A driver
// is any other folder of internal/provider.
var layers = [][]string{
	{"fleet", "hack"}, // hack: programs for who works on this, which know nothing of it
	{"plan", "settings", "secret", "price"},
	{"startup"},
	{"provider"},
	{"kubevm", "dns"}, // kubevm: what the two kinds of machines on Kubernetes share
	{"store", "client", "auth", "manifest", driver},
	{"provider/all", "provider/providertest", "dns/dnstest", "store/pgtest", "snapshot", "claim", "cost", "agent"},
	{"control", "service", "gauges", "store/storetest"},
	{"simulate"},
	{"api", "cli", "webui"},
	{"app"},
	{"cmd"},
	{"docs", "test"},
}

// driver stands for every folder of internal/provider that is a kind of cloud.
const driver = "provider/<kind>"

// only lists everything of ours that some packages may import, tighter than
// their layer.
var only = map[string][]string{
	"fleet":    {},
	"plan":     {"fleet"},
	"settings": {"fleet"},
	"price":    {"fleet"},
	"client":   {"fleet", "plan", "price"},
	"agent":    {"fleet", "client"},
	"cli":      {"fleet", "plan", "price", "client"},
	driver:     {"fleet", "settings", "price", "startup", "provider", "kubevm", "dns"},
	"kubevm":   {"fleet", "settings", "startup", "provider"},
}

// confined names who alone may import a package. Tests are free.
var confined = map[string][]string{
	module + "/internal/" + driver:         {"provider/all"},
	module + "/internal/provider/sim":      {"provider/all", "app", "simulate"}, // app and simulate play the agents of simulated machines
	"github.com/danielgtaylor/huma/":       {"api", "settings"},
	"database/sql":                         {"store", "store/storetest", "store/pgtest"},
	module + "/internal/store/storetest":   {},
	module + "/internal/store/pgtest":      {"store/storetest"},
	module + "/internal/provider/all":      {"app", "cmd"},
	"github.com/spf13/cobra":               {"cli", "cmd", "docs"},
	"k8s.io/client-go/":                    {"control", "kubevm", driver}, // a work queue here, the Kubernetes API there
	"github.com/prometheus/client_golang/": {"provider", "control", "gauges", "api", "app", "store"},
}

const (
	module   = "github.com/headroom-dev/headroom"
	maxLines = 500 // of a file
	maxTable = 800 // of a test file: tables of cases are long and simple
)

// vague are package names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "misc", "shared", "base", "lib"}

// violations lists what in the tree breaks a rule, one line each, sorted.
func violations(files []file) []string {
	var out []string
	say := func(f file, format string, args ...any) {
		out = append(out, f.path+": "+fmt.Sprintf(format, args...))
	}
	kinds := driverFolders(files)
	listed := map[string]int{} // driver folder → references in provider/all

	for _, f := range files {
		limit := maxLines
		if f.test {
			limit = maxTable
		}
		if !f.generated && f.lines > limit {
			say(f, "%d lines; split it, %d are the most", f.lines, limit)
		}
		if name := strings.TrimSuffix(f.name, "_test"); slices.Contains(vague, name) {
			say(f, "package %s: name it after what it does", f.name)
		}
		for _, line := range f.sleeps {
			say(f, "line %d sleeps: wait for the thing itself, with a deadline", line)
		}
		if f.test {
			continue
		}
		self := place(path.Dir(f.path))
		rank := rankOf(self)
		if rank < 0 {
			say(f, "folder %s has no place in the layers of test/arch: decide what it may import", path.Dir(f.path))
			continue
		}
		for _, imp := range f.imports {
			if msg := importFault(self, rank, path.Dir(f.path), imp); msg != "" {
				say(f, "imports %s: %s", imp, msg)
			}
			if self == "provider/all" && place(ours(imp)) == driver {
				listed[ours(imp)] += f.uses[path.Base(imp)+".Kind"]
			}
		}
		for _, s := range f.literals {
			owner := "internal/provider/" + s
			if self != "hack" && slices.Contains(kinds, owner) && path.Dir(f.path) != owner && !strings.HasPrefix(f.path, owner+"/") { // hack makes files of kinds
				say(f, "names the provider kind %q: what differs between kinds belongs into provider.Kind or the driver", s)
			}
		}
	}
	if slices.ContainsFunc(files, func(f file) bool { return path.Dir(f.path) == "internal/provider/all" }) {
		for _, k := range kinds {
			if listed[k] != 1 {
				out = append(out, fmt.Sprintf("%s: provider/all refers to it %d times; a kind is one import and one entry there", k, listed[k]))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// importFault says what is wrong with an import, empty when nothing is.
func importFault(self string, rank int, dir, imp string) string {
	if partOf(dir, ours(imp)) {
		if isFake(ours(imp)) && !isFake(dir) {
			return "a stand-in for the cloud is for tests"
		}
		return ""
	}
	for _, prefix := range slices.Sorted(maps.Keys(confined)) {
		exempt := confined[imp] // a rule for this very package goes before one for its group
		if !matches(imp, prefix) || self == "test" || slices.Contains(confined[prefix], self) || slices.Contains(exempt, self) {
			continue
		}
		if len(confined[prefix]) == 0 {
			return "only tests may"
		}
		return "only " + strings.Join(confined[prefix], " and ") + " may"
	}
	target := ours(imp)
	if target == "" {
		if self == "fleet" && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
			return "fleet uses the standard library only"
		}
		return ""
	}
	to := place(target)
	switch r := rankOf(to); {
	case r < 0:
		return "it has no place in the layers of test/arch"
	case r == rank && self != "test":
		return "it is a peer; what both need belongs below them"
	case r > rank:
		return "it lies above"
	}
	if allowed, ok := only[self]; ok && !slices.Contains(allowed, to) {
		return fmt.Sprintf("%s may import only %s of ours", self, strings.Join(allowed, ", "))
	}
	return ""
}

// partOf says that the target is a folder below the driver that dir belongs to.
func partOf(dir, target string) bool {
	parts := strings.Split(dir, "/")
	return place(dir) == driver && strings.HasPrefix(target, path.Join(parts[:min(3, len(parts))]...)+"/")
}

func isFake(dir string) bool { return strings.HasPrefix(path.Base(dir), "fake") }

// matches says that an import is the package of a rule, or below a rule that
// ends in a slash.
func matches(imp, rule string) bool {
	if rule == module+"/internal/"+driver {
		return place(ours(imp)) == driver
	}
	return imp == strings.TrimSuffix(rule, "/") || (strings.HasSuffix(rule, "/") && strings.HasPrefix(imp, rule))
}

// ours is the folder of a package of this module, empty for others.
func ours(imp string) string {
	rest, ok := strings.CutPrefix(imp, module+"/")
	if !ok {
		return ""
	}
	return rest
}

// place is the name under which a folder stands in the layers.
func place(dir string) string {
	rest, ok := strings.CutPrefix(dir, "internal/")
	if !ok {
		return strings.SplitN(dir, "/", 2)[0] // cmd, docs, test
	}
	if kind, ok := strings.CutPrefix(rest, "provider/"); ok && kind != "all" && kind != "providertest" {
		return driver
	}
	return rest
}

func rankOf(name string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, name) })
}

// driverFolders lists the folders that hold a kind of cloud.
func driverFolders(files []file) []string {
	found := map[string]bool{}
	for _, f := range files {
		parts := strings.Split(path.Dir(f.path), "/")
		if len(parts) >= 3 && place(strings.Join(parts[:3], "/")) == driver {
			found[strings.Join(parts[:3], "/")] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
