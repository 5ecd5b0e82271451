package persistent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// Log is what groups need of an eventlog.Log.
type Log interface {
	Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error)
	ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error
	Follow(ctx context.Context, f eventlog.Following, to eventlog.Follower) error
	FollowStream(ctx context.Context, stream string, from event.Revision, to eventlog.Follower) error
	Last() event.Position
}

// changeTimeout is for a change of the groups: it may have to find the end of a stream of
// links that was not indexed yet.
const changeTimeout = time.Minute

// Options of a manager. All are required.
type Options struct {
	Log Log
	// Resolve reads what a link points to, and reports whether it is there.
	Resolve func(ctx context.Context, link event.Recorded) (event.Recorded, bool, error)
	// Compile makes a filter usable, or returns an *Invalid.
	Compile func(Filter) (eventlog.Match, error)
	Logger  *slog.Logger
	Now     func() time.Time
}

// Manager has the groups of a log. It is safe for use by many goroutines.
type Manager struct {
	options Options

	mu     sync.RWMutex // held for writing while groups change, their writes included
	closed bool
	config configuration
	groups map[Key]*group
}

// Open starts the groups that the log knows of.
func Open(ctx context.Context, o Options) (*Manager, error) {
	m := &Manager{options: o}
	if err := m.load(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close ends all groups and their consumers. Later calls return event.ErrUnavailable.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.endAll()
}

func (m *Manager) endAll() {
	var ended sync.WaitGroup
	for _, g := range m.groups {
		ended.Go(g.end)
	}
	ended.Wait()
	m.groups = nil
}

func (m *Manager) load(ctx context.Context) error {
	m.config, m.groups = configuration{Version: "2"}, map[Key]*group{}
	e, found, err := last(ctx, m.options.Log, configStream)
	if err != nil || !found {
		return err
	}
	if m.config, err = parseConfiguration(e.Data); err != nil {
		return err
	}
	for _, entry := range m.config.Entries {
		if m.groups[entry.Key()] != nil {
			continue // the first counts
		}
		if err := m.run(ctx, entry); err != nil {
			m.options.Logger.Error("event store: a persistent subscription cannot start", "group", entry.Key().String(), "error", err)
		}
	}
	return nil
}

// run starts a group. One that cannot start is there, to be changed or deleted, and
// gives its consumers the error.
func (m *Manager) run(ctx context.Context, e entry) error {
	g := newGroup(m.options, e.Settings)
	m.groups[e.Key()] = g
	before, err := m.before(ctx, e)
	if err == nil {
		err = g.start(ctx, before)
	}
	if err != nil { // nothing of it runs, so nothing else looks at its fault
		err = fmt.Errorf("start the group %s: %w", e.Key(), err)
		g.fault = err
	}
	return err
}

// before is the place after which a group begins without a checkpoint.
func (m *Manager) before(ctx context.Context, e entry) (int64, error) {
	switch {
	case e.Start != FromEnd:
		return e.Start - 1, nil
	case e.EndedAt != nil:
		return *e.EndedAt, nil
	}
	return m.end(ctx, e.Stream) // EventStoreDB made it
}

// end is where a source ends now, -1 for nothing there.
func (m *Manager) end(ctx context.Context, stream string) (int64, error) {
	if stream == All {
		return int64(m.options.Log.Last()), nil
	}
	e, found, err := last(ctx, m.options.Log, stream)
	if err != nil || !found {
		return -1, err
	}
	return int64(e.Revision), nil
}

// Create makes a group. Errors: ErrExists, an *Invalid, those of the log.
func (m *Manager) Create(ctx context.Context, user string, s Settings) error {
	return m.change(ctx, func(ctx context.Context) error {
		if m.groups[s.Key()] != nil {
			return ErrExists
		}
		if len(m.groups) >= maxGroups {
			return &Invalid{fmt.Sprintf("There are %d groups, no more are taken.", maxGroups)}
		}
		e, err := m.accept(ctx, s)
		if err != nil {
			return err
		}
		if err := (&streams{log: m.options.Log, key: s.Key()}).clear(ctx); err != nil {
			return err
		}
		if err := m.save(ctx, user, append(slices.Clone(m.config.Entries), e)); err != nil {
			return err
		}
		return m.run(ctx, e)
	})
}

// Update gives a group other settings; its filter stays, its consumers are dropped, and
// it goes on where it was or, if it has come nowhere yet, from the new start. Errors:
// ErrNotFound, an *Invalid, those of the log.
func (m *Manager) Update(ctx context.Context, user string, s Settings) error {
	return m.change(ctx, func(ctx context.Context) error {
		old := m.groups[s.Key()]
		if old == nil {
			return ErrNotFound
		}
		s.Filter = old.settings.Filter
		e, err := m.accept(ctx, s)
		if err != nil {
			return err
		}
		entries := slices.Clone(m.config.Entries)
		i := slices.IndexFunc(entries, func(e entry) bool { return e.Key() == s.Key() })
		entries[i] = e
		if err := m.save(ctx, user, entries); err != nil {
			return err
		}
		old.end()
		delete(m.groups, s.Key())
		return m.run(ctx, e)
	})
}

// Delete ends a group and forgets its place and its parked messages. Errors:
// ErrNotFound, those of the log.
func (m *Manager) Delete(ctx context.Context, user string, k Key) error {
	return m.change(ctx, func(ctx context.Context) error {
		g := m.groups[k]
		if g == nil {
			return ErrNotFound
		}
		entries := slices.DeleteFunc(slices.Clone(m.config.Entries), func(e entry) bool { return e.Key() == k })
		if err := m.save(ctx, user, entries); err != nil {
			return err
		}
		g.end()
		delete(m.groups, k)
		return g.store.clear(ctx)
	})
}

// Restart ends all groups and starts them anew from what is stored.
func (m *Manager) Restart(ctx context.Context) error {
	return m.change(ctx, func(ctx context.Context) error {
		m.endAll()
		return m.load(ctx)
	})
}

// change lets f change the groups, alone. It is not given up halfway when its caller is.
func (m *Manager) change(ctx context.Context, f func(context.Context) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return event.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	err := f(ctx)
	if errors.Is(err, event.ErrInvalid) { // the log takes no such name
		return &Invalid{"Bad stream name."}
	}
	return err
}

// accept checks settings and makes an entry of them.
func (m *Manager) accept(ctx context.Context, s Settings) (entry, error) {
	if err := s.validate(int64(m.options.Log.Last())); err != nil {
		return entry{}, err
	}
	if s.Filter != nil {
		if _, err := m.options.Compile(*s.Filter); err != nil {
			return entry{}, err
		}
	}
	e := newEntry(s)
	if s.Start == FromEnd {
		end, err := m.end(ctx, s.Stream)
		if err != nil {
			return entry{}, err
		}
		e.EndedAt = &end
	}
	return e, nil
}

// save writes the groups as they will be.
func (m *Manager) save(ctx context.Context, user string, entries []entry) error {
	if m.config.Updated.IsZero() {
		s := streams{log: m.options.Log}
		if err := s.describe(ctx, configStream, metadata{MaxCount: 2}); err != nil {
			return err
		}
	}
	c := configuration{Version: "2", Updated: m.options.Now().UTC(), UpdatedBy: user, Entries: entries}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = m.options.Log.Append(ctx, configStream, event.Any(), []event.New{{ID: uuid.NewString(), Type: configType, Data: data}})
	if errors.Is(err, event.ErrTooLarge) {
		return &Invalid{"The settings of all groups together are too large to be stored."}
	}
	if err == nil {
		m.config = c
	}
	return err
}

// group returns a running one.
func (m *Manager) group(k Key) (*group, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, event.ErrUnavailable
	}
	g := m.groups[k]
	if g == nil {
		return nil, ErrNotFound
	}
	return g, nil
}

