package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"recapito/adapters/eventlog/maintenance"
)

func TestEventlogOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lines := `{"stream":"a-1","revision":0,"position":167,"id":"f78f41f1-a671-4096-adee-e0c8670fd1ef","type":"T","data":{"x" : 1},"created":"2020-01-12T18:14:13.990951007Z"}
{"stream":"a-1","revision":1,"position":1788,"id":"f78f41f1-a671-4096-adee-e0c8670fd1f0","type":"T"}
`
	file := writeFile(t, "events.jsonl", lines)
	for _, want := range []string{"2 events imported, 0 stood there already", "0 events imported, 2 stood there already"} {
		out, err := verb(t, "eventlog", "import", "--data", dir, file)
		if err != nil || !strings.Contains(out, want) || !strings.Contains(out, "last position is 1788") {
			t.Errorf("%v: %q, want %q", err, out, want)
		}
	}
	bad := writeFile(t, "bad.jsonl", lines+`{"stream":"a-1","revision":7,"id":"f78f41f1-a671-4096-adee-e0c8670fd1f1","type":"T"}`)
	if _, err := verb(t, "eventlog", "import", "--data", dir, bad); err == nil || !strings.Contains(err.Error(), "line 3: wrong expected version: a-1 is at revision 1, not revision 6") {
		t.Errorf("a gap in a stream: %v", err)
	}

	if out := mustVerb(t, "eventlog", "check", "--data", dir); !strings.Contains(out, "2 events in 1 streams and 0 links checked in ") || !strings.HasSuffix(out, ": 0 problems\n") {
		t.Errorf("check: %q", out)
	}
	out := mustVerb(t, "eventlog", "stats", "--data", dir)
	for _, want := range []string{"events             2\n", "last               position 1788, 20", "\n        1       2  a\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("stats print\n%s\nwithout %q", out, want)
		}
	}
	var s maintenance.Stats
	if err := json.Unmarshal([]byte(mustVerb(t, "eventlog", "stats", "--json", "--data", dir)), &s); err != nil || s.Events != 2 || s.Last.Position != 1788 {
		t.Errorf("stats --json: %+v, %v", s, err)
	}
	breakTables(t, filepath.Join(dir, "events"))
	if out, err := verb(t, "eventlog", "check", "--data", dir); err == nil || !strings.Contains(err.Error(), "exit 1") {
		t.Errorf("check of broken tables: %v\n%s", err, out)
	}
}

// breakTables flips a bit in the middle of every table of a store.
func breakTables(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(f, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventlogOfOneThatRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := writeFile(t, "events.jsonl", "")
	p, _ := startEventlog(t, dir)
	t.Cleanup(p.stop)
	for _, args := range [][]string{{"import", file}, {"stats"}, {"check"}} {
		_, err := verb(t, append(append([]string{"eventlog"}, args...), "--data", dir)...)
		if err == nil || !strings.Contains(err.Error(), "is another recapito running on this folder?") {
			t.Errorf("%s: %v", args[0], err)
		}
	}
}

// TestEventlogBackup: of a store that is served and of one that is not, by a process that
// is killed in the midst too; what is restored passes the check.
func TestEventlogBackup(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Parallel()
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	if _, err := verb(t, "eventlog", "backup", "--data", filepath.Join(dir, "nothing"), "--to", to); err == nil || !strings.Contains(err.Error(), "there is no event log in") {
		t.Errorf("of nothing: %v", err)
	}
	fillStore(t, dir, 2000)
	if out := mustVerb(t, "eventlog", "backup", "--data", dir, "--to", to); !strings.Contains(out, "generation ") {
		t.Error(out)
	}
	p, _ := startEventlog(t, dir)
	t.Cleanup(p.stop)
	for range 3 {
		cut := start(t, "eventlog", "backup", "--data", dir, "--to", to)
		eventually(t, time.Minute, func() error { // it has begun, or is done
			if there, _ := os.ReadDir(filepath.Join(dir, "events", "checkpoints")); len(there) > 0 {
				return nil
			}
			select {
			case <-cut.waited:
				return nil
			default:
				return errors.New("it has not begun")
			}
		})
		_ = cut.cmd.Process.Signal(syscall.SIGKILL)
		<-cut.waited
	}
	mustVerb(t, "eventlog", "backup", "--data", dir, "--to", to, "--keep", "1")
	eventually(t, time.Minute, func() error { // the server forgets those who went away
		left, err := os.ReadDir(filepath.Join(dir, "events", "checkpoints"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d checkpoints are left", len(left))
		}
		return err
	})
	if names := strings.Fields(mustVerb(t, "eventlog", "restore", "--from", to, "--list")); len(names) != 1 {
		t.Errorf("generations %q", names)
	}
	again := filepath.Join(t.TempDir(), "again")
	mustVerb(t, "eventlog", "restore", "--from", to, "--data", again)
	if out := mustVerb(t, "eventlog", "check", "--data", again); !strings.Contains(out, "2,000 events in ") {
		t.Error(out)
	}
	if _, err := verb(t, "eventlog", "restore", "--from", to, "--data", again); err == nil || !strings.Contains(err.Error(), "a restore overwrites nothing") {
		t.Errorf("over a store: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "events", "checkpoints.json")); err != nil {
		t.Error(err)
	}
	if _, err := verb(t, "eventlog", "backup", "--data", dir, "--to", to); err == nil || !strings.Contains(err.Error(), "is another recapito running on this folder?") {
		t.Errorf("of a store whose checkpoint listener is not found: %v", err)
	}
}
