package receipts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/receipts"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// orphans is a bench with a matcher that is shown what becomes durable.
type orphans struct {
	*commandstest.Bench
	receiver *receipts.Receiver
	matcher  *receipts.Matcher
	shown    int
	now      time.Time // zero: the clock's
}

func (o *orphans) at() time.Time {
	if o.now.IsZero() {
		return time.Now()
	}
	return o.now
}

func newOrphans(t *testing.T) *orphans {
	t.Helper()
	o := &orphans{Bench: commandstest.New(t), now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	o.Ledger.Now = o.at
	o.receiver = receipts.NewReceiver(o.N.Receiving())
	o.matcher = receipts.NewMatcher(o.N.Receiving())
	return o
}

// unknown claims the first attempt of a new notification and loses its answer.
func (o *orphans) unknown(key string) string {
	id := o.dispatched(key)
	o.outcome(id, notification.UnitOutcome{Fate: notification.UnitLost, At: o.at()})
	return id
}

func (o *orphans) dispatched(key string) string {
	o.T.Helper()
	id := o.Submitted(key)
	token, err := o.Persons.DestinationToken(o.T.Context(), "main", commands.TokenForm(commandstest.Number), o.at())
	if err != nil {
		o.T.Fatal(err)
	}
	o.Tell(id, notification.Claim{Attempt: 1, Claim: "c", Token: token.Token, TokenKey: token.Key, At: o.at()})
	return id
}

func (o *orphans) outcome(id string, parts ...notification.UnitOutcome) {
	o.T.Helper()
	o.Tell(id, notification.RecordOutcome{Attempt: 1, Claim: "c", Units: parts, At: o.at()})
}

// register does what the process manager does of an accepted unit.
func (o *orphans) register(id, providerID string) {
	o.T.Helper()
	o.registerTo(id, providerID, commandstest.Number)
}

func (o *orphans) registerTo(id, providerID, destination string) {
	o.T.Helper()
	token, err := o.Persons.DestinationToken(o.T.Context(), "main", commands.TokenForm(destination), o.at())
	if err != nil {
		o.T.Fatal(err)
	}
	c := receipt.RegisterSubmission{At: o.at(), Route: "main", Submission: receipt.Submission{
		Tenant: commandstest.Tenant, Notification: id, Attempt: 1, Unit: 1, Token: token.Token, TokenKey: token.Key, AcceptedAt: o.at(),
		OpenFrom: o.at().Add(-15 * time.Second), OpenUntil: o.at().Add(receipt.Window),
	}}
	if _, err := o.N.TellReceipt(o.T.Context(), commandstest.Origin, receipt.Stream("main", receipt.Hex.ReceiptID(providerID)), c); err != nil {
		o.T.Fatal(err)
	}
}

func (o *orphans) receive(change func(*channel.ProviderReceipt)) {
	o.T.Helper()
	r := channel.ProviderReceipt{
		Route: "main", ProviderID: "BEEF", Destination: commandstest.Number[1:], Sender: "Studio", Status: receipt.Delivered,
		OccurredAt: o.at(), ReceivedAt: o.at(),
	}
	if change != nil {
		change(&r)
	}
	if err := o.receiver.Receive(o.T.Context(), r); err != nil {
		o.T.Fatalf("Receive: %v", err)
	}
}

// observe shows what is new, decides what is to be looked at, and returns whose receipts
// are matched by fit so far.
func (o *orphans) observe() []string {
	o.T.Helper()
	filter := o.matcher.Filter()
	for done := false; !done; {
		for ; o.shown < len(o.Store.All()); o.shown++ {
			e := o.Store.All()[o.shown]
			if !filter.Passes(e.Stream, e.Type) {
				continue
			}
			looks, err := o.matcher.Observe(o.T.Context(), e)
			if err != nil {
				o.T.Fatalf("Observe: %v", err)
			}
			o.decide(looks)
		}
		looks := o.matcher.CaughtUp()
		o.decide(looks)
		done = len(looks) == 0
	}
	return o.matched(receipt.ByFit)
}

func (o *orphans) decide(looks []receipts.Look) {
	o.T.Helper()
	for _, l := range looks {
		if err := o.matcher.Match(o.T.Context(), l); err != nil {
			o.T.Fatalf("Match: %v", err)
		}
	}
}

// matched returns the notifications of all receipts matched on a ground.
func (o *orphans) matched(by receipt.Basis) []string {
	o.T.Helper()
	var found []string
	for _, e := range o.Store.All() {
		var m receipt.ReceiptMatched
		if e.Type != "ReceiptMatched" {
			continue
		}
		if err := json.Unmarshal(e.Data, &m); err != nil {
			o.T.Fatal(err)
		}
		if m.Basis == by {
			found = append(found, m.Notification)
		}
	}
	return found
}

func refusedPart(o *orphans) notification.UnitOutcome {
	return notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x0000000b", At: o.at()}
}

func TestMatcher(t *testing.T) {
	tests := []struct {
		name string
		do   func(o *orphans) (fits string) // the notification that must be confirmed, or ""
	}{
		{"the only one, and unknown", func(o *orphans) string {
			id := o.unknown("a")
			o.receive(nil)
			return id
		}},
		{"the receipt came first", func(o *orphans) string {
			id := o.dispatched("a")
			o.receive(nil)
			o.observe()
			o.outcome(id, notification.UnitOutcome{Fate: notification.UnitLost, At: o.now})
			return id
		}},
		{"without a sender", func(o *orphans) string {
			id := o.unknown("a")
			o.receive(func(r *channel.ProviderReceipt) { r.Sender = "" })
			return id
		}},
		{"two unknown", func(o *orphans) string {
			o.unknown("a")
			o.unknown("b")
			o.receive(nil)
			return ""
		}},
		{"one unknown, one dispatched", func(o *orphans) string {
			o.unknown("a")
			o.dispatched("b")
			o.receive(nil)
			return ""
		}},
		{"one unknown, one sent and not yet registered", func(o *orphans) string {
			o.unknown("a")
			id := o.dispatched("b")
			o.outcome(id, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "1", At: o.now})
			o.receive(nil)
			return ""
		}},
		{"and once that is registered", func(o *orphans) string {
			id := o.unknown("a")
			other := o.dispatched("b")
			o.outcome(other, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "1", At: o.now})
			o.receive(nil)
			o.observe()
			o.register(other, "1")
			return id
		}},
		{"one unknown, one refused", func(o *orphans) string {
			id := o.unknown("a")
			o.outcome(o.dispatched("b"), refusedPart(o))
			o.receive(nil)
			return id
		}},
		{"one unknown, one dispatched after the receipt came", func(o *orphans) string {
			id := o.unknown("a")
			o.now = o.now.Add(time.Minute)
			at := o.now
			o.now = o.now.Add(time.Minute)
			o.dispatched("b")
			o.receive(func(r *channel.ProviderReceipt) { r.ReceivedAt = at })
			return id
		}},
		{"dispatched after the receipt came", func(o *orphans) string {
			at := o.now
			o.now = o.now.Add(time.Minute)
			o.unknown("a")
			o.receive(func(r *channel.ProviderReceipt) { r.ReceivedAt = at })
			return ""
		}},
		{"the answer came late", func(o *orphans) string {
			id := o.unknown("a")
			o.outcome(id, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "1", At: o.now})
			o.receive(nil)
			return ""
		}},
		{"another destination", func(o *orphans) string {
			o.unknown("a")
			o.receive(func(r *channel.ProviderReceipt) { r.Destination = commandstest.Number2 })
			return ""
		}},
		{"another sender", func(o *orphans) string {
			o.unknown("a")
			o.receive(func(r *channel.ProviderReceipt) { r.Sender = "Others" })
			return ""
		}},
		{"no destination", func(o *orphans) string {
			o.unknown("a")
			o.receive(func(r *channel.ProviderReceipt) { r.Destination = "" })
			return ""
		}},
		{"past the orphan window", func(o *orphans) string {
			o.unknown("a")
			o.now = o.now.Add(receipt.Window + time.Hour)
			o.receive(nil)
			return ""
		}},
		{"it matches by its id", func(o *orphans) string {
			o.unknown("a")
			other := o.dispatched("b")
			o.outcome(other, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "beef", At: o.now})
			o.register(other, "beef")
			o.receive(nil)
			return ""
		}},
		{"it names its attempt", func(o *orphans) string {
			id := o.unknown("a")
			o.receive(func(r *channel.ProviderReceipt) { r.Reference, r.Unit = receipt.Reference(id, 1), 1 })
			return ""
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOrphans(t)
			want := test.do(o)
			found := o.observe()
			if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || found[0] != want) {
				t.Fatalf("%d fits, the right one: %v", len(found), len(found) == 1 && found[0] == want)
			}
			if again := o.observe(); len(again) != len(found) {
				t.Error("it fits again once it is confirmed")
			}

			// A matcher that begins at the horizon knows as much as one that saw all.
			last := o.Store.All()[len(o.Store.All())-1].Position
			from := o.matcher.Horizon(last)
			attempts, kept := o.matcher.Open()
			o.matcher = receipts.NewMatcher(o.N.Receiving())
			o.shown = int(from) + 1
			o.observe()
			o.matcher.Horizon(last)
			if a, r := o.matcher.Open(); a != attempts || r != kept {
				t.Errorf("from the horizon %d attempts and %d receipts are open, %d and %d were", a, r, attempts, kept)
			}
		})
	}
}

