package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"recapito/projections/follow"
	"recapito/readmodels"
)

// recorder keeps the first batches that are written to some tables.
type recorder struct {
	follow.Target
	mu      sync.Mutex
	most    int                   // batches that are kept of each
	batches map[string][]recorded // by projection, of those that are kept
}

type recorded struct {
	kind   readmodels.Table
	rows   []readmodels.Row
	events uint64
}

// How many batches are kept, of one table and of each of all: rows that are kept are heap
// that the garbage collector goes through while the rebuild is measured.
const (
	keptOfOne = 16
	keptOfAll = 3
)

// keep begins to keep so many of some projections, and of no other.
func (r *recorder) keep(most int, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most, r.batches = most, map[string][]recorded{}
	for _, name := range names {
		r.batches[name] = nil
	}
}

func (r *recorder) Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error {
	var first, last uint64
	_, span, _ := strings.Cut(token, ":")
	_, _ = fmt.Sscanf(span, "%d-%d", &first, &last)
	r.mu.Lock()
	if kept, wanted := r.batches[kind.Projection]; wanted && len(kept) < r.most {
		r.batches[kind.Projection] = append(kept, recorded{kind: kind, rows: rows, events: last - first + 1})
	}
	r.mu.Unlock()
	return r.Target.Insert(ctx, kind, table, token, rows)
}

// raw inserts batches' columns, made before, with nothing around clickhouse-go: each
// table's one after the other, and all tables at the same time, as a pass writes them. It
// answers how many events a second they stand for.
func raw(b *testing.B, models readModels, tables ...[]recorded) float64 {
	b.Helper()
	var inserts []func() error
	var least uint64
	for _, batches := range tables {
		if len(batches) == 0 { // nothing was for this table
			continue
		}
		kind := batches[0].kind
		name := kind.Name(fmt.Sprintf("raw%d", time.Now().UnixNano()))
		if err := kind.Create(b.Context(), models.Conn, name); err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := readmodels.Drop(b.Context(), models.Conn, name); err != nil {
				b.Error(err)
			}
		}()
		columns, events := make([][]any, len(batches)), uint64(0)
		for i, batch := range batches {
			columns[i] = readmodels.Columns(batch.rows)
			events += batch.events
		}
		if least == 0 || events < least {
			least = events
		}
		inserts = append(inserts, func() error { return insertColumns(b.Context(), models, kind, name, columns) })
	}
	began := time.Now()
	var all errgroup.Group
	for _, insert := range inserts {
		all.Go(insert)
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
	return float64(least) / time.Since(began).Seconds()
}

func insertColumns(ctx context.Context, models readModels, kind readmodels.Table, name string, batches [][]any) error {
	for _, columns := range batches {
		batch, err := kind.Prepare(ctx, models.Conn, name)
		if err != nil {
			return err
		}
		for i, c := range columns {
			if err := batch.Column(i).Append(c); err != nil {
				return err
			}
		}
		if err := batch.Send(); err != nil {
			return err
		}
	}
	return nil
}
