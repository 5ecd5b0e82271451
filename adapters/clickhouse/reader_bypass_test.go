package clickhouse_test

import (
	"net/url"
	"os"
	"strings"
	"testing"
)

// What got past the front once, or could in an engine that changes: filters taken from
// another table by an alias, texts that our lexer and the engine's read differently,
// conditions that come before the filters, tables that are read without one.
func TestReadersFindNoWayRound(t *testing.T) {
	s, alpha, _ := readers(t)
	prepare(t, s,
		// Not ordered by tenant, so that both tenants' rows stand side by side.
		"CREATE TABLE mixed_v1_x (tenant String, id UInt64, said String, name String, shared LowCardinality(String) MATERIALIZED left(said, 8), PROJECTION p (SELECT tenant, said, id ORDER BY said)) ENGINE = MergeTree ORDER BY id",
		"INSERT INTO mixed_v1_x (tenant, id, said, name) SELECT tenant, id, said, 'recapito' FROM edr_v1_x",
		"CREATE TABLE wide_v1_x (tenant String, id UInt64, said String, name String) ENGINE = MergeTree ORDER BY tuple() SETTINGS min_bytes_for_wide_part = 0",
		"INSERT INTO wide_v1_x SELECT * FROM mixed_v1_x",
		"CREATE VIEW mixed AS SELECT * FROM mixed_v1_x",
		"CREATE VIEW dictionary AS SELECT tenant, shared FROM mixed_v1_x",
		"CREATE VIEW wide AS SELECT * FROM wide_v1_x",
		"CREATE TABLE inset (said String) ENGINE = Set",
		"INSERT INTO inset VALUES ('theirs0')",
	)
	const denied, readonly = "497", "164"
	for code, statements := range map[string][]string{
		denied: deniedToReaders, readonly: readonlyToReaders, "": harmlessToReaders,
	} {
		for _, statement := range statements {
			a := post(t, alpha, nil, statement)
			if leaks(t, statement, a); a.code() != code {
				t.Errorf("%s: %d, code %q, %.200s; want %q", statement, a.status, a.code(), a.body, code)
			}
		}
	}
	for _, statement := range failingReaders { // whatever the code
		leaks(t, statement, post(t, alpha, nil, statement))
	}
	for statement, parameters := range map[string]url.Values{
		"SELECT max({c:Identifier}) FROM mixed":                                                                    q("param_c", "_part_offset"),
		"SELECT count() FROM mixed AS {a:Identifier}":                                                              q("param_a", "system.databases"),
		"SELECT count() FROM mixed {a:Identifier}":                                                                 q("param_a", "system.databases"),
		"SELECT sum(rows) FROM {t:Identifier} AS `system.columns`":                                                 q("param_t", "system.parts"),
		"SELECT sum(rows) FROM {t:Identifier} AS {a:Identifier}":                                                   q("param_t", "system.parts", "param_a", "system.tables"),
		"SELECT 'theirs0' IN {t:Identifier} ? 'theirs0' : ''":                                                      q("param_t", "inset"),
		"SELECT id FROM mixed":                                                                                     q("default_format", "JSONStringsEachRowWithProgress"),
		"SELECT format y$h$, {s:String}, joinGet('joined', 'said', 'b') AS g, 1 AS z$h$ FROM (SELECT 2 AS format)": q("param_s", "$h$"),
	} {
		a := post(t, alpha, parameters, statement)
		if leaks(t, statement, a); a.code() != denied {
			t.Errorf("%s: %d, code %q, %.200s", statement, a.status, a.code(), a.body)
		}
	}
	// Rows of a part share a dictionary, which Arrow could give in full.
	for _, value := range []string{"0", "1"} {
		for _, format := range []string{"Arrow", "ArrowStream", "Parquet", "ORC", "Native"} {
			params := q("default_format", format, "output_format_arrow_compression_method", "none", "output_format_parquet_compression_method", "none",
				"output_format_orc_compression_method", "none")
			if value == "1" {
				params.Set("output_format_arrow_low_cardinality_as_dictionary", value)
			}
			a := post(t, alpha, params, "SELECT shared, [shared] AS a FROM dictionary LIMIT 2")
			if strings.Contains(a.body, "theirs") || value == "0" && !strings.Contains(a.body, "ours") || value == "1" && a.code() != readonly {
				t.Errorf("%s, %s: %d %.300q", format, value, a.status, a.body)
			}
		}
	}
	// Who somebody is cannot be said twice.
	for name, header := range map[string][]string{
		"role": {"X-ClickHouse-Role", "default"}, "quota": {"X-ClickHouse-Quota", "theirs"}, "database": {"X-ClickHouse-Database", "aside"},
		"forwarded": {"X-Forwarded-For", "127.0.0.1", "X-ClickHouse-SSL-Certificate-Auth", "on"},
	} {
		leaks(t, name, post(t, alpha, q("role", "default", "user", "recapito", "password", "", "quota_key", "1"), "SELECT * FROM t", header...))
		leaks(t, name, post(t, alpha, q("role", "default", "user", "beta", "password", "two"), "SELECT max(said), max(id) FROM edr", header...))
	}
	if a := get(t, s.URL(), q("query", "SELECT count() FROM edr_v1_x")); a.body != "7010\n" {
		t.Errorf("the table holds %s", a.body)
	}
}

