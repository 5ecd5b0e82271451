package eventlog

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// writer is the one goroutine that decides appends and applies them. At most one batch
// is applied and not yet synced; the next gathers meanwhile. So after a failed sync
// nothing further reaches Pebble, which could not bear it.
type writer struct {
	log     *Log
	now     func() time.Time
	next    event.Position                    // to give out
	heads   *generations[string, layout.Head] // of applied batches
	recent  *generations[recentID, place]     // for appends without an exact revision
	synced  chan struct{}                     // closed once the batch in flight is; nil if none is
	flight  atomic.Pointer[batch]             // the one in flight, or the last one that was
	syncs   chan *batch                       // to the acknowledging goroutine
	names   []string                          // scratch
	streams map[string]*pendingStream         // of the last batch, empty, to be used again
	spare   []*pendingStream                  // to be used again
	key     [1 + MaxStreamBytes + 1 + 8]byte  // scratch
}

// recentID is an event lately appended. Ids need not differ from stream to stream.
type recentID struct {
	id     uuid.UUID
	stream string
}

// batch is what is applied and synced together.
type batch struct {
	pebble  *pebble.Batch
	created time.Time
	streams map[string]*pendingStream
	size    int
	last    event.Position // the last position given out, in this batch or before
	notes   bool           // it holds more than what is placed in streams
	writes  bool           // set when it is committed
	replies []settled
	lookup  *pebble.Iterator // over the heads before this batch; nil until needed
	synced  chan struct{}
	settled atomic.Bool // its replies are being sent
}

// pendingStream is what a batch not yet applied adds to a stream.
type pendingStream struct {
	head  layout.Head
	first event.Revision // of ids[0]
	ids   []uuid.UUID
	at    []event.Position
	data  []byte // of the last of them, if this is a metadata stream
}

// settled is a reply that is true once the batch is durable.
type settled struct {
	request *request
	reply   reply
	writes  bool // the batch holds its events
}

func newWriter(l *Log, now func() time.Time) *writer {
	return &writer{
		log:    l,
		now:    now,
		heads:  newGenerations[string, layout.Head](cachedHeads),
		recent: newGenerations[recentID, place](recentIDs),
		syncs:  make(chan *batch, 1),
	}
}

// recover finds the last position and reads back the youngest ids.
func (w *writer) recover() (event.Position, error) {
	it, err := w.log.db.NewIter(&pebble.IterOptions{LowerBound: []byte{layout.SpaceEvents}, UpperBound: []byte{layout.SpaceEvents + 1}})
	if err != nil {
		return 0, fmt.Errorf("find the last event: %w", guard.Damage(err))
	}
	defer it.Close()
	var last event.Position
	if it.Last() {
		last = layout.PositionOf(it.Key())
	}
	// The oldest of the youngest first, so that the cache forgets it first.
	var records []layout.Record
	for n := 0; it.Valid() && n < recentIDsAtOpen; n++ {
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, fmt.Errorf("read back the last events: %w", guard.Damage(err))
		}
		// A corrupt record is reported to those who read it; here it is only not
		// remembered.
		if rec, err := layout.DecodeRecord(it.Key(), value); err == nil {
			records = append(records, layout.Record{Id: rec.Id, Stream: append([]byte(nil), rec.Stream...), Revision: rec.Revision, Position: rec.Position})
		}
		it.Prev()
	}
	if err := it.Error(); err != nil {
		return 0, fmt.Errorf("find the last event: %w", guard.Damage(err))
	}
	for i := len(records) - 1; i >= 0; i-- {
		w.recent.put(recentID{records[i].Id, string(records[i].Stream)}, place{records[i].Revision, records[i].Position})
	}
	w.next = last + 1
	return last, nil
}

// run decides and applies until the queue is closed and empty.
func (w *writer) run() {
	go w.acknowledge()
	go func() { // ends with the log
		select {
		case <-w.log.guard.Stuck():
			w.lose()
		case <-w.log.done:
		}
	}()
	for r := range w.log.queue {
		b := w.newBatch()
		w.take(b, r)
		w.gather(b)
		w.commit(b)
	}
	w.settle()
	close(w.syncs)
}

func (w *writer) newBatch() *batch {
	streams := w.streams
	w.streams = nil
	if streams == nil {
		streams = make(map[string]*pendingStream)
	}
	return &batch{
		pebble:  w.log.db.NewBatch(),
		created: w.now(),
		streams: streams,
		last:    w.next - 1,
		synced:  make(chan struct{}),
	}
}

