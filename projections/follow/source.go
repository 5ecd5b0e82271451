package follow

import (
	"context"

	"recapito/domain/event"
)

// Source is the event store as followers read it; commands.Store satisfies it, and
// commands/storetest is the suite of its promises: the signatures are the store's own,
// so there is no second suite here.
type Source interface {
	// ReadAll hands over the events of $all asked for, in order, until visit errs
	// (that error is returned) or there are no more. visit may keep what it is given.
	ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error
	// Subscribe delivers until ctx ends (nil), a handler errs (its error) or the
	// subscription is lost (an error). Order is that of $all, each event once a call.
	Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error
}

// CheckpointStore keeps checkpoints: one stream a projection, whose newest event is the
// complete state. commands.Store satisfies it too.
type CheckpointStore interface {
	Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error)
	ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error
}

// Lease lets one of several instances follow a projection; commands/lease satisfies it. It
// only saves double work: the instance that first writes its checkpoint at an expected
// revision goes on, and a batch that is written twice does no harm.
type Lease interface {
	// Hold calls do while this instance holds the lease, and waiting now and then while
	// it does not: waits is whether there is work, and progress moves when some is done.
	// Hold returns when ctx has ended.
	Hold(ctx context.Context, waiting func(context.Context) (progress uint64, waits bool, err error), do func(context.Context))
	// Claim takes the lease from its holder, soon.
	Claim()
}
