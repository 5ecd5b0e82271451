package readmodels_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"recapito/readmodels"
)

// extract is a warehouse's copy of a view, kept by its change position.
type extract struct {
	view, parts, key string
	position         uint64
	rows             map[string]string // by key, whole
	fetched          int               // by the last fetch
}

// biExtracts are made when the first half of the histories is in the tables.
var biExtracts = []*extract{
	{view: "notifications", parts: "notification_parts", key: "(tenant, notification)"},
	{view: "edr", parts: "edr_parts", key: "(tenant, day, notification, attempt)"},
}

func (e *extract) fetch(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.Query(ctx, fmt.Sprintf(
		"SELECT toString(%[1]s), toJSONString(tuple(*)), changed FROM %[2]s WHERE %[1]s IN (SELECT %[1]s FROM %[3]s WHERE changed > {position:UInt64})",
		e.key, e.view, e.parts), clickhouse.Named("position", e.position))
	if err != nil {
		return fmt.Errorf("extracting %s: %w", e.view, err)
	}
	defer func() { _ = rows.Close() }()
	if e.rows == nil {
		e.rows = map[string]string{}
	}
	e.fetched = 0
	for rows.Next() {
		var key, row string
		var changed uint64
		if err := rows.Scan(&key, &row, &changed); err != nil {
			return err
		}
		e.rows[key] = row
		e.position = max(e.position, changed)
		e.fetched++
	}
	return rows.Err()
}

// A copy that was made when half of the events were in, and then fetches what was changed
// since, is the table; so is one that fetches again from an earlier position.
func TestExtracts(t *testing.T) {
	if err := fillBI(t); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, engine(t).URL())
	for _, e := range biExtracts {
		whole := &extract{view: e.view, parts: e.parts, key: e.key}
		if err := whole.fetch(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		had, half := len(e.rows), e.position
		for _, from := range []uint64{half, half / 2, e.position} {
			e.position = from
			if err := e.fetch(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole.rows, e.rows); diff != "" {
				t.Errorf("%s: the copy is not the table (-table +copy):\n%s", e.view, diff)
			}
			if e.position != whole.position {
				t.Errorf("%s: its position is %d, the table's %d", e.view, e.position, whole.position)
			}
			if from == half && (e.fetched == 0 || e.fetched >= len(whole.rows) || had == 0) {
				t.Errorf("%s: %d of %d rows were fetched to a copy of %d", e.view, e.fetched, len(whole.rows), had)
			}
		}
		// A reader has every row of its tenant, whatever its place, and sees no places.
		var rows, above, hidden uint64
		if err := bi(t).QueryRow(t.Context(), "SELECT count(), countIf(changed > 1000000000), countIf(changed = 18446744073709551615) FROM "+e.view).Scan(&rows, &above, &hidden); err != nil {
			t.Fatal(err)
		}
		if rows == 0 || rows >= uint64(len(whole.rows)) || above != rows || hidden != rows {
			t.Errorf("%s: a reader sees %d rows of %d, %d above any place, %d without theirs", e.view, rows, len(whole.rows), above, hidden)
		}
	}
}

// No reader sees how many events there are.
func TestReadersSeeNoOrdinals(t *testing.T) {
	if err := fillBI(t); err != nil {
		t.Fatal(err)
	}
	conn := bi(t)
	for statement, want := range map[string]uint64{
		"SELECT min(least(seq, position)) FROM events":          18446744073709551615,
		"SELECT min(seq) FROM audit_log":                        18446744073709551615,
		"SELECT max(greatest(seq, position)) FROM completeness": 0,
	} {
		var got uint64
		if err := conn.QueryRow(t.Context(), statement).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", statement, got, err, want)
		}
	}
	for _, internal := range []string{"edr_parts", "notification_parts", "rollup_rows", "generation", "completeness_checks", "schema_migrations"} {
		if _, err := rowsOf(t, conn, "SELECT * FROM "+internal); err == nil {
			t.Errorf("a reader reads %s", internal)
		}
	}
	var seen []string
	rows, err := conn.Query(t.Context(), "SELECT name FROM system.tables")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if readmodels.Internal(name) || strings.Contains(name, "_v") {
			seen = append(seen, name)
		}
	}
	if err := rows.Err(); err != nil || len(seen) > 0 {
		t.Errorf("a reader sees %v, %v", seen, err)
	}
}

// Every table and view has a tenant's column, or is known to have none.
func TestWithoutTenant(t *testing.T) {
	if err := fillBI(t); err != nil {
		t.Fatal(err)
	}
	rows, err := connect(t, engine(t).URL()).Query(t.Context(), `SELECT name FROM system.tables WHERE database = 'recapito'
		AND name NOT IN (SELECT table FROM system.columns WHERE database = 'recapito' AND name = 'tenant') AND create_table_query NOT LIKE '%{cut:%' ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	known := slices.DeleteFunc(slices.Sorted(slices.Values(readmodels.WithoutTenant)), func(name string) bool { return strings.HasSuffix(name, "_cut") })
	if diff := cmp.Diff(known, names); diff != "" {
		t.Errorf("without a column tenant (-known +there):\n%s", diff)
	}
}
