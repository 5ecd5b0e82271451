package clickhouse_test

import (
	"strings"
	"testing"

	"recapito/adapters/clickhouse"
)

// What Grafana's ClickHouse plugin sends (clickhouse-go over HTTP; its data source and
// its editor's look-ups), as a reader.
func TestGrafanaQueries(t *testing.T) {
	s, alpha, _ := readers(t)
	base, err := clickhouse.Open(alpha)
	must(t, err)
	defer base.Close()
	must(t, base.Ping(t.Context()))
	for _, test := range []struct {
		query string
		rows  int // at least
	}{
		{"SELECT version()", 1},
		{"SHOW DATABASES", 1},
		{"SHOW TABLES", 3},
		{`SHOW TABLES FROM "recapito"`, 3},
		{`DESC TABLE "recapito"."edr"`, 3},
		{"SELECT name, type, table FROM system.columns", 3},
		{"SELECT name, type, table FROM system.columns WHERE database IN ('recapito')", 3},
		{"SELECT name, type, table FROM system.columns WHERE database IN ('recapito') AND table = 'edr'", 3},
		{"SELECT name, is_aggregate, case_insensitive, alias_to, origin, description, syntax, arguments, returned_value, examples, categories FROM system.functions LIMIT 10000", 1000},
		{"select distinct said from recapito.edr limit 1000", 3},
		{"SELECT toStartOfInterval(toDateTime(id), INTERVAL 60 second) AS time, said, count(*) AS n FROM \"recapito\".\"edr\" WHERE ( toDateTime(id) >= toDateTime(0) AND toDateTime(id) <= toDateTime(1790000000) ) GROUP BY time, said ORDER BY time ASC LIMIT 1000", 3},
	} {
		rows, err := base.Query(t.Context(), test.query)
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil || n < test.rows {
			t.Errorf("%s: %d rows, %v", test.query, n, err)
		}
		rows.Close()
	}
	// Its ad-hoc filters are SETTINGS in the text, which would undo a reader's own.
	err = base.Exec(t.Context(), "SELECT count() FROM edr settings additional_table_filters={'edr' : ' said = \\'ours1\\' '}")
	if err == nil || !strings.Contains(err.Error(), "164") {
		t.Errorf("ad-hoc filters: %v", err)
	}
	if s.State() != nil {
		t.Error(s.State())
	}
}

// An answer whose tables may not be those that its filters were made for is not given.
func TestReaderDuringSchemaChange(t *testing.T) {
	s, alpha, _ := readers(t)
	done := make(chan answer, 1)
	go func() {
		a, err := send("POST", alpha, nil, "SELECT sleepEachRow(1), 'changing' FROM numbers(3)")
		if err != nil {
			a.body = err.Error()
		}
		done <- a
	}()
	eventually(t, "the statement runs", func() bool {
		return get(t, s.URL(), q("query", "SELECT count() FROM system.processes WHERE query LIKE '%changing%' AND query NOT LIKE '%processes%'")).body == "1\n"
	})
	if a := post(t, s.URL(), nil, "CREATE VIEW added AS SELECT tenant FROM edr WHERE 0"); a.status != 200 {
		t.Fatal(a.body)
	}
	if a := <-done; a.code() != "202" || a.status != 503 {
		t.Errorf("it was answered %d %s", a.status, a.body)
	}
	if a := post(t, alpha, nil, "SELECT count() FROM added"); a.body != "0\n" {
		t.Errorf("the next one: %d %s", a.status, a.body)
	}
}
