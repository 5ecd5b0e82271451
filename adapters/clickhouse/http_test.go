package clickhouse_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func q(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestHTTPAnswersLikeClickHouse(t *testing.T) {
	base := engine(t).URL()
	tests := []struct {
		name   string
		answer func() answer
		status int
		body   string // exact, or with a final … its beginning
		code   string
	}{
		{"ping", func() answer { return at(t, base+"/ping") }, 200, "Ok.\n", ""},
		{"nothing there", func() answer { return at(t, base+"/nosuch") }, 404, "There is no handle…", ""},
		{"root", func() answer { return get(t, base, nil) }, 200, "Ok.\n", ""},
		{"query in the URL", func() answer { return get(t, base, q("query", "SELECT 1, 'a\tb'")) }, 200, "1\ta\\tb\n", ""},
		{"query in the body", func() answer { return post(t, base, nil, "SELECT 1") }, 200, "1\n", ""},
		{"query in both", func() answer { return post(t, base, q("query", "SELECT 1"), "UNION ALL SELECT 1") }, 200, "1\n1\n", ""},
		{"trailing semicolon and comment", func() answer { return post(t, base, nil, "SELECT 1; -- done") }, 200, "1\n", ""},
		{"default database", func() answer { return get(t, base, q("query", "SELECT currentDatabase()")) }, 200, "recapito\n", ""},
		{"its engine", func() answer {
			return get(t, base, q("query", "SELECT engine FROM system.databases WHERE name = currentDatabase()"))
		}, 200, "Atomic\n", ""},
		{"database", func() answer { return get(t, base, q("query", "SELECT currentDatabase()", "database", "system")) }, 200, "system\n", ""},
		{"database header", func() answer {
			return get(t, base, q("query", "SELECT currentDatabase()"), "X-ClickHouse-Database", "system")
		}, 200, "system\n", ""},
		{"format", func() answer { return get(t, base, q("query", "SELECT 1 AS a FORMAT JSONEachRow")) }, 200, "{\"a\":1}\n", ""},
		{"default_format", func() answer { return get(t, base, q("query", "SELECT 1 AS a", "default_format", "CSVWithNames")) }, 200, "\"a\"\n1\n", ""},
		{"format header", func() answer { return get(t, base, q("query", "SELECT 1 AS a"), "X-ClickHouse-Format", "CSV") }, 200, "1\n", ""},
		{"a column named format", func() answer { return get(t, base, q("query", "SELECT 1 AS b, format FROM (SELECT 2 AS format)")) }, 200, "1\t2\n", ""},
		{"format and settings", func() answer {
			return get(t, base, q("query", "SELECT getSetting('max_threads') SETTINGS max_threads = 3 FORMAT CSV"))
		}, 200, "3\n", ""},
		{"settings after format", func() answer {
			return get(t, base, q("query", "SELECT getSetting('max_threads') FORMAT CSV SETTINGS max_threads = 3"))
		}, 200, "3\n", ""},
		{"settings in the URL", func() answer { return get(t, base, q("query", "SELECT getSetting('max_threads')", "max_threads", "3")) }, 200, "3\n", ""},
		{"parameters", func() answer {
			return get(t, base, q("query", "SELECT {a:String}, {b:UInt8} + 1, {c:Array(String)}", "param_a", `it's \\ \t`, "param_b", "4", "param_c", "['x','y']"))
		}, 200, "it\\'s \\\\ \\t\t5\t['x','y']\n", ""},
		{"parameters of a text with a backslash", func() answer {
			return get(t, base, q("query", `SELECT 'a\'b', {a:String}, {b:UInt8} FROM {t:Identifier}`, "param_a", `c\\d`, "param_b", "4", "param_t", "one", "database", "system"))
		}, 200, "a\\'b\tc\\\\d\t4\n", ""},
		{"show", func() answer { return get(t, base, q("query", "SHOW DATABASES LIKE 'recap%'")) }, 200, "recapito\n", ""},
		{"describe", func() answer { return get(t, base, q("query", "DESCRIBE TABLE system.one")) }, 200, "dummy\tUInt8\t…", ""},
		{"explain", func() answer { return get(t, base, q("query", "EXPLAIN SELECT 1")) }, 200, "…", ""},
		{"exists", func() answer { return get(t, base, q("query", "EXISTS TABLE nosuch")) }, 200, "0\n", ""},
		{"with", func() answer { return get(t, base, q("query", "WITH 2 AS x SELECT x UNION ALL (SELECT 2)")) }, 200, "2\n2\n", ""},
		{"in parentheses", func() answer { return get(t, base, q("query", "(SELECT 1)")) }, 200, "1\n", ""},
		{"no rows", func() answer { return get(t, base, q("query", "SELECT 1 WHERE 0")) }, 200, "", ""},
		{"no rows in JSON", func() answer { return get(t, base, q("query", "SELECT 1 WHERE 0 FORMAT JSONCompact")) }, 200, "{\n…", ""},
		{"unknown table", func() answer { return get(t, base, q("query", "SELECT * FROM nosuch")) }, 404, "Code: 60. DB::Exception: …", "60"},
		{"unknown database", func() answer { return get(t, base, q("query", "SELECT 1", "database", "nosuch")) }, 404, "Code: 81. DB::Exception: …", "81"},
		{"unknown setting", func() answer { return get(t, base, q("query", "SELECT 1", "nosuch", "1")) }, 404, "Code: 115. DB::Exception: …", "115"},
		{"syntax", func() answer { return get(t, base, q("query", "SELEKT 1")) }, 400, "Code: 62. DB::Exception: Syntax error…", "62"},
		{"insert syntax", func() answer { return post(t, base, nil, "INSERT INTO a b c FORMAT CSV\n1") }, 400, "Code: 62. DB::Exception: Syntax error…", "62"},
		{"empty", func() answer { return post(t, base, nil, "") }, 400, "Code: 62. DB::Exception: Empty query\n", "62"},
		{"type", func() answer { return get(t, base, q("query", "SELECT 1 + 'a'")) }, 400, "Code: 43. DB::Exception: …", "43"},
		{"time limit", func() answer {
			return get(t, base, q("query", "SELECT sleepEachRow(1) FROM numbers(3)", "max_execution_time", "1"))
		}, 408, "Code: 159. DB::Exception: …", "159"},
		{"memory limit", func() answer {
			return get(t, base, q("query", "SELECT groupArray(toString(number)) FROM numbers(1000000)", "max_memory_usage", "1000000"))
		}, 500, "Code: 241. DB::Exception: …", "241"},
		{"server's memory limit", func() answer {
			return get(t, base, q("query", "SELECT length(groupArray(repeat('x', 1000) || toString(number))) FROM numbers(10000000)"))
		}, 500, "Code: 241. DB::Exception: …", "241"},
		{"GET only reads", func() answer { return get(t, base, q("query", "CREATE TABLE x (a Int8) ENGINE = Memory")) }, 500, "Code: 164. DB::Exception: …", "164"},
		{"GET cannot ask to write", func() answer {
			return get(t, base, q("query", "CREATE TABLE x (a Int8) ENGINE = Memory", "readonly", "0"))
		}, 500, "Code: 164. DB::Exception: …", "164"},
		{"a session", func() answer { return get(t, base, q("query", "SELECT 1", "session_id", "a", "session_timeout", "60")) }, 200, "1\n", ""},
		{"a session's setting", func() answer { return post(t, base, q("session_id", "a"), "SET max_threads = 1") }, 501, "Code: 48. DB::Exception: sessions…", "48"},
		{"a session's database", func() answer { return post(t, base, q("session_id", "a"), "USE system") }, 501, "Code: 48. DB::Exception: sessions…", "48"},
		{"a session's table", func() answer {
			return post(t, base, q("session_id", "a"), "CREATE /**/ OR REPLACE TEMPORARY TABLE x (a Int8)")
		}, 501, "Code: 48. DB::Exception: sessions…", "48"},
		{"a session that must be", func() answer { return get(t, base, q("query", "SELECT 1", "session_id", "a", "session_check", "1")) }, 404, "Code: 372. DB::Exception: Session not found…", "372"},
		{"external tables", func() answer {
			return post(t, base, nil, "--x--", "Content-Type", "multipart/form-data; boundary=x")
		}, 501, "Code: 48. DB::Exception: external tables…", "48"},
		{"replicas", func() answer { return at(t, base+"/replicas_status") }, 200, "Ok.\n", ""},
		{"HEAD", func() answer {
			a, err := send("HEAD", base, q("query", "SELECT 1"), "")
			must(t, err)
			return a
		}, 200, "", ""},
		{"PUT", func() answer {
			a, err := send("PUT", base, nil, "SELECT 1")
			must(t, err)
			return a
		}, 405, "only GET…", ""},
		{"what a client sends along", func() answer {
			return get(t, base, q("query", "SELECT 1", "wait_end_of_query", "1", "buffer_size", "1000", "send_progress_in_http_headers", "1", "stacktrace", "1", "quota_key", "a", "role", "b"))
		}, 200, "1\n", ""},
		{"a format in quotes", func() answer { return get(t, base, q("query", "SELECT 1 AS a FORMAT `JSONEachRow`")) }, 200, "{\"a\":1}\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := test.answer()
			begin, open := strings.CutSuffix(test.body, "…")
			if a.status != test.status || a.code() != test.code || !(a.body == test.body || open && strings.HasPrefix(a.body, begin)) {
				t.Errorf("got %d, code %q, %.300q\nwant %d, code %q, %q", a.status, a.code(), a.body, test.status, test.code, test.body)
			}
		})
	}
}

