package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/api"
	"recapito/domain/audit"
	"recapito/domain/event"
	"recapito/domain/tenant"
)

// recorded ends the record and returns it, a line a call: tenant, who, what, status,
// code, what it was about.
func (w *world) recorded() []string {
	w.t.Helper()
	w.stopCalls()
	var all []string
	read := event.AllRead{Filter: event.Filter{StreamPrefixes: []string{audit.StreamPrefix}}}
	err := w.store.ReadAll(w.t.Context(), read, func(r event.Recorded) error {
		m, err := event.DecodeMetadata(r.Metadata)
		if err != nil {
			return err
		}
		e, err := w.ledger.Codec.Decode(w.t.Context(), nil, m.Tenant, r)
		if err != nil {
			return err
		}
		for _, c := range e.(audit.CallsRecorded).Calls {
			who, _, _ := strings.Cut(c.Actor, ":")
			all = append(all, fmt.Sprintf("%s %q %q %s %s %d %s %s %s",
				m.Tenant, who, c.Operation, c.Method, c.Path, c.Status, c.Code, c.Notification, c.Target))
			if c.ID == "" || c.At.IsZero() {
				w.t.Errorf("a call without id or time: %+v", c)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestEveryCallIsRecordedOrTold(t *testing.T) {
	w := newWorld(t, func(_ *world, o *api.Options) { o.Projections = &rebuilds{} })
	const anna = "+393331234567"
	key := header("Idempotency-Key", "k-1")

	// Told by their events:
	one := w.submitted(appointment, key)
	w.call("POST", "/v1/notifications:batch", `{"items":[{"request":`+appointment+`}]}`)
	w.call("POST", "/v1/notifications/"+one.ID+"/cancel", "")
	var made struct {
		ID string `json:"id"`
	}
	w.call("POST", "/v1/keys", "", w.admin(), header("Recapito-Tenant", "acme")).into(t, &made)
	w.call("DELETE", "/v1/keys/"+made.ID, "", w.admin(), header("Recapito-Tenant", "acme"))

	// Not:
	w.call("POST", "/v1/notifications", appointment, key)
	w.call("POST", "/v1/notifications", strings.Replace(appointment, "Monday", "Friday", 1), key)
	w.call("POST", "/v1/notifications", `{"scenario":"`+anna+`"}`)
	w.call("POST", "/v1/notifications", `{`)
	w.call("POST", "/v1/notifications:batch", `{"items":[{"request":`+appointment+`},{}]}`)
	w.call("POST", "/v1/notifications/"+one.ID+"/cancel", "")
	w.call("GET", "/v1/notifications/"+one.ID, "")
	w.call("HEAD", "/v1/notifications/"+one.ID, "")
	w.call("GET", "/v1/notifications/"+one.ID+"/events", "")
	w.call("GET", "/v1/notifications/"+anna, "")
	w.call("GET", "/v1/scenarios?recipient="+anna, "")
	w.call("GET", "/v1/nothing/"+anna, "")
	w.call("PUT", "/v1/keys", "")
	w.call("GET", "/v1/keys", "")
	w.call("GET", "/v1/scenarios", "", header("Recapito-Tenant", "other"))
	w.call("DELETE", "/v1/keys/"+made.ID, "", w.admin(), header("Recapito-Tenant", "acme"))
	w.call("GET", "/v1/projections/edr", "", w.admin())
	w.call("GET", "/v1/scenarios", "", w.admin(), header("Recapito-Tenant", "A B"))
	w.call("GET", "/v1/notifications/"+anna, "", withKey("wrong"), header("Recapito-Tenant", "acme"))
	w.call("GET", "/v1/"+anna, "", withKey("wrong"))
	w.call("GET", "/livez", "")

	const about = "/v1/notifications/{id}"
	want := []string{
		`default "key" "submit" POST /v1/notifications 202  ` + one.ID + " ",
		`default "key" "submit" POST /v1/notifications 409 idempotency_key_reused ` + one.ID + " ",
		`default "key" "submit" POST /v1/notifications 422 invalid  `,
		`default "key" "submit" POST /v1/notifications 400 bad_json  `,
		`default "key" "submit-batch" POST /v1/notifications:batch 200   `,
		`default "key" "cancel" POST ` + about + "/cancel 200  " + one.ID + " ",
		`default "key" "get-notification" GET ` + about + " 200  " + one.ID + " ",
		`default "key" "get-notification" HEAD ` + about + " 200  " + one.ID + " ",
		`default "key" "get-history" GET ` + about + "/events 200  " + one.ID + " ",
		`default "key" "get-notification" GET ` + about + " 404 not_found  ",
		`default "key" "list-scenarios" GET /v1/scenarios 422 invalid  `,
		`default "key" "" GET  404 not_found  `,
		`default "key" "" PUT  405 method_not_allowed  `,
		`default "key" "list-keys" GET /v1/keys 403 forbidden  `,
		`default "key" "list-scenarios" GET /v1/scenarios 403 forbidden  `,
		`acme "local" "revoke-key" DELETE /v1/keys/{id} 200   ` + made.ID,
		`default "local" "get-projection" GET /v1/projections/{name} 200   edr`,
		`system "local" "list-scenarios" GET /v1/scenarios 422 invalid  `,
		`system "" "get-notification" GET ` + about + " 401 unauthorized  ",
		`system "" "" GET  401 unauthorized  `,
	}
	got := w.recorded()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is recorded (-want +got):\n%s", diff)
	}
}

// Nothing that is asked for may be returned where it could not be recorded.
func TestACallThatCannotBeRecordedIsRefused(t *testing.T) {
	w := newWorld(t)
	for {
		if _, err := w.calls.Admit(t.Context(), false); err != nil {
			break
		}
	}
	if got := w.call("GET", "/v1/scenarios", "", withKey("wrong")); got.status != http.StatusTooManyRequests {
		t.Errorf("a stranger is answered %d", got.status)
	}
	if got := w.call("GET", "/v1/scenarios", ""); got.status != http.StatusOK {
		t.Errorf("strangers shut out who is known: %d", got.status)
	}
	w.stopCalls()
	if got := w.call("GET", "/v1/scenarios", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("answered %d when nothing is recorded any more", got.status)
	}
}

// The events that record a call name an operation that there is, with a status that it has.
func TestOperationsOfRecordingEvents(t *testing.T) {
	var page struct {
		Paths map[string]map[string]struct {
			ID        string         `json:"operationId"`
			Responses map[string]any `json:"responses"`
		} `json:"paths"`
	}
	newWorld(t).call("GET", "/openapi.json", "").into(t, &page)
	types := audit.RecordingTypes()
	if len(types) == 0 {
		t.Error("no event records a call")
	}
	all := api.Operations()
	for _, typ := range types {
		name, _ := audit.OperationOf(typ, audit.LocalActor)
		o := all[name]
		there := page.Paths[o.Path][strings.ToLower(o.Method)]
		if _, returned := there.Responses[fmt.Sprint(o.Status)]; there.ID != name || !returned {
			t.Errorf("%s records %s with status %d; there is %q", typ, name, o.Status, there.ID)
		}
	}
	if o := all["submit"]; o != (api.Operation{Method: "POST", Path: "/v1/notifications", Status: 202}) {
		t.Errorf("submit is %+v", o)
	}
	if _, by := audit.OperationOf(types[0], audit.Actor); by {
		t.Error("an event of the system records a call")
	}
	if got, want := audit.Stream(tenant.System, time.Unix(0, 0)), "audit-_-19700101"; got != want {
		t.Errorf("the stream of calls without a known key: %s", got)
	}
}
