package cmd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventstore"
	"recapito/domain/catalogue"
	"recapito/domain/event"
)

// fillStore writes a store's folder as an instance would: ledger events of many streams,
// marks, deadlines of a closed and of an open minute, checkpoints; some of them binary.
func fillStore(t *testing.T, dir string, events int) {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(dir, "events")})
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]event.Revision{}
	i := 0
	_, err = log.Import(t.Context(), func() (eventlog.Imported, error) {
		if i == events {
			return eventlog.Imported{}, io.EOF
		}
		stream, typ := fmt.Sprintf("notification-%d", i%(events/5)), "NotificationRequested"
		switch {
		case i == events/2:
			stream, typ = "deadline-20260228T2330Z-1", "DeadlineBucketClosed"
		case i%50 == 7 && i < events/2:
			stream, typ = "deadline-20260228T2330Z-1", "DeadlineSet"
		case i%50 == 8:
			stream, typ = "deadline-20990228T2330Z-1", "DeadlineSet"
		case i%50 == 9:
			stream, typ = "checkpoint-projection-edr", "ProjectionCheckpointed"
		case i%50 == 10:
			stream, typ = "mark-0", "Marked"
		case i%50 == 11:
			stream, typ = "$$notification-1", "$metadata"
		}
		e := eventlog.Imported{AtRevision: true, Line: i, Recorded: event.Recorded{
			Stream: stream, Revision: next[stream], ID: uuid.NewString(), Type: typ, Binary: i%7 == 0,
			Data: fmt.Appendf(nil, `{"n" :  %d}`, i), Metadata: []byte(`{"tenant" : "default"}`), Created: time.Unix(1_600_000_000, int64(i)),
		}}
		next[stream]++
		i++
		return e, nil
	})
	if err == nil {
		err = log.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// carriedOf are the events that a copy must hold, read by the protocol; positions and
// times are the store's own.
func carriedOf(t *testing.T, url string) []event.Recorded {
	t.Helper()
	s, err := eventstore.Open(eventstore.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []event.Recorded
	if err := s.ReadAll(ctx, event.AllRead{}, func(e event.Recorded) error {
		if e.Position, e.Created = 0, (time.Time{}); catalogue.IsLedger(e.Stream) || e.Stream == "mark-0" || e.Stream == "deadline-20990228T2330Z-1" {
			all = append(all, e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEventlogCopy copies between two servers; the process that copies is killed again
// and again, and what the target holds in the end is the same bytes in the same order.
func TestEventlogCopy(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Parallel()
	const events, kills = 3000, 4
	dir, other := t.TempDir(), t.TempDir()
	fillStore(t, dir, events)
	source, sourceAddr := startEventlog(t, dir)
	target, targetAddr := startEventlog(t, other)
	t.Cleanup(source.stop)
	t.Cleanup(target.stop)
	from, to := "esdb://"+sourceAddr+"?tls=false", "esdb://"+targetAddr+"?tls=false"

	want := carriedOf(t, from)
	for n := 1; n <= kills; n++ {
		p := start(t, "eventlog", "copy", "--from", from, "--to", to)
		eventually(t, time.Minute, func() error {
			if got := len(carriedOf(t, to)); got < n*len(want)/(kills+2) {
				return fmt.Errorf("%d events are copied", got)
			}
			return nil
		})
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.waited
	}
	out := mustVerb(t, "eventlog", "copy", "--from", from, "--to", to, "--verify")
	for _, part := range []string{"the target held the beginning already: its last 1,000 events are the source's", "left out: ", "verified: " + thousands(uint64(len(want))) + " events are the same"} {
		if !strings.Contains(out, part) {
			t.Errorf("it prints\n%s\nwithout %q", out, part)
		}
	}
	if diff := cmp.Diff(want, carriedOf(t, to)); diff != "" {
		t.Error(diff)
	}
	if out := mustVerb(t, "eventlog", "copy", "--from", from, "--to", to); !strings.Contains(out, "\n0 events copied") {
		t.Errorf("once more: %s", out)
	}
}

// TestEventlogCopyOfFolders: from a folder into a folder, and nothing into one that holds
// something else.
func TestEventlogCopyOfFolders(t *testing.T) {
	t.Parallel()
	dir, other, third := t.TempDir(), t.TempDir(), t.TempDir()
	fillStore(t, dir, 100)
	fillStore(t, third, 100)
	out := mustVerb(t, "eventlog", "copy", "--from", dir, "--to", other, "--verify")
	if !strings.Contains(out, "verified: ") {
		t.Error(out)
	}
	if _, err := verb(t, "eventlog", "copy", "--from", dir, "--to", third); err == nil || !strings.Contains(err.Error(), "the target holds something else") {
		t.Errorf("into another store: %v", err)
	}
	const secret = "hunter2"
	_, err := verb(t, "eventlog", "copy", "--from", dir, "--to", "esdb://admin:"+secret+"@[?")
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a bad URL: %v", err)
	}
}
