package readmodels

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Table is what a projection fills: a schema under a version. The tables made from it
// have names of their own (Name); the view Projection shows one of them.
type Table struct {
	Projection string
	Version    int
	columns    []string
}

// The tables of the projections. A changed schema or meaning is a new version: its
// files are new files, and the projection is rebuilt beside the old table.
var (
	EventsTable = Table{Projection: "events", Version: 1, columns: eventColumns}
	EDRTable    = Table{Projection: "edr", Version: 1, columns: edrPartColumns}
)

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

func (t Table) run(ctx context.Context, conn driver.Conn, suffix, name, doing string) error {
	if err := checkName(name); err != nil {
		return err
	}
	text, err := schema.ReadFile(fmt.Sprintf("schema/%s_v%d%s.sql", t.Projection, t.Version, suffix))
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	for _, statement := range statements(strings.ReplaceAll(string(text), "{table}", name)) {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s %s: %w", doing, name, err)
		}
	}
	return nil
}

// Exists says whether the connection's database has the table.
func Exists(ctx context.Context, conn driver.Conn, name string) (bool, error) {
	var n uint64
	const query = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
	if err := conn.QueryRow(ctx, query, named("name", name)).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for table %s: %w", name, err)
	}
	return n > 0, nil
}

// Drop drops a table if it is there, whatever its size; queries under way end well.
func Drop(ctx context.Context, conn driver.Conn, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := conn.Exec(ctx, "DROP TABLE IF EXISTS "+name+" SETTINGS max_table_size_to_drop = 0"); err != nil {
		return fmt.Errorf("dropping table %s: %w", name, err)
	}
	return nil
}

// Insert writes rows, all made for this table, as one batch. A batch repeated under
// its token is dropped while the server remembers the token: that only saves work.
func (t Table) Insert(ctx context.Context, conn driver.Conn, name, token string, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	if err := checkName(name); err != nil {
		return err
	}
	settings := clickhouse.Settings{
		// A rebuild's batch may hold events of many months.
		"max_partitions_per_insert_block": 0,
	}
	if token != "" {
		settings["insert_deduplication_token"] = token
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+name+" ("+strings.Join(t.columns, ", ")+")")
	if err != nil {
		return fmt.Errorf("preparing a batch for %s: %w", name, err)
	}
	defer func() { _ = batch.Close() }()
	for _, r := range rows {
		if err := batch.Append(r.values()...); err != nil {
			return fmt.Errorf("filling a batch for %s: %w", name, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("writing a batch to %s: %w", name, err)
	}
	return nil
}

// Conn is a connection opened on the read models' database.
type Conn = driver.Conn

// Row is a row of one of the tables: EventRow or EDRPart.
type Row interface{ values() []any }

func named(name string, value any) driver.NamedValue { return clickhouse.Named(name, value) }
