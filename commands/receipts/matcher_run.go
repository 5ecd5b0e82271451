package receipts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"recapito/commands"
	"recapito/commands/retry"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

const (
	matcherSaveEvery = 10 * time.Second
	// matcherShowEvery is how often rivals are shown how far the matcher has looked, if it
	// has looked further: well within their patience.
	matcherShowEvery = 3 * time.Second
	// matcherAtOnce is how many receipts are decided at the same time.
	matcherAtOnce = 64
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

// behind returns, while another instance follows, whether there is what it has not seen.
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
	checkpoint.MatcherCheckpointed
	at event.Expected
}

func (m *Matcher) loadHorizon(ctx context.Context) (h horizon, err error) {
	h.at, err = commands.LoadLatest(ctx, m.c.Ledger.Store, checkpoint.MatcherStream, &h.MatcherCheckpointed)
	if err != nil {
		return h, fmt.Errorf("loading the horizon of the matcher: %w", err)
	}
	return h, nil
}

// session is one subscription with a matcher of its own.
type session struct {
	*Matcher // that knows what was observed
	deciding errgroup.Group

	mu      sync.Mutex
	horizon horizon
	last    time.Time      // of a save
	seen    event.Position // observed
	shown   event.Position // of it, when that was last saved
	busy    map[event.Position]int
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
	s := &session{Matcher: NewMatcher(m.c), horizon: h, last: time.Now(), busy: map[event.Position]int{}}
	s.unmatched = m.unmatched
	s.Knows(h.Reused)
	s.deciding.SetLimit(matcherAtOnce)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if m.Lease != nil {
		shown := make(chan struct{})
		defer func() { <-shown }()
		defer cancel(nil)
		go func() {
			defer close(shown)
			cancel(s.show(ctx))
		}()
	}
	err = m.c.Ledger.Store.Subscribe(ctx, event.Subscription{After: after, Filter: m.Filter()}, event.Handler{
		Event: func(e event.Recorded) error {
			var looks []Look
			if err := m.c.Aside.Take(ctx, e, func() (err error) {
				looks, err = s.Observe(ctx, e)
				return err
			}); err != nil {
				return err
			}
			s.decide(ctx, cancel, looks)
			return s.observed(ctx, e.Position)
		},
		CaughtUp: func(event.Position) error {
			working()
			s.decide(ctx, cancel, s.Matcher.CaughtUp())
			return nil
		},
	})
	cancel(err)
	_ = s.deciding.Wait() // each has cancelled the session with its error
	return errors.Join(err, context.Cause(ctx))
}

// decide looks at receipts in other goroutines, at most matcherAtOnce at a time. The
// horizon does not pass the events that asked for them until that is done.
func (s *session) decide(ctx context.Context, cancel context.CancelCauseFunc, looks []Look) {
	s.mu.Lock()
	for _, l := range looks {
		s.busy[l.Position]++
	}
	s.mu.Unlock()
	for _, l := range looks {
		s.deciding.Go(func() error {
			if err := s.Match(ctx, l); err != nil {
				cancel(err)
				return nil // and the horizon stays before it
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.busy[l.Position]--; s.busy[l.Position] == 0 {
				delete(s.busy, l.Position)
			}
			return nil
		})
	}
}

// observed notes how far the session has come, and saves its horizon now and then.
func (s *session) observed(ctx context.Context, p event.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = p
	if time.Since(s.last) < matcherSaveEvery {
		return nil
	}
	s.last = time.Now()
	if h := s.decidedUpTo(); h > s.horizon.Position {
		return s.save(ctx, checkpoint.MatcherCheckpointed{Position: h, Seen: s.horizon.Seen})
	}
	return nil
}

// decidedUpTo is the position before which nothing is open and nothing is being decided.
func (s *session) decidedUpTo() event.Position {
	h := s.seen
	for p := range s.busy {
		h = min(h, p-1)
	}
	return s.Horizon(h)
}

// show saves how far the matcher has looked, for rivals, until ctx ends.
func (s *session) show(ctx context.Context) error {
	tick := time.NewTicker(matcherShowEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.showOnce(ctx); err != nil {
			return err
		}
	}
}

func (s *session) showOnce(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == s.shown {
		return nil
	}
	c := checkpoint.MatcherCheckpointed{Position: max(s.decidedUpTo(), s.horizon.Position), Seen: new(s.seen)}
	if before := s.horizon.Seen; before != nil { // what an earlier session had seen is seen again
		*c.Seen = max(*c.Seen, *before)
	}
	s.last, s.shown = time.Now(), s.seen
	return s.save(ctx, c)
}

// save returns an error only if another matcher has saved: what could not be saved now
// is saved the next time.
func (s *session) save(ctx context.Context, c checkpoint.MatcherCheckpointed) error {
	c.Reused = s.Reused()
	saved, err := commands.AppendOperational(ctx, s.c.Ledger.Store, checkpoint.MatcherStream, s.horizon.at, "MatcherCheckpointed", c)
	if errors.Is(err, event.ErrWrongVersion) {
		return fmt.Errorf("saving the horizon of the matcher: %w", err)
	}
	if err == nil {
		s.horizon = horizon{c, event.Exact(saved)}
	}
	return nil
}
