package eventstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"time"

	"recapito/commands/channel/netguard"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"recapito/domain/event"
)

// begin runs a call of the official client in a goroutine of its own, since the client
// does not always end with ctx, and returns a channel that receives its end. The call's ctx
// ends with the store too. A connection found lost by the call's error is dropped.
func (s *Store) begin(ctx context.Context, call func(ctx context.Context, c *esdb.Client) error) (<-chan error, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: not begun: %w", event.ErrUnavailable, context.Cause(ctx))
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many calls: %w", event.ErrUnavailable, context.Cause(ctx))
	case <-s.ctx.Done():
		return nil, errClosed
	}
	c, err := s.connect(ctx)
	if err != nil {
		<-s.slots
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	done := make(chan error, 1)
	go func() {
		defer s.calls.Done()
		defer func() { <-s.slots }()
		defer cancel()
		defer stop()
		err := call(s.outgoing(ctx), c.client)
		s.release(c, err)
		done <- err
	}()
	return done, nil
}

// outgoing asks a node of a cluster to serve only while it leads: a node that no longer
// does may not know what was appended last. (The official client means to ask that by
// itself, but its header is never sent.) Without TLS that client sends no password either;
// to a loopback address it may go so.
func (s *Store) outgoing(ctx context.Context) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
	if s.config.DisableTLS && s.config.Username != "" && netguard.IsLoopback(s.config.Address) {
		credentials := base64.StdEncoding.EncodeToString([]byte(s.config.Username + ":" + s.config.Password))
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Basic "+credentials)
	}
	return ctx
}

// ended returns a call's error, or errAbandoned if ctx ends and the call does not.
func (s *Store) ended(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		return fmt.Errorf("%w: %w", errAbandoned, context.Cause(ctx))
	}
}

// grace is what a call is given to notice that its context has ended: its own result is
// the better one.
const grace = 100 * time.Millisecond

var errAbandoned = errors.New("the call went on when its time was over")

// connect returns a connection, counted as in use.
func (s *Store) connect(ctx context.Context) (*connection, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, errClosed
		}
		if c := s.current; c != nil {
			c.users++
			s.calls.Add(1)
			s.mu.Unlock()
			return c, nil
		}
		// Whoever comes between two attempts gets the error at once, and does not wait.
		if s.connecting == nil && time.Now().Before(s.again) {
			err := s.failed
			s.mu.Unlock()
			return nil, err
		}
		if s.connecting == nil {
			s.connecting = make(chan struct{})
			s.calls.Add(1)
			go s.dial(s.connecting)
		}
		attempt := s.connecting
		s.mu.Unlock()
		select {
		case <-attempt:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: not connected: %w", event.ErrUnavailable, context.Cause(ctx))
		case <-s.ctx.Done():
			return nil, errClosed
		}
	}
}

// dial makes one attempt.
func (s *Store) dial(attempt chan struct{}) {
	defer s.calls.Done()
	defer close(attempt)
	client, err := s.newClient()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connecting = nil
	switch {
	case err != nil:
		s.failed = fmt.Errorf("%w: not connected: %w", event.ErrUnavailable, err)
		s.again = time.Now().Add(s.waits.Failed(err))
	case s.closed:
		_ = client.Close()
	default:
		s.failed, s.again = nil, time.Time{}
		s.waits.Worked()
		s.current = &connection{client: client}
	}
}

// newClient returns a client that has found its node. The official client ends for good
// once it has looked in vain, and a call that comes then waits for ever, so one client
// finds out whether there is a node, and the one that is used never stops looking: its
// callers wait no longer than until there is a node again.
func (s *Store) newClient() (*esdb.Client, error) {
	config := s.config
	probe, err := esdb.NewClient(&config)
	if err != nil {
		return nil, err
	}
	_, err = probe.GetServerVersion()
	_ = probe.Close()
	if err != nil {
		return nil, err
	}
	config.MaxDiscoverAttempts = math.MaxInt
	client, err := esdb.NewClient(&config)
	if err != nil {
		return nil, err
	}
	if _, err := client.GetServerVersion(); err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// release ends a use, and drops the connection if the error means that it is lost.
func (s *Store) release(c *connection, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.users--
	if lost(err) {
		s.drop(c)
	}
	if c.lost && c.users == 0 {
		_ = c.client.Close()
	}
}

// drop takes a connection out of use; under mu. It is closed when its last user is done,
// as the official client panics if it is closed under a call.
func (s *Store) drop(c *connection) {
	if s.current == c {
		s.current = nil
	}
	if c.lost {
		return
	}
	c.lost = true
	if c.users == 0 {
		_ = c.client.Close()
	}
}

// lost reports whether a connection should not be used again after this error.
func lost(err error) bool {
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeNotLeader:
			return true
		}
	}
	return err != nil && status.Code(unwrapped(err)) == codes.Unavailable
}

// unwrapped finds the error of the transport, which the official client wraps.
func unwrapped(err error) error {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Err()
	}
	return err
}
