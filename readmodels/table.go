package readmodels

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Table is what a projection fills: a schema under a version. The tables made from it
// have names of their own (Name); the view Projection shows one of them.
type Table struct {
	Projection string
	Version    int
	columns    []clickhouse.ColumnNameAndType
	dimensions dimensionList // that it has columns of
	// Sums: its rows are sums of a batch, which Sum adds up over complete spans.
	Sums bool
	// SpanSize is Span, or what a test makes of it; 0 is Span.
	SpanSize uint64
}

// The tables of the projections. A changed schema or meaning is a new version: its
// files are new files, and the projection is rebuilt in a new table.
var (
	EventsTable        = Table{Projection: "events", Version: 2, columns: eventColumns.types()}
	EDRTable           = Table{Projection: "edr", Version: 3, columns: edrPartColumns.types(), dimensions: edrDimensions}
	AccountingTable    = Table{Projection: "accounting", Version: 3, columns: accountingColumns.types(), dimensions: accountingDimensions, Sums: true}
	NotificationsTable = Table{Projection: "notifications", Version: 1, columns: notificationColumns.types(), dimensions: notificationDimensions}
	RollupsTable       = Table{Projection: "rollups", Version: 3, columns: rollupColumns.types(), dimensions: rollupDimensions, Sums: true}
	AuditTable         = Table{Projection: "audit_log", Version: 1, columns: auditColumns.types()}
)

// The rows of every table and view of the read models are of a tenant, which their column
// tenant names; OfNobody are of none. But for these, WithoutTenant, which have no such column:
// an engine that filters rows by tenant must know them.
const OfNobody = "*"

// ReaderMark begins the setting log_comment of a session that is a tenant's reader's, where
// an engine sets it. The views hide there what shows how much other tenants send: seq,
// position and changed are the largest number, so that what is above a place is everything.
const ReaderMark = "r|"

// WithoutTenant lists the tables and views that have no column tenant.
var WithoutTenant = []string{"schema_migrations", "generation", "completeness_checks", "completeness", "accounting_cut", "rollups_cut"}

// Internal reports whether a view is how the ledger itself looks into its tables: nothing
// for other readers.
func Internal(view string) bool {
	return slices.ContainsFunc([]string{"_parts", "_rows", "_as_of", "_cut"}, func(s string) bool { return strings.HasSuffix(view, s) })
}

// Span is how many ledger events the ordinals are divided into: a batch never crosses a
// multiple of it, so that sums over complete spans are made of complete batches.
const Span = 1 << 20

// SpanEvents is how many ledger events a span of the table has.
func (t Table) SpanEvents() uint64 {
	if t.SpanSize == 0 {
		return Span
	}
	return t.SpanSize
}

// Name makes the name of one table of the kind; id is random, so that what another
// store or an abandoned rebuild left behind is never taken for ours.
func (t Table) Name(id string) string {
	return fmt.Sprintf("%s_v%d_%s", t.Projection, t.Version, id)
}

