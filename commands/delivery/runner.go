package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"recapito/commands"
	"recapito/commands/retry"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

// tryAgain is how soon an input or a subscription that failed is tried again.
var tryAgain = retry.Policy{First: 50 * time.Millisecond, Most: 5 * time.Second}

// Limits of a runner.
const (
	lastSave        = 5 * time.Second // for the checkpoint saved as a runner ends
	runnerWorkers   = 64              // inputs worked on side by side
	runnerWindow    = 4096            // inputs taken and not yet done
	runnerAhead     = 1e6             // inputs taken after the oldest that is not done
	checkpointEvery = 2000            // inputs done, or
	checkpointPause = time.Second
	// finishTaken is how long a lost subscription's inputs may still be worked on before
	// it is taken up again; what is not done by then comes again.
	finishTaken = 5 * time.Second
)

// Runner feeds a process manager from $all: inputs of one stream one after the other,
// of different streams side by side, each at least once. Its checkpoint moves past an
// input only when that and all before it are done. An input that fails is tried again
// until it succeeds: nothing is skipped, and meanwhile only its own stream waits (and,
// runnerWindow inputs of such streams or runnerAhead inputs later, everything). An idle
// runner appends nothing.
//
// With a Feed it shares the inputs with other instances instead (runner_shared.go): an
// input that fails is tried again here for a while, then wherever the feed gives it.
type Runner struct {
	Name   string
	Store  commands.Store
	Feed   SharedFeed // nil: it follows $all by itself
	Filter event.Filter
	Handle func(context.Context, event.Recorded) error
	Log    *slog.Logger

	ahead  int        // 0: runnerAhead
	inputs *retry.Log // of those that fail: one for all, or an outage would fill the log

	mu      sync.Mutex
	state   RunnerState
	failing int       // inputs that failed and have not succeeded yet
	taken   *progress // of the running session
	inHand  int       // with a Feed
}

// RunnerState is how a runner is doing.
type RunnerState struct {
	Live     bool           // has caught up since it started
	Position event.Position // everything up to it is done; with a feed, the newest that is
	Waiting  int            // inputs taken and not done
	Failing  error          // the last error of an input, nil once none fails any more
}

// State returns how the runner is doing.
func (r *Runner) State() RunnerState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.Waiting = r.inHand
	if r.taken != nil {
		s.Waiting = len(r.taken.window)
	}
	return s
}

// Run works until ctx ends; a lost subscription is taken up again.
func (r *Runner) Run(ctx context.Context) error {
	session := r.session
	if r.Feed != nil {
		session = r.share
	}
	r.inputs = retry.NewLog(r.Log, "runner: handling an input", "runner", r.Name)
	return tryAgain.Keep(ctx, retry.NewLog(r.Log, "runner: following $all", "runner", r.Name), session)
}

type input struct {
	event.Recorded
	index int64
}

