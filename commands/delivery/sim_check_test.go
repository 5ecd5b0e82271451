package delivery_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"recapito/commands/channel"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// checker follows everything that becomes durable or goes on the wire, and says when a
// property breaks. It folds by the domain's own Evolve, but keeps its own book of what
// was on the wire, acknowledged, cancelled.
type checker struct {
	w             *world
	notifications map[string]*followed
	ids           []string                    // of notifications, in order of appearance
	onWire        map[wireKey]*submission     // the last of each part
	recorded      map[string]*recordedReceipt // by receipt id
	registered    map[wireKey]bool
	acks          []acknowledgement
	set           []time.Time // of deadlines, unsorted
	buckets       map[string]bool
	closed        map[string]bool
	withdrawn     map[string]time.Time // when a person's withdrawal was acknowledged first
	quiet         bool                 // nothing may be appended any more
}

type wireKey struct {
	notification  string
	attempt, part int
}

type followed struct {
	state     notification.State
	accepted  bool // a client has its 202
	final     bool
	busyUntil time.Time      // something was in flight, so that expiry had to wait
	accounted map[string]int // receipts
	asked     map[int]bool   // a person has been asked about the attempt
}

type recordedReceipt struct {
	receipt.Receipt
	matched []receipt.ReceiptMatched
}

type acknowledgement struct {
	sub *submission
	r   channel.ProviderReceipt
	id  string
}

func newChecker(w *world) *checker {
	return &checker{
		w: w, notifications: map[string]*followed{}, onWire: map[wireKey]*submission{}, recorded: map[string]*recordedReceipt{},
		registered: map[wireKey]bool{}, withdrawn: map[string]time.Time{}, buckets: map[string]bool{}, closed: map[string]bool{},
	}
}

func (c *checker) appended(r event.Recorded) {
	s := c.w.s
	if c.quiet {
		s.fail("idle, and yet %s was appended to %s", r.Type, r.Stream)
	}
	if r.Type == event.MetadataType || strings.HasPrefix(r.Stream, consentPrefix) {
		return
	}
	decoded, err := simCodec.Decode(context.Background(), nil, simTenant, r)
	if err != nil {
		s.fail("undecodable: %v", err)
		return
	}
	switch e := decoded.(type) {
	case notification.Event:
		c.onNotification(r.Stream[len(notification.StreamPrefix):], e)
	case receipt.ReceiptRecorded:
		c.recorded[e.ID] = &recordedReceipt{Receipt: e.Receipt}
	case receipt.SubmissionRegistered:
		c.registered[wireKey{e.Notification, e.Attempt, e.Unit}] = true
	case receipt.ReceiptMatched:
		rec := c.recorded[e.ReceiptID]
		if rec == nil {
			s.fail("P4 matched, and never recorded")
			return
		}
		for _, m := range rec.matched {
			if m.Notification == e.Notification && m.Attempt == e.Attempt && m.Unit == e.Unit {
				s.fail("P4b one pair of receipt and submission matched twice")
			}
		}
		rec.matched = append(rec.matched, e)
	case deadline.DeadlineSet:
		if c.closed[r.Stream] && !c.w.store.limits[r.Stream].deleted() {
			s.fail("a deadline was set in a closed bucket")
		}
		c.closed[r.Stream] = false // once discarded it is as if it had never been
		c.set, c.buckets[r.Stream] = append(c.set, e.At), true
	case deadline.BucketClosed:
		if c.closed[r.Stream] {
			s.fail("a bucket was closed twice")
		}
		c.closed[r.Stream] = true
	}
}

