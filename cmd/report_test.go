package cmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/api/reports"
	"recapito/api/reports/export"
)

// What an instance delivered is in every report, as a table, as JSON and as a file.
func TestReportsOfAnInstance(t *testing.T) {
	t.Parallel()
	dir, instance := sharedSandbox(t)
	id, err := verb(t, "send", "appointment", "--data", dir, "--to", "sms=+393331234501", "--recipient", "cust-42", "--field", "day=Monday")
	if err != nil {
		t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	report := func(args ...string) string {
		t.Helper()
		out, err := verb(t, append([]string{"report"}, append(args, "--data", dir)...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	eventually(t, time.Minute, func() error {
		out, err := verb(t, "report", "history", "--destination", "sms=+393331234501", "--data", dir)
		if err != nil { // the tables may not be made yet
			return err
		}
		if !strings.Contains(out, id) || !strings.Contains(out, "delivered") {
			return fmt.Errorf("the history of the person: %s", out)
		}
		return nil
	})
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"history", "--recipient", "cust-42"}, []string{"NOTIFICATION", id, "delivered"}},
		{[]string{"history", "--destination", "phone=+393330000000"}, []string{"no attempts"}},
		{[]string{"history", "--notification", id}, []string{id, "WHO", "provider:smsc", "state delivered"}},
		{[]string{"history", "--scenario", "appointment", "--from", "1h", "--json"}, []string{`"rows":[{`, id}},
		{[]string{"edr", "-f", "notification=" + id, "-f", "delivery_ms_max=600000"}, []string{id, "sms", "smsc"}},
		{[]string{"edr", "-f", "notification=" + id, "-f", "kind=resend"}, []string{"no attempts"}},
	} {
		out := report(c.args...)
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%v lacks %q:\n%s", c.args, want, out)
			}
		}
	}
	eventually(t, time.Minute, func() error {
		accounting, rollups := report("accounting", "--group-by", "channel,scenario,status"), report("rollups", "--grain", "minute", "--by", "channel")
		if !strings.Contains(accounting, "BILLABLE UNITS") || !strings.Contains(accounting, "appointment") || !strings.Contains(accounting, "delivered") || !strings.Contains(accounting, "total") {
			return fmt.Errorf("accounting: %s", accounting)
		}
		if !strings.Contains(rollups, "TREND") || !strings.Contains(rollups, "requested") || !strings.Contains(rollups, "█") {
			return fmt.Errorf("rollups: %s", rollups)
		}
		return nil
	})
	eventually(t, time.Minute, func() error {
		if out := report("history", "--recipient", "cust-42", "--json"); !strings.Contains(out, `"notifications":[{`) || !strings.Contains(out, `"state":"delivered","final":true`) {
			return fmt.Errorf("the state of the notification: %s", out)
		}
		return nil
	})
	accepted, err := accept(t, newClient(instance, "default"))
	if err != nil {
		t.Fatal(err)
	}
	after := []string{"--after", fmt.Sprint(accepted.Position), "--json"}
	for _, c := range []struct{ args, says string }{
		{"edr", `"rows":[`}, {"history --scenario appointment", `"rows":[`}, {"accounting", `"messages":`},
		{"rollups --measure requested", `"measure":"requested"`}, {"metrics", `"name":"delivery_rate"`},
	} {
		if out := report(append(strings.Fields(c.args), after...)...); !strings.Contains(out, c.says) {
			t.Errorf("%s after a position: %s", c.args, out)
		}
	}
	if _, err := verb(t, "report", "metrics", "--after", "999999999", "--data", dir); err == nil || !strings.Contains(err.Error(), "after: must be a position that the ledger has reached") {
		t.Errorf("after what is not there: %v", err)
	}
	if out := report("metrics"); !strings.Contains(out, "delivery_rate") || !strings.Contains(out, "How much of what a provider was given") {
		t.Errorf("metrics: %s", out)
	}
	if out := report("accounting", "--month", "2020-01"); out != nothingCounted+"\n" {
		t.Errorf("a month without anything: %s", out)
	}
	if past := report("history", "--recipient", "cust-42", "--as-of", "0s"); !strings.Contains(past, id) {
		t.Errorf("the history as of now: %s", past)
	}
	past := report("accounting", "--as-of", "0s", "--json")
	if !strings.Contains(past, `"messages":`) {
		t.Errorf("as of now: %s", past)
	}
	out := filepath.Join(t.TempDir(), "history.csv")
	if said := report("history", "--recipient", "cust-42", "--out", out); !strings.Contains(said, "1 rows") {
		t.Errorf("a file: %s", said)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(rows) != 2 || !slices.Equal(rows[1][len(rows[1])-3:], []string{"delivered", "true", "{}"}) {
		t.Errorf("the file: %v %v", rows, err)
	}
	raw, err := os.ReadFile(out + ".manifest.json")
	var m export.Manifest
	if err := errors.Join(err, json.Unmarshal(raw, &m)); err != nil || m.Rows != 1 || m.Report != "history" || strings.Contains(string(raw), "cust-42") {
		t.Errorf("the manifest: %s %v", raw, err)
	}
	var answer terminal
	var asked bytes.Buffer
	answer.in, answer.err = strings.NewReader("sms=+393331234501\n"), &asked
	if d, err := readDestination(answer, "-"); err != nil || d["address"] != "+393331234501" || strings.Contains(asked.String(), "+39") {
		t.Errorf("from the input: %v", err)
	}
}

