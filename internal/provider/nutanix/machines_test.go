package nutanix

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

func owner() provider.Owner { return provider.Owner{Installation: "one", Provider: "prism"} }

func wish(server string) provider.Request {
	return provider.Request{
		Token: "token-" + server, Name: fleet.ServerName(server),
		Tags:      provider.Tags{Installation: "one", Provider: "prism", Server: server, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/sh\n")},
	}
}

func create(t *testing.T, d *driver, req provider.Request) provider.Instance {
	t.Helper()
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func listed(t *testing.T, d *driver) map[string]provider.Instance {
	t.Helper()
	all := map[string]provider.Instance{}
	for i, err := range d.List(t.Context(), owner()) {
		if err != nil {
			t.Fatal(err)
		}
		all[i.ID] = i
	}
	return all
}

func remnantsOf(t *testing.T, d *driver) []provider.Remnant {
	t.Helper()
	var all []provider.Remnant
	for r, err := range d.ListRemnants(t.Context(), owner()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// later is the driver with its clock put forward.
func later(d *driver, by time.Duration) *driver {
	return &driver{settings: d.settings, connection: d.connection, now: func() time.Time { return time.Now().Add(by) }}
}
