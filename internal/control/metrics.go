package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-dev/headroom/internal/plan"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Metrics counts what the controller does. A nil *Metrics counts nothing.
type Metrics struct {
	created  *prometheus.CounterVec
	retired  *prometheus.CounterVec
	failures *prometheus.CounterVec
	passes   *prometheus.HistogramVec
	owned    prometheus.Gauge
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
	}
	r.MustRegister(m.created, m.retired, m.failures, m.passes, m.owned)
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

func (m *Metrics) owns(keys int) {
	if m != nil {
		m.owned.Set(float64(keys))
	}
}
