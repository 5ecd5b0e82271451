package clickhouse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"recapito/adapters/clickhouse"
)

// Killed with -9 under four writers, three times (ten in the full tests): it comes back by itself on
// its address, no acknowledged insert is lost, and none is there in part.
func TestKilledEngineComesBackWhole(t *testing.T) {
	s := own(t, t.TempDir())
	url := s.URL()
	conn := open(t, s, "")
	ctx := t.Context()
	must(t, conn.Exec(ctx, "CREATE TABLE acked (tenant String DEFAULT '', writer UInt8, n UInt64, row UInt16) ENGINE = MergeTree ORDER BY (writer, n) SETTINGS non_replicated_deduplication_window = 1000"))
	const writers, batchRows, ackedBetween = 4, 500, 12
	kills := 3
	if os.Getenv("RECAPITO_TEST_FULL") != "" {
		kills = 10
	}

	var acked [writers]atomic.Uint64 // the highest n acknowledged
	var total atomic.Uint64
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			again := false
			for n := uint64(1); ; {
				select {
				case <-stop:
					return
				default:
				}
				// The same batch again until it is acknowledged. Only the first time
				// it has a token: the engine may remember that of a batch whose rows
				// it lost as it was killed.
				err := func() error {
					ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
					defer cancel()
					if !again {
						ctx = clickhousego.Context(ctx, clickhousego.WithSettings(clickhousego.Settings{"insert_deduplication_token": fmt.Sprintf("%d-%d", w, n)}))
					}
					batch, err := conn.PrepareBatch(ctx, "INSERT INTO acked (writer, n, row)")
					if err != nil {
						return err
					}
					for row := range batchRows {
						if err := batch.Append(uint8(w), n, uint16(row)); err != nil {
							return err
						}
					}
					return batch.Send()
				}()
				if again = err != nil; again {
					time.Sleep(20 * time.Millisecond) // it is coming back
					continue
				}
				acked[w].Store(n)
				total.Add(1)
				n++
			}
		})
	}
	for range kills {
		goal := total.Load() + ackedBetween
		eventually(t, "inserts are acknowledged", func() bool { return total.Load() >= goal })
		pid, restarts := s.PID(), s.Restarts()
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, "the death is noticed", func() bool { return s.PID() != pid })
		if s.Restarts() == restarts && s.State() == nil {
			t.Error("ready without an engine")
		}
		eventually(t, "it is back", func() bool { return s.Restarts() == restarts+1 && s.State() == nil })
	}
	goal := total.Load() + ackedBetween
	eventually(t, "inserts are acknowledged again", func() bool { return total.Load() >= goal })
	close(stop)
	wait.Wait()
	if s.URL() != url {
		t.Errorf("it moved from %s to %s", url, s.URL())
	}
	for w := range writers {
		n := acked[w].Load()
		var rows, batches, partial uint64
		must(t, conn.QueryRow(ctx, `SELECT sum(c), count(), countIf(c % ? != 0 OR u != ?) FROM
			(SELECT n, count() AS c, uniqExact(row) AS u FROM acked WHERE writer = ? GROUP BY n)`, batchRows, batchRows, w).Scan(&rows, &batches, &partial))
		if batches != n || partial != 0 {
			t.Errorf("writer %d: %d batches acknowledged, %d there with %d rows, %d of them wrong", w, n, batches, rows, partial)
		}
	}
}

// A child that is there but answers nothing is killed and started again.
func TestHungEngineIsStartedAgain(t *testing.T) {
	needLibrary(t)
	o := childOptions(t.TempDir())
	o.HangAfter = 3 * time.Second
	s := start(t, o)
	pid := s.PID()
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	eventually(t, "it is told that it hangs", func() bool { return s.State() != nil })
	eventually(t, "it is back", func() bool { return s.Restarts() == 1 && s.State() == nil })
	if s.PID() == pid {
		t.Error("the same child")
	}
	if a := get(t, s.URL(), q("query", "SELECT 1")); a.body != "1\n" {
		t.Errorf("it answers %d %s", a.status, a.body)
	}
}

