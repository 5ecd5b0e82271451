package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"recapito/projections"
	"recapito/readmodels"
)

// maxClockSkew is how far the clocks of the store, of an instance and of ClickHouse may be
// apart: times that differ by less are equal.
const maxClockSkew = time.Minute

// completenessCompared compares the completeness of each table with the store. The rows are
// some seconds old, and a missing row is no difference: it was not written yet.
type completenessCompared struct {
	conn readmodels.Conn

	part readmodels.Shard
	rows []completenessRow
	n    uint64
}

// completenessRow is a row, and what the store has at its place.
type completenessRow struct {
	readmodels.Completeness
	position uint64    // of the last event that is in the table by the row
	lacks    time.Time // when the event after that was stored
}

func (t *completenessCompared) name() string { return "completeness" }

func (t *completenessCompared) load(ctx context.Context, p readmodels.Shard, _ uint64) error {
	t.part, t.rows = p, nil
	all, err := readmodels.Completenesses(ctx, t.conn)
	for _, c := range all {
		if t.part.Has(c.Projection) {
			t.rows = append(t.rows, completenessRow{Completeness: c})
		}
	}
	t.n = uint64(len(t.rows))
	return err
}

func (t *completenessCompared) add(e projections.LedgerEvent, _ bool) error {
	for i := range t.rows {
		switch r := &t.rows[i]; {
		case e.Seq+1 == r.Seq:
			r.position = uint64(e.Position)
		case e.Seq == r.Seq:
			r.lacks = e.Created
		}
	}
	return nil
}

func (t *completenessCompared) end(total uint64) (found []candidate, looked uint64) {
	for _, r := range t.rows {
		for _, what := range r.wrong(total) {
			found = append(found, candidate{Difference{t.name(), r.Projection, what}, r.Projection})
		}
	}
	return found, t.n
}

func (r completenessRow) wrong(total uint64) (all []string) {
	if !slices.Contains(projections.Names, r.Projection) {
		return []string{"extra"}
	}
	if r.Seq > total {
		all = append(all, fmt.Sprintf("seq is %d of %d events", r.Seq, total))
	}
	if r.Position != r.position {
		all = append(all, fmt.Sprintf("position is %d, not %d", r.Position, r.position))
	}
	if r.Until.After(r.CheckedAt.Add(maxClockSkew)) {
		all = append(all, "complete_until is after checked_at")
	}
	if !r.lacks.IsZero() && r.Until.After(r.lacks.Add(maxClockSkew)) {
		all = append(all, "complete_until is after an event that the table lacks")
	}
	return all
}
