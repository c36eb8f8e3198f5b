package provider

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the calls of all clients of a process. A nil Metrics counts
// nothing.
type Metrics struct {
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	underway *prometheus.GaugeVec
	refused  *prometheus.CounterVec
}

// NewMetrics registers the metrics. It panics when they are registered
// already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_provider_calls_total",
			Help: "Calls to a cloud by provider config, operation and class of the outcome (ok for success).",
		}, []string{"provider", "operation", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "headroom_provider_call_seconds",
			Help:    "Duration of calls to a cloud.",
			Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 20, 60},
		}, []string{"provider", "operation"}),
		underway: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "headroom_provider_calls_underway",
			Help: "Calls to a cloud that have not been answered yet.",
		}, []string{"provider"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headroom_provider_calls_refused_total",
			Help: "Calls that were not made because of the rate limit, a pause that the cloud asked for, or too many calls under way.",
		}, []string{"provider", "operation"}),
	}
	reg.MustRegister(m.calls, m.seconds, m.underway, m.refused)
	return m
}

// Forget drops the series of a provider config that is no more.
func (m *Metrics) Forget(provider string) {
	if m == nil {
		return
	}
	match := prometheus.Labels{"provider": provider}
	m.calls.DeletePartialMatch(match)
	m.seconds.DeletePartialMatch(match)
	m.underway.DeletePartialMatch(match)
	m.refused.DeletePartialMatch(match)
}

func (m *Metrics) begin(provider, op string) (done func(time.Duration, *Error)) {
	if m == nil {
		return func(time.Duration, *Error) {}
	}
	underway := m.underway.WithLabelValues(provider)
	underway.Inc()
	return func(took time.Duration, failure *Error) {
		underway.Dec()
		class := "ok"
		if failure != nil {
			class = string(failure.Class)
		}
		m.calls.WithLabelValues(provider, op, class).Inc()
		m.seconds.WithLabelValues(provider, op).Observe(took.Seconds())
	}
}

func (m *Metrics) throttled(provider, op string) {
	if m != nil {
		m.refused.WithLabelValues(provider, op).Inc()
	}
}