// No function is evaluated on others' rows, in a view of any shape: those that fail would
// show a value, and those that take time how many there are.
func TestReadersEvaluateTheirRowsOnly(t *testing.T) {
	s, alpha, _ := readers(t)
	prepare(t, s,
		// Not ordered by tenant, one part, many rows in one granule; summed; merged as it is read.
		"CREATE TABLE mixed_v1_x (tenant String, id UInt64, said String) ENGINE = MergeTree ORDER BY id",
		"INSERT INTO mixed_v1_x SELECT * FROM edr_v1_x",
		"CREATE VIEW mixed AS SELECT * FROM mixed_v1_x",
		// Its rows of a tenant are found by its key, and then not looked at one by one.
		"CREATE TABLE kept_v1_x (tenant LowCardinality(String), id UInt64, said String) ENGINE = ReplacingMergeTree ORDER BY (tenant, said)",
		"INSERT INTO kept_v1_x SELECT * FROM mixed_v1_x",
		"CREATE VIEW kept AS SELECT * FROM kept_v1_x",
		"CREATE VIEW joined_up AS SELECT tenant, id, said FROM edr_v1_x FINAL UNION ALL SELECT tenant, id, said FROM mixed_v1_x",
		"CREATE VIEW grouped AS SELECT tenant, id, max(said) AS said FROM (SELECT tenant, id, said FROM mixed_v1_x) GROUP BY tenant, id",
		"CREATE VIEW flat AS SELECT tenant, id, if(id > 3, said, concat(said, '')) AS said FROM edr_v1_x FINAL SETTINGS optimize_move_to_prewhere_if_final = 0",
	)
	shapes := []string{"edr", "mixed", "kept", "joined_up", "grouped", "flat"}
	for _, condition := range []string{
		"toUInt64(if(tenant = 'b', concat('x', said), '1')) > 0", "toUInt64(if(startsWith(said, 'theirs'), said, '1')) > 0", "throwIf(id >= 500000, 'not ours') = 0",
		"throwIf(position(said, 'theirs') > 0, 'not ours') = 0", "intDiv(1, id < 500000) = 1", "toDate(if(id >= 500000, said, '2026-01-01')) > '2000-01-01'",
		"accurateCast(id, 'UInt8') < 200", "arrayElement([1], toInt64(0 - (id >= 500000))) >= 0 AND toIPv4(if(id >= 500000, said, '127.0.0.1')) != toIPv4('127.0.0.2')",
		"JSONExtractRaw(said) = '' AND CAST(if(id >= 500000, said, 'x'), 'Enum8(\\'x\\' = 1)') = 'x'",
		"parseDateTime(if(id >= 500000, said, '2026'), '%Y') > 0", "toUUID(if(id >= 500000, said, '00000000-0000-0000-0000-000000000000')) != generateUUIDv4()",
		"toDecimal32(if(id >= 500000, said, '1'), 2) = 1", "parseReadableSize(if(id >= 500000, said, '1 B')) = 1", "unhex(said) != said AND toInt8(if(id >= 500000, said, '1')) = 1",
	} {
		for _, view := range shapes {
			for _, statement := range []string{
				"SELECT count() FROM " + view + " WHERE " + condition,
				"SELECT countIf(" + condition + ") FROM " + view,
				"SELECT id FROM " + view + " ORDER BY " + condition + ", id",
				"SELECT count() FROM " + view + " AS l JOIN " + view + " AS r ON l.id = r.id AND r." + "id < 500000 WHERE " + strings.NewReplacer("tenant", "l.tenant", "said", "l.said", "id ", "l.id ", "(id,", "(l.id,").Replace(condition),
			} {
				a := post(t, alpha, nil, statement)
				leaks(t, statement, a)
				for _, shows := range []string{"not ours", "Division", "Too long"} {
					if strings.Contains(a.body, shows) {
						t.Errorf("%s: %.300s", statement, a.body)
					}
				}
			}
		}
	}
	// Every function there is, of what may be wrong with a text or a number; some of them, but
	// in the full tests.
	functions := strings.Fields(get(t, alpha, q("query", "SELECT name FROM system.functions WHERE NOT is_aggregate AND alias_to = '' ORDER BY name")).body)
	if len(functions) < 500 {
		t.Fatalf("the engine has %d functions", len(functions))
	}
	for i, f := range functions {
		for n, arguments := range []string{"said", "id", "said, id", "id, said", "said, said", "said, said, said", "said, id, id"} {
			if (i+n)%40 != 0 && os.Getenv("RECAPITO_TEST_FULL") == "" {
				continue
			}
			statement := "SELECT count() FROM mixed WHERE ignore(" + f + "(" + arguments + ")) = 0"
			leaks(t, statement, post(t, alpha, q("max_execution_time", "5"), statement))
		}
	}
}

