package access_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"recapito/adapters/eventlog"
	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/intake/strictjson"
	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/domain/tenant"
)

// The handlers' caches end when they are collected.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"))
}

// cut is a store whose subscriptions can be lost.
type cut struct {
	commands.Store
	mu   sync.Mutex
	stop []context.CancelCauseFunc
}

var errCut = errors.New("connection lost")

func (c *cut) Subscribe(ctx context.Context, s event.Subscription, h event.Handler) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.stop = append(c.stop, cancel)
	c.mu.Unlock()
	if err := c.Store.Subscribe(ctx, s, h); err != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), errCut) {
		return errCut
	}
	return nil
}

func (c *cut) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stop := range c.stop {
		stop(errCut)
	}
	c.stop = nil
}

func newLedger(t *testing.T) *commands.Ledger {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir(), CacheBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	l := &commands.Ledger{Store: log, Codec: codec, Now: func() time.Time { return time.Now().UTC() }}
	t.Cleanup(l.Close)
	return l
}

// process is one process's Access over a ledger, running.
func process(t *testing.T, l *commands.Ledger, admin string) *access.Access {
	t.Helper()
	a := access.New(l, access.Options{AdminKey: admin, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	select {
	case <-a.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
	return a
}

var origin = commands.Origin{Actor: access.AdminActor}

func mustCreate(t *testing.T, a *access.Access, tenantName, label string) access.Created {
	t.Helper()
	c, err := a.Create(t.Context(), origin, tenantName, label)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// soon waits until a key opens, or does not.
func soon(t *testing.T, a *access.Access, key string, opens bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := a.Authenticate(t.Context(), key)
		if (err == nil) == opens {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the other process does not hear of it: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestKeysOpenAtOnceAndUntilRevoked(t *testing.T) {
	l := newLedger(t)
	here, there := process(t, l, ""), process(t, l, "")
	k := mustCreate(t, here, "acme", "billing")
	if !strings.HasPrefix(k.Text, "rk_") || len(k.Text) != 46 {
		t.Error("a key is rk_ and 43 characters")
	}
	want := access.Principal{Tenant: "acme", KeyID: k.ID, Actor: "key:" + k.ID}
	if got, err := here.Authenticate(t.Context(), k.Text); err != nil || got != want {
		t.Errorf("at once: %+v, %v", got, err)
	}
	soon(t, there, k.Text, true)
	if _, err := here.Revoke(t.Context(), origin, "acme", k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Authenticate(t.Context(), k.Text); !errors.Is(err, access.ErrUnknownKey) {
		t.Errorf("revoked: %v", err)
	}
	soon(t, there, k.Text, false)
	// A process that starts now knows too.
	if _, err := process(t, l, "").Authenticate(t.Context(), k.Text); !errors.Is(err, access.ErrUnknownKey) {
		t.Errorf("after a start: %v", err)
	}
	// Revoked again, here and by who has not heard of it: no more events.
	for _, a := range []*access.Access{here, there} {
		if _, err := a.Revoke(t.Context(), origin, "acme", k.ID); err != nil {
			t.Error(err)
		}
	}
	keys, err := there.List(t.Context(), "acme")
	if err != nil || len(keys) != 1 || keys[0].Label != "billing" || keys[0].RevokedAt.IsZero() {
		t.Errorf("%+v, %v", keys, err)
	}
	if err := here.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsStoredOpensNothing(t *testing.T) {
	l := newLedger(t)
	a := process(t, l, "")
	k := mustCreate(t, a, "acme", "")
	var types []string
	err := l.Store.ReadAll(t.Context(), event.AllRead{}, func(r event.Recorded) error {
		types = append(types, r.Type+" "+r.Stream)
		if bytes.Contains(r.Data, []byte(k.Text[3:])) || bytes.Contains(r.Metadata, []byte(k.Text[3:])) {
			t.Error("the store holds the key")
		}
		return nil
	})
	if diff := cmp.Diff([]string{"TenantKeyCreated tenant-acme"}, types); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, wrong := range []string{"", "rk_", k.Hash, "rk_" + k.Hash[:43], k.Text + "x", k.Text[:45], "RK_" + k.Text[3:], k.ID} {
		if _, err := a.Authenticate(t.Context(), wrong); !errors.Is(err, access.ErrUnknownKey) {
			t.Errorf("%d characters: %v", len(wrong), err)
		}
	}
}

func TestNobodyIsLetInBeforeTheKeysAreRead(t *testing.T) {
	l := newLedger(t)
	k := mustCreate(t, process(t, l, ""), "acme", "")
	admin := access.NewKey()
	a := access.New(l, access.Options{AdminKey: admin})
	if _, err := a.Authenticate(t.Context(), k.Text); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a tenant: %v", err)
	}
	if a.Healthy() == nil {
		t.Error("healthy before its keys are read")
	}
	if p, err := a.Authenticate(t.Context(), admin); err != nil || !p.Admin || p.Tenant != "" || p.Actor != "local" {
		t.Errorf("the admin: %+v, %v", p, err)
	}
	if _, err := process(t, l, "").Authenticate(t.Context(), admin); !errors.Is(err, access.ErrUnknownKey) {
		t.Errorf("the admin key of another start: %v", err)
	}
}

func TestALostSubscriptionIsTakenUpAgain(t *testing.T) {
	l := newLedger(t)
	behind := &cut{Store: l.Store}
	there := process(t, &commands.Ledger{Store: behind, Codec: l.Codec, Now: l.Now}, "")
	here := process(t, l, "")
	first := mustCreate(t, here, "acme", "")
	soon(t, there, first.Text, true)
	behind.lose()
	second := mustCreate(t, here, "acme", "")
	if _, err := here.Revoke(t.Context(), origin, "acme", first.ID); err != nil {
		t.Fatal(err)
	}
	soon(t, there, second.Text, true)
	soon(t, there, first.Text, false)
	deadline := time.Now().Add(10 * time.Second)
	for there.Healthy() != nil {
		if time.Now().After(deadline) {
			t.Fatal(there.Healthy())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRefusals(t *testing.T) {
	l := newLedger(t)
	a := process(t, l, "")
	var invalid *strictjson.Invalid
	for _, c := range []struct{ tenant, label, field string }{
		{"Acme", "", "tenant"}, {"", "", "tenant"}, {tenant.System, "", "tenant"},
		{"acme", strings.Repeat("x", access.MaxLabelLength+1), "label"}, {"acme", "a\nb", "label"}, {"acme", "+393331234567", "label"},
	} {
		_, err := a.Create(t.Context(), origin, c.tenant, c.label)
		if !errors.As(err, &invalid) || invalid.Problems[0].Field != c.field {
			t.Errorf("%s: %v", c.field, err)
		}
	}
	if _, err := a.Revoke(t.Context(), origin, "acme", "none"); !errors.Is(err, tenant.ErrNoKey) {
		t.Errorf("an unknown key: %v", err)
	}
	k := mustCreate(t, a, "acme", "")
	if _, err := a.Revoke(t.Context(), origin, "other", k.ID); !errors.Is(err, tenant.ErrNoKey) {
		t.Errorf("another tenant's key: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), k.Text); err != nil {
		t.Errorf("and it still opens: %v", err)
	}
	if keys, err := a.List(t.Context(), "nobody"); err != nil || keys == nil || len(keys) != 0 {
		t.Errorf("a tenant without keys: %v, %v", keys, err)
	}
}
