package readmodels_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
)

// engineVerb makes this test binary the engine's child process.
const engineVerb = "clickhouse-engine"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == engineVerb {
		os.Exit(engine(os.Args[2:]))
	}
	flag.Parse()
	_ = flag.Set("rapid.checks", "15") // each asks the engine many times
	code := m.Run()
	stopEngine()
	os.Exit(code)
}

func engine(args []string) int {
	flags := flag.NewFlagSet(engineVerb, flag.ExitOnError)
	dir := flags.String("dir", "", "")
	addr := flags.String("addr", "", "")
	_ = flags.Parse(args)
	err := clickhouse.RunServer(context.Background(), clickhouse.ServerOptions{
		Dir: *dir, Addr: *addr, Stdin: os.Stdin, Logger: slog.New(slog.DiscardHandler), Ready: clickhouse.PrintReady(os.Stdout),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// One engine serves the whole package: it takes a second to start.
var (
	engineDir string
	running   *clickhouse.Supervised
	startOnce = sync.OnceValue(startEngine)
	databases atomic.Int32
)

func startEngine() (err error) {
	if engineDir, err = os.MkdirTemp("", "recapito-readmodels"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	running, err = clickhouse.Start(ctx, clickhouse.SupervisorOptions{
		Args: []string{engineVerb}, Dir: engineDir, Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Readers: []clickhouse.Reader{biReader},
	})
	return err
}

func stopEngine() {
	if running != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = running.Close(ctx)
	}
	if engineDir != "" {
		_ = os.RemoveAll(engineDir)
	}
}

// open answers a connection on an empty database of the test's own.
func open(t testing.TB) driver.Conn {
	t.Helper()
	if err := startOnce(); err != nil {
		t.Fatalf("starting the engine: %v", err)
	}
	url := fmt.Sprintf("%s/test_%d", running.URL(), databases.Add(1))
	if err := clickhouse.CreateDatabase(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