var deniedToReaders = []string{
	// Another table's filter, by an alias that is its name.
	"SELECT sum(rows) FROM system.parts AS `system.columns` WHERE table = 'edr_v1_x'", "SELECT rows FROM system.parts AS \"system.databases\"",
	"SELECT * FROM mixed AS `system.databases`", "SELECT count(), max(said) FROM mixed `system.databases`", "SELECT count() FROM mixed AS \"system\\x2edatabases\"",
	"SELECT (SELECT groupArray(rows) FROM system.parts `system.columns`)", "WITH x AS (SELECT * FROM mixed AS `system.databases`) SELECT count() FROM x",
	"SELECT x.id FROM recapito.mixed `system.databases` JOIN edr AS x USING id", "SELECT * FROM mixed AS `recapito.edr_v1_x`", "SELECT * FROM `aside`.`t` AS `recapito.edr_v1_x`",
	"SELECT ('b', 770000, 'theirs0', 'recapito') IN (mixed AS `system.databases`)", "SELECT query FROM system.processes AS `system.one`",
	"SELECT total FROM (SELECT rows AS total FROM system.parts AS `system.tables` FINAL)",
	// Read as a heredoc, if cut.
	"SELECT format y$h$, (SELECT max(said) FROM merge('recapito', 'edr_v1')) AS g, 1 AS z$h$ FROM (SELECT 2 AS format)",
	"SELECT format y$h$, joinGet('joined', 'said', 'b') AS g, 1 AS z$h$ FROM (SELECT 2 AS format)",
	"SELECT format y$h$, joinGet('joined', 'said', 'b') AS g, 1 AS z$h$ FROM (SELECT 2 AS format) FORMAT CSV",
	"SELECT format q$q$, (SELECT max(said) FROM joined) AS g, 1 AS w$q$ FROM (SELECT 2 AS format) FORMAT `CSV`",
	"SELECT 1 AS a$FORMAT, (SELECT max(said) FROM merge('recapito', 'edr_v1')) AS x$ FORMAT CSV", "SELECT $$ $$, joinGet($$joined$$, $$said$$, $$b$$)",
	"SELECT \u201csaid\u201d FROM merge(\u2018recapito\u2019, \u2018edr_v1\u2019)", "SELECT \u2018$h$\u2019, joinGet(\u2018joined\u2019, \u2018said\u2019, \u2018b\u2019), \u2018$h$\u2019",
	"SELECT 1 /* /* */ FORMAT */ , joinGet('joined', 'said', 'b') FORMAT CSV -- */", "SELECT joinGet('joined', 'said', 'b') # FORMAT CSV",
	// Before the filters.
	"SELECT count() FROM mixed PREWHERE throwIf(id > 770000, 'theirs0') = 0", "SELECT count() FROM wide PREWHERE toUInt64(replaceOne(said, 'ours', '')) < 9",
	"SELECT count() FROM mixed FINAL PREWHERE id = 770000 AND toUInt64(said) > 0", "SELECT count() FROM mixed /**/ PrEwHeRe/**/throwIf(id > 770000) = 0",
	"SELECT * FROM (SELECT id FROM wide PREWHERE intDiv(1, id < 10) = 1)", "WITH x AS (SELECT id FROM mixed PREWHERE intDiv(1, id < 10)) SELECT count() FROM x",
	// Tables without a filter.
	"SELECT 'theirs0' IN inset ? 'theirs0' : ''", "SELECT 'theirs0' IN recapito.inset", "SELECT in('theirs0', inset), globalIn('theirs0', inset)", "SELECT 'theirs0' NOT IN (inset)",
	"SELECT count() FROM mixed WHERE 'theirs0' IN inset", "SELECT notIn('theirs0', inset AS i)", "SELECT 'theirs0' IN (SELECT said FROM inset)", "SELECT 'theirs' IN nobodys",
	"SELECT ('b', 'theirs') IN joined", "SELECT x.said FROM (SELECT 'b' AS tenant) AS l ANY LEFT JOIN joined AS x USING tenant", "WITH joined AS (SELECT 1) SELECT * FROM recapito.joined",
	// The tree does not show these.
	"SHOW TABLES WHERE throwIf(1, joinGet('joined', 'said', 'b')) = 0", "SHOW TABLES WHERE length(joinGet('joined', 'said', 'b')) = 6", "SHOW TABLES WHERE total_rows = 7010",
	"SHOW TABLES WHERE (SELECT max(said) FROM merge('recapito', 'edr_v1')) = 'theirs999'", "SHOW TABLES WHERE (SELECT count() FROM mixed AS `system.databases`) = 7000",
	"SHOW TABLES WHERE 'theirs0' IN inset", "SHOW TABLES LIMIT length(joinGet('joined', 'said', 'b'))", "SHOW TABLES LIMIT (SELECT count() FROM merge('recapito', 'edr_v1'))",
	"SHOW TABLES /**/ WhErE 1", "SHOW TABLES FROM aside SETTINGS additional_table_filters = {}", "SHOW COLUMNS FROM edr WHERE length(joinGet('joined', 'said', 'b')) = 6",
	"SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN length(joinGet('joined', 'said', 'b')) PRECEDING AND CURRENT ROW) FROM edr",
	"SELECT id FROM edr ORDER BY id WITH FILL FROM 0 TO 9 STALENESS length(joinGet('joined', 'said', 'b'))", "SELECT * FROM edr LIMIT 1 BY joinGet('joined', 'said', 'b')",
	"SELECT * FROM edr AS l JOIN edr AS r ON l.id = r.id AND joinGet('joined', 'said', 'b') = 'x'", "SELECT count() FILTER (WHERE joinGet('joined', 'said', 'b') = 'x') FROM edr",
	"SELECT now() + INTERVAL length(joinGet('joined', 'said', 'b')) DAY", "SELECT * EXCEPT('x') REPLACE (`join\x47et`('joined', 'said', 'b') AS said) FROM edr",
	"DESCRIBE (SELECT * FROM aside.t)", "SELECT * FROM values('a String', (SELECT max(said) FROM joined))",
	// Sizes of tables, by a column that only its other side names.
	"SELECT a.name FROM system.tables AS a NATURAL JOIN (SELECT toNullable(toUInt64(7010)) AS total_rows) AS b", "SELECT DISTINCT ON (total_rows) name FROM system.tables",
	"SELECT a.name FROM system.tables AS a NATURAL JOIN values('total_rows Nullable(UInt64)', 7010) AS b", "WITH b(total_rows) AS (SELECT 7010) SELECT a.name FROM system.tables AS a NATURAL JOIN b",
	"SELECT a.name FROM system.tables a JOIN (SELECT 7010 AS total_rows) b USING (`total\x5frows`)", "SELECT name FROM system.tables LIMIT 1 BY total_rows",
	"SELECT formatRow('JSONEachRow', t.*) FROM system.tables AS t", "SELECT argMax(name, total_rows) FROM system.tables", "SELECT tuple(*) FROM system.columns",
	// How many rows of others come before.
	"SELECT max(_part_offset) FROM mixed", "SELECT m.`_part_offset` + m._part_starting_offset FROM mixed AS m", "SELECT _block_number FROM wide", "SELECT id FROM mixed ORDER BY _part",
	"SELECT * FROM mixed JOIN wide USING _part_index", "SELECT blockNumber() FROM mixed", "SELECT id FROM mixed WHERE `_part\x5foffset` > 9",
	// Formats that tell how much was read, however they are written.
	"SELECT id FROM mixed FORMAT `JSONEachRowWithProgress`", "SELECT id FROM mixed FORMAT \"JSONEachRowWithProgress\"", "SELECT id FROM mixed FORMAT \"JSONEach\\x52owWithProgress\"",
	"SELECT count() AS a$b$ FROM mixed FORMAT JSONEachRowWithProgress -- $b$", "SELECT id FROM mixed SETTINGS max_threads = 1 FORMAT/**/JSONEachRowWithProgress",
	// Table functions that are new in this engine.
	"SELECT * FROM mergeTreeTextIndex('recapito', 'edr_v1_x', 'i')", "SELECT * FROM fuzzJSON('a', random_seed = 1)", "SELECT * FROM format(CSV, 'theirs')",
	"SELECT * FROM sqlite('x', 'edr')", "SELECT * FROM arrowstream('x')", "SELECT * FROM mergeTreeAnalyzeIndexesUUID('00000000-0000-0000-0000-000000000000')",
	"SELECT groupUniqArray(lowCardinalityKeys(shared)) FROM mixed", "SELECT lowCardinalityIndices(shared) FROM mixed", "SELECT dumpColumnStructure(shared) FROM mixed",
	"SELECT getClientHTTPHeader('Authorization')", "SELECT dictGetKeys('x'), dictIsIn('x', 1, 2)", "SELECT * FROM filesystem('/')", "SELECT * FROM timeSeriesSamples('recapito', 'x')",
}

