package commands_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"recapito/commands"
	"recapito/commands/deadlines"
	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
	"recapito/domain/receipt"
)

const simTenant = "acme"

var (
	simCodec, simCodecErr = catalogue.NewCodec()
	quiet                 = slog.New(slog.DiscardHandler)
)

// process is what dies in one crash: its memory and all its tasks.
type process struct {
	w     *world
	name  string
	up    bool
	start func(p *process)

	notifications *commands.Notifications
	receiver      *commands.Receiver
	writer        *deadlines.Writer
	lines         []*line
}

// world is everything of one seed.
type world struct {
	s     *scheduler
	seed  uint64
	set   settings
	store *simStore
	check *checker
	bugs  bugs

	providers map[string]*provider // by route
	queue     simQueue
	processes []*process
	api       *process
	delivery  *process
	intake    *process // takes receipts

	savedInputs  int // the runner's checkpoint: inputs before it are done
	savedHorizon event.Position
	matcherFrom  bool // savedHorizon holds
	crashes      int
	wipes        int
	freezes      int
	outages      int
	strays       int
}

func newWorld(seed uint64, b bugs) *world {
	s := newScheduler(seed)
	w := &world{s: s, seed: seed, set: drawSettings(s), bugs: b, providers: map[string]*provider{}}
	w.store = newSimStore(s, w.set.storeFaults)
	w.store.any = b.anyRevision
	w.check = newChecker(w)
	w.store.appended, w.store.ended = w.check.appended, w.check.appendEnded
	w.queue.w = w
	for _, r := range w.set.routes {
		p := r.provider
		p.w = w
		w.providers[p.route] = &p
	}
	w.crashes, w.wipes, w.freezes, w.outages, w.strays = w.set.crashes, w.set.wipes, w.set.freezes, w.set.outages, w.set.strays
	s.fault = w.breakSomething
	return w
}

// begin starts every process and client.
func (w *world) begin() {
	roles := map[string]func(*process){
		"api": w.startAPI, "delivery": w.startDelivery, "worker1": w.startWorker, "worker2": w.startWorker, "intake": func(*process) {},
	}
	names := []string{"api", "delivery", "worker1", "worker2", "intake"}
	if w.set.oneProcess {
		one := &process{w: w, name: "serve", start: func(p *process) {
			for _, name := range names {
				roles[name](p)
			}
		}}
		w.processes = []*process{one}
		w.api, w.delivery, w.intake = one, one, one
	} else {
		for _, name := range names {
			w.processes = append(w.processes, &process{w: w, name: name, start: roles[name]})
		}
		w.api, w.delivery, w.intake = w.processes[0], w.processes[1], w.processes[4]
	}
	for _, p := range w.processes {
		p.boot()
	}
	for i := range w.set.requests {
		w.client(i, &w.set.requests[i])
	}
}

// boot makes a process with an empty memory.
func (p *process) boot() {
	w := p.w
	ledger := &commands.Ledger{
		Store: w.store, Codec: simCodec, Sealer: personaltest.Sealer{}, Now: w.s.clock, NewID: w.newID, CacheSize: -1,
	}
	if w.set.cache {
		ledger.CacheSize = 64
	}
	p.notifications = commands.NewNotifications(ledger, simPersons{w}, w.set.scenarios, w.routes(p), quiet)
	p.receiver = commands.NewReceiver(p.notifications)
	p.writer = deadlines.NewWriter(w.store, simCodec, w.s.clock)
	p.up = true
	p.start(p)
}

func (w *world) routes(p *process) commands.Routes {
	var rs commands.Routes
	p.lines = nil
	for _, r := range w.set.routes {
		p.lines = append(p.lines, &line{p: w.providers[r.provider.route], owner: p})
		rs = append(rs, commands.Route{
			Name: r.provider.route, Channel: r.channel, Form: r.provider.form, Policy: r.policy,
			Wire: p.lines[len(p.lines)-1],
		})
	}
	return rs
}

