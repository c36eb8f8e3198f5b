package fakeproxmox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Grant is what one path of the access list says of the token.
type Grant struct {
	Path       string
	Privileges []string
	Local      bool // not handed down to the paths below
}

// Administrator is the whole of what the driver may need, at the top.
func Administrator(release int) []Grant {
	all := []string{
		"VM.Clone", "VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Options", "VM.Config.Network", "VM.Config.Cloudinit",
		"VM.Config.Disk", "VM.Config.CDROM", "VM.Config.HWType", "Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use", "SDN.Audit", "Pool.Allocate", "Pool.Audit", "Sys.Audit", "Mapping.Use",
	}
	if release >= 9 {
		all = append(all, "VM.GuestAgent.Unrestricted")
	} else {
		all = append(all, "VM.Monitor")
	}
	return []Grant{{Path: "/", Privileges: all}}
}

// effective are the privileges on a path, with whether each is handed down.
func (c *Cloud) effective(path string) map[string]bool {
	out := map[string]bool{}
	for at := path; ; at = parent(at) {
		found := false
		for _, g := range c.grants {
			if g.Path != at || (at != path && g.Local) {
				continue
			}
			found = true
			for _, p := range g.Privileges {
				out[p] = !g.Local
			}
		}
		if found || at == "/" {
			break
		}
	}
	if vmid, ok := strings.CutPrefix(path, "/vms/"); ok {
		for _, vm := range c.vms {
			if fmt.Sprint(vm.id) == vmid && vm.pool != "" {
				for p := range c.effective("/pool/" + vm.pool) {
					out[p] = false
				}
			}
		}
	}
	return out
}

func parent(path string) string {
	i := strings.LastIndex(path, "/")
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

func (c *Cloud) may(path, privilege string) bool {
	_, ok := c.effective(path)[c.spelled(privilege)]
	return ok
}

// spelled names a privilege as the release of the cluster has it: before 9 one
// privilege stood for all of the guest agent.
func (c *Cloud) spelled(p string) string {
	if c.release < 9 && strings.HasPrefix(p, "VM.GuestAgent.") {
		return "VM.Monitor"
	}
	return p
}

// dump is what GET /access/permissions answers.
func (c *Cloud) dump(only string) map[string]map[string]int {
	paths := map[string]bool{"/": true, "/access": true, "/access/groups": true, "/nodes": true, "/pool": true, "/sdn": true, "/storage": true, "/vms": true}
	for _, g := range c.grants {
		paths[g.Path] = true
	}
	if only != "" {
		paths = map[string]bool{only: true}
	}
	out := map[string]map[string]int{}
	for p := range paths {
		e := c.effective(p)
		if len(e) == 0 && only == "" {
			continue
		}
		out[p] = map[string]int{}
		for name, down := range e {
			out[p][name] = 0
			if down {
				out[p][name] = 1
			}
		}
	}
	return out
}

// denied evaluates the permissions of the schema; empty when the call is
// allowed.
func (c *Cloud) denied(check []any, params map[string]any) string {
	if len(check) == 0 {
		return ""
	}
	switch check[0] {
	case "and":
		for _, sub := range check[1:] {
			if why := c.denied(asList(sub), params); why != "" {
				return why
			}
		}
		return ""
	case "or":
		last := ""
		for _, sub := range check[1:] {
			why := c.denied(asList(sub), params)
			if why == "" {
				return ""
			}
			if last == "" {
				last = why
			}
		}
		return last
	case "perm":
		return c.deniedPerm(check, params)
	}
	return fmt.Sprintf("Permission check failed (%v is not known to the fake)", check[0])
}

// asList is for values that the schema says are lists.
func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func (c *Cloud) deniedPerm(check []any, params map[string]any) string {
	path, _ := check[1].(string)
	for name, value := range params {
		text, _ := asText(value)
		path = strings.ReplaceAll(path, "{"+name+"}", text)
	}
	anyOf := false
	for i := 3; i+1 < len(check); i += 2 {
		switch check[i] {
		case "any":
			anyOf = true
		case "require_param":
			if _, given := params[fmt.Sprint(check[i+1])]; !given {
				return "Permission check failed (" + path + ")"
			}
		}
	}
	var all, lacking []string
	for _, p := range asList(check[2]) {
		name := c.spelled(fmt.Sprint(p))
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
		if !c.may(path, name) && !slices.Contains(lacking, name) {
			lacking = append(lacking, name)
		}
	}
	switch {
	case anyOf && len(lacking) == len(all):
		return fmt.Sprintf("Permission check failed (%s, %s)", path, strings.Join(all, "|"))
	case !anyOf && len(lacking) > 0:
		return fmt.Sprintf("Permission check failed (%s, %s)", path, strings.Join(lacking, ", "))
	}
	return ""
}

// require answers 403 as the code of a call does, beyond what the schema says.
func (c *Cloud) require(path, privilege string) *failure {
	if c.may(path, privilege) {
		return nil
	}
	return &failure{status: 403, text: fmt.Sprintf("Permission check failed (%s, %s)", path, c.spelled(privilege))}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
