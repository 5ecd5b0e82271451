package projections

import (
	"recapito/domain/event"
	"recapito/readmodels"
)

// Projection turns ledger events into rows of one table.
type Projection struct {
	Table readmodels.Table
	// Rows makes the rows of the events before the first corrupt one, and returns how many
	// events that were. The error is a *Corrupt. The same events make the same rows.
	Rows func(events []LedgerEvent) (rows []readmodels.Row, n int, err error)
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

// eachRow makes at most one row of each event; nil is none.
func eachRow(events []LedgerEvent, row func(LedgerEvent) (readmodels.Row, error)) ([]readmodels.Row, int, error) {
	rows := make([]readmodels.Row, 0, len(events))
	for i, e := range events {
		r, err := row(e)
		if err != nil {
			return rows, i, err
		}
		if r != nil {
			rows = append(rows, r)
		}
	}
	return rows, len(events), nil
}
