package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"recapito/api"
	"recapito/api/reports"
	"recapito/api/reports/export"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/readmodels"
)

// readings stand in for ClickHouse, whose queries have tests of their own over the engine.
type told struct {
	asked    readmodels.EDRQuery
	counted  readmodels.CountQuery
	edr      []readmodels.EDR
	next     string
	repeated int // the rows of a file, so many times
	fails    error
	breaks   error // a file after its rows
}

func (r *told) EDRs(_ context.Context, q readmodels.EDRQuery) (readmodels.EDRPage, error) {
	if r.asked = q; r.fails != nil {
		return readmodels.EDRPage{}, r.fails
	}
	if q.Cursor != "" && r.next == "" {
		return readmodels.EDRPage{}, readmodels.ErrBadCursor
	}
	return readmodels.EDRPage{Rows: r.edr, Next: r.next}, nil
}

func (r *told) EachEDR(_ context.Context, q readmodels.EDRQuery, visit func(readmodels.EDR) error) error {
	if r.asked = q; r.fails != nil {
		return r.fails
	}
	for range max(r.repeated, 1) {
		for _, row := range r.edr {
			if err := visit(row); err != nil {
				return err
			}
		}
	}
	return r.breaks
}

func (r *told) Notifications(_ context.Context, _ string, ids []string, _ *uint64) (map[string]readmodels.Notification, error) {
	known := map[string]readmodels.Notification{}
	for _, id := range ids {
		known[id] = readmodels.Notification{Notification: id, State: "delivered", Final: true, Fields: map[string]string{"office": "Rome"}}
	}
	return known, nil
}

func (r *told) Unattempted(_ context.Context, _, person string, _, _ time.Time, _ *uint64) ([]readmodels.Notification, error) {
	return []readmodels.Notification{{Notification: "never-sent", Person: person, State: "suppressed"}}, nil
}

func (r *told) EventsBefore(context.Context, string, string, uint64) (int, error) { return 1, nil }

func (r *told) Accounting(_ context.Context, q readmodels.CountQuery) ([]readmodels.AccountingLine, error) {
	r.counted = q
	line := readmodels.AccountingLine{AccountingSums: readmodels.AccountingSums{Messages: 7, Units: 9, Billable: 5, BillableUnits: 6, Unpriced: 5}}
	line.Channel, line.Day, line.DayText = "sms", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), "2026-11"
	return []readmodels.AccountingLine{line}, r.fails
}

func (r *told) Rollups(_ context.Context, q readmodels.CountQuery) ([]readmodels.RollupLine, error) {
	r.counted = q
	return []readmodels.RollupLine{{RollupCell: readmodels.RollupCell{Start: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Measure: "sent"}, N: 3}}, r.fails
}

func (r *told) Resolve(_ context.Context, asOf time.Time) (export.Cut, error) {
	if asOf.After(time.Now()) {
		return export.Cut{}, &reports.NoPast{}
	}
	return export.Cut{Seq: 42, Time: asOf.Add(-time.Second)}, nil
}

// lookup finds persons in the world's key store.
func (w *world) lookup() *intake.Lookup {
	return &intake.Lookup{Finder: w.sealer, Routes: channel.Routes{{Name: "sim", Kind: commandstest.SMS}}}
}

func reportingWorld(t testing.TB, r *told) *world {
	return newWorld(t, func(w *world, _ *api.Options) { w.reports.Reports, w.reports.Persons = r, w.lookup() })
}

// fetched is a file as a client gets it.
func (w *world) fetched(method, path, body string, options ...option) (status int, content string, trailer http.Header, err error) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.key)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, o := range options {
		o(r)
	}
	res, err := w.server.Client().Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), res.Trailer, err
}

func anEDR() readmodels.EDR {
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	return readmodels.EDR{
		Tenant: "default", Day: at.Truncate(24 * time.Hour), DayText: "2026-11-23", Notification: "n", Attempt: 1,
		Dimensions: readmodels.Dimensions{OfAttempt: readmodels.OfAttempt{Channel: "sms", Sender: "Clinica, \"Sanità\""}}, Status: "delivered", Times: readmodels.Times{DueAt: &at}, QueueMs: new(int64(12)),
	}
}