func TestHTTPHeaders(t *testing.T) {
	base := engine(t).URL()
	a := get(t, base, q("query", "SELECT number FROM numbers(3) FORMAT JSON", "query_id", "mine"))
	for name, want := range map[string]string{
		"X-ClickHouse-Query-Id": "mine", "X-ClickHouse-Format": "JSON", "X-ClickHouse-Timezone": "UTC",
		"Content-Type": "application/json; charset=UTF-8",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if s := decode(t, a.header.Get("X-ClickHouse-Summary")); s["read_rows"] != "3" {
		t.Errorf("the summary says %v", s)
	}
	if a := get(t, base, q("query", "SELECT 1 FORMAT \"CSV\"")); a.header.Get("X-ClickHouse-Format") != "CSV" {
		t.Errorf("a format in quotes is called %q", a.header.Get("X-ClickHouse-Format"))
	}
	if rows := decode(t, a.body)["rows"]; rows != 3.0 {
		t.Errorf("JSON says %v rows", rows)
	}
}

func TestInsertsInAnyFormat(t *testing.T) {
	s := engine(t)
	db := database(t, open(t, s, ""))
	base := s.URL()
	if a := post(t, base, q("database", db), "CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a"); a.status != 200 {
		t.Fatal(a.body)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte("8\teight\n"))
	z.Close()
	var zstded, lz4ed bytes.Buffer
	zs, err := zstd.NewWriter(&zstded)
	must(t, err)
	zs.Write([]byte("10\tten\n"))
	must(t, zs.Close())
	lz := lz4.NewWriter(&lz4ed)
	lz.Write([]byte("11\televen\n"))
	must(t, lz.Close())
	for _, insert := range []struct {
		query, body string
		header      []string
	}{
		{"INSERT INTO t FORMAT TSV", zstded.String(), []string{"Content-Encoding", "zstd"}},
		{"INSERT INTO t FORMAT TSV", lz4ed.String(), []string{"Content-Encoding", "lz4"}},
		{"", "INSERT INTO t VALUES (1, 'one; -- ''x'' '), (2, 'FORMAT CSV')", nil},
		{"INSERT INTO t (s, a) FORMAT CSV", "\"three\",3\n", nil},
		{"INSERT INTO t FORMAT JSONEachRow", `{"a": 4, "s": "four"}`, nil},
		{"", "insert into t settings max_threads=1 format TSV\n5\tfive\n", nil},
		{"INSERT INTO t VALUES", "(6, 'six')", nil},
		{"INSERT INTO t SELECT 7, 'seven'", "", nil},
		{"INSERT INTO t FORMAT TSV", zipped.String(), []string{"Content-Encoding", "gzip"}},
		{"INSERT INTO " + db + ".t (* EXCEPT(s)) FORMAT RowBinary", "\x09\x00\x00\x00", nil},
	} {
		params := q("database", db)
		if insert.query != "" {
			params.Set("query", insert.query)
		}
		if a := post(t, base, params, insert.body, insert.header...); a.status != 200 {
			t.Errorf("%s %.60q: %d %s", insert.query, insert.body, a.status, a.body)
		}
	}
	want := "1\tone; -- \\'x\\' \n2\tFORMAT CSV\n3\tthree\n4\tfour\n5\tfive\n6\tsix\n7\tseven\n8\teight\n9\t\n10\tten\n11\televen\n"
	if a := get(t, base, q("database", db, "query", "SELECT * FROM t ORDER BY a")); a.body != want {
		t.Errorf("got %q, want %q", a.body, want)
	}
	// Binary rows that look like SQL, zeros and all.
	body := "\x14\x00\x00\x00\x06';\x00\xff\n\\\x15\x00\x00\x00\x00"
	if a := post(t, base, q("database", db, "query", "INSERT INTO t FORMAT RowBinary"), body); a.status != 200 {
		t.Fatal(a.body)
	} else if s := decode(t, a.header.Get("X-ClickHouse-Summary")); s["written_rows"] != "2" {
		t.Errorf("the summary says %v", s)
	}
	if a := get(t, base, q("database", db, "query", "SELECT hex(s) FROM t WHERE a = 20")); a.body != "273B00FF0A5C\n" {
		t.Errorf("binary row: %q", a.body)
	}
	// A row that does not parse refuses all rows of the insert.
	if a := post(t, base, q("database", db, "query", "INSERT INTO t FORMAT TSV"), "30\tx\nabc\ty\n"); a.status != 400 {
		t.Errorf("bad row: %d %s", a.status, a.body)
	}
	if a := get(t, base, q("database", db, "query", "SELECT count() FROM t")); a.body != "13\n" {
		t.Errorf("%q rows, want 13", a.body)
	}
}

func TestInsertThatBreaksOffIsNotBegun(t *testing.T) {
	s := engine(t)
	db := database(t, open(t, s, ""))
	post(t, s.URL(), q("database", db), "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", s.URL()+"/?"+q("database", db, "query", "INSERT INTO t FORMAT TSV").Encode(),
		&endless{line: "1\n", after: 100_000, then: cancel})
	must(t, err)
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Fatal("an endless insert was answered")
	}
	// Whatever the front does with it would be done before this one's answer,
	// or shows in the count below.
	eventually(t, "the statement is gone", func() bool {
		return get(t, s.URL(), q("query", "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO t%'")).body == "0\n"
	})
	if a := get(t, s.URL(), q("database", db, "query", "SELECT count() FROM t")); a.body != "0\n" {
		t.Errorf("%q rows of a broken insert", a.body)
	}
}

