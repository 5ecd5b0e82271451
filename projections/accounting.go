package projections

import (
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// Accounting is the projection accounting: attempts by cell and status. Each event records
// which status its attempt had before, so it takes the attempt out of one cell and puts it
// into another; what a batch moved is written as one sum a cell.
func Accounting(codec *event.Codec) Projection {
	return Projection{Table: readmodels.AccountingTable, Rows: func(events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
		return accountingRows(codec, events)
	}}
}

func accountingRows(codec *event.Codec, events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
	sums := newSums[readmodels.AccountingCell, readmodels.AccountingSums]()
	aside := each(events, func(e LedgerEvent) error { return countAttempt(codec, &sums, e) })
	batch := counted(events)
	rows := make([]readmodels.Row, 0, len(sums.cells))
	for i, cell := range sums.cells {
		if s := sums.sums[i]; s != (readmodels.AccountingSums{}) {
			rows = append(rows, readmodels.AccountingRow{AccountingCell: cell, AccountingSums: s, Counted: batch})
		}
	}
	return rows, aside
}

// CountAccounting adds what one event counts in accounting, by cell: messages, parts,
// billable, billable parts and unpriced, in the order of readmodels.SumNames.
func CountAccounting(codec *event.Codec, e LedgerEvent, add func(cell readmodels.AccountingCell, sums []int64)) error {
	one := newSums[readmodels.AccountingCell, readmodels.AccountingSums]()
	if err := countAttempt(codec, &one, e); err != nil {
		return err
	}
	for i, cell := range one.cells {
		s := one.sums[i]
		add(cell, []int64{s.Messages, s.Units, s.Billable, s.BillableUnits, s.Unpriced})
	}
	return nil
}

// countAttempt adds one event to the sums.
func countAttempt(codec *event.Codec, sums *sums[readmodels.AccountingCell, readmodels.AccountingSums], e LedgerEvent) error {
	a, part, err := e.attempt(codec)
	if part == nil || err != nil {
		return err
	}
	from, to := a.AttemptFacts().From, a.Reached()
	before := accountable(part, from, sentBefore(a))
	if !raises(from, to) {
		to = from // and yet a Sent that comes late makes an undelivered attempt billable
	}
	after := accountable(part, to, sentAt(a))
	if from == to && before == after {
		return nil
	}
	cell := readmodels.AccountingCell{Tenant: part.Tenant, Day: part.Day, Dimensions: part.ForAccounting()}
	if from != notification.None {
		cell.Status = string(from)
		sums.at(cell).Add(-1, before)
	}
	if to != notification.None {
		cell.Status = string(to)
		sums.at(cell).Add(1, after)
	}
	return nil
}

// raises returns whether an event that stands for a status raises an attempt from the one
// it had; withdrawn is reached only from scheduled.
func raises(from, to notification.Status) bool {
	return to.Rank() > from.Rank() && (to != notification.Withdrawn || from == notification.Scheduled)
}

// sentBefore is when the attempt was sent, as far as was known before the event: an
// attempt is sent once, and that event holds the time.
func sentBefore(a notification.AttemptEvent) time.Time {
	if _, is := a.(notification.NotificationSent); is {
		return time.Time{}
	}
	return a.AttemptFacts().SentAt
}

// sentAt is the same once the event has happened.
func sentAt(a notification.AttemptEvent) time.Time {
	at := a.AttemptFacts().SentAt
	if _, is := a.(notification.NotificationSent); is && at.IsZero() {
		at = occurred(a)
	}
	return at
}

// accountable is what an attempt of that status counts.
func accountable(part *readmodels.PartialEDR, s notification.Status, sent time.Time) readmodels.AccountingSums {
	sums := readmodels.AccountingSums{Messages: 1, Units: int64(part.Units)}
	if billable(s, known(sent) != nil, part.Test) {
		sums.Billable, sums.BillableUnits = 1, int64(part.Units)
		sums.Unpriced = 1 // until there are tariffs
	}
	return sums
}

// billable: the provider took the message, and it was no test.
func billable(s notification.Status, sent, test bool) bool {
	switch s {
	case notification.Sent, notification.Delivered, notification.Read:
		return !test
	case notification.Undelivered:
		return sent && !test
	case notification.None, notification.Scheduled, notification.Dispatched, notification.OutcomeUnknown, notification.Withdrawn:
	}
	return false
}
