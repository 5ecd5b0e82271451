// Package deadlines keeps deadlines in the event store and fires them: streams by
// minute and shard (domain/deadline), many in one append, millisecond precision.
//
// Promises: a deadline is durable when Set returns, and fires at least once, never
// before its time; one that was fired just before a crash fires again. Memory is
// bounded by loadLimit, not by how many are pending: a bucket is read when its minute
// is near, in slices if it is large. Empty buckets are never written, and an idle
// service appends nothing.
//
// Writer (writer.go) sets them; schedule.go knows what is to be fired next and which
// buckets can be closed, without a clock or goroutines of its own; Service runs both.
// Several instances may each run a Service: a lease lets one of them fire, the others
// watch (rival.go). Two that fire at once fire twice, and nothing else goes wrong.
package deadlines

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"recapito/commands"
	"recapito/commands/aside"
	"recapito/commands/retry"
	"recapito/domain/checkpoint"
	"recapito/domain/deadline"
	"recapito/domain/event"
)

// Shards is how many streams a minute has. It is part of the storage format.
const Shards = 4

// Limits of the service.
const (
	lookAhead = 90 * time.Second // buckets are read this long before their minute
	loadLimit = 50_000           // deadlines of one bucket that are read at once, and a half of those held
	maxSleep  = time.Second
	// progressEvery is how often what was fired is saved for rivals, if something was.
	progressEvery = 5 * time.Second
)

func shardOf(notification string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(notification)) // a hash never errs
	return int(h.Sum32() % Shards)
}

// Service is the writer and the one holder that fires.
type Service struct {
	// Lease, if it is set before Run, lets one of several instances fire.
	Lease commands.Lease
	// Aside, if it is set before Run, takes what cannot be read; else that is an error.
	Aside *aside.Consumer

	*Writer
	store commands.Store
	codec *event.Codec
	now   func() time.Time
	fire  func(context.Context, deadline.DeadlineSet) error
	log   *slog.Logger
	limit int // loadLimit, but in tests

	mu       sync.Mutex
	schedule *schedule
	saved    event.Expected
	oldest   int64           // minute of the last checkpoint saved
	after    *event.Position // of the last checkpoint, or of the session's start
	seen     *event.Position // everything set up to it was shown
	live     bool
	fired    bool      // something, since the last checkpoint was saved
	savedAt  time.Time // when that was
	wake     chan struct{}
	watching bool // another instance fires: nothing is written
}

// New makes a service that fires with fire; an error from fire means fire again.
func New(store commands.Store, codec *event.Codec, now func() time.Time, log *slog.Logger, fire func(context.Context, deadline.DeadlineSet) error) *Service {
	return &Service{
		Writer: NewWriter(store, codec, now), store: store, codec: codec, now: now, fire: fire, log: log, limit: loadLimit,
		wake: make(chan struct{}, 1),
	}
}

// Live reports whether what was pending at the start has been read.
func (s *Service) Live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// Held is how many deadlines are in memory: those that are near, and those being fired.
func (s *Service) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schedule == nil {
		return 0
	}
	return s.schedule.held()
}

// Run fires until ctx ends; with a lease, while that is held.
func (s *Service) Run(ctx context.Context) error {
	var owned sync.WaitGroup
	defer owned.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	owned.Go(func() { s.Writer.run(ctx) })
	if s.Lease == nil {
		s.sessions(ctx, s.fireDue)
		return nil
	}
	r := newRival(s)
	defer r.rest()
	s.Lease.Hold(ctx, r.waiting, func(ctx context.Context) {
		r.rest()
		s.sessions(ctx, s.fireDue)
	})
	return nil
}

// sessions runs one after the other until ctx ends.
func (s *Service) sessions(ctx context.Context, run func(context.Context) error) {
	log := retry.NewLog(s.log, "deadlines: following them")
	_ = refire.Keep(ctx, log, func(ctx context.Context, _ func()) error {
		defer s.end()
		return run(ctx)
	})
}

// end forgets what a session held: the next one reads it again.
func (s *Service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedule, s.live = nil, false
}

