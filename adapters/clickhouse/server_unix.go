//go:build linux || darwin

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"recapito/commands/retry"
)

const (
	headerPatience = 10 * time.Second // to send a request's header
	idlePatience   = 2 * time.Minute  // between requests of one connection
	maxHeaderBytes = 256 << 10        // queries may stand in the URL
)

func runEngine(ctx context.Context, o ServerOptions) error {
	// A reader that goes away must be an error of a write in the engine, not
	// the end of the process. (Ignored before the signals are saved.)
	signal.Ignore(syscall.SIGPIPE)
	started := time.Now()
	e, err := startEngine(ctx, o.Library, o.Dir, o.Memory)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, o.Addr)
	if err != nil {
		return errors.Join(err, stopEngine(e))
	}
	front, err := newFront(e, o.Users, o.Logger)
	if err != nil {
		return errors.Join(err, listener.Close(), stopEngine(e))
	}
	server := &http.Server{
		Handler:           front,
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	addr := listener.Addr().String()
	o.Logger.Info("ClickHouse engine is ready", "address", addr, "version", e.version, "took", time.Since(started).Round(time.Millisecond))
	o.Ready(addr)

	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("serve ClickHouse's HTTP interface: %w", err), stopEngine(e))
	case <-ctx.Done():
		o.Logger.Info("ClickHouse engine is stopping", "reason", context.Cause(ctx))
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainPatience)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		// What is left is cancelled by closing its connections.
		err = errors.Join(err, server.Close())
		o.Logger.Warn("ClickHouse requests did not finish in time", "error", err)
	}
	if !front.wait(stopPatience) {
		return errors.New("ClickHouse queries did not end when cancelled")
	}
	return stopEngine(e)
}

// stopEngine shuts the engine down unless it takes too long; then the process
// ends with it running, which loses nothing that was acknowledged.
func stopEngine(e *engine) error {
	stopped := make(chan struct{})
	go func() {
		e.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-time.After(stopPatience):
		return fmt.Errorf("the ClickHouse engine did not stop within %s", stopPatience)
	}
}

// listen takes the address, waiting for a predecessor that is ending.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	var listener net.Listener
	err := predecessor.Do(ctx, nil, func(ctx context.Context) (err error) {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return retry.Permanent(err)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen for ClickHouse's HTTP interface: %w", err)
	}
	return listener, nil
}
