package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/adapters/eventstore"
	"recapito/commands"
	"recapito/domain/event"
)

// eventStore is the event store with what an operator wants to know of it. The embedded
// one and the client of another are two of a kind.
type eventStore interface {
	commands.Store
	// State answers the newest position and whether appends are taken.
	State(ctx context.Context) (event.Position, error)
	Close() error
}

// embeddedStore is the engine in this process, and its server for others.
type embeddedStore struct {
	*eventlog.Log
	server *esdbserver.Server // nil if no address is configured
	served chan error
	door   *door
}

const closeServer = 5 * time.Second

// openEmbedded opens the engine and serves it on an address, unless that is empty.
func openEmbedded(o eventlog.Options, so esdbserver.Options) (*embeddedStore, error) {
	log, err := eventlog.Open(o)
	if err != nil {
		return nil, fmt.Errorf("opening the event store: %w", err)
	}
	s := &embeddedStore{Log: log, served: make(chan error, 1)}
	if s.door, err = openDoor(o.Dir, log); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if so.Addr == "" {
		return s, nil
	}
	so.Log, so.Logger = log, o.Logger
	if s.server, err = esdbserver.New(so); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%s is taken (by another instance, or an EventStoreDB?): set eventstore.addr, or `--http 127.0.0.1:0` picks free ports", so.Addr)
		}
		return nil, errors.Join(err, s.door.close(), log.Close())
	}
	go func() { s.served <- s.server.Serve() }() // ends with Close
	return s, nil
}

func (s *embeddedStore) State(context.Context) (event.Position, error) { return s.Last(), s.Healthy() }

// Addr is where others find the store; empty if nowhere.
func (s *embeddedStore) Addr() string {
	if s.server == nil {
		return ""
	}
	return s.server.Addr()
}

// Close ends the others' calls first.
func (s *embeddedStore) Close() error {
	if s.server == nil {
		return errors.Join(s.door.close(), s.Log.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeServer)
	defer cancel()
	return errors.Join(s.server.Close(ctx), <-s.served, s.door.close(), s.Log.Close())
}

// openEventStore opens the embedded store, or the client of the one that is configured.
func openEventStore(c Config, log *slog.Logger) (eventStore, error) {
	if c.EventStore.URL != "" {
		s, err := eventstore.Open(eventstore.Options{URL: c.EventStore.URL, Logger: log})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := openEmbedded(
		eventlog.Options{Dir: filepath.Join(c.Data, "events"), Uncompressed: uncompressed(), Logger: log},
		esdbserver.Options{Addr: c.EventStore.Addr})
	if err != nil {
		return nil, err
	}
	return s, nil
}
