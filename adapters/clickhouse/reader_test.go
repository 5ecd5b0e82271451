package clickhouse_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recapito/adapters/clickhouse"
)

func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// readers starts an engine with two tenants' rows and a reader of each: alpha's rows say
// ours, beta's say theirs; so does everything that no reader may see.
func readers(t *testing.T) (s *clickhouse.Supervised, alpha, beta string) {
	t.Helper()
	needLibrary(t)
	o := childOptions(t.TempDir())
	o.Readers = []clickhouse.Reader{
		{Name: "alpha", Tenant: "a", PasswordSHA256: hash("one")}, {Name: "beta", Tenant: "b", PasswordSHA256: hash("two")},
		{Name: "default", Tenant: "it's a \\ tenant"},
	}
	s = start(t, o)
	prepare(t, s,
		"CREATE TABLE edr_v1_x (tenant LowCardinality(String), id UInt64, said String, INDEX i said TYPE minmax) ENGINE = ReplacingMergeTree ORDER BY (tenant, id)",
		"INSERT INTO edr_v1_x SELECT 'a', number, 'ours' || number FROM numbers(3)",
		"INSERT INTO edr_v1_x SELECT 'b', 770000 + number, 'theirs' || number FROM numbers(7000)",
		"CREATE VIEW edr AS SELECT * FROM edr_v1_x FINAL",
		"CREATE VIEW totals AS SELECT tenant, count() AS n, max(id) AS top, min(said) AS least, max(said) AS most FROM edr_v1_x GROUP BY tenant",
		"CREATE VIEW whose AS SELECT * FROM edr_v1_x WHERE tenant = {tenant:String}",
		"CREATE TABLE nobodys (said String) ENGINE = MergeTree ORDER BY said",
		"INSERT INTO nobodys VALUES ('theirs')",
		"CREATE TABLE joined (tenant String, said String) ENGINE = Join(ANY, LEFT, tenant)",
		"INSERT INTO joined VALUES ('b', 'theirs')",
		"CREATE TABLE merged (tenant String, said String) ENGINE = Merge('recapito', '^edr_v1')",
		"CREATE MATERIALIZED VIEW copied ENGINE = MergeTree ORDER BY tenant AS SELECT tenant, said FROM edr_v1_x",
		"INSERT INTO edr_v1_x SELECT 'b', 780000 + number, 'theirs' || number FROM numbers(7)",
		"CREATE TABLE completeness_checks (name String, until UInt64) ENGINE = ReplacingMergeTree ORDER BY name",
		"CREATE VIEW completeness AS SELECT * FROM completeness_checks FINAL",
		"INSERT INTO completeness_checks VALUES ('edr', 7)",
		"CREATE VIEW edr_parts AS SELECT * FROM edr_v1_x",
		"CREATE DATABASE aside",
		"CREATE TABLE aside.t (tenant String, said String) ENGINE = MergeTree ORDER BY tenant",
		"INSERT INTO aside.t VALUES ('a', 'theirs')",
	)
	as := func(name, password string) string {
		u, err := url.Parse(s.URL())
		must(t, err)
		u.User = url.UserPassword(name, password)
		return u.String()
	}
	return s, as("alpha", "one"), as("beta", "two")
}

// prepare runs the ledger's own statements.
func prepare(t *testing.T, s *clickhouse.Supervised, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if a := post(t, s.URL(), nil, statement); a.status != 200 {
			t.Fatalf("%s: %s", statement, a.body)
		}
	}
}

