// Package calls records in the ledger who called what on the API: every call that no
// event of its own records (domain/audit).
//
// Promises: a call that was admitted is recorded, however long the store is away, unless
// the process dies first or its drain at shutdown runs out of time; RecordFirst returns
// when it is durable. What waits is bounded: where there is no place left, Admit waits a
// moment, of those who are known, and then refuses, so nothing that was done goes unrecorded. Those who are not
// known have a share of their own, so that they can neither shut out the others nor fill
// the store faster than the share a second. Calls of a tenant go out together, about one
// append a second; without calls nothing is appended.
package calls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/retry"
	"recapito/domain/audit"
	"recapito/domain/event"
	"recapito/domain/tenant"
)

// Limits of the recorder.
const (
	places        = 16384 // calls under way or waiting to be recorded, of known callers
	strangers     = 1024  // and of callers who are not known
	perEvent      = 1000  // calls in one event; well below what a store takes
	early         = 4096  // calls of a tenant that wait no longer for its second to pass
	appending     = 8     // appends under way
	every         = time.Second
	admitWait     = time.Second // for a place
	appendTimeout = 10 * time.Second
	drainTimeout  = 10 * time.Second // what waits at the end
)

// appends is how often an append is tried again.
var appends = retry.Policy{Most: 5 * time.Second}

// ErrFull: too many calls wait to be recorded; this one must not be carried out.
var ErrFull = &event.Refusal{Reason: "too many calls wait to be recorded"}

var errEnded = &event.Refusal{Reason: "calls are not recorded any more"}

// Recorder takes calls and appends them. Run must be running.
type Recorder struct {
	ledger  *commands.Ledger
	log     *slog.Logger
	failing *retry.Log       // shared by the queues
	places  [2]chan struct{} // of known callers, of others

	mu      sync.Mutex
	waiting map[string]*queue // by tenant
	ended   bool
	woken   chan struct{}
}

// queue is a tenant's calls that are not recorded yet, oldest first.
type queue struct {
	calls   []admitted
	writing bool
	next    time.Time // not before then, unless somebody waits or there are many
	urgent  bool      // somebody waits
	waits   *retry.Waits
	try     try
	head    event.Expected // of stream
	stream  string
}

// try is an append that is tried until it is known to have been done: the same calls
// under the same id on the same stream.
type try struct {
	calls     int // the queue's first
	execution string
	stream    string
}

type admitted struct {
	audit.Call
	place   *Place
	durable chan error // nil: no one waits
}

// New makes a recorder that writes to the ledger.
func New(l *commands.Ledger, log *slog.Logger) *Recorder {
	return &Recorder{
		ledger: l, log: log, failing: retry.NewLog(log, "calls: recording them"), waiting: map[string]*queue{}, woken: make(chan struct{}, 1),
		places: [2]chan struct{}{make(chan struct{}, places), make(chan struct{}, strangers)},
	}
}

// Place is room for one call: it must be ended by exactly one of Record, RecordFirst
// (which may be followed by none) and Release.
type Place struct {
	r    *Recorder
	kind int
	once sync.Once
}

// Admit takes a place before a call is carried out. ErrFull if there is none in time; who
// is not known does not wait for one.
func (r *Recorder) Admit(ctx context.Context, known bool) (*Place, error) {
	kind := 0
	if !known {
		kind = 1
	}
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	if ended {
		return nil, errEnded
	}
	p := &Place{r: r, kind: kind}
	select {
	case r.places[kind] <- struct{}{}:
		return p, nil
	default:
	}
	if !known {
		return nil, ErrFull
	}
	wait := time.NewTimer(admitWait)
	defer wait.Stop()
	select {
	case r.places[kind] <- struct{}{}:
		return p, nil
	case <-wait.C:
		return nil, ErrFull
	case <-ctx.Done():
		return nil, ErrFull
	}
}

// Release gives the place back: an event of its own records the call.
func (p *Place) Release() { p.once.Do(func() { <-p.r.places[p.kind] }) }

// Record takes the call; it is appended soon.
func (p *Place) Record(of string, c audit.Call) { p.r.add(of, admitted{Call: c, place: p}) }

// RecordFirst takes the call and returns when it is durable. An error means that it may
// not be yet: it is tried further, but what it asked for must not be shown.
func (p *Place) RecordFirst(ctx context.Context, of string, c audit.Call) error {
	durable := make(chan error, 1)
	p.r.add(of, admitted{Call: c, place: p, durable: durable})
	select {
	case err := <-durable:
		return err
	case <-ctx.Done():
		return fmt.Errorf("recording a call: %w", context.Cause(ctx))
	}
}

func (r *Recorder) add(of string, a admitted) {
	if of == "" {
		of = tenant.System
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		r.log.Error("calls: one came after the end and is not recorded")
		a.done(errEnded)
		return
	}
	q := r.waiting[of]
	if q == nil {
		q = &queue{next: r.ledger.Now().Add(every), waits: appends.Waits(r.failing)}
		r.waiting[of] = q
	}
	q.calls = append(q.calls, a)
	q.urgent = q.urgent || a.durable != nil
	if len(q.calls) == 1 || q.urgent || len(q.calls) == early {
		r.wake()
	}
}