func TestAReportIsAFileWithItsManifest(t *testing.T) {
	r := &told{edr: []readmodels.EDR{anEDR()}, repeated: 21_000}
	w := reportingWorld(t, r)
	asOf := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for _, f := range export.Formats() {
		path, options := "/v1/edr?status=delivered&sender=Sanit%C3%A0&as_of="+asOf.Format(time.RFC3339), []option{header("Accept", "text/html, "+f.MediaType+";q=1")}
		if f == export.Parquet {
			path, options = path+"&format=parquet", nil
		}
		status, content, trailer, err := w.fetched(http.MethodGet, path, "", options...)
		if err != nil || status != http.StatusOK {
			t.Fatal(f.Name, status, err)
		}
		var m export.Manifest
		if err := json.Unmarshal([]byte(trailer.Get(reports.TrailerManifest)), &m); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(content))
		if trailer.Get(reports.TrailerDigest) != "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":" || trailer.Get(reports.TrailerRows) != "21000" ||
			m.SHA256 != fmt.Sprintf("%x", sum) || m.Bytes != uint64(len(content)) || m.Rows != 21_000 {
			t.Errorf("%s: trailers %v of %d bytes", f.Name, trailer, len(content))
		}
		if m.Report != "edr" || m.Tenant != "default" || m.Format != f.Name || m.Version != "test" || m.AsOf == nil || !m.AsOf.Equal(asOf) ||
			m.Cut == nil || m.Cut.Seq != 42 || m.Began.IsZero() || m.Ended.Before(m.Began) || len(m.Columns) < 30 ||
			m.Query["status"] != "delivered" || m.Query["sender"] != "Sanità" {
			t.Errorf("%s: manifest %+v", f.Name, m)
		}
		if r.asked.AsOf == nil || *r.asked.AsOf != 42 {
			t.Errorf("%s: as of %v was asked", f.Name, r.asked.AsOf)
		}
		rows := 0
		switch f {
		case export.CSV:
			all, err := csv.NewReader(strings.NewReader(content)).ReadAll()
			if rows = len(all) - 1; err != nil || all[1][10] != anEDR().Sender {
				t.Error(err, all[:2])
			}
		case export.JSONL:
			rows = strings.Count(content, "\n")
		case export.Parquet:
			file, err := parquet.OpenFile(strings.NewReader(content), int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			rows = int(file.NumRows())
		}
		if rows != 21_000 {
			t.Errorf("%s: %d rows", f.Name, rows)
		}
	}
}

func TestAFileThatBreaksIsNeverTakenForWhole(t *testing.T) {
	r := &told{edr: []readmodels.EDR{anEDR()}, repeated: 21_000, breaks: errors.New("connection lost")}
	w := reportingWorld(t, r)
	for _, f := range export.Formats() {
		if _, content, trailer, err := w.fetched(http.MethodGet, "/v1/edr?format="+f.Name, ""); err == nil || trailer.Get(reports.TrailerManifest) != "" {
			t.Errorf("%s: %d bytes and no error, trailers %v", f.Name, len(content), trailer)
		}
	}
	if got := strings.Count(w.logged.String(), "a request failed"); got != 3 {
		t.Errorf("logged %d times, want 3", got)
	}
	r.repeated, r.breaks, r.fails = 0, nil, errors.New("connection refused")
	a := w.call(http.MethodGet, "/v1/edr?format=csv", "")
	if a.status != http.StatusServiceUnavailable || a.problem(t).Code != "unavailable" {
		t.Errorf("before the first byte: %d %s", a.status, a.body)
	}
}

func TestHistoryOfAPerson(t *testing.T) {
	r := &told{edr: []readmodels.EDR{anEDR()}}
	w := reportingWorld(t, r)
	const number = "+393331234567"
	ask := func(body string) answer { return w.call(http.MethodPost, "/v1/reports/history", body) }
	byNumber := `{"destination":{"channel":"sms","address":"` + number + `"}}`
	if a := ask(byNumber); a.status != http.StatusOK || strings.TrimSpace(a.body) != `{"rows":[]}` {
		t.Errorf("unknown: %d %s", a.status, a.body)
	}
	w.submitted(`{"scenario":"appointment","recipient":"cust-42","to":{"sms":["` + number + `"]},"fields":{"day":"Monday"}}`)
	a := ask(byNumber)
	person := r.asked.Is["person"]
	if a.status != http.StatusOK || !strings.Contains(a.body, `"notification":"n"`) || !strings.Contains(a.body, `"final":true`) ||
		!strings.Contains(a.body, `"unattempted":[{"tenant":"","notification":"never-sent"`) || person == "" || strings.Contains(a.body, number) {
		t.Errorf("known: %d %s, asked for %+v", a.status, a.body, r.asked)
	}
	if ask(`{"recipient":"cust-42","from":"2026-11-01T00:00:00Z","limit":7}`); r.asked.Is["person"] != person || r.asked.Limit != 7 || r.asked.From.IsZero() {
		t.Errorf("by recipient: %+v", r.asked)
	}
	r.repeated = 1200
	status, content, trailer, err := w.fetched(http.MethodPost, "/v1/reports/history?format=csv", byNumber)
	if err != nil || status != http.StatusOK || strings.Count(content, `,delivered,true,"{""office"":""Rome""}"`+"\r\n") != 1200 || strings.Contains(trailer.Get(reports.TrailerManifest), number) || !strings.Contains(trailer.Get(reports.TrailerManifest), person) {
		t.Errorf("a file: %d %v %v", status, err, trailer)
	}
	other := w.newKey("acme")
	r.asked = readmodels.EDRQuery{}
	if a := w.call(http.MethodPost, "/v1/reports/history", byNumber, withKey(other)); strings.TrimSpace(a.body) != `{"rows":[]}` || r.asked.Tenant != "" {
		t.Errorf("another tenant's: %s", a.body)
	}
	if err := w.keys.MarkErased(t.Context(), "default", w.keyOf(t, "cust-42")); err != nil {
		t.Fatal(err)
	}
	if a := ask(byNumber); a.status != http.StatusOK || strings.TrimSpace(a.body) != `{"rows":[]}` {
		t.Errorf("erased: %d %s", a.status, a.body)
	}
	if strings.Contains(w.logged.String(), "3331234567") {
		t.Error("the number is logged")
	}
}

