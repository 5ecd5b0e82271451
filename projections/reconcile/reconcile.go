package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

// Limits of a comparison.
const (
	// reconcileEvents is how many ledger events a part of a table is of, about: a part
	// with all that is folded for it is some 300 MB.
	reconcileEvents = 1 << 20
	// reconcileCells is how many cells of a counting table are added up at a time.
	reconcileCells = 1 << 19
	// maxDifferences is how many are returned.
	maxDifferences = 100
	// reconcileTries is how often a place that seems to differ is looked at.
	reconcileTries = 3
)

// Reconciler compares every number of every table with a fold of the event store, while
// the system runs. It reads the store several times, each time for another shard of the
// tables, so that its memory does not grow with them. Events that are not in all tables
// when it begins are left out. A place that seems to differ is looked at again before it is
// returned.
//
// It compares the rows of events, audit_log, the EDR and notifications as their views show
// them; the sums of accounting and rollups as of the cut, without a cut, and in the batches
// of the tables; each batch and each complete span by itself; and the completeness of each
// table.
type Reconciler struct {
	Source projections.Reader
	Codec  *event.Codec // of every ledger event
	// Operations are those that the projections were given.
	Operations projections.Operations
	Conn       readmodels.Conn
	// Cut returns how many ledger events every table holds. nil: all that the store
	// has when it begins, which are counted.
	Cut func(ctx context.Context) (uint64, error)
	// Progress is called with how far the comparison is; nil: it is not reported.
	Progress func(Progress)

	// PartEvents is how many ledger events a part of a table is of, about, and PartCells how
	// many cells of a counting table are added up at a time; 0: what fits into memory well.
	PartEvents, PartCells int
	// SpanEvents is how many ledger events a span of the tables has; 0: readmodels.Span.
	SpanEvents uint64
}

// Progress of a comparison, in ledger events read of those to be read; the total may
// grow, and is an estimate.
type Progress struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

// Reconciled is what a comparison found.
type Reconciled struct {
	// Events is how many ledger events were compared: those before the cut.
	Events uint64 `json:"events"`
	// Rows is how many rows and cells of the tables were compared.
	Rows uint64 `json:"rows"`
	// Differences, at most 100.
	Differences []Difference `json:"differences"`
}

// compared is a table that is compared, part by part.
type compared interface {
	name() string
	// load reads what the table shows of a part now. After errExchanged, or an error that
	// readmodels.IsDropped knows, it can be tried again.
	load(ctx context.Context, p readmodels.Shard, cut uint64) error
	// add takes the next event of the ledger; tail: it is not before the cut, so the table
	// may hold it or not.
	add(e projections.LedgerEvent, tail bool) error
	// end returns what differs, and how many rows were looked at; total is how many
	// ledger events there were.
	end(total uint64) ([]candidate, uint64)
}

// candidate is a difference that is to be looked at again, and the text of its shard.
type candidate struct {
	Difference
	text string
}

// Run compares. After an error the result is empty.
func (r *Reconciler) Run(ctx context.Context) (Reconciled, error) {
	if r.PartEvents == 0 {
		r.PartEvents = reconcileEvents
	}
	if r.PartCells == 0 {
		r.PartCells = reconcileCells
	}
	cut, err := r.cut(ctx)
	if err != nil {
		return Reconciled{}, err
	}
	result := Reconciled{Events: cut, Differences: []Difference{}}
	of := uint32(cut/uint64(r.PartEvents)) + 1
	var work []*task
	for _, t := range r.tables(false) {
		one := &task{table: t}
		for i := range of {
			one.parts = append(one.parts, readmodels.Shard{Of: of, Index: i})
		}
		if c, counts := t.(splitting); counts {
			one.parts = []readmodels.Shard{{Of: 1}}
			c.onSplit(func(other readmodels.Shard) { one.parts = append(one.parts, other) })
		}
		work = append(work, one)
	}
	candidates, rows, err := r.readAll(ctx, work, cut)
	if err != nil {
		return Reconciled{}, err
	}
	result.Rows = rows
	for try := 1; len(candidates) > 0; try++ {
		if cut, err = r.cut(ctx); err != nil {
			return Reconciled{}, err
		}
		work = work[:0]
		for _, t := range r.tables(true) {
			var only []string
			for _, s := range candidates {
				if s.Table == t.name() && !slices.Contains(only, s.text) {
					only = append(only, s.text)
				}
			}
			if len(only) > 0 {
				work = append(work, &task{table: t, parts: []readmodels.Shard{{Of: 1, Only: only}}})
			}
		}
		if candidates, _, err = r.readAll(ctx, work, cut); err != nil {
			return Reconciled{}, err
		}
		if try < reconcileTries && len(candidates) > 0 {
			continue
		}
		for _, s := range candidates[:min(len(candidates), maxDifferences)] {
			result.Differences = append(result.Differences, s.Difference)
		}
		break
	}
	return result, nil
}

// ErrUpgrading: a view shows the table of another release, whose columns are others. The
// follower of this release builds its own next to it, or another release holds the lease.
var ErrUpgrading = errors.New("a table of another release is shown")

// own refuses views that show tables of another version: what differs is not the numbers.
func (r *Reconciler) own(ctx context.Context) error {
	for _, p := range projections.All(r.Codec, r.Operations) {
		shown, err := p.Table.Shown(ctx, r.Conn)
		if err != nil {
			return err
		}
		if shown != "" && !p.Table.Made(shown) {
			return fmt.Errorf("%w: the view %s shows %q, not a table of version %d", ErrUpgrading, p.Name(), shown, p.Table.Version)
		}
	}
	return nil
}

