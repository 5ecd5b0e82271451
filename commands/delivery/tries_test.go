package delivery_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/delivery"
	"recapito/domain/notification"
)

// The fates of a unit, for scripts.
var (
	took     = notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "a1"}
	busy     = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x00000058", Transient: true, Busy: true}
	forNow   = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x00000045", Transient: true}
	forGood  = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x0000000b"}
	lost     = notification.UnitOutcome{Fate: notification.UnitLost}
	unsent   = notification.UnitOutcome{Fate: notification.UnitNotSent}
	halfWire = time.Duration(channel.DefaultPolicy().WireLimit) / 2
)

// try is one call of a channel: the units that it must be asked for, and its outcome.
type try struct {
	asked   []int
	outcome []notification.UnitOutcome
	late    []notification.UnitOutcome // a second later
}

// script has the wire play tries, and returns how many it has played.
func script(t *testing.T, b *commandstest.Bench, tries []try) *int {
	played := 0
	b.Wire.Answer = func(_ context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
		if played == len(tries) {
			t.Errorf("one try too many, of %v", m.Units)
			return channel.Outcome{Units: []notification.UnitOutcome{forGood}}
		}
		now := tries[played]
		played++
		if diff := cmp.Diff(now.asked, m.Units); diff != "" || !fence() {
			t.Errorf("try %d: open %v, units %s", played, fence(), diff)
		}
		if now.late != nil {
			time.AfterFunc(time.Second, func() { late(channel.Outcome{Units: now.late}) })
		}
		return channel.Outcome{Units: now.outcome}
	}
	return &played
}

type units = []notification.UnitOutcome

// TestWorkerTriesUnitsAgain: only what was answered busy, or not handed to a connection.
func TestWorkerTriesUnitsAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		tries  []try
		events string // after Dispatched
	}{
		{"busy", []try{{nil, units{took, busy, unsent}, nil}, {[]int{2, 3}, units{took, took}, nil}}, "Sent"},
		{"busy more than once", []try{
			{nil, units{busy, unsent, unsent}, nil}, {[]int{1, 2, 3}, units{took, busy, unsent}, nil}, {[]int{2, 3}, units{busy, unsent}, nil},
			{[]int{2, 3}, units{took, took}, nil},
		}, "Sent"},
		{"no session", []try{{nil, units{unsent, unsent, unsent}, nil}, {[]int{1, 2, 3}, units{took, took, took}, nil}}, "Sent"},
		{"refused for good", []try{{nil, units{took, forGood, unsent}, nil}}, "Undelivered Exhausted"},
		{"refused for good, among busy ones", []try{{nil, units{busy, forGood, busy}, nil}}, "Undelivered Exhausted"},
		{"refused for now", []try{{nil, units{forNow, unsent, unsent}, nil}}, "Undelivered Retried Scheduled"},
		{"busy, then refused", []try{{nil, units{took, busy, unsent}, nil}, {[]int{2, 3}, units{forGood, unsent}, nil}}, "Undelivered Exhausted"},
		{"lost", []try{{nil, units{lost, lost, lost}, nil}}, "OutcomeUnknown"},
		{"lost, and the others go on", []try{{nil, units{lost, unsent, busy}, nil}, {[]int{2, 3}, units{took, took}, nil}}, "OutcomeUnknown"},
		{"answered while others are tried", []try{
			{nil, units{lost, busy, took}, units{took, busy, took}}, {[]int{2}, units{busy}, nil}, {[]int{2}, units{busy}, nil},
			{[]int{2}, units{busy}, nil}, {[]int{2}, units{took}, nil},
		}, "Sent"},
		{"answered when all is over", []try{{nil, units{took, lost, took}, units{took, took, took}}}, "OutcomeUnknown Sent"},
		{"answered late to a later try", []try{
			{nil, units{took, busy, unsent}, nil}, {[]int{2, 3}, units{took, lost}, units{took, took}},
		}, "OutcomeUnknown Sent"},
		{"answered busy late", []try{{nil, units{took, lost, took}, units{took, busy, took}}}, "OutcomeUnknown Undelivered Exhausted"},
		{"not reported by the channel", []try{{nil, units{busy, took, took}, nil}, {[]int{1}, nil, nil}}, "OutcomeUnknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
				b.Wire.Makes = 3
				id := b.Submitted("a")
				played := script(t, b, test.tries)
				if err := w.Handle(t.Context(), dispatch(id)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(halfWire)
				synctest.Wait()
				if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Dispatched "+test.events) {
					t.Errorf("events %s", got)
				}
				if *played != len(test.tries) || b.Wire.Acquired != len(test.tries) {
					t.Errorf("%d tries of %d, capacity taken %d times", *played, len(test.tries), b.Wire.Acquired)
				}
			})
		})
	}
}

