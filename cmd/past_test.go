package cmd

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/api/reports/export"
	"recapito/domain/tenant"
)

// pastQuestions are one of every kind of report, and what is asked for.
func pastQuestions(ids []string) map[string]asking {
	// Longer than the test, and bounds that do not move.
	const period = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
	all := map[string]asking{}
	get := func(name, path string) {
		q, err := url.ParseQuery(period)
		if err != nil {
			panic(err)
		}
		path, more, _ := strings.Cut(path, "?")
		given, err := url.ParseQuery(more)
		if err != nil {
			panic(err)
		}
		for name, values := range given {
			q[name] = values
		}
		all[name] = asking{method: http.MethodGet, path: path, query: q}
	}
	history := func(name string, of map[string]any) {
		all["history of a "+name] = asking{method: http.MethodPost, path: "/v1/reports/history", query: url.Values{}, body: of}
	}
	get("edr", "/v1/edr")
	get("edr by status", "/v1/edr?status=sent&channel=sms&test=false")
	get("accounting", "/v1/reports/accounting?group_by=day,channel,scenario,campaign,route,operator,country,test,status")
	get("accounting by month", "/v1/reports/accounting?group_by=month")
	get("rollups", "/v1/reports/rollups?grain=minute&group_by=start,measure,detail,bucket,channel,scenario,campaign")
	get("rollups by request", "/v1/reports/rollups?grain=day&basis=request")
	get("metrics", "/v1/reports/metrics")
	history("destination", map[string]any{"destination": map[string]string{"channel": "sms", "address": testNumber(0)}})
	history("recipient", map[string]any{"recipient": "cust-1"})
	history("notification", map[string]any{"notification": ids[0]})
	history("campaign", map[string]any{"campaign": "autumn"})
	history("scenario", map[string]any{"scenario": "appointment"})
	return all
}

// past asks every question as of a time, as a page and as every kind of file.
func past(t *testing.T, c *client, ids []string, asOf time.Time) map[string]string {
	t.Helper()
	answers := map[string]string{}
	formats := []string{"json"}
	for _, f := range export.Formats() {
		if thorough("RECAPITO_TEST_FULL") || f.Name == "csv" {
			formats = append(formats, f.Name)
		}
	}
	for name, a := range pastQuestions(ids) {
		for _, format := range formats {
			a.query.Set("as_of", asOf.Format(time.RFC3339Nano))
			a.query.Set("format", format)
			answers[name+" as "+format] = completeReport(t, c, a)
		}
	}
	return answers
}

// completeReport is the bytes of a page, or the hash of a file.
func completeReport(t *testing.T, c *client, a asking) string {
	t.Helper()
	var raw []byte
	eventually(t, time.Minute, func() error { // after a start, tables may not be made yet
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := c.open(ctx, a)
		if err != nil {
			return err
		}
		defer func() { _ = got.Body.Close() }()
		raw, err = io.ReadAll(got.Body)
		return err
	})
	if a.query.Get("format") == "json" {
		return string(raw)
	}
	return fmt.Sprintf("%d bytes, %x", len(raw), sha256.Sum256(raw))
}

// What was returned as of a time is returned again to the byte, by every report and in
// every format (JSON and CSV in the short form): when late receipts have come, when the read models were rebuilt, and over
// a copy of the store with read models of its own.
func TestAnswersOfThePastAreTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("asks some 250 questions")
	}
	t.Parallel()
	dir := t.TempDir()
	_, smsc := startSMSC(t, dir, "127.0.0.1:0", "--receipt-delay", "2s", "--receipt-spread", "1s")
	p := start(t, "serve", "--config", writeConfig(t, dir, smsc, ""))
	c := newClient(instanceOf(t, p, dir), tenant.Default)
	var ids []string
	send := func(n int) {
		for range n {
			body := map[string]any{
				"scenario": "appointment", "recipient": fmt.Sprintf("cust-%d", len(ids)%3), "campaign": []string{"autumn", "winter"}[len(ids)%2],
				"to": map[string][]string{"sms": {testNumber(len(ids) % 3)}},
			}
			var accepted summary
			if err := c.call(t.Context(), http.MethodPost, "/v1/notifications", body, &accepted); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, accepted.ID)
		}
	}
	type moment struct {
		at      time.Time
		answers map[string]string
	}
	var moments []moment
	take := func(at time.Time) { moments = append(moments, moment{at.UTC(), past(t, c, ids, at.UTC())}) }
	again := func(when string) {
		t.Helper()
		for _, m := range moments {
			now := past(t, c, ids, m.at)
			for name, was := range m.answers {
				if now[name] != was {
					t.Errorf("%s: the %s of %v was\n%s\nand is\n%s", when, name, m.at, was, now[name])
				}
			}
		}
	}
	send(9)
	eventually(t, time.Minute, func() error { // sent, its receipt still to come
		page := completeReport(t, c, asking{method: http.MethodGet, path: "/v1/edr", query: url.Values{"format": {"json"}, "notification": {ids[8]}}})
		if !strings.Contains(page, `"status":"sent"`) && !strings.Contains(page, `"status":"delivered"`) {
			return fmt.Errorf("not sent: %s", page)
		}
		return nil
	})
	take(time.Now())
	take(time.Now().In(time.FixedZone("", 5*3600))) // between marks, of another zone
	send(3)
	for _, id := range ids {
		eventually(t, time.Minute, func() error { return isFinal(t, c, id) })
	}
	again("after late receipts")
	take(time.Now())
	if first, last := moments[0].answers["edr as json"], moments[2].answers["edr as json"]; first == last ||
		!strings.Contains(first, `"status":"sent"`) || strings.Contains(last, `"status":"sent"`) {
		t.Errorf("the times do not tell of different things:\n%s\n%s", first, last)
	}
	send(4)
	mustVerb(t, "rebuild", "--all", "--data", dir)
	again("after a rebuild")

	p.stop()
	copied := t.TempDir()
	_, addr := startEventlog(t, copied)
	to := "esdb://" + addr + "?tls=false"
	mustVerb(t, "eventlog", "copy", "--from", dir, "--to", to, "--verify")
	// The keys belong to the ledger, not to the store; the read models are made anew.
	if err := os.RemoveAll(filepath.Join(dir, "clickhouse")); err != nil {
		t.Fatal(err)
	}
	other := writeConfig(t, dir, smsc, "eventstore: {url: \""+to+"\"}\n")
	p = start(t, "serve", "--config", other)
	t.Cleanup(p.stop)
	c = newClient(instanceOf(t, p, dir), tenant.Default)
	again("over a copy")
	if len(moments) != 3 || len(moments[0].answers) < 24 || slices.Contains(ids, "") {
		t.Errorf("%d times were asked about, %d questions", len(moments), len(moments[0].answers))
	}
}
