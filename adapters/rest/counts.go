package rest

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what a route counts. They hold no values.
type counts struct {
	accepted, refused, lost     atomic.Uint64
	receipts, replies, unstored atomic.Uint64
	callbacksTaken              atomic.Uint64
	callbacksRefused            atomic.Uint64 // for good: 4xx
	callbacksFailed             atomic.Uint64 // to be sent again: 5xx
}

func (c *counts) callback(status int) {
	switch {
	case status < 400:
		c.callbacksTaken.Add(1)
	case status < 500:
		c.callbacksRefused.Add(1)
	default:
		c.callbacksFailed.Add(1)
	}
}

// descs are the route's metrics. The route's name is a constant label, so that each route
// is a collector of its own.
type descs struct{ calls, callbacks, reports *prometheus.Desc }

func (r *Route) descs() descs {
	desc := func(name, help, label string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{label}, prometheus.Labels{"route": r.o.Name})
	}
	return descs{
		calls:     desc("recapito_rest_calls_total", "Calls by outcome.", "outcome"),
		callbacks: desc("recapito_rest_callbacks_total", "Callbacks by outcome.", "outcome"),
		reports:   desc("recapito_rest_reports_total", "Statuses and replies that were stored, and statuses that were not.", "kind"),
	}
}

// Describe implements prometheus.Collector.
func (r *Route) Describe(ch chan<- *prometheus.Desc) {
	d := r.descs()
	ch <- d.calls
	ch <- d.callbacks
	ch <- d.reports
}

// Collect implements prometheus.Collector.
func (r *Route) Collect(ch chan<- prometheus.Metric) {
	d := r.descs()
	for _, m := range []struct {
		desc  *prometheus.Desc
		label string
		count *atomic.Uint64
	}{
		{d.calls, "accepted", &r.counts.accepted}, {d.calls, "refused", &r.counts.refused}, {d.calls, "unknown", &r.counts.lost},
		{d.callbacks, "taken", &r.counts.callbacksTaken}, {d.callbacks, "refused", &r.counts.callbacksRefused}, {d.callbacks, "failed", &r.counts.callbacksFailed},
		{d.reports, "status", &r.counts.receipts}, {d.reports, "reply", &r.counts.replies}, {d.reports, "not_stored", &r.counts.unstored},
	} {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(m.count.Load()), m.label)
	}
}
