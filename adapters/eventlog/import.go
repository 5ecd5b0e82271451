package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Imported is an event to be written as it stood elsewhere.
type Imported struct {
	// Position 0 means the next one; a given one must be above what is there, gaps are
	// allowed. A zero Created means now.
	event.Recorded
	// AtRevision: Revision is given and must be the stream's next; else the
	// event becomes its stream's next whatever that is.
	AtRevision bool
	Line       int // where the source has it, for errors
}

// ImportReport is what an import did, also if it failed.
type ImportReport struct {
	Written, Skipped uint64         // Skipped: stood there already
	Last             event.Position // durable
}

// ImportError is why an event could not be imported.
type ImportError struct {
	Line int
	Err  error
}

func (e *ImportError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *ImportError) Unwrap() error { return e.Err }

// Limits of what an import has on its way to the disk.
const (
	importRuns  = 2048
	importBytes = 16 << 20
)

// The times that a record can hold.
var (
	minCreated = time.Unix(0, math.MinInt64)
	maxCreated = time.Unix(0, math.MaxInt64)
)

// importRun is what an append is given and an import brings, for consecutive events of a
// stream.
type importRun struct {
	positions []event.Position
	created   []time.Time // zero: now
	// over is shared by the runs of an import and touched by the writer alone: after one
	// that was not written none may be, or it could never be put where it belongs.
	over *bool
}

// check reports whether the writer may take the run.
func (r *importRun) check(next event.Position) error {
	switch {
	case r == nil:
		return nil
	case *r.over:
		return errors.New("the import ended before this")
	case r.positions[0] < next:
		*r.over = true
		return fmt.Errorf("position: %d was given out already, the next is %d", r.positions[0], next)
	}
	return nil
}

func (r *importRun) decided(written bool) {
	if r != nil && !written {
		*r.over = true
	}
}

func (r *importRun) at(i int, now time.Time) (event.Position, time.Time) {
	if t := r.created[i]; !t.IsZero() {
		now = t
	}
	return r.positions[i], now
}

// Import writes what next returns until it returns io.EOF: the events in the order of
// $all, through the writer that appends go through, so that all of them are indexed and
// checked alike. Nothing else should append meanwhile: an import whose positions are
// overtaken ends.
//
// What stands already at its position (or, where no position is given, at its revision)
// with the same id is skipped, so an import that was cut short is done again from the
// start of its source. When Import returns, with an error too, what it reports as
// written is durable.
func (l *Log) Import(ctx context.Context, next func() (Imported, error)) (ImportReport, error) {
	stood := l.Last()
	im := importer{log: l, stood: stood, last: stood, over: new(bool), report: ImportReport{Last: stood}}
	err := im.run(ctx, next)
	for len(im.flight) > 0 { // all of them: their replies come, with an error if need be
		if failed := im.settle(); err == nil {
			err = failed
		}
	}
	return im.report, err
}

type importer struct {
	log    *Log
	stood  event.Position // the last before the import
	last   event.Position // given out so far
	over   *bool
	report ImportReport

	open   flight // not sent yet
	flight []flight
	flying int // bytes
}

// flight is a run of events of one stream, written as one append.
type flight struct {
	request *request
	line    int // of the first
	bytes   int
	next    event.Revision // after the last, if revisions are given
	given   bool
}

func (im *importer) run(ctx context.Context, next func() (Imported, error)) error {
	for {
		e, err := next()
		if errors.Is(err, io.EOF) {
			return im.send(ctx)
		}
		if err == nil {
			err = im.add(ctx, e)
		}
		if err != nil {
			return errors.Join(err, im.send(ctx))
		}
	}
}

// add puts an event into the open run, or sends that and begins another.
func (im *importer) add(ctx context.Context, e Imported) error {
	id, err := checkImported(e)
	if err != nil {
		return &ImportError{e.Line, err}
	}
	if stands, err := im.stands(e, id); stands || err != nil {
		if err != nil {
			return &ImportError{e.Line, err}
		}
		im.report.Skipped++
		return nil
	}
	if e.Position == 0 {
		e.Position = im.last + 1
	}
	if e.Position <= im.last {
		return &ImportError{e.Line, fmt.Errorf("position: %d is not above the one before, %d", e.Position, im.last)}
	}
	size := len(e.Data) + len(e.Metadata) + len(e.Type)
	if !im.continues(e, size) {
		if err := im.send(ctx); err != nil {
			return err
		}
		expected := event.Any()
		switch {
		case e.AtRevision && e.Revision == 0:
			expected = event.NoStream()
		case e.AtRevision:
			expected = event.Exact(e.Revision - 1)
		}
		does := appends
		if isTombstone(e) {
			does, expected = tombstones, event.Any()
		}
		im.open = flight{
			request: &request{stream: e.Stream, expected: expected, does: does, reply: make(chan reply, 1), imported: &importRun{over: im.over}},
			line:    e.Line, next: e.Revision, given: e.AtRevision,
		}
	}
	im.last = e.Position
	r, flags := im.open.request, byte(0)
	if e.Binary {
		flags = layout.FlagBinary
	}
	r.ids = append(r.ids, id)
	r.flags = append(r.flags, flags)
	written := event.New{Type: e.Type, Data: e.Data, Metadata: e.Metadata, Binary: e.Binary}
	r.bodies = append(r.bodies, layout.EncodeBody(e.Stream, id, written))
	r.describe(written)
	r.imported.positions = append(r.imported.positions, e.Position)
	r.imported.created = append(r.imported.created, e.Created)
	im.open.bytes += size
	im.open.next++
	return nil
}

