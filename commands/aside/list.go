// Package aside keeps the list of stored events that consumers could not take: what does not
// decode, lacks its metadata or breaks a rule of its aggregate. A consumer sets such an event
// aside, once, and goes on; nothing that is stored stops it.
package aside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/domain/aside"
	"recapito/domain/event"
)

const (
	// MaxListed is how many events of a consumer are listed, the newest; more are in the
	// store.
	MaxListed = 1000
	// countedFor is how long a count is not read anew.
	countedFor = 5 * time.Second
	// storeTimeout bounds one reading or writing of the list.
	storeTimeout = 10 * time.Second
)

// Entry is an event that was set aside.
type Entry struct {
	Consumer string
	aside.EventSetAside
}

// ID names an entry.
func (e Entry) ID() string { return e.Consumer + "@" + strconv.FormatUint(uint64(e.Position), 10) }

// List is safe for concurrent use. Several instances share it by the store.
type List struct {
	store commands.Store
	log   *slog.Logger
	now   func() time.Time

	mu        sync.Mutex
	consumers map[string]*consumer

	counting  sync.Mutex
	counted   int
	countedAt time.Time
}

type consumer struct {
	retry func(context.Context, event.Recorded) error // nil: it takes nothing again
	known map[event.Position]bool                     // set aside; nil until the list was read
}

// New makes the list over a store.
func New(store commands.Store, log *slog.Logger, now func() time.Time) *List {
	return &List{store: store, log: log, now: now, consumers: map[string]*consumer{}}
}

// Of makes a consumer known. retry takes an event again that was set aside: an error that
// event.AsUnreadable finds is that it still cannot. nil: what the consumer makes is made
// anew.
func (l *List) Of(name string, retry func(context.Context, event.Recorded) error) *Consumer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.consumers[name] = &consumer{retry: retry}
	return &Consumer{l, name}
}

// Consumer is what one consumer has of the list. A nil one has none: nothing is set aside.
type Consumer struct {
	list *List
	name string
}

// Take runs what handles an event. If the event cannot be taken it is set aside, and that is
// no error; any other error is the handler's.
func (c *Consumer) Take(ctx context.Context, r event.Recorded, handle func() error) error {
	err := event.Guarded(r, handle)
	if err == nil || c == nil {
		return err
	}
	if u, found := event.AsUnreadable(r, err); found {
		return c.Set(ctx, event.NotRead(r, u.Why))
	}
	return err
}

// Set records an event as set aside. Returned nil, that is durable.
func (c *Consumer) Set(ctx context.Context, u *event.Unreadable) error {
	l := c.list
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	known, err := l.known(ctx, c.name, u.Position)
	if known || err != nil {
		return err
	}
	record := aside.EventSetAside{Stream: u.Stream, Revision: u.Revision, Position: u.Position, Type: u.Type, Why: u.Why, At: l.now()}
	if err := l.append(ctx, c.name, "EventSetAside", record); err != nil {
		return err
	}
	l.log.Error("a stored event cannot be taken and was set aside", "consumer", c.name, "stream", u.Stream, "revision", u.Revision, "position", u.Position, "type", u.Type, "why", u.Why)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.consumers[c.name].known[u.Position] = true
	return nil
}

