package delivery_test

import (
	"slices"
	"sort"

	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// atRest is asked when nothing is left to do and no time is left to wait for.
func (c *checker) atRest() {
	s := c.w.s
	for _, id := range c.ids {
		n := c.notifications[id]
		if !n.state.Final() {
			s.fail("P5 stuck: %s is %s and not final, and nothing will happen any more", short(id), n.state.Lifecycle())
		}
		c.unknownSaid(n)
	}
	streams := make([]string, 0, len(c.buckets))
	for stream := range c.buckets {
		streams = append(streams, stream)
	}
	sort.Strings(streams)
	for _, stream := range streams {
		if !c.closed[stream] {
			s.fail("P5 the bucket %s was never closed", stream)
		}
		if !c.w.store.limits[stream].deleted() {
			s.fail("P5 the bucket %s is closed and not discarded", stream)
		}
	}
	for _, ack := range c.acks {
		c.receiptAccounted(ack)
	}
	c.answersKept()
	for _, id := range c.ids {
		c.deliveredRightly(id, c.notifications[id])
	}
	for _, p := range c.w.processes {
		for _, l := range p.lines {
			if l.inUse != 0 {
				s.fail("capacity of %s was never given back", l.p.route)
			}
		}
	}
	if n := len(c.w.queue.messages); n > 0 {
		s.fail("P5 %d messages are left on the queue", n)
	}
}

// unknownSaid: what was claimed has its result, or its unknown outcome is said, or a
// receipt told what became of it.
func (c *checker) unknownSaid(n *followed) {
	for i := range n.state.Attempts {
		a := &n.state.Attempts[i]
		byReceipt := slices.ContainsFunc(a.Reported, func(s receipt.Status) bool { return s != "" })
		if !a.DispatchedAt.IsZero() && !a.Answered && a.UnknownAt.IsZero() && !byReceipt && a.Status != notification.Undelivered {
			c.w.s.fail("an outcome of attempt %d is unknown and nobody says so", a.Attempt)
		}
	}
}

// answersKept: the id that an answer brought is durable, however late the answer came,
// if nothing of ours broke meanwhile.
func (c *checker) answersKept() {
	if !c.w.set.calm() {
		return
	}
	for _, r := range c.w.set.routes {
		for _, sub := range c.w.providers[r.provider.route].took {
			n := c.notifications[sub.message.Notification]
			a, ok := n.state.Attempt(sub.message.Attempt)
			if !ok || !sub.answered || sub.result.Fate != notification.UnitAccepted {
				continue
			}
			if !slices.ContainsFunc(a.Accepted, func(acc notification.Accepted) bool { return acc.Unit == sub.part }) {
				c.w.s.fail("P4 the provider's id of part %d of attempt %d was answered, and is lost", sub.part, a.Attempt)
			}
		}
	}
}

// receiptAccounted: a receipt that can be joined is on its notification, exactly once.
func (c *checker) receiptAccounted(ack acknowledgement) {
	s, m := c.w.s, ack.sub.message
	n := c.notifications[m.Notification]
	rec := c.recorded[ack.id]
	if n == nil || rec == nil {
		return // said already
	}
	a, ok := n.state.Attempt(m.Attempt)
	if !ok {
		return
	}
	joinable := rec.Notification != ""
	for _, acc := range a.Accepted {
		if acc.Unit == ack.sub.part && !c.w.providers[ack.r.Route].alien {
			joinable = true
			if !c.registered[wireKey{m.Notification, m.Attempt, acc.Unit}] {
				s.fail("P4 the id of part %d of attempt %d is durable, and not registered", acc.Unit, a.Attempt)
			}
		}
	}
	if joinable && n.accounted[ack.id] != 1 {
		s.fail("P4 receipt lost: one of attempt %d can be joined, and is accounted for %d times", a.Attempt, n.accounted[ack.id])
	}
	for _, match := range rec.matched {
		to := c.notifications[match.Notification]
		if to == nil || to.accounted[ack.id] != 1 {
			s.fail("P4 a receipt was matched and is not accounted for")
		}
	}
	if !joinable && len(rec.matched) == 0 && c.fits(rec) {
		s.fail("P4 a receipt of attempt %d fits exactly one unknown outcome and was not matched", a.Attempt)
	}
}

// fits reports whether a receipt fits exactly one attempt, and that one is unknown.
func (c *checker) fits(rec *recordedReceipt) bool {
	var found *notification.Attempt
	candidates := 0
	for _, id := range c.ids {
		n := c.notifications[id]
		for i := range n.state.Attempts {
			a := &n.state.Attempts[i]
			refused := a.Status == notification.Undelivered && len(a.Accepted) == 0 && a.Answered
			known := c.registered[wireKey{id, a.Attempt, 1}] || c.registered[wireKey{id, a.Attempt, 2}]
			if a.DispatchedAt.IsZero() || a.DispatchedAt.After(rec.ReceivedAt) || a.Route != rec.Route || refused || known ||
				!slices.Contains(rec.Tokens, receipt.Token{Key: a.TokenKey, Token: a.Token}) {
				continue
			}
			found = a
			candidates++
		}
	}
	return candidates == 1 && found.Status == notification.OutcomeUnknown && found.Units == 1
}

// deliveredRightly: delivered if, and only if, every part has a delivered receipt of
// its own.
func (c *checker) deliveredRightly(id string, n *followed) {
	s := c.w.s
	for i := range n.state.Attempts {
		a := &n.state.Attempts[i]
		if c.w.providers[a.Route].alien {
			continue // its receipts say nothing certain
		}
		matched, told := 0, 0
		for part := 1; part <= a.Units; part++ {
			own, joined := false, false
			for _, ack := range c.acks {
				if m := ack.sub.message; m.Notification != id || m.Attempt != a.Attempt || ack.sub.part != part ||
					ack.r.Status != receipt.Delivered && ack.r.Status != receipt.Read {
					continue
				}
				own = true
				rec := c.recorded[ack.id]
				joined = joined || rec != nil && slices.ContainsFunc(rec.matched, func(m receipt.ReceiptMatched) bool {
					return m.Notification == id && m.Attempt == a.Attempt && m.Unit == part
				})
			}
			if own {
				told++
			}
			if joined {
				matched++
			}
		}
		delivered := a.Status == notification.Delivered || a.Status == notification.Read
		switch {
		case delivered && told == 0:
			s.fail("P3 attempt %d is %s, and no receipt of its own said so", a.Attempt, a.Status)
		case !delivered && matched == a.Units:
			s.fail("P3 attempt %d is %s though every part's delivered receipt is matched", a.Attempt, a.Status)
		}
	}
}
