package readmodels_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
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
		reader := &extract{view: e.view, parts: e.parts, key: e.key}
		if err := reader.fetch(t.Context(), bi(t)); err != nil {
			t.Fatal(err)
		}
		theirs := maps.Clone(whole.rows)
		maps.DeleteFunc(theirs, func(key, _ string) bool { _, is := reader.rows[key]; return !is })
		if diff := cmp.Diff(theirs, reader.rows); diff != "" || len(reader.rows) == 0 || len(reader.rows) == len(whole.rows) {
			t.Errorf("%s: a reader extracts %d rows of %d:\n%s", e.view, len(reader.rows), len(whole.rows), diff)
		}
	}
}
