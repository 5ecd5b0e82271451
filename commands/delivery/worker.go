package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/retry"
	"recapito/domain/content"
	"recapito/domain/deadline"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Limits of a worker.
const (
	// capacityWait is how long an attempt waits for its route's capacity before it is
	// given back as a deadline: longer would block the others of its partition.
	capacityWait = 500 * time.Millisecond
	// giveBack is when an attempt that was given back comes again.
	giveBackFull = time.Second
	giveBackDown = 5 * time.Second
	// guardLimit is how long the claim guards may take together.
	guardLimit = 2 * time.Second
)

// Worker takes due attempts off the queue and sends them. A queue message is done
// (Handle returns nil) once the claim is durable, or there is nothing to claim; the
// send goes on outside, in goroutines that the worker owns and Drain waits for.
//
// Promises: an attempt is on the wire at most once. A claim that begins after a withdrawal
// was acknowledged never sends, if a claim guard reads the withdrawal. Not promised: that
// an attempt is on the wire once.
type Worker struct {
	c Config
	// offering is how often a result is offered to the store, trying how long to wait
	// between the tries of a claim, spawn starts a send; changed where a test drives them.
	offering, trying retry.Policy
	spawn            func(func())

	mu       sync.Mutex
	draining bool
	sending  sync.WaitGroup
	life     context.Context
	end      context.CancelFunc
}

// NewWorker binds a worker to what it acts on.
func NewWorker(c Config) *Worker {
	life, end := context.WithCancel(context.Background())
	return &Worker{c: c, offering: offering, trying: trying, spawn: func(f func()) { go f() }, life: life, end: end}
}

// ErrDraining: the worker takes nothing more.
var ErrDraining = errors.New("the worker is draining")

// Handle takes one dispatch message. An error means: deliver it again.
func (w *Worker) Handle(ctx context.Context, d DispatchMessage) error {
	// A state that is behind may serve: a status that rules the send out only rises, and
	// the claim decides on what is.
	l, found, err := commands.LoadAttempt(ctx, w.c.Notifications.NotificationHandler, d.Notification, d.Attempt)
	if err != nil {
		return err
	}
	a, _ := l.State.Attempt(d.Attempt)
	if !found || !w.sendable(&l.State, a) {
		return nil
	}
	route, ok := w.c.Routes.Named(a.Route)
	if !ok {
		w.c.Log.Error("an attempt names a route that is not configured; it waits for its patience", "route", a.Route)
		return nil
	}
	release, err := w.acquire(ctx, route, a.Units)
	switch {
	case errors.Is(err, channel.ErrRouteFull):
		return w.giveBack(ctx, d, a.Due, giveBackFull)
	case errors.Is(err, channel.ErrRouteDown):
		return w.giveBack(ctx, d, a.Due, giveBackDown)
	case err != nil:
		return fmt.Errorf("taking capacity of route %s: %w", route.Name, err)
	}
	sent := false
	defer func() { // also when a panic, which the router turns into an error, comes through
		if !sent {
			release()
		}
	}()
	sent, err = w.claimAndSend(ctx, d, route, l.State, release)
	return err
}

// sendable spares the capacity where the claim would be refused anyway.
func (w *Worker) sendable(s *notification.State, a *notification.Attempt) bool {
	now := w.c.Ledger.Now()
	return a.Status == notification.Scheduled && !now.Before(a.Due) && !s.ExpiryPassed(now)
}

func (w *Worker) acquire(ctx context.Context, route channel.Configured, units int) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, capacityWait)
	defer cancel()
	return route.Wire.Acquire(ctx, units)
}

// giveBack makes the attempt come again. Every copy of its message that is given back
// in the meantime comes again at the same moment, as one.
func (w *Worker) giveBack(ctx context.Context, d DispatchMessage, due time.Time, every time.Duration) error {
	again := deadline.DeadlineSet{
		At: deadline.Tick(due, every, w.c.Ledger.Now()), Notification: d.Notification, Attempt: d.Attempt, GivenBack: true,
	}
	if err := w.c.Deadlines.Set(ctx, again); err != nil {
		return fmt.Errorf("giving an attempt back: %w", err)
	}
	return nil
}

