package commands

import (
	"context"
	"time"

	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// SubmitAnywhere is Submit without the check of addresses: the simulation has channels
// whose addresses the ledger does not know how to write.
func (n *Notifications) SubmitAnywhere(ctx context.Context, o Origin, key string, r Request) (Accepted, error) {
	c := &checkedRequest{Request: r}
	var ps problems
	n.checkScenario(o.Tenant, c, &ps)
	if len(ps) > 0 {
		return Accepted{}, &Invalid{Problems: ps}
	}
	var err error
	if c.canonical, err = c.canonicalForm(); err != nil {
		return Accepted{}, err
	}
	return n.accept(ctx, o, key, c)
}

// Tell executes any command on a notification.
func (n *Notifications) Tell(ctx context.Context, o Origin, id string, c notification.Command) ([]notification.Event, error) {
	res, err := n.handler.Handle(ctx, o, notification.Stream(id), c)
	return res.Events, err
}

// TellReceipt executes any command on a receipt stream.
func (n *Notifications) TellReceipt(ctx context.Context, o Origin, stream string, c receipt.Command) ([]receipt.Event, error) {
	res, err := n.receipts.Handle(ctx, o, stream, c)
	return res.Events, err
}

// CloseCaches ends the goroutines of the caches.
func (n *Notifications) CloseCaches() {
	n.handler.closeCache()
	n.receipts.closeCache()
}

func (h *Handler[S, C, E]) closeCache() {
	if h.cache != nil {
		h.cache.StopAllGoroutines()
	}
}

// CloseCache ends the goroutine of the handler's cache.
func (h *Handler[S, C, E]) CloseCache() { h.closeCache() }

// Drive gives a worker's waiting and its sends to a test.
func (w *Worker) Drive(pause func(context.Context, time.Duration), spawn func(func())) {
	w.pause, w.spawn = pause, spawn
}

// TokenForm is the form of a destination that tokens are made of.
func TokenForm(destination string) string { return tokenForm(destination) }

// The limits that tests must know.
const (
	RunnerWindow = runnerWindow
	MaxUnknown   = maxUnknown
	ResultTries  = resultTries
)

// Open says how much a matcher holds.
func (m *Matcher) Open() (attempts, receipts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.attempts), len(m.receipts)
}

// SetAhead bounds how far a runner goes past an input that is not done.
func (r *Runner) SetAhead(n int) { r.ahead = n }

// SetLimit bounds how many attempts a matcher knows.
func (m *Matcher) SetLimit(n int) { m.limit = n }
