package projections

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// FoldEDR folds ledger events, in the order of $all from the first, to the rows that the view edr
// must show, by tenant, day, notification and attempt. It goes event by event and
// keeps the highest status so far, and so shares nothing with the merging of partial
// rows that it is compared with but the reading of one event.
func FoldEDR(codec *event.Codec, events []event.Recorded) ([]readmodels.EDR, error) {
	f := NewEDRFold(codec)
	for seq, r := range events {
		if err := f.Add(LedgerEvent{Recorded: r, Seq: uint64(seq)}); err != nil {
			return nil, err
		}
	}
	return f.Rows(), nil
}

type attemptKey struct {
	tenant, notification string
	attempt              int
}

// EDRFold folds ledger events, in order, to the rows of the view edr.
type EDRFold struct {
	codec    *event.Codec
	attempts map[attemptKey]*readmodels.EDR
}

// NewEDRFold begins a fold. codec is of every ledger event.
func NewEDRFold(codec *event.Codec) *EDRFold {
	return &EDRFold{codec: codec, attempts: map[attemptKey]*readmodels.EDR{}}
}

// Add folds the next event. One that cannot be read is passed over.
func (f *EDRFold) Add(e LedgerEvent) error { return Readable(e, func() error { return f.add(e) }) }

func (f *EDRFold) add(e LedgerEvent) error {
	r, seq := e.Recorded, e.Seq
	a, tenant, err := attemptEvent(f.codec, r)
	if a == nil || err != nil {
		return err
	}
	if _, err := edrPart(e, a, tenant); err != nil { // as a row cannot hold it
		return err
	}
	facts := a.AttemptFacts()
	key := attemptKey{tenant, strings.TrimPrefix(r.Stream, notification.StreamPrefix), facts.Attempt}
	row := f.attempts[key]
	if row == nil {
		day, err := time.Parse(time.DateOnly, facts.Day)
		if err != nil {
			return corrupt(r, "its day is not a date")
		}
		row = &readmodels.EDR{
			Tenant: tenant, Day: day, DayText: facts.Day, Notification: key.notification, Attempt: uint16(facts.Attempt),
			Step: uint16(facts.Step), Target: uint16(facts.Target), Dimensions: dimensionsOf(facts), Person: facts.Person, Units: uint16(facts.Units),
		}
		f.attempts[key] = row
	}
	row.Changed = seq + 1
	first(&row.RequestedAt, facts.RequestedAt)
	first(&row.ScheduledAt, facts.ScheduledAt)
	first(&row.DueAt, facts.DueAt)
	first(&row.SentAt, facts.SentAt)
	if s := a.Reached(); s.Rank() > notification.Status(row.Status).Rank() {
		row.Status, row.Code = string(s), codeOf(a)
	}
	f.when(row, a)
	return nil
}

// Of returns the row that an event is folded into, as it is now: folded, whether it is
// folded at all; there, whether there is a row yet.
func (f *EDRFold) Of(e LedgerEvent) (row readmodels.EDR, there, folded bool, err error) {
	a, tenant, err := attemptEvent(f.codec, e.Recorded)
	if a == nil || err != nil {
		return row, false, false, err
	}
	r := f.attempts[attemptKey{tenant, strings.TrimPrefix(e.Stream, notification.StreamPrefix), a.AttemptFacts().Attempt}]
	if r == nil {
		return row, false, true, nil
	}
	return finished(*r), true, true, nil
}

func (f *EDRFold) when(row *readmodels.EDR, a notification.AttemptEvent) {
	at := occurred(a)
	switch a.Reached() {
	case notification.Dispatched:
		first(&row.DispatchedAt, at)
	case notification.OutcomeUnknown:
		first(&row.UnknownAt, at)
	case notification.Sent:
		if a.AttemptFacts().SentAt.IsZero() {
			first(&row.SentAt, at)
		}
	case notification.Undelivered:
		first(&row.UndeliveredAt, at)
	case notification.Delivered:
		first(&row.DeliveredAt, at)
	case notification.Read:
		first(&row.ReadAt, at)
	case notification.Withdrawn:
		first(&row.WithdrawnAt, at)
	}
	switch a := a.(type) {
	case notification.NotificationScheduled:
		row.Kind, row.Follows = string(a.Kind), uint16(a.Of)
		if a.DueAt.IsZero() {
			first(&row.DueAt, a.Due)
		}
	case notification.NotificationGivenUp:
		first(&row.GivenUpAt, at)
	}
}

// first keeps the earliest time known.
func first(kept **time.Time, t time.Time) {
	if k := known(t); k != nil && (*kept == nil || k.Before(**kept)) {
		*kept = k
	}
}

// Rows returns the rows, by tenant, day, notification and attempt.
func (f *EDRFold) Rows() []readmodels.EDR {
	rows := make([]readmodels.EDR, 0, len(f.attempts))
	for _, r := range f.attempts {
		rows = append(rows, finished(*r))
	}
	slices.SortFunc(rows, func(a, b readmodels.EDR) int {
		return cmp.Or(
			strings.Compare(a.Tenant, b.Tenant), a.Day.Compare(b.Day),
			strings.Compare(a.Notification, b.Notification), cmp.Compare(a.Attempt, b.Attempt),
		)
	})
	return rows
}

// finished returns a row with the columns that the view computes.
func finished(r readmodels.EDR) readmodels.EDR {
	r.QueueMs = between(r.DueAt, r.DispatchedAt)
	r.SubmitMs = between(r.DispatchedAt, r.SentAt)
	r.DeliveryMs = between(r.SentAt, r.DeliveredAt)
	r.ErrorText = readmodels.ErrorText(r.Status, r.Code)
	r.Billable = billable(notification.Status(r.Status), r.SentAt != nil, r.Test)
	return r
}

// FoldAccounting counts the rows of the EDR as the view accounting must, cells that come
// to nothing left out.
func FoldAccounting(rows []readmodels.EDR) map[readmodels.AccountingCell]readmodels.AccountingSums {
	all := map[readmodels.AccountingCell]readmodels.AccountingSums{}
	for _, r := range rows {
		if r.Status == "" {
			continue
		}
		cell := readmodels.AccountingCell{Tenant: r.Tenant, Day: r.Day, Dimensions: r.ForAccounting(), Status: r.Status}
		s := all[cell]
		one := readmodels.AccountingSums{Messages: 1, Units: int64(r.Units)}
		if billable(notification.Status(r.Status), r.SentAt != nil, r.Test) {
			one.Billable, one.BillableUnits, one.Unpriced = 1, int64(r.Units), 1
		}
		s.Add(1, one)
		all[cell] = s
	}
	return all
}

func between(from, to *time.Time) *int64 {
	if from == nil || to == nil {
		return nil
	}
	ms := (to.UnixMicro() - from.UnixMicro()) / 1000
	return &ms
}
