package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAnotherTenantsNotificationAnswersLikeAnAbsentOne(t *testing.T) {
	w := newWorld(t)
	theirs := w.submitted(appointment).ID
	acme := w.newKey("acme")
	own := w.submitted(`{"scenario":"hello","to":{"sms":["+393331234567"]}}`, withKey(acme)).ID
	if own == theirs {
		t.Fatal("two tenants share a notification")
	}
	const absent = "00000000-0000-4000-8000-000000000000"
	for _, call := range []struct{ method, path string }{
		{http.MethodGet, "/v1/notifications/%s"},
		{http.MethodGet, "/v1/notifications/%s/events"},
		{http.MethodGet, "/v1/notifications/%s/events?after=1&limit=5"},
		{http.MethodPost, "/v1/notifications/%s/cancel"},
	} {
		there := w.call(call.method, fmt.Sprintf(call.path, theirs), "", withKey(acme))
		never := w.call(call.method, fmt.Sprintf(call.path, absent), "", withKey(acme))
		nonsense := w.call(call.method, fmt.Sprintf(call.path, "no-id"), "", withKey(acme))
		if there.status != http.StatusNotFound || there.status != never.status || there.body != never.body || there.body != nonsense.body {
			t.Errorf("%s %s: %d %s and %d %s", call.method, call.path, there.status, there.body, never.status, never.body)
		}
		for name := range there.header {
			if name != "X-Request-Id" && name != "Date" && there.header.Get(name) != never.header.Get(name) {
				t.Errorf("%s %s: the header %s tells them apart", call.method, call.path, name)
			}
		}
		if mine := w.call(call.method, fmt.Sprintf(call.path, own), "", withKey(acme)); mine.status != http.StatusOK {
			t.Errorf("%s %s: one's own: %d", call.method, call.path, mine.status)
		}
	}
	// The admin sees it only in its own tenant.
	if a := w.call(http.MethodGet, "/v1/notifications/"+theirs, "", w.admin(), header("Recapito-Tenant", "acme")); a.status != http.StatusNotFound {
		t.Errorf("as another tenant's: %d", a.status)
	}
	if a := w.call(http.MethodGet, "/v1/notifications/"+theirs, "", w.admin()); a.status != http.StatusOK {
		t.Errorf("as its own tenant's: %d", a.status)
	}
}

func TestTheSameIdempotencyKeyOfTwoTenantsIsTwoNotifications(t *testing.T) {
	w := newWorld(t)
	acme := w.newKey("acme")
	a := w.submitted(appointment, header("Idempotency-Key", "k"))
	b := w.submitted(`{"scenario":"hello","to":{"sms":["+393331234567"]}}`, withKey(acme), header("Idempotency-Key", "k"))
	if a.ID == b.ID {
		t.Error("they share an id")
	}
}

func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	w := newWorld(t)
	tenant := header("Recapito-Tenant", "acme")
	a := w.call(http.MethodPost, "/v1/keys", `{"label":"billing"}`, w.admin(), tenant)
	var made struct{ ID, Tenant, Label, Key string }
	a.into(t, &made)
	if a.status != http.StatusCreated || made.Tenant != "acme" || made.Label != "billing" || !strings.HasPrefix(made.Key, "rk_") || len(made.Key) != 46 {
		t.Fatalf("status %d: %+v", a.status, made)
	}
	with := withKey(made.Key)
	if got := w.call(http.MethodGet, "/v1/scenarios", "", with); got.status != http.StatusOK || !strings.Contains(got.body, `"hello"`) || strings.Contains(got.body, `"appointment"`) {
		t.Errorf("with the new key: %d %s", got.status, got.body)
	}
	if got := w.call(http.MethodGet, "/v1/scenarios", "", with, tenant); got.status != http.StatusOK {
		t.Errorf("naming its own tenant: %d", got.status)
	}
	list := w.call(http.MethodGet, "/v1/keys", "", w.admin(), tenant)
	if !strings.Contains(list.body, made.ID) || strings.Contains(list.body, made.Key) || strings.Contains(list.body, `"hash"`) || strings.Contains(list.body, "revoked_at") {
		t.Errorf("the list: %s", list.body)
	}
	if other := w.call(http.MethodGet, "/v1/keys", "", w.admin()); strings.Contains(other.body, made.ID) {
		t.Error("another tenant's list shows it")
	}
	if wrong := w.call(http.MethodDelete, "/v1/keys/"+made.ID, "", w.admin()); wrong.status != http.StatusNotFound {
		t.Errorf("revoked as another tenant's: %d", wrong.status)
	}
	for range 2 {
		if revoked := w.call(http.MethodDelete, "/v1/keys/"+made.ID, "", w.admin(), tenant); revoked.status != http.StatusOK || !strings.Contains(revoked.body, "revoked_at") {
			t.Errorf("revoked: %d %s", revoked.status, revoked.body)
		}
	}
	unknown := w.call(http.MethodGet, "/v1/scenarios", "", withKey("rk_"+strings.Repeat("x", 43)))
	if got := w.call(http.MethodGet, "/v1/scenarios", "", with); got.status != http.StatusUnauthorized || got.body != unknown.body {
		t.Errorf("with the revoked key: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/v1/keys", "/v1/keys/" + made.ID, "/v1/projections/edr"} {
		method := http.MethodGet
		if strings.HasSuffix(path, made.ID) {
			method = http.MethodDelete
		}
		if got := w.call(method, path, ""); got.status != http.StatusForbidden {
			t.Errorf("%s with a tenant's key: %d", path, got.status)
		}
	}
}
