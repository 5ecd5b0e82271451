package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// The main job, as `make run` does it: every sample final, and the ledger, the
// simulator and the EDR tell the same.
func TestSandboxSendsAndAgrees(t *testing.T) {
	t.Parallel()
	p := start(t, "sandbox", "--exit-after", "40", "--http", "127.0.0.1:0", "--data", t.TempDir())
	p.wait(3 * time.Minute)
	wantSandboxOutput(t, p.out.String(), 40)
}

// The same over an event store of its own: nothing but a URL is different.
func TestSandboxOverAnEventStoreOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, addr := startEventlog(t, dir)
	p := startWith(t, []string{"RECAPITO_EVENTSTORE_URL=esdb://" + addr + "?tls=false"},
		"sandbox", "--exit-after", "20", "--http", "127.0.0.1:0", "--data", filepath.Join(dir, "instance"))
	p.wait(3 * time.Minute)
	wantSandboxOutput(t, p.out.String(), 20)
	store.stop()
	if _, err := os.Stat(filepath.Join(dir, "instance", "events")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the instance has an event store too: %v", err)
	}
	log, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(dir, "events")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	requested := 0
	if err := log.ReadAll(t.Context(), event.AllRead{Filter: event.Filter{Types: []string{"NotificationRequested"}}}, func(event.Recorded) error {
		requested++
		return nil
	}); err != nil || requested != 20 {
		t.Errorf("the store has %d requests, want 20: %v", requested, err)
	}
}

// startEventlog starts `recapito eventlog serve` on a folder and a free port.
func startEventlog(t *testing.T, dir string) (*process, string) {
	t.Helper()
	p := start(t, "eventlog", "serve", "--data", dir, "--addr", "127.0.0.1:0")
	var addr string
	eventually(t, time.Minute, func() (err error) {
		var ok bool
		if addr, _, ok = strings.Cut(p.out.String(), "\n"); !ok {
			err = errors.New("it has not said its address")
		}
		return err
	})
	return p, addr
}

func wantSandboxOutput(t *testing.T, out string, n int) {
	t.Helper()
	if !regexp.MustCompile(fmt.Sprintf(`(?m)^%d sent, \d+ delivered, \d+ failed$`, n)).MatchString(out) {
		t.Error("the closing line is missing")
	}
	for _, word := range []string{"requested", "enriched", "scheduled", "dispatched", "sent", "delivered"} {
		if !regexp.MustCompile(`(?m)^\S+ \S+  \S+  ` + word + `$`).MatchString(out) {
			t.Errorf("the timeline shows no %q", word)
		}
	}
}
