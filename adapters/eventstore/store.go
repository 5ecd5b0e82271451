package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"recapito/commands/retry"
	"recapito/domain/event"
)

// Limits of the client.
const (
	maxCalls      = 1024                  // in flight; more wait for one to end
	appendTries   = 4                     // of an append that may be repeated
	firstBackOff  = 50 * time.Millisecond // before the second try
	appendTimeout = 20 * time.Second      // of one try
	closePatience = 2 * time.Second       // for calls in flight when the store closes
	stateTimeout  = 3 * time.Second       // of State
)

// reconnecting is how often a connection and a subscription are tried again.
var reconnecting = retry.Policy{First: firstBackOff, Most: 2 * time.Second}

// Options of a store. Only URL is required.
type Options struct {
	// URL is a connection string: esdb://user:password@host:port?tls=…, several hosts
	// or esdb+discover for a cluster. It may hold a password: never log it.
	URL    string
	Logger *slog.Logger // nil means slog.Default
}

// Store is commands.Store over a connection. It is safe for use by many goroutines.
type Store struct {
	config esdb.Configuration
	logger *slog.Logger
	slots  chan struct{} // one for each call in flight

	refused atomic.Bool // the last append known of was refused: the server is read-only

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	calls  sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	current    *connection
	connecting chan struct{} // closed when an attempt under way has ended; nil if none is
	failed     error         // of the last attempt, until one succeeds
	again      time.Time     // no attempt before
	waits      *retry.Waits  // between attempts
}

// connection is one official client. It is dropped at the first sign of a lost
// connection: the official client can connect again by itself, but where that fails its
// callers wait for ever.
type connection struct {
	client *esdb.Client
	users  int  // calls under way, under Store.mu
	lost   bool // no new calls
}

// Open checks the connection string. It connects with the first call, so that the
// server may come up later.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	config, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	// The client's own messages name endpoints and errors, no contents.
	config.Logger = func(level esdb.LogLevel, format string, args ...any) {
		o.Logger.Debug("event store client: "+fmt.Sprintf(format, args...), "level", level)
	}
	s := &Store{config: *config, logger: o.Logger, slots: make(chan struct{}, maxCalls)}
	s.waits = reconnecting.Waits(retry.NewLog(o.Logger, "event store: connecting"))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// parse never shows the connection string: it may hold a password.
func parse(raw string) (*esdb.Configuration, error) {
	config, err := esdb.ParseConnectionString(raw)
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return nil, fmt.Errorf("connection string of the event store: %w", err)
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("connection string of the event store: %w", err)
	}
	config.NodePreference = esdb.NodePreferenceLeader // what was appended must be read
	return config, nil
}

// CheckURL reports whether a connection string can be used.
func CheckURL(raw string) error {
	_, err := parse(raw)
	return err
}

var errClosed = fmt.Errorf("%w: the client is closed", event.ErrUnavailable)

// Close ends what is under way and disconnects. It leaves calls to the official client that
// began as the node went away: that looks for another node, for ever, and cannot be made to
// stop. Whoever made them has had an error.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.current != nil {
		s.drop(s.current)
	}
	s.mu.Unlock()
	s.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.calls.Wait()
	}()
	select {
	case <-done:
	case <-time.After(closePatience):
		s.logger.Info("event store: calls that wait for a node were left when the client closed", "calls", len(s.slots))
	}
	return nil
}

// State returns the position of the newest event (0 if there is none), and with it that
// the server responds and, as far as is known, takes appends: of one that refused an append
// as read-only it is asked again.
func (s *Store) State(ctx context.Context) (event.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	var last event.Position
	read := event.AllRead{From: event.PositionEnd, Direction: event.Backwards, Limit: 1}
	err := s.ReadAll(ctx, read, func(e event.Recorded) error {
		last = e.Position
		return nil
	})
	if err == nil && s.refused.Load() {
		err = s.writable(ctx)
	}
	return last, err
}
