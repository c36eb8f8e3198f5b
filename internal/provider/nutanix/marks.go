package nutanix

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/provider"
)

// markKey is the category whose values mark machines: the value is the UUID of
// a machine, the description of the value is a mark. It is made with the first
// machine and stays, for all installations that use the Prism Central.
const markKey = provider.TagServer

const markKeyText = "Machines of Headroom: each value is the UUID of a virtual machine, its description says whose it is. Do not change."

// mark is what the description of a value holds, as JSON. The API takes 1,000
// characters.
type mark struct {
	Installation string    `json:"installation"`
	Provider     string    `json:"provider"`
	Autoscale    string    `json:"autoscale"`
	Server       string    `json:"server"`
	Name         string    `json:"name"`
	Created      time.Time `json:"created"`

	// What only the v4 API needs: the version, the task of the clone, the virtual
	// machine once it is known, and the task that switched it on. A mark without a
	// version was made through v3, where its value is the UUID of the machine.
	API   string `json:"api,omitempty"`
	Task  string `json:"task,omitempty"`
	VM    string `json:"vm,omitempty"`
	Power string `json:"power,omitempty"`
}

const maxDescription = 1000

func (m mark) tags() provider.Tags {
	return provider.Tags{Installation: m.Installation, Server: m.Server, AutoscaleConfig: m.Autoscale, Provider: m.Provider}
}

func newMark(req provider.Request, now time.Time) mark {
	t := req.Tags
	return mark{
		Installation: t.Installation, Provider: t.Provider, Autoscale: t.AutoscaleConfig, Server: t.Server,
		Name: req.Name, Created: now.UTC().Truncate(time.Second),
	}
}

// text is the description that holds the mark.
func (m mark) text() (string, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if n := len([]rune(string(text))); n > maxDescription {
		return "", provider.Errorf(provider.Invalid, "the tags of machine %s take %d characters, Prism keeps %d: shorten the names of the provider or the autoscale config", m.Name, n, maxDescription)
	}
	return string(text), nil
}

func (m mark) value(id string) (*v3.CategoryValue, error) {
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	return &v3.CategoryValue{Value: &id, Description: &text}, nil
}

// parseMark reads a description; false for one that somebody else wrote.
func parseMark(text string) (m mark, ok bool) {
	if json.Unmarshal([]byte(text), &m) != nil || m.Server == "" {
		return mark{}, false
	}
	return m, true
}

// readMark gives nothing for a value that somebody else made, or that the v4
// API made: the value is not the UUID of a machine there.
func readMark(v *v3.CategoryValueStatus) (id string, m mark, ok bool) {
	if v == nil {
		return "", mark{}, false
	}
	m, ok = parseMark(deref(v.Description))
	if !ok || m.API != "" {
		return "", mark{}, false
	}
	return deref(v.Value), m, deref(v.Value) != ""
}

// putMark writes a mark. The category itself is made when it is not there yet.
func (d *driver) putMark(ctx context.Context, id string, m mark) error {
	value, err := m.value(id)
	if err != nil {
		return d.failure(ctx, "marking the machine", err)
	}
	_, err = sdk.CreateOrUpdateCategoryValue(ctx, markKey, value)
	if err == nil {
		return nil
	}
	failed := d.failure(ctx, "marking the machine in category "+markKey, err)
	if failed.Class != provider.NotFound && failed.Class != provider.Invalid {
		return failed
	}
	if _, err := sdk.CreateOrUpdateCategoryKey(ctx, &v3.CategoryKey{Name: ptr(markKey), Description: ptr(markKeyText)}); err != nil {
		return d.failure(ctx, "making category "+markKey, err)
	}
	if _, err = sdk.CreateOrUpdateCategoryValue(ctx, markKey, value); err != nil {
		failed = d.failure(ctx, "marking the machine in category "+markKey, err)
		if failed.Class == provider.NotFound { // of the category; the machine was not asked for
			failed.Class = provider.Conflict
		}
		return failed
	}
	return nil
}

// mark looks at the mark of one machine. NotFound means that there is none, or
// that the value is not one of ours.
func (d *driver) mark(ctx context.Context, id string) (mark, error) {
	v, err := sdk.GetCategoryValue(ctx, markKey, id)
	if err != nil {
		return mark{}, d.failure(ctx, "looking for the mark of machine "+id, err)
	}
	if _, m, ok := readMark(v); ok {
		return m, nil
	}
	return mark{}, notFound(id)
}

func (d *driver) deleteMark(ctx context.Context, id string) error {
	if err := sdk.DeleteCategoryValue(ctx, markKey, id); err != nil {
		return d.failure(ctx, "removing the mark of machine "+id, err)
	}
	return nil
}

// marks lists the marks of an owner by the UUIDs of their machines.
func (d *driver) marks(ctx context.Context, owner provider.Owner) (map[string]mark, error) {
	all := map[string]mark{}
	err := d.pages(ctx, "listing the marks of machines", func(offset, length int64) (got int, total *int64, err error) {
		resp, err := sdk.ListCategoryValues(ctx, markKey, &v3.CategoryListMetadata{Kind: ptr("category"), Offset: &offset, Length: &length})
		if err != nil {
			return 0, nil, err
		}
		for _, v := range resp.Entities {
			if id, m, ok := readMark(v); ok && m.tags().Owner() == owner {
				all[id] = m
			}
		}
		return len(resp.Entities), categoryTotal(resp.Metadata), nil
	})
	if isNotFound(err) { // no machine was ever made here
		return nil, nil
	}
	return all, err
}

// commonName is a filter that shows all virtual machines whose names are as in
// the marks; empty where there is none. Prism matches names by patterns.
func commonName(all map[string]mark) string {
	prefix, first := "", true
	for _, m := range all {
		if first {
			prefix, first = m.Name, false
		}
		for !strings.HasPrefix(m.Name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	if !plain.MatchString(prefix) {
		return ""
	}
	return "vm_name==" + prefix + ".*"
}

func categoryTotal(m *v3.CategoryListMetadata) *int64 {
	if m == nil {
		return nil
	}
	return m.TotalMatches
}