// endless gives a line again and again, and calls then on the way.
type endless struct {
	line  string
	after int
	then  func()
}

func (e *endless) Read(p []byte) (int, error) {
	if e.after--; e.after == 0 {
		e.then()
	}
	return copy(p, e.line), nil
}

func TestLargeAnswersStream(t *testing.T) {
	base := engine(t).URL()
	for format, want := range map[string]int{"TSV": 588890, "JSONCompactEachRow": 788890, "CSVWithNames": 588899} {
		a := get(t, base, q("query", "SELECT number FROM numbers(100000) FORMAT "+format))
		if len(a.body) != want {
			t.Errorf("%s: %d bytes, want %d", format, len(a.body), want)
		}
	}
	a := get(t, base, q("query", "SELECT number, repeat('x', 100) AS s FROM numbers(200000) FORMAT JSON"))
	if rows := decode(t, a.body)["rows"]; rows != 200000.0 {
		t.Errorf("%v rows", rows)
	}
}

func TestAnswersAreCompressed(t *testing.T) {
	base := engine(t).URL()
	plain := get(t, base, q("query", "SELECT number, repeat('x', 50) FROM numbers(20000)"))
	for accepted, want := range map[string]string{
		"gzip": "gzip", "deflate": "deflate", "lz4": "lz4", "zstd": "zstd", "br": "", "identity": "",
		"gzip, deflate": "gzip", "GZIP;q=0.5, zstd; q=0.0, br": "gzip", "gzip;q=0": "", "lz4,zstd": "zstd",
	} {
		a := get(t, base, q("query", "SELECT number, repeat('x', 50) FROM numbers(20000)", "enable_http_compression", "1"), "Accept-Encoding", accepted)
		if got := a.header.Get("Content-Encoding"); got != want {
			t.Errorf("%s: answered in %q, want %q", accepted, got, want)
			continue
		}
		var body io.Reader = strings.NewReader(a.body)
		var err error
		switch want {
		case "gzip":
			body, err = gzip.NewReader(body)
		case "deflate":
			body, err = zlib.NewReader(body)
		case "lz4":
			body = lz4.NewReader(body)
		case "zstd":
			body, err = zstd.NewReader(body)
		}
		if err != nil {
			t.Errorf("%s: %v", accepted, err)
			continue
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != plain.body {
			t.Errorf("%s: %d bytes, %v; want %d", accepted, len(got), err, len(plain.body))
		}
		if want != "" && len(a.body) > len(plain.body)/2 {
			t.Errorf("%s: %d bytes of %d", accepted, len(a.body), len(plain.body))
		}
	}
}

func TestFailureWithinAnAnswer(t *testing.T) {
	base := engine(t).URL()
	a := get(t, base, q("query", "SELECT throwIf(number = 3000000, 'too far') FROM numbers(10000000)", "max_block_size", "10000", "max_threads", "1"))
	tag := a.header.Get("X-ClickHouse-Exception-Tag")
	if a.status != 200 || len(tag) != 16 {
		t.Fatalf("%d, tag %q", a.status, tag)
	}
	_, frame, found := strings.Cut(a.body, "\r\n__exception__\r\n"+tag+"\r\n")
	if !found || !strings.HasPrefix(frame, "Code: 395. DB::Exception: too far") || !strings.HasSuffix(frame, " "+tag+"\r\n__exception__\r\n") {
		t.Errorf("the body ends with %q", a.body[max(0, len(a.body)-300):])
	}
}

func TestClientThatLeavesCancels(t *testing.T) {
	base := engine(t).URL()
	for _, query := range []string{
		"SELECT count() AS left_count FROM numbers(1000000000000)", // writes nothing for long
		"SELECT number AS left_rows FROM numbers(1000000000000)",   // writes much
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", base+"/?"+q("query", query).Encode(), nil)
		must(t, err)
		done := make(chan error, 1)
		go func() {
			resp, err := http.DefaultClient.Do(r)
			if err == nil {
				defer resp.Body.Close()
				<-ctx.Done()
			}
			done <- err
		}()
		running := func() string {
			return get(t, base, q("query", "SELECT count() FROM system.processes WHERE query LIKE '%AS left_%' AND query NOT LIKE '%processes%'")).body
		}
		eventually(t, "the statement runs", func() bool { return running() == "1\n" })
		cancel()
		<-done
		started := time.Now()
		eventually(t, "the statement is cancelled", func() bool { return running() == "0\n" })
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("cancelling took %s", took)
		}
	}
}