// continues reports whether an event goes on where the open run ends.
func (im *importer) continues(e Imported, size int) bool {
	f := im.open
	return f.request != nil && f.request.stream == e.Stream && f.given == e.AtRevision && (!f.given || f.next == e.Revision) &&
		len(f.request.ids) < MaxAppendCount && f.bytes+size <= MaxAppendBytes
}

// send hands the open run to the writer, and waits while too much is on its way.
func (im *importer) send(ctx context.Context) error {
	f := im.open
	if f.request == nil {
		return nil
	}
	im.open = flight{}
	if err := im.log.enqueue(ctx, f.request); err != nil {
		return &ImportError{f.line, err}
	}
	im.flight = append(im.flight, f)
	im.flying += f.bytes
	for len(im.flight) > importRuns || im.flying > importBytes {
		if err := im.settle(); err != nil {
			return err
		}
	}
	return nil
}

// settle takes the reply to the oldest run.
func (im *importer) settle() error {
	f := im.flight[0]
	im.flight = im.flight[1:]
	im.flying -= f.bytes
	a := <-f.request.reply
	last := f.request.imported.positions[len(f.request.ids)-1]
	switch {
	case a.err != nil:
		return &ImportError{f.line, a.err}
	case a.appended.Position != last:
		return &ImportError{f.line, fmt.Errorf("id: an event of stream %q has it already, near position %d", f.request.stream, a.appended.Position)}
	}
	im.report.Written += uint64(len(f.request.ids))
	im.report.Last = last
	return nil
}

// stands reports whether an event was there before the import. Another one in its place is
// an error.
func (im *importer) stands(e Imported, id uuid.UUID) (bool, error) {
	if im.stood == 0 || e.Position > im.stood || e.Position == 0 && !e.AtRevision {
		return false, nil
	}
	if err := im.log.enter(); err != nil {
		return false, err
	}
	defer im.log.leave()
	at := e.Position
	if at == 0 {
		p, found, err := im.log.stored.PositionAt(e.Stream, e.Revision)
		if err != nil || !found {
			return false, err
		}
		at = p
	}
	rec, found, err := im.log.stored.Standing(at)
	if err != nil {
		return false, err
	}
	if found && rec.ID == id.String() && rec.Stream == e.Stream && (!e.AtRevision || rec.Revision == e.Revision) {
		return true, nil
	}
	if e.Position == 0 {
		return false, fmt.Errorf("revision: another event stands at revision %d of stream %q", e.Revision, e.Stream)
	}
	return false, fmt.Errorf("position: %d is not above the store's last, %d, and this event does not stand there", e.Position, im.stood)
}

// isTombstone reports whether an event ended its stream where it stood.
func isTombstone(e Imported) bool {
	return e.AtRevision && e.Revision == event.RevisionEnd && e.Type == layout.TombstoneType
}

// checkImported validates an event; the error names the field.
func checkImported(e Imported) (uuid.UUID, error) {
	if err := checkAppendable(e.Stream); err != nil {
		return uuid.Nil, fmt.Errorf("stream: %w", err)
	}
	id, err := checkEvent(event.New{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata})
	switch {
	case err != nil:
		return uuid.Nil, err
	case e.Position >= event.PositionEnd:
		return uuid.Nil, fmt.Errorf("%w: position: must be below %d", event.ErrInvalid, event.PositionEnd)
	case e.AtRevision && e.Revision >= event.RevisionEnd && !isTombstone(e):
		return uuid.Nil, fmt.Errorf("%w: revision: must be below %d", event.ErrInvalid, event.RevisionEnd)
	case !e.Created.IsZero() && (e.Created.Before(minCreated) || e.Created.After(maxCreated)):
		return uuid.Nil, fmt.Errorf("%w: created: must be a time of the years 1678 to 2261", event.ErrInvalid)
	}
	return id, nil
}
