package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func zoneKind() kind {
	return configuredKind(kind{
		plural: "zones", singular: "zone", short: []string{"z"}, configured: fleet.KindZone,
		columns: []column{
			{title: "NAME"},
			{title: "PLACEMENT"},
			{title: "FIXED FIRST", drop: 2},
			{title: "FALL OVER", drop: 3},
			{title: "AGE", drop: 4, aged: true},
			{title: "LABELS", wide: true},
			{title: "UPSTREAM", flex: true, drop: 1},
		},
	}, func(r *client.Resource, s fleet.ZoneSpec, now time.Time) []string {
		return []string{
			r.Meta.Name, string(fleet.Or(s.Placement, fleet.PlacementPack)),
			yes(fleet.Value(s.PreferFixed, true)), yes(fleet.Value(s.FallOver, true)), since(now, r.CreatedAt),
			dash(labels(r.Meta.Labels)), dash(s.UpstreamAddress),
		}
	}, nil)
}

// status decodes what a resource says of its present state. An absent or a
// foreign status is an empty one: the table then shows dashes.
func status[T any](r *client.Resource) (T, bool) {
	var v T
	if len(r.Status) == 0 || json.Unmarshal(r.Status, &v) != nil {
		var zero T
		return zero, false
	}
	return v, true
}

func numberOr(known bool, n int64) string {
	if !known {
		return "-"
	}
	return fmt.Sprint(n)
}

func poolKind() kind {
	return configuredKind(kind{
		plural: "pools", singular: "pool", short: []string{"po"}, configured: fleet.KindPool, explain: "pools",
		columns: []column{
			{title: "NAME"},
			{title: "TYPE", drop: 5},
			{title: "READY"},
			{title: "SERVERS", drop: 4},
			{title: "SESSIONS"},
			{title: "QUEUED"},
			{title: "FREE", drop: 3},
			{title: "FROZEN", drop: 6},
			{title: "AGE", drop: 2, aged: true},
			{title: "LABELS", wide: true},
			{title: "DESCRIPTION", flex: true, drop: 1},
		},
	}, func(r *client.Resource, s fleet.PoolSpec, now time.Time) []string {
		st, ok := status[poolStatus](r)
		free := "-"
		if ok {
			free = st.Free.String()
		}
		return []string{
			r.Meta.Name, string(s.Type), numberOr(ok, st.Servers[fleet.PhaseReady]), numberOr(ok, st.Servers.total()),
			numberOr(ok, st.active()), numberOr(ok, st.Sessions[fleet.SessionQueued]), free, yes(s.Frozen),
			since(now, r.CreatedAt), dash(labels(r.Meta.Labels)), dash(s.Description),
		}
	}, nil)
}

func vmProviderKind() kind {
	return configuredKind(kind{
		plural: "vm-providers", singular: "vm-provider", short: []string{"vp", "providers"}, configured: fleet.KindVMProvider,
		columns: []column{
			{title: "NAME"},
			{title: "KIND"},
			{title: "MACHINES"},
			{title: "MAX"},
			{title: "STATE", color: stateColor},
			{title: "AGE", drop: 2, aged: true},
			{title: "LABELS", wide: true},
			{title: "TROUBLE", flex: true, drop: 1},
		},
	}, func(r *client.Resource, s fleet.VMProviderSpec, now time.Time) []string {
		st, ok := status[providerStatus](r)
		return []string{
			r.Meta.Name, s.Provider, numberOr(ok, st.Total), fmt.Sprint(s.MaxInstances),
			st.state(s), since(now, r.CreatedAt), dash(labels(r.Meta.Labels)), dash(st.trouble()),
		}
	}, nil)
}

func dnsProviderKind() kind {
	return configuredKind(kind{
		plural: "dns-providers", singular: "dns-provider", short: []string{"dp"}, configured: fleet.KindDNSProvider,
		columns: []column{{title: "NAME"}, {title: "KIND"}, {title: "AGE", drop: 1, aged: true}, {title: "LABELS", wide: true}},
	}, func(r *client.Resource, s fleet.DNSProviderSpec, now time.Time) []string {
		return []string{r.Meta.Name, s.Provider, since(now, r.CreatedAt), dash(labels(r.Meta.Labels))}
	}, nil)
}

