// Package commandstest has what tests of the command side share: a bench with a store in
// memory, persons and a wire that a test drives.
package commandstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/delivery"
	"recapito/commands/intake"
	"recapito/commands/planning"
	"recapito/commands/receipts"
	"recapito/commands/storetest/memory"
	"recapito/domain/address"
	"recapito/domain/catalogue"
	"recapito/domain/content"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
	"recapito/domain/receipt"
	"recapito/domain/scenario"
)

// Tenant is that of every request of a bench.
const Tenant = "acme"

// Numbers that requests of a bench go to.
const (
	Number  = "+393331234567"
	Number2 = "+393337654321"
)

// Origin of a bench's commands.
var Origin = commands.Origin{Tenant: Tenant, Actor: "key:test"}

// Quiet is a log that nobody reads.
var Quiet = slog.New(slog.DiscardHandler)

// SMS is the kind of channel of a bench's route.
var SMS = channel.Kind{Name: "sms", Address: address.Phone, Content: content.SMS}

// Side is a command side: the handlers and the intake over one ledger.
type Side struct {
	*commands.Notifications
	*intake.Intake
	Receipts *commands.Receipts
	c        delivery.Config
	in       intake.Config
}

// Persons are what a side needs of the key store.
type Persons interface {
	commands.Persons
	commands.Tokens
}

// NewSide returns a command side over a ledger.
func NewSide(l *commands.Ledger, p Persons, s commands.Scenarios, routes channel.Routes) *Side {
	n, r := commands.NewNotifications(l), commands.NewReceipts(l)
	planner := &planning.Planner{Scenarios: s, Routes: routes, Now: func() time.Time { return l.Now() }}
	in := intake.Config{Ledger: l, Notifications: n, Persons: p, Scenarios: s, Routes: routes, Log: Quiet}
	return &Side{
		Notifications: n, Receipts: r, Intake: intake.New(in), in: in,
		c: delivery.Config{Ledger: l, Notifications: n, Receipts: r, Tokens: p, Planner: planner, Routes: routes, Log: Quiet},
	}
}

// PlanAtOnce makes the intake plan each request in its own append, and offer what is due;
// nil: offer nothing. Without it the process manager plans.
func (s *Side) PlanAtOnce(p intake.Planner, o intake.Offers) {
	s.in.Planner, s.in.Offers = p, o
	s.Intake = intake.New(s.in)
}

// Planner is that of the side's process manager.
func (s *Side) Planner() *planning.Planner { return s.c.Planner }

// Delivery is what a worker or a manager of the side acts on.
func (s *Side) Delivery(d delivery.Deadlines, q delivery.Queue, guards ...delivery.Guard) delivery.Config {
	c := s.c
	c.Deadlines, c.Queue, c.Guards = d, q, guards
	return c
}

// Receiving is what a receiver or a matcher of the side acts on.
func (s *Side) Receiving() receipts.Config {
	return receipts.Config{Ledger: s.c.Ledger, Notifications: s.Notifications, Receipts: s.Receipts, Tokens: s.c.Tokens, Routes: s.c.Routes, Log: Quiet}
}

// Tell executes any command on a notification.
func (s *Side) Tell(ctx context.Context, o commands.Origin, id string, c notification.Command) ([]notification.Event, error) {
	res, err := s.Notifications.Handle(ctx, o, notification.Stream(id), c)
	return res.Events, err
}

// TellReceipt executes any command on a receipt stream.
func (s *Side) TellReceipt(ctx context.Context, o commands.Origin, stream string, c receipt.Command) ([]receipt.Event, error) {
	res, err := s.Receipts.Handle(ctx, o, stream, c)
	return res.Events, err
}

// CloseCaches ends the goroutines of the caches.
func (s *Side) CloseCaches() {
	s.Notifications.Close()
	s.Receipts.Close()
}

// Bench is a command side over a store in memory.
type Bench struct {
	T         testing.TB
	Store     *memory.Store
	Ledger    *commands.Ledger
	Persons   *PlainPersons
	Wire      *PlainWire
	Deadlines *Noted
	Routes    channel.Routes
	N         *Side
}

// New returns a bench that ends with the test.
func New(t testing.TB) *Bench {
	t.Helper()
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{T: t, Store: &memory.Store{}, Persons: &PlainPersons{}, Wire: &PlainWire{}, Deadlines: &Noted{}}
	b.Ledger = &commands.Ledger{Store: b.Store, Codec: codec, Sealer: personaltest.Sealer{}, Now: time.Now}
	b.Routes = channel.Routes{{Name: "main", Kind: SMS, Form: receipt.Hex, Policy: channel.DefaultPolicy(), Wire: b.Wire}}
	b.N = b.Another()
	return b
}

// Another returns a second command side over the same store, with caches of its own.
func (b *Bench) Another() *Side {
	n := NewSide(b.Ledger, b.Persons, Appointments(b.T), b.Routes)
	b.T.Cleanup(n.CloseCaches)
	return n
}

type OneScenario struct{ scenario.Definition }

func (s OneScenario) Scenario(tenant, name string) (scenario.Definition, bool) {
	return s.Definition, tenant == Tenant && name == s.Name
}

func (s OneScenario) List(string) []scenario.Definition { return []scenario.Definition{s.Definition} }

