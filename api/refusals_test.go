package api_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recapito/api"
	"recapito/commands/access"
)

// refusal is a request that must be refused, how, and naming what.
type refusal struct {
	name         string
	method, path string // POST /v1/notifications if empty
	body         string
	options      []option
	status       int
	code         api.Code
	places       []string
}

func request(members string) string {
	return `{"scenario":"typed","to":{"sms":["+393331234567"]},"fields":{"day":"2026-12-01"}` + members + `}`
}

func fields(members string) string {
	return `{"scenario":"typed","to":{"sms":["+393331234567"]},"fields":{` + members + `}}`
}

// refusals lists every kind of bad input. %[1]s is where a value stands that no answer
// and no log may hold.
func refusals(w *world) []refusal {
	known := w.submitted(appointment).ID
	invalid := func(name, body string, places ...string) refusal {
		return refusal{name: name, body: body, status: 422, code: "invalid", places: places}
	}
	get := func(name, path string, places ...string) refusal {
		return refusal{name: name, method: http.MethodGet, path: path, status: 422, code: "invalid", places: places}
	}
	history := func(name, body string, places ...string) refusal {
		return refusal{name: name, path: "/v1/reports/history", body: body, status: 422, code: "invalid", places: places}
	}
	batch := func(r refusal) refusal { r.path = "/v1/notifications:batch"; return r }
	all := []refusal{
		{name: "no body", status: 400, code: "bad_json", options: []option{header("Content-Type", "application/json")}},
		{name: "not JSON", body: `%[1]s`, status: 400, code: "bad_json"},
		{name: "cut off", body: `{"scenario":"%[1]s`, status: 400, code: "bad_json"},
		{name: "two documents", body: `{} {"%[1]s":1}`, status: 400, code: "bad_json"},
		{name: "comma too many", body: `{"reference":"%[1]s",}`, status: 400, code: "bad_json"},
		{name: "not UTF-8", body: "{\"reference\":\"%[1]s\xff\"}", status: 400, code: "bad_json"},
		{name: "half a surrogate", body: `{"reference":"%[1]s\ud800"}`, status: 400, code: "bad_json"},
		{name: "too deep", body: `{"fields":{"%[1]s":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}}`, status: 400, code: "bad_json"},
		{name: "duplicate member", body: `{"reference":"%[1]s","reference":"%[1]s"}`, status: 400, code: "duplicate_member"},
		{name: "duplicate member, escaped", body: `{"reference":"%[1]s","r\u0065ference":"x"}`, status: 400, code: "duplicate_member"},
		{name: "duplicate field", body: fields(`"day":"2026-12-01","day":"%[1]s"`), status: 400, code: "duplicate_member"},
		{name: "duplicate name of a caller's", body: fields(`"%[1]s":1,"%[1]s":2`), status: 400, code: "duplicate_member"},
		{name: "too large", body: request(`,"reference":"%[1]s` + strings.Repeat(" ", api.MaxBodyBytes) + `"`), status: 413, code: "too_large"},
		{name: "not JSON's media type", body: request(""), options: []option{withType("text/%[1]s")}, status: 415, code: "unsupported_media_type"},
		{name: "no media type", body: request(""), options: []option{withType("")}, status: 415, code: "unsupported_media_type"},
		{name: "compressed", body: request(""), options: []option{header("Content-Encoding", "%[1]s")}, status: 415, code: "unsupported_media_type"},

		invalid("an array", `["%[1]s"]`, "body wrong_type"),
		invalid("a text", `"%[1]s"`, "body wrong_type"),
		invalid("null", `null`, "body wrong_type"),
		invalid("nothing in it", `{}`, "scenario missing_field", "to missing_field"),
		invalid("unknown scenario", strings.Replace(request(""), `"typed"`, `"%[1]s"`, 1), "scenario unknown_scenario"),
		invalid("another tenant's scenario", strings.Replace(request(""), `"typed"`, `"hello"`, 1), "scenario unknown_scenario"),
		invalid("scenario of another type", `{"scenario":{"%[1]s":1}}`, "scenario wrong_type"),
		invalid("unknown member", request(`,"colour":"%[1]s"`), "colour unknown_member"),
		invalid("unknown member whose name is a value", request(`,"%[1]s":1`), "body unknown_member"),
		invalid("other case", request(`,"Reference":"%[1]s"`), "body unknown_member"),
		invalid("malformed number", `{"scenario":"typed","to":{"sms":["+393331234567","%[1]s"]},"fields":{"day":"2026-12-01"}}`, "to.sms[1] invalid_address"),
		invalid("number of no country", `{"scenario":"typed","to":{"sms":["+999"]},"fields":{"day":"2026-12-01"}}`, "to.sms[0] invalid_address"),
		invalid("number that is no text", `{"scenario":"typed","to":{"sms":[393339998877]},"fields":{"day":"2026-12-01"}}`, "to.sms[0] wrong_type"),
		invalid("addresses that are no list", `{"scenario":"typed","to":{"sms":"%[1]s"}}`, "to.sms wrong_type"),
		invalid("to is a text", `{"scenario":"typed","to":"%[1]s"}`, "to wrong_type"),
		invalid("unknown channel", `{"scenario":"typed","to":{"%[1]s":["x"]},"fields":{"day":"2026-12-01"}}`, "to unknown_channel"),
		invalid("unknown channel, well named", `{"scenario":"appointment","to":{"pigeon":["%[1]s"]}}`, "to unknown_channel"),
		invalid("no addresses", `{"scenario":"appointment","to":{"sms":[]}}`, "to.sms invalid_value"),
		invalid("too many addresses", `{"scenario":"appointment","to":{"sms":[`+strings.Repeat(`"+393331234567",`, 10)+`"%[1]s"]}}`, "to.sms invalid_value"),
		invalid("missing field", fields(`"note":"%[1]s"`), "fields.day missing_field"),
		invalid("mistyped date", fields(`"day":"%[1]s"`), "fields.day wrong_type"),
		invalid("mistyped number", fields(`"day":"2026-12-01","amount":"%[1]s"`), "fields.amount wrong_type"),
		invalid("mistyped boolean", fields(`"day":"2026-12-01","paid":"%[1]s"`), "fields.paid wrong_type"),
		invalid("mistyped text", fields(`"day":"2026-12-01","note":{"%[1]s":"%[1]s"}`), "fields.note wrong_type"),
		invalid("control character in a text", fields(`"day":"2026-12-01","note":"%[1]s\u0000"`), "fields.note invalid_value"),
		invalid("field too long", fields(`"day":"2026-12-01","note":"%[1]s`+strings.Repeat("x", 5000)+`"`), "fields.note too_long"),
		invalid("unknown field", fields(`"day":"2026-12-01","shoe":"%[1]s"`), "fields.shoe unknown_field"),
		invalid("unknown field whose name is a value", fields(`"day":"2026-12-01","%[1]s":"x"`), "fields unknown_field"),
		invalid("fields is a list", request("")[:len(request(""))-len(`{"day":"2026-12-01"}}`)]+`["%[1]s"]}`, "fields wrong_type"),
		invalid("unknown priority", request(`,"priority":"%[1]s"`), "priority invalid_value"),
		invalid("recipient too long", request(`,"recipient":"%[1]s`+strings.Repeat("x", 128)+`"`), "recipient too_long"),
		invalid("campaign is an address", request(`,"campaign":"mario.bianchi@example.org"`), "campaign personal_data", "campaign invalid_value"),
		invalid("reference is a number", request(`,"reference":"+39 333 999 8877"`), "reference personal_data"),
		invalid("reference is an address", request(`,"reference":"mario.bianchi@example.org"`), "reference personal_data"),
		invalid("reference too long", request(`,"reference":"%[1]s`+strings.Repeat("x", 128)+`"`), "reference too_long"),
		invalid("send_at is no time", request(`,"send_at":"%[1]s"`), "send_at wrong_type"),
		invalid("send_at is a number", request(`,"send_at":393339998877`), "send_at wrong_type"),
		invalid("send_at too far", request(`,"send_at":"2999-01-01T00:00:00Z"`), "send_at invalid_value"),
		invalid("expires_at passed", request(`,"expires_at":"2001-01-01T00:00:00Z"`), "expires_at invalid_value"),
		invalid("expires_at before everything", request(`,"expires_at":"0001-01-01T00:00:00Z"`), "expires_at wrong_type"),
		invalid("test is a text", request(`,"test":"%[1]s"`), "test wrong_type"),
		invalid("several at once", `{"scenario":7,"to":{"sms":[1]},"test":"%[1]s","colour":1}`, "colour unknown_member", "scenario wrong_type", "test wrong_type", "to.sms[0] wrong_type"),
		{name: "key is a number", body: request(""), options: []option{header("Idempotency-Key", "+39 333 999 8877")}, status: 422, code: "invalid", places: []string{"Idempotency-Key personal_data"}},
		{name: "key too long", body: request(""), options: []option{header("Idempotency-Key", "%[1]s"+strings.Repeat("x", 128))}, status: 422, code: "invalid", places: []string{"Idempotency-Key too_long"}},
		{name: "two keys", body: request(""), options: []option{header("Idempotency-Key", "a"), header("Idempotency-Key", "%[1]s")}, status: 422, code: "invalid", places: []string{"Idempotency-Key too_many"}},
		{name: "empty key", body: request(""), options: []option{header("Idempotency-Key", "")}, status: 422, code: "invalid", places: []string{"Idempotency-Key invalid_value"}},
		{name: "key not UTF-8", body: request(""), options: []option{header("Idempotency-Key", "%[1]s\xff")}, status: 422, code: "invalid", places: []string{"Idempotency-Key invalid_value"}},
		{name: "unknown parameter", path: "/v1/notifications?colour=%[1]s", body: request(""), status: 422, code: "invalid", places: []string{"colour unknown_parameter"}},

		batch(invalid("batch: items missing", `{}`, "items wrong_type")),
		batch(invalid("batch: items is a text", `{"items":"%[1]s"}`, "items wrong_type")),
		batch(invalid("batch: unknown member", `{"items":[{}],"colour":"%[1]s"}`, "colour unknown_member")),
		batch(refusal{name: "batch: duplicate in an item", body: `{"items":[{"idempotency_key":"%[1]s","idempotency_key":"%[1]s"}]}`, status: 400, code: "duplicate_member"}),
		batch(refusal{name: "batch: too large", body: `{"items":["%[1]s` + strings.Repeat("x", api.MaxBatchBodyBytes) + `"]}`, status: 413, code: "too_large"}),

		get("EDR: from is no time", "/v1/edr?from=%[1]s", "from wrong_type"),
		get("EDR: status", "/v1/edr?status=%[1]s", "status invalid_value"),
		get("EDR: channel", "/v1/edr?channel=%[1]s.", "channel invalid_value"),
		get("EDR: person is an address", "/v1/edr?person=%[1]s.", "person invalid_value"),
		get("EDR: control character", "/v1/edr?code=%[1]s%0A", "code invalid_value"),
		get("EDR: test", "/v1/edr?test=%[1]s", "test invalid_value"),
		get("EDR: kind", "/v1/edr?kind=%[1]s", "kind invalid_value"),
		get("EDR: priority", "/v1/edr?priority=%[1]s", "priority invalid_value"),
		get("EDR: latency", "/v1/edr?queue_ms_min=%[1]s", "queue_ms_min wrong_type"),
		get("EDR: change position", "/v1/edr?changed_after=%[1]s", "changed_after wrong_type"),
		get("EDR: negative change position", "/v1/edr?changed_after=-1", "changed_after invalid_value"),
		get("EDR: format", "/v1/edr?format=%[1]s", "format invalid_value"),
		get("EDR: as_of", "/v1/edr?as_of=%[1]s", "as_of wrong_type"),
		get("EDR: as of the future", "/v1/edr?as_of=2999-01-01T00:00:00Z", "as_of invalid_value"),
		get("accounting: group", "/v1/reports/accounting?group_by=%[1]s", "group_by invalid_value"),
		get("accounting: month", "/v1/reports/accounting?month=%[1]s", "month wrong_type"),
		get("accounting: month and from", "/v1/reports/accounting?month=2026-11&from=2026-11-01T00:00:00Z", "month invalid_value"),
		get("accounting: not a day", "/v1/reports/accounting?from=2026-11-01T01:00:00Z", "from invalid_value"),
		get("rollups: no from", "/v1/reports/rollups", "from missing_field"),
		get("rollups: grain", "/v1/reports/rollups?grain=%[1]s&from=2026-11-01T00:00:00Z", "grain invalid_value"),
		get("rollups: requests by minute", "/v1/reports/rollups?grain=minute&basis=request&from=2026-11-01T00:00:00Z", "grain invalid_value"),
		get("metrics: not an hour", "/v1/reports/metrics?from=2026-11-01T01:30:00Z", "from invalid_value"),
		get("metrics: no from", "/v1/reports/metrics?to=2026-11-01T01:00:00Z", "from missing_field"),
		get("metrics: filter", "/v1/reports/metrics?channel=%[1]s", "channel invalid_value"),
		history("history of nobody", `{}`, "body invalid_value"),
		history("history of two", `{"recipient":"%[1]s","scenario":"hello"}`, "body invalid_value"),
		history("history: no number", `{"destination":{"channel":"sms","address":"%[1]s"}}`, "destination.address invalid_address"),
		history("history: no address", `{"destination":{"channel":"%[1]s"}}`, "destination missing_field"),
		history("history: no notification", `{"notification":"%[1]s"}`, "notification invalid_value"),
		history("history: no name", `{"campaign":"%[1]s!"}`, "campaign invalid_value"),
		history("history: limit", `{"scenario":"hello","limit":"%[1]s"}`, "limit wrong_type"),
		history("history: member", `{"scenario":"hello","%[1]s":1}`, "body unknown_member"),
		get("EDR: limit", "/v1/edr?limit=%[1]s", "limit wrong_type"),
		get("EDR: limit too high", "/v1/edr?limit=1001", "limit wrong_type"),
		get("EDR: after", "/v1/edr?after=%[1]s", "after wrong_type"),
		get("EDR: after what is not there", "/v1/edr?after=99999", "after invalid_value"),
		get("EDR: cursor", "/v1/edr?cursor=%[1]s", "cursor invalid_value"),
		get("EDR: to before from", "/v1/edr?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to invalid_value"),
		get("EDR: twice", "/v1/edr?limit=1&limit=%[1]s", "limit too_many"),
		get("EDR: unknown parameter", "/v1/edr?%[1]s.=1", "query unknown_parameter"),
		get("history: after", "/v1/notifications/"+known+"/events?after=%[1]s", "after wrong_type"),
		get("history: limit", "/v1/notifications/"+known+"/events?limit=0", "limit wrong_type"),

		{name: "no key", body: request(""), options: []option{without("Authorization")}, status: 401, code: "unauthorized"},
		{name: "wrong key", body: request(""), options: []option{withKey("%[1]s")}, status: 401, code: "unauthorized"},
		{name: "well formed key", body: request(""), options: []option{withKey(access.NewKey())}, status: 401, code: "unauthorized"},
		{name: "other scheme", body: request(""), options: []option{withAuthorization("Basic %[1]s")}, status: 401, code: "unauthorized"},
		{name: "another tenant named", body: request(""), options: []option{header("Recapito-Tenant", "acme")}, status: 403, code: "forbidden"},
		{name: "admin names no tenant's name", body: request(""), options: []option{w.admin(), header("Recapito-Tenant", "%[1]s!")}, status: 422, code: "invalid", places: []string{"Recapito-Tenant invalid_value"}},
		{name: "admin names two", body: request(""), options: []option{w.admin(), header("Recapito-Tenant", "a"), header("Recapito-Tenant", "%[1]s")}, status: 422, code: "invalid", places: []string{"Recapito-Tenant too_many"}},
		{name: "keys with a tenant's key", path: "/v1/keys", body: `{"label":"%[1]s"}`, status: 403, code: "forbidden"},
		{name: "label is a number", path: "/v1/keys", body: `{"label":"+39 333 999 8877"}`, options: []option{w.admin()}, status: 422, code: "invalid", places: []string{"label personal_data"}},
		{name: "revoke an unknown key", method: http.MethodDelete, path: "/v1/keys/%[1]s", options: []option{w.admin()}, status: 404, code: "not_found"},
		{name: "projections with a tenant's key", method: http.MethodGet, path: "/v1/projections", status: 403, code: "forbidden"},
		{name: "rebuild with a tenant's key", path: "/v1/projections/edr:rebuild", status: 403, code: "forbidden"},
		{name: "unknown projection", path: "/v1/projections/%[1]s:rebuild", options: []option{w.admin()}, status: 404, code: "not_found"},

		{name: "unknown path", method: http.MethodGet, path: "/v1/%[1]s", status: 404, code: "not_found"},
		{name: "unknown path without key", method: http.MethodGet, path: "/%[1]s", options: []option{without("Authorization")}, status: 404, code: "not_found"},
		{name: "unknown notification", method: http.MethodGet, path: "/v1/notifications/%[1]s", status: 404, code: "not_found"},
		{name: "method", method: http.MethodPut, path: "/v1/notifications", body: `{"%[1]s":1}`, status: 405, code: "method_not_allowed"},
		{name: "method of a health check", method: http.MethodPost, path: "/livez", body: `{"%[1]s":1}`, status: 405, code: "method_not_allowed"},
	}
	for i := range all {
		if all[i].method == "" {
			all[i].method = http.MethodPost
		}
		if all[i].path == "" {
			all[i].path = "/v1/notifications"
		}
	}
	return all
}

