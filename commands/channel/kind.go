package channel

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Kind is one kind of channel, exported as a value by the folder of its adapter. A
// kind is wired by one line in the list of channels (cmd/instance).
type Kind struct {
	Name    string // of the channel, as requests and scenarios name it, e.g. "email"
	Doc     string // one line, for the documents
	Address address.Kind
	Content content.Kind
	// Sender checks a sender that a scenario or a route names; its error names the rule
	// and never the sender. A nil Sender means that the channel has no senders.
	Sender func(sender string) error
	// Check checks a document without a route, as far as that can be; its errors are
	// content.MemberErrors. nil: every document of the content's kind is taken.
	Check func(content.Document) error
	// Settings returns the settings of a route that are the kind's own, with their
	// defaults: a pointer to a struct whose fields have the tags yaml (the key) and doc
	// (one line). The configuration decodes a route's `settings` into it and refuses
	// unknown keys.
	Settings func() Settings
	Codes    Codes
	// Reports is the highest status that providers report; None: any.
	Reports notification.Status
}

// Settings are the settings of one route.
type Settings interface {
	// Validate joins every problem; each begins with the key that it is about.
	Validate() error
	// Open returns the route, down until Run is called.
	Open(o Options) (Route, error)
}

// WritesIDs is implemented by Settings whose provider does not write message ids as
// plain text.
type WritesIDs interface{ Form() receipt.Form }

// NeedsSender is implemented by Settings of a channel whose messages must have a sender: it
// reports that the route has none for a message that names none.
type NeedsSender interface{ NeedsSender() bool }

// Options are what the ledger gives to a route that is opened.
type Options struct {
	Name     string // of the route, in logs, errors and receipts
	Receipts ReceiptSink
	Replies  ReplySink
	Log      *slog.Logger
	Now      func() time.Time
}

// Route is an open route of a channel.
type Route interface {
	Channel
	// Run keeps the route's sessions until ctx ends, then drains. It is called once.
	Run(ctx context.Context) error
	// State is nil while the route can send; else it wraps ErrRouteDown and gives the reason.
	State() error
}

// Callback is a Route whose provider reports by HTTP. The API serves the handler at
// /v1/callbacks/<route>, without the ledger's own authentication: the handler
// authenticates its caller itself, bounds what it reads, and returns 2xx only once what
// it received is durable.
type Callback interface {
	Callback() http.Handler
}

// Class of a provider's code.
type Class string

// The classes of codes.
const (
	Permanent Class = "permanent" // trying again will not succeed
	Transient Class = "transient" // trying again later may succeed
	Busy      Class = "busy"      // the provider is given too much at once: no try of the message
)

// Code is one code of a provider or protocol.
type Code struct {
	Code    string
	Meaning string // a short sentence in plain English
	Class   Class
}

// Codes is a kind's table of codes. It belongs to the kind and its version: a message
// that was refused under one version keeps the class that it was given then.
type Codes struct {
	Version string
	// Lookup returns what a code means. A code that is not known has ok false and the
	// class that the kind gives to unknown codes.
	Lookup func(code string) (c Code, ok bool)
	// List returns the table, for the documents.
	List func() []Code
}

// ReplySink takes what persons answer. A channel acknowledges a reply to its provider
// only after Reply returned nil (it is durable then).
type ReplySink interface {
	Reply(ctx context.Context, r ProviderReply) error
}

// ProviderReply is a person's answer as a provider sent it.
type ProviderReply struct {
	Route      string
	ReplyID    string // the provider's id of the reply; the same id is the same reply
	Reference  string // our client reference, if the provider echoes it
	ProviderID string // the provider's id of the message that is replied to, if it is known
	Text       string // in clear; it is sealed
	OccurredAt time.Time
	ReceivedAt time.Time
}