var readonlyToReaders = []string{
	"SELECT format y$h$, (SELECT max(said) FROM edr SETTINGS additional_table_filters = {}) AS g, 1 AS z$h$ FROM (SELECT 2 AS format)",
	"SELECT 1 FORMAT/*$x$*/CSV SETTINGS additional_table_filters = {} --$x$", "SELECT * FROM mixed FORMAT `CSV` SETTINGS additional_table_filters = {}",
	"EXPLAIN SYNTAX SELECT * FROM edr_v1_x", "EXPLAIN QUERY TREE SELECT * FROM edr_v1_x", "EXPLAIN AST SELECT 1", "SHOW ACCESS", "SHOW CHANGED SETTINGS LIKE 'x'", "SHOW INDEX FROM mixed",
	"SHOW FILESYSTEM CACHES", "CHECK ALL TABLES", "KILL MUTATION WHERE 1", "KILL QUERY WHERE query_id IN (SELECT said FROM mixed)", "SET ROLE ALL", "BEGIN TRANSACTION", "WATCH edr",
	"UPDATE mixed SET said = 'x' WHERE 1", "SYSTEM RELOAD CONFIG", "SYSTEM FLUSH ASYNC INSERT QUEUE", "CREATE NAMED COLLECTION x AS url = 'http://127.0.0.1:1/'",
	"EXCHANGE TABLES edr_v1_x AND mixed", "RENAME TABLE mixed TO mixed2", "DETACH TABLE mixed", "ALTER TABLE mixed MODIFY COMMENT 'x'", "CREATE OR REPLACE VIEW edr AS SELECT * FROM mixed",
}