// TestWorkerTriesEnd: nothing is tried once the fence is shut, by half the wire limit or
// by expires_at, and what is busy then is no try of the message.
func TestWorkerTriesEnd(t *testing.T) {
	for _, test := range []struct {
		name    string
		expires time.Duration
		shut    time.Duration
		events  string
	}{
		{"half the wire limit", 0, halfWire, "Dispatched Undelivered Retried Scheduled"},
		{"expires_at", 5 * time.Second, 5 * time.Second, "Dispatched Undelivered Exhausted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
				r := commandstest.Appointment()
				start := time.Now()
				if test.expires > 0 {
					r.ExpiresAt = start.Add(test.expires)
				}
				a, err := b.N.Submit(t.Context(), commandstest.Origin, "a", r)
				if err != nil {
					t.Fatal(err)
				}
				b.Tell(a.ID, b.Plan(a.ID))
				var last time.Duration
				b.Wire.Answer = func(_ context.Context, _ channel.Message, fence func() bool, _ func(channel.Outcome)) channel.Outcome {
					if !fence() {
						return channel.Outcome{Units: units{unsent}}
					}
					last = time.Since(start)
					return channel.Outcome{Units: units{busy}}
				}
				if err := w.Handle(t.Context(), dispatch(a.ID)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(halfWire + time.Second)
				synctest.Wait()
				if last >= test.shut || last < test.shut-4*time.Second {
					t.Errorf("last on the wire after %v, the fence shut after %v", last, test.shut)
				}
				if got := b.Types(notification.Stream(a.ID)); !strings.HasSuffix(got, test.events) {
					t.Errorf("events %s", got)
				}
				if s := b.State(a.ID); s.Attempts[len(s.Attempts)-1].Try != 1 {
					t.Error("being busy counts as a try")
				}
			})
		})
	}
}

// TestWorkerTriesNeedCapacity: a route that is full or down is asked again, until the
// fence shuts.
func TestWorkerTriesNeedCapacity(t *testing.T) {
	for _, back := range []time.Duration{3 * time.Second, time.Hour} {
		drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
			id := b.Submitted("a")
			full := func(err error) {
				b.Wire.Mu.Lock()
				defer b.Wire.Mu.Unlock()
				b.Wire.AcquireErr = err
			}
			script(t, b, []try{{nil, units{busy}, nil}, {[]int{1}, units{took}, nil}})
			answer := b.Wire.Answer
			b.Wire.Answer = func(ctx context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
				if len(m.Units) == 0 { // the first try
					full(channel.ErrRouteDown)
				}
				return answer(ctx, m, fence, late)
			}
			time.AfterFunc(back, func() { full(nil) })
			if err := w.Handle(t.Context(), dispatch(id)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(halfWire + time.Second)
			synctest.Wait()
			want := "Dispatched Sent"
			if back > halfWire {
				want = "Dispatched Undelivered Retried Scheduled"
			}
			if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, want) {
				t.Errorf("events %s", got)
			}
		})
	}
}
