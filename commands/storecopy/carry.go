package storecopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/mark"
)

// closedType is the event after which nothing in a bucket of deadlines is open.
const closedType = "DeadlineBucketClosed"

// tombstoneType is the event by which a store ends a stream for ever.
const tombstoneType = "$streamDeleted"

// Why events are left out.
const (
	leftSystem      = "of the store itself"
	leftDone        = "deadlines that are done"
	leftOperational = "checkpoints and leases"
	leftTombstone   = "ends of streams that were deleted for ever"
)

// carrier decides what of a source is carried.
type carrier struct {
	source Source
	open   *memory[bool] // buckets of deadlines
}

func newCarrier(s Source) *carrier { return &carrier{source: s, open: newMemory[bool]()} }

// left returns why an event is not carried; empty if it is.
func (c *carrier) left(ctx context.Context, e event.Recorded) (string, error) {
	switch {
	case e.Type == tombstoneType:
		return leftTombstone, nil
	case catalogue.IsLedger(e.Stream), strings.HasPrefix(e.Stream, mark.StreamPrefix):
		return "", nil
	case strings.HasPrefix(e.Stream, "$"):
		return leftSystem, nil
	case !isDeadline(e):
		return leftOperational, nil
	}
	done, err := c.done(ctx, e)
	if done && err == nil {
		return leftDone, nil
	}
	return "", err
}

// done reports whether an event is a deadline, and every deadline of its bucket was done.
func (c *carrier) done(ctx context.Context, e event.Recorded) (bool, error) {
	if !isDeadline(e) {
		return false, nil
	}
	open, known := c.open.get(e.Stream)
	if !known {
		var err error
		if open, err = isOpen(ctx, c.source, e.Stream); err != nil {
			return false, err
		}
		c.open.put(e.Stream, open)
	}
	return !open, nil
}

func isDeadline(e event.Recorded) bool { return strings.HasPrefix(e.Stream, deadline.StreamPrefix) }

// isOpen reports whether a bucket's last event does not close it. One that is gone was done.
func isOpen(ctx context.Context, s Source, stream string) (bool, error) {
	open := false
	err := s.ReadStream(ctx, event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}, func(e event.Recorded) error {
		open = e.Type != closedType
		return nil
	})
	if err != nil && !gone(err) {
		return false, fmt.Errorf("look whether %s is open: %w", stream, err)
	}
	return open, nil
}

// gone: a stream has no events, or none that are still shown.
func gone(err error) bool {
	return errors.Is(err, event.ErrStreamNotFound) || errors.Is(err, event.ErrStreamDeleted)
}

// same reports whether an event of the target is a copy of one of the source.
func same(of, e event.Recorded) bool {
	return of.ID == e.ID && of.Stream == e.Stream && of.Type == e.Type && of.Binary == e.Binary &&
		bytes.Equal(of.Data, e.Data) && bytes.Equal(of.Metadata, e.Metadata)
}

// memory is a bounded map by stream that forgets what was not asked for lately.
type memory[V any] struct{ younger, older map[string]V }

func newMemory[V any]() *memory[V] { return &memory[V]{younger: map[string]V{}} }

func (m *memory[V]) put(stream string, v V) {
	if len(m.younger) >= remembered {
		m.older, m.younger = m.younger, map[string]V{}
	}
	m.younger[stream] = v
}

func (m *memory[V]) get(stream string) (V, bool) {
	if v, ok := m.younger[stream]; ok {
		return v, true
	}
	v, ok := m.older[stream]
	if ok {
		m.put(stream, v)
	}
	return v, ok
}