// cut returns up to where all tables of this release can be compared.
func (r *Reconciler) cut(ctx context.Context) (uint64, error) {
	n, err := r.held(ctx)
	if err != nil {
		return 0, err
	}
	return n, r.own(ctx)
}

func (r *Reconciler) held(ctx context.Context) (uint64, error) {
	if r.Cut != nil {
		cut, err := r.Cut(ctx)
		if err != nil {
			return 0, fmt.Errorf("asking how far the tables are: %w", err)
		}
		return cut, nil
	}
	var n uint64
	err := r.Source.ReadAll(ctx, event.AllRead{Filter: projections.LedgerFilter()}, func(event.Recorded) error { n++; return nil })
	if err != nil {
		return 0, fmt.Errorf("counting the ledger: %w", err)
	}
	return n, nil
}

// tables returns the tables to be compared; keep keeps their rows, to name columns.
func (r *Reconciler) tables(keep bool) []compared {
	accounting, rollups := readmodels.AccountingTable, readmodels.RollupsTable
	accounting.SpanSize, rollups.SpanSize = r.SpanEvents, r.SpanEvents
	return []compared{
		eventsCompared(r.Conn, keep),
		callsCompared(r.Conn, r.Codec, r.Operations, keep),
		edrCompared(r.Conn, r.Codec, keep),
		notificationsCompared(r.Conn, r.Codec, keep),
		accountingCompared(r.Conn, r.Codec, r.PartCells),
		rollupsCompared(r.Conn, r.Codec, r.PartCells),
		&batchesCompared[readmodels.AccountingCell]{conn: r.Conn, table: accounting, counts: countsAccounting(r.Codec)},
		&batchesCompared[readmodels.RollupCell]{conn: r.Conn, table: rollups, counts: countsRollups(r.Codec)},
		&completenessCompared{conn: r.Conn},
	}
}

// task is a table and the parts of it that are to be compared.
type task struct {
	table compared
	parts []readmodels.Shard
}

// splitting is a table whose part can turn out too large.
type splitting interface {
	onSplit(func(other readmodels.Shard))
}

var errRead = errors.New("enough is read")

// readAll reads the store until no shard is left: each time every table takes one.
func (r *Reconciler) readAll(ctx context.Context, work []*task, cut uint64) (candidates []candidate, rows uint64, err error) {
	for done := uint64(0); ; done += cut {
		var now []*task
		left := uint64(0)
		for _, t := range work {
			if len(t.parts) > 0 {
				now = append(now, t)
				left = max(left, uint64(len(t.parts)))
			}
		}
		if len(now) == 0 {
			return candidates, rows, nil
		}
		for _, t := range now {
			part := t.parts[0]
			t.parts = t.parts[1:]
			if err := load(ctx, t.table, part, cut); err != nil {
				return nil, 0, fmt.Errorf("comparing %s: %w", t.table.name(), err)
			}
		}
		total, err := r.readOnce(ctx, now, cut, func(n uint64) { r.report(done+n, done+left*cut) })
		if err != nil {
			return nil, 0, err
		}
		for _, t := range now {
			found, looked := t.table.end(total)
			rows += looked
			candidates = append(candidates, found[:min(len(found), maxDifferences)]...)
		}
		if len(candidates) >= maxDifferences {
			return candidates[:maxDifferences], rows, nil
		}
	}
}

// errExchanged: the rows that were read are of two tables.
var errExchanged = errors.New("its table is being exchanged again and again")

// load reads a part of a table: anew, if a rebuild ended meanwhile, and the table that was
// being read is exchanged or dropped.
func load(ctx context.Context, t compared, part readmodels.Shard, cut uint64) error {
	for try := 1; ; try++ {
		err := t.load(ctx, part, cut)
		if try == reconcileTries || !errors.Is(err, errExchanged) && !readmodels.IsDropped(err) {
			return err
		}
	}
}

const reportEvery = 10_000 // events

func (r *Reconciler) report(done, total uint64) {
	if r.Progress != nil {
		r.Progress(Progress{Done: min(done, total), Total: total})
	}
}

// readOnce reads the store once, up to the newest event when the tables had been loaded:
// no row of theirs is of a later one.
func (r *Reconciler) readOnce(ctx context.Context, tasks []*task, cut uint64, progress func(uint64)) (total uint64, err error) {
	newest, some, err := projections.NewestLedgerEvent(ctx, r.Source)
	if err != nil {
		return 0, err
	}
	if !some {
		return 0, nil
	}
	err = r.Source.ReadAll(ctx, event.AllRead{Filter: projections.LedgerFilter()}, func(e event.Recorded) error {
		if e.Position > newest.Position {
			return errRead
		}
		one := projections.LedgerEvent{Recorded: e, Seq: total, Decoded: new(projections.DecodedCache)}
		for _, t := range tasks {
			if err := t.table.add(one, total >= cut); err != nil {
				return err
			}
		}
		if total++; total%reportEvery == 0 {
			progress(total)
			return ctx.Err()
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRead) {
		return 0, fmt.Errorf("folding the store: %w", err)
	}
	progress(total)
	return total, nil
}
