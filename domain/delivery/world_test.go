package delivery_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"recapito/domain/delivery"
	"recapito/domain/dimension"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

// world is one notification with all that acts on it, in memory and on one clock: the
// process manager, deadlines, the queue, workers, a provider and its receipts. Every
// step is drawn; a crash may come between any two intents, and inputs, deadlines and
// receipts come again. It is the page that model.go explores, played by the deciders
// themselves.
type world struct {
	t         *testing.T
	seed      uint64
	rand      *rand.Rand
	now       time.Time
	state     notification.State
	streams   map[string]receipt.State
	inputs    []delivery.Input // not done
	done      []delivery.Input // done once; may come again after a crash
	deadlines []delivery.Schedule
	queue     []int
	sends     []*sending
	receipts  map[string]bool // recorded with the provider
	looks     []look          // what the matcher has yet to decide
	crashes   int             // how many more
	byRef     bool            // the provider echoes our reference
}

// look is a receipt on its stream that the matcher has to look at.
type look struct{ stream, receipt string }

// sending is a claimed attempt in the hands of its worker.
type sending struct {
	attempt  int
	claim    string
	claimed  time.Time
	units    []notification.UnitOutcome // on the wire so far, with the provider's verdicts
	over     bool                       // the worker is gone, or has said all it can
	saidLost bool                       // it said unknown; the answer may still come late
}

var (
	seeds = flag.Uint64("seeds", 10_000, "how many worlds to play")
	only  = flag.Uint64("seed", 0, "the one world to play again")
)

func TestWhateverHappensItEnds(t *testing.T) {
	first, last := uint64(1), *seeds
	if *only > 0 {
		first, last = *only, *only
	}
	came := map[notification.Lifecycle]int{}
	for seed := first; seed <= last; seed++ {
		w := &world{
			t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), now: noon,
			streams: map[string]receipt.State{}, receipts: map[string]bool{},
		}
		w.play()
		came[w.state.Lifecycle()]++
	}
	for _, end := range []notification.Lifecycle{"sent", "delivered", "read", "undelivered", "expired", "cancelled", "suppressed", "exhausted"} {
		if last >= 10_000 && *only == 0 && came[end] < 50 {
			t.Errorf("only %d worlds end %s: %v", came[end], end, came)
		}
	}
}

func (w *world) play() {
	w.crashes, w.byRef = w.rand.IntN(5), w.rand.IntN(2) == 0
	_ = w.tell(w.drawRequest())
	for range w.rand.IntN(120) {
		w.step()
	}
	w.comeToRest()
	w.checkEnd()
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s (play it again: -run WhateverHappens -seed=%d)", fmt.Sprintf(format, args...), w.seed)
}

func pick[T any](w *world, of ...T) T { return of[w.rand.IntN(len(of))] }

func (w *world) drawRequest() notification.Request {
	r := notification.Request{Tenant: "acme", OfNotification: dimension.OfNotification{Priority: "normal"}, Person: ada, At: noon}
	if w.rand.IntN(3) == 0 { // planned at the door
		r.Planned = notification.Enrich{Plan: w.drawPlan(), At: noon}
	}
	if w.rand.IntN(3) == 0 {
		r.ExpiresAt = at(pick(w, 10*s, 5*time.Minute, 90*time.Minute, 150*time.Minute))
	}
	return r
}

func (w *world) drawPlan() notification.Plan {
	var plan notification.Plan
	for range 1 + w.rand.IntN(2) {
		step := notification.Step{Wanted: pick(w, notification.Sent, notification.Delivered, notification.Delivered, notification.Read), Wait: notification.Duration(wait)}
		for range 1 + w.rand.IntN(2) {
			step.Targets = append(step.Targets, notification.Target{
				OfAttempt:   dimension.OfAttempt{Channel: "sms", Route: "smsc"},
				Destination: personal.New(ada, "+390000000001"), Content: personal.New(ada, "x"), Units: 1 + w.rand.IntN(2), Policy: notification.Policy{
					Tries: 1 + w.rand.IntN(2), BackOff: notification.Duration(100 * s), BackOffMax: notification.Duration(100 * s),
					WireLimit: notification.Duration(wireLimit), Redispatch: notification.Duration(redispatch), Patience: notification.Duration(patience),
					Unknown:      pick(w, notification.UnknownWait, notification.UnknownResend, notification.UnknownHold),
					UnknownLimit: notification.Duration(unknownFor), Resends: 1,
				},
			})
		}
		plan.Steps = append(plan.Steps, step)
	}
	return plan
}

