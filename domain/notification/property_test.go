package notification_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recapito/domain/domaintest"
	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal/personaltest"
	"recapito/domain/receipt"
)

// run is one notification under random commands.
type run struct {
	t      *rapid.T
	events []happens
	states []notification.State // states[i] is what the first i events lead to
	ends   []int                // how many events there were at the end of each append
	now    time.Duration
	skewed bool
	done   []command // that decided something
	// receipts are those a command accounted for without breaking a rule.
	receipts map[string]bool
	codec    *event.Codec
}

// Whatever comes, in whatever order and however often, the rules hold.
func TestRulesHoldUnderRandomCommands(t *testing.T) {
	codec, err := event.NewCodec(notification.Module.Definitions...)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := &run{
			t: t, codec: codec, states: []notification.State{{}}, receipts: map[string]bool{},
			skewed: rapid.Bool().Draw(t, "clocks differ"),
		}
		begin := request(func(q *notification.Request) {
			if rapid.IntRange(0, 3).Draw(t, "expires") == 3 {
				q.ExpiresAt = at(rapid.SampledFrom([]time.Duration{s, time.Minute, wait, 5 * wait}).Draw(t, "expires at"))
			}
			if rapid.IntRange(0, 5).Draw(t, "later") == 5 {
				q.SendAt = at(rapid.SampledFrom([]time.Duration{-s, time.Minute, 13 * time.Hour}).Draw(t, "send at"))
			}
		})
		r.decide(begin)
		if rapid.IntRange(0, 9).Draw(t, "planned first") < 9 {
			r.decide(enrich(drawSteps(t)...))
		}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			r.wait()
			c := r.draw(begin)
			r.decide(c)
			r.decideOnAnOlderState(c)
		}
		r.repeatEverything()
		r.settle()
		r.checkEvents()
		r.checkStates()
		r.checkReceipts()
		r.checkStoredForm()
	})
}

func drawSteps(t *rapid.T) []notification.Step {
	drawTarget := rapid.Custom(func(t *rapid.T) notification.Target {
		return target(
			units(rapid.IntRange(1, 3).Draw(t, "units")), tries(rapid.IntRange(1, 3).Draw(t, "tries")),
			resends(rapid.IntRange(0, 2).Draw(t, "resends")),
			onUnknown(rapid.SampledFrom([]notification.UnknownPolicy{"wait", "resend", "hold"}).Draw(t, "unknown")),
		)
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) notification.Step {
		return step(rapid.SampledFrom([]notification.Status{sent, delivered, read}).Draw(t, "wanted"),
			rapid.SliceOfN(drawTarget, 1, 3).Draw(t, "targets")...)
	}), 1, 3).Draw(t, "steps")
}

func (r *run) state() notification.State { return r.states[len(r.states)-1] }

func (r *run) wait() {
	r.now += rapid.SampledFrom([]time.Duration{0, 0, s, 10 * s, wireLimit, 150 * s, wait, patience, unknownFor}).Draw(r.t, "wait")
}

// time is now as some machine's clock shows it.
func (r *run) time() time.Duration {
	if !r.skewed {
		return r.now
	}
	return r.now + rapid.SampledFrom([]time.Duration{0, -s, s, -2 * time.Minute, 2 * time.Minute}).Draw(r.t, "skew")
}

func (r *run) draw(begin notification.Request) command {
	t, now := r.t, r.time()
	st := r.state()
	attempt := rapid.IntRange(0, len(st.Attempts)).Draw(t, "attempt before last")
	if attempt = len(st.Attempts) - attempt; attempt == 0 {
		attempt = len(st.Attempts)
	}
	// The numbers drawn are small more often than not: what leads on comes first.
	switch rapid.IntRange(0, 24).Draw(t, "command") {
	case 0, 4, 8, 12:
		c := claim(attempt, now)
		c.Claim = claimOf(attempt) + drawID(t, "worker")
		return c
	case 1, 5, 9, 13:
		return r.drawOutcome(attempt, now)
	case 3, 7, 11:
		return limit(attempt, now)
	case 15:
		return begin
	case 16:
		return enrich(drawSteps(t)...)
	case 17:
		return notification.Reject{Code: "x", At: at(now)}
	case 18:
		return notification.Suppress{Code: "x", At: at(now)}
	case 19:
		return cancel(now)
	case 20:
		return expire(now)
	case 21:
		return notification.ResendHeld{Attempt: attempt, At: at(now)}
	case 22:
		return notification.GiveUpHeld{Attempt: attempt, At: at(now)}
	case 23:
		return notification.RecordReply{ReplyID: drawID(t, "reply"), At: at(now)}
	case 24:
		return notification.RecordPayment{PaymentID: drawID(t, "payment"), At: at(now)}
	default:
		c := says(attempt, 1+rapid.IntRange(0, 3).Draw(t, "unit"),
			rapid.SampledFrom([]receipt.Status{"delivered", "undelivered", "read", "intermediate"}).Draw(t, "status"), "", now)
		c.ReceiptID = fmt.Sprint(attempt, c.Unit, c.Status, drawID(t, "receipt"))
		return c
	}
}

