package readmodels

import "time"

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

var eventColumns = []string{
	"tenant", "stream", "revision", "position", "seq", "type", "id", "actor", "correlation", "causation",
	"traceparent", "occurred_at", "recorded_at", "test", "data", "metadata",
}

func (r EventRow) values() []any {
	return []any{
		r.Tenant, r.Stream, r.Revision, r.Position, r.Seq, r.Type, r.ID, r.Actor, r.Correlation, r.Causation,
		r.Traceparent, r.OccurredAt, r.RecordedAt, r.Test, r.Data, r.Metadata,
	}
}

// EDRPart is a partial row of an attempt: what one event says of it. Parts merge in any
// order and any number of times: see schema/edr_v2.sql.
type EDRPart struct {
	Tenant       string
	Day          time.Time
	Notification string
	Attempt      uint16
	Step         uint16
	Target       uint16
	Kind         string
	Follows      uint16
	Channel      string
	Route        string
	Sender       string
	Scenario     string
	Version      string
	Brand        string
	Segment      string
	Campaign     string
	Priority     string
	Country      string
	Operator     string
	Person       string
	Parts        uint16
	Test         bool
	Times        Times
	Outcome      Outcome
	Changed      uint64 // seq of the event, and one
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

// Outcome is a status that an event says an attempt has. Of several the one of the
// highest rank holds, and among those the one with the smallest seq.
type Outcome struct {
	Rank   int8
	Seq    uint64
	Status string
	Code   string
}

var edrPartColumns = []string{
	"tenant", "day", "notification", "attempt", "step", "target", "kind", "follows", "channel", "route", "sender",
	"scenario", "version", "brand", "segment", "campaign", "priority", "country", "operator", "person", "parts", "test",
	"requested_at", "scheduled_at", "due_at", "dispatched_at", "unknown_at", "sent_at", "undelivered_at",
	"delivered_at", "read_at", "withdrawn_at", "given_up_at", "outcome", "changed",
}

func (r EDRPart) values() []any {
	t := &r.Times
	return []any{
		r.Tenant, r.Day, r.Notification, r.Attempt, r.Step, r.Target, r.Kind, r.Follows, r.Channel, r.Route, r.Sender,
		r.Scenario, r.Version, r.Brand, r.Segment, r.Campaign, r.Priority, r.Country, r.Operator, r.Person, r.Parts, r.Test,
		t.RequestedAt, t.ScheduledAt, t.DueAt, t.DispatchedAt, t.UnknownAt, t.SentAt, t.UndeliveredAt,
		t.DeliveredAt, t.ReadAt, t.WithdrawnAt, t.GivenUpAt,
		[]any{r.Outcome.Rank, -int64(r.Outcome.Seq), r.Outcome.Status, r.Outcome.Code}, r.Changed,
	}
}