// TestMatcherForgets: what is settled, or past its window, takes no memory.
func TestMatcherForgets(t *testing.T) {
	o := newOrphans(t)
	for i := range 20 {
		id := o.dispatched(fmt.Sprint(i))
		p := notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: fmt.Sprint(i), At: o.now}
		if i%2 == 0 {
			p = refusedPart(o)
		}
		o.outcome(id, p)
		if i%2 == 1 {
			o.register(id, fmt.Sprint(i))
		}
	}
	o.observe()
	if a, r := o.matcher.Open(); a+r != 0 {
		t.Errorf("all is settled, and %d attempts, %d receipts are held", a, r)
	}
	o.unknown("x")
	o.receive(func(r *channel.ProviderReceipt) { r.Destination = commandstest.Number2 })
	o.observe()
	o.now = o.now.Add(receipt.Window + time.Minute)
	if at := o.matcher.Horizon(9999); at != 9999 {
		t.Errorf("the horizon is %d, and all is past its window", at)
	}
	if a, r := o.matcher.Open(); a+r != 0 {
		t.Errorf("%d attempts, %d receipts are held past their window", a, r)
	}
}

// TestMatcherRuns follows $all, restarts, and an idle one appends nothing.
func TestMatcherRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrphans(t)
		o.now = time.Time{}
		lose := false
		var mu sync.Mutex
		o.Store.ReadFault = func(stream string) error {
			mu.Lock()
			defer mu.Unlock()
			if lose && strings.HasPrefix(stream, receipt.StreamPrefix) {
				lose = false
				return errors.New("subscription lost")
			}
			return nil
		}
		run := func() (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := o.matcher.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
			}()
			return func() {
				cancel()
				<-done
			}
		}
		stop := run()
		first := o.unknown("a")
		mu.Lock()
		lose = true
		mu.Unlock()
		for i := range 30 { // time enough for horizons
			time.Sleep(2 * time.Second)
			o.outcome(o.dispatched(fmt.Sprint(i)), refusedPart(o))
		}
		o.receive(nil)
		time.Sleep(time.Minute)
		stop()
		second := o.dispatched("b")
		o.register(first, "77")
		o.outcome(second, notification.UnitOutcome{Fate: notification.UnitLost, At: o.at()})
		o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = "CAFE" })
		stop = run()
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(o.Store.All())
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := len(o.Store.All()); after != before {
			t.Errorf("an idle matcher appended %d events", after-before)
		}
		stop()
		for id, stream := range map[string]string{first: "receipt-main-48879", second: "receipt-main-51966"} {
			found := false
			for _, e := range o.Store.Stream(stream) {
				found = found || e.Type == "ReceiptMatched" && strings.Contains(string(e.Data), id)
			}
			if !found {
				t.Errorf("the receipt on %s was not matched: %s", stream, o.Types(stream))
			}
		}
	})
}

