package clickhouse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/clickhouse"
)

var compressions = []string{"", "?compress=lz4", "?compress=zstd", "?compress=gzip&enable_http_compression=1"}

func TestClickHouseGo(t *testing.T) {
	s := engine(t)
	for i, params := range compressions {
		t.Run(fmt.Sprintf("compression%d", i), func(t *testing.T) {
			ctx := t.Context()
			conn := open(t, s, params)
			must(t, conn.Ping(ctx))
			v, err := conn.ServerVersion()
			must(t, err)
			if v.Revision != 0 || v.Timezone.String() != "UTC" {
				t.Errorf("hello says revision %d, %s", v.Revision, v.Timezone)
			}
			db := database(t, conn)
			must(t, conn.Exec(ctx, "CREATE TABLE "+db+`.t (
				id String, n Nullable(DateTime64(6, 'UTC')), at DateTime64(3, 'UTC'), tags Array(LowCardinality(String)),
				kind LowCardinality(String), pair Tuple(UInt8, Int64, String), m Map(String, String), price Decimal(18, 6), flag Bool
			) ENGINE = MergeTree ORDER BY id`))
			type row struct {
				ID    string
				N     *time.Time
				At    time.Time
				Tags  []string
				Kind  string
				Pair  []any
				M     map[string]string
				Price string
				Flag  bool
			}
			at := time.Date(2026, 11, 23, 14, 30, 0, 123_000_000, time.UTC)
			micro := at.Add(456 * time.Microsecond)
			want := []row{
				{"a", &micro, at, []string{"x", "y"}, "sms", []any{uint8(3), int64(-7), "DELIVRD"}, map[string]string{"k": "v"}, "1.25", true},
				{"b", nil, at, []string{}, "", []any{uint8(0), int64(0), ""}, map[string]string{}, "0", false},
				{"c'\x00\n\\", nil, at, []string{"\xff"}, "ümläut", []any{uint8(255), int64(1), "'"}, map[string]string{}, "-3.000001", true},
			}
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+db+".t")
			must(t, err)
			for _, r := range want {
				must(t, batch.Append(r.ID, r.N, r.At, r.Tags, r.Kind, r.Pair, r.M, r.Price, r.Flag))
			}
			must(t, batch.Send())
			rows, err := conn.Query(ctx, "SELECT id, n, at, tags, kind, pair, m, toString(price), flag FROM "+db+".t ORDER BY id")
			must(t, err)
			defer rows.Close()
			var got []row
			for rows.Next() {
				var r row
				must(t, rows.Scan(&r.ID, &r.N, &r.At, &r.Tags, &r.Kind, &r.Pair, &r.M, &r.Price, &r.Flag))
				got = append(got, r)
			}
			must(t, rows.Err())
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			var count uint64
			must(t, conn.QueryRow(ctx, "SELECT count() FROM "+db+".t WHERE id = {id:String}", clickhousego.Named("id", "c'\x00\n\\")).Scan(&count))
			if count != 1 {
				t.Errorf("a bound parameter found %d rows", count)
			}
			none, err := conn.Query(ctx, "SELECT id FROM "+db+".t WHERE id = 'nosuch'")
			must(t, err)
			if none.Next() || none.Err() != nil {
				t.Errorf("rows of an empty answer: %v", none.Err())
			}
			none.Close()
			large(t, conn)
			failures(t, conn)
		})
	}
}

// large passes a response of many blocks.
func large(t *testing.T, conn driver.Conn) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT number, toString(number) FROM numbers(500000)")
	must(t, err)
	defer rows.Close()
	var n, sum uint64
	for rows.Next() {
		var v uint64
		var s string
		must(t, rows.Scan(&v, &s))
		n, sum = n+1, sum+v
	}
	must(t, rows.Err())
	if n != 500000 || sum != 124999750000 {
		t.Errorf("%d rows, sum %d", n, sum)
	}
}

// failures come as clickhouse-go's typed exceptions, before and within an
// answer.
func failures(t *testing.T, conn driver.Conn) {
	t.Helper()
	for query, code := range map[string]int32{
		"SELECT * FROM nosuch":                                  60,
		"CREATE TABLE x ENGINE = y(":                            62,
		"SELECT throwIf(number = 999999) FROM numbers(1000000)": 395,
	} {
		rows, err := conn.Query(t.Context(), query)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Close()
		}
		var e *clickhousego.Exception
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, want code %d", query, err, code)
		}
	}
}

