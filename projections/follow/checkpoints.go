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

// checkpoints holds a projection's checkpoint: the state in its newest event, and how far
// the tables are since. One session at a time writes it.
type checkpoints struct {
	store  CheckpointStore
	codec  *event.Codec // of checkpoint events
	stream string

	mu       sync.Mutex
	state    checkpoint.ProjectionCheckpointed
	expected event.Expected
	notes    uint64        // changes in memory so far
	noted    uint64        // how many of them are durable
	moves    chan struct{} // closed when the state changes
}

func newCheckpoints(store CheckpointStore, projection string) (*checkpoints, error) {
	codec, err := event.NewCodec(checkpoint.Module.Definitions...)
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

// watch returns the state, and a channel that is closed when the state changes.
func (c *checkpoints) watch() (checkpoint.ProjectionCheckpointed, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return clone(c.state), c.moves
}

// wakeAll closes the channel of every watch. The caller holds mu.
func (c *checkpoints) wakeAll() {
	close(c.moves)
	c.moves = make(chan struct{})
}

// load reads the newest checkpoint; false if there is none.
func (c *checkpoints) load(ctx context.Context) (bool, error) {
	state, expected, err := c.newest(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.expected, c.noted = state, expected, c.notes
	c.wakeAll()
	return !expected.IsNoStream(), err
}

// moved reads the newest checkpoint, and whether another instance has written it since it
// was loaded or saved here.
func (c *checkpoints) moved(ctx context.Context) (checkpoint.ProjectionCheckpointed, bool, error) {
	state, expected, err := c.newest(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return state, newer(expected, c.expected), err
}

// newer returns whether a checkpoint that was read is not one that was known when it had
// been read: a later one, or none at all.
func newer(read, known event.Expected) bool {
	r, some := read.Exactly()
	k, had := known.Exactly()
	return some != had || r > k
}

// newest reads the newest checkpoint, and the revision to expect of the next.
func (c *checkpoints) newest(ctx context.Context) (state checkpoint.ProjectionCheckpointed, expected event.Expected, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	// What cannot be read is as if it were not there: what came after an earlier one is done
	// again.
	expected, err = event.Newest(ctx, c.store, c.stream, event.RevisionEnd, checkpoint.Kept, func(r event.Recorded) (found bool) {
		if decoded, err := c.codec.Decode(ctx, nil, "", r); err == nil {
			state, found = decoded.(checkpoint.ProjectionCheckpointed)
		}
		return found
	})
	if err != nil {
		return checkpoint.ProjectionCheckpointed{}, event.NoStream(), fmt.Errorf("reading the checkpoint: %w", err)
	}
	return state, expected, nil
}

// save changes the state and makes it durable, or does neither. It returns an error of
// change as it is. After any other error the session is over: the durable state must be
// loaded again.
func (c *checkpoints) save(ctx context.Context, change func(*checkpoint.ProjectionCheckpointed) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	next := clone(c.state)
	if err := change(&next); err != nil {
		return err
	}
	name, data, err := c.codec.Encode(ctx, nil, "", c.stream, next)
	if err != nil {
		return fmt.Errorf("encoding the checkpoint: %w", err)
	}
	if c.expected.IsNoStream() {
		metadata, limits := checkpoint.Limits(c.stream, uuid.NewString())
		if _, err := c.store.Append(ctx, metadata, event.NoStream(), []event.New{limits}); err != nil && !errors.Is(err, event.ErrWrongVersion) {
			return fmt.Errorf("limiting the checkpoint's stream: %w", err)
		}
	}
	e := event.New{ID: event.IDs(uuid.NewString(), 1)[0], Type: name, Data: data}
	appended, err := c.store.Append(ctx, c.stream, c.expected, []event.New{e})
	if err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	c.state, c.expected, c.noted = next, event.Exact(appended.Revision), c.notes
	c.wakeAll()
	return nil
}

// note changes the state in memory; the next save makes it durable.
func (c *checkpoints) note(change func(*checkpoint.ProjectionCheckpointed)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes++
	change(&c.state)
	c.wakeAll()
}

// unsaved returns how often the state was changed in memory, and whether some of these
// changes are not durable.
func (c *checkpoints) unsaved() (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notes, c.notes != c.noted
}

// revision returns a number that grows whenever the checkpoint is written.
func (c *checkpoints) revision() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.expected.Exactly(); ok {
		return uint64(r) + 1
	}
	return 0
}

func (c *checkpoints) get() checkpoint.ProjectionCheckpointed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return clone(c.state)
}

func clone(s checkpoint.ProjectionCheckpointed) checkpoint.ProjectionCheckpointed {
	s.Live = cloneTable(s.Live)
	if s.Building != nil {
		c := cloneTable(*s.Building)
		s.Building = &c
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
