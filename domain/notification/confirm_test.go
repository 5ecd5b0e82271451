package notification_test

import (
	"fmt"
	"testing"
	"time"

	"recapito/domain/notification"
	"recapito/domain/receipt"
)

func TestReceiptsOfASentAttempt(t *testing.T) {
	x := planned(t, step(delivered, target())).After(claim(1, 0), outcome(1, s, took("id", s)))
	f := func(from notification.Status) notification.Facts { return facts(1, from, 9*s, sentAt(s)) }
	r := func(id string) notification.ReceiptFacts { return receiptOf(id, 1, 9*s) }
	for _, c := range []struct {
		name   string
		before []receipt.Status // receipts that came before, in this order
		says   receipt.Status
		want   []happens
		is     notification.Lifecycle
	}{
		{"delivered", nil, "delivered", []happens{isDelivered(f(sent), r("r"))}, notification.LifecycleDelivered},
		{"undelivered", nil, "undelivered", []happens{reported(f(sent), r("r")), exhausted(9 * s)}, notification.LifecycleExhausted},
		{"read", nil, "read", []happens{isRead(f(sent), r("r"))}, notification.LifecycleRead},
		{"intermediate", nil, "intermediate", []happens{kept(f(sent), r("r"), "intermediate", "intermediate")}, notification.LifecycleSent},
		{"something else", nil, "haunted", []happens{kept(f(sent), r("r"), "haunted", "intermediate")}, notification.LifecycleSent},
		{"read after delivered", []receipt.Status{"delivered"}, "read", []happens{isRead(f(delivered), r("r"))}, notification.LifecycleRead},
		{"delivered twice", []receipt.Status{"delivered"}, "delivered", []happens{kept(f(delivered), r("r"), "delivered", "double")}, notification.LifecycleDelivered},
		{"delivered after read", []receipt.Status{"read"}, "delivered", []happens{kept(f(read), r("r"), "delivered", "double")}, notification.LifecycleRead},
		{"read twice", []receipt.Status{"read"}, "read", []happens{kept(f(read), r("r"), "read", "double")}, notification.LifecycleRead},
		{"undelivered twice", []receipt.Status{"undelivered"}, "undelivered", []happens{kept(f(undelivered), r("r"), "undelivered", "double")}, notification.LifecycleExhausted},
		{"undelivered after delivered", []receipt.Status{"delivered"}, "undelivered", []happens{kept(f(delivered), r("r"), "undelivered", "contradicts")}, notification.LifecycleDelivered},
		{"undelivered after read", []receipt.Status{"read"}, "undelivered", []happens{kept(f(read), r("r"), "undelivered", "contradicts")}, notification.LifecycleRead},
		{"delivered after undelivered", []receipt.Status{"undelivered"}, "delivered", []happens{isDelivered(f(undelivered), r("r"))}, notification.LifecycleDelivered},
		{"read after undelivered", []receipt.Status{"undelivered"}, "read", []happens{isRead(f(undelivered), r("r"))}, notification.LifecycleRead},
		{"intermediate after delivered", []receipt.Status{"delivered"}, "intermediate", []happens{kept(f(delivered), r("r"), "intermediate", "intermediate")}, notification.LifecycleDelivered},
		{"delivered after intermediate", []receipt.Status{"intermediate"}, "delivered", []happens{isDelivered(f(sent), r("r"))}, notification.LifecycleDelivered},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := x
			for i, before := range c.before {
				x = x.After(says(1, 1, before, fmt.Sprint("before ", i), 8*s))
			}
			x = x.When(says(1, 1, c.says, "r", 9*s)).Then(c.want...)
			if st := x.State(); st.Lifecycle() != c.is {
				t.Errorf("the notification is %s, want %s", st.Lifecycle(), c.is)
			}
			x.When(says(1, 1, c.says, "r", 10*s)).ThenNothing() // the same receipt is accounted for once
		})
	}
	t.Run("a unit that is not there", func(t *testing.T) {
		for _, unit := range []int{-1, 0, 2} {
			r := receiptOf("r", unit, 9*s)
			x.When(says(1, unit, "delivered", "r", 9*s)).Then(kept(f(sent), r, "delivered", "no_such_unit"))
		}
	})
}

