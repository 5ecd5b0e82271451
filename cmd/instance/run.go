package instance

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// Limits of the start and of a shutdown: what is not done by then is cut short; nothing
// is lost by it.
const (
	drainHTTP = 10 * time.Second
	drainSend = 15 * time.Second
	closeAll  = 20 * time.Second
	settleBus = 10 * time.Second
)

// Run runs everything until ctx ends, then drains: first the listeners, then what is on
// its way to the wire, then the rest. It calls ready once requests are accepted.
func (l *Instance) Run(ctx context.Context, ready func(RunFile)) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	carrying, stopBus := context.WithCancel(working)
	defer stopBus()
	var work, carry, serving sync.WaitGroup
	failed := make(chan error, 3) // of both servers and run.json: none may block a shutdown

	// Everything that runs:
	work.Go(func() { l.access.Run(working) })
	work.Go(func() { l.calls.Run(working) })
	work.Go(func() { l.must("delivery", l.delivery.Run(working)) })
	work.Go(func() { l.must("matcher", l.matcher.Run(working)) })
	work.Go(func() { l.must("deadlines", l.deadlines.Run(working)) })
	for _, route := range l.routes {
		work.Go(func() { l.must("route", route.Run(working)) })
	}
	work.Go(func() { l.Projections.Run(working) })
	work.Go(func() { l.marks.Run(working) })
	carry.Go(func() { l.must("bus", l.bus.run(carrying)) })
	carry.Go(func() { l.offers.Run(carrying) })
	l.settle(ctx)
	serving.Go(func() { failed <- serveUntilClosed(l.http, l.open[0]) })
	serving.Go(func() { failed <- serveUntilClosed(l.metrics, l.open[1]) })
	if err := l.RunFile.write(l.Config.Data); err != nil {
		failed <- err
	} else if ctx.Err() == nil {
		ready(l.RunFile)
	}

	var err error
	select {
	case <-ctx.Done():
		l.log.Info("stopping: no new requests, finishing what is under way")
	case err = <-failed:
	}
	_ = os.Remove(runFilePath(l.Config.Data)) // its absence is all the same
	end := context.WithoutCancel(ctx)
	err = errors.Join(err, shutdown(end, l.http), shutdown(end, l.metrics))
	serving.Wait()
	stopBus()
	carry.Wait()
	draining, cancel := context.WithTimeout(end, drainSend)
	l.worker.Drain(draining)
	cancel()
	l.rebuilds.close()
	stopWork()
	work.Wait()
	l.manager.Close()
	l.ledger.Close()
	closing, cancel := context.WithTimeout(end, closeAll)
	defer cancel()
	return errors.Join(err, l.Engines.close(closing))
}

// settle waits until the API keys are loaded, and up to settleBus for the bus: a request
// needs no bus, but one dispatched before the bus is connected waits for its watchdog.
func (l *Instance) settle(ctx context.Context) {
	select {
	case <-l.access.Ready():
	case <-ctx.Done():
	}
	select {
	case <-l.bus.connected:
	case <-time.After(settleBus):
	case <-ctx.Done():
	}
}

// must logs a part that ended by itself: parts run until they are stopped.
func (l *Instance) must(part string, err error) {
	if err != nil {
		l.log.Error("a part ended by itself", "part", part, "error", err)
	}
}
