package projections

import (
	"context"

	"recapito/domain/event"
)

// Source is the event store as projections read it; commands.Store satisfies it, and
// commands/storetest is the suite of its promises: both signatures are the store's
// own, so there is no second suite here.
type Source interface {
	// ReadAll hands over the events of $all asked for, in order, until visit errs
	// (that error is returned) or there are no more. visit may keep what it is given.
	ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error
	// Subscribe delivers until ctx ends (nil), a handler errs (its error) or the
	// subscription is lost (an error). Order is that of $all, each event once a call.
	Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error
}

// Journal keeps checkpoints: one stream a projection, the newest event is the whole
// state. commands.Store satisfies it too.
type Journal interface {
	Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error)
	ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error
}

// Lease lets one of several instances keep a projection; commands/lease satisfies it. It
// saves double work and no more: whoever writes its checkpoint at an expected revision
// first is the one that goes on, and a batch that is written twice does no harm.
type Lease interface {
	// Hold calls do while this instance holds the lease, and waiting now and then while
	// it does not: whether there is work, and a mark that moves when some is done. It
	// answers when ctx has ended.
	Hold(ctx context.Context, waiting func(context.Context) (mark uint64, waits bool, err error), do func(context.Context))
	// Claim takes the lease from whoever holds it, soon.
	Claim()
}

// LedgerEvent is a ledger event with its ordinal among them, counted from 0: the same
// for every reader, and after a copy of the store.
type LedgerEvent struct {
	event.Recorded
	Seq  uint64
	memo *memo // nil: only one projection has it
}

func ledgerFilter() event.Filter { return event.Filter{StreamPrefixes: event.LedgerPrefixes} }
