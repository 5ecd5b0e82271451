package projections

import (
	"recapito/domain/event"
	"recapito/readmodels"
)

// Projection turns ledger events into rows of one table.
type Projection struct {
	Table readmodels.Table
	// Rows makes the rows of a batch of events, of which there is one at least. Events that
	// cannot be read make none, and are returned. The same events make the same rows.
	Rows func(events []LedgerEvent) (rows []readmodels.Row, aside []*event.Unreadable)
}

// Name is the projection's name, and that of the view that shows its table.
func (p Projection) Name() string { return p.Table.Projection }

// All returns every projection, in the order in which they are listed. codec is of every
// ledger event; operations are those of the API.
func All(codec *event.Codec, operations Operations) []Projection {
	return []Projection{Events(), EDR(codec), Notifications(codec), Accounting(codec), Rollups(codec), AuditLog(codec, operations)}
}

// Names are those of the projections, in the order in which they are listed.
var Names = names()

func names() []string {
	var all []string
	for _, p := range All(nil, nil) {
		all = append(all, p.Name())
	}
	return all
}

// each hands over every event, and returns those that cannot be read. What take does of an
// event it does whole or, if it returns an error, not at all.
func each(events []LedgerEvent, take func(LedgerEvent) error) (aside []*event.Unreadable) {
	for _, e := range events {
		if err := event.Guarded(e.Recorded, func() error { return take(e) }); err != nil {
			why := err.Error()
			if u, found := event.AsUnreadable(e.Recorded, err); found {
				why = u.Why
			}
			aside = append(aside, event.NotRead(e.Recorded, why))
		}
	}
	return aside
}

// Readable runs what handles an event: one that cannot be read is passed over, as the
// projections do.
func Readable(e LedgerEvent, handle func() error) error {
	err := event.Guarded(e.Recorded, handle)
	if _, unreadable := event.AsUnreadable(e.Recorded, err); unreadable {
		return nil
	}
	return err
}

// eachRow makes at most one row of each event; nil is none.
func eachRow(events []LedgerEvent, row func(LedgerEvent) (readmodels.Row, error)) ([]readmodels.Row, []*event.Unreadable) {
	rows := make([]readmodels.Row, 0, len(events))
	aside := each(events, func(e LedgerEvent) error {
		r, err := row(e)
		if err == nil && r != nil {
			rows = append(rows, r)
		}
		return err
	})
	return rows, aside
}
