package event

import (
	"errors"
	"fmt"
)

// Errors that a store returns. Test with errors.Is; a clash carries details (errors.As).
var (
	// ErrWrongVersion: the stream is not at the expected revision.
	ErrWrongVersion = errors.New("wrong expected version")
	// ErrStreamNotFound: a read of a stream without events, or of one that was deleted.
	ErrStreamNotFound = errors.New("stream not found")
	// ErrStreamDeleted: the stream was tombstoned; it takes and shows nothing for ever.
	// Also an append that expects a stream to exist that was deleted.
	ErrStreamDeleted = errors.New("stream deleted")
	// ErrUnknownOutcome: the append may or may not have happened (a time-out, a lost
	// connection). Repeat it with the same ids and the same expected revision.
	ErrUnknownOutcome = errors.New("outcome of the append is unknown")
	// ErrTooLarge: an event or an append is over the store's limit. Nothing was written.
	ErrTooLarge = errors.New("append too large")
	// ErrUnavailable: the store does not answer, is closed or is read-only. Nothing was written.
	ErrUnavailable = errors.New("event store unavailable")
	// ErrInvalid: the request itself is malformed (empty stream name, bad id, no events).
	ErrInvalid = errors.New("invalid request to the event store")
)

// Refusal is an ErrUnavailable of a store that responds, but takes no appends.
type Refusal struct {
	Reason string // in words for an operator: no addresses, no contents
	Cause  error  // nil if there is nothing more to say
}

func (e *Refusal) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%v: %s", ErrUnavailable, e.Reason)
	}
	return fmt.Sprintf("%v: %s: %v", ErrUnavailable, e.Reason, e.Cause)
}

// Is makes errors.Is(err, ErrUnavailable) hold.
func (e *Refusal) Is(target error) bool { return target == ErrUnavailable }

func (e *Refusal) Unwrap() error { return e.Cause }

// WrongVersion is the error of an append whose expectation did not hold.
// It is durable knowledge: Actual was synced before it was returned.
type WrongVersion struct {
	Stream   string
	Expected Expected
	Actual   Revision
	NoStream bool // the stream has no events; Actual is meaningless
}

func (e *WrongVersion) Error() string {
	actual := "no stream"
	if !e.NoStream {
		actual = fmt.Sprintf("revision %d", e.Actual)
	}
	return fmt.Sprintf("%v: %s is at %s, not %s", ErrWrongVersion, e.Stream, actual, e.Expected)
}

// Is makes errors.Is(err, ErrWrongVersion) hold.
func (e *WrongVersion) Is(target error) bool { return target == ErrWrongVersion }

// StreamDeleted names it; errors.Is(err, ErrStreamDeleted) holds.
type StreamDeleted struct{ Stream string }

func (e *StreamDeleted) Error() string { return fmt.Sprintf("%v: %s", ErrStreamDeleted, e.Stream) }

// Is makes errors.Is(err, ErrStreamDeleted) hold.
func (e *StreamDeleted) Is(target error) bool { return target == ErrStreamDeleted }

func (e Expected) String() string {
	switch {
	case e.IsAny():
		return "any"
	case e.IsNoStream():
		return "no stream"
	case e.IsStreamExists():
		return "stream exists"
	}
	return fmt.Sprintf("revision %d", e.revision)
}
