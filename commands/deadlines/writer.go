package deadlines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/domain/deadline"
	"recapito/domain/event"
)

// Limits of the writer.
const (
	queued      = 4096 // deadlines waiting to be written
	perAppend   = 500  // deadlines in one append
	appending   = 16   // appends under way
	headsKept   = 4096 // buckets whose revision is remembered
	appendTries = 20   // clashes with other writers, or unknown outcomes, of one append
)

// Writer appends deadlines to their buckets, those that come together in one append.
// A bucket that is found closed is left: its deadlines go to the present minute's.
type Writer struct {
	store commands.Store
	codec *event.Codec
	now   func() time.Time
	queue chan request
	ended chan struct{} // closed when nothing is written any more
	heads map[key]event.Expected
}

// ErrEnded: the writer has stopped.
var ErrEnded = errors.New("the deadline writer has stopped")

type request struct {
	set  []deadline.DeadlineSet
	done chan error
}

// NewWriter makes a writer; Set works while its run does.
func NewWriter(store commands.Store, codec *event.Codec, now func() time.Time) *Writer {
	return &Writer{store: store, codec: codec, now: now, queue: make(chan request, queued), ended: make(chan struct{}), heads: map[key]event.Expected{}}
}

// Set makes deadlines durable. An error means that some may not be.
func (w *Writer) Set(ctx context.Context, set ...deadline.DeadlineSet) error {
	r := request{set: set, done: make(chan error, 1)}
	select {
	case w.queue <- r:
	case <-w.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-w.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetNow writes deadlines by itself and in order, for a caller that owns time and has
// no goroutines. Not to be mixed with Set.
func (w *Writer) SetNow(ctx context.Context, set ...deadline.DeadlineSet) error {
	groups := grouped([]request{{set: set}})
	keys := slices.SortedFunc(maps.Keys(groups), key.compare)
	for _, k := range keys {
		heads, err := w.append(ctx, k, w.heads[k], groups[k])
		for k, at := range heads {
			w.remember(k, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run writes what is queued: everything that waits goes out together. A bucket has
// one append under way at a time.
func (w *Writer) run(ctx context.Context) {
	defer close(w.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.queue:
			w.write(ctx, w.collect(first)...)
		}
	}
}

func (w *Writer) collect(first request) []request {
	batch, n := []request{first}, len(first.set)
	for n < perAppend {
		select {
		case r := <-w.queue:
			batch, n = append(batch, r), n+len(r.set)
		default:
			return batch
		}
	}
	return batch
}

// write appends the deadlines of all requests, bucket by bucket, and replies to them.
func (w *Writer) write(ctx context.Context, batch ...request) {
	groups := grouped(batch)
	type written struct {
		heads map[key]event.Expected
		err   error
	}
	results := make(chan written, len(groups))
	free := make(chan struct{}, appending)
	for k, set := range groups {
		free <- struct{}{}
		known := w.heads[k]
		go func() {
			heads, err := w.append(ctx, k, known, set)
			<-free
			results <- written{heads, err}
		}()
	}
	var err error
	for range groups {
		r := <-results
		for k, at := range r.heads {
			w.remember(k, at)
		}
		err = errors.Join(err, r.err)
	}
	for _, r := range batch {
		r.done <- err
	}
}

// grouped sorts deadlines into their buckets. A fraction of a millisecond is rounded
// up: a deadline never fires early.
func grouped(batch []request) map[key][]deadline.DeadlineSet {
	groups := map[key][]deadline.DeadlineSet{}
	for _, r := range batch {
		for _, d := range r.set {
			d.At = d.At.UTC().Add(time.Millisecond - 1).Truncate(time.Millisecond)
			k := keyOf(deadline.BucketOf(d.At, shardOf(d.Notification)))
			groups[k] = append(groups[k], d)
		}
	}
	return groups
}

func (w *Writer) remember(k key, at event.Expected) {
	if len(w.heads) >= headsKept {
		clear(w.heads)
	}
	w.heads[k] = at
}

// append writes one bucket's deadlines; from a closed bucket they move to the present
// minute's. It returns the heads it learnt.
func (w *Writer) append(ctx context.Context, k key, known event.Expected, set []deadline.DeadlineSet) (map[key]event.Expected, error) {
	learnt := map[key]event.Expected{}
	events, err := w.encode(ctx, k.stream(), set)
	if err != nil {
		return learnt, err
	}
	if known.IsAny() { // not remembered
		known = event.NoStream()
	}
	for range appendTries {
		appended, err := w.store.Append(ctx, k.stream(), known, events)
		switch {
		case err == nil:
			learnt[k] = event.Exact(appended.Revision)
			return learnt, nil
		case errors.Is(err, event.ErrUnknownOutcome):
			continue
		case !errors.Is(err, event.ErrWrongVersion):
			return learnt, fmt.Errorf("appending deadlines: %w", err)
		}
		var closed bool
		if known, closed, err = w.tail(ctx, k); err != nil {
			return learnt, err
		}
		if closed {
			k = key{minuteOf(w.now()), k.shard}
			if known, closed, err = w.tail(ctx, k); err != nil {
				return learnt, err
			}
			if closed { // the clock went back: the next minute's cannot be closed yet
				k.minute++
				known = event.NoStream()
			}
		}
	}
	return learnt, fmt.Errorf("appending deadlines: %w after %d tries", event.ErrWrongVersion, appendTries)
}

func (w *Writer) encode(ctx context.Context, stream string, set []deadline.DeadlineSet) ([]event.New, error) {
	events := make([]event.New, len(set))
	for i, d := range set {
		name, data, err := w.codec.Encode(ctx, nil, "", stream, d)
		if err != nil {
			return nil, fmt.Errorf("encoding a deadline: %w", err)
		}
		events[i] = event.New{ID: uuid.NewString(), Type: name, Data: data}
	}
	return events, nil
}

// tail returns where a bucket's stream stands, and whether it is closed.
func (w *Writer) tail(ctx context.Context, k key) (at event.Expected, closed bool, err error) {
	at = event.NoStream()
	read := event.StreamRead{Stream: k.stream(), From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}
	err = ignoreNoStream(w.store.ReadStream(ctx, read, func(e event.Recorded) error {
		at = event.Exact(e.Revision)
		closed = e.Type == closedName
		return nil
	}))
	return at, closed, err
}

const closedName = "DeadlineBucketClosed"

func readStream(ctx context.Context, s commands.Store, stream string, visit func(event.Recorded) error) error {
	return ignoreNoStream(s.ReadStream(ctx, event.StreamRead{Stream: stream}, visit))
}

func ignoreNoStream(err error) error {
	if err == nil || errors.Is(err, event.ErrStreamNotFound) {
		return nil
	}
	return fmt.Errorf("reading a deadline bucket: %w", err)
}

// close ends a bucket at the revision that was seen; if more has come meanwhile, that
// is taken up first.
func (s *Service) close(ctx context.Context, k key) error {
	s.mu.Lock()
	b := s.schedule.buckets[k]
	if b == nil {
		s.mu.Unlock()
		return nil
	}
	last := b.last
	s.mu.Unlock()
	name, data, err := s.codec.Encode(ctx, nil, "", k.stream(), deadline.BucketClosed{})
	if err != nil {
		return fmt.Errorf("encoding the end of a bucket: %w", err)
	}
	_, err = s.store.Append(ctx, k.stream(), last, []event.New{{ID: uuid.NewString(), Type: name, Data: data}})
	switch {
	case err == nil:
		s.mu.Lock()
		s.schedule.closed(k)
		s.mu.Unlock()
		return nil
	case !errors.Is(err, event.ErrWrongVersion):
		return fmt.Errorf("closing a bucket: %w", err)
	}
	seen, _ := last.Exactly()
	return readStream(ctx, s.store, k.stream(), func(e event.Recorded) error {
		if e.Type == closedName {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.schedule.closed(k)
			return nil
		}
		if !last.IsNoStream() && e.Revision <= seen {
			return nil
		}
		return s.take(ctx, e)
	})
}

// discard lets a store remove a closed bucket: everything in it was fired. Whoever sets a
// deadline there later finds no stream, as in a minute that never had one.
//
// The metadata stream is read first and appended to at that revision, so that somebody
// who stood still meanwhile does not discard what came after another one did. A store that
// scavenged a metadata stream finds none, but knows its revision: it is learnt from the
// refusal, and the bucket looked at again.
func (s *Service) discard(ctx context.Context, k key) error {
	metadata := event.MetadataPrefix + k.stream()
	at := event.NoStream()
	newest := event.StreamRead{Stream: metadata, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}
	err := ignoreNoStream(s.store.ReadStream(ctx, newest, func(e event.Recorded) error {
		at = event.Exact(e.Revision)
		return nil
	}))
	if err != nil {
		return err
	}
	all := event.New{ID: uuid.NewString(), Type: event.MetadataType, Data: fmt.Appendf(nil, `{"$tb":%d}`, event.RevisionEnd)}
	for {
		_, closed, err := s.tail(ctx, k)
		if err != nil || !closed {
			return err
		}
		_, err = s.store.Append(ctx, metadata, at, []event.New{all})
		var wrong *event.WrongVersion
		switch {
		case errors.As(err, &wrong) && at.IsNoStream() && !wrong.NoStream:
			at = event.Exact(wrong.Actual)
		case err != nil && !errors.Is(err, event.ErrWrongVersion):
			return fmt.Errorf("discarding a bucket: %w", err)
		default:
			return nil
		}
	}
}
