package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

// checkpoints is a projection's checkpoint: what its newest event says, and how far the
// tables have got since. It is written by one session at a time.
type checkpoints struct {
	store  CheckpointStore
	codec  *event.Codec // of checkpoint events
	stream string

	mu       sync.Mutex
	state    checkpoint.ProjectionCheckpointed
	expected event.Expected
	notes    uint64        // changes in memory so far
	noted    uint64        // of them, those that are durable
	moves    chan struct{} // closed when the state changes
}

func newCheckpoints(store CheckpointStore, projection string) (*checkpoints, error) {
	codec, err := event.NewCodec(checkpoint.Definitions()...)
	if err != nil {
		return nil, fmt.Errorf("making the codec of checkpoints: %w", err)
	}
	return &checkpoints{
		store: store, codec: codec, stream: checkpoint.ProjectionStream(projection), moves: make(chan struct{}),
	}, nil
}

// NewestCheckpoint reads the newest checkpoint of a projection; its zero value if there is
// none.
func NewestCheckpoint(ctx context.Context, store CheckpointStore, projection string) (checkpoint.ProjectionCheckpointed, error) {
	c, err := newCheckpoints(store, projection)
	if err != nil {
		return checkpoint.ProjectionCheckpointed{}, err
	}
	state, _, err := c.newest(ctx)
	return state, err
}

// watch answers the state, and a channel that is closed when it is another.
func (b *checkpoints) watch() (checkpoint.ProjectionCheckpointed, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return clone(b.state), b.moves
}

// wake has who watches look again.
func (b *checkpoints) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell()
}

// tell wakes who watches; with mu held.
func (b *checkpoints) tell() {
	close(b.moves)
	b.moves = make(chan struct{})
}

// load reads the newest checkpoint; false if there is none.
func (b *checkpoints) load(ctx context.Context) (bool, error) {
	state, expected, err := b.newest(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state, b.expected, b.noted = state, expected, b.notes
	b.tell()
	return !expected.IsNoStream(), err
}

// moved says whether another instance has written the checkpoint since it was loaded or
// saved here, and what it says now.
func (b *checkpoints) moved(ctx context.Context) (checkpoint.ProjectionCheckpointed, bool, error) {
	state, expected, err := b.newest(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	return state, expected != b.expected, err
}

// newest reads the newest checkpoint, and the revision to expect of the next.
func (b *checkpoints) newest(ctx context.Context) (state checkpoint.ProjectionCheckpointed, expected event.Expected, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	expected = event.NoStream()
	newest := event.StreamRead{Stream: b.stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}
	err = b.store.ReadStream(ctx, newest, func(r event.Recorded) error {
		decoded, err := b.codec.Decode(ctx, nil, "", r)
		if err != nil {
			return err
		}
		s, ok := decoded.(checkpoint.ProjectionCheckpointed)
		if !ok {
			return fmt.Errorf("%s@%d is a %s", r.Stream, r.Revision, r.Type)
		}
		state, expected = s, event.Exact(r.Revision)
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return checkpoint.ProjectionCheckpointed{}, event.NoStream(), fmt.Errorf("reading the checkpoint: %w", err)
	}
	return state, expected, nil
}

// save changes the state and makes it durable, or neither. An error of change is
// answered as it is; after any other the session is over: what is durable must be
// loaded again.
func (b *checkpoints) save(ctx context.Context, change func(*checkpoint.ProjectionCheckpointed) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	next := clone(b.state)
	if err := change(&next); err != nil {
		return err
	}
	name, data, err := b.codec.Encode(ctx, nil, "", b.stream, next)
	if err != nil {
		return fmt.Errorf("encoding the checkpoint: %w", err)
	}
	if b.expected.IsNoStream() {
		metadata, limits := checkpoint.Limits(b.stream, uuid.NewString())
		if _, err := b.store.Append(ctx, metadata, event.NoStream(), []event.New{limits}); err != nil && !errors.Is(err, event.ErrWrongVersion) {
			return fmt.Errorf("limiting the checkpoint's stream: %w", err)
		}
	}
	e := event.New{ID: event.IDs(uuid.NewString(), 1)[0], Type: name, Data: data}
	appended, err := b.store.Append(ctx, b.stream, b.expected, []event.New{e})
	if err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	b.state, b.expected, b.noted = next, event.Exact(appended.Revision), b.notes
	b.tell()
	return nil
}

// note changes the state in memory; the next save makes it durable.
func (b *checkpoints) note(change func(*checkpoint.ProjectionCheckpointed)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes++
	change(&b.state)
	b.tell()
}

// unsaved answers how often the state was changed in memory, and whether it has been
// since it was made durable.
func (b *checkpoints) unsaved() (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notes, b.notes != b.noted
}

// revision answers a mark that moves when the checkpoint does.
func (b *checkpoints) revision() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.expected.Exactly(); ok {
		return uint64(r) + 1
	}
	return 0
}

func (b *checkpoints) get() checkpoint.ProjectionCheckpointed {
	b.mu.Lock()
	defer b.mu.Unlock()
	return clone(b.state)
}

func clone(s checkpoint.ProjectionCheckpointed) checkpoint.ProjectionCheckpointed {
	s.Live = cloneTable(s.Live)
	if s.Building != nil {
		b := cloneTable(*s.Building)
		s.Building = &b
	}
	s.Retired = slices.Clone(s.Retired)
	return s
}

func cloneTable(t checkpoint.Table) checkpoint.Table {
	if t.Pending != nil {
		p := *t.Pending
		t.Pending = &p
	}
	return t
}