// fireDue is a session that fires.
func (s *Service) fireDue(ctx context.Context) error {
	f := newFirer(s)
	return s.session(ctx, func(ctx context.Context, owned *sync.WaitGroup, it item) error {
		select {
		case f.firing <- struct{}{}:
			owned.Go(func() { f.fireUntilDone(ctx, it) })
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// session begins where the checkpoint stands, follows what is set meanwhile, and hands
// over what is due.
func (s *Service) session(ctx context.Context, hand func(context.Context, *sync.WaitGroup, item) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.Begin(ctx); err != nil {
		return err
	}
	var owned sync.WaitGroup
	defer owned.Wait()
	defer cancel()
	lost := make(chan error, 1)
	owned.Go(func() {
		lost <- s.store.Subscribe(ctx, event.Subscription{After: s.After(), Filter: event.Filter{StreamPrefixes: []string{deadline.StreamPrefix}}}, event.Handler{
			Event: func(e event.Recorded) error {
				if err := s.Observe(ctx, e); err != nil {
					return err
				}
				s.nudge()
				return nil
			},
		})
	})
	for {
		wait, err := s.Step(ctx, func(it item) error { return hand(ctx, &owned, it) })
		if err != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case err := <-lost:
			t.Stop()
			return fmt.Errorf("following deadlines: %w", err)
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Begin reads the checkpoint; a store without one gets the present minute.
func (s *Service) Begin(ctx context.Context) error {
	var c checkpoint.DeadlinesCheckpointed
	at, err := commands.LoadLatest(ctx, s.store, checkpoint.DeadlinesStream, &c)
	if err != nil {
		return fmt.Errorf("loading the checkpoint of the deadlines: %w", err)
	}
	if at.IsNoStream() {
		c.Minute = minuteOf(s.now())
	}
	if at.IsNoStream() && !s.watching {
		r, err := s.saveCheckpoint(ctx, at, c)
		if err != nil {
			return err
		}
		at = event.Exact(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedule, s.saved, s.oldest, s.live = newSchedule(c.Minute, s.limit), at, c.Minute, false
	s.after, s.seen, s.fired = c.After, c.After, false
	return nil
}

func (s *Service) saveCheckpoint(ctx context.Context, at event.Expected, c checkpoint.DeadlinesCheckpointed) (event.Revision, error) {
	r, err := commands.AppendOperational(ctx, s.store, checkpoint.DeadlinesStream, at, "DeadlinesCheckpointed", c)
	if err != nil {
		return 0, fmt.Errorf("saving the checkpoint of the deadlines: %w", err)
	}
	return r, nil
}

// After is the position after which Observe must be shown what is set. What stands
// before it is done, or is found by reading its bucket.
func (s *Service) After() *event.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after
}

// Observe takes a deadline that was set while the service runs. One of a bucket that
// is not read yet is left for when it is.
func (s *Service) Observe(ctx context.Context, e event.Recorded) error {
	if err := s.take(ctx, e); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || *s.seen < e.Position {
		s.seen = &e.Position
	}
	return nil
}

func (s *Service) take(ctx context.Context, e event.Recorded) error {
	bucket, err := deadline.ParseStream(e.Stream)
	if err != nil {
		return nil //nolint:nilerr // another program's stream
	}
	decoded, err := s.decode(ctx, e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch d := decoded.(type) {
	case nil:
		s.schedule.passed(keyOf(bucket), e.Revision)
	case deadline.DeadlineSet:
		s.schedule.add(item{DeadlineSet: d, bucket: keyOf(bucket), revision: e.Revision, position: e.Position}, e.Position)
	case deadline.BucketClosed: // our own, unless another instance fires
		if s.watching {
			s.schedule.closed(keyOf(bucket))
		}
	}
	return nil
}

// decode returns an event of a bucket; nil if it cannot be read.
func (s *Service) decode(ctx context.Context, e event.Recorded) (decoded any, err error) {
	err = s.Aside.Take(ctx, e, func() (err error) {
		decoded, err = s.codec.Decode(ctx, nil, "", e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("decoding a deadline: %w", err)
	}
	return decoded, nil
}

// Step reads the buckets that are near, hands over what is due, closes the buckets
// that are done, and returns how long there is nothing to do.
func (s *Service) Step(ctx context.Context, hand func(item) error) (time.Duration, error) {
	now := s.now()
	if err := s.readNear(ctx, now); err != nil {
		return 0, err
	}
	for {
		s.mu.Lock()
		it, ok := s.schedule.pop(now)
		s.mu.Unlock()
		if !ok {
			break
		}
		if err := hand(it); err != nil {
			return 0, err
		}
	}
	if !s.watching {
		if err := s.closeDone(ctx, now); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.schedule.wait(s.now()), maxSleep), nil
}

// FireDue fires what is due one after the other, for a caller that owns time itself,
// and returns how long there is nothing to do. What failed is fired again by the next
// session.
func (s *Service) FireDue(ctx context.Context) (time.Duration, error) {
	return s.Step(ctx, func(it item) error {
		if err := s.fire(ctx, it.DeadlineSet); err != nil {
			return err
		}
		s.Done(it)
		return nil
	})
}

// readNear reads every bucket from the oldest not yet read to those that are near, and
// those whose next slice is wanted.
func (s *Service) readNear(ctx context.Context, now time.Time) error {
	for {
		s.mu.Lock()
		k, after, ok := s.schedule.wanted(minuteOf(now), minuteOf(now.Add(lookAhead)))
		if !ok && s.schedule.next.minute > minuteOf(now) {
			s.live = true
		}
		s.mu.Unlock()
		if !ok {
			return nil
		}
		slice := newSlice(s.limit, after)
		last, closed, err := s.readBucket(ctx, k, slice.offer)
		if err != nil {
			return err
		}
		if closed && !s.watching { // and not discarded: whoever closed it was stopped
			if err := s.discard(ctx, k); err != nil {
				return err
			}
		}
		s.mu.Lock()
		s.schedule.loaded(k, slice, last, closed)
		s.mu.Unlock()
	}
}

func (s *Service) readBucket(ctx context.Context, k key, visit func(item)) (last event.Expected, closed bool, err error) {
	last = event.NoStream()
	err = readStream(ctx, s.store, k.stream(), func(e event.Recorded) error {
		last = event.Exact(e.Revision)
		decoded, err := s.decode(ctx, e)
		if err != nil {
			return err
		}
		switch d := decoded.(type) {
		case deadline.DeadlineSet:
			visit(item{DeadlineSet: d, bucket: k, revision: e.Revision, position: e.Position})
		case deadline.BucketClosed:
			closed = true
		}
		return nil
	})
	return last, closed, err
}

// Done records that a deadline's intents are durable.
func (s *Service) Done(it item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fired = true
	s.schedule.done(it)
	if s.schedule.wants(it.bucket, minuteOf(s.now())) {
		s.nudge()
	}
}

// closeDone closes what is done and passed, and saves how far all is closed; for rivals,
// how far all is fired.
func (s *Service) closeDone(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	keys := s.schedule.closable(minuteOf(now))
	s.mu.Unlock()
	for _, k := range keys {
		if err := s.close(ctx, k); err != nil {
			return err
		}
		if err := s.discard(ctx, k); err != nil {
			return err
		}
	}
	s.mu.Lock()
	oldest, saved := s.schedule.advance(minuteOf(now)), s.saved
	c := checkpoint.DeadlinesCheckpointed{Minute: oldest, After: s.schedule.after(s.seen)}
	save := len(keys) > 0 && oldest != s.oldest
	if s.Lease != nil {
		c.Fired, c.Seen = s.schedule.firedBefore(now), s.seen
		save = save || s.fired && now.Sub(s.savedAt) >= progressEvery
	}
	if save {
		s.fired = false
	}
	s.mu.Unlock()
	if !save {
		return nil
	}
	r, err := s.saveCheckpoint(ctx, saved, c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved, s.oldest, s.after, s.savedAt = event.Exact(r), oldest, c.After, now
	return nil
}
