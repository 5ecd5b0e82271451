package projections

import (
	"time"

	"recapito/domain/event"
	"recapito/readmodels"
)

// Events is the projection events: every ledger event, one row; types this binary does
// not know too.
func Events() Projection {
	return Projection{Table: readmodels.EventsTable, Rows: func(events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
		return eachRow(events, func(e LedgerEvent) (readmodels.Row, error) { return EventRow(e), nil })
	}}
}

// EventRow never fails: the audit base holds what was stored, also where its metadata
// cannot be read (it then has no tenant and belongs to no one's queries).
func EventRow(e LedgerEvent) readmodels.EventRow {
	m, err := e.metadata()
	if err != nil {
		m = event.Metadata{}
	}
	return readmodels.EventRow{
		Tenant: m.Tenant, Stream: e.Stream, Revision: uint64(e.Revision), Position: uint64(e.Position), Seq: e.Seq,
		Type: e.Type, ID: e.ID, Actor: m.Actor, Correlation: m.CorrelationID, Causation: m.CausationID,
		Traceparent: m.Traceparent, OccurredAt: storable(m.OccurredAt), RecordedAt: storable(m.RecordedAt), Test: m.Test,
		Data: string(e.Data), Metadata: string(e.Metadata),
	}
}

// The times that a DateTime64(6) holds and a partition by month can be made of.
var (
	earliest = time.Unix(0, 0).UTC()
	latest   = time.Date(2149, 6, 6, 0, 0, 0, 0, time.UTC)
)

// storable cuts a time to what a column holds: microseconds, and the epoch for what
// is missing or nonsense.
func storable(t time.Time) time.Time {
	if t.Before(earliest) || !t.Before(latest) {
		return earliest
	}
	return t.UTC().Truncate(time.Microsecond)
}

// known is storable, with nil for the epoch: a time that is not known.
func known(t time.Time) *time.Time {
	t = storable(t)
	if t.Equal(earliest) {
		return nil
	}
	return &t
}
