package marks

import (
	"context"
	"time"

	"recapito/domain/event"
	"recapito/projections"
)

// Source is the event store as it is counted; commands.Store satisfies it.
type Source interface {
	projections.Reader
	// Subscribe delivers until ctx ends (nil), a handler errs (its error) or the
	// subscription is lost (an error). Order is that of $all, each event once a call.
	Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error
}

// Store keeps the marks, and the checkpoints of projections; commands.Store satisfies it.
type Store interface {
	Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error)
	ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error
}

// Lease lets one of several instances write the marks; commands/lease satisfies it.
type Lease interface {
	// Hold calls do while this instance holds the lease, and waiting now and then while
	// it does not: waits is whether there is work, and progress moves when some is done.
	// Hold returns when ctx has ended.
	Hold(ctx context.Context, waiting func(context.Context) (progress uint64, waits bool, err error), do func(context.Context))
}

// Deadlines of one request to the event store.
const (
	readTimeout  = time.Minute
	storeTimeout = 15 * time.Second
)

// Bounds of the wait before marking is tried again.
const (
	minBackOff = 100 * time.Millisecond
	maxBackOff = 5 * time.Second
)

// notify wakes one waiter.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