func withType(kind string) option {
	return func(r *http.Request) {
		r.Header.Del("Content-Type")
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
	}
}

func without(name string) option { return func(r *http.Request) { r.Header.Del(name) } }

func withAuthorization(value string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

// markers are values as callers send them: a number, a name, a text, a key. Each is sent
// in every place; none begins or ends with what JSON, a URL or a header would change.
var markers = []string{"+393339998877", "Mario_Bianchi", "Zyxwvu-secret-text", "rk_MarkerOfAKey0123456789012345678901234567890"}

func put(s, marker string) string { return strings.ReplaceAll(s, "%[1]s", marker) }

func (w *world) send(r refusal, marker string) answer {
	options := append([]option{}, r.options...)
	options = append(options, func(q *http.Request) {
		for name, values := range q.Header {
			for i, v := range values {
				q.Header[name][i] = put(v, marker)
			}
		}
	})
	return w.call(r.method, put(r.path, strings.ReplaceAll(marker, "+", "%2B")), put(r.body, marker), options...)
}

func TestEveryBadInputIsAProblemThatNamesItsPlace(t *testing.T) {
	w := refusingWorld(t)
	for _, r := range refusals(w) {
		t.Run(r.name, func(t *testing.T) {
			a := w.send(r, markers[1])
			if a.status != r.status {
				t.Fatalf("status %d, want %d: %s", a.status, r.status, a.body)
			}
			p := a.problem(t)
			if p.Code != r.code {
				t.Errorf("code %s, want %s", p.Code, r.code)
			}
			if diff := cmp.Diff(r.places, placesOf(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoRefusalHoldsWhatWasSent looks for every value sent, in every refusal and in the
// log of all of them, in clear and in the forms that escaping and encoding give it.
func TestNoRefusalHoldsWhatWasSent(t *testing.T) {
	w := refusingWorld(t)
	all := refusals(w)
	looked := 0
	for _, marker := range markers {
		for _, r := range all {
			a := w.send(r, marker)
			if a.status < 400 && r.status >= 400 {
				// Some markers are good values in some places; those show nothing either.
				continue
			}
			looked++
			if found := leaked(a.body, marker); found != "" {
				t.Errorf("%s: the answer holds what was sent, as %s", r.name, found)
			}
			for name, values := range a.header {
				if found := leaked(strings.Join(values, "\n"), marker); found != "" {
					t.Errorf("%s: the header %s holds what was sent, as %s", r.name, name, found)
				}
			}
		}
		// The items of a batch have problems of their own.
		body := put(`{"items":["%[1]s",{"idempotency_key":"x%[1]s `+strings.Repeat("y", 128)+`","request":{"scenario":"%[1]s","to":{"sms":["%[1]s."]},"%[1]s.":1}},
			{"request":{"scenario":"%[1]s","to":{"sms":["%[1]s.","+39999"]},"fields":{"%[1]s":1}}},{"%[1]s.":1,"request":"%[1]s"}]}`, marker)
		a := w.call(http.MethodPost, "/v1/notifications:batch", body)
		if a.status != http.StatusOK {
			t.Errorf("the batch: status %d", a.status)
		}
		if found := leaked(a.body, marker); found != "" {
			t.Errorf("a batch's answer holds what was sent, as %s", found)
		}
	}
	if looked < 3*len(all) {
		t.Errorf("only %d refusals", looked)
	}
	log := w.logged.String()
	if !strings.Contains(log, `"route":"/v1/notifications"`) {
		t.Error("the log is not that of these calls")
	}
	for _, marker := range append(markers, "3331234567", "393339998877", "mario.bianchi") {
		if found := leaked(log, marker); found != "" {
			t.Errorf("the log holds what was sent, as %s", found)
		}
	}
	if strings.Contains(log, w.key) || strings.Contains(log, w.adminKey) {
		t.Error("the log holds a key")
	}
}

// leaked returns in which form a text holds a value, without showing it.
func leaked(text, value string) string {
	lower := strings.ToLower(text)
	var backwards, escaped strings.Builder
	for _, r := range value {
		fmt.Fprintf(&escaped, `\u%04x`, r)
	}
	for i := len(value) - 1; i >= 0; i-- {
		backwards.WriteByte(value[i])
	}
	quoted, _ := json.Marshal(value)
	for form, shape := range map[string]string{
		"itself": value, "JSON": strings.Trim(string(quoted), `"`), "escapes": escaped.String(), "its reverse": backwards.String(),
		"base64": base64.RawStdEncoding.EncodeToString([]byte(value)), "hex": hex.EncodeToString([]byte(value)),
		"a URL": strings.ReplaceAll(value, "+", "%2b"), "digits": strings.TrimPrefix(value, "+"),
	} {
		if strings.Contains(lower, strings.ToLower(shape)) {
			return form
		}
	}
	return ""
}