func (w *world) newID() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(w.s.rng.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// breakSomething is asked before each step.
func (w *world) breakSomething() {
	s := w.s
	if !s.chance(25) {
		return
	}
	switch s.rng.IntN(5) {
	case 0:
		p := w.processes[s.rng.IntN(len(w.processes))]
		if s.chance(2) {
			p = w.delivery // it has most to lose
		}
		if w.crashes > 0 && p.up {
			w.crashes--
			w.crash(p)
		}
	case 1:
		if w.wipes > 0 && len(w.queue.messages) > 0 {
			w.wipes--
			s.log("QUEUE wiped")
			w.queue.messages = nil
		}
	case 2:
		if t := w.anyTask(); w.freezes > 0 && t != nil {
			w.freezes--
			t.frozen = s.now.Add(s.between(time.Second, 3*time.Minute))
			s.log("%s stands still until %s", t.name, t.frozen.Format("15:04:05"))
		}
	case 3:
		if w.outages > 0 {
			w.outages--
			p := w.providers[w.set.routes[s.rng.IntN(len(w.set.routes))].provider.route]
			p.downUntil = s.now.Add(s.between(time.Second, 40*time.Second))
			s.log("route %s down until %s", p.route, p.downUntil.Format("15:04:05"))
		}
	case 4: // a message from another time
		if w.strays > 0 && len(w.check.ids) > 0 {
			w.strays--
			id := w.check.ids[s.rng.IntN(len(w.check.ids))]
			d := commands.DispatchMessage{Tenant: simTenant, Notification: id, Attempt: 1 + s.rng.IntN(4)}
			w.queue.messages = append(w.queue.messages, &queued{DispatchMessage: d, channel: "sms"})
			s.log("a stray message of attempt %d", d.Attempt)
		}
	}
}

// anyTask picks a task of ours, rather one that is in the middle of something.
func (w *world) anyTask() *task {
	var busy, all []*task
	for _, t := range w.s.tasks {
		if t.owner == nil {
			continue
		}
		all = append(all, t)
		if t.ready == nil {
			busy = append(busy, t)
		}
	}
	if len(busy) > 0 && !w.s.chance(4) {
		all = busy
	}
	if len(all) == 0 {
		return nil
	}
	return all[w.s.rng.IntN(len(all))]
}

func (w *world) crash(p *process) {
	s := w.s
	s.log("%s CRASHES", p.name)
	p.up = false
	s.kill(p)
	p.notifications.CloseCaches()
	w.queue.back(p)
	down := s.between(0, 2*time.Second)
	if s.chance(4) {
		down = s.between(0, 4*time.Minute)
	}
	s.spawn(nil, "start "+p.name, func() {
		s.sleep(down)
		s.log("%s starts", p.name)
		p.boot()
	})
}

func (w *world) end() {
	w.s.close()
	for _, p := range w.processes {
		p.notifications.CloseCaches()
	}
}

// ---- queue

type queued struct {
	commands.DispatchMessage
	channel string
	holder  *process // has taken it and not yet acknowledged it
}

type simQueue struct {
	w        *world
	messages []*queued
}

// Dispatch may lose a message, or keep it twice.
func (q *simQueue) Dispatch(_ context.Context, d commands.DispatchMessage, channel, _ string) error {
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

// ---- workers

func (w *world) startWorker(p *process) {
	s := w.s
	worker := commands.NewWorker(p.notifications, deadlineSetter{p.writer}, quiet)
	worker.Drive(s.pauser, func(send func()) { s.spawn(p, p.name+"/send", send) })
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

// ---- the process manager, its runner, the deadlines, the matcher

type forgetful struct{}

func (forgetful) Set(context.Context, ...deadline.DeadlineSet) error { return nil }

func (w *world) startDelivery(p *process) {
	var set commands.Deadlines = deadlineSetter{p.writer}
	if w.bugs.noWatchdog {
		set = forgetful{}
	}
	manager := commands.NewManager(p.notifications, &w.queue, set, quiet)
	w.startRunner(p, manager)
	w.startDeadlines(p, manager)
	w.startMatcher(p)
}

// runner is a model of commands.Runner: inputs of one stream in order, of different
// streams in any; its checkpoint is behind which all is done.
type runner struct {
	next  int // index of the next input in the store
	done  map[int]bool
	upTo  int // all before are done
	lanes map[string][]int
}

func (w *world) startRunner(p *process, m *commands.Manager) {
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
func (w *world) startDeadlines(p *process, m *commands.Manager) {
	s := w.s
	service := deadlines.New(w.store, simCodec, s.clock, quiet, m.OnDeadline)
	session, seen := 0, 0
	stands := false // the session has begun: what is set from now on is shown to it
	next := func() bool {
		if !stands {
			return false
		}
		for seen < len(w.store.all) && !strings.HasPrefix(w.store.all[seen].Stream, deadline.StreamPrefix) {
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
			m := commands.NewMatcher(p.notifications, quiet)
			filter := m.Filter()
			i := 0
			if w.matcherFrom {
				i = w.store.indexAfter(&w.savedHorizon)
			}
			for {
				s.wait(func() bool { return i < len(w.store.all) })
				e := w.store.all[i]
				i++
				if !filter.Passes(e.Stream, e.Type) {
					continue
				}
				fits, err := m.Observe(context.Background(), e)
				if err != nil {
					s.fail("observing %s: %v", e.Type, err)
				}
				for _, f := range fits {
					s.log("receipt fits attempt %d of %s", f.Command.Attempt, short(f.Command.Notification))
					if err = m.Confirm(context.Background(), f); err != nil {
						break
					}
				}
				if err != nil {
					s.log("matcher: %v", err)
					break
				}
				if s.chance(8) {
					at := m.Horizon(e.Position)
					if w.bugs.horizonAtSeen {
						at = e.Position
					}
					if !w.matcherFrom || at > w.savedHorizon {
						s.step()
						w.savedHorizon, w.matcherFrom = at, true
					}
				}
			}
			s.sleep(50 * time.Millisecond)
		}
	})
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

// ---- clients

func (w *world) startAPI(*process) {}

var origin = commands.Origin{Tenant: simTenant, Actor: "key:test"}

// call runs one call of a client in the API's process, again while that breaks or the
// store does not answer; so long as a client has patience.
func (w *world) call(name string, do func(n *commands.Notifications) error) error {
	s := w.s
	for {
		s.wait(func() bool { return w.api.up })
		var err error
		served := s.spawn(w.api, name, func() { err = do(w.api.notifications) })
		s.wait(func() bool { return served.done })
		if served.dead {
			err = errors.New("connection lost")
		}
		var rule *event.Rule
		var invalid *commands.Invalid
		if err == nil || errors.As(err, &rule) || errors.As(err, &invalid) {
			return err
		}
		s.log("%s: %v", name, err)
		s.sleep(s.between(0, 3*time.Second))
	}
}

func (w *world) client(i int, r *request) {
	s := w.s
	key := fmt.Sprintf("key-%d", i)
	id := notification.IDFor(simTenant, key)
	submit := func(name string, in commands.Request) error {
		return w.call(name, func(n *commands.Notifications) error {
			a, err := n.SubmitAnywhere(context.Background(), origin, key, in)
			if err != nil {
				return err
			}
			s.log("202 for %s", short(a.ID))
			w.check.accepted(a.ID)
			return nil
		})
	}
	s.spawn(nil, "client", func() {
		s.sleep(r.begin)
		in := r.Request
		if r.sendIn > 0 {
			in.SendAt = s.now.Add(r.sendIn)
		}
		if r.expireIn > 0 {
			in.ExpiresAt = s.now.Add(r.sendIn + r.expireIn)
		}
		var other error
		twins := 0
		if r.twice {
			twins++
			body := in
			if r.otherBody {
				body.Reference = "another"
			}
			s.spawn(nil, "twin", func() {
				other = submit("twin", body)
				twins--
			})
		}
		err := submit("client", in)
		s.wait(func() bool { return twins == 0 })
		refused := 0
		for _, e := range []error{err, other} {
			var invalid *commands.Invalid
			switch {
			case errors.Is(e, notification.ErrKeyReused):
				refused++
			case errors.As(e, &invalid): // expires_at passed while the client tried
				return
			case e != nil:
				s.fail("submit: %v", e)
			}
		}
		if want := r.twice && r.otherBody; want != (refused == 1) {
			s.fail("P0 one key, two bodies: %d refused", refused)
		}
	})
	if r.cancelAfter > 0 {
		s.spawn(nil, "canceller", func() {
			s.wait(func() bool { return w.check.notifications[id] != nil })
			s.sleep(r.cancelAfter)
			for range 3 {
				err := w.call("cancel", func(n *commands.Notifications) error {
					_, err := n.Cancel(context.Background(), origin, id, "changed my mind")
					return err
				})
				s.log("cancel of %s: %v", short(id), err)
				if err == nil {
					w.check.cancelled(id)
				}
				if !errors.Is(err, notification.ErrInFlight) {
					return
				}
				s.sleep(s.between(0, 30*time.Second))
			}
		})
	}
	if r.person != "" {
		s.spawn(nil, "person", func() { w.person(id, r) })
	}
}

// person decides on held attempts: resends them or gives them up.
func (w *world) person(id string, r *request) {
	s := w.s
	for {
		var held int
		s.wait(func() bool {
			n := w.check.notifications[id]
			if n == nil {
				return false
			}
			for i := range n.state.Attempts {
				if a := &n.state.Attempts[i]; n.state.Held(a, s.now) && !n.asked[a.Attempt] {
					held = a.Attempt
					return true
				}
			}
			return false
		})
		w.check.notifications[id].asked[held] = true
		s.sleep(s.between(0, 30*time.Second))
		var c notification.Command = notification.GiveUpHeld{Attempt: held, Reason: "no time", At: s.now}
		if r.person == "resend" {
			c = notification.ResendHeld{Attempt: held, At: s.now}
		}
		err := w.call("person", func(n *commands.Notifications) error {
			_, err := n.Tell(context.Background(), origin, id, c)
			return err
		})
		s.log("person on attempt %d: %s: %v", held, r.person, err)
	}
}

// ---- persons

// simPersons makes keyed hashes without keys. A route's key changes each half hour.
type simPersons struct{ w *world }

func (p simPersons) ClaimPerson(_ context.Context, _, _ string, addresses []commands.Address) (personal.Ref, error) {
	p.w.s.step()
	id := digest("person", addresses[0].Value)
	return personal.Ref{Person: id, Key: "key-" + id}, p.mayFail()
}

var errKeys = errors.New("the key store does not answer")

func (p simPersons) mayFail() error {
	if p.w.store.broken(80) {
		return errKeys
	}
	return nil
}

func (p simPersons) RequestHMAC(_ context.Context, _ string, ref personal.Ref, canonical []byte) ([]byte, error) {
	h := sha256.Sum256(append([]byte(ref.Person), canonical...))
	return h[:], p.mayFail()
}

const routeKeyLife = 30 * time.Minute

func (p simPersons) DestinationToken(_ context.Context, route, destination string, at time.Time) (receipt.Token, error) {
	p.w.s.step()
	return tokenOf(route, destination, at), p.mayFail()
}

func (p simPersons) DestinationTokens(_ context.Context, route, destination string, at time.Time) ([]receipt.Token, error) {
	p.w.s.step()
	var tokens []receipt.Token
	for i := range 4 {
		tokens = append(tokens, tokenOf(route, destination, at.Add(-time.Duration(i)*routeKeyLife)))
	}
	return tokens, p.mayFail()
}

func tokenOf(route, destination string, at time.Time) receipt.Token {
	key := fmt.Sprintf("%s-%d", route, at.Unix()/int64(routeKeyLife/time.Second))
	return receipt.Token{Key: key, Token: digest(key, destination)}
}

func digest(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(h[:8])
}

func short(id string) string { return id[:4] }
