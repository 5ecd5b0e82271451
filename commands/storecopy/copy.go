package storecopy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/domain/event"
)

// Copy brings the target up to where the source is when it begins. progress is called now and
// then. The report is also right if Copy fails: what it counts as copied is durable.
func Copy(ctx context.Context, from Source, to Target, progress func(Progress)) (Report, error) {
	c := &copier{
		carrier: newCarrier(from), target: to, progress: progress,
		shifts: newMemory[event.Revision](), report: Report{Left: map[string]uint64{}},
	}
	err := c.copy(ctx)
	return c.report, err
}

type copier struct {
	*carrier
	target   Target
	progress func(Progress)
	reported time.Time

	shifts  *memory[event.Revision] // of streams that begin at 0 only in the target
	already map[string]bool         // ids that the target has, beyond where the copy goes on
	written *event.Position         // the newest in the target
	last    event.Position          // of the source
	report  Report
}

func (c *copier) copy(ctx context.Context) error {
	after, err := c.resume(ctx)
	if err != nil {
		return err
	}
	if c.last, err = lastOf(ctx, c.source); err != nil {
		return err
	}
	from := event.AllRead{}
	if after != nil {
		from.From, c.report.Last = *after+1, *after
	}
	events := read(ctx, "source", c.source, from)
	defer events.close()
	var run []event.Recorded
	size := 0
	for {
		e, more, err := events.next()
		if err != nil {
			return err
		}
		carried := false
		if more {
			if carried, err = c.takes(ctx, e); err != nil {
				return err
			}
		}
		if len(run) > 0 && (!more || carried && (!continues(run, e) || len(run) == runEvents || size+bytesOf(e) > runBytes)) {
			if err := c.write(ctx, run); err != nil {
				return err
			}
			run, size = run[:0], 0
		}
		if !more {
			c.progress(Progress{Events: c.report.Copied, At: c.last, Last: c.last})
			return nil
		}
		if carried {
			run, size = append(run, e), size+bytesOf(e)
		}
		c.report.Last = e.Position
		if time.Since(c.reported) >= reportEvery {
			c.reported = time.Now()
			c.progress(Progress{Events: c.report.Copied, At: e.Position, Last: max(c.last, e.Position)})
		}
	}
}

func bytesOf(e event.Recorded) int { return len(e.Data) + len(e.Metadata) + len(e.Type) }

func continues(run []event.Recorded, e event.Recorded) bool {
	last := run[len(run)-1]
	return last.Stream == e.Stream && last.Revision+1 == e.Revision
}

// takes reports whether an event is to be written.
func (c *copier) takes(ctx context.Context, e event.Recorded) (bool, error) {
	if c.already[e.ID] {
		return false, nil
	}
	left, err := c.left(ctx, e)
	if left != "" {
		c.report.Left[left]++
	}
	return left == "" && err == nil, err
}

// write appends a run. Where the target's stream is not where the source's is, the
// source must have lost its beginning.
func (c *copier) write(ctx context.Context, run []event.Recorded) error {
	first := run[0]
	events := make([]event.New, len(run))
	for i, e := range run {
		events[i] = event.New{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata, Binary: e.Binary}
	}
	shift, _ := c.shifts.get(first.Stream)
	appended, err := c.target.Append(ctx, first.Stream, at(first.Revision-shift), events)
	var wrong *event.WrongVersion
	if errors.As(err, &wrong) {
		next := wrong.Actual + 1
		if wrong.NoStream {
			next = 0
		}
		if shift, err = c.shift(ctx, first, next); err != nil {
			return err
		}
		appended, err = c.target.Append(ctx, first.Stream, at(next), events)
	}
	if err != nil {
		return fmt.Errorf("write revision %d of stream %s: %w", first.Revision, first.Stream, err)
	}
	if c.written != nil && appended.Position <= *c.written {
		return fmt.Errorf("the target puts revision %d of stream %s at position %d, which is not after what was written before: its order is not the source's", first.Revision, first.Stream, appended.Position)
	}
	c.written = &appended.Position
	c.report.Copied += uint64(len(run))
	if shift > 0 && shift == first.Revision {
		c.report.Shifted++
	}
	return nil
}

// at is what an append at a revision expects.
func at(r event.Revision) event.Expected {
	if r == 0 {
		return event.NoStream()
	}
	return event.Exact(r - 1)
}

// shift returns by how much a stream's revisions differ, if that can be: the source
// begins after 0, or leaves out what is done, and the target has no more than it.
func (c *copier) shift(ctx context.Context, e event.Recorded, next event.Revision) (event.Revision, error) {
	if next > e.Revision {
		return 0, fmt.Errorf("the target's stream %s has revision %d already, which is not the source's: is somebody else writing?", e.Stream, next-1)
	}
	shift := e.Revision - next
	if err := shiftable(ctx, c.source, e, event.Recorded{Revision: next}); err != nil && !isDeadline(e) {
		return 0, err
	}
	c.shifts.put(e.Stream, shift)
	return shift, nil
}

// shiftable errs unless a stream of the source has lost at least as many of its first
// events as a copy's revision is behind.
func shiftable(ctx context.Context, source Source, of, e event.Recorded) error {
	first := of.Revision
	err := source.ReadStream(ctx, event.StreamRead{Stream: of.Stream, Limit: 1}, func(e event.Recorded) error {
		first = e.Revision
		return nil
	})
	if err != nil && !gone(err) {
		return fmt.Errorf("find the beginning of stream %s: %w", of.Stream, err)
	}
	if e.Revision > of.Revision || of.Revision-e.Revision > first {
		return fmt.Errorf("%w: revision %d of stream %s is at revision %d, and the source has that stream from revision %d on", ErrOther, of.Revision, of.Stream, e.Revision, first)
	}
	return nil
}

// lastOf returns the position of a store's newest event, 0 if there is none.
func lastOf(ctx context.Context, s Source) (event.Position, error) {
	var last event.Position
	err := s.ReadAll(ctx, event.AllRead{From: event.PositionEnd, Direction: event.Backwards, Limit: 1}, func(e event.Recorded) error {
		last = e.Position
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("find the end of the source: %w", err)
	}
	return last, nil
}