// guard asks every claim guard, and combines what they found.
func (w *Worker) guard(ctx context.Context, s *notification.State, a *notification.Attempt) (notification.Guard, error) {
	ctx, cancel := context.WithTimeout(ctx, guardLimit)
	defer cancel()
	var all notification.Guard
	for _, g := range w.c.Guards {
		found, err := g.Check(ctx, s, a)
		if err != nil {
			return notification.Guard{}, fmt.Errorf("asking a claim guard: %w", err)
		}
		all = all.And(found)
	}
	return all, nil
}

// claimAndSend returns whether the send (and with it the capacity) went on outside. The
// claim begins here: what the guards read is read after start. What an attempt is aimed at
// never changes, so the state from before the capacity came will do.
func (w *Worker) claimAndSend(ctx context.Context, d DispatchMessage, route channel.Configured, state notification.State, release func()) (bool, error) {
	start := w.c.Ledger.Now() // before the append: the fence counts from here
	a, _ := state.Attempt(d.Attempt)
	guard, err := w.guard(ctx, &state, a)
	if err != nil {
		return false, err
	}
	target := state.Target(a)
	destination, known := target.Destination.Clear()
	token, err := w.c.Tokens.DestinationToken(ctx, route.Name, commands.TokenForm(destination), start)
	if err != nil {
		return false, fmt.Errorf("making the destination's token: %w", err)
	}
	claim := notification.Claim{Attempt: d.Attempt, Claim: w.c.Ledger.RandomID(), Token: token.Token, TokenKey: token.Key, Guard: guard, At: start}
	if !w.begin() {
		return false, ErrDraining
	}
	handed := false // to the send, which ends by itself
	defer func() {
		if !handed {
			w.sending.Done()
		}
	}()
	o := commands.Origin{Tenant: state.Requested.Tenant, Actor: commands.ActorDispatch, Correlation: d.Notification, Test: state.Requested.Test}
	res, err := w.c.Notifications.Handle(ctx, o, notification.Stream(d.Notification), claim)
	if err != nil || len(res.Events) == 0 {
		if isRefusal(err) {
			return false, nil // not to be sent now, or not by us
		}
		return false, err
	}
	if guard.Verdict != notification.Allow {
		return false, nil // the attempt waits, or is withdrawn
	}
	handed = true
	s := &send{
		worker: w, origin: o, route: route, d: d, claim: claim.Claim, destination: destination, token: token,
		start: start, limit: time.Duration(target.Policy.WireLimit), expires: state.Requested.ExpiresAt,
	}
	if !known {
		w.spawn(func() { s.refuse(codeErased, a.Units, release) })
		return true, nil
	}
	stored, _ := target.Content.Clear()
	document, err := content.Decode(stored)
	if err != nil {
		w.c.Log.Error("the content of an attempt cannot be read; it fails", "notification", d.Notification, "attempt", d.Attempt, "error", err)
		w.spawn(func() { s.refuse(codeUnreadable, a.Units, release) })
		return true, nil
	}
	m := channel.Message{
		Notification: d.Notification, Attempt: d.Attempt, Reference: receipt.Reference(d.Notification, d.Attempt),
		Sender: target.Sender, Destination: destination, Content: document, ValidUntil: state.Requested.ExpiresAt,
	}
	w.spawn(func() { s.run(m, release) })
	return true, nil
}

func isRefusal(err error) bool {
	return err == nil || errors.Is(err, notification.ErrNotScheduled) || errors.Is(err, notification.ErrNotDue) ||
		errors.Is(err, notification.ErrExpired) || errors.Is(err, notification.ErrNoAttempt)
}

// begin counts a send that Drain must wait for.
func (w *Worker) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining {
		return false
	}
	w.sending.Add(1)
	return true
}

// Drain takes nothing more and waits for the sends under way; when ctx ends they are
// cut short, and what was on the wire is OutcomeUnknown.
func (w *Worker) Drain(ctx context.Context) {
	w.mu.Lock()
	w.draining = true
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		w.sending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	w.end()
	<-done
}
