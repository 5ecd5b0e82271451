package reconcile_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/readmodels"
)

// changedValue is an expression that differs from the column's value in every row.
func changedValue(name, typ string) string {
	if rest, is := strings.CutPrefix(typ, "SimpleAggregateFunction("); is {
		_, typ, _ = strings.Cut(strings.TrimSuffix(rest, ")"), ", ")
	}
	full := typ
	typ, nullable := strings.CutPrefix(typ, "Nullable(")
	typ = strings.TrimPrefix(typ, "LowCardinality(")
	var changed string
	switch {
	case strings.HasPrefix(typ, "String"):
		changed = name + " || '~'"
	case strings.HasPrefix(typ, "Bool"):
		changed = "NOT " + name
	case strings.HasPrefix(typ, "DateTime64"):
		changed = name + " + INTERVAL 1 MICROSECOND"
	case strings.HasPrefix(typ, "Date"):
		changed = name + " + INTERVAL 1 DAY"
	case strings.HasPrefix(typ, "Enum"):
		changed = "3 - toInt8(" + name + ") % 2" // of the first values another
	case strings.HasPrefix(typ, "Map("):
		changed = "mapUpdate(" + name + ", map('planted', '~'))"
	case strings.HasPrefix(typ, "Decimal"), strings.Contains(typ, "Int"):
		changed = name + " + 1"
	default:
		panic("no change of a " + typ + " is known")
	}
	if nullable {
		zero := "0"
		if strings.HasPrefix(typ, "DateTime64") {
			zero = "toDateTime64(0, 6, 'UTC')"
		}
		changed = fmt.Sprintf("ifNull(%s, %s)", changed, zero)
	}
	return fmt.Sprintf("CAST(%s, '%s')", changed, strings.ReplaceAll(full, "'", `\'`))
}

// A wrong value in any column that the views show is found, and said by the column's name.
func TestCompareSeesEveryColumn(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Start(clickhousetest.Database(t))
	i.Write(100)
	i.Complete()
	i.Stop()
	for _, table := range []struct {
		readmodels.Table
		// Rows are looked for by these: another value is a row missing and one too many.
		keys []string
	}{
		{readmodels.EventsTable, []string{"tenant", "stream", "revision"}},
		{readmodels.EDRTable, []string{"tenant", "day", "notification", "attempt"}},
		{readmodels.NotificationsTable, []string{"tenant", "notification"}},
		{readmodels.AuditTable, []string{"tenant", "at", "id", "seq"}},
	} {
		view, original := table.Projection, i.Table(table.Projection)
		exec := func(statement string) {
			t.Helper()
			if err := i.Conn.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", view, err)
			}
		}
		one := func(query string) (text string) {
			t.Helper()
			if err := i.Conn.QueryRow(t.Context(), query).Scan(&text); err != nil {
				t.Fatalf("%s: %v", view, err)
			}
			return text
		}
		exec("CREATE VIEW right_" + view + " AS " + one("SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = '"+view+"'"))
		columns := one("SELECT arrayStringConcat(groupArray(name || ' ' || type), '\n') FROM system.columns WHERE database = currentDatabase() AND table = '" + view + "'")
		var names, changes []string
		for column := range strings.SplitSeq(columns, "\n") {
			if name, typ, _ := strings.Cut(column, " "); !slices.Contains(table.keys, name) {
				names, changes = append(names, name), append(changes, changedValue(name, typ)+" AS "+name)
			}
		}
		exec("CREATE OR REPLACE VIEW " + view + " AS SELECT * REPLACE (" + strings.Join(changes, ", ") + ") FROM right_" + view)
		found := strings.Join(i.Differences(), "\n")
		for _, name := range names {
			if !regexp.MustCompile(`[ ,]` + name + `\b`).MatchString(found) {
				t.Errorf("%s.%s: a wrong value is not found", view, name)
			}
		}
		if err := table.Show(t.Context(), i.Conn, original); err != nil {
			t.Fatal(err)
		}
	}
	if found := i.Differences(); len(found) > 0 {
		t.Errorf("after all is put right: %v", found)
	}
}
