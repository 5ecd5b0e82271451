package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/backup"
	"recapito/adapters/eventlog/maintenance"
	"recapito/domain/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet(uint64, uint64) {}

func open(t testing.TB, dir string) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func add(ctx context.Context, log *eventlog.Log, stream string, events int) error {
	all := make([]event.New, events)
	for i := range all {
		all[i] = event.New{ID: uuid.NewString(), Type: "T", Data: []byte(`{"x":"` + strings.Repeat(uuid.NewString(), 20) + `"}`)}
	}
	_, err := log.Append(ctx, stream, event.Any(), all)
	return err
}

// back makes a generation of an open log.
func back(t testing.TB, log *eventlog.Log, to string) backup.Report {
	t.Helper()
	checkpoint, err := log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	report, err := backup.Make(t.Context(), checkpoint, to, time.Now(), quiet)
	if err := errors.Join(err, log.RemoveCheckpoint(checkpoint)); err != nil {
		t.Fatal(err)
	}
	return report
}

// restored restores a generation, checks it and returns its newest position.
func restored(t testing.TB, from, generation string) event.Position {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data", "events")
	if name, err := backup.Restore(t.Context(), from, generation, dir, quiet); err != nil || generation != "" && name != generation {
		t.Fatalf("restored %s: %v", name, err)
	}
	i, err := maintenance.Inspect(maintenance.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.Check(t.Context(), func(p maintenance.Problem) { t.Errorf("generation %s: %s", generation, p) }, quiet)
	if err := errors.Join(err, i.Close()); err != nil {
		t.Fatal(err)
	}
	log := open(t, dir)
	defer log.Close()
	if err := add(t.Context(), log, "after", 1); err != nil {
		t.Errorf("append to the restored log: %v", err)
	}
	return log.Last() - 1
}

// TestUnderLoad makes generations while others append: each restores to a complete log with
// everything that was acknowledged before it, and a later one copies what is new.
func TestUnderLoad(t *testing.T) {
	log, to := open(t, t.TempDir()), filepath.Join(t.TempDir(), "backups")
	if err := add(t.Context(), log, "old", 1000); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := add(ctx, log, fmt.Sprintf("w%d-%d", n, i%100), 1+i%3); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	acknowledged := map[string]event.Position{}
	var names []string
	for range 3 {
		before := log.Last()
		report := back(t, log, to)
		names = append(names, report.Generation)
		acknowledged[report.Generation] = before
	}
	stop()
	writers.Wait()
	for _, name := range names {
		if last := restored(t, to, name); last < acknowledged[name] {
			t.Errorf("generation %s ends at %d, %d was acknowledged before it", name, last, acknowledged[name])
		}
	}
	if got, err := backup.Generations(to); err != nil || fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("generations %v, %v, want %v", got, err, names)
	}
}

// flushed closes and opens a log, so that what it holds is in tables.
func flushed(t testing.TB, dir string, streams ...string) *eventlog.Log {
	t.Helper()
	for _, s := range streams {
		log := open(t, dir)
		if err := errors.Join(add(t.Context(), log, s, 400), log.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, dir)
}

func TestIncremental(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	log := flushed(t, dir, "a", "b", "c")
	first := back(t, log, to)
	if first.CopiedBytes != first.Bytes || first.Bytes < 100_000 {
		t.Errorf("first: %+v", first)
	}
	if err := errors.Join(add(t.Context(), log, "d", 1), log.Close()); err != nil {
		t.Fatal(err)
	}
	log = flushed(t, dir)
	second := back(t, log, to)
	if second.CopiedBytes > second.Bytes/4 {
		t.Errorf("second: %+v", second)
	}
	if a, b := restored(t, to, first.Generation), restored(t, to, ""); a != 1200 || b != 1201 {
		t.Errorf("restored up to %d and %d", a, b)
	}
	removed, err := backup.Prune(to, 1)
	if err != nil || len(removed) != 1 || removed[0] != first.Generation {
		t.Errorf("removed %v, %v", removed, err)
	}
	if got := restored(t, to, ""); got != 1201 {
		t.Errorf("after pruning: %d", got)
	}
	files, err := os.ReadDir(filepath.Join(to, "files"))
	if err != nil || len(files) > second.Files {
		t.Errorf("%d files for %d, %v", len(files), second.Files, err)
	}
}

// TestCutShort ends a backup at every file: what was there stays complete, and the next one
// uses what was copied.
func TestCutShort(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	log := flushed(t, dir, "a")
	first := back(t, log, to)
	if err := errors.Join(add(t.Context(), log, "b", 400), log.Close()); err != nil {
		t.Fatal(err)
	}
	log = flushed(t, dir, "c")
	checkpoint, err := log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.RemoveCheckpoint(checkpoint) }()
	files := 0
	for cut := 0; ; cut++ {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		report, err := backup.Make(ctx, checkpoint, to, time.Now(), func(uint64, uint64) {
			if n++; n > cut {
				cancel()
			}
		})
		cancel()
		if err == nil {
			files = report.Files
			if report.Copied > 2 {
				t.Errorf("what was copied before was copied again: %+v", report)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if names, err := backup.Generations(to); err != nil || len(names) != 1 {
			t.Fatalf("after %d files: %v, %v", cut, names, err)
		}
	}
	if files < 3 {
		t.Errorf("only %d files", files)
	}
	if a, b := restored(t, to, first.Generation), restored(t, to, ""); a != 400 || b != 1200 {
		t.Errorf("restored up to %d and %d", a, b)
	}
}

func TestRefusals(t *testing.T) {
	to := filepath.Join(t.TempDir(), "backups")
	log := flushed(t, t.TempDir(), "a")
	back(t, log, to)

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Make(t.Context(), t.TempDir(), foreign, time.Now(), quiet); err == nil || !strings.Contains(err.Error(), "no backup: letter.txt") {
		t.Errorf("into a folder with something else: %v", err)
	}
	if _, err := backup.Restore(t.Context(), t.TempDir(), "", filepath.Join(t.TempDir(), "x"), quiet); err == nil || !strings.Contains(err.Error(), "there is no backup in") {
		t.Errorf("of an empty folder: %v", err)
	}
	taken := t.TempDir()
	if _, err := backup.Restore(t.Context(), to, "", taken, quiet); err == nil || !strings.Contains(err.Error(), "overwrites nothing") {
		t.Errorf("over a folder: %v", err)
	}

	// One bit, or one byte less, of any file: nothing is restored.
	files, err := filepath.Glob(filepath.Join(to, "files", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	manifests, err := filepath.Glob(filepath.Join(to, "generations", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, manifests...) {
		good, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(good) == 0 {
			continue
		}
		flipped := append([]byte(nil), good...)
		flipped[len(good)/2] ^= 1
		for _, bad := range [][]byte{flipped, good[:len(good)-2]} {
			if err := os.WriteFile(f, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			parent := t.TempDir()
			if _, err := backup.Restore(t.Context(), to, "", filepath.Join(parent, "events"), quiet); err == nil {
				t.Errorf("%s is broken and was restored", filepath.Base(f))
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		}
		if err := os.WriteFile(f, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	restored(t, to, "")
}