// The shape that the EDR table has: partial rows of one attempt, in any order
// and repeated, merge into one, also while they lie in different parts.
func TestAggregatingMergeTree(t *testing.T) {
	s := engine(t)
	ctx := t.Context()
	conn := open(t, s, "")
	db := database(t, conn)
	for _, statement := range []string{
		`CREATE TABLE %s.edr_parts (
			tenant LowCardinality(String), day Date, notification String, attempt UInt16,
			sent SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
			delivered SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
			parts SimpleAggregateFunction(max, UInt8),
			status SimpleAggregateFunction(max, Tuple(UInt8, Int64, String, String))
		) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day) ORDER BY (tenant, day, notification, attempt)
		SETTINGS non_replicated_deduplication_window = 100`,
		`CREATE VIEW %[1]s.edr AS SELECT tenant, day, notification, attempt, sent, delivered, parts, tupleElement(status, 3) AS status FROM %[1]s.edr_parts FINAL`,
	} {
		must(t, conn.Exec(ctx, fmt.Sprintf(statement, db)))
	}
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	sent, delivered := day.Add(10*time.Hour), day.Add(11*time.Hour)
	insert := func(token string, sent, delivered *time.Time, rank uint8, status string) {
		t.Helper()
		ctx := clickhousego.Context(ctx, clickhousego.WithSettings(clickhousego.Settings{"insert_deduplication_token": token}))
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+db+".edr_parts (tenant, day, notification, attempt, sent, delivered, parts, status)")
		must(t, err)
		must(t, batch.Append("acme", day, "n1", uint16(1), sent, delivered, uint8(2), []any{rank, int64(-rank), status, ""}))
		must(t, batch.Send())
	}
	insert("2", nil, &delivered, 6, "delivered")
	insert("1", &sent, nil, 4, "sent")
	insert("1", &sent, nil, 4, "sent") // the token saves this one
	var rows uint64
	must(t, conn.QueryRow(ctx, "SELECT count() FROM "+db+".edr_parts").Scan(&rows))
	if rows != 2 {
		t.Errorf("%d rows in the table, want 2: the token did not save the third", rows)
	}
	insert("another", &sent, nil, 4, "sent")
	var got struct {
		sent, delivered *time.Time
		status          string
		n               uint64
	}
	must(t, conn.QueryRow(ctx, "SELECT any(sent), any(delivered), any(status), count() FROM "+db+".edr WHERE tenant = 'acme' AND day = '2026-11-23'").
		Scan(&got.sent, &got.delivered, &got.status, &got.n))
	if got.n != 1 || got.status != "delivered" || got.sent == nil || !got.sent.Equal(sent) || got.delivered == nil || !got.delivered.Equal(delivered) {
		t.Errorf("the view says %+v", got)
	}
	// What schema changes and rebuilds need.
	for _, statement := range []string{
		"ALTER TABLE %[1]s.edr_parts ADD COLUMN extra SimpleAggregateFunction(max, String)",
		"CREATE TABLE %[1]s.edr_parts_new AS %[1]s.edr_parts",
		"INSERT INTO %[1]s.edr_parts_new SELECT * FROM %[1]s.edr_parts",
		"EXCHANGE TABLES %[1]s.edr_parts AND %[1]s.edr_parts_new",
		"OPTIMIZE TABLE %[1]s.edr_parts FINAL",
		"RENAME TABLE %[1]s.edr_parts_new TO %[1]s.edr_parts_old",
		"TRUNCATE TABLE %[1]s.edr_parts_old",
		"DROP TABLE %[1]s.edr_parts_old SYNC",
		"CREATE OR REPLACE VIEW %[1]s.edr AS SELECT * FROM %[1]s.edr_parts FINAL",
	} {
		must(t, conn.Exec(ctx, fmt.Sprintf(statement, db)))
	}
	must(t, conn.QueryRow(ctx, "SELECT count() FROM "+db+".edr").Scan(&rows))
	if rows != 1 {
		t.Errorf("%d rows after the exchange", rows)
	}
}

func TestOpenRefusesBadURLs(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8123", "ftp://127.0.0.1", "http://user:secret%@host"} {
		if _, err := clickhouse.Open(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password")
		}
	}
	for _, good := range []string{"http://127.0.0.1:8123", "https://ch.example.org:8443/other", "clickhouse://u:p@ch.example.org:9000/db?compress=zstd", "clickhouses://ch.example.org:9440"} {
		conn, err := clickhouse.Open(good)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		conn.Close()
	}
}

func TestCreateDatabase(t *testing.T) {
	s := engine(t)
	url := s.URL() + "/created_by_test"
	must(t, clickhouse.CreateDatabase(t.Context(), url))
	must(t, clickhouse.CreateDatabase(t.Context(), url))
	conn, err := clickhouse.Open(url)
	must(t, err)
	defer conn.Close()
	var name string
	must(t, conn.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&name))
	if name != "created_by_test" {
		t.Errorf("the database is %q", name)
	}
}
