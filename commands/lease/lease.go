// Package lease lets one of several instances do a piece of work that only one needs to
// do, and another take it over. A lease is a stream: its newest event names its holder
// (domain/lease).
//
// Promises: work with a free lease begins within lookEvery; a lease is freed when its
// holder stops, and when its instance starts again after a crash; work that waits
// patience without being done is taken from its holder, which stops within lookEvery of
// being able to read. An idle system appends nothing: nothing is renewed, a rival looks
// at the work itself.
//
// Not promised: that never two do the work at a time. Whoever uses a lease must be right
// without it; it only saves doing everything twice.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"recapito/commands"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/domain/lease"
)

// Limits of a lease.
const (
	lookEvery = time.Second
	// patience is how long work may wait, none of it done, before a rival takes it over.
	// It doubles with every taking that moved nothing, as where an engine is away for all.
	patience     = 10 * time.Second
	mostPatience = 5 * time.Minute
	askTimeout   = 5 * time.Second // of one question to the store
)

// Lease is one instance's claim to a piece of work.
type Lease struct {
	work, holder string
	store        commands.Store
	log          *slog.Logger
	claims       chan struct{}
	held         atomic.Bool
}

// New makes a lease on a piece of work. holder is an id of this instance that outlives
// its restarts, and that no other has.
func New(store commands.Store, work, holder string, log *slog.Logger) *Lease {
	return &Lease{work: work, holder: holder, store: store, log: log.With("lease", work), claims: make(chan struct{}, 1)}
}

// Work is what the lease is on.
func (l *Lease) Work() string { return l.work }

// Held reports whether this instance does the work.
func (l *Lease) Held() bool { return l.held.Load() }

// Claim takes the lease from whoever holds it, soon.
func (l *Lease) Claim() {
	select {
	case l.claims <- struct{}{}:
	default:
	}
}

// Hold calls do while this instance holds the lease, with a context that ends when it is
// lost and before which do has not returned; Hold returns when ctx has ended. While another holds it, waiting is asked whether
// there is work to do, and for a mark that moves when some is done.
func (l *Lease) Hold(ctx context.Context, waiting func(context.Context) (mark uint64, waits bool, err error), do func(context.Context)) {
	s := standby{Lease: l, waiting: waiting, patience: patience, first: true}
	for ctx.Err() == nil {
		if mine, ok := s.wait(ctx); ok {
			l.log.Info("lease taken", "epoch", mine.Epoch)
			l.do(ctx, mine, do)
		}
	}
}

// state is what the newest event of the stream records that can be read.
type state struct {
	lease.LeaseTaken
	free bool
	at   event.Expected
}

func (l *Lease) read(ctx context.Context) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s := state{free: true}
	var err error
	s.at, err = event.Newest(ctx, l.store, lease.Stream(l.work), event.RevisionEnd, checkpoint.Kept, func(e event.Recorded) bool {
		var taken lease.LeaseTaken // both events have the same members
		known := e.Type == takenName || e.Type == releasedName
		if !known || json.Unmarshal(e.Data, &taken) != nil {
			return false
		}
		s.LeaseTaken, s.free = taken, e.Type != takenName
		return true
	})
	return s, err
}

const (
	takenName    = "LeaseTaken"
	releasedName = "LeaseReleased"
)

// standby is an instance that waits for a lease.
type standby struct {
	*Lease
	waiting  func(context.Context) (mark uint64, waits bool, err error)
	patience time.Duration
	first    bool   // what it held before it was started is still its own
	tried    uint64 // the epoch of a taking of which it is unknown whether it was written

	looked bool   // at the work; then:
	epoch  uint64 // as last seen
	mark   uint64
	since  time.Time // no work was done
}

// wait returns when the lease was taken, or ctx has ended.
func (s *standby) wait(ctx context.Context) (state, bool) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	s.since = time.Now()
	claimed := false
	for {
		if now, err := s.read(ctx); err != nil {
			s.since = time.Now() // no instance can work without the store
		} else {
			own := now.Holder == s.holder && !now.free && (s.first || now.Epoch == s.tried)
			s.first = false
			if now.free || own || claimed || s.stuck(ctx, now) {
				if mine, ok := s.take(ctx, now); ok {
					return mine, true
				}
			}
		}
		select {
		case <-ctx.Done():
			return state{}, false
		case <-s.claims:
			claimed = true
		case <-tick.C:
		}
	}
}

// stuck reports whether work has waited too long under the same holder.
func (s *standby) stuck(ctx context.Context, held state) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	mark, waits, err := s.waiting(ctx)
	switch {
	case err != nil:
		s.since = time.Now()
		return false
	case !s.looked || !waits || mark != s.mark:
		s.patience, s.looked = patience, true
	case held.Epoch != s.epoch: // others take turns in vain
		s.patience = min(2*s.patience, mostPatience)
	default:
		return time.Since(s.since) >= s.patience
	}
	s.mark, s.epoch, s.since = mark, held.Epoch, time.Now()
	return false
}

func (s *standby) take(ctx context.Context, from state) (state, bool) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	mine := state{LeaseTaken: lease.LeaseTaken{Holder: s.holder, Epoch: from.Epoch + 1}}
	at, err := commands.AppendOperational(ctx, s.store, lease.Stream(s.work), from.at, takenName, mine.LeaseTaken)
	if err == nil {
		mine.at = event.Exact(at)
		if s.epoch = mine.Epoch; !from.free { // in vain, unless the mark will have moved
			s.patience = min(2*s.patience, mostPatience)
		}
		return mine, true
	}
	if !errors.Is(err, event.ErrWrongVersion) {
		s.tried = mine.Epoch
	}
	return state{}, false
}

// do works until the lease is lost or ctx ends; then it is released.
func (l *Lease) do(ctx context.Context, mine state, do func(context.Context)) {
	l.held.Store(true)
	defer l.held.Store(false)
	doing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(doing)
	}()
	if l.lost(ctx, mine, done) {
		l.log.Warn("another instance has taken over work that stood still here, or was asked to")
		stop()
		<-done
		return
	}
	<-done
	l.release(ctx, mine)
}

// lost waits until another holds the lease (true), or the work has ended or is to end.
func (l *Lease) lost(ctx context.Context, mine state, done <-chan struct{}) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return false
		case <-l.claims: // it is held
		case <-tick.C:
		}
		now, err := l.read(ctx)
		if err == nil && (now.LeaseTaken != mine.LeaseTaken || now.free) {
			return true
		}
	}
}

// release lets a rival begin at once. If it cannot be written the rival waits.
func (l *Lease) release(ctx context.Context, mine state) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	_, err := commands.AppendOperational(ctx, l.store, lease.Stream(l.work), mine.at, releasedName, lease.LeaseReleased(mine.LeaseTaken))
	if err != nil && !errors.Is(err, event.ErrWrongVersion) {
		l.log.Info("the lease could not be released", "error", err)
	}
}