func autoscaleKind() kind {
	return configuredKind(kind{
		plural: "autoscale-configs", singular: "autoscale-config", short: []string{"ac", "autoscale"},
		configured: fleet.KindAutoscaleConfig, filters: []string{"pool"},
		columns: []column{
			{title: "NAME"},
			{title: "POOL"},
			{title: "ZONE", drop: 5},
			{title: "STANDBY"},
			{title: "READY"},
			{title: "SERVERS", drop: 3},
			{title: "MIN", wide: true},
			{title: "MAX", drop: 4},
			{title: "ENABLED", drop: 6},
			{title: "AGE", drop: 2, aged: true},
			{title: "LABELS", wide: true},
			{title: "PROVIDERS", flex: true, drop: 1},
		},
	}, func(r *client.Resource, s fleet.AutoscaleConfigSpec, now time.Time) []string {
		st, ok := status[autoscaleStatus](r)
		standby := s.Standby.Resources().String()
		if s.MinAvailableSessions > 0 {
			standby = count(int(s.MinAvailableSessions), "place")
		}
		limit := "-"
		if s.MaxServers > 0 {
			limit = fmt.Sprint(s.MaxServers)
		}
		return []string{
			r.Meta.Name, s.Pool, s.Zone, standby, numberOr(ok, st.Servers[fleet.PhaseReady]), numberOr(ok, st.Servers.total()),
			fmt.Sprint(s.MinServers), limit, yes(fleet.Value(s.Enabled, true)), since(now, r.CreatedAt),
			dash(labels(r.Meta.Labels)), dash(strings.Join(s.VMProviders, ", ")),
		}
	}, func(s fleet.AutoscaleConfigSpec) string { return s.Pool })
}

func scheduleKind() kind {
	return configuredKind(kind{
		plural: "schedules", singular: "schedule", short: []string{"sched"}, configured: fleet.KindSchedule,
		columns: []column{
			{title: "NAME"},
			{title: "CONFIG"},
			{title: "TIME ZONE", drop: 3},
			{title: "NOW"},
			{title: "AGE", drop: 2, aged: true},
			{title: "LABELS", wide: true},
			{title: "WINDOWS", flex: true, drop: 1},
		},
	}, func(r *client.Resource, s fleet.ScheduleSpec, now time.Time) []string {
		windows := make([]string, len(s.Windows))
		for i, w := range s.Windows {
			days := make([]string, len(w.Days))
			for j, d := range w.Days {
				days[j] = string(d)
			}
			windows[i] = fmt.Sprintf("%s %s-%s", strings.Join(days, ","), w.Start, w.End)
		}
		active := "outside"
		if w, _, ok, err := s.Active(now); err == nil && ok {
			active = fmt.Sprintf("%s-%s", w.Start, w.End)
		}
		return []string{
			r.Meta.Name, s.AutoscaleConfig, s.TimeZone, active,
			since(now, r.CreatedAt), dash(labels(r.Meta.Labels)), strings.Join(windows, "; "),
		}
	}, nil)
}

func stagingKind() kind {
	return configuredKind(kind{
		plural: "stagings", singular: "staging", short: []string{"stg"}, configured: fleet.KindStaging, filters: []string{"pool"},
		columns: []column{
			{title: "NAME"},
			{title: "POOL"},
			{title: "ZONE", drop: 2},
			{title: "COUNT"},
			{title: "SHAPE", drop: 3},
			{title: "AGE", drop: 1, aged: true},
			{title: "LABELS", wide: true},
		},
	}, func(r *client.Resource, s fleet.StagingSpec, now time.Time) []string {
		shape := s.Shape.Resources().String()
		if s.Shape.IsZero() { // in a server pool
			shape = count(1, "place")
		}
		return []string{
			r.Meta.Name, s.Pool, dash(s.Zone), fmt.Sprint(s.Count), shape,
			since(now, r.CreatedAt), dash(labels(r.Meta.Labels)),
		}
	}, func(s fleet.StagingSpec) string { return s.Pool })
}
