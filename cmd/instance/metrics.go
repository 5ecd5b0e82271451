package instance

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are the states of the parts of an instance, read when Prometheus scrapes.
type gauges struct{ of *Instance }

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("recapito_"+name, help, labels, nil)
}

var (
	storePosition     = metric("store_position", "Position of the last durable event.")
	storeUp           = metric("store_up", "1 while the event store takes appends.")
	deliveryWaiting   = metric("delivery_waiting_inputs", "Events that the delivery process manager has taken and is not done with.")
	deliveryFailing   = metric("delivery_failing", "1 while an event fails to be worked on.")
	deliveryParked    = metric("delivery_parked_inputs", "Events that failed so often that the event store gave them up for now; they come again.")
	deadlinesHeld     = metric("deadlines_held", "Deadlines in memory: near, or being fired.")
	leaseHeld         = metric("lease_held", "1 while this one of several instances does a piece of work that one does for all.", "work")
	busUp             = metric("bus_up", "1 while Kafka takes dispatches.")
	routeUp           = metric("route_up", "1 while a route has a bind.", "route")
	receiptsUnmatched = metric("receipts_unmatched_total", "Receipts that matched nothing within a minute, since the process began, by reason.", "route", "reason")
	setAside          = metric("set_aside_events", "Stored events that could not be taken and were set aside: GET /v1/set-aside lists them.")
	projectionReady   = metric("projection_ready", "1 while a projection follows, or another instance keeps it.", "projection")
	projectionEvents  = metric("projection_events", "Ledger events in a projection's table.", "projection")
	projectionWaiting = metric("projection_waiting_events", "Ledger events that are not yet in a projection's table.", "projection")
	projectionLag     = metric("projection_lag_seconds", "How long ago the event store took the oldest of those.", "projection")
)

// Describe implements prometheus.Collector.
func (gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		storePosition, storeUp, deliveryWaiting, deliveryFailing, deliveryParked, deadlinesHeld, leaseHeld, busUp, routeUp, receiptsUnmatched, setAside,
		projectionReady, projectionEvents, projectionWaiting, projectionLag,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	l := g.of
	position, err := l.Engines.Events.State(context.Background()) // which bounds its own time
	if err == nil || position > 0 {
		set(storePosition, float64(position))
	}
	set(storeUp, one(err == nil))
	delivery := l.delivery.State()
	set(deliveryWaiting, float64(delivery.Waiting))
	set(deliveryFailing, one(delivery.Failing != nil))
	if l.feed != nil {
		parked, _ := l.feed.State()
		set(deliveryParked, float64(parked))
	}
	set(deadlinesHeld, float64(l.deadlines.Held()))
	for _, held := range l.leases {
		set(leaseHeld, one(held.Held()), held.Work())
	}
	set(busUp, one(l.bus.State() == nil))
	for i, r := range l.routes {
		set(routeUp, one(r.State() == nil), l.Config.Routes[i].Name)
	}
	for u, n := range l.matcher.Unmatched() {
		out <- prometheus.MustNewConstMetric(receiptsUnmatched, prometheus.CounterValue, float64(n), u.Route, string(u.Reason))
	}
	if n, err := l.aside.Count(context.Background()); err == nil {
		set(setAside, float64(n))
	}
	for _, s := range l.Projections.States() {
		set(projectionReady, one(s.Ready()), s.Projection)
		set(projectionEvents, float64(s.Events), s.Projection)
		set(projectionWaiting, float64(s.Behind), s.Projection)
		set(projectionLag, s.Lag.Seconds(), s.Projection)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
