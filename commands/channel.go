package commands

import (
	"context"
	"errors"
	"time"
)

// Channel puts attempts on the wire over one route (an SMSC, a mail server…).
// commands/channeltest is the suite every channel must pass.
type Channel interface {
	// Acquire takes capacity for one message of that many parts, waiting at most
	// until ctx ends. ErrRouteFull: no capacity in that time; ErrRouteDown: the route
	// has no session. Release must be called exactly once after a nil error.
	Acquire(ctx context.Context, parts int) (release func(), err error)
	// Send puts the message on the wire, part by part, and waits for the answers, at
	// most until ctx ends. Before each part it calls fence; if that answers false the
	// part and those after it are not sent. It never sends a part twice and never
	// retries. What happened to each part is in the outcome; a part whose answer did
	// not come (ctx ended, session lost) is PartUnknown. If such an answer comes
	// later, late is called with the completed outcome, at most once, from another
	// goroutine; the channel forgets after a bounded time.
	Send(ctx context.Context, m Message, fence func() bool, late func(Outcome)) Outcome
	// Parts says how many parts a text makes on this channel, or a *Rule error with
	// the limit (at most 10).
	Parts(text string) (int, error)
}

// Errors of Channel.Acquire: the attempt is given back as a deadline.
var (
	ErrRouteFull = errors.New("route is full")
	ErrRouteDown = errors.New("route is down")
)

// Message is what goes on the wire: destination and text in clear. Never log it.
type Message struct {
	Notification string
	Attempt      int
	Reference    string // names the attempt; some providers echo it, with the part's number
	Sender       string
	Destination  string // e.g. E.164 with +
	Text         string
	ValidUntil   time.Time // zero: none
}

// Outcome tells what happened to each part, in order; its length is the number of
// parts of the message (a message that could not be split has one).
type Outcome struct {
	Parts []PartOutcome
}

// PartOutcome is the fate of one part.
type PartOutcome struct {
	Result PartResult
	// ProviderID is the provider's message id as it came, for accepted parts.
	ProviderID string
	// Code is the provider's error code ("0x00000058"), or a code of ours, for refused parts.
	Code string
	// Transient: trying again later may succeed.
	Transient bool
	// Busy: refused for no fault of the message, because the provider is given too much
	// at once. It is transient, and no try of the message.
	Busy bool
	// At is when the answer came (accepted, refused) or when waiting ended.
	At time.Time
}

// PartResult is what is known of one part.
type PartResult uint8

// The fates of a part.
const (
	PartNotSent  PartResult = iota // never on the wire (fence shut, an earlier part refused, no session)
	PartAccepted                   // the provider took it
	PartRefused                    // the provider refused it
	PartUnknown                    // on the wire, no answer
)

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
	// Part is which part of that reference's message the receipt is about, from 1; 0
	// if it is not told.
	Part        int
	Destination string // in clear; only a token of it is kept
	Sender      string // the sender the message was sent with, if told
	Status      ReceiptStatus
	Code        string    // the provider's error code, if any
	OccurredAt  time.Time // the provider's done date; zero if not told
	// OccurredWithin is how coarse OccurredAt is: most providers tell the minute, so it
	// happened at some moment of that minute.
	OccurredWithin time.Duration
	ReceivedAt     time.Time
}

// ReceiptStatus is what a receipt says.
type ReceiptStatus uint8

// What a receipt can say. Intermediate ones (ENROUTE, ACCEPTD, UNKNOWN) are recorded and kept.
const (
	ReceiptIntermediate ReceiptStatus = iota
	ReceiptDelivered
	ReceiptUndelivered
	ReceiptRead
)
