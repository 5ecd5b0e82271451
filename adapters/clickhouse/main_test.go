package clickhouse_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
	"recapito/adapters/clickhouse/clickhousetest"
)

// roleEnv makes the test binary the parent of an engine that is to be killed.
const roleEnv = "RECAPITO_CLICKHOUSE_TEST_ROLE"

func TestMain(m *testing.M) {
	os.Exit(clickhousetest.Run(func() int {
		if os.Getenv(roleEnv) == "parent" {
			return parentMain(os.Args[1:])
		}
		return m.Run()
	}))
}

// parentMain supervises an engine until it is killed, after printing the
// engine's process id and address.
func parentMain(args []string) int {
	s, err := clickhouse.Start(context.Background(), childOptions(args[0]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(s.PID(), s.URL())
	select {}
}

func childOptions(dir string, args ...string) clickhouse.SupervisorOptions {
	return clickhousetest.Options(dir, args...)
}

func needLibrary(tb testing.TB) { clickhousetest.NeedLibrary(tb) }

// engine returns the engine that the tests of this package share.
func engine(tb testing.TB) *clickhouse.Supervised { return clickhousetest.Shared(tb) }

// own starts an engine that the test may hurt.
func own(t *testing.T, dir string) *clickhouse.Supervised { return start(t, childOptions(dir)) }

func start(t *testing.T, o clickhouse.SupervisorOptions) *clickhouse.Supervised {
	return clickhousetest.Start(t, o)
}

func open(tb testing.TB, s *clickhouse.Supervised, params string) driver.Conn {
	tb.Helper()
	conn, err := clickhouse.Open(s.URL() + params)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// database makes a database for one test.
func database(tb testing.TB, conn driver.Conn) string {
	tb.Helper()
	name := "t_" + strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, tb.Name()))
	must(tb, conn.Exec(context.Background(), "CREATE DATABASE "+name))
	tb.Cleanup(func() { must(tb, conn.Exec(context.Background(), "DROP DATABASE "+name+" SYNC")) })
	return name
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// post sends a statement as curl would.
func post(tb testing.TB, base string, params url.Values, body string, header ...string) answer {
	tb.Helper()
	a, err := send(http.MethodPost, base, params, body, header...)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func get(tb testing.TB, base string, params url.Values, header ...string) answer {
	tb.Helper()
	a, err := send(http.MethodGet, base, params, "", header...)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// at gets a bare URL.
func at(tb testing.TB, u string) answer {
	tb.Helper()
	resp, err := http.Get(u)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(tb, err)
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func send(method, base string, params url.Values, body string, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, base+"/?"+params.Encode(), strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

func (a answer) code() string { return a.header.Get("X-ClickHouse-Exception-Code") }

// eventually polls until ok or a generous deadline.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not in time: %s", what)
		}
	}
}

func decode(tb testing.TB, text string) map[string]any {
	tb.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		tb.Fatalf("not JSON: %v: %.200s", err, text)
	}
	return v
}
