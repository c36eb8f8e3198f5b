package nutanix

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	categoriesV4 = "/prism/v4.0/config/categories"
	tasksV4      = "/prism/v4.0/config/tasks"
	vmsV4        = "/vmm/v4.0/ahv/config/vms"
	templatesV4  = "/vmm/v4.0/content/templates"
	clustersV4   = "/clustermgmt/v4.0/config/clusters"
	subnetsV4    = "/networking/v4.0/config/subnets"
)

// equals is a filter for one value of an attribute.
func equals(attribute, value string) string { return attribute + " eq " + quoted(value) }

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// marked is a mark with the category that holds it.
type marked struct {
	mark
	id       string // of the machine: the value of the category
	category string
}

// vm is the virtual machine as far as the mark names it.
func (m marked) vm() string {
	if m.API == "" { // made through v3, which chooses the UUID
		return m.id
	}
	return m.VM
}

func asMarked(c category4) (marked, bool) {
	m, ok := parseMark(c.Description)
	return marked{mark: m, id: c.Value, category: c.ExtID}, ok && c.Key == markKey && c.Value != "" && c.ExtID != ""
}

// findMark looks for the mark of one machine; NotFound when there is none.
func (d *driver4) findMark(ctx context.Context, id string) (found marked, err error) {
	ok := false
	err = list4(ctx, d.api, "looking for the mark of machine "+id, categoriesV4, equals("key", markKey)+" and "+equals("value", id), func(c category4) bool {
		if m, readable := asMarked(c); readable && m.id == id {
			found, ok = m, true
		}
		return !ok
	})
	if err == nil && !ok {
		err = notFound(id)
	}
	return found, err
}

// marks lists the marks of an owner by the ids of their machines.
func (d *driver4) marks(ctx context.Context, owner provider.Owner) (map[string]marked, error) {
	all := map[string]marked{}
	err := list4(ctx, d.api, "listing the marks of machines", categoriesV4, equals("key", markKey), func(c category4) bool {
		if m, ok := asMarked(c); ok && m.tags().Owner() == owner {
			all[m.id] = m
		}
		return true
	})
	return all, err
}

// makeMark writes a mark. made is false when the machine had one, which is
// answered then.
func (d *driver4) makeMark(ctx context.Context, id string, m mark) (found marked, made bool, err error) {
	body, err := m.category(id)
	if err != nil {
		return marked{}, false, failure(ctx, d.now(), v4Name, "marking the machine", err)
	}
	doing := "marking the machine in category " + markKey
	// The value is unique, so that a repeated request is refused, which tells that
	// it is one; its token must not make Prism answer as to the first.
	token := requestID("mark", id, d.now().Format(time.RFC3339Nano))
	answer, err := d.api.do(ctx, call4{doing: doing, method: http.MethodPost, path: categoriesV4, token: token, body: body})
	if err == nil {
		var c category4
		if err := d.api.read(ctx, doing, answer, &c); err != nil {
			return marked{}, false, err
		}
		if c.ExtID == "" {
			return marked{}, false, provider.Errorf(provider.Unknown, "%s: Prism accepted it and named no category", doing)
		}
		return marked{mark: m, id: id, category: c.ExtID}, true, nil
	}
	if c := provider.ClassOf(err); c != provider.Conflict && c != provider.Invalid {
		return marked{}, false, err
	}
	// It is there already, or the request is refused for another reason.
	found, missing := d.findMark(ctx, id)
	switch {
	case missing == nil:
		return found, false, nil
	case isNotFound(missing):
		return marked{}, false, err
	}
	return marked{}, false, missing
}

func (m mark) category(id string) (category4, error) {
	text, err := m.text()
	return category4{kind4: kind4{"prism.v4.config.Category"}, Key: markKey, Value: id, Description: text}, err
}

// keepMark changes a mark. Somebody who changes it at the same moment wins.
func (d *driver4) keepMark(ctx context.Context, m marked, change func(*mark)) error {
	doing := "keeping what is known of machine " + m.Name
	path := categoriesV4 + "/" + m.category
	var now category4
	etag, err := d.api.get(ctx, doing, path, &now)
	if err != nil {
		return err
	}
	current, ok := asMarked(now)
	if !ok {
		return provider.Errorf(provider.Conflict, "%s: its mark was changed by somebody", doing)
	}
	change(&current.mark)
	body, err := current.mark.category(m.id)
	if err != nil {
		return failure(ctx, d.now(), v4Name, doing, err)
	}
	_, err = d.api.do(ctx, call4{doing: doing, method: http.MethodPut, path: path, etag: etag, token: requestID("keep", m.category, etag, body.Description), body: body})
	return err
}

func (d *driver4) deleteMark(ctx context.Context, m marked) error {
	_, err := d.api.do(ctx, call4{
		doing: "removing the mark of machine " + m.id, method: http.MethodDelete, path: categoriesV4 + "/" + m.category, token: requestID("unmark", m.category),
	})
	return err
}
