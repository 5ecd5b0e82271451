package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// The main job, as `make run` does it: every sample final, and the ledger, the
// simulator and the EDR agree.
func TestSandboxSendsAndAgrees(t *testing.T) {
	inEveryWorld(t, sandboxSendsAndAgrees)
}

func sandboxSendsAndAgrees(t *testing.T, w *world) {
	const samples = 40
	p := startWith(t, w.variables(), "sandbox", "--exit-after", strconv.Itoa(samples), "--http", "127.0.0.1:0", "--data", w.dir)
	p.wait(3 * time.Minute)
	wantSandboxOutput(t, p.out.String(), samples)
	if w.outside() { // and nothing but URLs is different
		w.store.now.stop()
		for _, engine := range []string{"events", "kafka", "clickhouse"} {
			if _, err := os.Stat(filepath.Join(w.dir, engine)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the instance has an engine %s too: %v", engine, err)
			}
		}
	}
	log, err := eventlog.Open(eventlog.Options{Dir: w.events()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	requested := 0
	if err := log.ReadAll(t.Context(), event.AllRead{Filter: event.Filter{Types: []string{"NotificationRequested"}}}, func(event.Recorded) error {
		requested++
		return nil
	}); err != nil || requested != samples {
		t.Errorf("the store has %d requests, want %d: %v", requested, samples, err)
	}
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
