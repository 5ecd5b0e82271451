package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

// countEvent calls add with what an event counts, by cell.
type countEvent[C comparable] func(e projections.LedgerEvent, add func(cell C, sums []int64)) error

func countsAccounting(codec *event.Codec) countEvent[readmodels.AccountingCell] {
	return func(e projections.LedgerEvent, add func(readmodels.AccountingCell, []int64)) error {
		return projections.Readable(e, func() error { return projections.CountAccounting(codec, e, add) })
	}
}

func countsRollups(codec *event.Codec) countEvent[readmodels.RollupCell] {
	return func(e projections.LedgerEvent, add func(readmodels.RollupCell, []int64)) error {
		return projections.Readable(e, func() error { return projections.CountRollups(codec, e, add) })
	}
}

// countsCompared is a counting table. Compared is what the events before a cut count:
// the one asked for, or the first event of the batch that it falls into.
type countsCompared[C interface {
	comparable
	Text() string
}] struct {
	conn   readmodels.Conn
	table  readmodels.Table
	limit  int
	counts countEvent[C]
	read   func(ctx context.Context, from string, p readmodels.Shard, visit func(readmodels.CountedRow[C]) error) error
	label  func(C) string

	part  *readmodels.Shard
	split func(readmodels.Shard)
	cut   uint64
	cells map[C]*cellSums
	n     uint64
	found []candidate
}

// cellSums are the sums of a cell: of the ledger, as shown as of the cut, in the batches,
// and as shown without a cut. The last may be ahead of the cut: then they must be the
// ledger's at some place after it.
type cellSums struct {
	want, shown, batches, latest []int64
	shownTimes                   int
	now                          []int64 // of the ledger so far, if that is past the cut
	right                        bool    // latest is
}

// ledgerSums returns the sums of the events so far.
func (c *cellSums) ledgerSums() []int64 {
	if c.now != nil {
		return c.now
	}
	return c.want
}

func (t *countsCompared[C]) name() string { return t.table.Projection }

func (t *countsCompared[C]) onSplit(f func(readmodels.Shard)) { t.split = f }

func (t *countsCompared[C]) load(ctx context.Context, part readmodels.Shard, cut uint64) error {
	before, err := readmodels.CutOf(ctx, t.conn, t.table, cut)
	if err != nil {
		return err
	}
	t.part, t.cells, t.cut, t.n, t.found = &part, map[C]*cellSums{}, cut, 0, nil
	var others []readmodels.Shard // split off; reported once, when the load has succeeded
	split := t.split
	t.split = func(other readmodels.Shard) { others = append(others, other) }
	err = t.loadFrom(ctx, before, cut)
	t.split = split
	if err != nil {
		return err
	}
	if before.Some {
		t.cut = before.First
	}
	after, err := readmodels.CutOf(ctx, t.conn, t.table, cut)
	if err != nil {
		return err
	}
	if after != before {
		return errExchanged
	}
	for _, other := range others {
		split(other)
	}
	return nil
}

