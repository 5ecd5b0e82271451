package delivery

import (
	"context"
	"time"
)

// Drive gives a worker's waiting and its sends to a test.
func (w *Worker) Drive(pause func(context.Context, time.Duration), spawn func(func())) {
	w.offering.Sleep, w.trying.Sleep, w.spawn = pause, pause, spawn
}

// The limits that tests must know.
const (
	RunnerWindow = runnerWindow
	OfferQueue   = offerQueue
)

// SetAhead bounds how far a runner goes past an input that is not done.
func (r *Runner) SetAhead(n int) { r.ahead = n }

// ResultTries is how often the result of a send is offered to the store.
var ResultTries = int(offering.Tries)
