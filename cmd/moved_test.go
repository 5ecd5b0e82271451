package cmd

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/tenant"
)

// A ledger leaves the embedded store: what was open when it stopped is finished over the
// copy, every history goes on as it was, and the read models are made from the copy.
func TestLedgerGoesOnOverACopyOfItsStore(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Parallel()
	dir := t.TempDir()
	smscProcess, smsc := startSMSC(t, dir, "127.0.0.1:0", "--receipt-delay", "50ms", "--receipt-spread", "50ms")
	const route = "    policy: {redispatch: 2s}\n"
	p := start(t, "serve", "--config", writeConfig(t, dir, smsc, route))
	c := newClient(instanceOf(t, p, dir), tenant.Default)
	const each = 20
	var ids []string
	request := func(more map[string]any) {
		body := map[string]any{"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(len(ids))}}}
		for name, value := range more {
			body[name] = value
		}
		var accepted summary
		if err := c.call(t.Context(), http.MethodPost, "/v1/notifications", body, &accepted); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, accepted.ID)
	}
	for range each {
		request(nil)
	}
	for _, id := range ids {
		eventually(t, time.Minute, func() error { return isFinal(t, c, id) })
	}
	smscProcess.kill() // what comes now is scheduled and cannot be sent
	later := time.Now().Add(20 * time.Second)
	for range each {
		request(nil)
		request(map[string]any{"send_at": later.Format(time.RFC3339)})
	}
	before := histories(t, c, ids)
	p.stop()

	copied := t.TempDir()
	_, addr := startEventlog(t, copied)
	url := "esdb://" + addr + "?tls=false"
	out := mustVerb(t, "eventlog", "copy", "--from", dir, "--to", url, "--verify")
	if !strings.Contains(out, "verified: ") {
		t.Errorf("the copy says %q", out)
	}
	startSMSC(t, dir, smsc, "--receipt-delay", "50ms", "--receipt-spread", "50ms")
	l := openHere(t, writeConfig(t, dir, smsc, route+"eventstore: {url: \""+url+"\"}\n"))
	wantComplete(t, l, filepath.Join(dir, "smsc"), ids)
	for id, now := range histories(t, newClient(l.RunFile, tenant.Default), ids) {
		was := before[id]
		if len(now) < len(was) {
			t.Errorf("%s has %d events and had %d", id, len(now), len(was))
			continue
		}
		if diff := cmp.Diff(was, now[:len(was)]); diff != "" {
			t.Errorf("the history of %s is another (-was +is):\n%s", id, diff)
		}
	}
	for _, id := range ids[:each] { // final before
		var rows uint64
		err := l.Engines.Read.QueryRow(t.Context(), "SELECT count() FROM edr WHERE notification = ?", id).Scan(&rows)
		if err != nil || rows != 1 {
			t.Errorf("the EDR of %s has %d rows: %v", id, rows, err)
		}
	}
}

// histories returns the events of notifications as the API reports them, but for their
// positions, which are a store's own.
func histories(t *testing.T, c *client, ids []string) map[string][]map[string]any {
	t.Helper()
	all := map[string][]map[string]any{}
	for _, id := range ids {
		var history struct {
			Events []map[string]any `json:"events"`
		}
		if err := c.call(t.Context(), http.MethodGet, "/v1/notifications/"+id+"/events", nil, &history); err != nil {
			t.Fatal(err)
		}
		for _, e := range history.Events {
			delete(e, "position")
			all[id] = append(all[id], e)
		}
	}
	return all
}
