package fakeproxmox

import (
	"errors"
	"fmt"
	"maps"
	"strings"
)

func (c *Cloud) clone(k call) (any, *failure) {
	from, wrong := c.unlocked(k)
	if wrong != nil {
		return nil, wrong
	}
	id, target, pool := atoi(k.text("newid")), k.text("target"), k.text("pool")
	full := !from.template || k.text("full") == "1"
	if pool != "" && !c.pools[pool] {
		return nil, fail("pool '%s' does not exist", pool)
	}
	if k.has("storage") && !full {
		return nil, fail("parameter 'storage' not allowed for linked clones")
	}
	shared := true
	for key, value := range from.conf {
		switch {
		case strings.HasPrefix(key, "net"):
			if wrong := c.mayAttach(value); wrong != nil {
				return nil, wrong
			}
		case isDisk(key):
			name, _, _ := strings.Cut(value, ":")
			if k.has("storage") && !strings.Contains(value, "cloudinit") {
				name = k.text("storage")
			}
			s := c.storages[name]
			if s == nil {
				return nil, fail("storage '%s' does not exist", name)
			}
			if wrong := c.require("/storage/"+name, "Datastore.AllocateSpace"); wrong != nil {
				return nil, wrong
			}
			source, _, _ := strings.Cut(value, ":")
			shared = shared && c.storages[source].shared
		}
	}
	if target == from.node {
		target = ""
	}
	if target != "" && !shared {
		return nil, fail("can't clone VM to node '%s' (VM uses local storage)", target)
	}
	if c.vms[id] != nil {
		return nil, fail("unable to create VM %d: config file already exists", id)
	}
	mine := &vm{id: id, node: from.node, conf: map[string]string{"lock": "clone", "description": " qmclone temporary file\n"}, status: "stopped", since: c.o.Now()}
	place := func() error {
		if c.vms[id] != nil {
			return fmt.Errorf("unable to create VM %d: config file already exists", id)
		}
		c.vms[id] = mine
		return nil
	}
	if c.o.CloneDelay == 0 {
		_ = place() // it has been seen above that nothing is there
	} else {
		c.start(from.node, "fake-placeholder", from.id, c.o.CloneDelay, place)
	}
	conf, failing, broken := maps.Clone(from.conf), from.failing, c.cloneFault
	return c.start(from.node, "qmclone", from.id, c.o.CloneDelay+c.o.CloneTime, func() error {
		if c.vms[id] != mine {
			return fmt.Errorf("unable to create VM %d: config file already exists", id)
		}
		if broken != "" {
			delete(c.vms, id) // as Proxmox VE cleans up
			return errors.New(broken)
		}
		for key, value := range conf {
			switch {
			case isDisk(key):
				name, rest, _ := strings.Cut(value, ":")
				if k.has("storage") {
					name = k.text("storage")
				}
				_, options, _ := strings.Cut(rest, ",")
				value = fmt.Sprintf("%s:vm-%d-%s,%s", name, id, key, options)
			case strings.HasPrefix(key, "net"):
				model, rest, _ := strings.Cut(value, ",")
				model, _, _ = strings.Cut(model, "=")
				value = withMAC(model+","+rest, id)
			}
			mine.conf[key] = value
		}
		delete(mine.conf, "template")
		delete(mine.conf, "lock")
		for _, key := range []string{"name", "description"} {
			delete(mine.conf, key)
			if k.has(key) {
				mine.conf[key] = k.text(key)
			} else if conf[key] != "" && key == "description" {
				mine.conf[key] = conf[key]
			}
		}
		if mine.conf["name"] == "" {
			mine.conf["name"] = "Copy-of-VM-" + conf["name"]
		}
		mine.pool, mine.failing = pool, failing
		if target != "" {
			mine.node = target
		}
		return nil
	}), nil
}
