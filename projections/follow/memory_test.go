package follow_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"recapito/domain/catalogue"
	"recapito/domain/event"
)

// memory is an event store in memory: Source and Journal. Positions have gaps.
type memory struct {
	mu      sync.Mutex
	all     []event.Recorded
	streams map[string][]int
	more    chan struct{}
	appends int // of any stream
	handed  int // events by subscriptions
	// onHanded, if any, is told of each of them.
	onHanded func(handed int)
}

func newMemory() *memory {
	return &memory{streams: map[string][]int{}, more: make(chan struct{})}
}

func (m *memory) Append(_ context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	here := m.streams[stream]
	if exact, ok := expected.Exactly(); expected.IsNoStream() && len(here) > 0 || ok && int(exact) != len(here)-1 {
		return event.Appended{}, &event.WrongVersion{
			Stream: stream, Expected: expected, Actual: event.Revision(max(len(here)-1, 0)), NoStream: len(here) == 0,
		}
	}
	for _, e := range events {
		position := event.Position(0)
		if n := len(m.all); n > 0 {
			position = m.all[n-1].Position + 1 + event.Position(n%3)
		}
		m.streams[stream] = append(m.streams[stream], len(m.all))
		m.all = append(m.all, event.Recorded{
			Stream: stream, Revision: event.Revision(len(m.streams[stream]) - 1), Position: position,
			ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata, Created: time.Now(),
		})
	}
	m.appends++
	close(m.more)
	m.more = make(chan struct{})
	last := m.all[len(m.all)-1]
	return event.Appended{Revision: last.Revision, Position: last.Position}, nil
}

func (m *memory) ReadStream(_ context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if read.Direction != event.Backwards || read.From != event.RevisionEnd || read.Limit < 1 {
		return errors.New("the tests' store reads a stream only for its newest events")
	}
	m.mu.Lock()
	here := m.streams[read.Stream]
	if len(here) == 0 {
		m.mu.Unlock()
		return event.ErrStreamNotFound
	}
	var newest []event.Recorded
	for _, at := range here[max(0, len(here)-read.Limit):] {
		newest = append(newest, m.all[at])
	}
	m.mu.Unlock()
	slices.Reverse(newest)
	for _, r := range newest {
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) ReadAll(_ context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	events, _ := m.snapshot()
	backwards := read.Direction == event.Backwards
	n := 0
	for i := range events {
		e := events[i]
		if backwards {
			e = events[len(events)-1-i]
		}
		if backwards && e.Position >= read.From || !backwards && e.Position < read.From || !read.Filter.Passes(e.Stream, e.Type) {
			continue
		}
		if err := visit(e); err != nil {
			return err
		}
		if n++; n == read.Limit {
			return nil
		}
	}
	return nil
}

func (m *memory) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	next, live := 0, false
	for ctx.Err() == nil {
		events, more := m.snapshot()
		for ; next < len(events); next++ {
			e := events[next]
			if sub.After != nil && e.Position <= *sub.After || !sub.Filter.Passes(e.Stream, e.Type) {
				continue
			}
			m.hand()
			if err := h.Event(e); err != nil {
				return err
			}
		}
		if !live {
			live = true
			if err := h.CaughtUp(0); err != nil {
				return err
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
	return nil
}

func (m *memory) hand() {
	m.mu.Lock()
	m.handed++
	n, told := m.handed, m.onHanded
	m.mu.Unlock()
	if told != nil {
		told(n)
	}
}

func (m *memory) handedOut() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handed
}

func (m *memory) snapshot() ([]event.Recorded, chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clip(m.all), m.more
}

// ledger are the ledger events, in order.
func (m *memory) ledger() []event.Recorded {
	events, _ := m.snapshot()
	var ledger []event.Recorded
	for _, e := range events {
		if catalogue.IsLedger(e.Stream) {
			ledger = append(ledger, e)
		}
	}
	return ledger
}

func (m *memory) appendCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appends
}