// gather takes what is queued, and, as long as a batch is being synced, what comes.
func (w *writer) gather(b *batch) {
	for len(b.replies) < maxBatchAppends && b.size < maxBatchBytes {
		if w.synced == nil {
			select {
			case r, ok := <-w.log.queue:
				if !ok {
					return
				}
				w.take(b, r)
			default:
				return
			}
			continue
		}
		select {
		case r, ok := <-w.log.queue:
			if !ok {
				w.settle()
				return
			}
			w.take(b, r)
		case <-w.synced:
			w.synced = nil
		case <-w.log.guard.Stuck():
			w.lose()
			w.synced = nil
		}
	}
	w.settle()
}

// settle waits for the batch in flight.
func (w *writer) settle() {
	if w.synced == nil {
		return
	}
	select {
	case <-w.synced:
		w.synced = nil
	case <-w.log.guard.Stuck():
		w.lose()
		w.synced = nil
	}
}

// lose gives up the batch in flight, whose sync Pebble will never report.
func (w *writer) lose() {
	if b := w.flight.Load(); b != nil && b.settled.CompareAndSwap(false, true) {
		b.unknown()
	}
}

// take decides one append and puts its events into the batch.
func (w *writer) take(b *batch, r *request) {
	if !r.claimed.CompareAndSwap(false, true) {
		return // its appender gave up
	}
	if err := w.log.refuses(r); err != nil {
		r.reply <- reply{err: err}
		return
	}
	if err := r.imported.check(w.next); err != nil {
		r.reply <- reply{err: err}
		return
	}
	v, err := w.decide(b, r)
	r.imported.decided(v.write)
	switch {
	case err != nil:
		r.reply <- reply{err: err}
	case v.write:
		b.replies = append(b.replies, settled{request: r, reply: reply{appended: w.perform(b, r, v)}, writes: true})
	case v.upTo <= w.log.durable.at():
		r.reply <- v.reply
	default: // true only once what it speaks of is durable
		b.replies = append(b.replies, settled{request: r, reply: v.reply})
	}
}

// place gives out revisions and positions.
func (w *writer) place(b *batch, r *request, h layout.Head) event.Appended {
	s := w.pending(b, r.stream, h)
	for i, body := range r.bodies {
		created := b.created
		if r.imported != nil {
			w.next, created = r.imported.at(i, created)
		}
		w.put(b, s.head.Next, r.flags[i], created, body)
		s.ids, s.at = append(s.ids, r.ids[i]), append(s.at, w.next)
		w.recent.put(recentID{r.ids[i], r.stream}, place{s.head.Next, w.next})
		s.head.Next, s.head.Last = s.head.Next+1, w.next
		w.next++
	}
	b.last = s.head.Last
	return event.Appended{Revision: s.head.Next - 1, Position: s.head.Last}
}

// put writes an event at the next position.
func (w *writer) put(b *batch, r event.Revision, flags byte, created time.Time, body []byte) {
	key := layout.AppendPositionKey(w.key[:0], w.next)
	op := b.pebble.SetDeferred(len(key), layout.RecordSize(body))
	copy(op.Key, key)
	layout.PutRecord(op.Value, key, flags, r, created, body)
	_ = op.Finish()
	b.size += layout.RecordSize(body)
}

// index leads from a revision to a position.
func (b *batch) index(key []byte, p event.Position) {
	op := b.pebble.SetDeferred(len(key), layout.IndexValueSize)
	copy(op.Key, key)
	layout.PutIndex(op.Value, key, p)
	_ = op.Finish()
}

// pending is what the batch adds to a stream that stands at h, or already does in it.
func (w *writer) pending(b *batch, stream string, h layout.Head) *pendingStream {
	s := b.streams[stream]
	if s == nil {
		s = w.newPending(h)
		b.streams[stream] = s
	}
	return s
}

// newPending returns one that begins at a head, with the memory of one used before.
func (w *writer) newPending(h layout.Head) *pendingStream {
	if n := len(w.spare); n > 0 {
		s := w.spare[n-1]
		w.spare = w.spare[:n-1]
		s.head, s.first = h, h.Next
		return s
	}
	return &pendingStream{head: h, first: h.Next}
}

