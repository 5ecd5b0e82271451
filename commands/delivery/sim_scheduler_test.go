package delivery_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// scheduler runs tasks as coroutines, one at a time, on a clock of its own. Which task
// goes on, and whether something breaks before it does, is drawn from the seed: every
// call of the real code to the outside is a yield, so what is between two of them is
// one step, and a crash can fall between any two steps.
type scheduler struct {
	rng   *rand.Rand
	now   time.Time
	tasks []*task
	cur   *task
	steps int

	// fault is asked before each step whether something breaks; it may kill tasks.
	fault func()

	tracing bool
	trace   []string
	failed  string // the first broken property
}

// task is one line of work. One with an owner dies with it.
type task struct {
	name   string
	owner  *process
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	wake   time.Time
	ready  func() bool // nil: as soon as wake has come
	either bool        // ready or wake, whichever comes first
	dead   bool
	done   bool
	frozen time.Time // stopped until then, whatever it waits for
}

// crashed unwinds a task that was killed.
type crashed struct{}

// maxSteps bounds a seed: more of them means that something goes round for ever.
const maxSteps = 30_000

func newScheduler(seed uint64) *scheduler {
	return &scheduler{
		rng: rand.New(rand.NewPCG(seed, 0x5eed)),
		now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
	}
}

func (s *scheduler) clock() time.Time { return s.now }

// log adds to the trace, which must not hold personal data.
func (s *scheduler) log(format string, args ...any) {
	if !s.tracing {
		return
	}
	who := "-"
	if s.cur != nil {
		who = s.cur.name
	}
	s.trace = append(s.trace, fmt.Sprintf("%6d %s %-14s ", s.steps, s.now.Format("15:04:05.000"), who)+fmt.Sprintf(format, args...))
}

// fail notes a broken property; the seed ends.
func (s *scheduler) fail(format string, args ...any) {
	if s.failed == "" {
		s.failed = fmt.Sprintf(format, args...)
		s.log("VIOLATED: %s", s.failed)
	}
}

// chance is true once in n.
func (s *scheduler) chance(n int) bool { return n > 0 && s.rng.IntN(n) == 0 }

// percent is true so often in a hundred.
func (s *scheduler) percent(p int) bool { return s.rng.IntN(100) < p }

// between draws a duration.
func (s *scheduler) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(most-least)+1))
}

func (s *scheduler) spawn(owner *process, name string, work func()) *task {
	t := &task{name: name, owner: owner}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			t.done = true
			switch r := recover().(type) {
			case nil, crashed:
			default:
				if !t.dead {
					s.fail("panic in %s: %v\n%s", name, r, debug.Stack())
				}
			}
		}()
		t.yield = yield
		work()
	})
	s.tasks = append(s.tasks, t)
	return t
}

// step lets the scheduler decide who goes on.
func (s *scheduler) step() { s.pause(s.cur) }

func (s *scheduler) pause(t *task) {
	if t.dead || !t.yield(struct{}{}) {
		panic(crashed{})
	}
}

// sleep stops the current task for so long.
func (s *scheduler) sleep(d time.Duration) {
	t := s.cur
	t.wake = s.now.Add(d)
	s.pause(t)
}

// wait stops the current task until ready.
func (s *scheduler) wait(ready func() bool) {
	t := s.cur
	t.ready = ready
	s.pause(t)
	t.ready = nil
}

// waitOr stops the current task until ready or until then.
func (s *scheduler) waitOr(ready func() bool, until time.Time) {
	t := s.cur
	t.ready, t.wake, t.either = ready, until, true
	s.pause(t)
	t.ready, t.either = nil, false
}

func (s *scheduler) runnable(t *task) bool {
	if t.frozen.After(s.now) {
		return false
	}
	timely := !t.wake.After(s.now)
	switch {
	case t.ready == nil:
		return timely
	case t.either:
		return timely || t.ready()
	}
	return t.ready()
}

// run works until nothing is left to do.
func (s *scheduler) run() {
	var able []*task
	for s.failed == "" {
		if s.fault != nil {
			s.fault()
		}
		able = able[:0]
		for _, t := range s.tasks {
			if s.runnable(t) {
				able = append(able, t)
			}
		}
		if len(able) == 0 {
			if !s.advance() {
				return
			}
			continue
		}
		if s.steps++; s.steps > maxSteps {
			s.fail("P5 stuck: still at work after %d steps", maxSteps)
			return
		}
		s.resume(able[s.rng.IntN(len(able))])
		if s.chance(2) {
			s.now = s.now.Add(s.between(0, 4*time.Millisecond))
		}
	}
}

func (s *scheduler) resume(t *task) {
	s.cur = t
	_, more := t.next()
	s.cur = nil
	if !more {
		s.tasks = slices.DeleteFunc(s.tasks, func(o *task) bool { return o == t })
	}
}

// advance moves the clock to where somebody wakes.
func (s *scheduler) advance() bool {
	var first time.Time
	for _, t := range s.tasks {
		at := t.wake
		if t.frozen.After(at) {
			at = t.frozen
		}
		if t.ready != nil && !t.either && !t.frozen.After(s.now) {
			continue
		}
		if at.After(s.now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return false
	}
	s.now = first
	return true
}

// kill ends every task of a process where it stands.
func (s *scheduler) kill(owner *process) {
	var left []*task
	for _, t := range s.tasks {
		if t.owner != owner {
			left = append(left, t)
		}
	}
	killed := s.tasks
	s.tasks = left
	for _, t := range killed {
		if t.owner == owner {
			s.end(t)
		}
	}
}

func (s *scheduler) end(t *task) {
	was := s.cur
	s.cur = t
	t.dead = true
	t.stop()
	t.done = true
	s.cur = was
}

// close ends everything.
func (s *scheduler) close() {
	tasks := s.tasks
	s.tasks = nil
	for _, t := range tasks {
		s.end(t)
	}
}

func (s *scheduler) tail(lines int) string {
	from := max(len(s.trace)-lines, 0)
	return strings.Join(s.trace[from:], "\n")
}

// pauser is a worker's pause on the scheduler's clock.
func (s *scheduler) pauser(_ context.Context, d time.Duration) { s.sleep(d) }
