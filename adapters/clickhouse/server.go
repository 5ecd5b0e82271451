package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// ServerOptions configures [RunServer]. Dir and Addr must be set.
type ServerOptions struct {
	Dir     string // the engine's data folder, made if need be
	Addr    string // a loopback address, such as 127.0.0.1:8123; port 0 picks one
	Library string // the library's file; empty: LibraryPath
	Memory  int64  // bytes for the process; 0: DefaultMemory
	Users   Users  // who may use it, where Stdin does not hold them

	// Stdin ends the server when it ends, if it is set. The parent holds the other
	// side; it sends the Users first, in one line, and then writes no more.
	Stdin  io.Reader
	Logger *slog.Logger

	// Ready is called once, when requests are served. A child of [Start]
	// must print the address as one line on stdout then ([PrintReady]).
	Ready func(addr string)
}

const (
	drainPatience = 10 * time.Second // for running requests to finish
	stopPatience  = 5 * time.Second  // for the engine to shut down after that
)

// PrintReady returns the Ready function of a child of [Start].
func PrintReady(stdout io.Writer) func(addr string) {
	return func(addr string) { fmt.Fprintln(stdout, addr) }
}

func (o *ServerOptions) validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("no folder"))
	}
	if err := checkLoopback(o.Addr); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("ClickHouse server options: %w", errors.Join(errs...))
	}
	if err := o.Users.Check(); err != nil {
		return fmt.Errorf("ClickHouse server options: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Ready == nil {
		o.Ready = func(string) {}
	}
	return nil
}

// RunServer runs the engine and serves ClickHouse's HTTP interface until ctx
// ends or Stdin does, if set, then drains: it takes no new request, gives the running
// ones ten seconds, cancels what is left, and shuts the engine down. It is
// meant to be all that a process does, and to be called once in one: the
// library can be started only once, it makes the process ignore SIGPIPE, and
// an engine that does not stop in time ends with the process.
func RunServer(ctx context.Context, o ServerOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.Library == "" {
		path, err := LibraryPath()
		if err != nil {
			return err
		}
		o.Library = path
	} else if _, err := checkLibrary(o.Library); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var err error
	if o.Stdin, err = hideStdin(o.Stdin); err != nil {
		return err
	}
	if o.Stdin != nil {
		users, err := receiveUsers(o.Stdin)
		if err != nil {
			return err
		}
		o.Users = users
		// This goroutine ends with the process at the latest: a blocked read of
		// stdin cannot be interrupted.
		go func() {
			_, err := io.Copy(io.Discard, o.Stdin)
			cancel(errors.Join(errParentGone, err))
		}()
	}
	return runEngine(ctx, o)
}

var errParentGone = errors.New("the parent closed our stdin")
