package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recapito/adapters/eventlog"
	"recapito/adapters/keystore"
	"recapito/adapters/scenariofile"
	"recapito/adapters/smpp"
	"recapito/api"
	"recapito/api/reports"
	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/calls"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/commands/sealing"
	"recapito/domain/catalogue"
	"recapito/domain/content"
	"recapito/domain/dimension"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/scenario"
)

// world is the API over a real ledger, in process.
type world struct {
	t      testing.TB
	keys   *keystore.Store
	sealer *sealing.Sealing
	store  *eventlog.Log
	ledger *commands.Ledger
	access *access.Access
	calls  *calls.Recorder
	// stopCalls ends the record, with what waits for it.
	stopCalls func()
	server    *httptest.Server
	logged    *locked
	adminKey  string
	key       string // of the tenant default
	metrics   *prometheus.Registry
	reports   reports.Sources
}

// locked is a buffer that many goroutines log into.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// samples are the sample scenarios, and those of a second tenant.
func samples(t testing.TB) *scenariofile.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../cmd/scenarios")); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("typed.yaml", `
name: typed
fields:
  - {name: day, type: date, required: true}
  - {name: amount, type: number}
  - {name: paid, type: boolean}
  - {name: note, type: text}
  - {name: office, type: text, personal: false}
steps: [{channel: sms}]
content: {sms: {text: "On {{ day }}"}}
`)
	write("acme.yaml", "name: hello\ntenant: acme\nsteps: [{channel: sms}]\ncontent: {sms: {text: Hello}}\n")
	set, err := scenariofile.LoadFS(os.DirFS(dir), dir, scenario.Channels{"sms": {Content: content.SMS, Sender: smpp.Kind.Sender, Routed: true}, "email": {Content: content.Email}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func newWorld(t testing.TB, change ...func(*world, *api.Options)) *world {
	t.Helper()
	w := &world{t: t, logged: &locked{}, adminKey: access.NewKey(), metrics: prometheus.NewRegistry()}
	log := slog.New(slog.NewJSONHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	store, err := eventlog.Open(eventlog.Options{Dir: t.TempDir(), CacheBytes: 1 << 20, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w.store = store
	keys, err := keystore.Open(t.TempDir(), keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	sealer, err := sealing.New(keys, bytes.Repeat([]byte{7}, sealing.MasterKeyBytes), sealing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.keys, w.sealer = keys, sealer
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	w.ledger = &commands.Ledger{Store: store, Codec: codec, Sealer: sealer, Now: func() time.Time { return time.Now().UTC() }}
	t.Cleanup(w.ledger.Close)
	scenarios := samples(t)
	routes := channel.Routes{{Name: "sim", Kind: commandstest.SMS, Policy: channel.DefaultPolicy()}}

	w.access = access.New(w.ledger, access.Options{AdminKey: w.adminKey, Log: log})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.access.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	select {
	case <-w.access.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the keys were not read")
	}
	w.calls = calls.New(w.ledger, log)
	recording, stopRecording := context.WithCancel(t.Context())
	recorded := make(chan struct{})
	go func() { defer close(recorded); w.calls.Run(recording) }()
	w.stopCalls = func() { stopRecording(); <-recorded }
	t.Cleanup(w.stopCalls)
	notifications := commands.NewNotifications(w.ledger)
	o := api.Options{
		Intake: intake.New(intake.Config{
			Ledger: w.ledger, Notifications: notifications, Persons: sealer, Scenarios: scenarios, Routes: routes,
		}),
		Notifications: notifications,
		Access:        w.access, Calls: w.calls, Scenarios: scenarios, Log: log, Metrics: w.metrics, Version: "test",
	}
	for _, c := range change {
		c(w, &o)
	}
	w.reports.Notifications = o.Notifications
	o.Resources = append(o.Resources, reports.New(w.reports))
	w.server = httptest.NewUnstartedServer(nil)
	w.server.Config = api.NewServer(api.New(o), log)
	w.server.Start()
	t.Cleanup(w.server.Close)
	w.key = w.newKey("default")
	return w
}

func (w *world) newKey(tenant string) string {
	w.t.Helper()
	created, err := w.access.Create(w.t.Context(), commands.Origin{Actor: access.AdminActor}, tenant, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return created.Text
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("the answer is not JSON: %v", err)
	}
}

// problem returns the problem that a refusal is, and checks its form.
func (a answer) problem(t testing.TB) api.Problem {
	t.Helper()
	var p api.Problem
	a.into(t, &p)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("status %d: content type %q", a.status, got)
	}
	known := slices.IndexFunc(api.Codes(), func(i api.CodeInfo) bool { return i.Code == p.Code })
	if known < 0 {
		t.Errorf("status %d: the code %q is not listed", a.status, p.Code)
		return p
	}
	if info := api.Codes()[known]; info.Status != a.status || p.Status != a.status || p.Title != info.Title {
		t.Errorf("code %s: answered %d, says %d %q; listed as %d %q", p.Code, a.status, p.Status, p.Title, info.Status, info.Title)
	}
	for _, f := range p.Errors {
		if f.Field == "" || f.Message == "" || !slices.Contains(api.FieldCodes(), f.Code) {
			t.Errorf("code %s: a field problem without place or message, or of a code not listed: %+v", p.Code, f)
		}
	}
	return p
}

// placesOf lists what a problem names, each place with its rule.
func placesOf(p api.Problem) []string {
	var all []string
	for _, f := range p.Errors {
		all = append(all, f.Field+" "+f.Code)
	}
	return all
}

type option func(*http.Request)

func header(name, value string) option { return func(r *http.Request) { r.Header.Add(name, value) } }

func withKey(key string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
}

// call sends a request with the key of tenant default; a body is JSON unless an option
// is set otherwise.
func (w *world) call(method, path, body string, options ...option) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+w.key)
	for _, o := range options {
		o(r)
	}
	res, err := w.server.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(content)}
}

func (w *world) admin() option { return withKey(w.adminKey) }

const appointment = `{"scenario":"appointment","to":{"sms":["+393331234567"]},"fields":{"day":"Monday"}}`

type accepted struct {
	ID       string            `json:"id"`
	State    string            `json:"state"`
	Position uint64            `json:"position"`
	Links    map[string]string `json:"links"`
}

// submitted sends a request that must be accepted.
func (w *world) submitted(body string, options ...option) accepted {
	w.t.Helper()
	a := w.call(http.MethodPost, "/v1/notifications", body, options...)
	if a.status != http.StatusAccepted {
		w.t.Fatalf("status %d: %s", a.status, a.body)
	}
	var out accepted
	a.into(w.t, &out)
	return out
}

// on issues a command to a notification, as the parts behind the API do.
func (w *world) on(id string, c notification.Command) notification.State {
	w.t.Helper()
	h := commands.NewHandler(w.ledger, notification.Decider)
	r, err := h.Handle(w.t.Context(), commands.Origin{Tenant: "default", Actor: "system:test", Correlation: id}, notification.Stream(id), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.State
}

// planned enriches a notification with one step of one attempt.
func (w *world) planned(id string) {
	w.t.Helper()
	l, err := commands.NewHandler(w.ledger, notification.Decider).Load(w.t.Context(), notification.Stream(id))
	if err != nil {
		w.t.Fatal(err)
	}
	to := l.State.Requested.To["sms"][0]
	w.on(id, notification.Enrich{
		Scenario: "appointment", Version: "1", At: w.ledger.Now(),
		Plan: notification.Plan{Steps: []notification.Step{{
			Wanted: notification.Delivered, Wait: notification.Duration(time.Hour),
			Targets: []notification.Target{{
				OfAttempt: dimension.OfAttempt{Channel: "sms", Route: "sim", Sender: "Test", Country: "IT"}, Destination: to,
				Content: personal.New(to.Ref(), secretText), Units: 1, Policy: channel.DefaultPolicy(),
			}},
		}}},
		Why: []notification.Consideration{{Step: 1, Channel: "sms", Chosen: true, Reason: "the request names an address"}},
	})
}

// secretText is a rendered text: nothing may ever show it.
const secretText = "SecretTextOfTheMessage"

const claimID = "claim-1"

// dispatched plans a notification and claims its attempt.
func (w *world) dispatched(id string) {
	w.t.Helper()
	w.planned(id)
	w.on(id, notification.Claim{Attempt: 1, Claim: claimID, Token: "token", TokenKey: "key", At: w.ledger.Now()})
}

// refused lets the provider refuse the claimed attempt.
func (w *world) refused(id, code string) {
	w.t.Helper()
	w.on(id, notification.RecordOutcome{
		Attempt: 1, Claim: claimID, At: w.ledger.Now(),
		Units: []notification.UnitOutcome{{Fate: notification.UnitRefused, Code: code, At: w.ledger.Now()}},
	})
}

// taken lets the provider take it.
func (w *world) taken(id string) {
	w.t.Helper()
	w.on(id, notification.RecordOutcome{
		Attempt: 1, Claim: claimID, At: w.ledger.Now(),
		Units: []notification.UnitOutcome{{Fate: notification.UnitAccepted, ProviderID: "p-1", At: w.ledger.Now()}},
	})
}
