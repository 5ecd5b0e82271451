package delivery_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"recapito/commands/commandstest"
	"recapito/commands/deadlines"
	"recapito/commands/delivery"
	"recapito/commands/planning"
	"recapito/commands/receipts"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/notification"
)

type queued struct {
	delivery.DispatchMessage
	channel string
	holder  *process // has taken it and not yet acknowledged it
}

type simQueue struct {
	w        *world
	messages []*queued
}

// Dispatch may lose a message, or keep it twice.
func (q *simQueue) Dispatch(_ context.Context, d delivery.DispatchMessage, channel, _ string) error {
	s := q.w.s
	s.step()
	switch {
	case q.w.set.lossyQueue && s.chance(12):
		return errors.New("no leader for the partition")
	case q.w.set.lossyQueue && s.chance(12):
		s.log("attempt %d of %s is lost on the queue", d.Attempt, short(d.Notification))
		return nil
	}
	s.log("attempt %d of %s on the queue", d.Attempt, short(d.Notification))
	q.messages = append(q.messages, &queued{DispatchMessage: d, channel: channel})
	if q.w.set.lossyQueue && s.chance(6) {
		q.messages = append(q.messages, &queued{DispatchMessage: d, channel: channel})
	}
	return nil
}

// free answers the messages that nobody holds.
func (q *simQueue) free() []*queued {
	var free []*queued
	for _, m := range q.messages {
		if m.holder == nil {
			free = append(free, m)
		}
	}
	return free
}

func (q *simQueue) any() bool {
	return slices.ContainsFunc(q.messages, func(m *queued) bool { return m.holder == nil })
}

func (q *simQueue) ack(m *queued) {
	q.messages = slices.DeleteFunc(q.messages, func(o *queued) bool { return o == m })
}

// back gives back what a process that died had not acknowledged.
func (q *simQueue) back(p *process) {
	for _, m := range q.messages {
		if m.holder == p {
			m.holder = nil
		}
	}
}

// newWorker returns a worker of a process, driven by the scheduler.
func (w *world) newWorker(p *process) *delivery.Worker {
	s := w.s
	guards := []delivery.Guard{consents{w.store}, guardFunc(w.window)}
	if w.bugs.noGuard {
		guards = nil
	}
	worker := delivery.NewWorker(p.notifications.Delivery(deadlineSetter{p.writer}, nil, guards...))
	worker.Drive(s.pauser, func(send func()) { s.spawn(p, p.name+"/send", send) })
	return worker
}

// simPlanner fails now and then: the process manager plans then.
type simPlanner struct {
	w *world
	*planning.Planner
}

func (p simPlanner) AtOnce(ctx context.Context, r notification.NotificationRequested) (notification.Command, error) {
	if p.w.s.percent(10) {
		return nil, errors.New("a source does not answer")
	}
	return p.Planner.AtOnce(ctx, r)
}

// maxOffers is how many offers wait in a process; more are dropped.
const maxOffers = 2

// Offer implements intake.Offers.
func (p *process) Offer(tenant, id string, attempt int) {
	if len(p.offers) == maxOffers {
		return
	}
	p.w.s.log("attempt %d of %s is offered", attempt, short(id))
	p.offers = append(p.offers, delivery.DispatchMessage{Tenant: tenant, Notification: id, Attempt: attempt})
}

// startOffers takes what is offered in a process.
func (w *world) startOffers(p *process) {
	s := w.s
	worker := w.newWorker(p)
	for range 2 {
		s.spawn(p, p.name+"/offers", func() {
			for {
				s.wait(func() bool { return len(p.offers) > 0 })
				d := p.offers[0]
				p.offers = p.offers[1:]
				if err := worker.Handle(context.Background(), d); err != nil {
					s.log("offered attempt %d not taken: %v", d.Attempt, err)
				}
			}
		})
	}
}

func (w *world) startWorker(p *process) {
	s := w.s
	worker := w.newWorker(p)
	for range 2 {
		s.spawn(p, p.name, func() {
			for {
				s.wait(w.queue.any)
				free := w.queue.free()
				m := free[s.rng.IntN(len(free))]
				m.holder = p
				if err := worker.Handle(context.Background(), m.DispatchMessage); err != nil {
					s.log("attempt %d not taken: %v", m.Attempt, err)
					s.sleep(100 * time.Millisecond)
					m.holder = nil
					continue
				}
				s.step()
				w.queue.ack(m)
			}
		})
	}
}

type deadlineSetter struct{ *deadlines.Writer }

// Set writes at once: the simulation owns time.
func (d deadlineSetter) Set(ctx context.Context, set ...deadline.DeadlineSet) error {
	return d.SetNow(ctx, set...)
}

type forgetful struct{}

func (forgetful) Set(context.Context, ...deadline.DeadlineSet) error { return nil }

func (w *world) startDelivery(p *process) {
	var set delivery.Deadlines = deadlineSetter{p.writer}
	if w.bugs.noWatchdog {
		set = forgetful{}
	}
	manager := delivery.NewManager(p.notifications.Delivery(set, &w.queue))
	if w.set.shared {
		w.startConsumer(p, manager)
	} else {
		w.startRunner(p, manager)
	}
	w.startDeadlines(p, manager)
	w.startMatcher(p)
}

// runner is a model of delivery.Runner: inputs of one stream in order, of different
// streams in any; its checkpoint is behind which all is done.
type runner struct {
	next  int // index of the next input in the store
	done  map[int]bool
	upTo  int // all before are done
	lanes map[string][]int
}

