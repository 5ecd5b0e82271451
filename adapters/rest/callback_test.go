package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"recapito/adapters/rest"
	"recapito/commands/channel"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

var clock = time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)

// callbackRoute opens a route whose callbacks the test calls by itself.
func callbackRoute(t *testing.T, taken *sinks, set func(*rest.Settings)) (*rest.Route, *bytes.Buffer) {
	t.Helper()
	s := withCallbacks(settings("https://service.example/m"))
	if set != nil {
		set(s)
	}
	var log bytes.Buffer
	return open(t, s, channel.Options{
		Receipts: taken, Replies: taken, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return clock },
	}), &log
}

// post calls back, with the secret unless the headers say otherwise.
func post(r *rest.Route, body string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/v1/callbacks/r", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.Callback().ServeHTTP(w, req)
	return w
}

func TestCallbacks(t *testing.T) {
	reference := message(1, "").Reference
	at := func(s string) time.Time {
		x, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		name     string
		set      func(*rest.Settings)
		body     string
		headers  []string
		receipts []channel.ProviderReceipt
		replies  []channel.ProviderReply
	}{
		{
			name: "delivered", body: `{"id":"a1","reference":"` + reference + `","status":"DELIVERED","to":"user-1","at":"2026-12-01T10:29:58+01:00"}`,
			receipts: []channel.ProviderReceipt{{ProviderID: "a1", Reference: reference, Unit: 1, Destination: "user-1", Status: receipt.Delivered, OccurredAt: at("2026-12-01T09:29:58Z"), OccurredWithin: time.Second}},
		},
		{
			name: "undelivered without a code has its word", body: `{"id":7,"status":"expired"}`,
			receipts: []channel.ProviderReceipt{{ProviderID: "7", Status: receipt.Undelivered, Code: "expired"}},
		},
		{
			name: "an unknown word changes nothing", body: `{"id":"a1","status":"teleported","code":0}`,
			receipts: []channel.ProviderReceipt{{ProviderID: "a1", Status: receipt.Intermediate, Code: "0"}},
		},
		{
			name: "an unreadable time costs no receipt", body: `{"id":"a1","status":"read","at":"yesterday"}`,
			receipts: []channel.ProviderReceipt{{ProviderID: "a1", Status: receipt.Read}},
		},
		{
			name: "an array, and what is ignored", body: `{"events":[{"id":"a1","status":"delivered"},{"type":"ping"},{"id":"a2","reply":{"id":"r1","text":"yes\nplease"},"at":"2026-12-01T09:29:58.5Z"}]}`,
			set: func(s *rest.Settings) {
				s.Callback.Items = "/events"
				s.Callback.Ignore = rest.Condition{Pointer: "/type", Is: []string{"ping"}}
			},
			receipts: []channel.ProviderReceipt{{ProviderID: "a1", Status: receipt.Delivered}},
			replies:  []channel.ProviderReply{{ReplyID: "r1", ProviderID: "a2", Text: "yes\nplease", OccurredAt: at("2026-12-01T09:29:58.5Z")}},
		},
		{
			name: "the words of the route", body: `{"id":"a1","status":"17"}`,
			set:      func(s *rest.Settings) { s.Statuses = map[string]receipt.Status{"17": "delivered"} },
			receipts: []channel.ProviderReceipt{{ProviderID: "a1", Status: receipt.Delivered}},
		},
		{
			name: "a form", body: "MessageSid=S1&MessageStatus=failed&ErrorCode=30003&Epoch=1796117398",
			headers: []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
			set: func(s *rest.Settings) {
				c := &s.Callback
				c.ProviderID, c.Status, c.Code, c.OccurredAt, c.TimeFormat, c.Reply = "/MessageSid", "/MessageStatus", "/ErrorCode", "/Epoch", "unix", rest.Reply{}
			},
			receipts: []channel.ProviderReceipt{{ProviderID: "S1", Status: receipt.Undelivered, Code: "30003", OccurredAt: time.Unix(1796117398, 0).UTC(), OccurredWithin: time.Second}},
		},
		{
			name: "milliseconds", body: `{"id":"a1","status":"delivered","at":1796117398123}`,
			set:      func(s *rest.Settings) { s.Callback.TimeFormat = "unix_ms" },
			receipts: []channel.ProviderReceipt{{ProviderID: "a1", Status: receipt.Delivered, OccurredAt: time.UnixMilli(1796117398123).UTC(), OccurredWithin: time.Millisecond}},
		},
		{
			name: "a service without ids", body: `{"reference":"` + reference + `","status":"delivered"}`,
			set:      func(s *rest.Settings) { s.Response.ProviderID = rest.Place{} },
			receipts: []channel.ProviderReceipt{{ProviderID: reference, Reference: reference, Unit: 1, Status: receipt.Delivered}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken := &sinks{}
			r, _ := callbackRoute(t, taken, c.set)
			if w := post(r, c.body, c.headers...); w.Code != http.StatusNoContent {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			receipts, replies := taken.taken()
			for i := range c.receipts {
				c.receipts[i].Route, c.receipts[i].ReceivedAt = "r", clock
			}
			for i := range c.replies {
				c.replies[i].Route, c.replies[i].ReceivedAt = "r", clock
			}
			if diff := cmp.Diff(c.receipts, receipts); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.replies, replies); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestACallbackThatComesAgainIsTheSame: what the sinks get is equal but for the time of
// receipt, so that the ledger counts it once.
func TestACallbackThatComesAgainIsTheSame(t *testing.T) {
	taken := &sinks{}
	r, _ := callbackRoute(t, taken, nil)
	body := `{"id":"a1","status":"delivered","at":"2026-12-01T09:29:58Z","reply":{"id":"r1","text":"ok"}}`
	for range 2 {
		if w := post(r, body); w.Code != http.StatusNoContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	receipts, replies := taken.taken()
	if len(receipts) != 2 || receipts[0] != receipts[1] || len(replies) != 2 || replies[0] != replies[1] {
		t.Errorf("%+v, %+v", receipts, replies)
	}
}

// TestRefusedCallbacks: nothing is stored, the problem names the rule, and neither it nor
// the log holds a value.
func TestRefusedCallbacks(t *testing.T) {
	const ok = `{"id":"` + personal + `","status":"delivered"}`
	for _, c := range []struct {
		name    string
		body    string
		headers []string
		status  int
		code    string
		detail  string
	}{
		{"no secret", ok, []string{"Authorization", ""}, 401, "unauthorized", "secret"},
		{"a wrong secret", ok, []string{"Authorization", "Bearer " + secret[1:]}, 401, "unauthorized", "secret"},
		{"another scheme", ok, []string{"Authorization", "Basic " + secret}, 401, "unauthorized", "secret"},
		{"no JSON", `{"id":"` + personal, nil, 400, "bad_json", "byte"},
		{"two members", `{"id":"` + personal + `","id":"x","status":"read"}`, nil, 400, "duplicate_member", "twice"},
		{"too deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), nil, 400, "bad_json", "deeper"},
		{"another media type", ok, []string{"Content-Type", "text/xml"}, 415, "unsupported_media_type", "application/json"},
		{"too large", `{"id":"` + strings.Repeat(personal, 30_000) + `"}`, nil, 413, "too_large", "larger"},
		{"no object", `["` + personal + `"]`, nil, 422, "invalid", "item 0: must be an object"},
		{"no status", `{"id":"` + personal + `"}`, nil, 422, "invalid", "item 0: status is required"},
		{"no id", `{"status":"delivered"}`, nil, 422, "invalid", "item 0: provider_id or reference is required"},
		{"a status that is an object", `{"id":"x","status":{"` + personal + `":1}}`, nil, 422, "invalid", "status must be a string"},
		{"an id too long", `{"id":"` + strings.Repeat(personal, 100) + `","status":"read"}`, nil, 422, "invalid", "provider_id has 1300 bytes"},
		{"an id of two lines", `{"id":"` + personal + `\n","status":"a\nb"}`, nil, 422, "invalid", "must be one line"},
		{"a reply without an id", `{"id":"x","reply":{"text":"` + personal + `"}}`, nil, 422, "invalid", "reply.id and reply.text are required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken := &sinks{}
			r, log := callbackRoute(t, taken, nil)
			w := post(r, c.body, c.headers...)
			var p struct{ Type, Code, Detail string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") != "application/problem+json" || p.Type != "urn:recapito:problem:"+c.code {
				t.Errorf("type %q, %q", w.Header().Get("Content-Type"), p.Type)
			}
			if strings.Contains(w.Body.String()+log.String(), personal) || strings.Contains(w.Body.String()+log.String(), secret[1:]) {
				t.Errorf("a value: %s %s", w.Body, log)
			}
			if receipts, replies := taken.taken(); len(receipts)+len(replies) > 0 {
				t.Error("something was stored")
			}
		})
	}
	r, _ := callbackRoute(t, &sinks{}, nil)
	w := httptest.NewRecorder()
	r.Callback().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d", w.Code)
	}
	none := open(t, settings("https://service.example/"), channel.Options{})
	if w := post(none, ok); w.Code != http.StatusNotFound {
		t.Errorf("a route without callbacks: %d", w.Code)
	}
}

// TestOneItemDoesNotStopTheOthers: an item that breaks a rule, or whose reply names no
// message, is refused by its number; the others are stored.
func TestOneItemDoesNotStopTheOthers(t *testing.T) {
	taken := &sinks{refuse: "nobody"}
	r, log := callbackRoute(t, taken, nil)
	w := post(r, `[{"id":"nobody","reply":{"id":"o1","text":"`+personal+`"}},{"id":"x","status":"read"},{"id":"`+personal+`"},7,{"id":"y","status":"delivered"}]`)
	var p struct{ Detail string }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusUnprocessableEntity {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if want := "item 2: status is required: the item is neither a status nor a reply; item 3: must be an object; item 0: there is no such message"; p.Detail != want {
		t.Errorf("%q, want %q", p.Detail, want)
	}
	if strings.Contains(w.Body.String()+log.String(), personal) {
		t.Errorf("a value: %s %s", w.Body, log)
	}
	if receipts, replies := taken.taken(); len(receipts) != 2 || receipts[0].ProviderID != "x" || receipts[1].ProviderID != "y" || len(replies) != 0 {
		t.Errorf("%d receipts, %d replies", len(receipts), len(replies))
	}
}

// TestACallbackIsTakenOnceItIsStored: 503 until the sink has it.
func TestACallbackIsTakenOnceItIsStored(t *testing.T) {
	taken := &sinks{fail: true}
	r, _ := callbackRoute(t, taken, nil)
	body := `{"id":"a1","status":"delivered"}`
	if w := post(r, body); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	taken.mu.Lock()
	taken.fail = false
	taken.mu.Unlock()
	if w := post(r, body); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTooManyCallbacksAtOnce(t *testing.T) {
	gate := &gated{asked: make(chan struct{}), open: make(chan struct{})}
	s := withCallbacks(settings("https://service.example/m"))
	s.Callback.Concurrency = 1
	r := open(t, s, channel.Options{Receipts: gate})
	var first sync.WaitGroup
	first.Go(func() {
		if w := post(r, `{"id":"a1","status":"delivered"}`); w.Code != http.StatusNoContent {
			t.Errorf("the first: %d", w.Code)
		}
	})
	<-gate.asked
	if w := post(r, `{"id":"a2","status":"delivered"}`); w.Code != http.StatusServiceUnavailable {
		t.Errorf("the second: %d", w.Code)
	}
	close(gate.open)
	first.Wait()
}

type sent struct{ timestamp, id, body string }

func (s sent) standard(t *testing.T, key string) []string {
	wh, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	seconds, _ := strconv.ParseInt(s.timestamp, 10, 64)
	signature, err := wh.Sign(s.id, time.Unix(seconds, 0), []byte(s.body))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"webhook-id", s.id, "webhook-timestamp", s.timestamp, "webhook-signature", signature}
}

func TestSignedCallbacks(t *testing.T) {
	const key, other = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
	now := strconv.FormatInt(clock.Unix(), 10)
	old := strconv.FormatInt(clock.Add(-6*time.Minute).Unix(), 10)
	ahead := strconv.FormatInt(clock.Add(6*time.Minute).Unix(), 10)
	body := `{"id":"a1","status":"delivered"}`
	good := sent{now, "m1", body}
	for _, c := range []struct {
		name    string
		body    string
		headers []string
		status  int
	}{
		{"signed", body, good.standard(t, key), 204},
		{"signed, and again", body, good.standard(t, key), 204},
		{"with the previous secret", body, good.standard(t, other), 204},
		{"with another secret", body, good.standard(t, "whsec_"+strings.Repeat("A", 40)), 401},
		{"another body", body + " ", good.standard(t, key), 401},
		{"another id", body, append(good.standard(t, key), "webhook-id", "m2"), 401},
		{"another time", body, append(good.standard(t, key), "webhook-timestamp", strconv.FormatInt(clock.Unix()-1, 10)), 401},
		{"old", body, sent{old, "m1", body}.standard(t, key), 401},
		{"from the future", body, sent{ahead, "m1", body}.standard(t, key), 401},
		{"not signed", body, nil, 401},
		{"another spelling of the time", body, append(good.standard(t, key), "webhook-timestamp", "+"+now), 401},
	} {
		r, _ := callbackRoute(t, &sinks{}, func(s *rest.Settings) {
			s.Callback.Auth = rest.CallbackAuth{Type: "signature", Signature: rest.Signature{
				Scheme: "standard-webhooks", Secrets: []channel.Secret{{Value: key}, {Value: other}}, Tolerance: 5 * time.Minute,
			}}
		})
		if w := post(r, c.body, c.headers...); w.Code != c.status {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
}

// TestHMACCallbacks: what one route signs, another verifies, in every form.
func TestHMACCallbacks(t *testing.T) {
	for _, form := range []rest.Signature{
		{Over: "body", Encoding: "hex", Prefix: "sha256=", Header: "X-Hub-Signature-256"},
		{Over: "timestamp.body", Encoding: "base64"},
		{},
	} {
		form.Scheme, form.Secrets, form.Tolerance = "hmac-sha256", []channel.Secret{{Value: secret}}, time.Minute
		taken := &sinks{}
		to, _ := callbackRoute(t, taken, func(s *rest.Settings) { s.Callback.Auth = rest.CallbackAuth{Type: "signature", Signature: form} })
		srv := far(t, func(w http.ResponseWriter, req *http.Request) {
			req.Header.Set("Content-Type", "application/json")
			to.Callback().ServeHTTP(w, req)
		})
		set := settings(srv.URL)
		set.Signature = form
		now := clock
		from := run(t, open(t, set, channel.Options{Now: func() time.Time { return now }}))
		m := message(1, `{"id":"a1","status":"delivered"}`)
		if got := send(t, from, m); got.Fate != notification.UnitAccepted {
			t.Errorf("%+v: %+v", form, got)
		}
		now = clock.Add(-2 * time.Minute)
		got := send(t, from, m)
		if want := form.Over != "body"; (got.Code == "http_401") != want {
			t.Errorf("%+v: an old one: %+v", form, got)
		}
	}
}

func TestOtherCallers(t *testing.T) {
	for _, c := range []struct {
		auth    rest.CallbackAuth
		headers []string
		status  int
	}{
		{rest.CallbackAuth{Type: "header", Header: "X-Token"}, []string{"X-Token", secret}, 204},
		{rest.CallbackAuth{Type: "header", Header: "X-Token"}, []string{"X-Token", ""}, 401},
		{rest.CallbackAuth{Type: "basic", Username: "us"}, []string{"Authorization", "Basic dXM6YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBsb25nIGVub3VnaA=="}, 204},
		{rest.CallbackAuth{Type: "basic", Username: "them"}, []string{"Authorization", "Basic dXM6YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBsb25nIGVub3VnaA=="}, 401},
	} {
		r, _ := callbackRoute(t, &sinks{}, func(s *rest.Settings) {
			c.auth.Secrets = []channel.Secret{{Value: secret}}
			s.Callback.Auth = c.auth
		})
		if w := post(r, `{"id":"a1","status":"delivered"}`, c.headers...); w.Code != c.status {
			t.Errorf("%s %v: %d", c.auth.Type, c.headers, w.Code)
		}
	}
}

// FuzzCallback: whatever a caller with the secret sends, the response is one of those
// documented, and what is stored keeps its limits.
func FuzzCallback(f *testing.F) {
	f.Add(`{"id":"a1","status":"delivered","at":"2026-12-01T09:29:58Z","reply":{"id":"r","text":"t"}}`, true)
	f.Add(`[{"id":1e400,"status":null},[]]`, true)
	f.Add(`id=1&status=read&at=x`, false)
	f.Add("{\"id\":\"\xff\"}", true)
	taken := &sinks{}
	s := withCallbacks(settings("https://service.example/m"))
	r, err := s.OpenRoute(channel.Options{Name: "r", Receipts: taken, Replies: taken})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string, isJSON bool) {
		mediaType := "application/json"
		if !isJSON {
			mediaType = "application/x-www-form-urlencoded"
		}
		taken.mu.Lock()
		taken.receipts, taken.replies = nil, nil
		taken.mu.Unlock()
		w := post(r, body, "Content-Type", mediaType)
		if w.Code != 204 && w.Code != 400 && w.Code != 413 && w.Code != 422 {
			t.Errorf("%d", w.Code)
		}
		receipts, replies := taken.taken()
		if w.Code != 204 && len(receipts)+len(replies) > 0 {
			t.Error("stored and refused")
		}
		for _, got := range receipts {
			if len(got.ProviderID) > 256 || len(got.Code) > 64 || got.ProviderID+got.Reference == "" {
				t.Errorf("receipt %+v", got)
			}
		}
		for _, got := range replies {
			if got.ReplyID == "" || got.Text == "" || len(got.Text) > 64<<10 {
				t.Error(fmt.Sprint("reply of ", len(got.Text)))
			}
		}
	})
}