func drawID(t *rapid.T, what string) string {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(t, what)
}

func (r *run) drawOutcome(attempt int, now time.Duration) command {
	t, st := r.t, r.state()
	o := outcome(attempt, now)
	a, ok := st.Attempt(attempt)
	if !ok {
		return o
	}
	o.Claim = claimOf(attempt) + drawID(t, "worker")
	for unit := range a.Units {
		o.Units = append(o.Units, rapid.SampledFrom([]notification.UnitOutcome{
			took(fmt.Sprint(attempt, unit), now), took(fmt.Sprint(attempt, unit), now), refusal("58", true), refusal("11", false), dropped, noAnswer,
		}).Draw(t, "fate"))
	}
	return o
}

// decide carries a command out, checks what must hold of every decision, and that
// the same command decides nothing more.
func (r *run) decide(c command) {
	before := r.state()
	wasFinal, wasLifecycle := before.Final(), before.Lifecycle()
	events, err := notification.Decide(before, c)
	if err != nil {
		if len(events) > 0 {
			r.t.Fatalf("%T is refused and decides %d events", c, len(events))
		}
		return
	}
	if c, ok := c.(notification.Confirm); ok {
		r.receipts[c.ReceiptID] = true
	}
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		r.apply(e)
	}
	r.done, r.ends = append(r.done, c), append(r.ends, len(r.events))
	r.checkAppend(events)
	after := r.state()
	if wasFinal && !after.Final() {
		r.t.Fatalf("%T: final did not stay final", c)
	}
	if wasFinal && wasLifecycle != after.Lifecycle() && after.Lifecycle() != notification.LifecycleDelivered &&
		after.Lifecycle() != notification.LifecycleRead && after.Lifecycle() != notification.LifecycleUndelivered {
		r.t.Fatalf("%T: final went from %s to %s", c, wasLifecycle, after.Lifecycle())
	}
	if again, err := notification.Decide(after, c); err == nil && len(again) > 0 {
		r.t.Fatalf("%T twice decides twice: %T", c, again[0])
	}
}

// apply folds an event, and checks what it does to its attempt.
func (r *run) apply(e happens) {
	before := r.state()
	after := notification.Evolve(before, e)
	r.events, r.states = append(r.events, e), append(r.states, after)
	for i := range before.Attempts {
		from, to := before.Attempts[i].Status, after.Attempts[i].Status
		switch {
		case to == notification.Withdrawn && from != scheduled && from != notification.Withdrawn:
			r.t.Fatalf("%T: withdrawn from %s", e, from)
		case to.Rank() < from.Rank():
			r.t.Fatalf("%T: the status fell from %s to %s", e, from, to)
		}
	}
	switch e := any(e).(type) {
	case notification.NotificationScheduled, notification.NotificationFailedOver, notification.NotificationExhausted, notification.NotificationDispatched:
		if before.Over() {
			r.t.Fatalf("%T after all is over (wanted status reached: %v)", e, before.Reached)
		}
	}
	if e, ok := e.(notification.NotificationDispatched); ok {
		a, _ := before.Attempt(e.Attempt)
		if first, ok := before.Attempt(a.Of); ok && first.Status != undelivered && first.Status != unknown {
			r.t.Fatalf("attempt %d is dispatched although the one it follows is %s", e.Attempt, first.Status)
		}
	}
	if e, ok := e.(notification.AttemptEvent); ok {
		f := e.AttemptFacts()
		a, _ := before.Attempt(f.Attempt)
		if a == nil {
			a = &notification.Attempt{}
		}
		if f.From != a.Status {
			r.t.Fatalf("%T says it came from %q; the attempt was %q", e, f.From, a.Status)
		}
		b, _ := after.Attempt(f.Attempt)
		if want := e.Reached(); b.Status != want && b.Status != a.Status || b.Status.Rank() < want.Rank() && want != notification.Withdrawn {
			r.t.Fatalf("%T from %s leads to %s", e, a.Status, b.Status)
		}
	}
}

// checkAppend: what schedules an attempt says why right before it, in the same append.
func (r *run) checkAppend(events []happens) {
	for i, e := range events {
		switch e := any(e).(type) {
		case notification.NotificationRetried:
			if next, ok := eventAt(events, i+1).(notification.NotificationScheduled); !ok || next.Attempt != e.Next || next.Of != e.Attempt || next.Kind == notification.FirstTry {
				r.t.Fatal("Retried is not followed by what it announces")
			}
		case notification.NotificationFailedOver:
			if next, ok := eventAt(events, i+1).(notification.NotificationScheduled); !ok || next.Step != e.ToStep || e.ToStep != e.FromStep+1 {
				r.t.Fatal("FailedOver is not followed by what it announces")
			}
		case notification.NotificationScheduled:
			if _, ok := eventAt(events, i-1).(notification.NotificationRetried); ok != (e.Of != 0) {
				r.t.Fatal("a retry or a resend without its reason before it")
			}
		}
	}
	st := r.state()
	if st.Over() {
		for i := range st.Attempts {
			if st.Attempts[i].Status == scheduled {
				r.t.Fatal("an attempt stays scheduled although all is over")
			}
		}
	}
}

