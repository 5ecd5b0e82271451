package eventstore_test

import (
	"context"
	"os"
	"testing"
	"time"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/adapters/eventstore"
	"recapito/commands"
	"recapito/commands/storetest"
)

// outside names an EventStoreDB to run the suite against too.
const outside = "RECAPITO_TEST_EVENTSTORE"

func TestStoreOverOurServer(t *testing.T) {
	storetest.Run(t, func(t *testing.T) commands.Store { return dial(t, serve(t, t.TempDir(), "127.0.0.1:0").url()) })
}

func TestStoreOverEventStoreDB(t *testing.T) {
	url := os.Getenv(outside)
	if url == "" {
		t.Skip("no " + outside)
	}
	storetest.Run(t, func(t *testing.T) commands.Store { return dial(t, url) })
}

// served is a log with a server in this process.
type served struct {
	t      *testing.T
	log    *eventlog.Log
	server *esdbserver.Server
	done   chan error
	closed bool
}

func serve(t *testing.T, dir, addr string) *served {
	t.Helper()
	return serveOn(t, eventlog.Options{Dir: dir}, addr)
}

func serveOn(t *testing.T, o eventlog.Options, addr string) *served {
	t.Helper()
	s := &served{t: t, done: make(chan error, 1)}
	var err error
	if s.log, err = eventlog.Open(o); err != nil {
		t.Fatal(err)
	}
	if s.server, err = esdbserver.New(esdbserver.Options{Log: s.log, Addr: addr}); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.server.Serve() }()
	t.Cleanup(s.close)
	return s
}

func (s *served) url() string { return "esdb://" + s.server.Addr() + "?tls=false" }

func (s *served) close() {
	if s.closed {
		return
	}
	s.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.server.Close(ctx); err != nil {
		s.t.Error(err)
	}
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
	if err := s.log.Close(); err != nil {
		s.t.Error(err)
	}
}

func dial(t *testing.T, url string) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(eventstore.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}
