package follow_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections"
	"recapito/projections/projectionstest"
)

// Readers never see that a table is exchanged: none of their questions fails.
func TestReadersDuringExchanges(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span = 32, 64
	conn := clickhousetest.Database(t)
	i.Start(conn)
	i.Write(60)
	i.Settled()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for _, view := range []string{"events", "edr", "notifications", "accounting", "accounting_as_of(cut = 100)", "rollups"} {
		readers.Go(func() {
			for ctx.Err() == nil {
				var n uint64
				if err := conn.QueryRow(context.Background(), "SELECT count() FROM "+view).Scan(&n); err != nil || n == 0 {
					t.Errorf("%s has %d rows, %v", view, n, err)
				}
			}
		})
	}
	times := 1
	if projectionstest.Full() {
		times = 3
	}
	for range times {
		if err := i.P.RebuildAll(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	cancel()
	readers.Wait()
	for _, name := range projections.Names {
		if table := i.Table(name); !strings.HasPrefix(table, name+"_v") {
			t.Errorf("the view %s shows the table %q", name, table)
		}
	}
}
