package marks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"recapito/domain/event"
	"recapito/domain/mark"
	"recapito/projections"
	"recapito/projections/follow"
)

// markStream reads and writes the stream of marks, and finds their places in the store.
type markStream struct {
	source     Source
	store      Store
	codec      *event.Codec // of marks
	projection string       // of every ledger event; its checkpoint counts too
}

// numbered is a mark with its revision.
type numbered struct {
	mark.Marked
	revision event.Revision
	some     bool // there is one
}

func (n numbered) place() place { return place{n.Seq, n.Position, n.LastID} }

func newMarkStream(source Source, store Store) (markStream, error) {
	codec, err := event.NewCodec(mark.Module.Definitions...)
	if err != nil {
		return markStream{}, fmt.Errorf("making the codec of marks: %w", err)
	}
	return markStream{source: source, store: store, codec: codec, projection: projections.Events().Name()}, nil
}

// newest reads the newest mark. Its revision is that of the stream's last event.
func (s markStream) newest(ctx context.Context) (numbered, bool, error) {
	n, err := s.read(ctx, event.RevisionEnd)
	return n, n.some, err
}

// at reads the mark of a revision, which must be there: none is ever removed.
func (s markStream) at(ctx context.Context, revision event.Revision) (numbered, error) {
	n, err := s.read(ctx, revision)
	if err == nil && (!n.some || n.revision != revision) {
		err = fmt.Errorf("mark %d is gone", revision)
	}
	return n, err
}

// read reads the event of a revision. One that is no mark counts as the mark before it.
func (s markStream) read(ctx context.Context, from event.Revision) (n numbered, _ error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	at, err := event.Newest(ctx, s.store, mark.Stream, from, 0, func(r event.Recorded) bool {
		if decoded, err := s.codec.Decode(ctx, nil, "", r); err == nil {
			n.Marked, n.some = decoded.(mark.Marked)
		}
		return n.some
	})
	n.revision, _ = at.Exactly()
	if err != nil {
		return numbered{}, fmt.Errorf("reading the marks: %w", err)
	}
	return n, nil
}

// append writes the mark after newest, a little later than asked for if need be.
// event.ErrWrongVersion: there is a newer one.
func (s markStream) append(ctx context.Context, newest numbered, next mark.Marked) (numbered, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	expected, revision := event.NoStream(), event.Revision(0)
	if newest.some {
		expected, revision = event.Exact(newest.revision), newest.revision+1
		if earliest := newest.Time.Add(mark.Tick); next.Time.Before(earliest) {
			next.Time = earliest
		}
	}
	name, data, err := s.codec.Encode(ctx, nil, "", mark.Stream, next)
	if err != nil {
		return numbered{}, fmt.Errorf("encoding a mark: %w", err)
	}
	e := event.New{ID: event.IDs(uuid.NewString(), 1)[0], Type: name, Data: data}
	if _, err := s.store.Append(ctx, mark.Stream, expected, []event.New{e}); err != nil {
		return numbered{}, fmt.Errorf("appending a mark: %w", err)
	}
	return numbered{next, revision, true}, nil
}

// sure returns a place from which to count: that of the newest mark, if its event is at
// the mark's position; else that of a projection's checkpoint; else the
// beginning. In a copy of the store the first is not, and there is no checkpoint.
func (s markStream) sure(ctx context.Context, newest numbered) (place, error) {
	if newest.Seq > 0 {
		r, there, err := s.eventAt(ctx, newest.Position)
		if err != nil || there && r.ID == newest.LastID {
			return newest.place(), err
		}
	}
	state, err := follow.NewestCheckpoint(ctx, s.store, s.projection)
	if err != nil {
		return place{}, err
	}
	if done := state.Live.Done; done.Events > 0 {
		r, there, err := s.eventAt(ctx, done.Position)
		if err != nil || there {
			return place{done.Events, done.Position, r.ID}, err
		}
	}
	return place{}, nil
}

// eventAt reads the ledger event at a position, if there is one.
func (s markStream) eventAt(ctx context.Context, at event.Position) (r event.Recorded, there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = s.source.ReadAll(ctx, event.AllRead{From: at, Limit: 1, Filter: projections.LedgerFilter()}, func(e event.Recorded) error {
		r, there = e, e.Position == at
		return nil
	})
	if err != nil {
		return r, false, fmt.Errorf("looking for a marked event: %w", err)
	}
	return r, there, nil
}

// closing counts the ledger events after the newest mark of which the last was recorded
// at asOf or before, and returns the mark with that number.
func (s markStream) closing(ctx context.Context, newest numbered, asOf time.Time) (mark.Marked, error) {
	from, err := s.sure(ctx, newest)
	if err != nil {
		return mark.Marked{}, err
	}
	if from.seq > newest.Seq { // a checkpoint's: it may be beyond asOf
		r, _, err := s.eventAt(ctx, from.position)
		if err != nil {
			return mark.Marked{}, err
		}
		if recordedAt(r).After(asOf) {
			from = place{}
		}
	}
	cut, n := newest.place(), from.seq
	if from.seq > newest.Seq {
		cut = from
	}
	read := event.AllRead{Filter: projections.LedgerFilter()}
	if from.seq > 0 {
		read.From = from.position + 1
	}
	err = s.source.ReadAll(ctx, read, func(r event.Recorded) error {
		n++
		switch {
		case n == newest.Seq:
			if r.ID != newest.LastID {
				return errOtherLedger
			}
			cut = place{n, r.Position, r.ID}
		case n > newest.Seq && !recordedAt(r).After(asOf):
			cut = place{n, r.Position, r.ID}
		}
		return nil
	})
	if err == nil && n < newest.Seq {
		err = errOtherLedger
	}
	if err != nil {
		return mark.Marked{}, fmt.Errorf("counting the ledger events after the newest mark: %w", err)
	}
	return mark.Marked{Time: asOf, Seq: cut.seq, Position: cut.position, LastID: cut.id}, nil
}

// recordedAt is when an event was recorded, by its writer's clock; zero if it has no time.
func recordedAt(r event.Recorded) time.Time {
	m, err := event.DecodeMetadata(r.Metadata)
	if err != nil {
		return time.Time{}
	}
	return m.RecordedAt
}