var tableName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,60}$`)

// checkName keeps anything but a plain name out of a statement: names cannot be bound.
func checkName(name string) error {
	if !tableName.MatchString(name) {
		return fmt.Errorf("%q is not a table name", name)
	}
	return nil
}

// Create makes the table if it is not there.
func (t Table) Create(ctx context.Context, conn driver.Conn, name string) error {
	return t.run(ctx, conn, "", name, "creating table")
}

// Show points the projection's view at a table, at once for every reader.
func (t Table) Show(ctx context.Context, conn driver.Conn, name string) error {
	return t.run(ctx, conn, "_view", name, "showing table")
}

// Shown returns the table that the projection's views show; empty if there is no view. Show
// points several views at a table, one after the other; the last of them is looked at.
func (t Table) Shown(ctx context.Context, conn driver.Conn) (string, error) {
	const query = `SELECT extract(max(as_select), {table:String}) FROM system.tables
		WHERE database = currentDatabase() AND name = {view:String} AND engine = 'View'`
	view := t.Projection
	if t.Sums {
		view += "_cut"
	}
	var table string
	err := conn.QueryRow(ctx, query, named("table", t.Projection+`_v[0-9]+_[0-9a-z]+`), named("view", view)).Scan(&table)
	if err != nil {
		return "", fmt.Errorf("looking for what the view %s shows: %w", t.Projection, err)
	}
	return table, nil
}

// Made returns whether a table of that name was made of this schema and version.
func (t Table) Made(name string) bool {
	return strings.HasPrefix(name, t.Name(""))
}

// Sum adds up the batches of a complete span, all of which have been written, so that
// readers need not look at them any more. It may be repeated at any time: each run has a
// number of its own, readers take one run of those that came to their end, and none has to
// look for rows that are there twice.
func (t Table) Sum(ctx context.Context, conn driver.Conn, name string, span uint64) error {
	return t.run(ctx, conn, "_span", name, "summing up a span of",
		"{span}", strconv.FormatUint(span, 10), "{run}", strconv.FormatUint(rand.Uint64(), 10)) //nolint:gosec // a number, not a secret
}

// run executes the statements of a schema's file; more are pairs of what is replaced in it.
func (t Table) run(ctx context.Context, conn driver.Conn, suffix, name, doing string, more ...string) error {
	if err := checkName(name); err != nil {
		return err
	}
	text, err := schema.ReadFile(fmt.Sprintf("schema/%s_v%d%s.sql", t.Projection, t.Version, suffix))
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	codes, texts := errorLists()
	more = slices.Concat(more, domainFill(), []string{"{dimensions}", t.dimensions.list()})
	for _, column := range []string{"seq", "position", "changed"} {
		more = append(more, "{ordinal t."+column+"}", "if(startsWith(getSetting('log_comment'), "+literal(ReaderMark)+"), 18446744073709551615, t."+column+")")
	}
	fill := strings.NewReplacer(append(more, "{codes}", codes, "{texts}", texts, "{other}", literal(otherCode),
		"{table}", name, "{size}", strconv.FormatUint(t.SpanEvents(), 10))...)
	for _, statement := range statements(fill.Replace(string(text))) {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s %s: %w", doing, name, err)
		}
	}
	return nil
}

// Exists returns whether the connection's database has the table.
func Exists(ctx context.Context, conn driver.Conn, name string) (bool, error) {
	var n uint64
	const query = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
	if err := conn.QueryRow(ctx, query, named("name", name)).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for table %s: %w", name, err)
	}
	return n > 0, nil
}

// Drop drops a table and those that belong to it (name_…), if they are there, whatever
// their size; queries under way end well.
func Drop(ctx context.Context, conn driver.Conn, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	const query = `SELECT name FROM system.tables
		WHERE database = currentDatabase() AND startsWith(name, {name:String} || '_') ORDER BY name`
	rows, err := conn.Query(ctx, query, named("name", name))
	if err != nil {
		return fmt.Errorf("looking for what belongs to table %s: %w", name, err)
	}
	all, err := scanStrings(rows)
	if err != nil {
		return fmt.Errorf("looking for what belongs to table %s: %w", name, err)
	}
	// The table itself goes last: as long as it is there, so is the rest's name.
	for _, one := range append(all, name) {
		if err := checkName(one); err != nil {
			return err
		}
		if err := conn.Exec(ctx, "DROP TABLE IF EXISTS "+one+" SETTINGS max_table_size_to_drop = 0"); err != nil {
			return fmt.Errorf("dropping table %s: %w", one, err)
		}
	}
	return nil
}

// RunningQueries returns the ids of the queries that run on the server now, but this one. A
// query is among them from before it resolves its tables until it has ended.
func RunningQueries(ctx context.Context, conn driver.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, "SELECT query_id FROM system.processes WHERE query_id != queryID()")
	if err != nil {
		return nil, fmt.Errorf("asking which queries run: %w", err)
	}
	all, err := scanStrings(rows)
	if err != nil {
		return nil, fmt.Errorf("asking which queries run: %w", err)
	}
	return all, nil
}

// unknownTable is ClickHouse's code of a table that is not there.
const unknownTable = 60

// IsDropped returns whether a statement failed because a table is not there. A query that
// reads a table by its own name, not by its view, may fail so when a rebuild ends.
func IsDropped(err error) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && e.Code == unknownTable
}

func scanStrings(rows driver.Rows) ([]string, error) {
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// Insert writes rows, all made for this table, as one batch. A batch repeated under
// its token is dropped while the server remembers the token: that only saves work.
func (t Table) Insert(ctx context.Context, conn driver.Conn, name, token string, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	settings := clickhouse.Settings{
		// A batch is a part: newer servers would keep it back, to join it with others.
		"async_insert": 0,
		// A rebuild's batch may hold events of many months.
		"max_partitions_per_insert_block": 0,
	}
	if token != "" {
		settings["insert_deduplication_token"] = token
	}
	batch, err := t.Prepare(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), conn, name)
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }()
	if err := fill(batch, Columns(rows)); err != nil {
		return fmt.Errorf("a batch for %s: %w", name, err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("writing a batch to %s: %w", name, err)
	}
	return nil
}

// Prepare begins a batch for a table of the kind, to be filled with Columns. Over HTTP its
// columns are sent as the types that the rows have, and the server makes the table's of
// them: a dictionary of each column costs the client more, and it need not ask for them.
func (t Table) Prepare(ctx context.Context, conn driver.Conn, name string) (driver.Batch, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithColumnNamesAndTypes(t.columns))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+name+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return nil, fmt.Errorf("preparing a batch for %s: %w", name, err)
	}
	return batch, nil
}

// Conn is a connection opened on the read models' database.
type Conn = driver.Conn

// Row is a row of one of the tables: EventRow, PartialEDR, AccountingRow, RollupRow, AuditRow.
type Row interface{ columns(rows []Row) []any }

func named(name string, value any) driver.NamedValue { return clickhouse.Named(name, value) }

// within bounds statements on the server.
func within(ctx context.Context, d time.Duration) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": int(d / time.Second)}))
}
