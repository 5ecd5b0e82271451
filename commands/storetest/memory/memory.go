// Package memory is an event store in memory, for tests that need time or faults in
// their own hands: it waits for nothing but its callers, so that it works in a
// testing/synctest bubble, and it breaks where a test asks for it. It passes the suite of
// commands/storetest.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/domain/event"
)

// Limits of the store.
const (
	maxAppendBytes = 4 << 20
	// checkpointEvery is after how many events that do not pass its filter a
	// subscription reports how far it has looked.
	checkpointEvery = 256
)

// Store is an empty event store as it stands.
type Store struct {
	// AppendFault, if it is set, is asked before each append: an error is returned, and
	// happened reports whether the append took place all the same. It may block.
	AppendFault func(stream string, events []event.New) (err error, happened bool) //nolint:revive // the error is the fault, not its failure
	// ReadFault, if it is set, is asked before each read and for each event that a
	// subscription delivers; an error ends it.
	ReadFault func(stream string) error

	mu      sync.Mutex
	all     []event.Recorded
	streams map[string][]int
	changed chan struct{} // closed by the next append
}

var _ commands.Store = (*Store)(nil)

// Append writes all events or none.
func (s *Store) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if err := check(stream, events); err != nil {
		return event.Appended{}, err
	}
	if ctx.Err() != nil {
		return event.Appended{}, fmt.Errorf("%w: %w", event.ErrUnavailable, ctx.Err())
	}
	if s.AppendFault != nil {
		if err, happened := s.AppendFault(stream, events); err != nil {
			if happened {
				_, _ = s.append(stream, expected, events) // the caller does not get to know
			}
			return event.Appended{}, err
		}
	}
	return s.append(stream, expected, events)
}

func check(stream string, events []event.New) error {
	if stream == "" || len(events) == 0 {
		return event.ErrInvalid
	}
	size := 0
	for _, e := range events {
		if id, err := uuid.Parse(e.ID); err != nil || id.String() != e.ID || e.Type == "" {
			return event.ErrInvalid
		}
		size += len(e.Data) + len(e.Metadata)
	}
	if size > maxAppendBytes {
		return event.ErrTooLarge
	}
	return nil
}

func (s *Store) append(stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if done, ok := s.repeated(stream, expected, events); ok {
		return done, nil
	}
	n := len(s.streams[stream])
	m, described := s.metadata(stream)
	exact, isExact := expected.Exactly()
	switch {
	case expected.IsStreamExists() && m.deleted():
		return event.Appended{}, &event.StreamDeleted{Stream: stream}
	case expected.IsNoStream() && n > 0 && !m.deleted(),
		expected.IsStreamExists() && n == 0 && described == nil,
		isExact && (n == 0 || event.Revision(n-1) != exact):
		wrong := &event.WrongVersion{Stream: stream, Expected: expected, NoStream: n == 0}
		if n > 0 {
			wrong.Actual = event.Revision(n - 1)
		}
		return event.Appended{}, wrong
	}
	last := s.write(stream, events)
	if m.deleted() {
		s.bringBack(stream, event.Revision(n))
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return event.Appended{Revision: last.Revision, Position: last.Position}, nil
}

// write returns the last event as recorded; with mu held.
func (s *Store) write(stream string, events []event.New) event.Recorded {
	if s.streams == nil {
		s.streams = map[string][]int{}
	}
	var last event.Recorded
	for _, e := range events {
		last = event.Recorded{
			Stream: stream, Revision: event.Revision(len(s.streams[stream])), Position: event.Position(len(s.all)),
			ID: e.ID, Type: e.Type, Data: slices.Clone(e.Data), Metadata: slices.Clone(e.Metadata),
			Binary: e.Binary, Created: time.Now(),
		}
		s.streams[stream] = append(s.streams[stream], len(s.all))
		s.all = append(s.all, last)
	}
	return last
}

// repeated recognises an append by its event ids at the place where it was made.
func (s *Store) repeated(stream string, expected event.Expected, events []event.New) (event.Appended, bool) {
	from := 0
	if exact, ok := expected.Exactly(); ok {
		from = int(exact) + 1
	} else if !expected.IsNoStream() {
		return event.Appended{}, false
	}
	has := s.streams[stream]
	if from+len(events) > len(has) {
		return event.Appended{}, false
	}
	for i, e := range events {
		if s.all[has[from+i]].ID != e.ID {
			return event.Appended{}, false
		}
	}
	last := s.all[has[from+len(events)-1]]
	return event.Appended{Revision: last.Revision, Position: last.Position}, true
}

// ReadStream hands over what the stream holds as the read begins.
func (s *Store) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if s.ReadFault != nil {
		if err := s.ReadFault(read.Stream); err != nil {
			return err
		}
	}
	s.mu.Lock()
	found, m := s.visible(read.Stream)
	exists := len(s.streams[read.Stream]) > 0 && !m.deleted()
	s.mu.Unlock()
	if !exists {
		return event.ErrStreamNotFound
	}
	if read.Direction == event.Backwards {
		found = slices.DeleteFunc(found, func(e event.Recorded) bool { return e.Revision > read.From })
		slices.Reverse(found)
	} else {
		found = slices.DeleteFunc(found, func(e event.Recorded) bool { return e.Revision < read.From })
	}
	return hand(ctx, found, read.Limit, visit)
}

