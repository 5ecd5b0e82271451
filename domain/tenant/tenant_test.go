package tenant_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"recapito/domain/domaintest"
	"recapito/domain/tenant"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func create(id string) tenant.CreateKey {
	return tenant.CreateKey{KeyID: id, Hash: "hash of " + id, Label: "booking", At: noon}
}

func revoke(id string) tenant.RevokeKey { return tenant.RevokeKey{KeyID: id, At: noon.Add(time.Hour)} }

func given(t *testing.T, commands ...tenant.Command) domaintest.Example[tenant.State, tenant.Command, tenant.Event] {
	t.Helper()
	return domaintest.For(t, tenant.Decider).After(commands...)
}

func TestCreateKey(t *testing.T) {
	x := given(t).When(create("k-1")).Then(tenant.KeyCreated{KeyID: "k-1", Hash: "hash of k-1", Label: "booking", At: noon})
	x.When(create("k-1")).ThenNothing()
	x.After(revoke("k-1")).When(create("k-1")).ThenNothing() // an id is not used again
	x.When(create("k-2")).Then(tenant.KeyCreated(create("k-2")))
	if k := x.State().Keys["k-1"]; k != (tenant.Key{ID: "k-1", Hash: "hash of k-1", Label: "booking", CreatedAt: noon}) {
		t.Errorf("%+v", k)
	}
}

func TestRevokeKey(t *testing.T) {
	x := given(t, create("k-1"), create("k-2")).When(revoke("k-1")).Then(
		tenant.KeyRevoked{KeyID: "k-1", Hash: "hash of k-1", At: noon.Add(time.Hour)})
	x.When(revoke("k-1")).ThenNothing()
	x.When(revoke("k-3")).ThenError(tenant.ErrNoKey)
	given(t).When(revoke("k-1")).ThenError(tenant.ErrNoKey)
	keys := x.State().Keys
	if keys["k-1"].RevokedAt.IsZero() || !keys["k-2"].RevokedAt.IsZero() {
		t.Errorf("%+v", keys)
	}
}

func TestKeysAreLimited(t *testing.T) {
	x := given(t)
	for i := range tenant.MaxKeys {
		x = x.Given(tenant.KeyCreated(create(fmt.Sprint(i))))
	}
	x.When(create("one more")).ThenError(tenant.ErrTooManyKeys)
	x.When(create("0")).ThenNothing()
	x.After(revoke("0")).When(create("one more")).ThenError(tenant.ErrTooManyKeys) // revoked ones count
}

func TestStatesAreNotWrittenTo(t *testing.T) {
	before := given(t, create("k-1")).State()
	after := tenant.Evolve(before, tenant.KeyRevoked{KeyID: "k-1", At: noon})
	_ = tenant.Evolve(before, tenant.KeyCreated(create("k-2")))
	if len(before.Keys) != 1 || len(after.Keys) != 1 || !before.Keys["k-1"].RevokedAt.IsZero() {
		t.Error("an earlier state changed")
	}
}

func TestValidName(t *testing.T) {
	for _, good := range []string{"a", "acme", "acme-2", "0", tenant.Default, strings.Repeat("a", 63)} {
		if !tenant.ValidName(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "-a", "A", "a_b", "a b", "a\n", "ä", tenant.System, strings.Repeat("a", 64)} {
		if tenant.ValidName(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}