func (t *countsCompared[C]) loadFrom(ctx context.Context, c readmodels.Cut, cut uint64) error {
	err := t.read(ctx, readmodels.ShownBefore(t.table, cut), *t.part, func(r readmodels.CountedRow[C]) error {
		if cell := t.at(r.Cell); cell != nil {
			t.n++
			cell.shownTimes++
			addTo(&cell.shown, r.Sums)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = t.read(ctx, t.table.Projection, *t.part, func(r readmodels.CountedRow[C]) error {
		if cell := t.at(r.Cell); cell != nil {
			addTo(&cell.latest, r.Sums)
		}
		return nil
	})
	if err != nil {
		return err
	}
	from, err := readmodels.BatchesBefore(c.Built, cut)
	if err != nil {
		return err
	}
	return t.read(ctx, from, *t.part, func(r readmodels.CountedRow[C]) error {
		if cell := t.at(r.Cell); cell != nil {
			addTo(&cell.batches, r.Sums)
		}
		return nil
	})
}

func addTo(to *[]int64, sums []int64) {
	if *to == nil {
		*to = slices.Clone(sums)
		return
	}
	for i, n := range sums {
		(*to)[i] += n
	}
}

// at returns a cell, nil if it is not of the shard. A shard with too many cells is halved.
func (t *countsCompared[C]) at(cell C) *cellSums {
	if !t.part.Has(cell.Text()) {
		return nil
	}
	c := t.cells[cell]
	if c == nil {
		c = &cellSums{}
		t.cells[cell] = c
	}
	for len(t.cells) > t.limit && t.part.Only == nil && t.part.Of < 1<<20 {
		of := max(t.part.Of, 1)
		t.split(readmodels.Shard{Of: 2 * of, Index: t.part.Index + of})
		t.part.Of = 2 * of
		for other := range t.cells {
			if !t.part.Has(other.Text()) {
				delete(t.cells, other)
			}
		}
	}
	return c // of no use if it was split off
}

func (t *countsCompared[C]) add(e projections.LedgerEvent, _ bool) error {
	return t.counts(e, func(cell C, sums []int64) {
		c := t.at(cell)
		switch {
		case c == nil:
		case e.Seq < t.cut:
			addTo(&c.want, sums)
		default:
			c.right = c.right || sameSums(c.ledgerSums(), c.latest)
			if c.now == nil {
				c.now = slices.Clone(c.want)
			}
			addTo(&c.now, sums)
		}
	})
}

func (t *countsCompared[C]) end(uint64) ([]candidate, uint64) {
	names := readmodels.SumNames(t.table)
	for cell, c := range t.cells {
		what := differences("", names, c.want, c.shown)
		if c.shownTimes > 1 {
			what = append(what, "repeated")
		}
		what = append(what, differences(" in the batches", names, c.want, c.batches)...)
		if latest := c.ledgerSums(); !c.right && !sameSums(latest, c.latest) {
			what = append(what, differences(" without a cut", names, latest, c.latest)...)
		}
		if len(what) > 0 && len(t.found) < maxDifferences {
			t.found = append(t.found, candidate{Difference{t.name(), t.label(cell), strings.Join(what, ", ")}, cell.Text()})
		}
	}
	t.cells = nil
	return t.found, t.n
}

// sameSums returns whether two sums are the same; missing ones are zero.
func sameSums(a, b []int64) bool {
	for i := range max(len(a), len(b)) {
		if i >= len(a) && b[i] != 0 || i >= len(b) && a[i] != 0 || i < len(a) && i < len(b) && a[i] != b[i] {
			return false
		}
	}
	return true
}

func differences(where string, names []string, want, got []int64) (all []string) {
	at := func(sums []int64, i int) int64 {
		if sums == nil {
			return 0
		}
		return sums[i]
	}
	for i, name := range names {
		if w, g := at(want, i), at(got, i); w != g {
			all = append(all, fmt.Sprintf("%s%s is %d, not %d", name, where, g, w))
		}
	}
	return all
}

func accountingCompared(conn readmodels.Conn, codec *event.Codec, limit int) compared {
	return &countsCompared[readmodels.AccountingCell]{
		conn: conn, table: readmodels.AccountingTable, limit: limit, counts: countsAccounting(codec),
		read: func(ctx context.Context, from string, p readmodels.Shard, visit func(readmodels.CountedRow[readmodels.AccountingCell]) error) error {
			return readmodels.AccountingIn(ctx, conn, from, p, visit)
		},
		label: func(c readmodels.AccountingCell) string { return strings.Join(c.Texts(), "/") },
	}
}

func rollupsCompared(conn readmodels.Conn, codec *event.Codec, limit int) compared {
	return &countsCompared[readmodels.RollupCell]{
		conn: conn, table: readmodels.RollupsTable, limit: limit, counts: countsRollups(codec),
		read: func(ctx context.Context, from string, p readmodels.Shard, visit func(readmodels.CountedRow[readmodels.RollupCell]) error) error {
			return readmodels.RollupsIn(ctx, conn, from, p, visit)
		},
		label: func(c readmodels.RollupCell) string { return strings.Join(c.Texts(), "/") },
	}
}
