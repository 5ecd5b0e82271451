// Package channeltest is the suite that every channel.Channel must pass, against a
// far side (an SMSC, a mail server, a push service) that the test has in its hands.
//
// A channel runs it from its own tests with an Open that builds the channel, gives it
// the sink it is handed, and works the far side through a Peer. What a channel
// does not have (sessions to cut, more than one unit) it leaves zero, and the tests
// of it are skipped.
package channeltest

import (
	"context"
	"testing"
	"time"

	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
)

// patience is how long the suite waits for what must happen.
const patience = 10 * time.Second

// Open builds a channel, up and ready to send, and its far side; both end with the
// test. The channel gives its receipts to the sink.
type Open func(t *testing.T, sink channel.ReceiptSink) Peer

// Peer is a channel and the far side it speaks to.
type Peer struct {
	Channel channel.Channel
	// Message is the n-th message, of that many units. Different n have different
	// references and destinations.
	Message func(n, units int) channel.Message
	// MaxUnits is the most units a message makes; 1 if the channel has none.
	MaxUnits int
	// TooLong is a document that is over the channel's limit; zero if any fits. TooLongCode
	// is the code of the rule that it breaks; text_too_long if it is empty.
	TooLong     content.Document
	TooLongCode string
	// Capacity is how many units Acquire gives at once.
	Capacity int
	// Behave sets how the far side treats what comes from now on.
	Behave func(Behaviour)
	// Arrived is what reached the far side so far, in order, refused or not.
	Arrived func() []Arrival
	// Cut ends the sessions under the channel without a word, and the channel makes
	// new ones by itself; nil if it has none.
	Cut func()
	// Down makes the far side unreachable until the test ends; nil if it cannot be.
	Down func()
	// Late: a response that comes after Send returned can still be reported.
	Late bool
	// Receipts: the far side sends receipts, and sends one again that was
	// not acknowledged.
	Receipts bool
}

// Behaviour is how the far side treats messages. The zero value takes them at once,
// and reports them delivered at once.
type Behaviour struct {
	Refuse       bool          // for good
	RefuseForNow bool          // as transient
	Busy         bool          // refuses as too much at once
	Silent       bool          // takes the message and never returns
	Latency      time.Duration // of the answer
	Undelivered  bool          // the status of the receipt
	Duplicate    bool          // the receipt comes twice
}

// Arrival is one unit as the far side saw it.
type Arrival struct {
	Reference string
	Unit      int // from 1
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"Units", testParts},
		{"Accepted", testAccepted},
		{"PartsInOrder", testPartsInOrder},
		{"FenceShut", testFenceShut},
		{"FenceShutsBetweenParts", testFenceShutsBetweenParts},
		{"ContextEnded", testContextEnded},
		{"Refused", testRefused},
		{"RefusedStopsParts", testRefusedStopsParts},
		{"Busy", testBusy},
		{"UnitsAskedFor", testUnitsAskedFor},
		{"Silent", testSilent},
		{"Late", testLate},
		{"LatePartsOnce", testLatePartsOnce},
		{"SessionCut", testSessionCut},
		{"Capacity", testCapacity},
		{"CapacityInTurn", testCapacityInTurn},
		{"Down", testDown},
		{"Together", testTogether},
		{"Receipt", testReceipt},
		{"ReceiptKeptUntilTaken", testReceiptKeptUntilTaken},
		{"ReceiptTwice", testReceiptTwice},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func openPeer(t *testing.T, open Open) (Peer, *Sink) {
	t.Helper()
	sink := &Sink{}
	return open(t, sink), sink
}

func always() bool { return true }

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// results are the fates of the units, for comparison.
func results(o channel.Outcome) []notification.Fate {
	var out []notification.Fate
	for _, p := range o.Units {
		out = append(out, p.Fate)
	}
	return out
}

// same is a list of n equal results.
func same(r notification.Fate, n int) []notification.Fate {
	out := make([]notification.Fate, n)
	for i := range out {
		out[i] = r
	}
	return out
}
