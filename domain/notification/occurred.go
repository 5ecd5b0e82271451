package notification

import "time"

func (NotificationRequested) notificationEvent() {}
func (NotificationEnriched) notificationEvent()  {}
func (Facts) notificationEvent()                 {}
func (Filing) notificationEvent()                {}

// accounts returns the receipt that an event counts.
func (r ReceiptFacts) accounts() string { return r.ReceiptID }

// When each event occurred out there: the provider's or the person's time where one
// is known, else the ledger's.
func (e NotificationRequested) OccurredAt() time.Time  { return e.At }
func (e NotificationEnriched) OccurredAt() time.Time   { return e.At }
func (e NotificationFailedOver) OccurredAt() time.Time { return e.At }
func (e NotificationRejected) OccurredAt() time.Time   { return e.At }
func (e NotificationSuppressed) OccurredAt() time.Time { return e.At }
func (e NotificationExpired) OccurredAt() time.Time    { return e.At }
func (e NotificationCancelled) OccurredAt() time.Time  { return e.At }
func (e NotificationExhausted) OccurredAt() time.Time  { return e.At }
func (e NotificationDelivered) OccurredAt() time.Time {
	return firstTime(e.DoneAt, e.ReceivedAt, e.At)
}
func (e NotificationUndelivered) OccurredAt() time.Time {
	return firstTime(e.DoneAt, e.ReceivedAt, e.At)
}
func (e NotificationRead) OccurredAt() time.Time { return firstTime(e.DoneAt, e.ReceivedAt, e.At) }
func (e NotificationReceiptKept) OccurredAt() time.Time {
	return firstTime(e.DoneAt, e.ReceivedAt, e.At)
}
func (e NotificationReplied) OccurredAt() time.Time { return firstTime(e.DoneAt, e.At) }
func (e NotificationPaid) OccurredAt() time.Time    { return firstTime(e.DoneAt, e.At) }

func firstTime(ts ...time.Time) time.Time {
	for _, t := range ts {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// The status each attempt event by itself stands for.
func (NotificationScheduled) Reached() Status        { return Scheduled }
func (NotificationDispatched) Reached() Status       { return Dispatched }
func (NotificationPostponed) Reached() Status        { return None }
func (NotificationSent) Reached() Status             { return Sent }
func (NotificationOutcomeUnknown) Reached() Status   { return OutcomeUnknown }
func (NotificationDelivered) Reached() Status        { return Delivered }
func (NotificationUndelivered) Reached() Status      { return Undelivered }
func (NotificationRead) Reached() Status             { return Read }
func (NotificationReceiptKept) Reached() Status      { return None }
func (NotificationRetried) Reached() Status          { return None }
func (NotificationGivenUp) Reached() Status          { return None }
func (NotificationAttemptWithdrawn) Reached() Status { return Withdrawn }
