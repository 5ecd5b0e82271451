package projections_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/adapters/eventlog"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/histories"
	"recapito/readmodels"
)

// smallSpan is how many events a span has where batches are small.
const smallSpan = 64

// The real store and the real engine.
type instance struct {
	t         testing.TB
	store     *eventlog.Log
	author    *author
	histories *histories.Generator
	conn      driver.Conn
	p         *projections.Projections
	batch     int // how many events in one; 0: as many as in the running system
	stop      func()
	skew      time.Duration // how far the clocks of who writes are apart at most
	// Of a batch and of a span, if they are to be small.
	limit int
	span  uint64
	parts int // events and cells in a part that is compared; 0: as many as in the running system
	// within bounds the wait until the tables are up to date; 0: a minute.
	within time.Duration
}

func newInstance(t testing.TB) *instance {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	i := &instance{t: t, store: log, author: newAuthor(t, 42)}
	i.histories, err = histories.New(histories.Options{Codec: i.author.codec, Seed: 42, Stories: 50})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *instance) start(conn driver.Conn) {
	i.t.Helper()
	i.startOn(conn, projections.ClickHouse(conn, nil))
}

func (i *instance) startOn(conn driver.Conn, target projections.Target) {
	i.t.Helper()
	var err error
	i.conn = conn
	i.p, err = projections.New(projections.Config{
		Source: i.store, Journal: i.store, Target: target, Codec: i.author.codec,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	if i.limit > 0 {
		projections.LimitBatches(i.p, i.limit, i.span)
	}
	if i.batch > 0 {
		projections.LimitBatches(i.p, i.batch, smallSpan)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); i.p.Run(ctx) }()
	i.stop = func() { cancel(); <-done; i.stop = func() {} }
	i.t.Cleanup(func() { i.stop() })
}

func (i *instance) write(appends int) {
	i.t.Helper()
	for range appends {
		a := i.histories.Next()
		i.skewed(a.Events)
		if _, err := i.store.Append(context.Background(), a.Stream, a.Expected(), a.Events); err != nil {
			i.t.Fatal(err)
		}
	}
}

// skewed stamps the events of an append by a handler's clock: recorded_at goes back
// between one append and the next.
func (i *instance) skewed(events []event.New) {
	if i.skew == 0 {
		return
	}
	ahead := time.Duration(i.author.random.Int64N(int64(2*i.skew))) - i.skew
	for j := range events {
		m, err := event.DecodeMetadata(events[j].Metadata)
		if err != nil {
			i.t.Fatal(err)
		}
		m.RecordedAt = m.RecordedAt.Add(ahead)
		if events[j].Metadata, err = event.EncodeMetadata(m); err != nil {
			i.t.Fatal(err)
		}
	}
}

func (i *instance) settled() {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(i.within, time.Minute))
	defer cancel()
	if err := i.p.Settle(ctx); err != nil {
		i.t.Fatalf("%v: %+v", err, i.p.States())
	}
}

func (i *instance) differences() []string {
	i.t.Helper()
	r := &projections.Reconciler{Source: i.store, Codec: i.author.codec, Conn: i.conn}
	if i.parts > 0 {
		projections.PartsOf(r, i.parts)
	}
	if i.limit > 0 {
		projections.SpansOf(r, i.span)
	}
	if i.batch > 0 {
		projections.SpansOf(r, smallSpan)
	}
	found, err := r.Run(context.Background())
	if err != nil {
		i.t.Fatal(err)
	}
	if found.Events > 0 && found.Rows == 0 {
		i.t.Error("nothing was compared")
	}
	var all []string
	for _, d := range found.Differences {
		all = append(all, d.String())
	}
	return all
}

func (i *instance) whole() {
	i.t.Helper()
	i.settled()
	if found := i.differences(); len(found) > 0 {
		i.t.Errorf("the read models are not the store's fold:\n%s", strings.Join(found, "\n"))
	}
}

