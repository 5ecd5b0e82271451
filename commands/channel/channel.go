// Package channel is the port through which attempts reach a provider: the Channel
// that sends, the receipts and replies that come back, and the Kind by which a channel
// is declared. An adapter implements one kind in a folder of its own; channeltest is the
// suite that every channel must pass.
package channel

import (
	"context"
	"errors"
	"time"

	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Channel puts attempts on the wire over one route (an SMSC, a mail server…).
// commands/channel/channeltest is the suite every channel must pass.
type Channel interface {
	// Acquire takes capacity for one message of that many units, waiting at most
	// until ctx ends. ErrRouteFull: no capacity in that time; ErrRouteDown: the route
	// has no session. Release must be called exactly once after a nil error.
	Acquire(ctx context.Context, units int) (release func(), err error)
	// Send puts the units of the message on the wire that m.Units names, one by one, and
	// waits for the responses, at most until ctx ends. Before each unit it calls fence; if
	// that returns false the unit and those after it are not sent. After a unit that was
	// refused, or whose answer it cannot wait for, those not on the wire yet are not sent.
	// It never sends a unit twice and never retries: the worker does, by another call for
	// units that were refused as busy or not sent.
	//
	// What happened to each unit asked for is in the outcome. A unit is UnitNotSent only
	// if the provider cannot have taken it: nothing of it was handed to a connection (or,
	// where a message is handed over in steps, the provider cannot take it for complete).
	// A unit whose answer did not come (ctx ended, session lost) is UnitLost. If such an
	// answer comes later, late is called with the completed outcome of this call, at most
	// once, from another goroutine; the channel forgets after a bounded time.
	Send(ctx context.Context, m Message, fence func() bool, late func(Outcome)) Outcome
	// Units returns how many units a document makes on this channel (the segments of a
	// short message, 1 elsewhere), or an *event.Rule with the limit (at most 10).
	Units(d content.Document) (int, error)
}

// Errors of Channel.Acquire: the attempt is given back as a deadline.
var (
	ErrRouteFull = errors.New("route is full")
	ErrRouteDown = errors.New("route is down")
)

// Message is what goes on the wire: destination and content in clear. Never log it.
type Message struct {
	Notification string
	Attempt      int
	Reference    string // names the attempt; some providers echo it, with the unit's number
	Sender       string
	Destination  string // e.g. E.164 with +
	Content      content.Document
	ValidUntil   time.Time // zero: none
	Units        []int     // the units to be sent, from 1, in order; none: all of them
}

// Outcome is what happened to each unit that was asked for, in order (a message that
// could not be split has one).
type Outcome struct {
	Units []notification.UnitOutcome
}

// ReceiptSink takes what a provider reports. A channel acknowledges a receipt to its
// provider only after Receive returned nil (it is durable then); on an error it
// refuses it, so that the provider tries again.
type ReceiptSink interface {
	Receive(ctx context.Context, r ProviderReceipt) error
}

// ProviderReceipt is a delivery receipt as a provider sent it, in our terms.
type ProviderReceipt struct {
	Route string
	// ProviderID is the provider's message id as it came (NULs trimmed).
	ProviderID string
	// Reference is our client reference if the provider echoes it, else empty.
	Reference string
	// Unit is which unit of that reference's message the receipt is about, from 1; 0
	// if it is not given.
	Unit int
	// Destination and Sender are its addresses as they came, in clear: a provider may swap
	// them or not, mask them, or leave them out. A number has a + only if it is known to be
	// international. Only tokens of them are kept.
	Destination string
	Sender      string
	Status      receipt.Status // empty: intermediate
	Code        string         // the provider's error code, if any
	OccurredAt  time.Time      // the provider's done date; zero if not given
	// OccurredWithin is how coarse OccurredAt is: most providers give the minute, so it
	// happened at some moment of that minute.
	OccurredWithin time.Duration
	ReceivedAt     time.Time
}