// session is one subscription and the work on what it brings.
func (r *Runner) session(ctx context.Context, working func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	saved, revision, err := r.loadCheckpoint(ctx)
	if err != nil {
		return err
	}
	p := newProgress(cmp.Or(r.ahead, runnerAhead))
	r.mu.Lock()
	r.taken = p
	r.mu.Unlock()
	saver := make(chan error, 1)
	go func() {
		err := r.saveLoop(ctx, p, revision)
		if err != nil {
			cancel() // a checkpoint that cannot be saved ends the session: another may hold it
		}
		saver <- err
	}()

	workers := make(chan struct{}, runnerWorkers)
	var handling sync.WaitGroup
	var next int64
	subscribed := r.Store.Subscribe(ctx, event.Subscription{After: saved, Filter: r.Filter}, event.Handler{
		Event: func(e event.Recorded) error {
			for _, room := range []chan struct{}{p.ahead, p.window} {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if idle := p.take(input{e, next}); idle {
				handling.Go(func() { r.workOff(ctx, p, workers, e.Stream) })
			}
			next++
			return nil
		},
		CaughtUp: func(event.Position) error {
			working()
			r.set(func(s *RunnerState) { s.Live = true })
			return nil
		},
	})
	done := make(chan struct{})
	go func() {
		handling.Wait()
		close(done)
	}()
	select { // lost, not told to end: what was taken may be finished
	case <-done:
	case <-ctx.Done():
	case <-time.After(finishTaken):
	}
	cancel()
	<-done
	return errors.Join(subscribed, <-saver)
}

// workOff works on the inputs of one stream, one after the other, until none waits.
func (r *Runner) workOff(ctx context.Context, p *progress, workers chan struct{}, stream string) {
	for {
		in, ok := p.first(stream)
		if !ok || r.work(ctx, workers, in.Recorded) != nil {
			return
		}
		p.finish(in)
	}
}

// work handles one input until it succeeds (nil) or ctx ends. It takes a worker's place
// only while it handles, not while it waits to try again.
func (r *Runner) work(ctx context.Context, workers chan struct{}, e event.Recorded) error {
	failing := false
	defer func() {
		if failing {
			r.fails(-1)
		}
	}()
	return tryAgain.Do(ctx, r.inputs, func(ctx context.Context) error {
		select {
		case workers <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := r.Handle(ctx, e)
		<-workers
		if err != nil && ctx.Err() == nil {
			if !failing {
				failing = true
				r.fails(1)
			}
			err = fmt.Errorf("%s at position %d: %w", e.Type, e.Position, err)
			r.set(func(s *RunnerState) { s.Failing = err })
		}
		return err
	})
}

// fails counts the inputs that fail.
func (r *Runner) fails(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing += more; r.failing == 0 {
		r.state.Failing = nil
	}
}

func (r *Runner) set(change func(*RunnerState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
}

// progress knows what waits on each stream, which inputs are done, and up to where all
// are.
type progress struct {
	window    chan struct{} // holds one for each input taken and not done
	ahead     chan struct{} // and for each from the oldest that is not done on
	mu        sync.Mutex
	waiting   map[string][]input // by stream that is being worked on: its first, and those behind
	oldest    int64              // not yet done
	done      map[int64]bool
	positions map[int64]event.Position
	upTo      event.Position
	moved     int // inputs done since the last save
}

func newProgress(ahead int) *progress {
	return &progress{
		window: make(chan struct{}, runnerWindow), ahead: make(chan struct{}, ahead),
		waiting: map[string][]input{}, done: map[int64]bool{}, positions: map[int64]event.Position{},
	}
}

// take puts an input behind those of its stream, and says whether nobody works on it.
func (p *progress) take(in input) (idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.positions[in.index] = in.Position
	before, busy := p.waiting[in.Stream]
	p.waiting[in.Stream] = append(before, in)
	return !busy
}

// first answers the next input of a stream; if there is none, nobody works on it now.
func (p *progress) first(stream string) (input, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting[stream]) == 0 {
		delete(p.waiting, stream)
		return input{}, false
	}
	return p.waiting[stream][0], true
}

// finish takes the first input of its stream off as done.
func (p *progress) finish(in input) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[in.Stream] = p.waiting[in.Stream][1:]
	p.done[in.index] = true
	for p.done[p.oldest] {
		p.upTo = p.positions[p.oldest]
		delete(p.done, p.oldest)
		delete(p.positions, p.oldest)
		p.oldest++
		p.moved++
		<-p.ahead
	}
	<-p.window
}

func (p *progress) unsaved(atLeast int) (event.Position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved == 0 || p.moved < atLeast {
		return 0, false
	}
	p.moved = 0
	return p.upTo, true
}

// saveLoop saves the checkpoint while inputs get done, and once more at the end.
func (r *Runner) saveLoop(ctx context.Context, p *progress, revision event.Expected) error {
	tick := time.NewTicker(checkpointPause / 4)
	defer tick.Stop()
	last := time.Now()
	save := func(ctx context.Context, atLeast int) error {
		at, ok := p.unsaved(atLeast)
		if !ok {
			return nil
		}
		saved, err := r.saveCheckpoint(ctx, at, revision)
		if err != nil {
			return err
		}
		revision, last = event.Exact(saved), time.Now()
		r.set(func(s *RunnerState) { s.Position = at })
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
			defer cancel()
			return save(end, 1)
		case <-tick.C:
		}
		atLeast := checkpointEvery
		if time.Since(last) >= checkpointPause {
			atLeast = 1
		}
		if err := save(ctx, atLeast); err != nil && ctx.Err() == nil {
			r.Log.Warn("runner: the checkpoint could not be saved", "runner", r.Name, "error", err)
			return err
		}
	}
}

func (r *Runner) loadCheckpoint(ctx context.Context) (*event.Position, event.Expected, error) {
	var c checkpoint.RunnerCheckpointed
	at, err := commands.LoadLatest(ctx, r.Store, checkpoint.RunnerStream(r.Name), &c)
	if err != nil {
		return nil, at, fmt.Errorf("loading the checkpoint of %s: %w", r.Name, err)
	}
	if at.IsNoStream() {
		return nil, at, nil
	}
	r.set(func(s *RunnerState) { s.Position = c.Position })
	return &c.Position, at, nil
}

func (r *Runner) saveCheckpoint(ctx context.Context, at event.Position, expected event.Expected) (event.Revision, error) {
	return commands.AppendOperational(ctx, r.Store, checkpoint.RunnerStream(r.Name), expected, "RunnerCheckpointed", checkpoint.RunnerCheckpointed{Position: at})
}
