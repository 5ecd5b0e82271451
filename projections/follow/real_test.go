package follow_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"recapito/adapters/clickhouse"
	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/readmodels"
)

// The way of an instance: it runs, is stopped and started, its engine is killed, its
// ClickHouse folder is deleted, its projections are rebuilt while events arrive; its
// tables are the store's fold each time.
func TestReadModelsEqualTheStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "clickhouse")
	i := newInstance(t)
	engine := clickhousetest.Start(t, clickhousetest.Options(dir))
	i.Start(clickhousetest.Connect(t, engine))
	i.Write(500)
	i.Complete()

	i.Stop()
	i.Write(200)
	i.Start(clickhousetest.Connect(t, engine))
	i.Complete()

	i.Write(250)
	if err := syscall.Kill(engine.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i.Write(250)
	i.Complete()

	var progress [2]uint64
	names := projections.Names
	if testing.Short() {
		names = names[:2]
	}
	for _, name := range names {
		ctx, cancel := context.WithCancel(t.Context())
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for ctx.Err() == nil {
				i.Write(1)
			}
		}()
		if err := i.P.Rebuild(t.Context(), name, func(done, total uint64) { progress = [2]uint64{done, total} }); err != nil {
			t.Errorf("rebuilding %s: %v", name, err)
		}
		cancel()
		<-writing
		if progress[0] == 0 || progress[0] != progress[1] {
			t.Errorf("the last progress told was %v", progress)
		}
		i.Complete()
	}

	i.Stop()
	clickhousetest.Stop(t, engine)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	engine = clickhousetest.Start(t, clickhousetest.Options(dir))
	i.Start(clickhousetest.Connect(t, engine))
	i.Complete()
}

// Spans are summed up on the real engine while batches are small, through restarts and
// a rebuild.
func TestSpansOnTheEngine(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span = 7, 64
	conn := clickhousetest.Database(t)
	for range 4 {
		i.Start(conn)
		i.Write(60)
		i.Complete()
		i.Stop()
	}
	i.Start(conn)
	i.Settled()
	var whole uint64
	err := conn.QueryRow(t.Context(), "SELECT max(span) FROM "+i.Table("accounting")+"_complete").Scan(&whole)
	if n := i.P.States()[0].Events; err != nil || whole != n/64-1 {
		t.Errorf("the last whole span of %d events is %d, %v", n, whole, err)
	}
	// Spans that are summed up again, once more and halfway, count once.
	for _, kind := range []readmodels.Table{readmodels.AccountingTable, readmodels.RollupsTable} {
		kind.SpanSize = i.Span
		table := i.Table(kind.Projection)
		for _, span := range []uint64{0, whole} {
			if err := kind.Sum(t.Context(), conn, table, span); err != nil {
				t.Error(err)
			}
			half := fmt.Sprintf("INSERT INTO %s_spans SELECT * REPLACE (run - 1 AS run) FROM %[1]s_spans WHERE span = %d LIMIT 3", table, span)
			if err := conn.Exec(t.Context(), half); err != nil {
				t.Error(err)
			}
		}
	}
	i.Complete()
	if err := i.P.Rebuild(t.Context(), "accounting", nil); err != nil {
		t.Error(err)
	}
	i.Complete()
	i.eventually("the tables of before the rebuild are dropped", func() bool {
		return len(i.Strings("SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'accounting_v')")) == 3
	})
}

// Another server's database is dropped under the running system.
func TestDroppedDatabaseHeals(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	engine := clickhousetest.Start(t, clickhousetest.Options(filepath.Join(t.TempDir(), "clickhouse")))
	url := engine.URL() + "/elsewhere"
	conn, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	i.StartOn(conn, follow.ClickHouse(conn, func(ctx context.Context) error { return clickhouse.CreateDatabase(ctx, url) }))
	i.Write(200)
	i.Complete()
	if err := clickhousetest.Connect(t, engine).Exec(t.Context(), "DROP DATABASE elsewhere SYNC"); err != nil {
		t.Fatal(err)
	}
	i.Write(200)
	i.Complete()
}

// BenchmarkProject is the rate of both projections together over a ledger that is
// there already.
func BenchmarkProject(b *testing.B) {
	i := newInstance(b)
	const appends = 100
	n := 0
	for n < max(b.N, 100_000) {
		var events []event.New
		for range appends {
			events = append(events, i.Author.Attempt(len(events)%8, i.Author.From))
		}
		n += appends
		stream := "notification-" + i.Author.ID()
		if _, err := i.Store.Append(b.Context(), stream, event.NoStream(), events); err != nil {
			b.Fatal(err)
		}
	}
	conn := clickhousetest.Database(b)
	b.ResetTimer()
	begin := time.Now()
	i.Start(conn)
	i.Settled()
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "events/s")
}