func (c *checker) onNotification(id string, e notification.Event) {
	s := c.w.s
	n := c.notifications[id]
	if n == nil {
		n = &followed{accounted: map[string]int{}, asked: map[int]bool{}}
		c.notifications[id] = n
		c.ids = append(c.ids, id)
	}
	before := n.state
	over := before.Over()
	switch e := any(e).(type) { // those that a property speaks of
	case notification.NotificationScheduled:
		if over {
			s.fail("P6 scheduled after the end was said")
		}
		if e.Attempt != len(before.Attempts)+1 {
			s.fail("P8 attempts are not numbered one after the other")
		}
		if x := before.Requested.ExpiresAt; !x.IsZero() && !e.At.Before(x) {
			s.fail("P10 scheduled after expires_at")
		}
	case notification.NotificationDispatched:
		a, ok := before.Attempt(e.Attempt)
		switch x := before.Requested.ExpiresAt; {
		case over:
			s.fail("P7 dispatched after the end was said")
		case c.forbidden(e.Person, e.At):
			s.fail("P12 a claim of attempt %d began after the person's withdrawal was acknowledged", e.Attempt)
		case !ok || a.Status != notification.Scheduled:
			s.fail("P1 dispatched, and not scheduled")
		case e.At.Before(a.Due) || s.now.Before(a.Due):
			s.fail("P10 dispatched before due")
		case !x.IsZero() && !e.At.Before(x):
			s.fail("P10 dispatched after expires_at")
		}
	case notification.NotificationUndelivered:
		if a, ok := before.Attempt(e.Attempt); ok && e.ReceiptID != "" && a.Status == notification.Dispatched {
			s.fail("P11 an undelivered receipt counts before the attempt's own result is known")
		}
	case notification.NotificationFailedOver, notification.NotificationExhausted:
		if over {
			s.fail("P6 failed over or exhausted after the end was said")
		}
	case notification.NotificationCancelled, notification.NotificationExpired:
		if over {
			s.fail("P7 cancelled or expired after the end was said")
		}
		if i := slices.IndexFunc(before.Attempts, func(a notification.Attempt) bool { return a.Status == notification.Dispatched }); i >= 0 {
			s.fail("P7 cancelled or expired while attempt %d is dispatched", i+1)
		}
		for i := range before.Attempts {
			a := &before.Attempts[i]
			limit, _ := before.Limit(a)
			if _, failover := e.(notification.NotificationExpired); !failover && a.Status == notification.OutcomeUnknown && a.Step == before.Step &&
				a.Successor == 0 && !a.GivenUp && s.now.Before(limit) {
				s.fail("P7 cancelled while the outcome of attempt %d is unknown within its limit", i+1)
			}
		}
	}
	if before.InFlight(s.now) {
		n.busy(s.now)
	}
	if !over {
		c.expiryCame(n)
	}
	if a, ok := e.(notification.AttemptEvent); ok {
		f := a.AttemptFacts()
		if was, ok := before.Attempt(f.Attempt); ok && f.From != was.Status {
			s.fail("P8 an event says that attempt %d came from %s, it was %s", f.Attempt, f.From, was.Status)
		}
	}
	if id := receiptOf(e); id != "" {
		if n.accounted[id]++; n.accounted[id] > 1 {
			s.fail("P4b a receipt is accounted for twice")
		}
	}
	n.state = notification.Evolve(before, e)
	for i := range before.Attempts {
		was, is := before.Attempts[i].Status, n.state.Attempts[i].Status
		if was != is && (is.Rank() < was.Rank() || is == notification.Withdrawn && was != notification.Scheduled || was == notification.Withdrawn) {
			s.fail("P2 attempt %d went from %s to %s", i+1, was, is)
		}
	}
	for i := range n.state.Attempts {
		if a := &n.state.Attempts[i]; a.Status == notification.OutcomeUnknown {
			limit, _ := n.state.Limit(a)
			n.busy(limit)
		}
	}
}

// appendEnded looks at what one append as a whole must leave.
func (c *checker) appendEnded(stream string) {
	id, ok := strings.CutPrefix(stream, notification.StreamPrefix)
	if !ok {
		return
	}
	s, n := c.w.s, c.notifications[id]
	if n.state.Over() {
		for i := range n.state.Attempts {
			if n.state.Attempts[i].Status == notification.Scheduled {
				s.fail("P6 the end is said, and attempt %d is still scheduled", i+1)
			}
		}
	}
	for i := range n.state.Attempts {
		a := &n.state.Attempts[i]
		if next, ok := n.state.Attempt(a.Successor); ok && a.Status == notification.Sent && next.Status == notification.Scheduled {
			s.fail("P9 attempt %d is sent, and its resend is still scheduled", i+1)
		}
		if (a.Status == notification.Sent || a.Status == notification.OutcomeUnknown) && slices.Contains(a.Reported, receipt.Undelivered) {
			s.fail("P3 attempt %d is %s, and its undelivered receipt does not count", i+1, a.Status)
		}
	}
	if n.final && !n.state.Final() {
		s.fail("final did not stay final")
	}
	n.final = n.final || n.state.Final()
}

func (n *followed) busy(until time.Time) {
	if until.After(n.busyUntil) {
		n.busyUntil = until
	}
}

