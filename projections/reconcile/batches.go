package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"recapito/projections"
	"recapito/readmodels"
)

// batchesCompared holds each batch of a counting table, and each span that is summed up,
// against the store: its ends, and by a weight what it counts. The sums of a table can be
// right with two of its batches wrong; as of a cut between them they are not.
type batchesCompared[C interface {
	comparable
	Weigh(sums []int64) int64
}] struct {
	conn   readmodels.Conn
	table  readmodels.Table
	counts countEvent[C]

	part    readmodels.Shard
	batches []readmodels.Batch // in order
	counted []int64            // weights, of batches, as the store has it
	spans   readmodels.SpanWeights
	inSpan  map[uint64]int64 // the same of spans
	found   []candidate
}

func (t *batchesCompared[C]) name() string { return t.table.Projection + " batches" }

func (t *batchesCompared[C]) load(ctx context.Context, p readmodels.Shard, cut uint64) error {
	t.part, t.batches, t.inSpan, t.found = p, nil, map[uint64]int64{}, nil
	shown, err := readmodels.CutOf(ctx, t.conn, t.table, cut)
	if err != nil {
		return err
	}
	if t.spans, err = readmodels.SpansIn(ctx, t.conn, t.table, shown.Built, p); err != nil {
		return err
	}
	err = readmodels.BatchesIn(ctx, t.conn, t.table, shown.Built, p, func(b readmodels.Batch) error {
		t.batches = append(t.batches, b)
		return nil
	})
	t.counted = make([]int64, len(t.batches))
	return err
}

func (t *batchesCompared[C]) differs(key string, seq uint64, what string) {
	if len(t.found) < maxDifferences {
		t.found = append(t.found, candidate{Difference{t.name(), key, what}, readmodels.Batch{FirstSeq: seq}.Text()})
	}
}

func (t *batchesCompared[C]) differsIn(seq uint64, what string) {
	t.differs(fmt.Sprintf("seq %d", seq), seq, what)
}

func (t *batchesCompared[C]) add(e projections.LedgerEvent, tail bool) error {
	if !t.part.Has(readmodels.Batch{FirstSeq: e.Seq}.Text()) {
		return nil
	}
	// The last batch that begins at the event or before.
	i := sort.Search(len(t.batches), func(i int) bool { return t.batches[i].FirstSeq > e.Seq }) - 1
	in := i >= 0 && e.Seq <= t.batches[i].LastSeq
	if tail && !in {
		return nil // not there yet
	}
	if i >= 0 && t.batches[i].FirstSeq == e.Seq {
		b := t.batches[i]
		if b.FirstPosition != uint64(e.Position) || b.LeastPosition != b.FirstPosition {
			t.differsIn(e.Seq, fmt.Sprintf("first_position is %d, not %d", b.LeastPosition, e.Position))
		}
	}
	span, something := e.Seq/t.table.SpanEvents(), false
	err := t.counts(e, func(cell C, sums []int64) {
		something = something || slices.ContainsFunc(sums, func(n int64) bool { return n != 0 })
		weight := cell.Weigh(sums)
		if in {
			t.counted[i] += weight
		}
		if span < t.spans.Complete {
			t.inSpan[span] += weight
		}
	})
	if something && !in { // an event of no batch must count nothing
		t.differsIn(e.Seq, "no batch holds the event")
	}
	return err
}

func (t *batchesCompared[C]) end(total uint64) ([]candidate, uint64) {
	size := t.table.SpanEvents()
	for i, b := range t.batches {
		switch {
		case b.LastSeq != b.LeastLast:
			t.differsIn(b.FirstSeq, "last_seq is not one thing")
		case b.LastSeq < b.FirstSeq || b.FirstSeq/size != b.LastSeq/size:
			t.differsIn(b.FirstSeq, fmt.Sprintf("last_seq is %d", b.LastSeq))
		case b.LastSeq >= total:
			t.differsIn(b.FirstSeq, fmt.Sprintf("extra: last_seq is %d of %d events", b.LastSeq, total))
		case i+1 < len(t.batches) && t.batches[i+1].FirstSeq <= b.LastSeq:
			t.differsIn(b.FirstSeq, fmt.Sprintf("last_seq is %d, in the next batch", b.LastSeq))
		case b.Weight != t.counted[i]:
			t.differsIn(b.FirstSeq, "its rows count something else than its events")
		}
	}
	if complete := t.spans.Complete; complete > 0 && complete > total/size {
		t.differs(fmt.Sprintf("span %d", complete-1), (complete-1)*size, fmt.Sprintf("extra: summed up, of %d events", total))
	}
	for span := range t.spans.Weights {
		t.inSpan[span] += 0 // to be looked at, though no event counts in it
	}
	for span, weight := range t.inSpan {
		if t.spans.Weights[span] != weight {
			t.differs(fmt.Sprintf("span %d", span), span*size, "its rows count something else than its events")
		}
	}
	t.batches, t.counted, t.inSpan = nil, nil, nil
	return t.found, 0
}
