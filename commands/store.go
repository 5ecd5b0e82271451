package commands

import (
	"context"

	"recapito/domain/event"
)

// Store is the event store as everything above it sees it. Two implementations:
// adapters/eventlog (embedded, in process) and adapters/eventstore (the official
// client); commands/storetest is the suite both must pass.
//
// Promises: an append that returned nil is durable. Nothing that is not yet durable
// is ever shown: not to a read, a subscription, an idempotent or a wrong-version
// answer. Not promised: an order between appends in flight at the same time.
type Store interface {
	// Append writes all events to one stream, or none. Repeating an append with the
	// same event ids at an exact revision (or NoStream) returns the first
	// one's result. At least 256 appends may be in flight, each with a result of its own.
	// Errors: event.ErrWrongVersion (as *event.WrongVersion), ErrUnknownOutcome,
	// ErrTooLarge, ErrUnavailable, ErrInvalid, ErrStreamDeleted.
	//
	// An append to $$stream is the stream's metadata. Of these, $maxCount, $maxAge (in
	// seconds) and $tb hide events from reads of the stream, which a store may then
	// remove; $tb 2^63-1 deletes all, until the next append goes on where it ended.
	Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error)
	// ReadStream hands over the events asked for, in order, until visit errs (that
	// error is returned) or there are no more. event.ErrStreamNotFound if the stream
	// never had events, or is deleted; event.ErrStreamDeleted if it is tombstoned.
	ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error
	// ReadAll does the same for $all, which shows what is hidden until it is removed.
	ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error
	// Subscribe delivers until ctx ends (nil is returned), a handler errs (its error)
	// or the subscription is lost (an error; subscribe again after the last position
	// handled). Delivery is in the order of $all, each event once a call.
	Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error
}
