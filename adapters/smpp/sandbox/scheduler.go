package sandbox

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// scheduler runs short things at their time, on one goroutine.
type scheduler struct {
	mu    sync.Mutex
	queue events
	seq   uint64
	wake  chan struct{}
}

// event is something to do at a time. What must not be lost when the simulator
// stops is done at once then.
type event struct {
	at     time.Time
	seq    uint64 // keeps events of one time in order
	urgent bool
	do     func()
}

func newScheduler() *scheduler { return &scheduler{wake: make(chan struct{}, 1)} }

func (s *scheduler) at(t time.Time, urgent bool, do func()) {
	s.mu.Lock()
	s.seq++
	heap.Push(&s.queue, event{t, s.seq, urgent, do})
	first := s.queue[0].seq == s.seq
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *scheduler) after(d time.Duration, urgent bool, do func()) {
	if d <= 0 {
		do()
		return
	}
	s.at(time.Now().Add(d), urgent, do)
}

// run does what is due until ctx ends, and then what is urgent.
func (s *scheduler) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, due := s.due(time.Now())
		for _, do := range due {
			do()
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
			s.finish()
			return
		}
	}
}

// due takes what is due, or says how long nothing is.
func (s *scheduler) due(now time.Time) (time.Duration, []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []func()
	for len(s.queue) > 0 && !s.queue[0].at.After(now) {
		due = append(due, heap.Pop(&s.queue).(event).do)
	}
	if len(s.queue) == 0 {
		return time.Hour, due
	}
	return s.queue[0].at.Sub(now), due
}

func (s *scheduler) finish() {
	s.mu.Lock()
	var urgent []func()
	for len(s.queue) > 0 {
		if e := heap.Pop(&s.queue).(event); e.urgent {
			urgent = append(urgent, e.do)
		}
	}
	s.mu.Unlock()
	for _, do := range urgent {
		do()
	}
}

// events is a heap by time.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].seq < e[j].seq
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return x
}
