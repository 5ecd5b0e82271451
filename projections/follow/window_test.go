package follow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections/follow"
	"recapito/projections/projectionstest"
	"recapito/readmodels"
)

// repeating is ClickHouse with tables that remember few tokens, or as many as in the
// running system. It keeps what is written, to be written again.
type repeating struct {
	follow.Target
	conn   readmodels.Conn
	tokens int

	mu      sync.Mutex
	written []func(context.Context) error
	batches map[string]int                         // by table
	first   map[string]func(context.Context) error // by table, its first batch
}

// What the tables remember: in full (RECAPITO_TEST_FULL) it is what their schema says.
const (
	fewTokens = 3
	allTokens = 400
)

func (r *repeating) Create(ctx context.Context, kind readmodels.Table, table string) error {
	return errors.Join(r.Target.Create(ctx, kind, table),
		r.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s MODIFY SETTING non_replicated_deduplication_window = %d", table, r.tokens)))
}

func (r *repeating) Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error {
	r.mu.Lock()
	r.batches[table]++
	again := func(ctx context.Context) error { return r.Target.Insert(ctx, kind, table, token, rows) }
	r.written = append(r.written, again)
	if r.batches[table] == 1 {
		r.first[table] = again
	}
	r.mu.Unlock()
	return r.Target.Insert(ctx, kind, table, token, rows)
}

// schemaRemembers wants a number of tokens in the tables as they are made in the running
// system.
func (i *instance) schemaRemembers(tokens int) {
	i.T.Helper()
	plain := readmodels.EDRTable.Name("plain")
	i.Exec(readmodels.EDRTable.Create(i.T.Context(), i.Conn, plain))
	made := i.Strings("SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = '" + plain + "'")
	if want := fmt.Sprintf("non_replicated_deduplication_window = %d", tokens); len(made) != 1 || !strings.Contains(made[0], want) {
		i.T.Errorf("a table is made by %v, want %s in it", made, want)
	}
	i.Exec(readmodels.Drop(i.T.Context(), i.Conn, plain))
}

// Every batch comes again, under its token, when ClickHouse has forgotten most of them:
// no table notices.
func TestDeduplicationWindowOverrun(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	conn := clickhousetest.Database(t)
	target := &repeating{Target: follow.ClickHouse(conn, nil), conn: conn, tokens: fewTokens, batches: map[string]int{}, first: map[string]func(context.Context) error{}}
	i.Batch, i.Span = 8, 64
	appends := 60
	if projectionstest.Full() {
		target.tokens, appends = allTokens, 90*allTokens/fewTokens
	}
	i.Write(appends)
	i.StartOn(conn, target)
	i.Within = 20 * time.Minute
	i.Complete()
	i.Stop()
	for table, n := range target.batches {
		if n <= 2*target.tokens {
			t.Errorf("%s was written in %d batches, and remembers %d", table, n, target.tokens)
		}
	}
	if target.tokens == allTokens {
		i.schemaRemembers(allTokens)
	}
	for _, again := range target.written {
		if err := again(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if found := i.Differences(); len(found) > 0 {
		t.Errorf("%d batches were written again, and %d places differ, the first: %s", len(target.written), len(found), found[0])
	}
	// It was forgotten: the first batch is written once more, while nothing is merged away.
	edr := i.Table("edr")
	i.Exec(conn.Exec(t.Context(), "SYSTEM STOP MERGES "+edr))
	rows := func() (n uint64) {
		i.Exec(conn.QueryRow(t.Context(), "SELECT count() FROM "+edr).Scan(&n))
		return n
	}
	before := rows()
	i.Exec(target.first[edr](t.Context()))
	if after := rows(); after <= before {
		t.Errorf("the first batch, written again, left %d rows of %d", after, before)
	}
}
