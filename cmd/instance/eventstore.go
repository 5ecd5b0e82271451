package instance

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
	"recapito/cmd/config"
	"recapito/commands"
	"recapito/domain/event"
)

// EventStore is the event store with its state. The embedded engine and the client of
// another store both implement it.
type EventStore interface {
	commands.Store
	// State returns the newest position and whether appends are taken.
	State(ctx context.Context) (event.Position, error)
	Close() error
}

// Embedded is the engine in this process, and its server for others.
type Embedded struct {
	*eventlog.Log
	server *esdbserver.Server // nil if no address is configured
	// Served receives the end of the server, should it end before Close.
	Served      chan error
	checkpoints *checkpoints
}

const closeServer = 5 * time.Second

// OpenEmbedded opens the engine and serves it on an address, unless that is empty.
func OpenEmbedded(o eventlog.Options, so esdbserver.Options) (*Embedded, error) {
	log, err := eventlog.Open(o)
	if err != nil {
		return nil, fmt.Errorf("opening the event store: %w", err)
	}
	s := &Embedded{Log: log, Served: make(chan error, 1)}
	if s.checkpoints, err = listenForCheckpoints(o.Dir, log); err != nil {
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
		return nil, errors.Join(err, s.checkpoints.close(), log.Close())
	}
	go func() { s.Served <- s.server.Serve() }() // ends with Close
	return s, nil
}

func (s *Embedded) State(context.Context) (event.Position, error) { return s.Last(), s.Healthy() }

// Addr is where others find the store; empty if nowhere.
func (s *Embedded) Addr() string {
	if s.server == nil {
		return ""
	}
	return s.server.Addr()
}

// Close ends the others' calls first.
func (s *Embedded) Close() error {
	if s.server == nil {
		return errors.Join(s.checkpoints.close(), s.Log.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeServer)
	defer cancel()
	return errors.Join(s.server.Close(ctx), <-s.Served, s.checkpoints.close(), s.Log.Close())
}

// openEventStore opens the embedded store, or the client of the one that is configured.
func openEventStore(c config.Config, log *slog.Logger) (EventStore, error) {
	if c.EventStore.URL != "" {
		s, err := eventstore.Open(eventstore.Options{URL: c.EventStore.URL, Logger: log})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := OpenEmbedded(
		eventlog.Options{Dir: filepath.Join(c.Data, "events"), Uncompressed: Uncompressed(), Logger: log},
		esdbserver.Options{Addr: c.EventStore.Addr})
	if err != nil {
		return nil, err
	}
	return s, nil
}