// tell carries a command out: its events become inputs.
func (w *world) tell(c notification.Command) error {
	events, err := notification.Decide(w.state, c)
	for _, e := range events {
		w.state = notification.Evolve(w.state, e)
		w.inputs = append(w.inputs, delivery.Recorded{Event: e})
	}
	return err
}

// receive carries a command out on a receipt stream.
func (w *world) receive(stream string, c receipt.Command) {
	events, err := receipt.Decide(w.streams[stream], c)
	if err != nil {
		w.fail("%v", err)
	}
	for _, e := range events {
		w.streams[stream] = receipt.Evolve(w.streams[stream], e)
		switch e := e.(type) {
		case receipt.ReceiptMatched:
			w.inputs = append(w.inputs, delivery.Matched{Receipt: e})
		case receipt.ReceiptRecorded:
			w.looks = append(w.looks, look{stream, e.ID})
		case receipt.SubmissionRegistered:
			for _, id := range e.Waiting {
				w.looks = append(w.looks, look{stream, id})
			}
		case receipt.ReceiptAmbiguous, receipt.ProviderIDReused:
			w.fail("%T, and no id comes twice here", e)
		}
	}
}

// match is the matcher that looks at a receipt.
func (w *world) match(i int) {
	l := w.looks[i]
	w.looks = slices.Delete(slices.Clone(w.looks), i, i+1)
	w.receive(l.stream, receipt.MatchReceipt{ReceiptID: l.receipt, At: w.now})
}

// step does one thing of those that can happen now.
func (w *world) step() {
	var can []func()
	add := func(f func()) { can = append(can, f) }
	for i := range w.inputs {
		add(func() { w.react(i) })
	}
	for i := range w.looks {
		add(func() { w.match(i) })
	}
	if len(w.done) > 0 && w.crashes > 0 {
		add(func() { w.crashes--; w.inputs, w.done = append(w.inputs, w.done...), nil })
	}
	for i, d := range w.deadlines {
		if !d.At.After(w.now) {
			add(func() { w.fire(i) })
		}
	}
	for i := range w.queue {
		add(func() { w.take(i) })
	}
	if len(w.queue) > 0 && w.crashes > 0 {
		add(func() { w.crashes--; w.queue = nil }) // wiped
	}
	for _, s := range w.sends {
		add(func() { w.work(s) })
		for unit := range s.units {
			add(func() { w.report(s, unit) })
		}
	}
	add(func() {
		w.now = w.now.Add(pick(w, s, 10*s, 20*s, redispatch, patience, wait))
	})
	switch w.rand.IntN(31) {
	case 0:
		_ = w.tell(notification.Cancel{At: w.now})
	case 1:
		_ = w.tell(notification.ResendHeld{Attempt: 1 + w.rand.IntN(3), At: w.now})
	case 2:
		_ = w.tell(notification.GiveUpHeld{Attempt: 1 + w.rand.IntN(3), At: w.now})
	}
	pick(w, can...)()
}

// react lets the process manager do what an input asks for; a crash may come after any
// of its intents, then the input stays.
func (w *world) react(i int) {
	in := w.inputs[i]
	if w.carryOut(in) {
		w.inputs = slices.Delete(slices.Clone(w.inputs), i, i+1)
		w.done = append(w.done, in)
	}
}

func (w *world) fire(i int) {
	d := w.deadlines[i]
	if w.carryOut(delivery.Fired{Attempt: d.Attempt}) {
		w.deadlines = slices.Delete(slices.Clone(w.deadlines), i, i+1)
	}
}

