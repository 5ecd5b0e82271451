package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/cmd/instance"
	"recapito/domain/tenant"
)

// measured is a disk whose free space the test sets.
type measured struct {
	vfs.FS
	free atomic.Uint64
}

func (m *measured) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: m.free.Load()}, nil
}

// While the event store's disk is full the instance reports it, refuses requests so that
// callers come again, and loses nothing; with space it goes on by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const plenty = 1 << 40
	dir := t.TempDir()
	disk := &measured{FS: vfs.Default}
	disk.free.Store(plenty)
	store, err := instance.OpenEmbedded(eventlog.Options{Dir: filepath.Join(t.TempDir(), "events"), FS: disk}, esdbserver.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	_, smsc := startSMSC(t, dir, "127.0.0.1:0", "--receipt-delay", "300ms", "--receipt-spread", "50ms")
	l := openHere(t, writeConfig(t, dir, smsc, "    policy: {redispatch: 2s}\neventstore: {url: \"esdb://"+store.Addr()+"?tls=false\"}\n"))
	i, err := instance.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(i, tenant.Default)
	body := func(n int) map[string]any {
		return map[string]any{"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(n)}}}
	}
	var ids []string
	for n := range 10 {
		var accepted summary
		if err := c.call(t.Context(), http.MethodPost, "/v1/notifications", body(n), &accepted); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, accepted.ID)
	}

	disk.free.Store(5 << 20) // the receipts are not there yet
	eventually(t, time.Minute, func() error {
		if store.Healthy() == nil {
			return errors.New("the disk is not seen to be full")
		}
		return nil
	})
	if status, after := post(t, i, body(99)); status != http.StatusServiceUnavailable || after == "" {
		t.Errorf("a request while the disk is full: %d, Retry-After %q", status, after)
	}
	eventually(t, time.Minute, func() error {
		status, detail := readyz(t, i)
		if status != http.StatusServiceUnavailable || !strings.Contains(detail, "disk full: free 5 MiB") {
			return fmt.Errorf("/readyz: %d, %q", status, detail)
		}
		return nil
	})

	disk.free.Store(plenty)
	eventually(t, time.Minute, func() error {
		if status, detail := readyz(t, i); status != http.StatusOK {
			return fmt.Errorf("/readyz: %d, %q", status, detail)
		}
		return nil
	})
	var accepted summary
	if err := c.call(t.Context(), http.MethodPost, "/v1/notifications", body(10), &accepted); err != nil {
		t.Fatal(err)
	}
	if _, err := l.WaitFinal(t.Context(), append(ids, accepted.ID)); err != nil {
		t.Error(err)
	}
}

// post returns the status and Retry-After of a request.
func post(t *testing.T, i instance.RunFile, body any) (int, string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.HTTP+"/v1/notifications", strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+i.APIKey)
	r.Header.Set("Recapito-Tenant", tenant.Default)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "on-a-full-disk")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode, response.Header.Get("Retry-After")
}

// readyz returns the status and what it reports of the event store.
func readyz(t *testing.T, i instance.RunFile) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + i.HTTP + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body struct {
		Engines map[string]struct{ Detail string }
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body.Engines["eventstore"].Detail
}