func TestEarlyReceipts(t *testing.T) {
	x := planned(t, step(delivered, target())).After(claim(1, 0))
	t.Run("delivered before the answer", func(t *testing.T) {
		is(t, x.When(says(1, 1, "delivered", "r", 2*s)).Then(isDelivered(facts(1, dispatched, 2*s), receiptOf("r", 1, 2*s))),
			notification.LifecycleDelivered, true)
	})
	early := x.When(says(1, 1, "undelivered", "r", 2*s)).Then(
		kept(facts(1, dispatched, 2*s), receiptOf("r", 1, 2*s), "undelivered", "waits"))
	t.Run("undelivered before the answer waits for Sent", func(t *testing.T) {
		early.When(outcome(1, 3*s, took("id", s))).Then(
			isSent(facts(1, dispatched, 3*s, sentAt(s)), accepted(1, "id", s)),
			reported(facts(1, sent, 3*s, sentAt(s)), notification.ReceiptFacts{Unit: 1}), exhausted(3*s))
	})
	t.Run("or for the outcome to be unknown", func(t *testing.T) {
		early.When(limit(1, wireLimit)).Then(
			isUnknown(facts(1, dispatched, wireLimit), "wire_limit"),
			reported(facts(1, unknown, wireLimit), notification.ReceiptFacts{Unit: 1}), exhausted(wireLimit))
	})
	t.Run("a delivered one that comes after it counts more", func(t *testing.T) {
		is(t, early.After(says(1, 1, "delivered", "r2", 3*s), outcome(1, 4*s, took("id", s))), notification.LifecycleDelivered, true)
	})
	t.Run("wanted sent: the Sent counts before the receipt that waited", func(t *testing.T) {
		x := planned(t, step(sent, target(), target())).After(claim(1, 0), says(1, 1, "undelivered", "r", 2*s))
		x.When(outcome(1, 3*s, took("id", s))).Then(
			isSent(facts(1, dispatched, 3*s, sentAt(s)), accepted(1, "id", s)),
			withdrawn(facts(2, scheduled, 3*s, toTarget(2)), "wanted_reached"),
			reported(facts(1, sent, 3*s, sentAt(s)), notification.ReceiptFacts{Unit: 1}))
	})
}

func TestReceiptsOfParts(t *testing.T) {
	two := planned(t, step(delivered, target(units(2)))).After(claim(1, 0), outcome(1, s, took("1", s), took("2", s)))
	f := func(from notification.Status, d time.Duration) notification.Facts {
		return facts(1, from, d, ofParts(2), sentAt(s))
	}
	firstUnit := two.When(says(1, 1, "delivered", "r1", 9*s)).Then(kept(f(sent, 9*s), receiptOf("r1", 1, 9*s), "delivered", "unit"))
	t.Run("delivered when all are", func(t *testing.T) {
		is(t, firstUnit.When(says(1, 2, "delivered", "r2", 10*s)).Then(isDelivered(f(sent, 10*s), receiptOf("r2", 2, 10*s))),
			notification.LifecycleDelivered, true)
	})
	t.Run("one of them twice is not both", func(t *testing.T) {
		is(t, firstUnit.When(says(1, 1, "delivered", "r2", 10*s)).Then(kept(f(sent, 10*s), receiptOf("r2", 1, 10*s), "delivered", "double")),
			notification.LifecycleSent, false)
	})
	t.Run("undelivered when one is", func(t *testing.T) {
		x := firstUnit.When(says(1, 2, "undelivered", "r2", 10*s)).Then(reported(f(sent, 10*s), receiptOf("r2", 2, 10*s)), exhausted(10*s))
		is(t, x.After(says(1, 2, "delivered", "r3", 11*s)), notification.LifecycleDelivered, true)
	})
	t.Run("read when one is", func(t *testing.T) {
		two.When(says(1, 2, "read", "r", 10*s)).Then(isRead(f(sent, 10*s), receiptOf("r", 2, 10*s)))
	})
	t.Run("early ones count too", func(t *testing.T) {
		x := planned(t, step(delivered, target(units(2)))).After(claim(1, 0), says(1, 2, "delivered", "r2", s))
		is(t, x, notification.LifecycleDispatched, false)
		x = x.After(says(1, 1, "undelivered", "r1", 2*s))
		x.When(outcome(1, 3*s, took("1", s), took("2", s))).Then(
			isSent(facts(1, dispatched, 3*s, ofParts(2), sentAt(s)), accepted(1, "1", s), accepted(2, "2", s)),
			reported(facts(1, sent, 3*s, ofParts(2), sentAt(s)), notification.ReceiptFacts{Unit: 1}), exhausted(3*s))
	})
}

