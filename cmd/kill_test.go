package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/adapters/smpp/sandbox"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

const (
	killed        = 3
	notifications = 2000
	perBatch      = 100
)

// Nothing that got a 202 is lost, stuck or sent twice, however often the process dies.
func TestKilledThreeTimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, smsc := startSMSC(t, dir, "127.0.0.1:0", "--receipt-delay", "200ms", "--receipt-spread", "800ms", "--undelivered", "0.05", "--rate", "400")
	config := writeConfig(t, dir, smsc, "    wire_limit: 8s\n    redispatch: 3s\n    unknown_limit: 10s\n    window: 32\n")
	ids := sendWhileKilling(t, dir, config)
	if len(ids) != notifications {
		t.Errorf("%d of %d requests were accepted in the end", len(ids), notifications)
	}

	l := openHere(t, config)
	final, err := l.waitFinal(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := sandbox.ReadJournal(filepath.Join(dir, "smsc"))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range append(journalProblems(final, journal), l.edrProblems(t.Context())...) {
		if problem != nil {
			t.Error(problem)
		}
	}
	unknown := 0
	for _, s := range final {
		for _, a := range s.Attempts {
			if !a.UnknownAt.IsZero() {
				unknown++
			}
			if a.Status == notification.Dispatched {
				t.Errorf("an attempt of a final notification is dispatched")
			}
		}
	}
	t.Logf("%d final, %d unknown outcomes said, %d messages on the wire", len(final), unknown, len(journal))
}

// sendWhileKilling sends batches, each under its own idempotency keys, until all are
// accepted, while the instance is killed and started again.
func sendWhileKilling(t *testing.T, dir, config string) []string {
	p := start(t, "serve", "--config", config)
	i := instanceOf(t, p, dir)
	var mu sync.Mutex
	current := newClient(i, tenant.Default)
	ids := map[string]bool{}

	done := make(chan struct{})
	go func() {
		defer close(done)
		for first := 0; first < notifications; first += perBatch {
			for t.Context().Err() == nil {
				mu.Lock()
				c := current
				mu.Unlock()
				got, err := sendBatch(t.Context(), c, first)
				mu.Lock()
				for _, id := range got {
					ids[id] = true
				}
				mu.Unlock()
				if err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	for n := 1; n <= killed; n++ {
		eventually(t, time.Minute, func() error {
			mu.Lock()
			defer mu.Unlock()
			if want := n * notifications / (killed + 1); len(ids) < want {
				return fmt.Errorf("%d accepted, not yet %d", len(ids), want)
			}
			return nil
		})
		p.kill()
		p = start(t, "serve", "--config", config)
		i = instanceOf(t, p, dir)
		mu.Lock()
		current = newClient(i, tenant.Default)
		mu.Unlock()
	}
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("not everything was accepted in time")
	}
	p.kill()
	accepted := make([]string, 0, len(ids))
	for id := range ids {
		accepted = append(accepted, id)
	}
	return accepted
}

// sendBatch answers the ids of the items accepted, and an error unless all were.
func sendBatch(ctx context.Context, c *client, first int) ([]string, error) {
	var items []map[string]any
	for n := first; n < first+perBatch; n++ {
		items = append(items, map[string]any{
			"idempotency_key": fmt.Sprintf("order-%d", n),
			"request": map[string]any{
				"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(n)}},
				"fields": map[string]string{"name": testName, "day": "2026-12-01"},
			},
		})
	}
	var answer struct {
		Items []struct {
			Status int    `json:"status"`
			ID     string `json:"id"`
		} `json:"items"`
	}
	if err := c.call(ctx, http.MethodPost, "/v1/notifications:batch", map[string]any{"items": items}, &answer); err != nil {
		return nil, err
	}
	var ids []string
	for _, item := range answer.Items {
		if item.Status == http.StatusAccepted {
			ids = append(ids, item.ID)
		}
	}
	if len(ids) != len(items) {
		return ids, fmt.Errorf("%d of %d were accepted", len(ids), len(items))
	}
	return ids, nil
}

const testName = "Wilhelmina"

func testNumber(n int) string { return fmt.Sprintf("+393401%06d", n) }

// openHere runs an instance in this process until the test ends.
func openHere(t *testing.T, config string) *ledger {
	t.Helper()
	c, err := loadConfig(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.zeroPorts()
	log := slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	scenarios, err := loadScenarios(c, log)
	if err != nil {
		t.Fatal(err)
	}
	var l *ledger
	eventually(t, time.Minute, func() (err error) { // a killed instance's child holds its folder a little longer
		l, err = openLedger(t.Context(), c, scenarios, log)
		return err
	})
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan Instance, 1)
	go func() { ended <- l.run(ctx, func(i Instance) { ready <- i }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stopping the instance: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(errors.Join(errors.New("the instance did not start"), err))
	}
	return l
}

// testLog passes log lines to the test while it runs.
type testLog struct {
	t  *testing.T
	mu sync.Mutex
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}
