package eventlog

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"

	"recapito/domain/event"
)

// request is an append on its way to the writer, already encoded, so that the caller's
// slices are not used once Append has returned.
type request struct {
	stream   string
	expected event.Expected
	ids      []uuid.UUID
	bodies   [][]byte
	flags    []byte
	imported *importRun  // nil: an append
	claimed  atomic.Bool // by the writer, or by an appender that gave up before that
	answer   chan answer // room for one
}

type answer struct {
	appended event.Appended
	err      error
}

// Append implements commands.Store. If ctx ends before the writer took the append, it
// is withdrawn and event.ErrUnavailable answered; if it ends after that,
// event.ErrUnknownOutcome.
func (l *Log) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if err := checkAppendable(stream); err != nil {
		return event.Appended{}, err
	}
	ids, err := checkEvents(events)
	if err != nil {
		return event.Appended{}, err
	}
	if r, ok := expected.Exactly(); ok && r >= event.RevisionEnd {
		return event.Appended{}, fmt.Errorf("%w: expected revision %d", event.ErrInvalid, r)
	}
	r := &request{stream: stream, expected: expected, ids: ids, bodies: make([][]byte, len(events)), flags: make([]byte, len(events)), answer: make(chan answer, 1)}
	for i, e := range events {
		r.bodies[i] = encodeBody(stream, ids[i], e)
		if e.Binary {
			r.flags[i] = flagBinary
		}
	}
	if err := l.enqueue(ctx, r); err != nil {
		return event.Appended{}, err
	}
	select {
	case a := <-r.answer:
		return a.appended, a.err
	case <-ctx.Done():
	}
	if r.claimed.CompareAndSwap(false, true) {
		return event.Appended{}, fmt.Errorf("%w: append withdrawn before it was written: %w", event.ErrUnavailable, context.Cause(ctx))
	}
	select {
	case a := <-r.answer: // both were ready
		return a.appended, a.err
	default:
		return event.Appended{}, fmt.Errorf("%w: %w", event.ErrUnknownOutcome, context.Cause(ctx))
	}
}

func (l *Log) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: append not begun: %w", event.ErrUnavailable, context.Cause(ctx))
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	if err := l.refusal(); err != nil {
		return err
	}
	select {
	case l.queue <- r:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: append not begun: %w", event.ErrUnavailable, context.Cause(ctx))
	}
}
