package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/domain/catalogue"
	"recapito/domain/event"
)

// Reader reads the event store; commands.Store satisfies it.
type Reader interface {
	// ReadAll hands over the events of $all asked for, in order, until visit errs
	// (that error is returned) or there are no more. visit may keep what it is given.
	ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error
}

// LedgerEvent is a ledger event with its ordinal among them, counted from 0: the same
// for every reader, and after a copy of the store.
type LedgerEvent struct {
	event.Recorded
	Seq uint64
	// Decoded is shared by all projections that are given the event; nil: it is decoded
	// for each.
	Decoded *DecodedCache
}

// LedgerFilter passes ledger events only.
func LedgerFilter() event.Filter { return event.Filter{StreamPrefixes: catalogue.LedgerPrefixes()} }

// MaxBatchEvents is the most ledger events of a batch.
const MaxBatchEvents = 20_000

// readTimeout bounds one read of the event store.
const readTimeout = time.Minute

// ErrOtherEvents: the store's ledger events are not those that a checkpoint or a table
// names.
var ErrOtherEvents = errors.New("the store's events are not those that the checkpoint names")

// ReadBatch reads n ledger events from the one at a position, which has the ordinal first.
// ErrOtherEvents if there are not so many, or none at that position.
func ReadBatch(ctx context.Context, from Reader, first uint64, position event.Position, n uint64) ([]LedgerEvent, error) {
	if n == 0 || n > MaxBatchEvents {
		return nil, ErrOtherEvents
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	events := make([]LedgerEvent, 0, n)
	read := event.AllRead{From: position, Limit: int(n), Filter: LedgerFilter()}
	err := from.ReadAll(ctx, read, func(r event.Recorded) error {
		events = append(events, LedgerEvent{Recorded: r, Seq: first + uint64(len(events))})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if uint64(len(events)) != n || events[0].Position != position {
		return nil, ErrOtherEvents
	}
	return events, nil
}

// NewestLedgerEvent reads the newest ledger event; some is false if there is none.
func NewestLedgerEvent(ctx context.Context, from Reader) (newest event.Recorded, some bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	read := event.AllRead{From: event.PositionEnd, Direction: event.Backwards, Limit: 1, Filter: LedgerFilter()}
	err = from.ReadAll(ctx, read, func(r event.Recorded) error {
		newest, some = r, true
		return nil
	})
	if err != nil {
		return newest, false, fmt.Errorf("reading the newest ledger event: %w", err)
	}
	return newest, some, nil
}

func corrupt(r event.Recorded, why string) error { return event.NotRead(r, why) }
