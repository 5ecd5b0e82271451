package cmd

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"recapito/cmd/instance"
	"recapito/domain/event"
	"recapito/domain/tenant"
)

// The bus and the read models can be deleted while the instance is stopped: the next
// start makes them complete by itself.
func TestWipedEnginesAreRebuilt(t *testing.T) {
	inThoroughWorlds(t, wipedEnginesAreRebuilt)
}

func wipedEnginesAreRebuilt(t *testing.T, w *world) {
	smscProcess, smsc := startSMSC(t, w.dir, "127.0.0.1:0", "--receipt-delay", "50ms", "--receipt-spread", "50ms")
	config := w.config(smsc, "    policy: {redispatch: 2s}\n")
	p := start(t, "serve", "--config", config)
	c := newClient(instanceOf(t, p, w.dir), tenant.Default)
	var ids []string
	request := func(n int) {
		var accepted summary
		body := map[string]any{"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(n)}}}
		if err := c.call(t.Context(), http.MethodPost, "/v1/notifications", body, &accepted); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, accepted.ID)
	}
	for n := range 20 {
		request(n)
	}
	for _, id := range ids {
		eventually(t, time.Minute, func() error { return isFinal(t, c, id) })
	}
	smscProcess.kill() // what comes now is scheduled and cannot be sent
	for n := range 20 {
		request(n)
	}
	p.stop()
	w.wipe()
	startSMSC(t, w.dir, smsc, "--receipt-delay", "50ms", "--receipt-spread", "50ms")
	l := openHere(t, config)
	if _, err := l.WaitFinal(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	for _, problem := range l.TableProblems(t.Context()) {
		if problem != nil {
			t.Error(problem)
		}
	}
	var attempts uint64
	if err := l.Engines.Read.QueryRow(t.Context(), "SELECT count() FROM edr").Scan(&attempts); err != nil || attempts < uint64(len(ids)) {
		t.Error(fmt.Errorf("the EDR has %d attempts of %d notifications: %w", attempts, len(ids), err))
	}
}

// An idle instance appends nothing, for a minute (a quarter of it in the short form) and so
// for ever: neither one that
// never did anything nor one whose work is done.
func TestIdleAppendsNothing(t *testing.T) {
	inThoroughWorlds(t, idleAppendsNothing)
}

func idleAppendsNothing(t *testing.T, w *world) {
	_, smsc := startSMSC(t, w.dir, "127.0.0.1:0", "--receipt-delay", "50ms", "--receipt-spread", "50ms")
	l := openHere(t, w.config(smsc, "    policy: {wire_limit: 2s, redispatch: 2s}\n"))
	c := newClient(l.RunFile, tenant.Default)
	for n := range 10 {
		id, err := sendSample(t.Context(), c)
		if err != nil {
			t.Fatalf("sample %d: %v", n, err)
		}
		eventually(t, time.Minute, func() error { return isFinal(t, c, id) })
	}
	// The buckets of the deadlines just armed are closed when their minute is over; the
	// wait for receipts that came long ago is the scenario's hour, far from here.
	idle := 15 * time.Second
	if thorough("RECAPITO_TEST_FULL") {
		idle = time.Minute
	}
	quiet, last := time.Now(), lastOf(t, l)
	eventually(t, 4*time.Minute, func() error {
		if now := lastOf(t, l); now != last {
			quiet, last = time.Now(), now
		}
		if since := time.Since(quiet); since < idle {
			return fmt.Errorf("quiet for %s only", since.Round(time.Second))
		}
		return nil
	})
}

func lastOf(t *testing.T, l *instance.Instance) event.Position {
	t.Helper()
	last, err := l.Engines.Events.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return last
}
