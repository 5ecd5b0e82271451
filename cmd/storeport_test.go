package cmd

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"recapito/adapters/eventstore"
	"recapito/domain/event"
)

// The store's port of an instance lets nobody in without the password of run.json, and is
// read: no local user makes an API key, keeps a start from succeeding, stops a projection or
// has an idempotency key taken again by what it writes or deletes there.
func TestStorePortIsRead(t *testing.T) {
	_, smsc := startSMSC(t, t.TempDir(), "127.0.0.1:0")
	l := openHere(t, writeConfig(t, filepath.Join(t.TempDir(), "data"), smsc, ""))
	open := func(user, options string) *eventstore.Store {
		s, err := eventstore.Open(eventstore.Options{URL: "esdb://" + user + l.RunFile.EventStore + "?maxDiscoverAttempts=1" + options})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	read := func(s *eventstore.Store) (n int, err error) {
		err = s.ReadAll(t.Context(), event.AllRead{Limit: 5}, func(event.Recorded) error { n++; return nil })
		return n, err
	}
	for what, s := range map[string]*eventstore.Store{
		"no password": open("", "&tlsVerifyCert=false"), "wrong": open("admin:wrong@", "&tlsVerifyCert=false"),
		"the ledger without one": open("recapito:@", "&tlsVerifyCert=false"), "no TLS": open("admin:"+l.RunFile.EventStorePassword+"@", "&tls=false"),
	} {
		if n, err := read(s); err == nil {
			t.Errorf("%s: %d events are read", what, n)
		}
	}
	admin := open("admin:"+l.RunFile.EventStorePassword+"@", "&tlsVerifyCert=false")
	if n, err := read(admin); err != nil || n == 0 {
		t.Errorf("with the password: %d events, %v", n, err)
	}
	for _, stream := range []string{
		"tenant-default", "notification-1", "receipt-smsc-1", "audit-_-20261201", "checkpoint-projection-edr", "deadline-20990228T2330Z-1", "lease-x", "mark-0", "anything",
		"$$notification-1", "$$tenant-default", "$$checkpoint-projection-edr",
	} {
		_, err := admin.Append(t.Context(), stream, event.Any(), []event.New{{ID: uuid.NewString(), Type: "TenantKeyCreated", Data: []byte(`{}`)}})
		if !errors.Is(err, event.ErrUnavailable) { // access denied
			t.Errorf("appending to %s: %v", stream, err)
		}
	}
	written := event.AllRead{Filter: event.Filter{Types: []string{"TenantKeyCreated"}}}
	if err := l.Engines.Events.ReadAll(t.Context(), written, func(e event.Recorded) error { return errors.New(e.Stream + " was written") }); err != nil {
		t.Error(err)
	}
}