func (w *world) startRunner(p *process, m *delivery.Manager) {
	s := w.s
	r := &runner{next: w.savedInputs, upTo: w.savedInputs, done: map[int]bool{}, lanes: map[string][]int{}}
	filter := m.Filter()
	finish := func(i int) {
		r.done[i] = true
		for r.done[r.upTo] {
			delete(r.done, r.upTo)
			r.upTo++
		}
	}
	s.spawn(p, p.name+"/runner", func() {
		for {
			s.wait(func() bool { return r.next < len(w.store.all) })
			i := r.next
			r.next++
			e := w.store.all[i]
			if !filter.Passes(e.Stream, e.Type) {
				finish(i)
				continue
			}
			if w.bugs.doneBeforeDurable {
				finish(i)
			}
			lane := e.Stream
			r.lanes[lane] = append(r.lanes[lane], i)
			if len(r.lanes[lane]) > 1 {
				continue
			}
			s.spawn(p, p.name+"/lane", func() {
				for len(r.lanes[lane]) > 0 {
					i := r.lanes[lane][0]
					if err := m.OnEvent(context.Background(), w.store.all[i]); err != nil {
						s.log("input %d failed: %v", i, err)
						s.sleep(50 * time.Millisecond)
						continue
					}
					r.lanes[lane] = r.lanes[lane][1:]
					finish(i)
				}
				delete(r.lanes, lane)
			})
		}
	})
	s.spawn(p, p.name+"/saver", func() {
		for {
			s.wait(func() bool { return r.upTo > w.savedInputs })
			if s.chance(3) {
				s.sleep(s.between(0, time.Second))
			}
			at := r.upTo
			s.step()
			w.savedInputs = at
		}
	})
}

// startDeadlines drives the real service: one task steps it, another shows it what is
// set meanwhile.
func (w *world) startDeadlines(p *process, m *delivery.Manager) {
	s := w.s
	service := deadlines.New(w.store, simCodec, s.clock, commandstest.Quiet, m.OnDeadline)
	session, seen := 0, 0
	stands := false // the session has begun: what is set from now on is shown to it
	next := func() bool {
		if !stands {
			return false
		}
		for seen < len(w.store.all) && (w.store.gone[seen] || !strings.HasPrefix(w.store.all[seen].Stream, deadline.StreamPrefix)) {
			seen++
		}
		return seen < len(w.store.all)
	}
	nudged := false
	s.spawn(p, p.name+"/deadlines", func() {
		for {
			session++
			stands = false
			if err := service.Begin(context.Background()); err != nil {
				s.sleep(100 * time.Millisecond)
				continue
			}
			s.step()
			seen, stands = w.store.indexAfter(service.After()), true
			if w.bugs.deadlinesFromEnd {
				seen = len(w.store.all)
			}
			for {
				nudged = false
				wait, err := service.FireDue(context.Background())
				if err != nil {
					s.log("deadlines: %v", err)
					s.sleep(100 * time.Millisecond)
					break
				}
				wake := s.now.Add(wait)
				if wait >= time.Second {
					wake = w.check.nextDeadline(wake)
				}
				if wake.IsZero() {
					s.wait(func() bool { return nudged })
					continue
				}
				s.waitOr(func() bool { return nudged }, wake)
			}
		}
	})
	s.spawn(p, p.name+"/observer", func() {
		for {
			s.wait(next)
			e, of := w.store.all[seen], session
			s.step()
			if of != session {
				continue
			}
			seen++
			if err := service.Observe(context.Background(), e); err != nil {
				s.fail("observing a deadline: %v", err)
			}
			nudged = true
		}
	})
}

func (w *world) startMatcher(p *process) {
	s := w.s
	s.spawn(p, p.name+"/matcher", func() {
		for {
			m := receipts.NewMatcher(p.notifications.Receiving())
			filter := m.Filter()
			i := 0
			if w.matcherFrom {
				i = w.store.indexAfter(&w.savedHorizon)
				m.Knows(w.savedReused)
			}
			for {
				if i == len(w.store.all) {
					if err := w.decide(m, m.CaughtUp()); err != nil {
						break
					}
				}
				s.wait(func() bool { return i < len(w.store.all) })
				e := w.store.all[i]
				i++
				if !filter.Passes(e.Stream, e.Type) {
					continue
				}
				looks, err := m.Observe(context.Background(), e)
				if err != nil {
					s.fail("observing %s: %v", e.Type, err)
				}
				if err := w.decide(m, looks); err != nil {
					break
				}
				if s.chance(8) {
					at := m.Horizon(e.Position)
					if w.bugs.horizonAtSeen {
						at = e.Position
					}
					if !w.matcherFrom || at > w.savedHorizon {
						s.step()
						w.savedHorizon, w.savedReused, w.matcherFrom = at, m.Reused(), true
					}
				}
			}
			s.sleep(50 * time.Millisecond)
		}
	})
}

// decide lets a matcher decide what it is to look at.
func (w *world) decide(m *receipts.Matcher, looks []receipts.Look) error {
	for _, l := range looks {
		if err := m.Match(context.Background(), l); err != nil {
			w.s.log("matcher: %v", err)
			return err
		}
	}
	return nil
}

// indexAfter answers the first event after a position.
func (st *simStore) indexAfter(p *event.Position) int {
	if p == nil {
		return 0
	}
	i, found := slices.BinarySearchFunc(st.all, *p, func(e event.Recorded, at event.Position) int {
		switch {
		case e.Position < at:
			return -1
		case e.Position > at:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return i
}
