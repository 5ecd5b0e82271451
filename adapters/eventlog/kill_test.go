package eventlog

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"recapito/domain/event"
)

var kills = flag.Int("eventlog.kills", 5, "times to kill a process")

// childDir makes the test binary a process that appends until it is killed.
const childDir = "EVENTLOG_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendUntilKilled(dir)
		os.Exit(1) // it was not killed
	}
	if inChild() {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// appendUntilKilled prints "stream revision id" of every event acknowledged.
func appendUntilKilled(dir string) {
	log, err := Open(Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				stream := fmt.Sprintf("s-%d-%d-%s", w, n, uuid.NewString())
				events := someEvents(1 + n%3)
				a, err := log.Append(context.Background(), stream, event.NoStream(), events)
				out.Lock()
				if err != nil {
					fmt.Println("error", err)
					out.Unlock()
					return
				}
				fmt.Println(stream, a.Revision, events[len(events)-1].ID)
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKill kills a real process under load, again and again on one folder.
func TestKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	type last struct {
		revision event.Revision
		id       string
	}
	acked := map[string]last{}
	lives := *kills
	if testing.Short() {
		lives = 2
	}
	for life := range lives {
		child := exec.Command(self)
		child.Env = append(os.Environ(), childDir+"="+dir)
		pipe, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		killAfter := 100 + rand.IntN(600)
		watchdog := time.AfterFunc(patience, func() { _ = child.Process.Kill() })
		for n := 0; lines.Scan(); n++ {
			line := lines.Text()
			if strings.HasPrefix(line, "error") {
				t.Errorf("child: %s", line)
				break
			}
			var stream, id string
			var revision event.Revision
			if _, err := fmt.Sscan(line, &stream, &revision, &id); err == nil && len(id) == canonicalIDLength {
				acked[stream] = last{revision, id}
			}
			if n == killAfter {
				_ = child.Process.Kill() // SIGKILL; what it printed before is read on
			}
		}
		watchdog.Stop()
		_ = child.Process.Kill()
		_ = child.Wait()

		log, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatalf("open after kill %d: %v", life, err)
		}
		for stream, want := range acked {
			got := streamOf(t, log, stream, event.Backwards)
			if len(got) == 0 || got[0].Revision != want.revision || got[0].ID != want.id {
				t.Fatalf("after kill %d: an acknowledged append of %d events is lost", life, want.revision+1)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) < lives*100 {
		t.Errorf("only %d appends acknowledged in all", len(acked))
	}
}
