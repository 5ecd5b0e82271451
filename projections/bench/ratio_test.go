package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/projections"
	"recapito/readmodels"
)

// recorder keeps the first batches that are written to each table.
type recorder struct {
	projections.Target
	mu      sync.Mutex
	of      string // the projection whose batches are kept
	batches []recorded
}

type recorded struct {
	kind   readmodels.Table
	rows   []readmodels.Row
	events uint64
}

const recordedBatches = 16

// keep begins to keep those of a projection, and of no other.
func (r *recorder) keep(projection string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of, r.batches = projection, nil
}

func (r *recorder) Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error {
	var first, last uint64
	_, span, _ := strings.Cut(token, ":")
	_, _ = fmt.Sscanf(span, "%d-%d", &first, &last)
	r.mu.Lock()
	if kind.Projection == r.of && len(r.batches) < recordedBatches {
		r.batches = append(r.batches, recorded{kind: kind, rows: rows, events: last - first + 1})
	}
	r.mu.Unlock()
	return r.Target.Insert(ctx, kind, table, token, rows)
}

// raw inserts batches' columns, made before, with nothing around clickhouse-go, and
// answers how many events a second they stand for.
func raw(b *testing.B, models readModels, batches []recorded) float64 {
	b.Helper()
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
	began := time.Now()
	for _, one := range columns {
		batch, err := kind.Prepare(b.Context(), models.Conn, name)
		if err != nil {
			b.Fatal(err)
		}
		for i, c := range one {
			if err := batch.Column(i).Append(c); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(events) / time.Since(began).Seconds()
}
