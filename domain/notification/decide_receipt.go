package notification

import "recapito/domain/receipt"

// confirm accounts for a matched receipt, once by its id.
func (t *turn) confirm(c Confirm) error {
	t.at = c.At
	a, err := t.attempt(c.Attempt)
	if err != nil {
		return err
	}
	if t.s.accounted(c.ReceiptID) {
		return nil
	}
	r := ReceiptFacts{ReceiptID: c.ReceiptID, Unit: c.Unit, Code: c.Code, DoneAt: c.DoneAt, Basis: c.Basis, ReceivedAt: c.ReceivedAt}
	switch {
	case c.Unit < 1 || c.Unit > len(a.Reported):
		t.keep(a, r, c.Status, KeptNoSuchUnit)
	case a.Status == Scheduled || a.Status == Withdrawn:
		t.keep(a, r, c.Status, KeptNotSent)
	case c.Status == receipt.Delivered:
		t.confirmDelivered(a, r)
	case c.Status == receipt.Undelivered:
		t.confirmUndelivered(a, r)
	case c.Status == receipt.Read:
		t.confirmRead(a, r)
	default:
		t.keep(a, r, c.Status, KeptIntermediate)
	}
	return nil
}

func (t *turn) keep(a *Attempt, r ReceiptFacts, status receipt.Status, why KeptReason) {
	t.emit(NotificationReceiptKept{Facts: t.facts(a), ReceiptFacts: r, Status: status, Why: why})
}

func (t *turn) confirmDelivered(a *Attempt, r ReceiptFacts) {
	if a.Status.Rank() >= Delivered.Rank() {
		t.keep(a, r, receipt.Delivered, KeptDouble)
		return
	}
	for i, status := range a.Reported {
		if i+1 != r.Unit && status.Rank() < receipt.Delivered.Rank() {
			why := KeptUnit
			if a.Reported[r.Unit-1].Rank() >= receipt.Delivered.Rank() {
				why = KeptDouble
			}
			t.keep(a, r, receipt.Delivered, why)
			return
		}
	}
	before := t.s.Reached
	t.emit(NotificationDelivered{Facts: t.facts(a), ReceiptFacts: r})
	t.raised(before)
	t.withdrawSuccessor(a)
}

func (t *turn) confirmUndelivered(a *Attempt, r ReceiptFacts) {
	switch {
	case a.Status == Dispatched:
		t.keep(a, r, receipt.Undelivered, KeptWaits)
	case a.Status == Undelivered:
		t.keep(a, r, receipt.Undelivered, KeptDouble)
	case a.Status.Rank() > Undelivered.Rank():
		t.keep(a, r, receipt.Undelivered, KeptContradicts)
	default:
		t.emit(NotificationUndelivered{Facts: t.facts(a), ReceiptFacts: r, Why: UndeliveredByReceipt})
		t.settle()
	}
}

func (t *turn) confirmRead(a *Attempt, r ReceiptFacts) {
	if a.Status == Read {
		t.keep(a, r, receipt.Read, KeptDouble)
		return
	}
	before := t.s.Reached
	t.emit(NotificationRead{Facts: t.facts(a), ReceiptFacts: r})
	t.raised(before)
}

// heldUndelivered counts an undelivered receipt that waited for the attempt's own result.
func (t *turn) heldUndelivered(a *Attempt) bool {
	if a.Status.Rank() >= Undelivered.Rank() {
		return false
	}
	for i, status := range a.Reported {
		if status == receipt.Undelivered {
			t.emit(NotificationUndelivered{Facts: t.facts(a), ReceiptFacts: ReceiptFacts{Unit: i + 1}, Why: UndeliveredByReceipt})
			t.settle()
			return true
		}
	}
	return false
}