// ReadAll hands over what $all holds as the read begins.
func (s *Store) ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	if s.ReadFault != nil {
		if err := s.ReadFault("$all"); err != nil {
			return err
		}
	}
	var found []event.Recorded
	for _, e := range s.All() {
		within := e.Position >= read.From
		if read.Direction == event.Backwards {
			within = e.Position < read.From
		}
		if within && read.Filter.Passes(e.Stream, e.Type) {
			found = append(found, e)
		}
	}
	if read.Direction == event.Backwards {
		slices.Reverse(found)
	}
	return hand(ctx, found, read.Limit, visit)
}

func hand(ctx context.Context, events []event.Recorded, limit int, visit func(event.Recorded) error) error {
	for i, e := range events {
		if limit > 0 && i == limit {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", event.ErrUnavailable, ctx.Err())
	}
	return nil
}

// Subscribe delivers until ctx ends or a handler errs.
func (s *Store) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	next := 0
	if sub.After != nil {
		next = int(*sub.After) + 1
	}
	caughtUp, looked := false, 0
	for ctx.Err() == nil {
		s.mu.Lock()
		fresh := s.all[min(next, len(s.all)):]
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		for _, e := range fresh {
			next = int(e.Position) + 1
			if ctx.Err() != nil {
				return nil
			}
			if looked++; !sub.Filter.Passes(e.Stream, e.Type) {
				if looked%checkpointEvery == 0 && h.Checkpoint != nil {
					if err := h.Checkpoint(e.Position); err != nil {
						return err
					}
				}
				continue
			}
			if s.ReadFault != nil {
				if err := s.ReadFault(e.Stream); err != nil {
					return err
				}
			}
			if h.Event == nil {
				continue
			}
			if err := h.Event(e); err != nil {
				return err
			}
		}
		if len(fresh) > 0 {
			continue
		}
		if !caughtUp {
			caughtUp = true
			if h.CaughtUp != nil {
				if err := h.CaughtUp(event.Position(max(next, 1) - 1)); err != nil {
					return err
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// All returns every event in the order of $all.
func (s *Store) All() []event.Recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[:len(s.all):len(s.all)]
}

// Stream returns the events of one stream.
func (s *Store) Stream(stream string) []event.Recorded {
	var found []event.Recorded
	for _, e := range s.All() {
		if e.Stream == stream {
			found = append(found, e)
		}
	}
	return found
}
