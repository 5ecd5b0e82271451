package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

const (
	matcherName      = "matcher"
	matcherSaveEvery = 10 * time.Second
)

// Run follows $all from the saved horizon until ctx ends; a lost subscription is taken
// up again with a matcher that knows nothing.
func (m *Matcher) Run(ctx context.Context) error {
	pause := retryPauseFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := m.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > steadySession {
			pause = retryPauseFirst
		}
		m.log.Warn("matcher: will be taken up again", "error", err)
		sleep(ctx, pause)
		pause = min(2*pause, retryPauseMost)
	}
	return nil
}

func (m *Matcher) session(ctx context.Context) error {
	var c checkpoint.RunnerCheckpointed
	stream := checkpoint.RunnerStream(matcherName)
	at, err := LoadLatest(ctx, m.n.ledger.Store, stream, &c)
	if err != nil {
		return fmt.Errorf("loading the horizon of the matcher: %w", err)
	}
	var after *event.Position
	if !at.IsNoStream() {
		after = &c.Position
	}
	fresh := NewMatcher(m.n, m.log)
	last := time.Now()
	return m.n.ledger.Store.Subscribe(ctx, event.Subscription{After: after, Filter: m.Filter()}, event.Handler{
		Event: func(e event.Recorded) error {
			fits, err := fresh.Observe(ctx, e)
			if err != nil {
				return err
			}
			for _, f := range fits {
				if err := m.Confirm(ctx, f); err != nil {
					return err
				}
			}
			if time.Since(last) < matcherSaveEvery {
				return nil
			}
			last = time.Now()
			horizon := fresh.Horizon(e.Position)
			if horizon <= c.Position {
				return nil
			}
			c.Position = horizon
			saved, err := AppendOperational(ctx, m.n.ledger.Store, stream, at, "RunnerCheckpointed", c)
			if errors.Is(err, event.ErrWrongVersion) {
				return fmt.Errorf("saving the horizon of the matcher: %w", err)
			}
			if err == nil {
				at = event.Exact(saved)
			}
			return nil
		},
	})
}
