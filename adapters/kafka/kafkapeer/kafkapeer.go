// Command kafkapeer runs a command with a real Apache Kafka, to test against:
//
//	go run ./adapters/kafka/kafkapeer go test -count=1 ./adapters/kafka/...
//
// It starts one broker (adapters/kafka/apache) with its data in a temporary folder, sets
// RECAPITO_TEST_KAFKA to its address for the command, stops it when the command has
// ended, and ends with the command's status. Status 69: java or mvn is missing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"recapito/adapters/kafka/apache"
)

const (
	startTimeout    = 60 * time.Second
	stopTimeout     = 20 * time.Second
	pingInterval    = 200 * time.Millisecond
	statusFailed    = 1
	statusUsage     = 2
	statusNoTools   = 69
	peerEnvironment = "RECAPITO_TEST_KAFKA"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "kafkapeer:", err)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(statusUsage)
	case errors.Is(err, exec.ErrNotFound):
		os.Exit(statusNoTools)
	}
	os.Exit(statusFailed)
}

var errUsage = errors.New("usage: kafkapeer command [argument…]")

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errUsage
	}
	if err := apache.Installed(); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "kafkapeer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	broker, err := apache.New(ctx, work)
	if err != nil {
		return err
	}
	stop, err := start(ctx, broker, filepath.Join(work, "server.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), peerEnvironment+"="+broker.Addr)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// start runs the broker and waits until it serves.
func start(ctx context.Context, broker *apache.Broker, logPath string) (stop func() error, err error) {
	server, err := broker.Command(ctx)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	stop = func() error {
		var err error
		_ = server.Process.Signal(syscall.SIGTERM) // an error means that it is gone
		select {
		case err = <-ended:
		case <-time.After(stopTimeout):
			_ = server.Process.Kill()
			err = <-ended
		}
		var exit *exec.ExitError // ended by our signal
		if errors.As(err, &exit) {
			err = nil
		}
		return errors.Join(err, log.Close())
	}
	if err := await(ctx, broker, ended); err != nil {
		logged, _ := os.ReadFile(logPath)
		return nil, errors.Join(fmt.Errorf("start Kafka: %w\n%s", err, logged), stop())
	}
	return stop, nil
}

func await(ctx context.Context, broker *apache.Broker, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for broker.Ready(ctx) != nil {
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			return errors.New("it ended at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
