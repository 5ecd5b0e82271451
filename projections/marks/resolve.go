package marks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/domain/event"
	"recapito/domain/mark"
)

// Limits of resolving.
const (
	resolveTimeout = 30 * time.Second
	resolveTries   = 16   // of a mark that others are quicker to append
	maxCuts        = 1024 // remembered
)

// ErrFuture and *BeforeMarks are errors of an as-of time that its caller can mend.
var ErrFuture = errors.New("the time is in the future")

// BeforeMarks: a time is before the first mark of the ledger, so what was known then was
// never fixed.
type BeforeMarks struct{ First time.Time }

func (e *BeforeMarks) Error() string {
	return "the time is before the first mark of the ledger, which is of " + e.First.Format(time.RFC3339Nano)
}

// Resolve returns the cut of an as-of time: the last mark at or before it. Where there is
// none at or after it yet, one is appended for this very time, counting what was recorded
// by then, so that the result never changes. Errors: ErrFuture, *BeforeMarks, or one of the
// event store. Any instance can resolve.
func (m *Timeline) Resolve(ctx context.Context, asOf time.Time) (Cut, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if asOf.After(m.now()) {
		return Cut{}, ErrFuture
	}
	asOf = asOf.UTC().Truncate(mark.Tick)
	newest, known := m.remembered(asOf)
	if known != nil {
		return *known, nil
	}
	var found mark.Marked
	var err error
	if newest.some && !newest.Time.Before(asOf) {
		found, err = m.search(ctx, newest, asOf)
	} else {
		found, err = m.close(ctx, asOf)
	}
	if err != nil {
		return Cut{}, err
	}
	cut := Cut{Seq: found.Seq, MarkTime: found.Time}
	if found.Seq > 0 {
		r, there, err := m.stream.eventAt(ctx, found.Position)
		if err != nil {
			return Cut{}, err
		}
		if there && r.ID == found.LastID {
			cut.Position = &found.Position
		}
	}
	m.remember(asOf, cut)
	return cut, nil
}

// remembered returns the newest mark that was seen, and the cut of asOf if it is known.
func (m *Timeline) remembered(asOf time.Time) (numbered, *Cut) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cut, known := m.cuts[asOf.UnixMicro()]; known {
		return m.seen, &cut
	}
	return m.seen, nil
}

func (m *Timeline) remember(asOf time.Time, cut Cut) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.cuts) >= maxCuts {
		clear(m.cuts)
	}
	m.cuts[asOf.UnixMicro()] = cut
}

func (m *Timeline) saw(newest numbered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.seen.some || m.seen.revision < newest.revision {
		m.seen = newest
	}
}

// close returns the last mark at or before asOf, after making sure that there is one at or
// after it.
func (m *Timeline) close(ctx context.Context, asOf time.Time) (mark.Marked, error) {
	for range resolveTries {
		newest, some, err := m.stream.newest(ctx)
		if err != nil {
			return mark.Marked{}, err
		}
		if some {
			m.saw(newest)
			if !newest.Time.Before(asOf) {
				return m.search(ctx, newest, asOf)
			}
		}
		next, err := m.stream.closing(ctx, newest, asOf)
		if err != nil {
			return mark.Marked{}, err
		}
		appended, err := m.stream.append(ctx, newest, next)
		if err == nil {
			m.saw(appended)
			return appended.Marked, nil
		}
		if !errors.Is(err, event.ErrWrongVersion) {
			return mark.Marked{}, err
		}
	}
	return mark.Marked{}, fmt.Errorf("marking a time: %w", event.ErrUnavailable)
}

// search finds the last mark at or before asOf; newest is not before it. What is asked for
// is mostly recent, so it goes back from the end in growing steps, then halves.
func (m *Timeline) search(ctx context.Context, newest numbered, asOf time.Time) (mark.Marked, error) {
	if newest.Time.Equal(asOf) {
		return newest.Marked, nil
	}
	late := newest // after asOf; early is at or before it
	var early numbered
	for step := event.Revision(1); ; step *= 2 {
		if late.revision == 0 {
			return mark.Marked{}, &BeforeMarks{First: late.Time}
		}
		one, err := m.stream.at(ctx, late.revision-min(step, late.revision))
		if err != nil {
			return mark.Marked{}, err
		}
		if !one.Time.After(asOf) {
			early = one
			break
		}
		late = one
	}
	for late.revision-early.revision > 1 {
		one, err := m.stream.at(ctx, early.revision+(late.revision-early.revision)/2)
		if err != nil {
			return mark.Marked{}, err
		}
		if one.Time.After(asOf) {
			late = one
		} else {
			early = one
		}
	}
	return early.Marked, nil
}
