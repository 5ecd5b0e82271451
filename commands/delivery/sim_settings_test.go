package delivery_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"recapito/commands/intake"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/scenario"
)

// settings is what a seed draws before anything moves.
type settings struct {
	cache      bool // handlers remember states
	oneProcess bool // all roles live and die together
	lossyQueue bool
	shared     bool // two instances of delivery on one store, without leases
	atOnce     bool // the intake plans, in the request's own append
	offers     bool // and offers what is due to a worker in its process

	// The claim guard's window is closed for so long from so long after the start.
	closedAfter, closedFor time.Duration

	storeFaults, crashes, wipes, freezes, outages, strays int

	routes    []routeSettings
	scenarios simScenarios
	requests  []request
}

// calm: nothing holds deadlines up.
func (s *settings) calm() bool { return s.crashes+s.freezes+s.storeFaults == 0 }

type routeSettings struct {
	channel  string
	policy   notification.Policy
	provider provider
}

type request struct {
	intake.Request
	begin, sendIn, expireIn, cancelAfter time.Duration
	withdrawAfter                        time.Duration // of the person's consent; 0: never
	twice, otherBody                     bool
	person                               string // what a person does with held attempts
}

var simChannels = []string{"sms", "alt", "push"}

func drawSettings(s *scheduler) settings {
	set := settings{
		cache: s.percent(85), oneProcess: s.percent(25), lossyQueue: s.percent(30),
		scenarios: simScenarios{},
	}
	if s.percent(60) {
		set.storeFaults = s.rng.IntN(8)
	}
	if s.percent(60) {
		set.crashes = s.rng.IntN(5)
	}
	if s.percent(30) {
		set.wipes = 1 + s.rng.IntN(2)
	}
	if s.percent(40) {
		set.freezes = s.rng.IntN(6)
	}
	if s.percent(25) {
		set.outages = s.rng.IntN(3)
	}
	if s.percent(20) {
		set.strays = s.rng.IntN(6)
	}
	if s.percent(25) {
		set.closedAfter, set.closedFor = s.between(0, 2*time.Minute), s.between(time.Second, 3*time.Minute)
	}
	for i, channel := range simChannels {
		set.routes = append(set.routes, drawRoute(s, channel, fmt.Sprintf("r%d", i+1)))
	}
	set.shared = s.percent(25)
	n := 1
	if s.percent(35) {
		n += 1 + s.rng.IntN(2)
	}
	oneAddress := s.percent(50) // several notifications to one person
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		set.scenarios[name] = drawScenario(s)
		set.requests = append(set.requests, drawRequest(s, i, name, oneAddress))
	}
	if set.atOnce = s.percent(60); set.atOnce {
		set.offers = s.percent(60)
	}
	return set
}

func drawRoute(s *scheduler, channel, name string) routeSettings {
	seconds := func(least, most int) notification.Duration {
		return notification.Duration(s.between(time.Duration(least)*time.Second, time.Duration(most)*time.Second).Truncate(100 * time.Millisecond))
	}
	unknown := []notification.UnknownPolicy{notification.UnknownWait, notification.UnknownResend, notification.UnknownHold}
	r := routeSettings{
		channel: channel,
		policy: notification.Policy{
			Tries: 1 + s.rng.IntN(3), BackOff: seconds(1, 8), BackOffMax: seconds(10, 20),
			WireLimit: seconds(6, 30), Redispatch: seconds(8, 30), Patience: seconds(20, 90),
			Unknown: unknown[s.rng.IntN(len(unknown))], UnknownLimit: seconds(5, 120), Resends: s.rng.IntN(3),
		},
		provider: provider{
			route: name, parts: 1, window: 1 + s.rng.IntN(3), never: s.percent(6), pipelined: s.percent(30),
			form: []receipt.Form{receipt.Text, receipt.Hex, receipt.Decimal, receipt.Either}[s.rng.IntN(4)],
			echo: s.percent(30), alien: s.percent(6),
			receipts: 85,
		},
	}
	p := &r.provider
	if s.percent(30) {
		p.parts = 2
	}
	some := func(often, most int) int {
		if s.percent(often) {
			return s.rng.IntN(most + 1)
		}
		return 0
	}
	p.refuseTransient, p.refusePermanent = some(40, 60), some(25, 50)
	p.slow, p.busy, p.noSession = some(25, 60), some(25, 70), some(15, 60)
	p.lose, p.lateAnswer = some(40, 80), some(60, 90)
	p.undelivered, p.read, p.intermediate, p.twice = some(40, 80), some(40, 90), some(30, 80), some(40, 80)
	return r
}

