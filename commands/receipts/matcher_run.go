package receipts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"recapito/commands"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/retry"
)

const (
	matcherName      = "matcher"
	matcherSaveEvery = 10 * time.Second
	// matcherTellEvery is how often rivals are told how far the matcher has looked, if it
	// has looked further: well within their patience.
	matcherTellEvery = 3 * time.Second
)

// Run follows $all from the saved horizon until ctx ends, or while the lease is held; a
// lost subscription is taken up again with a matcher that knows nothing.
func (m *Matcher) Run(ctx context.Context) error {
	if m.Lease == nil {
		m.follow(ctx)
		return nil
	}
	m.Lease.Hold(ctx, m.behind, m.follow)
	return nil
}

func (m *Matcher) follow(ctx context.Context) {
	log := retry.NewLog(m.c.Log, "matcher: following $all")
	_ = retry.Policy{}.Keep(ctx, log, m.session)
}

// behind says, while another instance follows, whether there is what it has not seen.
func (m *Matcher) behind(ctx context.Context) (mark uint64, waits bool, err error) {
	h, err := m.loadHorizon(ctx)
	if err != nil {
		return 0, false, err
	}
	if revision, ok := h.at.Exactly(); ok {
		mark = uint64(revision) + 1
	}
	newest := event.AllRead{From: event.PositionEnd, Direction: event.Backwards, Limit: 1, Filter: m.Filter()}
	err = m.c.Ledger.Store.ReadAll(ctx, newest, func(e event.Recorded) error {
		waits = h.Seen == nil || *h.Seen < e.Position
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("reading the newest event that concerns the matcher: %w", err)
	}
	return mark, waits, nil
}

// horizon is the matcher's checkpoint, and where its stream stands.
type horizon struct {
	checkpoint.RunnerCheckpointed
	at event.Expected
}

func (m *Matcher) loadHorizon(ctx context.Context) (h horizon, err error) {
	h.at, err = commands.LoadLatest(ctx, m.c.Ledger.Store, checkpoint.RunnerStream(matcherName), &h.RunnerCheckpointed)
	if err != nil {
		return h, fmt.Errorf("loading the horizon of the matcher: %w", err)
	}
	return h, nil
}

// session is one subscription with a matcher of its own.
type session struct {
	*Matcher // that knows what was observed
	mu       sync.Mutex
	horizon  horizon
	last     time.Time      // of a save
	seen     event.Position // observed and confirmed
	told     event.Position // of it, when that was last saved
}

func (m *Matcher) session(ctx context.Context, working func()) error {
	h, err := m.loadHorizon(ctx)
	if err != nil {
		return err
	}
	var after *event.Position
	if !h.at.IsNoStream() {
		after = &h.Position
	}
	s := &session{Matcher: NewMatcher(m.c), horizon: h, last: time.Now()}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if m.Lease != nil {
		told := make(chan struct{})
		defer func() { <-told }()
		defer cancel(nil)
		go func() {
			defer close(told)
			cancel(s.tell(ctx))
		}()
	}
	err = m.c.Ledger.Store.Subscribe(ctx, event.Subscription{After: after, Filter: m.Filter()}, event.Handler{
		Event: func(e event.Recorded) error {
			fits, err := s.Observe(ctx, e)
			if err != nil {
				return err
			}
			for _, f := range fits {
				if err := m.Confirm(ctx, f); err != nil {
					return err
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen = e.Position
			if time.Since(s.last) < matcherSaveEvery {
				return nil
			}
			s.last = time.Now()
			if h := s.Horizon(e.Position); h > s.horizon.Position {
				return s.save(ctx, checkpoint.RunnerCheckpointed{Position: h, Seen: s.horizon.Seen})
			}
			return nil
		},
		CaughtUp: func(event.Position) error { working(); return nil },
	})
	return errors.Join(err, context.Cause(ctx))
}

// tell saves how far the matcher has looked, for rivals, until ctx ends.
func (s *session) tell(ctx context.Context) error {
	tick := time.NewTicker(matcherTellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.tellOnce(ctx); err != nil {
			return err
		}
	}
}

func (s *session) tellOnce(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == s.told {
		return nil
	}
	c := checkpoint.RunnerCheckpointed{Position: max(s.Horizon(s.seen), s.horizon.Position), Seen: new(s.seen)}
	if before := s.horizon.Seen; before != nil { // what an earlier session had seen is seen again
		*c.Seen = max(*c.Seen, *before)
	}
	s.last, s.told = time.Now(), s.seen
	return s.save(ctx, c)
}

// save answers an error only if another matcher has saved: what could not be saved now
// is saved the next time.
func (s *session) save(ctx context.Context, c checkpoint.RunnerCheckpointed) error {
	saved, err := commands.AppendOperational(ctx, s.c.Ledger.Store, checkpoint.RunnerStream(matcherName), s.horizon.at, "RunnerCheckpointed", c)
	if errors.Is(err, event.ErrWrongVersion) {
		return fmt.Errorf("saving the horizon of the matcher: %w", err)
	}
	if err == nil {
		s.horizon = horizon{c, event.Exact(saved)}
	}
	return nil
}