func (w *world) keyOf(t *testing.T, recipient string) string {
	t.Helper()
	link, found, err := w.sealer.PersonOf(t.Context(), "default", recipient)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	return link.KeyID
}

// A number that two recipients share names both: the history asks which, and shows the
// one that is chosen. A recipient id goes straight to its person.
func TestHistoryOfASharedNumberAsksWhich(t *testing.T) {
	r := &told{edr: []readmodels.EDR{anEDR()}}
	w := reportingWorld(t, r)
	const number = "+393331234567"
	for _, recipient := range []string{"cust-1", "cust-2"} {
		w.submitted(`{"scenario":"appointment","recipient":"` + recipient + `","to":{"sms":["` + number + `"]},"fields":{"day":"Monday"}}`)
	}
	ask := func(more string) answer {
		return w.call(http.MethodPost, "/v1/reports/history", `{"destination":{"kind":"phone","address":"`+number+`"}`+more+`}`)
	}
	a := ask("")
	var problem struct {
		Code    string
		Persons []struct {
			Person, Link string
			Recipient    bool
			From         time.Time
			To           *time.Time
		}
	}
	a.into(t, &problem)
	if a.status != http.StatusConflict || problem.Code != "several_persons" || len(problem.Persons) != 2 || r.asked.Is != nil || strings.Contains(a.body, number) {
		t.Fatalf("%d %s, asked for %+v", a.status, a.body, r.asked)
	}
	histories := map[string]bool{}
	for _, p := range problem.Persons {
		if p.Link != "held" || !p.Recipient || p.From.IsZero() || p.To != nil {
			t.Errorf("person: %+v", p)
		}
		if a := ask(`,"person":"` + p.Person + `"`); a.status != http.StatusOK || r.asked.Is["person"] != p.Person {
			t.Errorf("the history of one: %d %s", a.status, a.body)
		}
		histories[p.Person] = true
	}
	for _, recipient := range []string{"cust-1", "cust-2"} {
		if w.call(http.MethodPost, "/v1/reports/history", `{"recipient":"`+recipient+`"}`); !histories[r.asked.Is["person"]] {
			t.Errorf("the history of a recipient: %+v", r.asked)
		}
		delete(histories, r.asked.Is["person"])
	}
	for name, more := range map[string]string{
		"another's":               `,"person":"somebody"`,
		"without a destination":   `,"person":"somebody"`,
		"of a kind that is none":  "",
		"of a kind and a channel": "",
	} {
		body := `{"destination":{"kind":"phone","address":"` + number + `"}` + more + `}`
		switch name {
		case "without a destination":
			body = `{"recipient":"cust-1"` + more + `}`
		case "of a kind that is none":
			body = `{"destination":{"kind":"pigeon","address":"` + number + `"}}`
		case "of a kind and a channel":
			body = `{"destination":{"kind":"phone","channel":"sms","address":"` + number + `"}}`
		}
		if a := w.call(http.MethodPost, "/v1/reports/history", body); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, number) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestHistoryOfANotificationHasItsEvents(t *testing.T) {
	r := &told{edr: []readmodels.EDR{anEDR()}}
	w := reportingWorld(t, r)
	id := w.submitted(appointment).ID
	var got struct {
		Rows   []json.RawMessage
		State  struct{ State string }
		Events []struct{ Type string }
	}
	w.call(http.MethodPost, "/v1/reports/history", `{"notification":"`+id+`"}`).into(t, &got)
	if len(got.Rows) != 1 || got.State.State != "requested" || len(got.Events) != 1 || r.asked.Is["notification"] != id {
		t.Errorf("%+v, asked for %+v", got, r.asked)
	}
	theirs := w.call(http.MethodPost, "/v1/reports/history", `{"notification":"`+id+`"}`, withKey(w.newKey("acme")))
	if strings.Contains(theirs.body, "events") || strings.Contains(theirs.body, "requested") {
		t.Errorf("another tenant sees %s", theirs.body)
	}
	for _, kind := range []string{"campaign", "scenario"} {
		if w.call(http.MethodPost, "/v1/reports/history", `{"`+kind+`":"hello"}`); r.asked.Is[kind] != "hello" {
			t.Errorf("of a %s: %+v", kind, r.asked)
		}
	}
}

func TestCountsAreAskedFor(t *testing.T) {
	r := &told{}
	w := reportingWorld(t, r)
	a := w.call(http.MethodGet, "/v1/reports/accounting?month=2026-11&group_by=month,channel&test=false&status=delivered&as_of=2026-01-01T00:00:00Z", "")
	if a.status != http.StatusOK || !strings.Contains(a.body, `"billable_units":6`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	want := readmodels.CountQuery{
		Tenant: "default", From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		GroupBy: []string{"month", "channel"}, Where: map[string][]string{"test": {"false"}, "status": {"delivered"}}, AsOf: new(uint64(42)),
	}
	if diff := cmp.Diff(want, r.counted); diff != "" {
		t.Error(diff)
	}
	status, content, _, err := w.fetched(http.MethodGet, "/v1/reports/accounting?month=2026-11&group_by=month,channel&format=csv", "")
	if err != nil || status != http.StatusOK || content != "month,channel,messages,units,billable,billable_units,unpriced\r\n2026-11-01,sms,7,9,5,6,5\r\n" {
		t.Errorf("%d %v %q", status, err, content)
	}
	status, content, _, err = w.fetched(http.MethodGet, "/v1/reports/rollups?from=2026-11-01T00:00:00Z&grain=day&measure=sent,delivered&format=jsonl", "")
	if err != nil || status != http.StatusOK || content != `{"start":"2026-11-01T00:00:00.000000Z","measure":"sent","n":3}`+"\n" {
		t.Errorf("%d %v %q", status, err, content)
	}
	if diff := cmp.Diff(map[string][]string{"grain": {"day"}, "basis": {"event"}, "measure": {"sent", "delivered"}}, r.counted.Where); diff != "" {
		t.Error(diff)
	}
	r.fails = readmodels.ErrTooManyLines
	if a := w.call(http.MethodGet, "/v1/reports/accounting", ""); a.status != http.StatusUnprocessableEntity {
		t.Errorf("too many lines: %d %s", a.status, a.body)
	}
}

// The catalogue stands alone, or with the values of a period, and is a file too.
func TestMetricsAreAskedFor(t *testing.T) {
	r := &told{}
	w := reportingWorld(t, r)
	var got struct{ Metrics []readmodels.MetricValue }
	value := func(name string) string {
		for _, m := range got.Metrics {
			if m.Name == name && m.Value != nil {
				return fmt.Sprint(*m.Value)
			}
		}
		return "none"
	}
	w.call(http.MethodGet, "/v1/reports/metrics", "").into(t, &got)
	if len(got.Metrics) != len(readmodels.Metrics) || got.Metrics[8].SQL != readmodels.Metrics[8].SQL || value("sent") != "none" || r.counted.Tenant != "" {
		t.Errorf("the catalogue: %d metrics, sent is %s, asked for %+v", len(got.Metrics), value("sent"), r.counted)
	}
	const days = "/v1/reports/metrics?from=2026-11-01T00:00:00Z&to=2026-11-03T00:00:00Z&channel=sms&as_of=2026-01-01T00:00:00Z"
	w.call(http.MethodGet, days, "").into(t, &got)
	if value("sent") != "3" || value("requested") != "none" || value("billable_messages") != "5" || value("read_rate") != "none" || value("pending_rate") != "1" {
		t.Errorf("values: %+v", got)
	}
	want := readmodels.CountQuery{ // the last that is asked for is accounting
		Tenant: "default", From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC),
		Where: map[string][]string{"test": {"false"}, "channel": {"sms"}}, AsOf: new(uint64(42)),
	}
	if diff := cmp.Diff(want, r.counted); diff != "" {
		t.Error(diff)
	}
	w.call(http.MethodGet, "/v1/reports/metrics?from=2026-11-01T07:00:00Z&test=true", "").into(t, &got)
	if value("sent") != "3" || value("requested") != "0" || value("billable_messages") != "none" || r.counted.Where["test"][0] != "true" {
		t.Errorf("by hours: %+v", got)
	}
	status, content, trailer, err := w.fetched(http.MethodGet, days+"&format=csv", "")
	if err != nil || status != http.StatusOK || !strings.HasPrefix(content, "name,meaning,numerator,denominator,unit,basis,sql,value\r\nrequested,") || trailer.Get(reports.TrailerRows) != fmt.Sprint(len(readmodels.Metrics)) {
		t.Errorf("a file: %d %v %q", status, err, content)
	}
}