// known reports whether an event is set aside. The list is read once: only its consumer adds
// to it, and what another instance adds meanwhile is listed once.
func (l *List) known(ctx context.Context, name string, at event.Position) (bool, error) {
	l.mu.Lock()
	of := l.consumers[name]
	read := of.known == nil
	l.mu.Unlock()
	var entries []Entry
	if read {
		var err error
		if entries, err = l.entries(ctx, name); err != nil {
			return false, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if of.known == nil {
		of.known = map[event.Position]bool{}
	}
	for _, e := range entries {
		of.known[e.Position] = true
	}
	return of.known[at], nil
}

func (l *List) append(ctx context.Context, consumer, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	_, err = l.store.Append(ctx, aside.Stream(consumer), event.Any(), []event.New{{ID: uuid.NewString(), Type: name, Data: data}})
	if err != nil {
		return fmt.Errorf("recording what was set aside: %w", err)
	}
	return nil
}

// Entries returns what is set aside and was not taken up since, of every consumer known
// here, oldest first.
func (l *List) Entries(ctx context.Context) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	l.mu.Lock()
	names := make([]string, 0, len(l.consumers))
	for name := range l.consumers {
		names = append(names, name)
	}
	l.mu.Unlock()
	slices.Sort(names)
	var all []Entry
	for _, name := range names {
		entries, err := l.entries(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// Count returns how many entries there are, as of some seconds ago.
func (l *List) Count(ctx context.Context) (int, error) {
	l.counting.Lock()
	defer l.counting.Unlock()
	if age := l.now().Sub(l.countedAt); !l.countedAt.IsZero() && age >= 0 && age < countedFor {
		return l.counted, nil
	}
	entries, err := l.Entries(ctx)
	if err != nil {
		return l.counted, err
	}
	l.counted, l.countedAt = len(entries), l.now()
	return l.counted, nil
}

// entries reads the newest records of a consumer. One of its own that cannot be read is
// left out.
func (l *List) entries(ctx context.Context, consumer string) ([]Entry, error) {
	var all []Entry
	takenUp := map[event.Position]bool{}
	read := event.StreamRead{Stream: aside.Stream(consumer), From: event.RevisionEnd, Direction: event.Backwards, Limit: MaxListed}
	err := l.store.ReadStream(ctx, read, func(r event.Recorded) error {
		switch r.Type {
		case "EventSetAside":
			e := Entry{Consumer: consumer}
			if json.Unmarshal(r.Data, &e.EventSetAside) == nil && !takenUp[e.Position] {
				takenUp[e.Position] = true // once
				all = append(all, e)
			}
		case "EventTakenUp":
			var e aside.EventTakenUp
			if json.Unmarshal(r.Data, &e) == nil {
				takenUp[e.Position] = true
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return nil, fmt.Errorf("reading what was set aside: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}

// Errors of Retry.
var (
	ErrNoEntry  = errors.New("nothing of that id is set aside")
	ErrNoRetry  = errors.New("it is taken again when its table is rebuilt (a projection), or when an instance starts (the matcher, the deadlines)")
	ErrStillNot = errors.New("the event still cannot be taken")
)

// Retry has a consumer take an event again, and records that it has. Errors: ErrNoEntry,
// ErrNoRetry, ErrStillNot, those of the store.
func (l *List) Retry(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	name, _, _ := strings.Cut(id, "@")
	l.mu.Lock()
	of := l.consumers[name]
	l.mu.Unlock()
	if of == nil {
		return ErrNoEntry
	}
	entries, err := l.entries(ctx, name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.ID() == id })
	switch {
	case i < 0:
		return ErrNoEntry
	case of.retry == nil:
		return ErrNoRetry
	}
	e := entries[i]
	found := false
	var taking error // apart from the reading's
	err = l.store.ReadStream(ctx, event.StreamRead{Stream: e.Stream, From: e.Revision, Limit: 1}, func(r event.Recorded) error {
		found = true
		taking = event.Guarded(r, func() error { return of.retry(ctx, r) })
		if _, unreadable := event.AsUnreadable(r, taking); unreadable {
			taking = fmt.Errorf("%w: %w", ErrStillNot, taking)
		}
		return nil
	})
	switch {
	case errors.Is(err, event.ErrStreamNotFound), errors.Is(err, event.ErrStreamDeleted), err == nil && !found:
		// It is gone: there is nothing to take any more.
	case err != nil || taking != nil:
		return errors.Join(err, taking)
	}
	if err := l.append(ctx, name, "EventTakenUp", aside.EventTakenUp{Position: e.Position, At: l.now()}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(of.known, e.Position)
	return nil
}
