package readmodels_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"recapito/readmodels"
)

const page = "../docs/read-models.md"

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	code       = regexp.MustCompile("`([^`]+)`")
	columnLine = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| ([^|]+) \\| [^|]+ \\|$")
	wrapped    = regexp.MustCompile(`^(?:SimpleAggregateFunction\(\w+, (.*)\)|LowCardinality\((.*)\))$`)
	enum       = regexp.MustCompile(`^Enum8\(.*\)$`)
)

// documented answers the columns and types of each view that the page has a section for:
// "### `view`, `view`" with a table; a section that names [cell](#cell) has those of that
// section too.
func documented(t *testing.T) map[string]map[string]string {
	t.Helper()
	views := map[string]map[string]string{}
	var cell map[string]string
	for _, section := range strings.Split(readPage(t), "\n### ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		body, _, _ = strings.Cut(body, "\n## ")
		columns := map[string]string{}
		for _, m := range columnLine.FindAllStringSubmatch(body, -1) {
			for _, name := range code.FindAllStringSubmatch(m[1], -1) {
				columns[name[1]] = m[2]
			}
		}
		if title == "Cell" {
			cell = columns
		}
		if strings.Contains(body, "[cell](#cell)") {
			for name, typ := range cell {
				columns[name] = typ
			}
		}
		for _, view := range code.FindAllStringSubmatch(title, -1) {
			views[view[1]] = columns
		}
	}
	return views
}

// plainType is a type as who reads a view meets it.
func plainType(t string) string {
	for m := wrapped.FindStringSubmatch(t); m != nil; m = wrapped.FindStringSubmatch(t) {
		t = m[1] + m[2]
	}
	return enum.ReplaceAllString(strings.NewReplacer("LowCardinality(String)", "String", ", 'UTC'", "", "('UTC')", "").Replace(t), "Enum8")
}

// Every column of every view stands on the page with its type, and nothing else does. A
// view that is not for BI is named there as such.
func TestEveryColumnIsDocumented(t *testing.T) {
	if err := fillBI(t); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, engine(t).URL())
	rows, err := conn.Query(t.Context(), `SELECT t.name, c.name, c.type FROM system.tables AS t LEFT JOIN system.columns AS c ON c.table = t.name AND c.database = t.database
		WHERE t.database = 'recapito' AND t.engine = 'View'`)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]map[string]string{}
	for rows.Next() {
		var view, column, typ string
		if err := rows.Scan(&view, &column, &typ); err != nil {
			t.Fatal(err)
		}
		if there[view] == nil {
			there[view] = map[string]string{}
		}
		if column != "" {
			there[view][column] = plainType(typ)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	_, ownViews, _ := strings.Cut(readPage(t), "\n## What is not for BI\n")
	on := documented(t)
	for view, columns := range there {
		if on[view] == nil && strings.Contains(ownViews, "`"+view+"`") {
			continue
		}
		if diff := cmp.Diff(columns, on[view]); diff != "" {
			t.Errorf("%s: docs/read-models.md is not %s (-there +documented):\n%s", page, view, diff)
		}
	}
	for view := range on {
		if there[view] == nil {
			t.Errorf("docs/read-models.md documents %s, which is not there", view)
		}
	}
}

// period is that of the generated histories.
func period() []any {
	return []any{clickhouse.Named("from", biFrom.Truncate(24*time.Hour)), clickhouse.Named("to", biFrom.Add(48*time.Hour))}
}

// Every metric of the catalogue is a number, for a tenant's reader.
func TestMetrics(t *testing.T) {
	conn := bi(t)
	names := map[string]bool{}
	for _, m := range readmodels.Metrics {
		if names[m.Name] || m.Meaning == "" || m.Numerator == "" || m.Unit == "" || !slices.Contains([]string{readmodels.ByEvent, readmodels.ByRequest, readmodels.ByDay}, m.Basis) {
			t.Errorf("%+v", m)
		}
		names[m.Name] = true
		var value float64
		if err := conn.QueryRow(t.Context(), m.SQL, period()...).Scan(&value); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 || m.Unit == "ratio" && value > 1 && m.Name != "failover_rate" {
			t.Errorf("%s is %v", m.Name, value)
		}
	}
	if diff := cmp.Diff(metricsOnPage(), between(t, readPage(t), "<!-- metrics -->\n", "<!-- /metrics -->")); diff != "" {
		if os.Getenv("RECAPITO_TEST_UPDATE") == "" {
			t.Fatalf("the page's metrics are not the catalogue (RECAPITO_TEST_UPDATE=1 writes them):\n%s", diff)
		}
		before, _, _ := strings.Cut(readPage(t), "<!-- metrics -->\n")
		_, after, _ := strings.Cut(readPage(t), "<!-- /metrics -->")
		text := before + "<!-- metrics -->\n" + metricsOnPage() + "<!-- /metrics -->" + after
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, from)
	inside, _, closed := strings.Cut(rest, to)
	if !found || !closed {
		t.Fatalf("the page has no %s", from)
	}
	return inside
}

// metricsOnPage is the catalogue as the page shows it.
func metricsOnPage() string {
	var b strings.Builder
	b.WriteString("| metric | meaning | numerator | denominator | unit | basis |\n|---|---|---|---|---|---|\n")
	var sql strings.Builder
	for _, m := range readmodels.Metrics {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", m.Name, m.Meaning, m.Numerator, m.Denominator, m.Unit, m.Basis)
		fmt.Fprintf(&sql, "-- %s\n%s;\n", m.Name, m.SQL)
	}
	return b.String() + "\n```sql\n" + sql.String() + "```\n"
}

var sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")

// Every example of the page runs as a tenant's reader and finds rows.
func TestExamplesOfThePage(t *testing.T) {
	conn := bi(t)
	var person, notification string
	var position uint64
	if err := conn.QueryRow(t.Context(), "SELECT person, notification FROM edr WHERE status = 'delivered' ORDER BY notification LIMIT 1").Scan(&person, &notification); err != nil {
		t.Fatal(err)
	}
	values := append(period(), clickhouse.Named("person", person), clickhouse.Named("notification", notification), clickhouse.Named("position", position), clickhouse.Named("cut", uint64(1<<62)))
	n := 0
	for _, block := range sqlBlock.FindAllStringSubmatch(readPage(t), -1) {
		for _, statement := range strings.Split(block[1], ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			n++
			as := conn
			if strings.Contains(statement, "changed >") || strings.Contains(statement, "seq <") { // the ledger's own user's
				as = connect(t, engine(t).URL())
			}
			rows, err := rowsOf(t, as, statement, values...)
			if err != nil || rows == 0 {
				t.Errorf("%d rows, %v:\n%s", rows, err, statement)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d examples", n)
	}
}
