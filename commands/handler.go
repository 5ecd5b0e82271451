package commands

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"recapito/domain/event"
	"recapito/domain/personal"
)

// Limits of the handler.
const (
	// maxClashes bounds how often one execution decides again after a version clash.
	maxClashes = 100
	// maxUnknown bounds how often an append of unknown outcome is repeated, with the
	// same ids at the same revision, before the caller learns that it is unknown.
	maxUnknown = 5
	// cacheLease bounds how long a folded state, with its values in clear, stays in
	// memory; erasure waits out twice this time.
	cacheLease = 5 * time.Second
	// defaultCacheSize is how many folded states a handler keeps.
	defaultCacheSize = 20_000
)

// Origin is who issued a command, and in the wake of what.
type Origin struct {
	Tenant      string
	Actor       string
	Correlation string
	Causation   string // id of the event that caused it, if one did
	Traceparent string
	Test        bool
}

// Ledger is what every handler appends to: the store, the codec, the sealer and the
// clock that stamps recorded_at.
type Ledger struct {
	Store  Store
	Codec  *event.Codec
	Sealer personal.Sealer
	Now    func() time.Time
	// NewID makes the random ids of executions; nil = random UUIDs.
	NewID func() string
	// CacheSize is how many folded states a handler keeps; 0 = a default, < 0 = none.
	CacheSize int

	mu       sync.Mutex
	handlers []interface{ Close() }
}

// Close closes every handler that was made on the ledger. The store stays open.
func (l *Ledger) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.handlers {
		h.Close()
	}
	l.handlers = nil
}

// Sealed returns a ledger over the same store whose handlers do not open sealed values.
func (l *Ledger) Sealed() *Ledger {
	return &Ledger{Store: l.Store, Codec: l.Codec, Now: l.Now, NewID: l.NewID, CacheSize: l.CacheSize}
}

// RandomID returns a random id, of an execution or a claim.
func (l *Ledger) RandomID() string {
	if l.NewID != nil {
		return l.NewID()
	}
	return uuid.NewString()
}

// Handler executes one aggregate's commands: load, decide, append at the exact
// revision that was loaded; on a clash reload and decide again.
//
// Promises: what Handle returns is durable, a result that decides nothing included.
// One execution appends once: its event ids are random for it and kept through the
// repetitions of its own append, so an idempotent success is never someone else's.
type Handler[S, C, E any] struct {
	ledger  *Ledger
	decider event.Decider[S, C, E]
	cache   *otter.Cache[string, Loaded[S]]
}

// Loaded is a state and the revision it was folded to.
type Loaded[S any] struct {
	State    S
	Exists   bool
	Revision event.Revision
	Position event.Position // of the last event folded
}

// Result is the result of a command.
type Result[S, E any] struct {
	Loaded[S]
	Events []E // appended by this execution; none if it decided nothing
}