// carryOut answers whether the input is done. As the runner does, it reacts again
// when a command is refused because the state has moved, and dispatches last.
func (w *world) carryOut(in delivery.Input) bool {
	intents := delivery.React(id, w.state, in, w.now)
	slices.SortStableFunc(intents, func(a, b delivery.Intent) int {
		_, x := a.(delivery.Dispatch)
		_, y := b.(delivery.Dispatch)
		switch {
		case x && !y:
			return 1
		case y && !x:
			return -1
		}
		return 0
	})
	for _, intent := range intents {
		if w.crashes > 0 && w.rand.IntN(10) == 0 {
			w.crashes--
			return false
		}
		switch intent := intent.(type) {
		case delivery.Gather:
			if !w.state.Enriched && !w.state.Over() {
				if err := w.tell(notification.Enrich{Plan: w.drawPlan(), At: w.now}); err != nil {
					w.fail("%v", err)
				}
			}
		case delivery.Tell:
			if err := w.tell(intent.Command); errors.Is(err, notification.ErrInFlight) {
				return w.carryOut(in)
			} else if err != nil {
				w.fail("%T: %v", intent.Command, err)
			}
		case delivery.Register:
			intent.Submission.OpenUntil = intent.Submission.AcceptedAt.Add(receipt.Window)
			w.receive(intent.ProviderID, receipt.RegisterSubmission{Submission: intent.Submission, At: w.now})
		case delivery.Schedule:
			w.deadlines = append(w.deadlines, intent)
		case delivery.Dispatch:
			w.queue = append(w.queue, intent.Attempt)
		}
	}
	return true
}

// take is a worker that takes a message off the queue.
func (w *world) take(i int) {
	attempt := w.queue[i]
	w.queue = slices.Delete(slices.Clone(w.queue), i, i+1)
	claim := fmt.Sprint("claim ", len(w.sends))
	c := notification.Claim{Attempt: attempt, Claim: claim, Token: "token", TokenKey: "key", Guard: w.drawGuard(), At: w.now}
	if err := w.tell(c); err == nil && c.Guard.Verdict == notification.Allow {
		for _, s := range w.sends {
			if s.attempt == attempt {
				w.fail("attempt %d is claimed twice", attempt)
			}
		}
		w.sends = append(w.sends, &sending{attempt: attempt, claim: claim, claimed: w.now})
	}
}

// drawGuard is what the claim guard finds: mostly nothing.
func (w *world) drawGuard() notification.Guard {
	switch w.rand.IntN(40) {
	case 0, 1, 2:
		return notification.Guard{Verdict: notification.Reschedule, Until: w.now.Add(pick(w, s, redispatch, patience)), Code: "quiet_hours"}
	case 3:
		return notification.Guard{Verdict: notification.Forbid, Code: "opt_out"}
	}
	return notification.Guard{}
}

// work is a worker's next step: a unit on the wire behind the fence, the answer, no
// answer, a late answer, or its end.
func (w *world) work(s *sending) {
	a, _ := w.state.Attempt(s.attempt)
	switch {
	case s.over && !s.saidLost:
	case s.saidLost:
		s.saidLost = false
		w.record(s, s.units)
	case w.crashes > 0 && w.rand.IntN(6) == 0:
		w.crashes--
		s.over = true
	case len(s.units) < a.Units && w.now.Sub(s.claimed) >= wireLimit/2: // the fence is shut
		s.over = true
		outcome := slices.Clone(s.units)
		for len(outcome) < a.Units {
			outcome = append(outcome, notification.UnitOutcome{Fate: notification.UnitNotSent})
		}
		w.record(s, outcome)
	case len(s.units) < a.Units:
		w.wire(s)
	case w.rand.IntN(4) == 0:
		s.over, s.saidLost = true, true
		lost := slices.Clone(s.units)
		lost[w.rand.IntN(len(lost))] = notification.UnitOutcome{Fate: notification.UnitLost}
		w.record(s, lost)
	default:
		s.over = true
		w.record(s, s.units)
	}
}

func (w *world) wire(s *sending) {
	if w.state.Cancelled || w.state.Expired || w.state.Exhausted {
		w.fail("on the wire after the end was decided")
	}
	if a, _ := w.state.Attempt(s.attempt); len(s.units) == 0 {
		for i := range w.state.Attempts { // a retry of what may have been sent would send it twice
			if b := &w.state.Attempts[i]; b.Attempt == a.Of && a.Kind == notification.Retry && (len(b.Accepted) > 0 || b.Status != notification.Undelivered) {
				w.fail("attempt %d is retried, and a unit of it may have been sent", b.Attempt)
			}
		}
	}
	p := notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: fmt.Sprintf("%d-%d", s.attempt, len(s.units)+1), At: w.now}
	switch w.rand.IntN(6) {
	case 0:
		p = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "58", Transient: true}
	case 1:
		p = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "11"}
	}
	s.units = append(s.units, p)
}