// expiryCame: a notification does not go on when expires_at has come and nothing in
// flight held the expiry up. (Deadlines fired late, after a crash, are fired in the
// order they were set for, each as of now.)
func (c *checker) expiryCame(n *followed) {
	const again = 5 * time.Second // a refused expiry comes again
	x, now := n.state.Requested.ExpiresAt, c.w.s.now
	if !x.IsZero() && c.w.set.calm() && now.After(x.Add(again)) && now.After(n.busyUntil.Add(again)) {
		c.w.s.fail("P10 expires_at passed, and nobody says so")
	}
}

func receiptOf(e notification.Event) string {
	switch e := any(e).(type) {
	case notification.NotificationDelivered:
		return e.ReceiptID
	case notification.NotificationUndelivered:
		return e.ReceiptID
	case notification.NotificationRead:
		return e.ReceiptID
	case notification.NotificationReceiptKept:
		return e.ReceiptID
	}
	return ""
}

func (c *checker) accepted(id string) {
	n := c.notifications[id]
	if n == nil {
		c.w.s.fail("P0 a 202 for what is not durable")
		return
	}
	n.accepted = true
}

// withdrew is told of each withdrawal that was acknowledged.
func (c *checker) withdrew(person string) {
	if _, known := c.withdrawn[person]; !known {
		c.withdrawn[person] = c.w.s.now
	}
}

// forbidden reports whether a person's withdrawal was acknowledged before a claim began.
func (c *checker) forbidden(person string, begun time.Time) bool {
	at, withdrawn := c.withdrawn[person]
	return withdrawn && begun.After(at)
}

func (c *checker) cancelled(id string) {
	if !c.notifications[id].state.Cancelled {
		c.w.s.fail("P7 a cancel was accepted and is not durable")
	}
}

// wire is told of each part as it goes on the wire.
func (c *checker) wire(sub *submission) {
	s := c.w.s
	k := wireKey{sub.message.Notification, sub.message.Attempt, sub.part}
	if before := c.onWire[k]; before != nil && (before.lost || !before.answered || !before.result.Busy) {
		s.fail("P1 part %d of attempt %d is on the wire again, and was not answered busy before", sub.part, k.attempt)
	}
	c.onWire[k] = sub
	n := c.notifications[k.notification]
	if n == nil {
		s.fail("P1 on the wire, and never requested")
		return
	}
	a, ok := n.state.Attempt(k.attempt)
	switch {
	case !ok || a.DispatchedAt.IsZero():
		s.fail("P1 on the wire before Dispatched was durable")
	case n.state.Cancelled || n.state.Expired:
		s.fail("P7 on the wire after an accepted cancel or expiry")
	case c.forbidden(a.Person, a.DispatchedAt):
		s.fail("P12 on the wire, claimed after the person's withdrawal was acknowledged")
	case n.state.Exhausted:
		s.fail("P11 on the wire after Exhausted")
	case a.Status != notification.Dispatched && a.Status != notification.Delivered && a.Status != notification.Read:
		s.fail("P1 on the wire after its outcome was recorded: %s", a.Status)
	case n.state.ExpiryPassed(s.now):
		s.fail("P10 on the wire after expires_at")
	case !a.UnknownAt.IsZero():
		s.fail("P1 on the wire after its outcome was said to be unknown")
	}
}

// acknowledged is told of each receipt that the provider may forget.
func (c *checker) acknowledged(sub *submission, r channel.ProviderReceipt) {
	// The receipt's identity holds its destination's token under the key of the day it came.
	token := tokenOf(r.Route, r.Destination, r.ReceivedAt).Token
	id := receipt.ID(r.Route, receipt.MessageOf(r.ProviderID, r.Reference, r.Unit), token, r.Status, r.Code, r.OccurredAt)
	if c.recorded[id] == nil {
		c.w.s.fail("P4 a receipt was acknowledged and is not durable")
	}
	c.acks = append(c.acks, acknowledgement{sub, r, id})
}

// longAfter its minute a bucket is closed, whatever stood still or was down meanwhile.
const longAfter = 30 * time.Minute

// nextDeadline answers when the deadlines' holder has something to do, after at.
func (c *checker) nextDeadline(at time.Time) time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if t.Before(at) {
			t = at
		}
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, d := range c.set {
		if d.After(c.w.s.now) {
			sooner(d)
		}
	}
	for stream := range c.buckets {
		b, err := deadline.ParseStream(stream)
		if err != nil || c.closed[stream] {
			continue
		}
		sooner(b.Minute.Add(time.Minute))
		if c.w.s.now.Sub(b.Minute) > longAfter {
			c.w.s.fail("P5 the bucket %s is not closed, long after its minute", stream)
		}
	}
	return next
}