// accept sends a notification and returns its 202.
func accept(t testing.TB, c *client) (accepted struct {
	ID       string
	Position uint64
}, err error) {
	body := map[string]any{"scenario": "appointment", "to": map[string][]string{"sms": {"+393331234599"}}}
	err = c.call(t.Context(), http.MethodPost, "/v1/notifications", body, &accepted)
	return accepted, err
}

// What is not complete gets no name.
func TestAnIncompleteFileIsNotKept(t *testing.T) {
	t.Parallel()
	whole := "a,b\r\n1,2\r\n"
	manifest := `{"rows":1,"bytes":10,"sha256":"` + sha256Of(whole) + `"}`
	for name, serve := range map[string]http.HandlerFunc{
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(whole))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"without a manifest": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(whole)) },
		"of another hash": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", reports.TrailerManifest)
			_, _ = w.Write([]byte(whole + "x"))
			w.Header().Set(reports.TrailerManifest, manifest)
		},
		"refused": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"title":"down","status":503,"code":"unavailable"}`))
		},
		"": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", reports.TrailerManifest)
			_, _ = w.Write([]byte(whole))
			w.Header().Set(reports.TrailerManifest, manifest)
		},
	} {
		server := httptest.NewServer(serve)
		dir := t.TempDir()
		file := filepath.Join(dir, "x.csv")
		var out, errOut bytes.Buffer
		c := &client{base: server.URL}
		err := c.download(context.Background(), terminal{out: &out, err: &errOut}, asking{method: http.MethodGet, path: "/", query: url.Values{}}, file)
		server.Close()
		entries, _ := os.ReadDir(dir)
		if name == "" {
			if content, _ := os.ReadFile(file); err != nil || string(content) != whole || len(entries) != 2 {
				t.Errorf("a whole one: %v, %d files", err, len(entries))
			}
			continue
		}
		if err == nil || len(entries) != 0 {
			t.Errorf("%s: %v, %d files", name, err, len(entries))
		}
	}
	taken := filepath.Join(t.TempDir(), "x.csv")
	if err := os.MkdirAll(filepath.Join(taken, "kept"), 0o700); err != nil { // no file can have its name
		t.Fatal(err)
	}
	part := filepath.Join(t.TempDir(), "x.part")
	if err := os.WriteFile(part, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := nameComplete(part, taken, manifest); err == nil {
		t.Error("a folder is overwritten")
	}
	for _, left := range []string{taken + ".manifest.json", part + ".manifest.json"} {
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a manifest without its file is left: %v", err)
		}
	}
	if err := (&client{}).download(context.Background(), terminal{}, asking{}, "x.xls"); err == nil || !strings.Contains(err.Error(), ".csv, .jsonl or .parquet") {
		t.Errorf("another ending: %v", err)
	}
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	if got := sparkline([]int64{0, 1, 4, 8, 800, -1}); got != " ▁▁▁█ " {
		t.Errorf("%q", got)
	}
	if got := sparkline([]int64{1, 2, 3, 4, 5, 6, 7, 8}); got != "▁▂▃▄▅▆▇█" {
		t.Errorf("%q", got)
	}
}

func sha256Of(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
