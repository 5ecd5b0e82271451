// Package event is the mechanism every aggregate and every store shares: what an
// event is before and after it is stored, where it stands (revision, position),
// how a reader asks for events, and the errors a store may answer with.
//
// It holds no business meaning: event types live with their aggregates. Stores
// move bytes; only the codec (codec.go) knows Go types.
package event

import "time"

// New is an event about to be appended: bytes only, so that a store needs no codec.
type New struct {
	// ID is a UUID in its canonical text form. A store compares ids to recognise a
	// repeated append, so an id must come from an execution id that is random for
	// each execution and kept through the retries of its own append (see IDs).
	ID string
	// Type is the stored name, e.g. "NotificationRequested".
	Type string
	// Data and Metadata are JSON documents. Both may be empty.
	Data, Metadata []byte
	// Binary: Data is not JSON. The ledger's own events are never binary;
	// other clients of the same store may write such.
	Binary bool
}

// Recorded is an event as a store gives it back. Everything in it is durable.
type Recorded struct {
	Stream   string
	Revision Revision // ordinal in its stream, from 0
	Position Position // place in $all
	ID       string
	Type     string
	Data     []byte
	Metadata []byte
	Binary   bool      // Data is not JSON
	Created  time.Time // the store's own time; does not survive a copy of the store
}

// Revision is the ordinal of an event in its stream, from 0.
type Revision uint64

// Position is a place in $all: strictly increasing, gaps allowed, commit = prepare,
// below 2^63.
type Position uint64

// Appended is the result of a successful append.
type Appended struct {
	Revision Revision // of the last event appended
	Position Position // of the last event appended
}

// Expected is the revision a writer expects its stream to be at.
type Expected struct {
	kind     expectedKind
	revision Revision
}

type expectedKind uint8

const (
	expectAny expectedKind = iota
	expectNoStream
	expectStreamExists
	expectExact
)

// Any appends whatever the stream's revision. Idempotence is best effort only.
func Any() Expected { return Expected{kind: expectAny} }

// NoStream appends only if the stream has no events.
func NoStream() Expected { return Expected{kind: expectNoStream} }

// StreamExists appends only if the stream has at least one event.
func StreamExists() Expected { return Expected{kind: expectStreamExists} }

// Exact appends only if the stream's last event has this revision.
func Exact(r Revision) Expected { return Expected{kind: expectExact, revision: r} }

// IsAny, IsNoStream, IsStreamExists and Exactly take an expectation apart.
func (e Expected) IsAny() bool          { return e.kind == expectAny }
func (e Expected) IsNoStream() bool     { return e.kind == expectNoStream }
func (e Expected) IsStreamExists() bool { return e.kind == expectStreamExists }

// Exactly returns the exact revision expected, if it is one.
func (e Expected) Exactly() (Revision, bool) { return e.revision, e.kind == expectExact }

// Direction of a read.
type Direction uint8

// The two directions of a read.
const (
	Forwards Direction = iota
	Backwards
)

// StreamRead asks for events of one stream. From is included. Backwards from
// RevisionEnd starts at the newest event. Limit 0 means no limit.
type StreamRead struct {
	Stream    string
	From      Revision
	Direction Direction
	Limit     int
}

// RevisionEnd and PositionEnd name the place after the newest event.
const (
	RevisionEnd Revision = 1<<63 - 1
	PositionEnd Position = 1<<63 - 1
)

// The metadata of a stream are the last event of MetadataPrefix + its name. Of their
// members, $maxCount, $maxAge (seconds) and $tb say what a store hides of the stream and
// may remove; $tb RevisionEnd: everything, until something is appended again.
const (
	MetadataPrefix = "$$"
	MetadataType   = "$metadata"
)

// AllRead asks for events of $all. As EventStoreDB does it: forwards includes the
// event at From, backwards excludes it. Limit 0 means no limit.
type AllRead struct {
	From      Position
	Direction Direction
	Limit     int
	Filter    Filter
}

// Filter narrows a read of $all: an event passes if its stream begins with one of
// StreamPrefixes (none = all streams) and its type is one of Types (none = all
// types). Both conditions must hold.
type Filter struct {
	StreamPrefixes []string
	Types          []string
}

// Subscription asks for a live catch-up subscription to $all: every event after
// After (nil = from the beginning), then those that follow as they become durable.
type Subscription struct {
	After  *Position
	Filter Filter
}

// Handler receives a subscription's deliveries, one call at a time, in the order of
// $all. An error from any of them ends the subscription with that error. Nil
// members other than Event are allowed.
type Handler struct {
	Event func(Recorded) error
	// CaughtUp is called when the subscription has delivered everything that was
	// durable and goes live; it may be called again after the reader fell behind.
	CaughtUp func(Position) error
	// Checkpoint reports, now and then, how far a filtered subscription has looked
	// although nothing passed its filter.
	Checkpoint func(Position) error
}
