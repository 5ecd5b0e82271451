package marks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"recapito/commands/retry"
	"recapito/domain/event"
	"recapito/domain/mark"
	"recapito/projections"
)

// Limits of the marks.
const (
	// markInterval is the least time between two marks made here: the first ledger event
	// after a pause is marked at once, those that follow share the next mark.
	markInterval = time.Second
	// markDrain is how long a stop waits for the last mark.
	markDrain = 2 * time.Second
	// markSkew is how far the newest mark may be ahead of this machine's clock without a
	// warning.
	markSkew = 5 * time.Second
)

// Config wires the marks.
type Config struct {
	Source Source
	Store  Store
	Log    *slog.Logger // nil: slog.Default
	Now    func() time.Time
	Lease  Lease // nil: there is no other instance
}

// Timeline keeps the ledger's marks (Run), and resolves as-of times by them (Resolve).
//
// Promises: a mark counts every ledger event that was durable before its time, by the
// clock of who wrote it; times strictly increase and counts never fall, whoever writes,
// at the same time or with a clock that is wrong; an idle system appends nothing.
type Timeline struct {
	source Source
	store  Store
	lease  Lease
	log    *slog.Logger
	now    func() time.Time
	stream markStream

	mu      sync.Mutex
	failing error // of the writer
	seen    numbered
	cuts    map[int64]Cut // by the time asked for, Unix microseconds
}

// New makes the marks of a store.
func New(c Config) (*Timeline, error) {
	if c.Source == nil || c.Store == nil {
		return nil, errors.New("marks need a source and a store")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	stream, err := newMarkStream(c.Source, c.Store)
	if err != nil {
		return nil, err
	}
	return &Timeline{
		source: c.Source, store: c.Store, lease: c.Lease, log: c.Log, now: c.Now, stream: stream, cuts: map[int64]Cut{},
	}, nil
}

// Run marks while there are new ledger events, until ctx ends.
func (m *Timeline) Run(ctx context.Context) {
	if m.lease == nil {
		m.keep(ctx)
		return
	}
	m.lease.Hold(ctx, m.waiting, m.keep)
}

// Failing returns why no marks can be written here; nil if they can.
func (m *Timeline) Failing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failing
}

func (m *Timeline) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing = err
}

// waiting returns, while another instance writes the marks, how many there are and whether
// there is something to mark.
func (m *Timeline) waiting(ctx context.Context) (progress uint64, waits bool, err error) {
	newest, some, err := m.stream.newest(ctx)
	if err != nil {
		return 0, false, err
	}
	last, any, err := projections.NewestLedgerEvent(ctx, m.source)
	if err != nil {
		return 0, false, err
	}
	if some {
		progress = uint64(newest.revision) + 1
	}
	return progress, any && (!some || newest.LastID != last.ID), nil
}

// keep writes marks until ctx ends.
func (m *Timeline) keep(ctx context.Context) {
	defer m.fail(nil) // another instance may write them now
	policy := retry.Policy{First: minBackOff, Most: maxBackOff, Steady: maxBackOff}
	_ = policy.Keep(ctx, retry.NewLog(m.log, "marking the ledger"), func(ctx context.Context, working func()) error {
		err := m.session(ctx, working)
		if ctx.Err() == nil {
			m.fail(err)
		}
		return err
	})
	m.last(ctx)
}

// last marks what is not marked yet: perhaps no instance runs after this one.
func (m *Timeline) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markDrain)
	defer cancel()
	_, waits, err := m.waiting(ctx)
	if err == nil && waits {
		_, err = m.close(ctx, m.now().UTC().Truncate(mark.Tick))
	}
	if err != nil && !errors.Is(err, event.ErrWrongVersion) {
		m.log.Info("the last events were not marked; the next start does it", "error", err)
	}
}

// session counts ledger events from a place that is sure, and marks.
func (m *Timeline) session(ctx context.Context, working func()) error {
	newest, _, err := m.stream.newest(ctx)
	if err != nil {
		return err
	}
	if ahead := newest.Time.Sub(m.now()); ahead > markSkew {
		m.log.Warn("the newest mark is ahead of this machine's clock: as-of times up to it do not show what is new", "ahead", ahead)
	}
	from, err := m.stream.sure(ctx, newest)
	if err != nil {
		return err
	}
	c := &tally{place: from, holds: newest.place(), wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	lost := make(chan error, 1)
	go func() {
		sub := event.Subscription{Filter: projections.LedgerFilter()}
		if from.seq > 0 {
			sub.After = &from.position
		}
		err := m.source.Subscribe(ctx, sub, event.Handler{Event: c.add, CaughtUp: c.caughtUp})
		if err == nil {
			err = errors.New("the subscription ended")
		}
		lost <- fmt.Errorf("following $all: %w", err)
		cancel()
	}()
	m.fail(nil)
	err = m.follow(ctx, c, newest, working)
	cancel()
	if ended := <-lost; errors.Is(err, context.Canceled) {
		return ended
	}
	return err
}

func (m *Timeline) follow(ctx context.Context, c *tally, newest numbered, working func()) error {
	var last time.Time
	for {
		if err := c.until(ctx, func(p place) bool { return p.seq > newest.Seq }); err != nil {
			return err
		}
		if pause := last.Add(markInterval).Sub(m.now()); pause > 0 {
			if err := retry.Wait(ctx, pause); err != nil {
				return err
			}
		}
		at, err := m.counted(ctx, c)
		if err != nil {
			return err
		}
		now := c.get()
		next := mark.Marked{Time: at, Seq: now.seq, Position: now.position, LastID: now.id}
		switch appended, err := m.stream.append(ctx, newest, next); {
		case err == nil:
			newest, last = appended, m.now()
			working()
		case errors.Is(err, event.ErrWrongVersion): // another has marked
			if newest, _, err = m.stream.newest(ctx); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// counted returns a recent time T: every ledger event that was durable before T is counted.
func (m *Timeline) counted(ctx context.Context, c *tally) (time.Time, error) {
	for {
		at := m.now()
		newest, _, err := projections.NewestLedgerEvent(ctx, m.source)
		if err != nil {
			return at, err
		}
		if err := c.until(ctx, func(p place) bool { return p.position >= newest.Position }); err != nil {
			return at, err
		}
		if m.now().Sub(at) < markInterval { // else it counts too much that is later
			return at.UTC().Truncate(mark.Tick), nil
		}
	}
}

// place is a place among the ledger events: after the event that has the ordinal seq-1,
// which has this position and id. seq 0 is before all.
type place struct {
	seq      uint64
	position event.Position
	id       string
}

// tally counts a subscription's ledger events.
type tally struct {
	holds place // a later place that the store must have, by its id
	wake  chan struct{}

	mu sync.Mutex
	place
}

// errOtherLedger: a mark, or a checkpoint, counts what is not in the store.
var errOtherLedger = errors.New("the store's ledger events are not those that its newest mark counts")

func (c *tally) add(r event.Recorded) error {
	c.mu.Lock()
	c.place = place{c.seq + 1, r.Position, r.ID}
	broken := c.seq == c.holds.seq && r.ID != c.holds.id
	c.mu.Unlock()
	if broken {
		return errOtherLedger
	}
	notify(c.wake)
	return nil
}

// caughtUp: marks come after what they count, so all of it must have come.
func (c *tally) caughtUp(event.Position) error {
	if c.get().seq < c.holds.seq {
		return errOtherLedger
	}
	return nil
}

func (c *tally) get() place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.place
}

// until waits until the place is as it should be.
func (c *tally) until(ctx context.Context, is func(place) bool) error {
	for !is(c.get()) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		}
	}
	return nil
}
