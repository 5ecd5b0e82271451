package histories

import (
	"container/heap"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"recapito/domain/delivery"
	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// story plays one notification from its request to its end: the real deciders, the real
// process manager, a made-up worker, provider and caller.
type story struct {
	codec  *event.Codec
	random *rand.Rand
	seals  *noise

	tenant   string
	scenario scenarioOf
	country  countryOf
	campaign string
	id       string
	trace    string
	test     bool
	dues     map[int]time.Time // of attempts
	marks    []string          // see mark

	now      time.Time
	queue    agenda
	turns    int
	n        notification.State
	revision map[string]event.Revision // the next one of a stream
	receipts map[string]receipt.State
	appends  []written
	err      error
}

// written is one append.
type written struct {
	at     time.Time
	stream string
	first  event.Revision
	events []encoded
}

type encoded struct {
	id, typ        string
	data, metadata []byte
	due            time.Time // of the attempt, if it is an attempt's event
}

const mostTurns = 10_000 // of a story; they end after some dozens

// begins is when every story is requested; the generator moves it.
var begins = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func play(codec *event.Codec, seed, number uint64) ([]written, *story, error) {
	r := rand.New(rand.NewPCG(seed, number))
	s := &story{
		codec: codec, random: r, seals: &noise{random: r}, now: begins, dues: map[int]time.Time{},
		tenant:   pick(r, tenants, func(t tenantOf) int { return t.weight }).name,
		scenario: pick(r, scenarios, func(s scenarioOf) int { return s.weight }),
		country:  pick(r, countries, func(c countryOf) int { return c.weight }),
		id:       markID, revision: map[string]event.Revision{}, receipts: map[string]receipt.State{},
		test: r.IntN(50) == 0,
	}
	if r.IntN(3) == 0 {
		s.campaign = fmt.Sprintf("%s-%d", s.scenario.name, 1+r.IntN(4))
	}
	if r.IntN(2) == 0 {
		s.trace = fmt.Sprintf("00-%s-%s-01", s.hex(16), s.hex(8))
	}
	s.request()
	for s.err == nil && s.queue.Len() > 0 {
		next := heap.Pop(&s.queue).(turn)
		s.now = next.at
		next.do()
		if s.turns++; s.turns > mostTurns {
			return nil, nil, errors.New("a story does not end")
		}
	}
	return s.appends, s, s.err
}

func (s *story) request() {
	ref := personal.Ref{Person: markPerson, Key: markKey}
	value := func(size int) personal.Value { return personal.New(ref, string(make([]byte, size))) }
	c := notification.Request{
		OfNotification: dimension.OfNotification{Scenario: s.scenario.name, Version: s.scenario.version, Brand: s.scenario.brand, Segment: s.scenario.segment, Campaign: s.campaign, Priority: s.scenario.priority, Test: s.test},
		Tenant:         s.tenant, Person: ref, To: map[string][]personal.Value{}, RequestHMAC: noiseOf(s.random, 32), At: s.now,
	}
	for _, step := range s.scenario.steps {
		for _, channel := range step {
			c.To[channel] = []personal.Value{value(13)}
		}
	}
	for _, name := range s.scenario.fields {
		if c.Fields == nil {
			c.Fields = map[string]personal.Value{}
		}
		c.Fields[name] = value(8 + s.random.IntN(24))
	}
	for _, name := range s.scenario.open {
		if c.OpenFields == nil {
			c.OpenFields = map[string]string{}
		}
		c.OpenFields[name] = fmt.Sprintf("%s-%d", name, s.random.IntN(8))
	}
	if s.chance(100) {
		c.SendAt = s.now.Add(s.spread(time.Hour))
	}
	if s.chance(200) {
		c.ExpiresAt = s.now.Add(time.Minute + s.spread(2*time.Hour))
	}
	if s.chance(600) {
		c.IdempotencyKey = markIdempotency
	}
	if s.chance(700) {
		c.Reference = "order-" + markReference
	}
	s.execute("key:"+s.scenario.brand, "", c)
	if s.chance(60) {
		s.after(s.spread(10*time.Minute), func() { s.execute("key:"+s.scenario.brand, "", notification.Cancel{Reason: "ordered", At: s.now}) })
	}
	if s.scenario.name == "payment" && s.chance(150) {
		s.after(s.spread(12*time.Hour), func() {
			s.execute("key:billing", "", notification.RecordPayment{PaymentID: s.uuid(), DoneAt: s.now, At: s.now})
		})
	}
}

// execute executes a command of the notification, as its handler would.
func (s *story) execute(actor, cause string, c notification.Command) []notification.Event {
	events, err := notification.Decide(s.n, c)
	var rule *event.Rule
	if errors.As(err, &rule) {
		return nil // overtaken
	}
	if err != nil {
		s.err = err
		return nil
	}
	if len(events) == 0 {
		return nil
	}
	for _, e := range events {
		s.n = notification.Evolve(s.n, e)
		if e, ok := e.(notification.NotificationScheduled); ok {
			s.dues[e.Attempt] = e.Due
		}
	}
	ids := write(s, s.tenant, actor, cause, notification.Stream(s.id), events)
	for i, e := range events {
		s.after(s.soon(), func() { s.react(delivery.Recorded{Event: e}, ids[i]) })
	}
	return events
}

// react carries out what the process manager asks for.
func (s *story) react(in delivery.Input, cause string) {
	for _, intent := range delivery.React(s.id, s.n, in, s.now) {
		switch i := intent.(type) {
		case delivery.Gather:
			s.after(s.soon(), func() { s.execute("system:delivery", cause, s.gather()) })
		case delivery.Tell:
			actor := "system:delivery"
			if c, ok := i.Command.(notification.Confirm); ok {
				if a, ok := s.n.Attempt(c.Attempt); ok {
					actor = "provider:" + a.Route
				}
			}
			s.execute(actor, cause, i.Command)
		case delivery.Register:
			stream := receipt.Stream(i.Route, i.ProviderID)
			i.Submission.OpenUntil = i.Submission.AcceptedAt.Add(receipt.Window)
			s.record("system:delivery", cause, stream, receipt.RegisterSubmission{Submission: i.Submission, Route: i.Route, At: s.now})
		case delivery.Dispatch:
			s.after(s.spread(2*time.Second), func() { s.work(i.Attempt) })
		case delivery.Schedule:
			s.at(i.At, func() { s.react(delivery.Fired{Attempt: i.Attempt}, "") })
		}
	}
}

// gather makes the plan, or says why there is none.
func (s *story) gather() notification.Command {
	switch {
	case s.chance(5):
		return notification.Reject{Code: "template_failed", Detail: "the text could not be made of the fields given", At: s.now}
	case s.chance(12):
		return notification.Suppress{Code: "opt_out", Detail: "the person opted out of this scenario", At: s.now}
	}
	ref := personal.Ref{Person: markPerson, Key: markKey}
	c := notification.Enrich{Scenario: s.scenario.name, Version: s.scenario.version, At: s.now}
	for number, channels := range s.scenario.steps {
		step := notification.Step{Wanted: s.scenario.wanted, Wait: notification.Duration(s.scenario.wait)}
		for _, channel := range channels {
			route := routeFor(s.random, channel)
			target := notification.Target{
				OfAttempt: dimension.OfAttempt{Channel: channel, Route: route.name, Sender: route.sender},
				Units:     1, Policy: route.policy(), Destination: personal.New(ref, string(make([]byte, 13))), Content: personal.New(ref, string(make([]byte, s.scenario.textBytes))),
			}
			if channel == "sms" || channel == "voice" {
				target.Country, target.Operator = s.country.name, s.country.operators[s.random.IntN(len(s.country.operators))]
			}
			if channel == "sms" && s.scenario.textBytes >= 160 {
				target.Units = (s.scenario.textBytes + 152) / 153
			}
			step.Targets = append(step.Targets, target)
			c.Why = append(c.Why, notification.Consideration{
				Step: number + 1, Channel: channel, Chosen: true, Reason: "the scenario's step names it, it has a route and an address",
			})
		}
		c.Plan.Steps = append(c.Plan.Steps, step)
	}
	return c
}

// work is the worker: it claims an attempt, sends it and records its outcome.
func (s *story) work(number int) {
	a, ok := s.n.Attempt(number)
	if !ok || a.Status != notification.Scheduled {
		return
	}
	route := routeNamed(a.Route)
	if s.chance(route.down) {
		return
	}
	claim := notification.Claim{
		Attempt: number, Claim: s.uuid(), Token: s.hex(11), TokenKey: route.name + "/key", At: s.now,
	}
	if len(s.execute("system:dispatch", "", claim)) == 0 {
		return
	}
	s.after(5*time.Millisecond+s.spread(150*time.Millisecond), func() { s.answer(number, claim.Claim, route) })
}

func (s *story) answer(number int, claim string, route routeOf) {
	a, _ := s.n.Attempt(number)
	tokens := []receipt.Token{{Key: a.TokenKey, Token: a.Token}}
	part := notification.UnitOutcome{At: s.now}
	reports := false
	switch n := s.random.IntN(1000); {
	case n < route.refusedSoon:
		part.Fate, part.Code, part.Transient, part.Busy = notification.UnitRefused, "0x00000058", true, s.chance(300)
	case n < route.refusedSoon+route.refusedForGood:
		part.Fate, part.Code = notification.UnitRefused, failureCodes[s.random.IntN(3)]
	case n < route.refusedSoon+route.refusedForGood+route.lost:
		part.Fate, reports = notification.UnitLost, true
	case n < route.refusedSoon+route.refusedForGood+route.lost+2:
		part.Fate = notification.UnitNotSent
	default:
		part.Fate, reports = notification.UnitAccepted, true
	}
	parts := make([]notification.UnitOutcome, a.Units)
	for i := range parts {
		parts[i] = part
		providerID := s.hex(8)
		if part.Fate == notification.UnitAccepted {
			parts[i].ProviderID = providerID
		}
		if reports {
			s.report(number, i+1, route, providerID, tokens, part.Fate == notification.UnitLost)
		}
	}
	s.execute("system:dispatch", "", notification.RecordOutcome{Attempt: number, Claim: claim, Units: parts, At: s.now})
}

// report plans the receipts of one part. Those of a send without an answer name our own
// reference, or nothing could match them.
func (s *story) report(number, part int, route routeOf, providerID string, tokens []receipt.Token, byReference bool) {
	r := receipt.Receipt{Route: route.name, ProviderID: providerID, Tokens: tokens, Sender: route.sender}
	if byReference {
		if s.chance(400) {
			return // nobody will ever know
		}
		r.Notification, r.Attempt, r.Unit = s.id, number, part
	}
	says, code := receipt.Delivered, "000"
	switch n := s.random.IntN(1000); {
	case n >= route.delivered+route.undelivered:
		return
	case n >= route.delivered:
		says, code = receipt.Undelivered, failureCodes[3+s.random.IntN(5)]
	}
	wait := s.spread(route.answers)
	if s.chance(route.late) {
		wait += s.scenario.wait + s.spread(time.Hour)
	}
	if s.chance(20) {
		s.receive(wait/2, r, receipt.Intermediate, "")
	}
	s.receive(wait, r, says, code)
	if s.chance(route.doubled) {
		s.receive(wait+s.spread(time.Minute), r, says, code+"+")
	}
	if s.chance(3) {
		s.receive(wait+s.spread(time.Minute), r, receipt.Undelivered, "069")
	}
	if says == receipt.Delivered && s.chance(route.opened) {
		s.receive(wait+s.spread(3*time.Hour), r, receipt.Read, "")
	}
	if says == receipt.Delivered && s.chance(8) {
		s.after(wait+s.spread(time.Hour), func() {
			text := personal.New(personal.Ref{Person: markPerson, Key: markKey}, string(make([]byte, 40)))
			s.execute("provider:"+route.name, "", notification.RecordReply{
				Attempt: number, Channel: route.channel, ReplyID: s.uuid(), Text: text, DoneAt: s.now, At: s.now,
			})
		})
	}
}

func (s *story) receive(wait time.Duration, r receipt.Receipt, says receipt.Status, code string) {
	s.after(wait, func() {
		r.ID, r.Status, r.Code = s.uuid(), says, code
		r.DoneAt, r.ReceivedAt = s.now.Add(-s.spread(800*time.Millisecond)), s.now
		s.record("provider:"+r.Route, "", receipt.Stream(r.Route, r.ProviderID), receipt.RecordReceipt{Receipt: r, Window: receipt.Window, At: s.now})
	})
}

// record executes a command of a receipt stream.
func (s *story) record(actor, cause, stream string, c receipt.Command) {
	events, err := receipt.Decide(s.receipts[stream], c)
	if err != nil {
		s.err = err
		return
	}
	if len(events) == 0 {
		return
	}
	state := s.receipts[stream]
	for _, e := range events {
		state = receipt.Evolve(state, e)
	}
	s.receipts[stream] = state
	owner := s.tenant
	if len(state.Submissions) == 0 {
		owner = tenant.System // the receiver does not know yet whose it is
	}
	ids := write(s, owner, actor, cause, stream, events)
	for i, e := range events {
		switch e := e.(type) {
		case receipt.ReceiptMatched:
			s.after(s.soon(), func() { s.react(delivery.Matched{Receipt: e}, ids[i]) })
		case receipt.ReceiptRecorded:
			s.match(stream, e.ID)
		case receipt.SubmissionRegistered:
			for _, id := range e.Waiting {
				s.match(stream, id)
			}
		case receipt.ReceiptAmbiguous, receipt.ProviderIDReused:
		}
	}
}

// match plans the matcher's look at a receipt.
func (s *story) match(stream, id string) {
	s.after(s.soon(), func() {
		if s.receipts[stream].Undecided(id) {
			s.record("system:matcher", "", stream, receipt.MatchReceipt{ReceiptID: id, At: s.now})
		}
	})
}

// write encodes one append and returns the events' ids.
func write[E any](s *story, owner, actor, cause, stream string, events []E) []string {
	w := written{at: s.now, stream: stream, first: s.revision[stream]}
	s.revision[stream] += event.Revision(len(events))
	var ids []string
	for _, e := range events {
		name, data, err := s.codec.Encode(context.Background(), s.seals, owner, stream, e)
		if err != nil {
			s.err = err
			return nil
		}
		m := event.Metadata{
			Tenant: owner, Actor: actor, CorrelationID: s.id, CausationID: cause, Traceparent: s.trace, Test: s.test,
			OccurredAt: s.now, RecordedAt: s.now,
		}
		if o, ok := any(e).(interface{ OccurredAt() time.Time }); ok && !o.OccurredAt().IsZero() {
			m.OccurredAt = o.OccurredAt()
		}
		metadata, err := event.EncodeMetadata(m)
		if err != nil {
			s.err = err
			return nil
		}
		one := encoded{id: s.uuid(), typ: name, data: data, metadata: metadata}
		if a, ok := any(e).(notification.AttemptEvent); ok {
			one.due = s.dues[a.AttemptFacts().Attempt]
		}
		w.events = append(w.events, one)
		ids = append(ids, one.id)
	}
	s.appends = append(s.appends, w)
	return ids
}

func (s *story) after(d time.Duration, do func()) { s.at(s.now.Add(d), do) }

func (s *story) at(t time.Time, do func()) {
	if cut := t.Truncate(time.Microsecond); cut.Before(t) { // never before it
		t = cut.Add(time.Microsecond)
	}
	if t.Before(s.now) {
		t = s.now
	}
	s.queue.n++
	heap.Push(&s.queue, turn{at: t, order: s.queue.n, do: do})
}

func (s *story) chance(thousandths int) bool { return s.random.IntN(1000) < thousandths }

// soon is what the ledger's own steps take.
func (s *story) soon() time.Duration {
	return time.Millisecond + time.Duration(s.random.IntN(30_000))*time.Microsecond
}

// spread returns a time about typical, now and then much longer.
func (s *story) spread(typical time.Duration) time.Duration {
	const longest = 20
	return (time.Duration(float64(typical) * min(math.Exp(s.random.NormFloat64()*0.8), longest))).Truncate(time.Microsecond)
}

func (s *story) uuid() string {
	b := noiseOf(s.random, 16)
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	text := hex.EncodeToString(b)
	return s.mark(text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:])
}