func (r *Recorder) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

func (a admitted) done(err error) {
	if a.durable != nil {
		a.durable <- err
	}
	a.place.Release()
}

// Run appends what is recorded until ctx ends, then what still waits.
func (r *Recorder) Run(ctx context.Context) {
	var writers sync.WaitGroup
	free := make(chan struct{}, appending)
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ending := ctx.Done()
	for {
		next, some := r.writeDue(working, &writers, free, ending == nil)
		if ending == nil && !some {
			break
		}
		timer := time.NewTimer(next)
		select {
		case <-r.woken:
		case <-timer.C:
		case <-ending:
			ending = nil
			defer time.AfterFunc(drainTimeout, stop).Stop()
		case <-working.Done():
		}
		timer.Stop()
		if working.Err() != nil {
			break
		}
	}
	stop()
	writers.Wait()
	r.end()
}

// end refuses whatever comes later, and logs what was lost.
func (r *Recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	lost := 0
	for _, q := range r.waiting {
		for _, a := range q.calls {
			a.done(errEnded)
			lost++
		}
	}
	clear(r.waiting)
	if lost > 0 {
		r.log.Error("calls: the store did not take them before the end", "calls", lost)
	}
}

// writeDue begins to write what is due, everything if all, and returns when to look
// again and whether anything waits or is being written.
func (r *Recorder) writeDue(ctx context.Context, writers *sync.WaitGroup, free chan struct{}, all bool) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.ledger.Now()
	next := time.Minute
	for of, q := range r.waiting {
		wait := q.next.Sub(now)
		switch {
		case q.writing:
			continue
		case len(q.calls) == 0 && wait <= 0:
			delete(r.waiting, of)
			continue
		case len(q.calls) == 0:
			if !all {
				next = min(next, wait)
			}
			continue
		case !q.waits.Failing() && (all || q.urgent || len(q.calls) >= early), wait <= 0:
			select {
			case free <- struct{}{}:
			default:
				next = min(next, every) // whoever is done wakes the loop before
				continue
			}
			q.writing = true
			if q.try.calls == 0 {
				q.try = try{min(len(q.calls), perEvent), uuid.NewString(), audit.Stream(of, now)}
			}
			batch := q.calls[:q.try.calls]
			writers.Go(func() {
				err := r.append(ctx, of, q, batch)
				<-free
				r.written(q, err)
			})
		default:
			next = min(next, wait)
		}
	}
	some := false
	for _, q := range r.waiting {
		some = some || len(q.calls) > 0
	}
	return max(next, time.Millisecond), some
}

// written takes the calls that were tried off the queue, or has them tried again later.
func (r *Recorder) written(q *queue, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wake()
	q.writing = false
	now := r.ledger.Now()
	if err != nil {
		q.next = now.Add(q.waits.Failed(err))
		for i := range q.calls { // what is not known to be recorded is not shown
			if d := q.calls[i].durable; d != nil {
				d <- err
				q.calls[i].durable = nil
			}
		}
		q.urgent = false
		return
	}
	for _, a := range q.calls[:q.try.calls] {
		a.done(nil)
	}
	q.calls = slices.Clone(q.calls[q.try.calls:])
	q.waits.Worked()
	q.try, q.next, q.urgent = try{}, now.Add(every), false
	for _, a := range q.calls {
		q.urgent = q.urgent || a.durable != nil
	}
}

// append writes one event. A queue has one under way at a time, so its try and its head
// are this call's own.
func (r *Recorder) append(ctx context.Context, of string, q *queue, batch []admitted) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	e := audit.CallsRecorded{Calls: make([]audit.Call, len(batch)), At: batch[0].At}
	for i, a := range batch {
		e.Calls[i] = a.Call
		if a.At.Before(e.At) {
			e.At = a.At
		}
	}
	origin := commands.Origin{Tenant: of, Actor: audit.Actor}
	encoded, err := commands.Encode(ctx, r.ledger, origin, q.try.stream, q.try.execution, []audit.Event{e})
	if err != nil {
		return err
	}
	if q.stream != q.try.stream {
		if q.head, err = r.tail(ctx, q.try.stream); err != nil {
			return err
		}
		q.stream = q.try.stream
	}
	for {
		appended, err := r.ledger.Store.Append(ctx, q.stream, q.head, encoded)
		var clash *event.WrongVersion
		switch {
		case err == nil:
			q.head = event.Exact(appended.Revision)
			return nil
		case errors.As(err, &clash) && !clash.NoStream:
			q.head = event.Exact(clash.Actual) // another instance's
		case errors.As(err, &clash):
			q.head = event.NoStream()
		case errors.Is(err, event.ErrUnknownOutcome) && ctx.Err() == nil:
		default:
			return fmt.Errorf("recording calls: %w", err)
		}
	}
}

// tail returns a stream's revision.
func (r *Recorder) tail(ctx context.Context, stream string) (event.Expected, error) {
	at := event.NoStream()
	newest := event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}
	err := r.ledger.Store.ReadStream(ctx, newest, func(e event.Recorded) error {
		at = event.Exact(e.Revision)
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return at, fmt.Errorf("recording calls: %w", err)
	}
	return at, nil
}