func eventAt(events []happens, i int) happens {
	if i < 0 || i >= len(events) {
		return nil
	}
	return events[i]
}

// decideOnAnOlderState is what a rival does that has not seen the newest events; its
// append would clash. It must leave no trace in the states that others hold.
func (r *run) decideOnAnOlderState(c command) {
	_, _ = notification.Decide(rapid.SampledFrom(r.states).Draw(r.t, "older state"), c)
}

// repeatEverything issues every command that decided something once more.
func (r *run) repeatEverything() {
	for _, c := range r.done {
		if again, err := notification.Decide(r.state(), c); err == nil && len(again) > 0 {
			r.t.Fatalf("%T, repeated later, decides again: %T", c, again[0])
		}
	}
}

// settle lets all limits pass: whatever happened, the notification comes to an end.
func (r *run) settle() {
	st := r.state()
	if !st.Enriched && !st.Over() {
		return
	}
	for range 4 * notification.MaxAttempts {
		st := r.state()
		if st.Final() {
			if l := st.Lifecycle(); slices.Contains([]notification.Lifecycle{"requested", "enriched", "scheduled", "dispatched"}, l) {
				r.t.Fatalf("final, and %s", l)
			}
			return
		}
		r.now += 20 * unknownFor
		for i := range st.Attempts {
			r.decide(limit(i+1, r.now))
		}
		r.decide(expire(r.now))
	}
	r.t.Fatalf("stuck: %s after every limit has passed", st.Lifecycle())
}

// checkEvents: what an attempt's row is filed under never changes, it is claimed at
// most once, and at most one attempt follows it.
func (r *run) checkEvents() {
	filed, claims, followers := map[int]notification.Facts{}, map[int]int{}, map[int]int{}
	for _, e := range r.events {
		if e, ok := e.(notification.AttemptEvent); ok {
			f := e.AttemptFacts()
			f.From, f.At = "", time.Time{}
			was, ok := filed[f.Attempt]
			if ok && was.SentAt.IsZero() {
				was.SentAt = f.SentAt // known from Sent on
			}
			if ok && was != f {
				r.t.Fatalf("%T: the attempt's facts changed:\n%s", e, cmp.Diff(was, f))
			}
			filed[f.Attempt] = f
		}
		switch e := any(e).(type) {
		case notification.NotificationDispatched:
			claims[e.Attempt]++
		case notification.NotificationScheduled:
			if e.Day != e.Due.UTC().Format(time.DateOnly) {
				r.t.Fatal("filed under another day than the one it was first due")
			}
			if e.Of != 0 {
				followers[e.Of]++
			}
		}
	}
	for attempt := range filed {
		if claims[attempt] > 1 || followers[attempt] > 1 {
			r.t.Fatalf("attempt %d: %d claims, %d successors", attempt, claims[attempt], followers[attempt])
		}
	}
}

// checkStates: every prefix folds, and to the same as before: nothing that came after
// wrote into a state that someone may hold.
func (r *run) checkStates() {
	st := notification.Decider.Initial()
	for i, held := range r.states {
		if i > 0 {
			st = notification.Evolve(st, r.events[i-1])
		}
		if !reflect.DeepEqual(st, held) {
			diff := domaintest.Diff(st, held, cmp.AllowUnexported(notification.State{}))
			r.t.Fatalf("the state after %d events was written to (-folded +held):\n%s", i, diff)
		}
	}
}

// checkReceipts: each stands on the notification exactly once.
func (r *run) checkReceipts() {
	stands := map[string]int{}
	for _, e := range r.events {
		if f := reflect.ValueOf(e).FieldByName("ReceiptID"); f.IsValid() && f.String() != "" {
			stands[f.String()]++
		}
	}
	for id := range r.receipts {
		if stands[id] != 1 {
			r.t.Fatalf("receipt %s is accounted for %d times", id, stands[id])
		}
	}
	if len(stands) != len(r.receipts) {
		r.t.Fatalf("%d receipts stand on the notification, %d came", len(stands), len(r.receipts))
	}
}

// checkStoredForm: what is stored comes back the same.
func (r *run) checkStoredForm() {
	stream := notification.Stream("1")
	for _, e := range r.events {
		name, data, err := r.codec.Encode(r.t.Context(), personaltest.Sealer{}, "acme", stream, e)
		if err != nil {
			r.t.Fatal(err)
		}
		back, err := r.codec.Decode(r.t.Context(), personaltest.Sealer{}, "acme", event.Recorded{Stream: stream, Type: name, Data: data})
		if err != nil {
			r.t.Fatal(err)
		}
		if diff := domaintest.Diff(e, back); diff != "" {
			r.t.Fatalf("%s comes back another (-appended +decoded):\n%s", name, diff)
		}
	}
}