// commit applies the batch and hands it to the acknowledging goroutine. No other batch
// is in flight.
func (w *writer) commit(b *batch) {
	if b.lookup != nil {
		b.lookup.Close()
		b.lookup = nil
	}
	if len(b.replies) == 0 {
		_ = b.pebble.Close()
		return
	}
	if err := w.log.readOnly(); err != nil {
		// What it builds upon may not be on disk. Of this batch nothing is.
		_ = b.pebble.Close()
		for _, s := range b.replies {
			s.request.reply <- reply{err: err}
		}
		return
	}
	if b.writes = b.notes || len(b.streams) > 0; b.writes {
		w.placeStreams(b)
		if err := w.log.guarded(func() error { return w.log.db.ApplyNoSyncWait(b.pebble, pebble.Sync) }); err != nil {
			w.log.fail(err)
			b.unknown()
			return
		}
	}
	w.synced = b.synced
	w.flight.Store(b)
	w.syncs <- b
	if w.log.guard.IsStuck() {
		w.lose()
	}
}

// placeStreams adds the heads and the index of what was placed, in the order of their
// keys: Pebble's memtable finds a key's place faster from its neighbour's.
func (w *writer) placeStreams(b *batch) {
	w.names = slices.AppendSeq(w.names[:0], maps.Keys(b.streams))
	slices.Sort(w.names)
	for _, stream := range w.names {
		key, h := layout.AppendHeadKey(w.key[:0], stream), b.streams[stream].head
		op := b.pebble.SetDeferred(len(key), h.Size())
		copy(op.Key, key)
		layout.PutHead(op.Value, key, h)
		_ = op.Finish()
		w.heads.put(stream, h)
	}
	for _, stream := range w.names {
		s := b.streams[stream]
		for i, position := range s.at {
			b.index(layout.AppendIndexKey(w.key[:0], stream, s.first+event.Revision(i)), position)
		}
		*s = pendingStream{ids: s.ids[:0], at: s.at[:0]}
		if len(w.spare) < maxBatchAppends {
			w.spare = append(w.spare, s)
		}
	}
	clear(w.names)
	clear(b.streams)
	w.streams, b.streams = b.streams, nil
}

// acknowledge waits for syncs and replies.
func (w *writer) acknowledge() {
	defer close(w.log.done)
	for b := range w.syncs {
		var err error
		if b.writes {
			if err = b.pebble.SyncWait(); err != nil {
				w.log.fail(err)
			}
		}
		if !b.settled.CompareAndSwap(false, true) {
			close(b.synced) // lost
			continue
		}
		if err != nil {
			close(b.synced)
			b.unknown()
			continue
		}
		if b.writes {
			w.log.durable.advance(b.last)
		}
		close(b.synced)
		for _, s := range b.replies {
			s.request.reply <- s.reply
		}
		_ = b.pebble.Close()
	}
}

// unknown replies to a batch whose write or sync failed: a restart may find it or not.
func (b *batch) unknown() {
	for _, s := range b.replies {
		kind := event.ErrUnavailable
		if s.writes || s.reply.err == nil {
			kind = event.ErrUnknownOutcome
		}
		s.request.reply <- reply{err: fmt.Errorf("%w: the event log failed to write", kind)}
	}
}

// head returns a stream's head, with what the batch adds to it.
func (w *writer) head(b *batch, stream string) (layout.Head, error) {
	if s := b.streams[stream]; s != nil {
		return s.head, nil
	}
	if h, ok := w.heads.get(stream); ok {
		return h, nil
	}
	key := layout.AppendHeadKey(w.key[:0], stream)
	if b.lookup == nil {
		// Get would not use the filters of the last level, where most of the heads are.
		it, err := w.log.db.NewIter(&pebble.IterOptions{LowerBound: []byte{layout.SpaceHeads}, UpperBound: []byte{layout.SpaceHeads + 1}, UseL6Filters: true})
		if err != nil {
			return layout.Head{}, fmt.Errorf("read head of stream %q: %w", stream, guard.Damage(err))
		}
		b.lookup = it
	}
	if !b.lookup.SeekPrefixGE(key) {
		if err := b.lookup.Error(); err != nil {
			return layout.Head{}, fmt.Errorf("read head of stream %q: %w", stream, guard.Damage(err))
		}
		return layout.Head{}, nil
	}
	value, err := b.lookup.ValueAndErr()
	if err != nil {
		return layout.Head{}, fmt.Errorf("read head of stream %q: %w", stream, guard.Damage(err))
	}
	h, err := layout.DecodeHead(key, value)
	if err == nil {
		w.heads.put(stream, h)
	}
	return h, err
}