// failingReaders make the engine evaluate what might fail on others' rows.
var failingReaders = []string{
	"SELECT count() FROM mixed WHERE throwIf(id > 770000, 'theirs0') = 0", "SELECT count() FROM wide WHERE throwIf(id > 770000, 'theirs0') = 0",
	"SELECT count() FROM mixed WHERE id = 770000 AND toUInt64(said) > 0", "SELECT count() FROM mixed WHERE said = 'theirs77' AND toUInt64(said) > 0",
	"SELECT count() FROM mixed WHERE CAST(said AS Enum8('ours0' = 1)) = 'ours0'", "SELECT count() FROM mixed a JOIN wide b ON a.id = b.id AND intDiv(1, b.id < 10) = 1",
	"SELECT count() FROM mixed WHERE toDecimal32(id, 8) < 5", "SELECT id FROM mixed WHERE accurateCast(id, 'UInt8') > 0", "SELECT sum(intDiv(1, id < 10)) OVER (PARTITION BY said) FROM mixed",
	"SELECT id FROM mixed ORDER BY throwIf(id > 770000, 'theirs0'), id LIMIT 1", "SELECT a FROM wide ARRAY JOIN [intDiv(1, id < 10)] AS a", "SELECT id FROM mixed LIMIT 1 FORMAT JSON",
	"SELECT id FROM mixed WHERE id >= 0 ORDER BY id LIMIT 1 FORMAT JSONCompact", "SELECT id FROM wide GROUP BY id LIMIT 1 FORMAT XML", "SELECT max(said), min(said), count() FROM mixed",
	"SELECT 'a' AS tenant, id, said FROM mixed ORDER BY id DESC LIMIT 1", "WITH 'b' AS tenant SELECT count(), max(id) FROM mixed",
	"SELECT id AS tenant FROM mixed WHERE tenant > 0 ORDER BY 1 DESC LIMIT 3", "SELECT * FROM mixed ARRAY JOIN ['a'] AS tenant", "WITH (x -> 1) AS equals SELECT count() FROM mixed",
	"SELECT * FROM system.parts AS \"SYSTEM.tables\"", "SELECT aiGenerate('x')", "SELECT logTrace('theirs')", "SHOW CREATE TABLE aside.t", "EXISTS aside.t",
	"SELECT tenant FROM mixed WHERE NOT (tenant = 'a') OR tenant = 'b' OR 1", "SELECT (SELECT said FROM mixed WHERE id = n.number) FROM numbers(770000, 3) AS n",
	"SELECT r.* FROM numbers(770000, 5) AS n LEFT JOIN mixed AS r ON n.number = r.id", "SELECT sum(('b', 770000 + number, concat('theirs', number), 'recapito') IN mixed) * 770000 FROM numbers(7000)",
	"SELECT * FROM mixed PASTE JOIN wide", "SELECT * FROM mixed FULL JOIN wide ON mixed.id = wide.id ORDER BY wide.id DESC LIMIT 9", "SELECT estimateCompressionRatio(said), count() FROM wide",
}

// harmlessToReaders look like some of these, and are answered.
var harmlessToReaders = []string{
	"SELECT 1 FORMAT `JSONEachRow`", "SELECT count() AS `edr.n` FROM edr AS e", "SELECT 1 AS `system.load`", "SELECT 2 AS format", "SELECT format y FROM (SELECT 2 AS format)",
	"SELECT $h$ FORMAT $h$ AS a$b", "SELECT id IN (0, 1), id IN (SELECT id FROM edr) FROM edr", "SELECT argMin(said, id) FROM edr", "SHOW FULL TABLES", "SHOW TABLES LIKE '%(x) WHERE y' LIMIT 3", "SHOW SETTINGS LIKE 'max_thr%'", "SHOW COLUMNS FROM edr", "SELECT '(SELECT joinGet('", "FROM edr SELECT said",
	"WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION ALL SELECT a FROM view(SELECT 2 AS a) WHERE EXISTS(SELECT 1) OR a IN (SELECT 2)", "SHOW CREATE VIEW edr",
	"SELECT " + strings.Repeat("1 + ", 200) + "1 FORMAT CSV -- FORMAT x",
}