// Connect makes a consumer. It must Leave. Errors: ErrNotFound, ErrMaxSubscribers, and
// why the group cannot read on.
func (m *Manager) Connect(k Key, c Connection) (*Consumer, error) {
	g, err := m.group(k)
	if err != nil {
		return nil, err
	}
	consumer := newConsumer(g, c)
	return consumer, g.join(consumer)
}

// Replay sends parked messages again: those before a revision of the parked stream or,
// if that is negative, all.
func (m *Manager) Replay(k Key, before int64) error {
	g, err := m.group(k)
	if err != nil {
		return err
	}
	g.replay(before)
	return nil
}

// Info is the state of a group.
func (m *Manager) Info(k Key) (Info, error) {
	g, err := m.group(k)
	if err != nil {
		return Info{}, err
	}
	return g.info(), nil
}

// List returns the state of the groups of a stream, or of all for an empty name, by name.
func (m *Manager) List(stream string) ([]Info, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, event.ErrUnavailable
	}
	var all []Info
	for k, g := range m.groups {
		if stream == "" || k.Stream == stream {
			all = append(all, g.info())
		}
	}
	if stream != "" && all == nil {
		return nil, ErrNotFound
	}
	slices.SortFunc(all, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Settings.Stream, b.Settings.Stream), cmp.Compare(a.Settings.Group, b.Settings.Group))
	})
	return all, nil
}

// shorten cuts a text that a client gave to what is kept of it.
func shorten(text string) string {
	if len(text) <= maxReasonBytes {
		return text
	}
	cut := maxReasonBytes
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}
