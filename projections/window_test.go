package projections_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"recapito/projections"
	"recapito/readmodels"
)

// repeating is ClickHouse with tables that remember few tokens. It keeps what is written,
// to be written again.
type repeating struct {
	projections.Target
	conn readmodels.Conn

	mu      sync.Mutex
	written []func(context.Context) error
	batches map[string]int // by table
}

const fewTokens = 3

func (r *repeating) Create(ctx context.Context, kind readmodels.Table, table string) error {
	return errors.Join(r.Target.Create(ctx, kind, table),
		r.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s MODIFY SETTING non_replicated_deduplication_window = %d", table, fewTokens)))
}

func (r *repeating) Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error {
	r.mu.Lock()
	r.batches[table]++
	r.written = append(r.written, func(ctx context.Context) error { return r.Target.Insert(ctx, kind, table, token, rows) })
	r.mu.Unlock()
	return r.Target.Insert(ctx, kind, table, token, rows)
}

// Every batch comes again, under its token, when ClickHouse has forgotten most of them:
// no table notices.
func TestDeduplicationWindowOverrun(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	conn := connect(t, startEngine(t, filepath.Join(t.TempDir(), "clickhouse")))
	target := &repeating{Target: projections.ClickHouse(conn, nil), conn: conn, batches: map[string]int{}}
	i.batch = 8
	i.write(60)
	i.startOn(conn, target)
	i.whole()
	i.stop()
	for table, n := range target.batches {
		if n <= 2*fewTokens {
			t.Errorf("%s was written in %d batches, and remembers %d", table, n, fewTokens)
		}
	}
	for _, again := range target.written {
		if err := again(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if found := i.differences(); len(found) > 0 {
		t.Errorf("%d batches were written again, and %d places differ, the first: %s", len(target.written), len(found), found[0])
	}
	var rows, merged uint64
	if err := conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM edr_parts), (SELECT count() FROM edr)").Scan(&rows, &merged); err != nil {
		t.Fatal(err)
	}
	if rows <= merged { // no batch was written twice after all
		t.Errorf("%d partial rows of %d attempts", rows, merged)
	}
}