// mark notes a text that stands for another one in each history made of the story.
func (s *story) mark(text string) string {
	s.marks = append(s.marks, text)
	return text
}

// hex returns a placeholder of so many bytes that is unlike anything else in a story.
func (s *story) hex(bytes int) string { return s.mark(hex.EncodeToString(noiseOf(s.random, bytes))) }

type turn struct {
	at    time.Time
	order int
	do    func()
}

// agenda is what is to happen, the soonest first.
type agenda struct {
	turns []turn
	n     int
}

func (a *agenda) Len() int { return len(a.turns) }
func (a *agenda) Less(i, j int) bool {
	x, y := &a.turns[i], &a.turns[j]
	return x.at.Before(y.at) || x.at.Equal(y.at) && x.order < y.order
}
func (a *agenda) Swap(i, j int) { a.turns[i], a.turns[j] = a.turns[j], a.turns[i] }
func (a *agenda) Push(x any)    { a.turns = append(a.turns, x.(turn)) }
func (a *agenda) Pop() any {
	last := a.turns[len(a.turns)-1]
	a.turns = a.turns[:len(a.turns)-1]
	return last
}

// noise seals by making noise of the size that a sealed value has: the value's own bytes,
// the commitment's secret and the cipher's tag.
type noise struct{ random *rand.Rand }

const (
	nonceBytes = 12
	tagBytes   = 16
	hashBytes  = 32
)

func (n *noise) Seal(_ context.Context, _ string, ref personal.Ref, _, clear []byte) (personal.Sealed, error) {
	return personal.Sealed{
		Ref: ref, Nonce: noiseOf(n.random, nonceBytes), Commitment: noiseOf(n.random, hashBytes),
		Ciphertext: noiseOf(n.random, personal.CommitmentSecretBytes+len(clear)+tagBytes),
	}, nil
}

func noiseOf(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (n *noise) Open(context.Context, string, personal.Sealed, []byte) ([]byte, bool, error) {
	return nil, false, errors.New("what was sealed by noise does not open")
}