func (w *world) record(s *sending, units []notification.UnitOutcome) {
	if err := w.tell(notification.RecordOutcome{Attempt: s.attempt, Claim: s.claim, Units: units, At: w.now}); err != nil {
		w.fail("%v", err)
	}
}

// report is a receipt from the provider for a unit that it took; it may come again.
func (w *world) report(s *sending, unit int) {
	p := s.units[unit]
	if p.Fate != notification.UnitAccepted {
		return
	}
	what := pick(w, receipt.Delivered, receipt.Delivered, receipt.Undelivered, receipt.Read, receipt.Intermediate)
	r := receipt.Receipt{
		ID: p.ProviderID + " " + string(what), Route: "smsc", ProviderID: p.ProviderID, Tokens: []receipt.Token{{Key: "key", Token: "token"}},
		Status: what, ReceivedAt: w.now,
	}
	if w.byRef {
		r.Notification, r.Attempt, r.Unit = id, s.attempt, unit+1
	}
	w.receipts[r.ID] = true
	w.receive(p.ProviderID, receipt.RecordReceipt{Receipt: r, Window: receipt.Window, At: w.now})
}

// comeToRest lets everything that must happen by itself happen, in the order of time.
func (w *world) comeToRest() {
	w.crashes = 0
	for range 100_000 {
		switch {
		case len(w.looks) > 0:
			w.match(0)
		case len(w.inputs) > 0:
			w.react(0)
		case len(w.queue) > 0:
			w.take(0)
		case slices.ContainsFunc(w.sends, func(s *sending) bool { return !s.over }):
			w.work(w.sends[slices.IndexFunc(w.sends, func(s *sending) bool { return !s.over })])
		case len(w.deadlines) > 0:
			slices.SortStableFunc(w.deadlines, func(a, b delivery.Schedule) int { return a.At.Compare(b.At) })
			if w.now.Before(w.deadlines[0].At) {
				w.now = w.deadlines[0].At
			}
			w.fire(0)
		default:
			return
		}
	}
	w.fail("it does not come to rest")
}

// checkEnd: nothing is stuck, and no receipt that could be joined is lost.
func (w *world) checkEnd() {
	if !w.state.Final() {
		w.fail("stuck: %s, and nothing will happen any more", w.state.Lifecycle())
	}
	for i := range w.state.Attempts {
		a := &w.state.Attempts[i]
		delivered, known := 0, 0
		for unit := 1; unit <= a.Units; unit++ {
			providerID := fmt.Sprintf("%d-%d", a.Attempt, unit)
			joined := w.byRef || slices.ContainsFunc(a.Accepted, func(p notification.Accepted) bool { return p.ProviderID == providerID })
			for _, says := range []receipt.Status{"delivered", "undelivered", "read", "intermediate"} {
				r := receipt.ReceiptMatched{ReceiptID: providerID + " " + string(says), Attempt: a.Attempt, Unit: unit, Status: says}
				if !w.receipts[r.ReceiptID] || !joined {
					continue
				}
				known++
				again := delivery.React(id, w.state, delivery.Matched{Receipt: r}, w.now)[0].(delivery.Tell).Command
				if events, err := notification.Decide(w.state, again); err != nil || len(events) > 0 {
					w.fail("receipt %s is not accounted for", r.ReceiptID)
				}
				if says == "delivered" {
					delivered++
				}
			}
		}
		if delivered == a.Units && a.Status != notification.Delivered && a.Status != notification.Read {
			w.fail("every unit of attempt %d was delivered; it is %s", a.Attempt, a.Status)
		}
		if (a.Status == notification.Delivered || a.Status == notification.Read) && known == 0 {
			w.fail("attempt %d is %s, and no receipt of its own ever came", a.Attempt, a.Status)
		}
	}
}