func TestReadersSeeTheirTenant(t *testing.T) {
	s, alpha, beta := readers(t)
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("theirs\n"), 0o600))
	t.Run("their own", func(t *testing.T) { readersSee(t, s, alpha, beta) })

	// What system.processes would tell.
	running := make(chan answer, 1)
	go func() {
		a, err := send("POST", beta, q("query_id", "slow", "max_block_size", "1"), "SELECT sleepEachRow(1), 'theirs' FROM numbers(55)")
		if err != nil {
			a.body = err.Error()
		}
		running <- a
	}()
	eventually(t, "the statement runs", func() bool { return sleeping(t, s) == "1\n" })
	for _, statement := range hostileToReaders {
		a := post(t, alpha, nil, strings.ReplaceAll(statement, "SECRET", secret))
		leaks(t, statement, a)
	}
	for _, setting := range []string{
		"additional_table_filters", "additional_result_filter", "log_comment", "use_query_cache", "use_query_condition_cache", "output_format_write_statistics",
		"max_rows_to_read", "max_bytes_to_read", "force_index_by_date", "allow_introspection_functions", "output_format_schema", "send_logs_level", "workload",
		"force_data_skipping_indices", "dialect", "enable_analyzer", "compatibility", "profile", "recapito_tenant",
	} {
		a := post(t, alpha, q(setting, "1"), "SELECT count(), max(id), max(said) FROM edr")
		if leaks(t, setting, a); a.status == 200 && a.body != "3\t2\tours2\n" {
			t.Errorf("%s in the URL: %d %s", setting, a.status, a.body)
		}
	}
	for _, database := range []string{"system", "aside", "information_schema", "default"} {
		for _, table := range []string{"t", "tables", "processes", "parts", "columns"} {
			leaks(t, database+" "+table, post(t, alpha, q("database", database), "SELECT * FROM "+table))
		}
	}
	for name, parameters := range map[string]url.Values{
		"SELECT * FROM {t:Identifier}":                           q("param_t", "nobodys"),
		"SELECT * FROM {d:Identifier}.{t:Identifier}":            q("param_d", "aside", "param_t", "t"),
		"SELECT {c:Identifier} FROM system.tables":               q("param_c", "total_rows"),
		"SELECT * FROM edr WHERE said = {v:String} OR 1":         q("param_v", "' OR 1 --"),
		"SELECT * FROM merge('recapito', {t:String})":            q("param_t", "edr"),
		"SELECT * FROM edr_v1_x WHERE tenant = {tenant:String}":  q("param_tenant", "b"),
		"SELECT * FROM whose WHERE tenant = {tenant:String}":     q("param_tenant", "b"),
		"SELECT said FROM edr FORMAT JSONEachRowWithProgress":    q(),
		"SELECT count() FROM edr WHERE said LIKE '%theirs%' --*": q("extremes", "1", "default_format", "JSON"),
	} {
		leaks(t, name, post(t, alpha, parameters, name))
	}
	for _, format := range []string{"JSONEachRowWithProgress", "jsoncompacteachrowwithprogress"} {
		if a := post(t, alpha, q("default_format", format), "SELECT 1"); a.code() != "497" {
			t.Errorf("%s: %d %s", format, a.status, a.body)
		}
	}
	// Another's query lives on, whoever names it.
	for _, kill := range []string{"KILL QUERY WHERE query_id = 'slow'", "KILL QUERY WHERE 1 SYNC", "KILL QUERY WHERE user = 'default' ASYNC"} {
		leaks(t, kill, post(t, alpha, nil, kill))
	}
	if n := sleeping(t, s); n != "1\n" {
		t.Errorf("the other's query was hurt: %s are left", n)
	}
	// Its owner may end it.
	if a := post(t, beta, nil, "KILL QUERY WHERE query_id = 'slow'"); a.body != "waiting\tslow\tbeta\t\n" {
		t.Errorf("KILL by its owner: %d %s", a.status, a.body)
	}
	if a := <-running; a.status == 200 && !strings.Contains(a.body, "Code: 394") {
		t.Errorf("the killed query was answered %d %.200s", a.status, a.body)
	}
	// And nothing was changed.
	if a := get(t, s.URL(), q("query", "SELECT count() FROM edr_v1_x")); a.body != "7010\n" {
		t.Errorf("the table holds %s", a.body)
	}
}

func sleeping(t *testing.T, s *clickhouse.Supervised) string {
	t.Helper()
	return get(t, s.URL(), q("query", "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(1), %' AND query NOT LIKE '%processes%'")).body
}

