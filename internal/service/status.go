package service

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/snapshot"
	"github.com/headroom-dev/headroom/internal/store"
)

// PoolStatus is what a pool has.
type PoolStatus struct {
	Servers  map[fleet.Phase]int64        `json:"servers" doc:"Servers by phase."`
	Sessions map[fleet.SessionState]int64 `json:"sessions" doc:"Live sessions by state."`
	Capacity fleet.Resources              `json:"capacity" doc:"Of servers that take sessions."`
	Claimed  fleet.Resources              `json:"claimed"`
	Free     fleet.Resources              `json:"free"`
}

// VMProviderStatus is how a VM provider config does.
type VMProviderStatus struct {
	Machines         map[fleet.Phase]int64 `json:"machines" doc:"Machines that may exist, by phase."`
	Total            int64                 `json:"total" doc:"Counts against max_instances."`
	AutoscaleConfigs []string              `json:"autoscale_configs" doc:"Who uses it."`
	Circuit          string                `json:"circuit" enum:"closed,open,half_open" doc:"open: nothing is made until open_until, since it could not work. half_open: that time is over, and one machine at a time is tried."`
	Failures         int64                 `json:"failures,omitempty" doc:"In a row."`
	Error            string                `json:"error,omitempty"`
	ErrorClass       string                `json:"error_class,omitempty"`
	OpenUntil        time.Time             `json:"open_until,omitzero"`
	BlockedUntil     time.Time             `json:"blocked_until,omitzero" doc:"Until then it is passed over for lack of capacity or quota."`
	BlockedReason    string                `json:"blocked_reason,omitempty"`
	ListedAt         time.Time             `json:"listed_at,omitzero" doc:"Last complete listing of the cloud."`
	ListError        string                `json:"list_error,omitempty"`
	SweepError       string                `json:"sweep_error,omitempty" doc:"Why the sweep of machines has stopped. No machine is made meanwhile."`
	RemnantError     string                `json:"remnant_error,omitempty" doc:"Why the sweep of disks, addresses and other objects without a machine has stopped."`
}

// DNSProviderStatus is how a DNS provider config does.
type DNSProviderStatus struct {
	Records          int64    `json:"records" doc:"Names of machines that are registered, or are being removed."`
	Failing          int64    `json:"failing,omitempty" doc:"Those of them whose last call failed; it is repeated."`
	Error            string   `json:"error,omitempty" doc:"What the last of those calls answered."`
	SweepError       string   `json:"sweep_error,omitempty" doc:"Why the sweep of names has stopped."`
	AutoscaleConfigs []string `json:"autoscale_configs" doc:"Who uses it."`
}

// AutoscaleConfigStatus is what an autoscale config has and last decided.
type AutoscaleConfigStatus struct {
	Servers      map[fleet.Phase]int64 `json:"servers" doc:"Servers by phase."`
	Total        int64                 `json:"total"`
	SurplusSince time.Time             `json:"surplus_since,omitzero" doc:"Since when a machine could be spared without a break."`
	DecidedAt    time.Time             `json:"decided_at,omitzero"`
	Decision     json.RawMessage       `json:"decision,omitempty"`
}

// statusOf is nil for kinds that have no status.
func statusOf(tx *store.Tx, o *store.Object, now time.Time) (any, error) {
	switch o.Kind {
	case fleet.KindPool:
		return poolStatus(tx, o.Name)
	case fleet.KindVMProvider:
		return providerStatus(tx, o.Name, now)
	case fleet.KindDNSProvider:
		return dnsStatus(tx, o.Name)
	case fleet.KindAutoscaleConfig:
		return configStatus(tx, o.Name)
	default:
		return nil, nil
	}
}