// NewHandler binds an aggregate's decider to the ledger, which closes it.
func NewHandler[S, C, E any](l *Ledger, d event.Decider[S, C, E]) *Handler[S, C, E] {
	h := &Handler[S, C, E]{ledger: l, decider: d}
	if l.CacheSize >= 0 {
		size := l.CacheSize
		if size == 0 {
			size = defaultCacheSize
		}
		o := &otter.Options[string, Loaded[S]]{MaximumSize: size}
		if l.Sealer != nil { // without one, nothing is ever in clear
			o.ExpiryCalculator = otter.ExpiryCreating[string, Loaded[S]](cacheLease)
		}
		h.cache = otter.Must(o)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers = append(l.handlers, h)
	return h
}

// Close ends what the handler runs in other goroutines: the forgetting of lapsed states.
func (h *Handler[S, C, E]) Close() {
	if h.cache != nil {
		h.cache.StopAllGoroutines()
	}
}

// Load folds a stream as it is now.
func (h *Handler[S, C, E]) Load(ctx context.Context, stream string) (Loaded[S], error) {
	return h.refresh(ctx, stream, h.cached(stream))
}

// LoadAt folds a stream at least up to a revision that is known to be there; what is
// remembered may serve.
func (h *Handler[S, C, E]) LoadAt(ctx context.Context, stream string, r event.Revision) (Loaded[S], error) {
	if l, ok := h.Remembered(stream, r); ok {
		return l, nil
	}
	return h.Load(ctx, stream)
}

// Remembered returns a state without reading, if one at that revision or later is
// remembered.
func (h *Handler[S, C, E]) Remembered(stream string, r event.Revision) (Loaded[S], bool) {
	l := h.cached(stream)
	return l, l.Exists && l.Revision >= r
}

// Handle executes a command on a stream.
func (h *Handler[S, C, E]) Handle(ctx context.Context, o Origin, stream string, c C) (Result[S, E], error) {
	from := h.cached(stream)
	if !from.Exists {
		var err error
		if from, err = h.refresh(ctx, stream, from); err != nil {
			return Result[S, E]{}, err
		}
		return h.execute(ctx, o, stream, c, from, true)
	}
	return h.execute(ctx, o, stream, c, from, false)
}

// HandleNew does the same on a stream that most likely is not there yet: it is read
// only if it turns out to be.
func (h *Handler[S, C, E]) HandleNew(ctx context.Context, o Origin, stream string, c C) (Result[S, E], error) {
	return h.execute(ctx, o, stream, c, h.cached(stream), false)
}

// execute decides on a state that may be behind unless it is fresh.
func (h *Handler[S, C, E]) execute(ctx context.Context, o Origin, stream string, c C, from Loaded[S], fresh bool) (Result[S, E], error) {
	execution := h.ledger.RandomID()
	for clash := 0; ; {
		events, err := h.decider.Decide(from.State, c)
		if fresh && (err != nil || len(events) == 0) {
			return Result[S, E]{Loaded: from}, err
		}
		if err == nil && len(events) > 0 {
			appended, err := h.append(ctx, o, stream, execution, from, events)
			if err == nil {
				from.State = h.decider.Fold(from.State, events...)
				from.Exists, from.Revision, from.Position = true, appended.Revision, appended.Position
				h.remember(stream, from)
				return Result[S, E]{Loaded: from, Events: events}, nil
			}
			if clash++; !errors.Is(err, event.ErrWrongVersion) || clash > maxClashes {
				return Result[S, E]{}, fmt.Errorf("appending to %s: %w", category(stream), err)
			}
			execution = h.ledger.RandomID()
		}
		// A clash, or a state that may be behind said no: only a fresh one may.
		if from, err = h.refresh(ctx, stream, from); err != nil {
			return Result[S, E]{}, err
		}
		fresh = true
	}
}

func (h *Handler[S, C, E]) append(ctx context.Context, o Origin, stream, execution string, at Loaded[S], events []E) (event.Appended, error) {
	encoded, err := Encode(ctx, h.ledger, o, stream, execution, events)
	if err != nil {
		return event.Appended{}, err
	}
	expected := event.NoStream()
	if at.Exists {
		expected = event.Exact(at.Revision)
	}
	for try := 1; ; try++ {
		appended, err := h.ledger.Store.Append(ctx, stream, expected, encoded)
		if err == nil || !errors.Is(err, event.ErrUnknownOutcome) || try >= maxUnknown || ctx.Err() != nil {
			return appended, err
		}
	}
}

// Encode turns events into bytes with their metadata, ids from the execution.
func Encode[E any](ctx context.Context, l *Ledger, o Origin, stream, execution string, events []E) ([]event.New, error) {
	ids := event.IDs(execution, len(events))
	encoded := make([]event.New, len(events))
	for i, e := range events {
		name, data, err := l.Codec.Encode(ctx, l.Sealer, o.Tenant, stream, e)
		if err != nil {
			return nil, err
		}
		m := event.Metadata{
			Tenant: o.Tenant, Actor: o.Actor, CorrelationID: o.Correlation, CausationID: o.Causation,
			Traceparent: o.Traceparent, Test: o.Test, RecordedAt: l.Now(),
		}
		m.OccurredAt = m.RecordedAt
		if t, ok := any(e).(interface{ OccurredAt() time.Time }); ok && !t.OccurredAt().IsZero() {
			m.OccurredAt = t.OccurredAt()
		}
		metadata, err := event.EncodeMetadata(m)
		if err != nil {
			return nil, fmt.Errorf("encoding metadata of %s: %w", name, err)
		}
		encoded[i] = event.New{ID: ids[i], Type: name, Data: data, Metadata: metadata}
	}
	return encoded, nil
}

// refresh folds what came after from. Values are opened with the keys of the tenant
// that each event names.
func (h *Handler[S, C, E]) refresh(ctx context.Context, stream string, from Loaded[S]) (Loaded[S], error) {
	read := event.StreamRead{Stream: stream}
	if from.Exists {
		read.From = from.Revision + 1
	}
	before := from.Revision
	existed := from.Exists
	err := h.ledger.Store.ReadStream(ctx, read, func(r event.Recorded) error {
		m, err := event.MetadataOf(r)
		if err != nil {
			return err
		}
		decoded, err := h.ledger.Codec.Decode(ctx, h.ledger.Sealer, m.Tenant, r)
		if err != nil {
			return fmt.Errorf("revision %d: %w", r.Revision, err)
		}
		e, ok := decoded.(E)
		if !ok {
			return event.NotRead(r, "it is no event of its stream's kind")
		}
		if err := event.Guarded(r, func() error {
			from.State = h.decider.Evolve(from.State, e)
			return nil
		}); err != nil {
			return err
		}
		from.Exists, from.Revision, from.Position = true, r.Revision, r.Position
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return Loaded[S]{}, fmt.Errorf("reading %s: %w", category(stream), err)
	}
	if from.Exists && (!existed || from.Revision != before) {
		h.remember(stream, from)
	}
	return from, nil
}

func (h *Handler[S, C, E]) cached(stream string) Loaded[S] {
	if h.cache != nil {
		if l, ok := h.cache.GetIfPresent(stream); ok {
			return l
		}
	}
	return Loaded[S]{State: h.decider.Initial()}
}

// remember never replaces a later state by an earlier one.
func (h *Handler[S, C, E]) remember(stream string, l Loaded[S]) {
	if h.cache == nil {
		return
	}
	h.cache.Compute(stream, func(old Loaded[S], found bool) (Loaded[S], otter.ComputeOp) {
		if found && old.Revision >= l.Revision {
			return old, otter.CancelOp
		}
		return l, otter.WriteOp
	})
}

// category is what errors may say of a stream: its id may be a customer's choice.
func category(stream string) string {
	for i := range len(stream) {
		if stream[i] == '-' {
			return stream[:i] + " stream"
		}
	}
	return "stream"
}
