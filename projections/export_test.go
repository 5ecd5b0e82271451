package projections

import (
	"recapito/domain/event"
	"recapito/readmodels"
)

// LimitBatches makes batches and spans small: what is tested is what happens between
// them.
func LimitBatches(p *Projections, events int, span uint64) {
	for _, k := range p.keepers {
		k.batchLimit, k.projection = events, smallSpans{k.projection, span}
	}
}

type smallSpans struct {
	projection
	span uint64
}

func (s smallSpans) kind() readmodels.Table {
	kind := s.projection.kind()
	kind.SpanSize = s.span
	return kind
}

// PartsOf makes the parts small in which tables are compared.
func PartsOf(r *Reconciler, n int) { r.events, r.cells = n, n }

// SpansOf says how many events a span has in the tables that are compared.
func SpansOf(r *Reconciler, n uint64) { r.span = n }

// NameTables makes tables' names from a test's own ids.
func NameTables(p *Projections, id func() string) {
	for _, k := range p.keepers {
		k.newID = id
	}
}

// Rows makes the rows of both projections from a ledger event.
var (
	EventRowOf  = eventRow
	AuditRowsOf = auditRows
)

// NotificationPartsOf makes the partial rows of a batch.
func NotificationPartsOf(codec *event.Codec, events []LedgerEvent) ([]readmodels.Row, error) {
	rows, _, err := notificationsProjection{codec}.rows(events)
	return rows, err
}