func TestReceiptsOfWhatWasNeverSent(t *testing.T) {
	t.Run("withdrawn", func(t *testing.T) {
		x := planned(t, step(delivered, target())).After(cancel(s))
		is(t, x.When(says(1, 1, "delivered", "r", 9*s)).Then(kept(facts(1, notification.Withdrawn, 9*s), receiptOf("r", 1, 9*s), "delivered", "not_sent")),
			notification.LifecycleCancelled, true)
	})
	t.Run("scheduled: kept, and does not count when it is sent after all", func(t *testing.T) {
		x := planned(t, step(delivered, target())).
			When(says(1, 1, "undelivered", "r", 9*s)).Then(kept(facts(1, scheduled, 9*s), receiptOf("r", 1, 9*s), "undelivered", "not_sent"))
		x.After(claim(1, 10*s)).When(outcome(1, 11*s, took("id", 11*s))).Then(
			isSent(facts(1, dispatched, 11*s, sentAt(11*s)), accepted(1, "id", 11*s)))
		y := planned(t, step(delivered, target(units(2)))).After(says(1, 2, "delivered", "r", 9*s), claim(1, 10*s))
		is(t, y.After(says(1, 1, "delivered", "r1", 11*s)), notification.LifecycleDispatched, false)
	})
	t.Run("refused, and reported delivered all the same", func(t *testing.T) {
		x := planned(t, step(delivered, target())).After(claim(1, 0), outcome(1, s, refusal("58", true)))
		is(t, x, notification.LifecycleUndelivered, false)
		is(t, x.After(says(1, 1, "delivered", "r", 9*s)), notification.LifecycleDelivered, true)
	})
}

func TestEngagement(t *testing.T) {
	x := planned(t, step(sent, target())).After(claim(1, 0), outcome(1, s, took("id", s)))
	reply := notification.RecordReply{Attempt: 1, Channel: "sms", ReplyID: "reply-1", Text: text, DoneAt: at(9 * s), At: at(10 * s)}
	payment := notification.RecordPayment{PaymentID: "payment-1", DoneAt: at(9 * s), At: at(10 * s)}
	replied := func(r notification.RecordReply) notification.NotificationReplied {
		return notification.NotificationReplied{
			Filing: filing, Attempt: r.Attempt, Channel: r.Channel, ReplyID: r.ReplyID, Text: r.Text, DoneAt: r.DoneAt, At: r.At,
		}
	}
	paid := notification.NotificationPaid{Filing: filing, PaymentID: payment.PaymentID, DoneAt: payment.DoneAt, At: payment.At}
	t.Run("beside the state, each once", func(t *testing.T) {
		y := x.When(reply).Then(replied(reply)).When(payment).Then(paid)
		is(t, y, notification.LifecycleSent, true)
		y.When(reply).ThenNothing()
		y.When(payment).ThenNothing()
		other := reply
		other.ReplyID = "reply-2"
		y.When(other).Then(replied(other))
	})
}

func TestOccurredAt(t *testing.T) {
	r := receiptOf("r", 1, 9*s)
	var f notification.Facts
	f.At = at(9 * s)
	for _, c := range []struct {
		event interface{ OccurredAt() time.Time }
		want  time.Duration
	}{
		{notification.NotificationDelivered{Facts: f, ReceiptFacts: r}, 7 * s},
		{notification.NotificationDelivered{Facts: f, ReceiptFacts: notification.ReceiptFacts{ReceivedAt: at(8 * s)}}, 8 * s},
		{notification.NotificationUndelivered{Facts: f, Why: "refused"}, 9 * s},
		{notification.NotificationRead{Facts: f, ReceiptFacts: r}, 7 * s},
		{notification.NotificationReceiptKept{Facts: f, ReceiptFacts: r}, 7 * s},
		{notification.NotificationReplied{DoneAt: at(s), At: at(2 * s)}, s},
		{notification.NotificationPaid{At: at(2 * s)}, 2 * s},
	} {
		if got := c.event.OccurredAt(); !got.Equal(at(c.want)) {
			t.Errorf("%T occurred at %v, want %v", c.event, got, at(c.want))
		}
	}
}