func drawScenario(s *scheduler) scenario.Definition {
	var spec strings.Builder
	steps := 1 + s.rng.IntN(2)
	if s.percent(10) {
		steps = 3
	}
	var out []scenario.Step
	for range steps {
		channels := []string{simChannels[s.rng.IntN(3)]}
		if s.percent(35) {
			channels = append([]string(nil), simChannels[:2]...)
		}
		wanted := []notification.Status{notification.Delivered, notification.Delivered, notification.Sent, notification.Read}[s.rng.IntN(4)]
		wait := time.Duration(1+s.rng.IntN(20)) * 15 * time.Second
		out = append(out, scenario.Step{Channels: channels, Wanted: wanted, Wait: notification.Duration(wait)})
		fmt.Fprintf(&spec, "%v %s %s/", channels, wanted, wait)
	}
	return compiled(spec.String(), out)
}

var scenariosMade sync.Map

// compiled answers a scenario of these steps; compiling is dear, so it is done once.
func compiled(spec string, steps []scenario.Step) scenario.Definition {
	if d, ok := scenariosMade.Load(spec); ok {
		return d.(scenario.Definition) //nolint:forcetypeassert // see below
	}
	contents, known := map[string]scenario.Content{}, scenario.Channels{}
	for _, name := range simChannels {
		contents[name] = scenario.Content{Members: map[string]string{"text": "Hello"}}
		known[name] = scenario.Channel{Content: content.SMS, Routed: true}
	}
	d, err := scenario.Definition{Name: "sim", Tenant: simTenant, Version: "1", Contents: contents, Steps: steps}.Compile(known)
	if err != nil {
		panic(err)
	}
	scenariosMade.Store(spec, d)
	return d
}

func drawRequest(s *scheduler, i int, scenarioName string, oneAddress bool) request {
	who := i + 1
	if oneAddress {
		who = 1
	}
	r := request{Request: intake.Request{Scenario: scenarioName, Priority: "normal", To: map[string][]string{}}}
	for j, channel := range simChannels {
		r.To[channel] = []string{fmt.Sprintf("+39333%d%06d", j, who)}
		if s.percent(8) {
			r.To[channel] = append(r.To[channel], fmt.Sprintf("+39334%d%06d", j, who))
		}
	}
	r.begin = s.between(0, 3*time.Second)
	if s.percent(15) {
		r.sendIn = s.between(time.Second, 20*time.Minute)
	}
	if s.percent(25) {
		r.expireIn = s.between(time.Second, 3*time.Minute)
	}
	if s.percent(25) {
		r.cancelAfter = s.between(0, 2*time.Minute)
		if s.percent(50) {
			r.cancelAfter = s.between(0, 2*time.Second)
		}
	}
	if s.percent(20) {
		r.withdrawAfter = s.between(time.Millisecond, time.Minute)
		if s.percent(50) {
			r.withdrawAfter = s.between(time.Millisecond, time.Second)
		}
	}
	r.twice = s.percent(15)
	r.otherBody = r.twice && s.percent(50)
	r.person = []string{"", "resend", "give up"}[s.rng.IntN(3)]
	return r
}

// simScenarios are those of the one tenant.
type simScenarios map[string]scenario.Definition

func (m simScenarios) Scenario(_, name string) (scenario.Definition, bool) {
	d, ok := m[name]
	return d, ok
}

func (m simScenarios) List(string) []scenario.Definition { return nil }

// bugs are planted to see that the simulation finds them.
type bugs struct {
	anyRevision       bool // appends do not look at the revision they expect
	openFence         bool // a send goes out however long ago it was claimed
	noWatchdog        bool // deadlines are never set
	doneBeforeDurable bool // the checkpoint moves before intents are durable
	earlyAck          bool // receipts are acknowledged before they are durable
	deadlinesFromEnd  bool // a start of the deadlines is shown nothing that was set before
	lostAsNotSent     bool // a channel reports parts without an answer as not sent
	noGuard           bool // workers do not ask the claim guards
	horizonAtSeen     bool // a start of the matcher is shown nothing that it saw before
}
