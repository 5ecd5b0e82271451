package projections_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
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
	os.Exit(m.Run())
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

// startEngine starts an engine on a folder and answers its supervisor.
func startEngine(t testing.TB, dir string) *clickhouse.Supervised {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := clickhouse.Start(ctx, clickhouse.SupervisorOptions{
		Args: []string{engineVerb}, Dir: dir, Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("starting the engine: %v", err)
	}
	t.Cleanup(func() { stopEngine(t, s) })
	return s
}

func stopEngine(t testing.TB, s *clickhouse.Supervised) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("stopping the engine: %v", err)
	}
}

func connect(t testing.TB, s *clickhouse.Supervised) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
