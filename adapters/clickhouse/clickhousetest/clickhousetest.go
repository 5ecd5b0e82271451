// Package clickhousetest starts ClickHouse engines for the tests of any package. A
// package that uses it begins with
//
//	func TestMain(m *testing.M) { clickhousetest.Main(m) }
//
// since the engine runs in a child process, and that is the test binary once more.
//
// Shared returns the engine that the package's tests share, which takes a second to
// start, and Database a connection to an empty database on it. Start and New start an
// engine for one test alone. Without the ClickHouse library a test is skipped, but in CI
// it fails.
package clickhousetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
)

const (
	// childEnv is set in the engine's process.
	childEnv     = "RECAPITO_TEST_CLICKHOUSE_ENGINE"
	startTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
)

// Main runs the package's tests and ends the process.
func Main(m *testing.M) { os.Exit(Run(m.Run)) }

// Run is for a TestMain with work of its own: it calls run, stops the shared engine and
// returns the exit code. In the engine's process it runs the engine instead.
func Run(run func() int) (code int) {
	if os.Getenv(childEnv) != "" {
		return child(os.Args[1:])
	}
	code = run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// child is what the command line's clickhouse verb does.
func child(args []string) int {
	flags := flag.NewFlagSet("clickhouse", flag.ContinueOnError)
	dir, addr := flags.String("dir", "", ""), flags.String("addr", "", "")
	memory := flags.Int64("memory", 0, "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := clickhouse.RunServer(ctx, clickhouse.ServerOptions{
		Dir: *dir, Addr: *addr, Memory: *memory, Stdin: os.Stdin,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Ready: clickhouse.PrintReady(os.Stdout),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Options are those of an engine whose process is this test binary; args are added to
// the engine's own, such as "--memory", "1000000000".
func Options(dir string, args ...string) clickhouse.SupervisorOptions {
	return clickhouse.SupervisorOptions{Args: args, Env: []string{childEnv + "=1"}, Dir: dir, Addr: "127.0.0.1:0"}
}

// NeedLibrary skips the test where the ClickHouse library is missing; in CI it fails.
func NeedLibrary(tb testing.TB) {
	tb.Helper()
	if _, err := clickhouse.LibraryPath(); err != nil {
		if os.Getenv("CI") != "" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
}

// Start starts an engine that ends with the test.
func Start(tb testing.TB, o clickhouse.SupervisorOptions) *clickhouse.Supervised {
	tb.Helper()
	NeedLibrary(tb)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := clickhouse.Start(ctx, o)
	if err != nil {
		tb.Fatalf("starting the engine: %v", err)
	}
	tb.Cleanup(func() { Stop(tb, s) })
	return s
}

// Stop stops an engine before the test's end. It may be called again.
func Stop(tb testing.TB, s *clickhouse.Supervised) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		tb.Errorf("stopping the engine: %v", err)
	}
}

// New starts an engine on a new folder and returns a connection to it.
func New(tb testing.TB) driver.Conn {
	tb.Helper()
	return Connect(tb, Start(tb, Options(filepath.Join(tb.TempDir(), "clickhouse"))))
}

// Connect returns a connection to an engine, which ends with the test.
func Connect(tb testing.TB, s *clickhouse.Supervised) driver.Conn {
	tb.Helper()
	return open(tb, s.URL())
}

func open(tb testing.TB, url string) driver.Conn {
	tb.Helper()
	conn, err := clickhouse.Open(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// engine is the one that the tests of a package share.
type engine struct {
	once      sync.Once
	s         *clickhouse.Supervised
	dir       string
	err       error
	databases atomic.Int32
}

var shared engine

// Shared returns the engine that the tests of this package share. Readers are the users
// that it has besides the writer; those of the first call hold.
func Shared(tb testing.TB, readers ...clickhouse.Reader) *clickhouse.Supervised {
	tb.Helper()
	NeedLibrary(tb)
	shared.once.Do(func() { shared.err = shared.start(readers) })
	if shared.err != nil {
		tb.Fatalf("starting the engine: %v", shared.err)
	}
	return shared.s
}

func (e *engine) start(readers []clickhouse.Reader) (err error) {
	if e.dir, err = os.MkdirTemp("", "recapito-clickhouse-"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	o := Options(e.dir, "--memory", "1000000000")
	o.Readers = readers
	e.s, err = clickhouse.Start(ctx, o)
	return err
}

func (e *engine) stop() error {
	var problems []error
	if e.s != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		problems = append(problems, e.s.Close(ctx))
	}
	if e.dir != "" {
		problems = append(problems, os.RemoveAll(e.dir))
	}
	return errors.Join(problems...)
}

// Database returns a connection to an empty database on the shared engine, for this test
// alone.
func Database(tb testing.TB, readers ...clickhouse.Reader) driver.Conn {
	tb.Helper()
	url := fmt.Sprintf("%s/test_%d", Shared(tb, readers...).URL(), shared.databases.Add(1))
	if err := clickhouse.CreateDatabase(tb.Context(), url); err != nil {
		tb.Fatal(err)
	}
	return open(tb, url)
}
