package control

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/store"
)

// Metrics counts what the controller does. A nil *Metrics counts nothing.
type Metrics struct {
	created  *prometheus.CounterVec
	retired  *prometheus.CounterVec
	failures *prometheus.CounterVec
	passes   *prometheus.HistogramVec
	owned    prometheus.Gauge
	epochs   *prometheus.GaugeVec
	renewed  prometheus.Gauge
	nodes    prometheus.Gauge
	newer    prometheus.Gauge
	offset   prometheus.Gauge
	changes  *prometheus.CounterVec
	turned   *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		created: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_servers_planned_total", Help: "Machines that the planner decided to make.",
		}, []string{"pool", "autoscale_config", "vm_provider"}),
		retired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_servers_retired_total", Help: "Machines that the planner decided to give up, by cause.",
		}, []string{"pool", "autoscale_config", "cause"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_provider_failures_total", Help: "Failed calls of the controller to a provider, by class of error.",
		}, []string{"vm_provider", "operation", "class"}),
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "headroom_step_seconds", Help: "Duration of one step of a control loop.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"loop"}),
		owned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headroom_owned_keys", Help: "Pools, providers and other work that this node owns at present.",
		}),
		epochs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "headroom_owned_epoch", Help: "Epoch of each key that this node owns at present: it grows whenever a node takes the key.",
		}, []string{"key"}),
		renewed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headroom_lease_renewed_timestamp_seconds", Help: "When the database last took a heartbeat of this node.",
		}),
		nodes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headroom_nodes_alive", Help: "Nodes that are alive, this one among them, as of its last heartbeat.",
		}),
		newer: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headroom_database_newer", Help: "1: a newer Headroom has upgraded the database; this node is to be replaced.",
		}),
		offset: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headroom_clock_offset_seconds", Help: "How far the clock of the database, which holds for all nodes, is ahead of that of this host; 0 while they agree within half a second.",
		}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_ownership_changes_total", Help: "Keys that this node has gained or lost.",
		}, []string{"change"}),
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_steps_lost_total", Help: "Steps that wrote nothing, since another node owned their work by then.",
		}, []string{"loop"}),
	}
	r.MustRegister(m.created, m.retired, m.failures, m.passes, m.owned, m.epochs, m.renewed, m.nodes, m.newer, m.offset, m.changes, m.turned)
	return m
}

func (m *Metrics) decided(d plan.Decision) {
	if m == nil {
		return
	}
	for _, cd := range d.Configs {
		for _, cr := range cd.Creates {
			m.created.WithLabelValues(d.Pool, cd.Config, cr.Provider).Inc()
		}
		for _, r := range cd.Retires {
			m.retired.WithLabelValues(d.Pool, cd.Config, string(r.Cause)).Inc()
		}
	}
}

func (m *Metrics) failed(vmProvider, operation string, class provider.Class) {
	if m != nil {
		m.failures.WithLabelValues(vmProvider, operation, string(class)).Inc()
	}
}

func (m *Metrics) createFailed(p string, class provider.Class) { m.failed(p, "create", class) }
func (m *Metrics) deleteFailed(p string, class provider.Class) { m.failed(p, "delete", class) }
func (m *Metrics) listFailed(p string, class provider.Class)   { m.failed(p, "list", class) }

func (m *Metrics) step(loop string, seconds float64) {
	if m != nil {
		m.passes.WithLabelValues(loop).Observe(seconds)
	}
}

// gained and lost count the keys that a node works on; the epoch is 0 where
// there is only one node.
func (m *Metrics) gained(o store.Owner) {
	if m == nil {
		return
	}
	m.owned.Inc()
	m.changes.WithLabelValues("gained").Inc()
	if o.Epoch > 0 {
		m.epochs.WithLabelValues(o.Key).Set(float64(o.Epoch))
	}
}

func (m *Metrics) lost(o store.Owner) {
	if m == nil {
		return
	}
	m.owned.Dec()
	m.changes.WithLabelValues("lost").Inc()
	m.epochs.DeleteLabelValues(o.Key)
}

// heartbeat notes what a heartbeat saw, and when.
func (m *Metrics) heartbeat(at time.Time, v store.View) {
	if m == nil {
		return
	}
	m.renewed.Set(float64(at.UnixMilli()) / 1000)
	m.nodes.Set(float64(len(v.Nodes)))
	m.offset.Set(v.Offset.Seconds())
	m.newer.Set(0)
	if v.Newer > 0 {
		m.newer.Set(1)
	}
}

func (m *Metrics) stepLost(loop string) {
	if m != nil {
		m.turned.WithLabelValues(loop).Inc()
	}
}
