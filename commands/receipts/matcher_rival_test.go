package receipts_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/lease"
	"recapito/commands/receipts"
	"recapito/domain/event"
)

// mortal is the store of an instance that can die: it then releases nothing.
type mortal struct {
	commands.Store
	dead bool
}

func (m *mortal) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if m.dead {
		return event.Appended{}, event.ErrUnavailable
	}
	return m.Store.Append(ctx, stream, expected, events)
}

// instance runs a matcher of its own until it is stopped.
type instance struct {
	store *mortal
	stop  func()
}

func (o *orphans) instance(holder string) instance {
	o.T.Helper()
	i := instance{store: &mortal{Store: o.Store}}
	m := receipts.NewMatcher(o.Another().Receiving())
	if holder != "" {
		m.Lease = lease.New(i.store, "matcher", holder, commandstest.Quiet)
	}
	ctx, cancel := context.WithCancel(o.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); err != nil {
			o.T.Errorf("Run: %v", err)
		}
	}()
	i.stop = func() { cancel(); <-done }
	return i
}

// matches counts how often the receipt was matched.
func (o *orphans) matches() (n int) {
	for _, e := range o.Store.All() {
		if e.Type == "ReceiptMatched" {
			n++
		}
	}
	return n
}

// One of two instances matches; when it dies, the other does.
func TestTheRivalOfADeadMatcherMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrphans(t)
		o.now = time.Time{}
		first := o.instance("first")
		time.Sleep(2 * time.Second)
		second := o.instance("second")
		id := o.unknown("a")
		o.receive(nil)
		time.Sleep(time.Hour)
		o.register(id, "77") // or it might be the one that the next receipt is about
		time.Sleep(time.Minute)
		leases := 0
		for _, e := range o.Store.All() {
			if strings.HasPrefix(e.Stream, "lease-") {
				leases++
			}
		}
		if n := o.matches(); n != 1 || leases != 1 {
			t.Fatalf("%d matches, %d events of the lease, want one each", n, leases)
		}
		before := len(o.Store.All())
		time.Sleep(time.Hour)
		if n := len(o.Store.All()) - before; n != 0 {
			t.Fatalf("idle, and %d events were appended", n)
		}
		first.store.dead = true
		first.stop()
		time.Sleep(time.Hour)
		o.unknown("b")
		o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = "CAFE" })
		time.Sleep(15 * time.Second)
		if n := o.matches(); n != 2 {
			t.Errorf("%d matches after the holder's death, want 2", n)
		}
		second.stop()
	})
}

// Two that match at once do it twice, and nothing else goes wrong.
func TestTwoMatchersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrphans(t)
		o.now = time.Time{}
		first, second := o.instance(""), o.instance("")
		for i := range 40 { // time enough for horizons that clash
			id := o.unknown(fmt.Sprint(i))
			o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = fmt.Sprint("BEEF", i) })
			time.Sleep(3 * time.Second)
			matched := 0
			for _, e := range o.Store.All() {
				if e.Type == "ReceiptMatched" && strings.Contains(string(e.Data), id) {
					matched++
				}
			}
			if matched != 1 {
				t.Fatalf("%d: matched %d times", i, matched)
			}
			o.register(id, fmt.Sprint("77", i))
		}
		first.stop()
		second.stop()
	})
}
