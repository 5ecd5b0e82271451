package readmodels

import (
	"slices"
	"time"
)

// EventRow is a row of events: a ledger event as it was stored.
type EventRow struct {
	Tenant      string    `ch:"tenant"`
	Stream      string    `ch:"stream"`
	Revision    uint64    `ch:"revision"`
	Position    uint64    `ch:"position"`
	Seq         uint64    `ch:"seq"` // ordinal among ledger events, from 0
	Type        string    `ch:"type"`
	ID          string    `ch:"id"`
	Actor       string    `ch:"actor"`
	Correlation string    `ch:"correlation"`
	Causation   string    `ch:"causation"`
	Traceparent string    `ch:"traceparent"`
	OccurredAt  time.Time `ch:"occurred_at"`
	RecordedAt  time.Time `ch:"recorded_at"`
	Test        bool      `ch:"test"`
	Data        string    `ch:"data"`
	Metadata    string    `ch:"metadata"`
}

var eventColumns = columns[EventRow]{
	of("tenant", func(r *EventRow) string { return r.Tenant }),
	of("stream", func(r *EventRow) string { return r.Stream }),
	of("revision", func(r *EventRow) uint64 { return r.Revision }),
	of("position", func(r *EventRow) uint64 { return r.Position }),
	of("seq", func(r *EventRow) uint64 { return r.Seq }),
	of("type", func(r *EventRow) string { return r.Type }),
	of("id", func(r *EventRow) string { return r.ID }),
	of("actor", func(r *EventRow) string { return r.Actor }),
	of("correlation", func(r *EventRow) string { return r.Correlation }),
	of("causation", func(r *EventRow) string { return r.Causation }),
	of("traceparent", func(r *EventRow) string { return r.Traceparent }),
	of("occurred_at", func(r *EventRow) time.Time { return r.OccurredAt }),
	of("recorded_at", func(r *EventRow) time.Time { return r.RecordedAt }),
	of("test", func(r *EventRow) bool { return r.Test }),
	of("data", func(r *EventRow) string { return r.Data }),
	of("metadata", func(r *EventRow) string { return r.Metadata }),
}

func (EventRow) columns(rows []Row) []any { return eventColumns.of(rows) }

// PartialEDR is a partial row of an attempt, made of one event. Partial rows merge in any
// order and any number of times: see schema/edr_v3.sql.
type PartialEDR struct {
	Tenant       string
	Day          time.Time
	Notification string
	Attempt      uint16
	Step         uint16
	Target       uint16
	Kind         string
	Follows      uint16
	Dimensions
	Person  string
	Units   uint16
	Times   Times
	Outcome Outcome
	Changed uint64 // seq of the event, and one
}

// Times of an attempt; nil is not known, or not yet.
type Times struct {
	RequestedAt   *time.Time `ch:"requested_at" json:"requested_at,omitempty"`
	ScheduledAt   *time.Time `ch:"scheduled_at" json:"scheduled_at,omitempty"`
	DueAt         *time.Time `ch:"due_at" json:"due_at,omitempty"`
	DispatchedAt  *time.Time `ch:"dispatched_at" json:"dispatched_at,omitempty"`
	UnknownAt     *time.Time `ch:"unknown_at" json:"unknown_at,omitempty"`
	SentAt        *time.Time `ch:"sent_at" json:"sent_at,omitempty"`
	UndeliveredAt *time.Time `ch:"undelivered_at" json:"undelivered_at,omitempty"`
	DeliveredAt   *time.Time `ch:"delivered_at" json:"delivered_at,omitempty"`
	ReadAt        *time.Time `ch:"read_at" json:"read_at,omitempty"`
	WithdrawnAt   *time.Time `ch:"withdrawn_at" json:"withdrawn_at,omitempty"`
	GivenUpAt     *time.Time `ch:"given_up_at" json:"given_up_at,omitempty"`
}

// Outcome is the status of an attempt in an event. Of several the one of the
// highest rank holds, and among those the one with the smallest seq.
type Outcome struct {
	Rank   int8
	Seq    uint64
	Status string
	Code   string
}

var edrPartColumns = slices.Concat(columns[PartialEDR]{
	of("tenant", func(r *PartialEDR) string { return r.Tenant }),
	sent("day", "Date", func(r *PartialEDR) time.Time { return r.Day }),
	of("notification", func(r *PartialEDR) string { return r.Notification }),
	of("attempt", func(r *PartialEDR) uint16 { return r.Attempt }),
	of("step", func(r *PartialEDR) uint16 { return r.Step }),
	of("target", func(r *PartialEDR) uint16 { return r.Target }),
	of("kind", func(r *PartialEDR) string { return r.Kind }),
	of("follows", func(r *PartialEDR) uint16 { return r.Follows }),
	of("person", func(r *PartialEDR) string { return r.Person }),
	of("units", func(r *PartialEDR) uint16 { return r.Units }),
	of("requested_at", func(r *PartialEDR) *time.Time { return r.Times.RequestedAt }),
	of("scheduled_at", func(r *PartialEDR) *time.Time { return r.Times.ScheduledAt }),
	of("due_at", func(r *PartialEDR) *time.Time { return r.Times.DueAt }),
	of("dispatched_at", func(r *PartialEDR) *time.Time { return r.Times.DispatchedAt }),
	of("unknown_at", func(r *PartialEDR) *time.Time { return r.Times.UnknownAt }),
	of("sent_at", func(r *PartialEDR) *time.Time { return r.Times.SentAt }),
	of("undelivered_at", func(r *PartialEDR) *time.Time { return r.Times.UndeliveredAt }),
	of("delivered_at", func(r *PartialEDR) *time.Time { return r.Times.DeliveredAt }),
	of("read_at", func(r *PartialEDR) *time.Time { return r.Times.ReadAt }),
	of("withdrawn_at", func(r *PartialEDR) *time.Time { return r.Times.WithdrawnAt }),
	of("given_up_at", func(r *PartialEDR) *time.Time { return r.Times.GivenUpAt }),
	sent("outcome", "Tuple(Int8, Int64, String, String)", func(r *PartialEDR) []any {
		return []any{r.Outcome.Rank, -int64(r.Outcome.Seq), r.Outcome.Status, r.Outcome.Code}
	}),
	of("changed", func(r *PartialEDR) uint64 { return r.Changed }),
}, dimensionColumns(edrDimensions, func(r *PartialEDR) *Dimensions { return &r.Dimensions }))

func (PartialEDR) columns(rows []Row) []any { return edrPartColumns.of(rows) }