func Appointments(t testing.TB) OneScenario {
	t.Helper()
	d, err := scenario.Definition{
		Name: "appointment", Tenant: Tenant, Version: "v1", Senders: map[string]string{"sms": "Studio"},
		Contents: map[string]scenario.Content{"sms": {Members: map[string]string{"text": "Dear {{ name }}, see you on {{ day }}"}}},
		Fields: []scenario.Field{
			{Name: "name", Type: scenario.Text, Personal: true}, {Name: "day", Type: scenario.Date, Required: true},
			{Name: "count", Type: scenario.Number},
		},
		Steps: []scenario.Step{{Channels: []string{"sms"}, Wanted: notification.Delivered, Wait: scenario.DefaultWait}},
	}.Compile(scenario.Channels{"sms": {Content: content.SMS, Sender: func(string) error { return nil }, Routed: true}})
	if err != nil {
		t.Fatal(err)
	}
	return OneScenario{d}
}

func Appointment() intake.Request {
	return intake.Request{
		Scenario: "appointment", To: map[string][]string{"sms": {Number}},
		Fields: map[string]any{"name": "Ada", "day": "2026-12-01"},
	}
}

// submitted is a notification with its first attempt scheduled.
func (b *Bench) Submitted(key string) string {
	b.T.Helper()
	a, err := b.N.Submit(b.T.Context(), Origin, key, Appointment())
	if err != nil {
		b.T.Fatalf("Submit: %v", err)
	}
	b.Tell(a.ID, b.Plan(a.ID))
	return a.ID
}

func (b *Bench) Plan(id string) notification.Command {
	b.T.Helper()
	l, err := b.N.Get(b.T.Context(), Tenant, id)
	if err != nil {
		b.T.Fatal(err)
	}
	c, err := b.N.Planner().Gather(b.T.Context(), l.State.Requested)
	if err != nil {
		b.T.Fatal(err)
	}
	return c
}

func (b *Bench) Tell(id string, cs ...notification.Command) {
	b.T.Helper()
	for _, c := range cs {
		if _, err := b.N.Tell(b.T.Context(), Origin, id, c); err != nil {
			b.T.Fatalf("%T: %v", c, err)
		}
	}
}

func (b *Bench) State(id string) notification.State {
	b.T.Helper()
	l, err := b.N.Get(b.T.Context(), Tenant, id)
	if err != nil {
		b.T.Fatal(err)
	}
	return l.State
}

// types lists the events of a stream.
func (b *Bench) Types(stream string) string {
	var types []string
	for _, e := range b.Store.Stream(stream) {
		types = append(types, strings.TrimPrefix(e.Type, "Notification"))
	}
	return strings.Join(types, " ")
}

// PlainPersons has a person for each first address.
type PlainPersons struct {
	Mu     sync.Mutex
	Claims int
	Err    error
	Tokens error
}

func (p *PlainPersons) Resolve(_ context.Context, _, _ string, addresses []address.Address) (personal.Ref, error) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.Claims++
	if p.Err != nil {
		return personal.Ref{}, p.Err
	}
	id := Digest(addresses[0].Value)
	return personal.Ref{Person: id, Key: "k" + id}, nil
}

func (p *PlainPersons) RequestHMAC(_ context.Context, _ string, ref personal.Ref, canonical []byte) ([]byte, error) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	h := sha256.Sum256(append([]byte(ref.Person), canonical...))
	return h[:], p.Err
}

func (p *PlainPersons) DestinationToken(_ context.Context, route, destination string, _ time.Time) (receipt.Token, error) {
	return receipt.Token{Key: route, Token: Digest(route, destination)}, p.Tokens
}

func (p *PlainPersons) DestinationTokens(ctx context.Context, route, destination string, at time.Time) ([]receipt.Token, error) {
	t, err := p.DestinationToken(ctx, route, destination, at)
	return []receipt.Token{t, {Key: "older", Token: Digest("older", destination)}}, err
}

// PlainWire returns what it is reported to.
type PlainWire struct {
	Mu         sync.Mutex
	AcquireErr error
	Waited     func() // called by Acquire, if it is set, before capacity is there
	Answer     func(context.Context, channel.Message, func() bool, func(channel.Outcome)) channel.Outcome
	Makes      int // units of every document; 0 = 1
	Sent       []channel.Message
	Acquired   int
	Released   int
}

func (w *PlainWire) Acquire(context.Context, int) (func(), error) {
	if w.Waited != nil {
		w.Waited()
	}
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if w.AcquireErr != nil {
		return nil, w.AcquireErr
	}
	w.Acquired++
	return func() {
		w.Mu.Lock()
		defer w.Mu.Unlock()
		w.Released++
	}, nil
}

func (w *PlainWire) Send(ctx context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
	w.Mu.Lock()
	w.Sent = append(w.Sent, m)
	answer := w.Answer
	w.Mu.Unlock()
	if answer != nil {
		return answer(ctx, m, fence, late)
	}
	return Took("AB12")
}

func (w *PlainWire) Units(d content.Document) (int, error) {
	if len(d.Member("text")) > 400 {
		return 0, &event.Rule{Code: "text_too_long", Message: "the text makes more than 10 segments"}
	}
	return max(w.Makes, 1), nil
}

func Took(id string) channel.Outcome {
	return channel.Outcome{Units: []notification.UnitOutcome{{Fate: notification.UnitAccepted, ProviderID: id, At: time.Now()}}}
}

func Unanswered() channel.Outcome {
	return channel.Outcome{Units: []notification.UnitOutcome{{Fate: notification.UnitLost, At: time.Now()}}}
}

// Noted keeps deadlines.
type Noted struct {
	Mu           sync.Mutex
	SetDeadlines []deadline.DeadlineSet
	Err          error
}

func (n *Noted) Set(_ context.Context, ds ...deadline.DeadlineSet) error {
	n.Mu.Lock()
	defer n.Mu.Unlock()
	n.SetDeadlines = append(n.SetDeadlines, ds...)
	return n.Err
}

var ErrAway = errors.New("away")

// Digest is a short hash of texts, for stand-ins of tokens and ids.
func Digest(texts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(h[:8])
}
