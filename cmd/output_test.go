package cmd

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recapito/cmd/instance"
)

// recording is what an instance returned for a path, and the body that it must be sent.
type recording struct {
	status int // 200 if 0
	body   string
	sent   string // JSON that the request must hold; "" if none
	query  string // what the query must contain
}

// recorded is a folder on which an instance seems to run, which returns what was recorded
// by method and path. Any other request fails the test.
func recorded(t *testing.T, all map[string]recording) (dir string) {
	t.Helper()
	const key = "the-local-key"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" {
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+key || r.Header.Get("Recapito-Tenant") != "default" {
			t.Errorf("%s %s: without the key or the tenant", r.Method, r.URL.Path)
		}
		one, known := all[r.Method+" "+r.URL.Path]
		if !known {
			t.Errorf("%s %s was not recorded", r.Method, r.URL.Path)
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if string(sent) != one.sent {
			t.Errorf("%s %s was sent %s, not %s", r.Method, r.URL.Path, sent, one.sent)
		}
		if !strings.Contains(r.URL.RawQuery, one.query) {
			t.Errorf("%s %s: the query %s lacks %s", r.Method, r.URL.Path, r.URL.RawQuery, one.query)
		}
		if one.status != 0 {
			w.WriteHeader(one.status)
		}
		_, _ = io.WriteString(w, one.body)
	}))
	t.Cleanup(server.Close)
	dir = t.TempDir()
	raw, err := json.Marshal(instance.RunFile{HTTP: strings.TrimPrefix(server.URL, "http://"), APIKey: key})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "run.json"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	recordedID      = "0193c1a0-0000-7000-8000-000000000001"
	recordedHistory = `{"id":"` + recordedID + `","events":[
		{"revision":0,"type":"NotificationRequested","what":"Requested: scenario appointment, priority normal.","occurred_at":"2026-12-01T09:30:00Z","recorded_at":"2026-12-01T09:30:00.001Z","who":"local"},
		{"revision":1,"type":"NotificationOutcomeUnknown","what":"Attempt 1 by sms.","occurred_at":"2026-12-01T10:30:01+01:00","recorded_at":"2026-12-01T09:30:02Z","who":"system:dispatch"}]}`
	recordedTimeline = `OCCURRED (UTC)           RECORDED (UTC)           WHO                EVENT              WHAT
2026-12-01 09:30:00.000  2026-12-01 09:30:00.001  local              requested          Requested: scenario appointment, priority normal.
2026-12-01 09:30:01.000  2026-12-01 09:30:02.000  system:dispatch    outcome unknown    Attempt 1 by sms.
`
	recordedRow = `{"notification":"` + recordedID + `","attempt":1,"channel":"sms","route":"smsc","scenario":"appointment","status":"delivered","due_at":"2026-12-01T09:30:00Z","delivery_ms":1500}`
	printedRow  = `DUE (UTC)            NOTIFICATION                          TRY  CHANNEL  ROUTE  SCENARIO     STATUS     CODE  DELIVERY
2026-12-01 09:30:00  ` + recordedID + `    1  sms      smsc   appointment  delivered  -         1.5s
`
)