func TestReceiver(t *testing.T) {
	o := newOrphans(t)
	if err := o.receiver.Receive(t.Context(), channel.ProviderReceipt{Route: "nowhere"}); !errors.Is(err, receipts.ErrUnknownRoute) {
		t.Errorf("unknown route: %v", err)
	}
	o.Persons.Tokens = commandstest.ErrAway
	err := o.receiver.Receive(t.Context(), channel.ProviderReceipt{Route: "main", ProviderID: "1", Destination: commandstest.Number, ReceivedAt: o.now})
	if !errors.Is(err, commandstest.ErrAway) {
		t.Errorf("a key store that does not answer: %v", err)
	}
	o.Persons.Tokens = nil
	o.Store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrUnavailable, false }
	err = o.receiver.Receive(t.Context(), channel.ProviderReceipt{Route: "main", ProviderID: "1", Destination: commandstest.Number, ReceivedAt: o.now})
	if !errors.Is(err, event.ErrUnavailable) || len(o.Store.All()) > 0 {
		t.Errorf("a store that does not answer: %v", err)
	}
	o.Store.AppendFault = nil
	for _, text := range []string{"00BEEF", "beef", "BEEF\x00"} { // one report in several spellings of its id
		o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = text })
		o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = text; r.ReceivedAt = o.now.Add(time.Minute) }) // once more
	}
	if got := o.Types("receipt-main-48879"); got != "ReceiptRecorded ReceiptRecorded ReceiptRecorded" {
		t.Errorf("events %s", got)
	}
	o.receive(func(r *channel.ProviderReceipt) { // of a provider that does not swap the addresses
		r.ProviderID, r.Destination, r.Sender, r.Code = "CAFE", "Studio", commandstest.Number[1:], commandstest.Number
	})
	for _, e := range o.Store.All() {
		if strings.Contains(string(e.Data)+string(e.Metadata), "333123") {
			t.Errorf("%s holds the destination", e.Type)
		}
	}
}

// TestMatcherTooMany: an attempt that could not be taken in might be the one that a
// receipt is about, so nothing is fitted until its window is over.
func TestMatcherTooMany(t *testing.T) {
	o := newOrphans(t)
	o.matcher.SetLimit(1)
	o.unknown("a")
	o.observe()
	o.dispatched("b")
	o.receive(nil)
	if fits := o.observe(); len(fits) > 0 {
		t.Errorf("%v is confirmed, and the receipt may be of another", fits)
	}
	o.now = o.now.Add(2 * receipt.Window)
	id := o.unknown("c")
	o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = "F00D" })
	if fits := o.observe(); len(fits) != 1 || fits[0] != id {
		t.Errorf("%v is confirmed once the window is over, want %s", fits, id)
	}
}