// The engine looks into its process's stdin with every insert, in a way that may block
// for ever where two do it at once: it must find nothing there.
func TestEngineHasNoStdin(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the descriptors of another process are read from /proc")
	}
	stdin, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", engine(t).PID()))
	if err != nil || stdin != os.DevNull {
		t.Errorf("the engine's stdin is %s, %v", stdin, err)
	}
}

// However the parent dies, the child ends, and the next one has the folder
// within ten seconds.
func TestKilledParentLeavesNothing(t *testing.T) {
	needLibrary(t)
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	parent := exec.Command(self, dir)
	parent.Env = append(os.Environ(), roleEnv+"=parent")
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	var pid int
	var url string
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	if _, err := fmt.Sscan(line, &pid, &url); err != nil {
		t.Fatal(err)
	}
	if a := post(t, url, nil, "CREATE TABLE kept (tenant String DEFAULT '', a Int8) ENGINE = MergeTree ORDER BY a"); a.status != 200 {
		t.Fatal(a.body)
	}
	if a := post(t, url, nil, "INSERT INTO kept (a) VALUES (1)"); a.status != 200 {
		t.Fatal(a.body)
	}
	must(t, parent.Process.Kill())
	_ = parent.Wait() // killed, as wanted
	started := time.Now()
	s := own(t, dir)
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("the successor took %s", took)
	}
	if a := get(t, s.URL(), q("query", "SELECT count() FROM kept")); a.body != "1\n" {
		t.Errorf("%q rows are left", a.body)
	}
	eventually(t, "the old child is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

// A folder that another engine holds is waited for.
func TestLockedFolderIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	first := own(t, dir)
	second := make(chan error, 1)
	go func() {
		s, err := clickhouse.Start(context.Background(), childOptions(dir))
		if err == nil {
			err = s.Close(context.Background())
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("the second did not wait: %v", err)
	case <-time.After(2 * time.Second): // long enough for it to find the lock
	}
	must(t, first.Close(context.Background()))
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestCloseDrains(t *testing.T) {
	s := own(t, t.TempDir())
	done := make(chan answer, 1)
	go func() {
		a, err := send("GET", s.URL(), q("query", "SELECT sleep(2) AS draining"), "")
		if err != nil {
			a.body = err.Error()
		}
		done <- a
	}()
	eventually(t, "the statement runs", func() bool {
		return get(t, s.URL(), q("query", "SELECT count() FROM system.processes WHERE query LIKE '%AS draining%' AND query NOT LIKE '%processes%'")).body == "1\n"
	})
	must(t, s.Close(context.Background()))
	if a := <-done; a.body != "0\n" {
		t.Errorf("the running request was answered %d %q", a.status, a.body)
	}
	if s.State() == nil {
		t.Error("still ready")
	}
	if _, err := send("GET", s.URL(), nil, ""); err == nil {
		t.Error("still answers")
	}
}

func TestMissingLibrarySaysHowToGetIt(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nosuch.so")
	text := filepath.Join(t.TempDir(), "text.so")
	must(t, os.WriteFile(text, []byte("not a library"), 0o600))
	for _, path := range []string{missing, text} {
		t.Setenv(clickhouse.LibraryEnv, path)
		_, err := clickhouse.Start(t.Context(), childOptions(t.TempDir()))
		if err == nil || !strings.Contains(err.Error(), "make clickhouse-library") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	t.Setenv(clickhouse.LibraryEnv, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := clickhouse.LibraryPath(); !errors.Is(err, clickhouse.ErrNoLibrary) {
		t.Errorf("an empty cache: %v", err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0", "nonsense"} {
		o := childOptions(t.TempDir())
		o.Addr = addr
		if _, err := clickhouse.Start(t.Context(), o); err == nil {
			t.Errorf("%s is accepted", addr)
		}
	}
}

func TestScriptFetchesThisVersion(t *testing.T) {
	script, err := os.ReadFile("../../deploy/clickhouse-library.sh")
	must(t, err)
	if !strings.Contains(string(script), "\nversion="+clickhouse.LibraryVersion+" ") {
		t.Errorf("deploy/clickhouse-library.sh fetches another version than %s", clickhouse.LibraryVersion)
	}
}