func readersSee(t *testing.T, s *clickhouse.Supervised, alpha, beta string) {
	for _, test := range []struct{ base, statement, want string }{
		{alpha, "SELECT count(), min(id), max(id) FROM edr", "3\t0\t2\n"},
		{alpha, "SELECT name, until FROM completeness", "edr\t7\n"},
		{alpha, "SELECT * FROM totals", "a\t3\t2\tours0\tours2\n"},
		{alpha, "WITH few AS (SELECT * FROM edr) SELECT max(said) FROM few", "ours2\n"},
		{alpha, "SELECT count() FROM edr AS x JOIN edr AS y USING id", "3\n"},
		{alpha, "SELECT name FROM system.tables ORDER BY name", "completeness\nedr\ntotals\nwhose\n"},
		{alpha, "SELECT DISTINCT table FROM system.columns ORDER BY table", "completeness\nedr\ntotals\n"},
		{alpha, "SELECT count(*) > 3 FROM system.columns", "1\n"},
		{alpha, "SELECT name FROM system.databases", "recapito\n"},
		{alpha, "SELECT currentUser() AS me, upper(CURRENT_USER ( )), 'currentUser()', user() /* user() */ FROM edr LIMIT 1", "alpha\tALPHA\tcurrentUser()\talpha\n"},
		{alpha, "SHOW TABLES LIKE 'edr'", "edr\n"},
		{alpha, "EXISTS TABLE edr", "1\n"},
		{alpha, "SELECT sum(number) FROM numbers(4)", "6\n"},
		{alpha, "(SELECT 1)", "1\n"},
		{beta, "SELECT count() FROM edr", "7007\n"},
		{beta, "SELECT count() FROM edr WHERE tenant != 'b'", "0\n"},
		{"http://" + strings.SplitN(s.URL(), "@", 2)[1], "SELECT count() FROM edr", "0\n"},
		{s.URL(), "SELECT count() FROM edr", "7010\n"},
	} {
		if a := post(t, test.base, nil, test.statement); a.body != test.want {
			t.Errorf("%s: %d %q, want %q", test.statement, a.status, a.body, test.want)
		}
	}
	a := get(t, alpha, q("query", "SELECT said FROM edr ORDER BY said", "default_format", "JSON"))
	if rows := decode(t, a.body); rows["rows"] != 3.0 || rows["statistics"] != nil {
		t.Errorf("JSON says %s", a.body)
	}
	if summary := decode(t, a.header.Get("X-ClickHouse-Summary")); summary["read_rows"] != "3" || summary["read_bytes"] != "0" {
		t.Errorf("the summary says %v", summary)
	}
}

// leaks returns an error when a response holds what is another tenant's, or how much that is.
func leaks(t *testing.T, what string, a answer) {
	t.Helper()
	text := a.body
	for _, theirs := range []string{"theirs0", "theirs6", "theirs\n", "77000", "78000", "7007", "7010", "7000", "7003"} {
		if strings.Contains(text, theirs) {
			t.Errorf("%s tells %s: %d %.300s", what, theirs, a.status, text)
		}
	}
}