func poolStatus(tx *store.Tx, name string) (*PoolStatus, error) {
	st := &PoolStatus{Servers: map[fleet.Phase]int64{}}
	servers, err := tx.Servers(store.ServerFilter{Pool: name})
	if err != nil {
		return nil, fmt.Errorf("listing servers: %w", err)
	}
	for _, s := range servers {
		st.Servers[s.Phase]++
		st.Claimed = st.Claimed.Add(s.Claimed)
		if s.Open() {
			st.Capacity = st.Capacity.Add(s.Capacity)
			st.Free = st.Free.Add(s.Free())
		}
	}
	if st.Sessions, err = tx.CountSessions(store.SessionFilter{Pool: name}); err != nil {
		return nil, fmt.Errorf("counting sessions: %w", err)
	}
	return st, nil
}

func providerStatus(tx *store.Tx, name string, now time.Time) (*VMProviderStatus, error) {
	state, err := tx.ProviderState(name)
	if err != nil {
		return nil, fmt.Errorf("reading its state: %w", err)
	}
	st := &VMProviderStatus{
		AutoscaleConfigs: []string{}, Circuit: fleet.Or(state.Circuit, "closed"), Failures: max(state.Failures, state.Stillborn),
		Error: state.Error, ErrorClass: state.ErrorClass, OpenUntil: state.OpenUntil,
		ListedAt: state.ListedAt, ListError: state.ListError, SweepError: state.SweepError, RemnantError: state.RemnantError,
	}
	if st.Circuit == snapshot.CircuitOpen && !now.Before(state.OpenUntil) {
		st.Circuit = snapshot.CircuitHalfOpen
	}
	if now.Before(state.BlockedUntil) { // what is over is no longer so
		st.BlockedUntil, st.BlockedReason = state.BlockedUntil, state.BlockedReason
	}
	if st.Machines, err = tx.CountServersByPhase(store.ServerFilter{VMProvider: name}); err != nil {
		return nil, fmt.Errorf("counting machines: %w", err)
	}
	st.Total = total(st.Machines)
	configs, err := tx.Objects(fleet.KindAutoscaleConfig)
	if err != nil {
		return nil, fmt.Errorf("reading autoscale configs: %w", err)
	}
	for _, c := range configs {
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](c)
		if err != nil {
			return nil, err
		}
		for _, used := range spec.VMProviders {
			if used == name {
				st.AutoscaleConfigs = append(st.AutoscaleConfigs, c.Name)
			}
		}
	}
	return st, nil
}

func configStatus(tx *store.Tx, name string) (*AutoscaleConfigStatus, error) {
	state, err := tx.AutoscaleState(name)
	if err != nil {
		return nil, fmt.Errorf("reading its state: %w", err)
	}
	st := &AutoscaleConfigStatus{SurplusSince: state.SurplusSince, DecidedAt: state.DecidedAt, Decision: state.Decision}
	if st.Servers, err = tx.CountServersByPhase(store.ServerFilter{AutoscaleConfig: name}); err != nil {
		return nil, fmt.Errorf("counting servers: %w", err)
	}
	st.Total = total(st.Servers)
	return st, nil
}

func total(phases map[fleet.Phase]int64) int64 {
	var n int64
	for phase, c := range phases {
		if phase.MayExist() {
			n += c
		}
	}
	return n
}

func dnsStatus(tx *store.Tx, name string) (*DNSProviderStatus, error) {
	state, err := tx.ProviderState(store.StateOfDNS(name))
	if err != nil {
		return nil, fmt.Errorf("reading its state: %w", err)
	}
	st := &DNSProviderStatus{AutoscaleConfigs: []string{}, SweepError: state.SweepError}
	if st.Records, st.Failing, err = tx.CountDNSRecords(name); err != nil {
		return nil, err
	}
	if st.Failing > 0 {
		list, err := tx.DNSRecords(name)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if d.Error != "" {
				st.Error = d.Error
			}
		}
	}
	configs, err := tx.Objects(fleet.KindAutoscaleConfig)
	if err != nil {
		return nil, fmt.Errorf("reading autoscale configs: %w", err)
	}
	for _, o := range configs {
		spec, err := store.Spec[fleet.AutoscaleConfigSpec](o)
		if err != nil {
			return nil, err
		}
		if spec.DNSProvider == name {
			st.AutoscaleConfigs = append(st.AutoscaleConfigs, o.Name)
		}
	}
	return st, nil
}
