package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
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
	encoded  []byte     // what the bodies point into
	imported *importRun // nil: an append
	does     action
	limits   layout.Limits // that the last event sets, if stream is a metadata stream
	data     []byte        // of that event
	removal  *removal      // of a scavenge
	along    *request      // to the metadata stream, placed together with this one
	claimed  atomic.Bool   // by the writer, or by an appender that gave up before that
	reply    chan reply    // room for one
}

type reply struct {
	appended event.Appended
	err      error
}

// Append implements commands.Store. If ctx ends before the writer took the append, it
// is withdrawn and Append returns event.ErrUnavailable; if it ends after that,
// event.ErrUnknownOutcome.
func (l *Log) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if err := checkAppendable(stream); err != nil {
		return event.Appended{}, err
	}
	ids, err := checkEvents(events)
	if err != nil {
		return event.Appended{}, err
	}
	if err := checkExpected(expected); err != nil {
		return event.Appended{}, err
	}
	r := newRequest(stream, expected, ids, events)
	return l.submit(ctx, r)
}

func checkExpected(expected event.Expected) error {
	if r, ok := expected.Exactly(); ok && r >= event.RevisionEnd {
		return fmt.Errorf("%w: expected revision %d", event.ErrInvalid, r)
	}
	return nil
}

// submit hands a request to the writer and waits for its reply.
func (l *Log) submit(ctx context.Context, r *request) (event.Appended, error) {
	if err := l.enqueue(ctx, r); err != nil {
		return event.Appended{}, err
	}
	select {
	case a := <-r.reply:
		r.release()
		return a.appended, a.err
	case <-ctx.Done():
	}
	if r.claimed.CompareAndSwap(false, true) {
		return event.Appended{}, fmt.Errorf("%w: append withdrawn before it was written: %w", event.ErrUnavailable, context.Cause(ctx))
	}
	select {
	case a := <-r.reply: // both were ready
		return a.appended, a.err
	default:
		return event.Appended{}, fmt.Errorf("%w: %w", event.ErrUnknownOutcome, context.Cause(ctx))
	}
}

// requests are used again, with their memory: to allocate it anew was a fifth of what an
// append cost.
var requests = sync.Pool{New: func() any { return &request{reply: make(chan reply, 1)} }}

// keptBytes is the largest encoded append whose memory is kept for another.
const keptBytes = 16 << 10

// newRequest encodes an append.
func newRequest(stream string, expected event.Expected, ids []uuid.UUID, events []event.New) *request {
	r := requests.Get().(*request)
	r.stream, r.expected, r.ids = stream, expected, ids
	size := 0
	for _, e := range events {
		size += layout.BodyBound(stream, e)
	}
	r.encoded = slices.Grow(r.encoded[:0], size) // so that bodies stay where they are
	for i, e := range events {
		begin := len(r.encoded)
		r.encoded = layout.AppendBody(r.encoded, stream, ids[i], e)
		flags := byte(0)
		if e.Binary {
			flags = layout.FlagBinary
		}
		r.bodies, r.flags = append(r.bodies, r.encoded[begin:]), append(r.flags, flags)
	}
	r.describe(events[len(events)-1])
	return r
}

// describe takes the limits from the last event, if the stream is a metadata stream.
func (r *request) describe(last event.New) {
	r.data, r.limits = nil, layout.Limits{}
	if layout.IsMetadataStream(r.stream) && !last.Binary {
		r.data = bytes.Clone(last.Data)
		r.limits = layout.LimitsOf(r.data)
	}
}

// release gives a request back that has its reply. One that may still be with the writer
// is left to the garbage collector.
func (r *request) release() {
	if cap(r.encoded) > keptBytes {
		return
	}
	clear(r.bodies)
	*r = request{bodies: r.bodies[:0], flags: r.flags[:0], encoded: r.encoded[:0], reply: r.reply}
	requests.Put(r)
}

func (l *Log) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: append not begun: %w", event.ErrUnavailable, context.Cause(ctx))
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	if err := l.refuses(r); err != nil {
		return err
	}
	select {
	case l.queue <- r:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: append not begun: %w", event.ErrUnavailable, context.Cause(ctx))
	}
}
