package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests by method, route and status.
type metrics struct{ duration *prometheus.HistogramVec }

func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		return &metrics{}
	}
	m := &metrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "recapito_http_request_duration_seconds", Help: "How long HTTP requests took, by route and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30},
	}, []string{"method", "route", "status"})}
	r.MustRegister(m.duration)
	return m
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	if m.duration != nil {
		m.duration.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
	}
}
