package readmodels_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"recapito/readmodels"
)

// A person's attempts are found by the projection of the partial rows, whatever their
// days, and read by the table's key: neither looks at more than it must.
func TestPersonIsFoundByTheProjection(t *testing.T) {
	conn := open(t)
	_, table := tables(t, conn)
	rows, persons := 100_000, 2_000
	if os.Getenv("RECAPITO_TEST_FULL") != "" {
		rows, persons = 4_000_000, 20_000
	}
	const atOnce = 100_000
	for from := range 2 * rows / atOnce { // each twice: they merge
		err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO %s (tenant, day, notification, attempt, person, requested_at, outcome, changed)
			SELECT 't1', toDate('2026-01-01') + intDiv(number * 300, %d), hex(sipHash64(number)), 1, 'p' || toString(sipHash64(number, 1) %% %d),
				toDateTime64('2026-01-01 00:00:00', 6, 'UTC'), (1, -number, 'sent', ''), number + 1 FROM numbers(%d, %d) SETTINGS max_partitions_per_insert_block = 0`, table, rows, persons, from*atOnce%rows, atOnce))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
		t.Fatal(err)
	}
	const keys = "SELECT DISTINCT day, notification, attempt FROM edr_parts WHERE tenant = 't1' AND person = 'p7' ORDER BY day DESC, notification DESC, attempt LIMIT 1000"
	plan, err := conn.Query(t.Context(), "EXPLAIN indexes = 1 "+keys)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for plan.Next() {
		var line string
		if err := plan.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := plan.Err(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(lines, "\n"), "by_person") {
		t.Errorf("the projection is not used:\n%s", strings.Join(lines, "\n"))
	}
	began := time.Now()
	page, err := readmodels.EDRs(t.Context(), conn, readmodels.EDRQuery{Tenant: "t1", Limit: 1000, EDRFilter: is("person", "p7")})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d attempts of a person of %d in %v; their keys:\n%s", len(page.Rows), rows, time.Since(began), strings.Join(lines, "\n"))
	if n := len(page.Rows); n < rows/persons/2 || n > 2*rows/persons && page.Next == "" {
		t.Errorf("%d attempts of one of %d persons, of %d", n, persons, rows)
	}
	for _, r := range page.Rows {
		if r.Person != "p7" || r.Status != "sent" {
			t.Fatal("an attempt of another person")
		}
	}
}