// Every verb prints what the instance returned, to the byte, and exits with its code.
func TestWhatVerbsPrint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args     string
		recorded map[string]recording
		out      string
		err      string // what the error contains; "" if there is none
	}{
		"send": {
			args: "send appointment --to sms=+393331234567 --field day=Monday --recipient cust-42 --test",
			recorded: map[string]recording{"POST /v1/notifications": {
				status: 202, body: `{"id":"` + recordedID + `","state":"scheduled"}`,
				sent: `{"fields":{"day":"Monday"},"recipient":"cust-42","scenario":"appointment","test":true,"to":{"sms":["+393331234567"]}}`,
			}},
			out: recordedID + "\n",
		},
		"send that is refused": {
			args: "send nosuch --to sms=+393331234567",
			recorded: map[string]recording{"POST /v1/notifications": {
				status: 422, sent: `{"scenario":"nosuch","to":{"sms":["+393331234567"]}}`,
				body: `{"title":"the request breaks rules","status":422,"code":"invalid","errors":[{"field":"scenario","message":"there is no such scenario"}]}`,
			}},
			err: "exit 1: recapito: the request breaks rules (422 invalid)\n  scenario: there is no such scenario",
		},
		"show": {
			args: "show " + recordedID,
			recorded: map[string]recording{
				"GET /v1/notifications/" + recordedID:             {body: `{"id":"` + recordedID + `","state":"outcome_unknown","final":false}`},
				"GET /v1/notifications/" + recordedID + "/events": {body: recordedHistory, query: "limit=1000"},
			},
			out: recordedTimeline + "\nstate outcome_unknown, not final yet\n",
		},
		"keys list": {
			args: "keys list",
			recorded: map[string]recording{"GET /v1/keys": {body: `{"keys":[{"id":"k1","label":"shop","created_at":"2026-12-01T09:30:00Z"},
				{"id":"k2","created_at":"2026-12-01T09:30:00Z","revoked_at":"2026-12-02T09:30:00Z"}]}`}},
			out: "ID  CREATED               REVOKED               LABEL\nk1  2026-12-01T09:30:00Z  -                     shop\nk2  2026-12-01T09:30:00Z  2026-12-02T09:30:00Z  \n",
		},
		"keys create": {
			args:     "keys create --label shop",
			recorded: map[string]recording{"POST /v1/keys": {status: 201, sent: `{"label":"shop"}`, body: `{"id":"k1","key":"secret"}`}},
			out:      "secret\n",
		},
		"report edr": {
			args:     "report edr -f status=delivered --limit 1",
			recorded: map[string]recording{"GET /v1/edr": {body: `{"rows":[` + recordedRow + `]}`, query: "limit=1&status=delivered"}},
			out:      printedRow,
		},
		"report history of a notification": {
			args: "report history --notification " + recordedID,
			recorded: map[string]recording{"POST /v1/reports/history": {
				sent: `{"limit":50,"notification":"` + recordedID + `"}`,
				body: `{"rows":[` + recordedRow + `],"state":{"state":"delivered"},"events":` + recordedHistory[strings.Index(recordedHistory, "["):],
			}},
			out: printedRow + "\n" + recordedTimeline + "\nstate delivered\n",
		},
		"report history of nothing": {
			args: "report history --destination sms=+393330000000",
			recorded: map[string]recording{"POST /v1/reports/history": {
				sent: `{"destination":{"address":"+393330000000","kind":"sms"},"limit":50}`, body: `{"rows":[]}`,
			}},
			out: "no attempts\n",
		},
		"report accounting": {
			args: "report accounting --group-by channel,status",
			recorded: map[string]recording{"GET /v1/reports/accounting": {query: "group_by=channel%2Cstatus", body: `{"rows":[
				{"channel":"sms","status":"delivered","messages":1200,"units":1300,"billable":1200,"billable_units":1300,"unpriced":1300},
				{"channel":"sms","status":"undelivered","messages":3,"units":3,"billable":0,"billable_units":0,"unpriced":0}]}`}},
			out: `CHANNEL  STATUS       MESSAGES  UNITS  BILLABLE  BILLABLE UNITS  UNPRICED
sms      delivered       1,200  1,300     1,200           1,300     1,300
sms      undelivered         3      3         0               0         0
total    -               1,203  1,303     1,200           1,300     1,300
`,
		},
		"report of a month without anything": {
			args:     "report accounting --month 2020-01",
			recorded: map[string]recording{"GET /v1/reports/accounting": {query: "month=2020-01", body: `{"rows":[]}`}},
			out:      nothingCounted + "\n",
		},
		"report while the read models are behind": {
			args: "report edr",
			recorded: map[string]recording{"GET /v1/edr": {
				status: 503, body: `{"title":"behind","status":503,"code":"behind"}`,
			}},
			err: "look at /readyz",
		},
		"rebuild": {
			args: "rebuild edr",
			recorded: map[string]recording{
				"POST /v1/projections/edr:rebuild": {status: 202, body: `{"name":"edr","state":"rebuilding"}`},
				"GET /v1/projections/edr":          {body: `{"name":"edr","state":"live","done":7,"total":7}`},
			},
			out: "edr is rebuilt: 7 events in ",
		},
		"audit reconcile": {
			args: "audit reconcile",
			recorded: map[string]recording{"POST /v1/projections:reconcile": {body: `{"progress":{"done":1,"total":2}}
{"result":{"events":12,"rows":1034,"differences":[{"table":"accounting","key":"acme/2026-12-01","what":"messages is 7, not 0"}]}}
`}},
			out: "accounting acme/2026-12-01: messages is 7, not 0\n1,034 rows and cells compared with 12 events: 1 differences\n",
			err: "exit 1: ",
		},
		"audit reconcile that breaks off": {
			args:     "audit reconcile",
			recorded: map[string]recording{"POST /v1/projections:reconcile": {body: `{"progress":{"done":1,"total":2}}` + "\n"}},
			err:      "the comparison was cut off",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := verb(t, append(strings.Fields(c.args), "--data", recorded(t, c.recorded))...)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("the error is %v, wanted %q", err, c.err)
			}
			if out != c.out && (name != "rebuild" || !strings.Contains(out, c.out)) { // which prints how long it took
				t.Errorf("it printed\n%s\nwanted\n%s", out, c.out)
			}
		})
	}
}