var hostileToReaders = []string{
	"SELECT * FROM edr_v1_x WHERE tenant = 'b'",
	"SELECT * FROM edr WHERE 1 OR tenant = 'b'",
	"SELECT * FROM edr_v1_x FINAL PREWHERE tenant = 'b'",
	"SELECT count(), min(id), max(id), min(said), max(tenant) FROM edr_v1_x",
	"SELECT max(id) FROM edr_v1_x WHERE tenant != 'a'",
	"SELECT * FROM nobodys", "SELECT * FROM recapito.nobodys", "SELECT * FROM `nobodys`", "SELECT 'theirs' IN nobodys, count() FROM nobodys",
	"SELECT * FROM aside.t", "SELECT * FROM aside.t AS t JOIN edr ON 1", "SELECT count() FROM (SELECT * FROM aside.t)",
	"SELECT * FROM joined", "SELECT joinGet('joined', 'said', 'b')", "SELECT joinGetOrNull(recapito.joined, 'said', 'b')",
	"SELECT * FROM edr ANY LEFT JOIN joined USING tenant", "SELECT 'b' AS tenant, said FROM (SELECT 'b' AS tenant) AS l ANY LEFT JOIN joined USING (tenant)",
	"SELECT * FROM merged", "SELECT * FROM copied", "SELECT count(), max(said) FROM copied",
	"SELECT * FROM merge('recapito', 'edr_v1')", "SELECT * FROM merge('edr')", "SELECT * FROM MeRgE(currentDatabase(), '.*')",
	"SELECT id FROM edr WHERE id IN merge('recapito', 'edr_v1')", "SELECT 1 IN (SELECT id FROM merge('recapito', 'edr_v1'))",
	"DESCRIBE TABLE merge('recapito', 'edr_v1')", "SELECT * FROM view(SELECT * FROM edr_v1_x)", "SELECT * FROM viewIfPermitted(SELECT * FROM edr_v1_x ELSE null('x Int8'))",
	"SELECT * FROM loop(recapito, edr_v1_x) LIMIT 7001", "SELECT * FROM loop('recapito', 'edr_v1_x') LIMIT 7001",
	"SELECT * FROM whose(tenant = 'b')", "SELECT * FROM dictionary('edr')", "SELECT dictGet('edr', 'said', 1)",
	"SELECT * FROM mergeTreeIndex('recapito', 'edr_v1_x')", "SELECT * FROM mergeTreeProjection('recapito', 'edr_v1_x', 'x')",
	"SELECT * FROM mergeTreeAnalyzeIndexes('recapito', 'edr_v1_x')",
	"SELECT * FROM remote('127.0.0.1', recapito, edr_v1_x)", "SELECT * FROM cluster('default', recapito.edr_v1_x)", "SELECT * FROM clusterAllReplicas('default', recapito.edr_v1_x)",
	"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", "SELECT * FROM file('SECRET', 'LineAsString')", "SELECT file('SECRET')", "SELECT file('SECRET') FORMAT CSV",
	"SELECT * FROM `SECRET`", "SELECT * FROM edr INTO OUTFILE 'SECRET'", "SELECT * FROM executable('cat', 'TSV', 'x String')", "SELECT * FROM sqlite('SECRET', 't')",
	"SELECT * FROM edr SETTINGS additional_table_filters = {}", "SELECT * FROM edr SETTINGS log_comment = 'b'", "SELECT * FROM edr SETTINGS readonly = 0, additional_table_filters = {}",
	"SELECT * FROM (SELECT * FROM edr SETTINGS additional_table_filters = {'recapito.edr_v1_x': '1'})",
	"WITH x AS (SELECT * FROM edr_v1_x SETTINGS additional_table_filters = {}) SELECT * FROM x",
	"SELECT * FROM edr /* SETTINGS additional_table_filters = {} */ -- \n SETTINGS\tadditional_table_filters = {}",
	"SET additional_table_filters = {}", "SET readonly = 0", "SET log_comment = 'b'", "SET param_x = 1",
	"SELECT 1; SELECT * FROM edr_v1_x", "SET readonly = 0; SELECT * FROM edr_v1_x", "SELECT 1; SET readonly = 0; SELECT max(said) FROM edr_v1_x",
	"USE aside", "INSERT INTO edr_v1_x VALUES ('a', 1, 'x')", "INSERT INTO edr_v1_x SELECT 'a', 1, 'x'", "INSERT INTO edr_v1_x FORMAT CSV\n'a',1,'x'\n",
	"DELETE FROM edr_v1_x WHERE 1", "ALTER TABLE edr_v1_x DELETE WHERE 1", "TRUNCATE TABLE edr_v1_x", "DROP TABLE edr_v1_x", "OPTIMIZE TABLE edr_v1_x FINAL",
	"CREATE VIEW mine AS SELECT * FROM edr_v1_x", "CREATE TEMPORARY TABLE mine AS SELECT * FROM edr_v1_x", "CREATE TABLE mine ENGINE = Memory AS SELECT * FROM edr_v1_x",
	"CREATE FUNCTION f AS x -> x", "CREATE DICTIONARY d (said String) PRIMARY KEY said SOURCE(CLICKHOUSE(TABLE 'edr_v1_x')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(1)",
	"EXPLAIN ESTIMATE SELECT * FROM edr_v1_x", "EXPLAIN indexes = 1 SELECT * FROM edr_v1_x WHERE tenant = 'b'", "EXPLAIN PLAN actions = 1 SELECT * FROM edr_v1_x",
	"EXPLAIN PIPELINE SELECT * FROM edr", "SELECT * FROM (EXPLAIN ESTIMATE SELECT * FROM edr_v1_x)", "SELECT * FROM viewExplain('EXPLAIN ESTIMATE', '', (SELECT * FROM edr_v1_x))",
	"CHECK TABLE edr_v1_x", "SHOW PROCESSLIST", "SHOW FULL PROCESSLIST", "SELECT query FROM system.processes", "SELECT * FROM system.processes", "SELECT * FROM `system`.`processes`",
	"SELECT count() FROM system.user_processes", "SELECT * FROM system.parts", "SELECT sum(rows) FROM system.parts WHERE table = 'edr_v1_x'",
	"SELECT * FROM system.parts_columns", "SELECT * FROM system.projection_parts", "SELECT * FROM system.events", "SELECT * FROM system.metrics", "SELECT * FROM system.errors",
	"SELECT last_error_message FROM system.errors", "SELECT * FROM system.mutations", "SELECT * FROM system.merges", "SELECT * FROM system.query_cache", "SELECT * FROM system.query_condition_cache",
	"SELECT * FROM system.data_skipping_indices", "SELECT * FROM system.stack_trace", "SELECT * FROM system.named_collections", "SELECT * FROM system.users",
	"SELECT * FROM system.dropped_tables", "SELECT * FROM system.detached_parts", "SELECT * FROM system.jemalloc_stats", "SELECT * FROM system.completions",
	"SELECT total_rows FROM system.tables", "SELECT * FROM system.tables", "SELECT t.* FROM system.tables AS t", "SELECT COLUMNS('total') FROM system.tables",
	"SELECT t.total_rows FROM system.tables t", "SELECT * EXCEPT(name) FROM system.tables", "SELECT name FROM system.tables WHERE total_rows = 7010",
	"SELECT name FROM system.tables ORDER BY total_rows", "SELECT untuple(tuple(*)) FROM system.tables", "SELECT x FROM (SELECT total_rows AS x FROM system.tables)",
	"SELECT \"total\\x5frows\" FROM system.tables", "SELECT * FROM information_schema.tables", "SELECT table_rows FROM INFORMATION_SCHEMA.TABLES", "SELECT data_length FROM information_schema.tables",
	"SELECT * FROM system.columns WHERE table = 'edr_v1_x'", "SELECT data_uncompressed_bytes FROM system.columns", "SELECT name FROM system.tables WHERE database = 'aside' AND name = 'theirs'",
	"SELECT a.2 FROM (SELECT (name, total_rows) AS a FROM system.tables)", "SHOW TABLE STATUS", "SHOW INDEXES FROM edr_v1_x", "SHOW MERGES", "SHOW CLUSTERS", "SHOW GRANTS", "SHOW USERS",
	"SELECT throwIf(tenant = 'b', said) FROM edr_v1_x", "SELECT throwIf(1, said) FROM edr_v1_x WHERE tenant = 'b'", "SELECT toUInt8(said) FROM edr_v1_x WHERE tenant = 'b'",
	"SELECT CAST(said AS Enum('ours0' = 1, 'ours1' = 2, 'ours2' = 3)) FROM edr_v1_x", "SELECT (SELECT max(said) FROM edr_v1_x)", "SELECT arrayJoin((SELECT groupArray(said) FROM edr_v1_x))",
	"SELECT * FROM edr_v1_x UNION ALL SELECT * FROM edr_v1_x", "SELECT * FROM edr_v1_x INTERSECT SELECT * FROM edr_v1_x", "SELECT said FROM edr_v1_x ORDER BY id DESC LIMIT 1 WITH TIES",
	"SELECT said FROM edr_v1_x SAMPLE 1", "SELECT count() FROM edr_v1_x GROUP BY tenant WITH ROLLUP", "SELECT count() FROM edr_v1_x GROUP BY tenant WITH TOTALS FORMAT JSON",
	"SELECT id FROM edr_v1_x LIMIT 1 FORMAT JSONEachRowWithProgress", "SELECT getSetting('additional_table_filters') FORMAT Null", "SELECT count() FROM edr FORMAT RawBLOB",
	"SELECT max(_part_offset) FROM edr_v1_x WHERE tenant = 'b'", "SELECT hasColumnInTable('recapito', 'nobodys', 'said'), getServerSetting('path')",
	"SELECT * FROM eval('SELECT * FROM edr_v1_x')", "SELECT * FROM `merge`('recapito', 'edr_v1')", "SELECT * FROM \"m\\x65rge\"('recapito', 'edr_v1')",
	"SELECT * FROM view(SELECT * FROM merge('recapito', 'edr_v1'))", "SELECT * FROM view(SELECT * FROM edr_v1_x SETTINGS additional_table_filters = {})",
	"SELECT * APPLY (x -> joinGet('joined', 'said', 'b')) FROM edr", "SELECT 'b' AS a, * APPLY (x -> (SELECT max(said) FROM merge('recapito', 'edr_v1'))) FROM edr",
	"SELECT * REPLACE (joinGet('joined', 'said', 'b') AS said) FROM edr", "(SELECT * FROM edr_v1_x SETTINGS additional_table_filters = {}) UNION ALL SELECT * FROM edr_v1_x",
	"SELECT * FROM edr_v1_x FORMAT CSV SETTINGS additional_table_filters = {}", "SELECT * FROM edr_v1_x SETTINGS additional_table_filters = {} FORMAT CSV",
	"SELECT * FROM edr WHERE id IN (SELECT id FROM edr_v1_x SETTINGS additional_table_filters = {})", "DESCRIBE TABLE (SELECT * FROM edr_v1_x SETTINGS additional_table_filters = {})",
	"SELECT EXISTS(SELECT * FROM edr_v1_x WHERE tenant = 'b' SETTINGS additional_table_filters = {}) ? 'theirs0' : ''",
	"SELECT number AS n, '' AS s FROM numbers(2) ORDER BY n WITH FILL TO 5 INTERPOLATE (s AS joinGet('joined', 'said', 'b'))",
	"SELECT number AS n FROM numbers(2) ORDER BY n WITH FILL FROM (SELECT max(id) FROM merge('recapito', 'edr_v1'))",
	"SELECT 1 LIMIT (SELECT max(id) FROM merge('recapito', 'edr_v1'))", "SELECT * FROM numbers((SELECT max(id) FROM edr_v1_x SETTINGS additional_table_filters = {}))",
	"WITH RECURSIVE r AS (SELECT * FROM edr_v1_x SETTINGS additional_table_filters = {}) SELECT * FROM r", "WITH (SELECT max(said) FROM edr_v1_x SETTINGS additional_table_filters = {}) AS m SELECT m",
	"SELECT max(said) OVER w FROM edr_v1_x WINDOW w AS (ORDER BY joinGet('joined', 'said', 'b'))", "SHOW TABLES WHERE name IN (SELECT said FROM merge('recapito', 'edr_v1'))",
	"SHOW COLUMNS FROM edr WHERE field = (SELECT throwIf(1, max(said)) FROM merge('recapito', 'edr_v1'))", "SHOW TABLES FROM system", "SHOW CREATE TABLE nobodys",
	"SYSTEM FLUSH LOGS", "SYSTEM DROP QUERY CACHE", "BACKUP TABLE edr_v1_x TO File('SECRET')", "GRANT ALL ON *.* TO default", "EXECUTE AS default SELECT 1", "SELECT name FROM system.tables AS t(a, b, c, d)",
}