// The way of an instance: it runs, is stopped and started, its engine is killed, its
// ClickHouse folder is deleted, its projections are rebuilt while events arrive; its
// tables are the store's fold each time.
func TestReadModelsEqualTheStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "clickhouse")
	i := newInstance(t)
	engine := clickhousetest.Start(t, clickhousetest.Options(dir))
	i.start(clickhousetest.Connect(t, engine))
	i.write(500)
	i.whole()

	i.stop()
	i.write(200)
	i.start(clickhousetest.Connect(t, engine))
	i.whole()

	i.write(250)
	if err := syscall.Kill(engine.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i.write(250)
	i.whole()

	var progress [2]uint64
	for _, name := range projections.Names {
		ctx, cancel := context.WithCancel(t.Context())
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for ctx.Err() == nil {
				i.write(1)
			}
		}()
		if err := i.p.Rebuild(t.Context(), name, func(done, total uint64) { progress = [2]uint64{done, total} }); err != nil {
			t.Errorf("rebuilding %s: %v", name, err)
		}
		cancel()
		<-writing
		if progress[0] == 0 || progress[0] != progress[1] {
			t.Errorf("the last progress told was %v", progress)
		}
		i.whole()
	}

	i.stop()
	clickhousetest.Stop(t, engine)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	engine = clickhousetest.Start(t, clickhousetest.Options(dir))
	i.start(clickhousetest.Connect(t, engine))
	i.whole()
}

// Spans are summed up on the real engine while batches are small, through restarts and
// a rebuild.
func TestSpansOnTheEngine(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.limit, i.span = 7, 64
	conn := clickhousetest.New(t)
	for range 4 {
		i.start(conn)
		i.write(60)
		i.whole()
		i.stop()
	}
	i.start(conn)
	i.settled()
	var whole uint64
	err := conn.QueryRow(t.Context(), "SELECT max(span) FROM "+i.table("accounting")+"_whole").Scan(&whole)
	if n := i.p.States()[0].Events; err != nil || whole != n/64-1 {
		t.Errorf("the last whole span of %d events is %d, %v", n, whole, err)
	}
	// Spans that are summed up again, once more and halfway, count once.
	for _, kind := range []readmodels.Table{readmodels.AccountingTable, readmodels.RollupsTable} {
		kind.SpanSize = i.span
		table := i.table(kind.Projection)
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
	i.whole()
	if err := i.p.Rebuild(t.Context(), "accounting", nil); err != nil {
		t.Error(err)
	}
	i.whole()
	var tables uint64
	err = conn.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'accounting_v')").Scan(&tables)
	if err != nil || tables != 3 {
		t.Errorf("%d tables of accounting are left after the rebuild, %v", tables, err)
	}
}

// table answers the table that a projection's view shows.
func (i *instance) table(projection string) string {
	i.t.Helper()
	var name string
	const query = `SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, {p:String} || '_v[0-9]+_[a-z0-9]+$')`
	if err := i.conn.QueryRow(context.Background(), query, driver.NamedValue{Name: "p", Value: "^" + projection}).Scan(&name); err != nil {
		i.t.Fatal(err)
	}
	return name
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
	i.startOn(conn, projections.ClickHouse(conn, func(ctx context.Context) error { return clickhouse.CreateDatabase(ctx, url) }))
	i.write(200)
	i.whole()
	if err := clickhousetest.Connect(t, engine).Exec(t.Context(), "DROP DATABASE elsewhere SYNC"); err != nil {
		t.Fatal(err)
	}
	i.write(200)
	i.whole()
}

func TestCompareFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start(clickhousetest.New(t))
	i.write(100)
	i.whole()
	i.stop()
	tables := map[string]readmodels.Table{
		"events": readmodels.EventsTable, "edr": readmodels.EDRTable,
		"notifications": readmodels.NotificationsTable,
		"accounting":    readmodels.AccountingTable, "rollups": readmodels.RollupsTable, "audit_log": readmodels.AuditTable,
	}
	for n, plant := range []struct{ name, view, rows, want string }{
		{"a row too many", "edr", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} WHERE notification = {n}", "edr t9/"},
		{"an attempt less", "edr", "* FROM {t} WHERE notification != {n}", "/1: missing"},
		{"a changed status", "edr", "* REPLACE (tuple(toInt8(9), toInt64(0), 'gone', '') AS outcome) FROM {t}", ": status, code"},
		{"a changed time", "edr", "* REPLACE (requested_at + INTERVAL 1 MICROSECOND AS requested_at) FROM {t}", "requested_at"},
		{"an event twice", "events", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} WHERE seq = 3", ": repeated"},
		{"an event less", "events", "* FROM {t} WHERE seq != 7", ": missing"},
		{"an event too many", "events", "* FROM {t} UNION ALL SELECT * REPLACE (1000000 AS seq, 's9' AS stream) FROM {t} WHERE position = (SELECT position FROM {t} WHERE seq = 3)", "s9@"},
		{"changed data", "events", "* REPLACE (if(seq = 9, 'x', data) AS data) FROM {t}", ": data"},
		{"a notification less", "notifications", "* FROM {t} WHERE notification != {n}", ": missing"},
		{"a notification too many", "notifications", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} WHERE notification = {n}", "notifications t9/"},
		{"a message more", "accounting", "* REPLACE (messages + 1 AS messages) FROM {t}", "messages is "},
		{"a unit more", "accounting", "* REPLACE (units + 1 AS units) FROM {t}", " units is "},
		{"a billable message more", "accounting", "* REPLACE (billable + 1 AS billable) FROM {t}", "billable is "},
		{"a billable part more", "accounting", "* REPLACE (billable_units + 1 AS billable_units) FROM {t}", "billable_units is "},
		{"a message without a price more", "accounting", "* REPLACE (unpriced + 1 AS unpriced) FROM {t}", "unpriced is "},
		{"sums less", "accounting", "* FROM {t} WHERE channel = ''", "accounting batches seq "},
		{"sums too many", "accounting", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t}", "accounting t9/"},
		{"another batch", "accounting", "* REPLACE (first_position + 1 AS first_position) FROM {t}", "accounting batches seq "},
		{"a changed count", "rollups", "* REPLACE (n + 1 AS n) FROM {t}", "n is "},
		{"counts less", "rollups", "* FROM {t} WHERE grain != 'hour'", "/hour/"},
		{"counts too many", "rollups", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} LIMIT 1 BY tenant", "rollups t9/"},
		{"a batch of counts elsewhere", "rollups", "* REPLACE (first_position + 1 AS first_position) FROM {t}", "rollups batches seq "},
		{"calls too many", "audit_log", "* FROM {t} UNION ALL SELECT * REPLACE (id || '9' AS id) FROM {t}", ": extra"},
		{"a call twice", "audit_log", "* FROM {t} UNION ALL SELECT * REPLACE (at + INTERVAL 1 SECOND AS at) FROM {t}", ": extra"},
		{"calls less", "audit_log", "* FROM {t} WHERE false", ": missing"},
		{"a changed answer", "audit_log", "* REPLACE (status + 1 AS status) FROM {t}", "status is "},
		{"nothing", "events", "* FROM {t}", ""},
		{"nothing", "edr", "* FROM {t}", ""},
	} {
		kind, original := tables[plant.view], i.table(plant.view)
		planted := kind.Name(fmt.Sprintf("planted%d", n))
		err := errors.Join(
			kind.Create(t.Context(), i.conn, planted),
			i.conn.Exec(t.Context(), "INSERT INTO "+planted+" SELECT "+strings.NewReplacer("{t}", original, "{n}", "(SELECT min(notification) FROM "+i.table("edr")+")").Replace(plant.rows)),
			kind.Show(t.Context(), i.conn, planted),
		)
		if err != nil {
			t.Fatalf("%s: %v", plant.name, err)
		}
		found := strings.Join(i.differences(), "\n")
		if plant.want == "" && found != "" || !strings.Contains(found, plant.want) {
			t.Errorf("%s: found %q, want %q among it", plant.name, found, plant.want)
		}
		err = errors.Join(kind.Show(t.Context(), i.conn, original), readmodels.Drop(t.Context(), i.conn, planted))
		if err != nil {
			t.Fatal(err)
		}
	}
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
			events = append(events, i.author.attempt(len(events)%8, i.author.from))
		}
		n += appends
		stream := "notification-" + i.author.id()
		if _, err := i.store.Append(b.Context(), stream, event.NoStream(), events); err != nil {
			b.Fatal(err)
		}
	}
	conn := clickhousetest.New(b)
	b.ResetTimer()
	begin := time.Now()
	i.start(conn)
	i.settled()
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "events/s")
}
