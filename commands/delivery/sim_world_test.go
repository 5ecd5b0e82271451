package delivery_test

import (
	"context"
	"encoding/hex"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/deadlines"
	"recapito/commands/delivery"
	"recapito/commands/intake"
	"recapito/commands/receipts"
	"recapito/domain/address"
	"recapito/domain/catalogue"
	"recapito/domain/content"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal/personaltest"
)

const simTenant = "acme"

var (
	simCodec, simCodecErr = catalogue.NewCodec()
)

// process is what dies in one crash: its memory and all its tasks.
type process struct {
	w     *world
	name  string
	up    bool
	start func(p *process)

	notifications *commandstest.Side
	receiver      *receipts.Receiver
	writer        *deadlines.Writer
	offers        []delivery.DispatchMessage
	lines         []*line
}

// world is everything of one seed.
type world struct {
	s     *scheduler
	begun time.Time
	seed  uint64
	set   settings
	store *simStore
	check *checker
	bugs  bugs

	providers map[string]*provider // by route
	queue     simQueue
	feed      simFeed // of two instances of delivery
	processes []*process
	api       *process
	delivery  *process
	intake    *process // takes receipts

	savedInputs  int // the runner's checkpoint: inputs before it are done
	savedHorizon event.Position
	matcherFrom  bool // savedHorizon holds
	savedReused  []string
	crashes      int
	wipes        int
	freezes      int
	outages      int
	strays       int
}

func newWorld(seed uint64, b bugs) *world {
	s := newScheduler(seed)
	w := &world{s: s, begun: s.now, seed: seed, set: drawSettings(s), bugs: b, providers: map[string]*provider{}}
	w.store = newSimStore(s, w.set.storeFaults)
	w.store.any = b.anyRevision
	w.check = newChecker(w)
	w.store.appended, w.store.ended = w.check.appended, w.check.appendEnded
	w.queue.w, w.feed.w = w, w
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
	names := []string{"api", "delivery", "intake", "worker1", "worker2"}
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
		w.api, w.delivery, w.intake = w.processes[0], w.processes[1], w.processes[2]
	}
	if w.set.shared {
		w.processes = append(w.processes, &process{w: w, name: "delivery2", start: w.startDelivery})
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
	p.notifications = commandstest.NewSide(ledger, simPersons{w}, w.set.scenarios, w.routes(p))
	p.offers = nil
	if w.set.atOnce {
		offers := intake.Offers(nil)
		if w.set.offers {
			offers = p
		}
		p.notifications.PlanAtOnce(simPlanner{w, p.notifications.Planner()}, offers)
	}
	p.receiver = receipts.NewReceiver(p.notifications.Receiving())
	p.writer = deadlines.NewWriter(w.store, simCodec, w.s.clock)
	p.up = true
	p.start(p)
}

func (w *world) routes(p *process) channel.Routes {
	var rs channel.Routes
	p.lines = nil
	for _, r := range w.set.routes {
		p.lines = append(p.lines, &line{p: w.providers[r.provider.route], owner: p})
		rs = append(rs, channel.Configured{
			Name: r.provider.route, Kind: anyAddress(r.channel), Form: r.provider.form, Policy: r.policy,
			Wire: p.lines[len(p.lines)-1],
		})
	}
	return rs
}

// window is a claim guard, closed from time to time.
func (w *world) window(context.Context) (notification.Guard, error) {
	w.s.step()
	closes := w.begun.Add(w.set.closedAfter)
	if opens := closes.Add(w.set.closedFor); !w.s.now.Before(closes) && w.s.now.Before(opens) {
		return notification.Guard{Verdict: notification.Reschedule, Until: opens, Code: "quiet_hours"}, nil
	}
	return notification.Guard{}, nil
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
			d := delivery.DispatchMessage{Tenant: simTenant, Notification: id, Attempt: 1 + s.rng.IntN(4)}
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
	w.feed.back(p)
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

// anyAddress is a kind of channel whose addresses are any texts.
func anyAddress(name string) channel.Kind {
	return channel.Kind{
		Name: name, Content: content.SMS,
		Address: address.Kind{Name: name, Identifies: true, Normalise: func(a string) (string, error) { return a, nil }},
	}
}