func TestUsersAreAskedForTheirPassword(t *testing.T) {
	needLibrary(t)
	o := childOptions(t.TempDir())
	o.Readers = []clickhouse.Reader{{Name: "alpha", Tenant: "a", PasswordSHA256: hash("one")}}
	s := start(t, o)
	bare := "http://" + strings.SplitN(s.URL(), "@", 2)[1]
	for _, test := range []struct {
		params url.Values
		header []string
		status int
		code   string
	}{
		{nil, nil, 401, "194"},
		{q("user", "recapito"), nil, 403, "516"},
		{q("user", "recapito", "password", "one"), nil, 403, "516"},
		{q("user", "alpha"), nil, 403, "516"},
		{q("user", "alpha", "password", "two"), nil, 403, "516"},
		{q("user", "default"), nil, 403, "516"},
		{q("user", "nosuch\r\nX: y", "password", "one"), nil, 403, "516"},
		{q("user", "alpha", "password", "one"), nil, 200, ""},
		{nil, []string{"X-ClickHouse-User", "alpha", "X-ClickHouse-Key", "one"}, 200, ""},
		{q("user", "alpha", "password", "one"), []string{"X-ClickHouse-User", "alpha", "X-ClickHouse-Key", "two"}, 403, "516"},
		{nil, []string{"Authorization", "Basic YWxwaGE6b25l"}, 200, ""},
		{nil, []string{"Authorization", "Bearer x"}, 401, "194"},
	} {
		a := post(t, bare, test.params, "SELECT 1", test.header...)
		if a.status != test.status || a.code() != test.code {
			t.Errorf("%v %v: %d, %s", test.params, test.header, a.status, a.body)
		}
	}
	if a := at(t, bare+"/ping"); a.status != 200 {
		t.Errorf("/ping wants a password: %d", a.status)
	}
}

func TestReadersAreChecked(t *testing.T) {
	good := clickhouse.Reader{Name: "bi", Tenant: "t", PasswordSHA256: hash("x")}
	if err := (clickhouse.Users{Readers: []clickhouse.Reader{good}}).Check(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]clickhouse.Reader{
		"writer's name": {{Name: clickhouse.Writer, Tenant: "t"}}, "no name": {{Tenant: "t"}}, "capitals": {{Name: "Bi", Tenant: "t"}},
		"no tenant": {{Name: "bi"}}, "control": {{Name: "bi", Tenant: "a\nb"}}, "short hash": {{Name: "bi", Tenant: "t", PasswordSHA256: "ab"}},
		"no hash": {{Name: "bi", Tenant: "t", PasswordSHA256: "zz"}}, "twice": {good, good},
	} {
		if (clickhouse.Users{Readers: bad}).Check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
