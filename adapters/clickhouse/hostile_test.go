package clickhouse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever reaches the port may change the read models, but nothing else of
// this machine, and reach no other.
func TestHostileStatements(t *testing.T) {
	s := engine(t)
	db := database(t, open(t, s, ""))
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("sesame\n"), 0o600))
	out := filepath.Join(t.TempDir(), "written")
	for _, create := range []string{"CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a", "CREATE TABLE m (a String) ENGINE = Memory"} {
		if a := post(t, s.URL(), q("database", db), create); a.status != 200 {
			t.Fatal(a.body)
		}
	}
	const denied, constant = "497", "452"
	for _, test := range []struct{ statement, code string }{
		{"SELECT * FROM file('SECRET', 'LineAsString')", denied},
		{"SELECT * FROM \"SECRET\"", "60"},
		{"SELECT * FROM default.`SECRET`", denied},
		{"SELECT file('SECRET')", denied},
		{"SELECT FiLe ('SECRET')", denied},
		{"SELECT file('SECRET') FORMAT CSV", denied},
		{"SELECT file('SECRET') FORMAT RawBLOB", denied},
		{"SELECT file('SECRET') FORMAT JSONCompact SETTINGS max_threads = 1", denied},
		{"SELECT 1 WHERE file('SECRET') != '' FORMAT Null", denied},
		{"SELECT * APPLY (x -> file('SECRET')) FROM (SELECT 1)", denied},
		{"SELECT * APPLY file FROM (SELECT 'SECRET')", denied},
		{"SELECT COLUMNS('a') APPLY(FILE) FROM (SELECT 'SECRET' AS a)", denied},
		{"SELECT * REPLACE (file('SECRET') AS a) FROM (SELECT 1 AS a)", denied},
		{"SELECT number AS n, '' AS s FROM numbers(2) ORDER BY n WITH FILL TO 5 INTERPOLATE (s AS file('SECRET'))", denied},
		{"SELECT number AS n FROM numbers(2) ORDER BY n WITH FILL TO length(file('SECRET'))", denied},
		{"SELECT 1 LIMIT length(file('SECRET'))", denied},
		{"SELECT sum(1) OVER w FROM numbers(2) WINDOW w AS (ORDER BY file('SECRET'))", denied},
		{"SELECT 1 QUALIFY file('SECRET') != 'x'", denied},
		{"WITH RECURSIVE r AS (SELECT file('SECRET') AS f UNION ALL SELECT f FROM r WHERE 0) SELECT * FROM r", denied},
		{"SELECT * FROM view(SELECT file('SECRET'))", denied},
		{"SELECT EXISTS(SELECT file('SECRET'))", denied},
		{"SELECT * FROM VALUES('a String', (file('SECRET')))", denied},
		{"CREATE TABLE f (a String, CONSTRAINT c CHECK file('SECRET') = 'x') ENGINE = Memory", denied},
		{"CREATE TABLE f (a String, INDEX i file('SECRET') TYPE minmax) ENGINE = MergeTree ORDER BY a", denied},
		{"CREATE TABLE f (a String) ENGINE = MergeTree ORDER BY a PARTITION BY file('SECRET')", denied},
		{"CREATE TABLE f (a String, d Date) ENGINE = MergeTree ORDER BY a TTL d + toIntervalDay(length(file('SECRET')))", denied},
		{"ALTER TABLE t MODIFY TTL today() + toIntervalDay(length(file('SECRET')))", denied},
		{"SELECT file('SECRET') SETTINGS limit = 1", denied},
		// Read as a heredoc from $h$ to $h$, if the word before it is cut off as a format's name.
		{"SELECT format y$h$, file('SECRET') AS g, 1 AS z$h$ FROM (SELECT 2 AS format)", denied},
		{"SELECT format y$h$, file('SECRET') AS g, 1 AS z$h$ FROM (SELECT 2 AS format) FORMAT CSV", denied},
		{"INSERT INTO t SELECT format y$h$, file('SECRET') AS g, 1 AS z$h$ FROM (SELECT 2 AS format)", denied},
		{"SELECT file('SECRET') FORMAT `CSV`", denied},
		{"SELECT \u2018$h$\u2019, file('SECRET'), \u2018$h$\u2019", denied},
		{"SELECT aiGenerate('x', map('url', 'http://127.0.0.1:1/')) SETTINGS allow_experimental_ai_functions = 1", "36"},
		{"SELECT 'a', file('SECRET') SETTINGS offset = 4, limit = 1", denied},
		{"SELECT `f\\x69le`('SECRET')", denied},
		{"SELECT \"file\"/* */('SECRET')", denied},
		{"SELECT (SELECT arrayMap(x -> file(x), ['SECRET']))", denied},
		{"CREATE VIEW v AS SELECT file('SECRET')", denied},
		{"CREATE MATERIALIZED VIEW v TO t AS SELECT file('SECRET') AS a FROM m", denied},
		{"CREATE TABLE d (a String DEFAULT file('SECRET')) ENGINE = Memory", denied},
		{"ALTER TABLE t ADD COLUMN b String DEFAULT file('SECRET')", denied},
		{"ALTER TABLE t UPDATE a = file('SECRET') WHERE 1", denied},
		{"DELETE FROM t WHERE a = file('SECRET')", denied},
		{"INSERT INTO t SELECT file('SECRET')", denied},
		{"INSERT INTO t VALUES (file('SECRET'))", "344"},
		{"INSERT INTO t VALUES ('x'), (upper(file('SECRET')))", "344"},
		{"INSERT INTO t SETTINGS input_format_values_interpret_expressions = 1 VALUES (file('SECRET'))", denied},
		{"INSERT INTO t FROM INFILE 'SECRET' FORMAT LineAsString", denied},
		{"INSERT INTO t FROM/**/INFILE 'SECRET' FORMAT LineAsString", denied},
		{"INSERT INTO t (a) FROM INFILE 'SECRET' SETTINGS max_threads = 1 FORMAT LineAsString", denied},
		{"EXPLAIN INSERT INTO t FROM INFILE 'SECRET' FORMAT LineAsString; SELECT 1", "62"},
		{"SELECT 1 INTO OUTFILE '@OUT'", denied},
		{"SELECT 1 INTO/**/OUTFILE '@OUT' FORMAT CSV", denied},
		{"SELECT 1 -- '\n INTO OUTFILE '@OUT'", denied},
		{"SELECT $x$ ' $x$ INTO OUTFILE '@OUT'", denied},
		{"SHOW TABLES INTO OUTFILE '@OUT'", denied},
		{"EXPLAIN SELECT 1 INTO OUTFILE '@OUT'", denied},
		{"(SELECT 1) INTO OUTFILE '@OUT' TRUNCATE", denied},
		{"INSERT INTO FUNCTION file('@OUT', 'CSV') SELECT 1", denied},
		{"INSERT INTO FUNCTION file('@OUT', 'CSV', 'a Int8') VALUES (1)", denied},
		{"CREATE TABLE f (a String) ENGINE = File(CSV, 'SECRET')", denied},
		{"CREATE TABLE f (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')", denied},
		{"CREATE TABLE f (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:1/')", denied},
		{"CREATE TABLE f (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = `d\\x69sk`(type = local, path = '@OUT')", denied},
		{"CREATE DATABASE f ENGINE = Filesystem('/')", denied},
		{"CREATE DATABASE f ENGINE = SQLite('SECRET')", denied},
		{"CREATE DICTIONARY f (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:1/' format 'CSV')) LAYOUT(FLAT()) LIFETIME(1)", denied},
		{"CREATE FUNCTION f AS x -> x", denied},
		{"CREATE USER f", denied},
		{"ATTACH TABLE f FROM '/' (a String) ENGINE = MergeTree ORDER BY a", denied},
		{"BACKUP TABLE t TO File('@OUT')", denied},
		{"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", denied},
		{"SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a String')", denied},
		{"SELECT * FROM remote('127.0.0.1:1', system.one)", denied},
		{"SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')", denied},
		{"SELECT * FROM icebergLocal('/')", denied},
		{"SELECT hasColumnInTable('127.0.0.1:1', 'system', 'one', 'dummy')", denied},
		{"SELECT 1 FORMAT Template SETTINGS format_template_row = 'SECRET'", constant},
		{"SELECT 1 SETTINGS format_schema = 'SECRET:a' FORMAT Protobuf", constant},
		{"SET dialect = 'kusto'", constant},
		{"SYSTEM SHUTDOWN", denied},
		{"SYSTEM KILL", denied},
		{"SELECT 1; DROP TABLE t", "62"},
		{"SELECT 1; DROP TABLE t;", "62"},
		{"INSERT INTO t SELECT 'a'; DROP TABLE t", "62"},
		{"DROP TABLE m PARALLEL WITH DROP TABLE t", "62"},
	} {
		statement := strings.NewReplacer("SECRET", secret, "@OUT", out).Replace(test.statement)
		a := post(t, s.URL(), q("database", db), statement)
		if a.code() != test.code || strings.Contains(a.body, "sesame") {
			t.Errorf("%s: %d, code %q, %.300s; want code %s", test.statement, a.status, a.code(), a.body, test.code)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("%s wrote a file", test.statement)
		}
	}
	for setting, value := range map[string]string{"format_schema": secret, "format_template_row": secret, "dialect": "kusto"} {
		if a := post(t, s.URL(), q(setting, value), "SELECT 1"); a.code() != constant {
			t.Errorf("%s in the URL: %d, %s", setting, a.status, a.body)
		}
	}
	// Words alone do not offend.
	for _, statement := range []string{
		"SELECT 'file(' || 'INTO OUTFILE'", "SELECT 1 AS file, 2 AS disk", "SELECT 1 AS file FORMAT JSON", "SELECT 1 AS file, format FROM (SELECT 2 AS format) FORMAT CSV SETTINGS max_threads = 1", "INSERT INTO t VALUES ('file(1) INTO OUTFILE; DROP'), ('it\\'s')",
		"SELECT `disk name` FROM (SELECT 1 AS `disk name`)",
	} {
		if a := post(t, s.URL(), q("database", db), statement); a.status != 200 {
			t.Errorf("%s: %d %s", statement, a.status, a.body)
		}
	}
	if a := get(t, s.URL(), q("database", db, "query", "SELECT count() FROM t")); a.body != "2\n" {
		t.Errorf("the table holds %q rows", a.body)
	}
}

func TestWebPagesAreRefused(t *testing.T) {
	base := engine(t).URL()
	for _, header := range [][]string{
		{"Origin", "https://example.org"}, {"Sec-Fetch-Site", "cross-site"}, {"Host", "rebound.example.org:8123"},
	} {
		if a := post(t, base, nil, "SELECT 1", header...); a.status != 403 {
			t.Errorf("%v: %d %s", header, a.status, a.body)
		}
	}
	if a := post(t, base, nil, "SELECT 1", "Host", "localhost:8123"); a.status != 200 {
		t.Errorf("localhost: %d %s", a.status, a.body)
	}
}
