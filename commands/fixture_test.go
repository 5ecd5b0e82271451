package commands_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/storetest/memory"
	"recapito/domain/content"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
	"recapito/domain/receipt"
	"recapito/domain/scenario"
)

// bench is a command side over a store in memory.
type bench struct {
	t         testing.TB
	store     *memory.Store
	ledger    *commands.Ledger
	persons   *plainPersons
	wire      *plainWire
	deadlines *noted
	routes    commands.Routes
	n         *commands.Notifications
}

const (
	number  = "+393331234567"
	number2 = "+393337654321"
)

func newBench(t testing.TB) *bench {
	t.Helper()
	if simCodecErr != nil {
		t.Fatal(simCodecErr)
	}
	b := &bench{t: t, store: &memory.Store{}, persons: &plainPersons{}, wire: &plainWire{}, deadlines: &noted{}}
	b.ledger = &commands.Ledger{Store: b.store, Codec: simCodec, Sealer: personaltest.Sealer{}, Now: time.Now}
	policy := commands.DefaultPolicy()
	b.routes = commands.Routes{{Name: "main", Channel: commands.ChannelSMS, Form: receipt.Hex, Policy: policy, Wire: b.wire}}
	b.n = b.another()
	return b
}

// another makes a second command side over the same store, with caches of its own.
func (b *bench) another() *commands.Notifications {
	n := commands.NewNotifications(b.ledger, b.persons, appointments(b.t), b.routes, quiet)
	b.t.Cleanup(n.CloseCaches)
	return n
}

type oneScenario struct{ scenario.Definition }

func (s oneScenario) Scenario(tenant, name string) (scenario.Definition, bool) {
	return s.Definition, tenant == simTenant && name == s.Name
}

func (s oneScenario) List(string) []scenario.Definition { return []scenario.Definition{s.Definition} }

func appointments(t testing.TB) oneScenario {
	t.Helper()
	d, err := scenario.Definition{
		Name: "appointment", Tenant: simTenant, Version: "v1", Sender: "Studio", Text: "Dear {{ name }}, see you on {{ day }}",
		Fields: []scenario.Field{
			{Name: "name", Type: scenario.Text, Personal: true}, {Name: "day", Type: scenario.Date, Required: true},
			{Name: "count", Type: scenario.Number},
		},
		Steps: []scenario.Step{{Channels: []string{"sms"}, Wanted: notification.Delivered, Wait: scenario.DefaultWait}},
	}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return oneScenario{d}
}

func appointment() commands.Request {
	return commands.Request{
		Scenario: "appointment", To: map[string][]string{"sms": {number}},
		Fields: map[string]any{"name": "Ada", "day": "2026-12-01"},
	}
}

// submitted is a notification with its first attempt scheduled.
func (b *bench) submitted(key string) string {
	b.t.Helper()
	a, err := b.n.Submit(b.t.Context(), origin, key, appointment())
	if err != nil {
		b.t.Fatalf("Submit: %v", err)
	}
	b.tell(a.ID, b.plan(a.ID))
	return a.ID
}

func (b *bench) plan(id string) notification.Command {
	b.t.Helper()
	l, err := b.n.Get(b.t.Context(), simTenant, id)
	if err != nil {
		b.t.Fatal(err)
	}
	p := commands.Planner{Scenarios: appointments(b.t), Routes: b.routes, Now: b.ledger.Now}
	c, err := p.Gather(b.t.Context(), l.State)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) tell(id string, cs ...notification.Command) {
	b.t.Helper()
	for _, c := range cs {
		if _, err := b.n.Tell(b.t.Context(), origin, id, c); err != nil {
			b.t.Fatalf("%T: %v", c, err)
		}
	}
}

func (b *bench) state(id string) notification.State {
	b.t.Helper()
	l, err := b.n.Get(b.t.Context(), simTenant, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return l.State
}

// types lists the events of a stream.
func (b *bench) types(stream string) string {
	var types []string
	for _, e := range b.store.Stream(stream) {
		types = append(types, strings.TrimPrefix(e.Type, "Notification"))
	}
	return strings.Join(types, " ")
}

// plainPersons has a person for each first address.
type plainPersons struct {
	mu     sync.Mutex
	claims int
	err    error
	tokens error
}

func (p *plainPersons) ClaimPerson(_ context.Context, _, _ string, addresses []commands.Address) (personal.Ref, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims++
	if p.err != nil {
		return personal.Ref{}, p.err
	}
	id := digest(addresses[0].Value)
	return personal.Ref{Person: id, Key: "k" + id}, nil
}

func (p *plainPersons) RequestHMAC(_ context.Context, _ string, ref personal.Ref, canonical []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := sha256.Sum256(append([]byte(ref.Person), canonical...))
	return h[:], p.err
}

func (p *plainPersons) DestinationToken(_ context.Context, route, destination string, _ time.Time) (receipt.Token, error) {
	return receipt.Token{Key: route, Token: digest(route, destination)}, p.tokens
}

func (p *plainPersons) DestinationTokens(ctx context.Context, route, destination string, at time.Time) ([]receipt.Token, error) {
	t, err := p.DestinationToken(ctx, route, destination, at)
	return []receipt.Token{t, {Key: "older", Token: digest("older", destination)}}, err
}

// plainWire answers what it is told to.
type plainWire struct {
	mu       sync.Mutex
	acquire  error
	answer   func(context.Context, channel.Message, func() bool, func(channel.Outcome)) channel.Outcome
	sent     []channel.Message
	acquired int
	released int
}

func (w *plainWire) Acquire(context.Context, int) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acquire != nil {
		return nil, w.acquire
	}
	w.acquired++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.released++
	}, nil
}

func (w *plainWire) Send(ctx context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
	w.mu.Lock()
	w.sent = append(w.sent, m)
	answer := w.answer
	w.mu.Unlock()
	if answer != nil {
		return answer(ctx, m, fence, late)
	}
	return took("AB12")
}

func (w *plainWire) Units(d content.Document) (int, error) {
	if len(d.Member("text")) > 400 {
		return 0, &event.Rule{Code: "text_too_long", Message: "the text makes more than 10 parts"}
	}
	return 1, nil
}

func took(id string) channel.Outcome {
	return channel.Outcome{Units: []channel.UnitOutcome{{Result: channel.UnitAccepted, ProviderID: id, At: time.Now()}}}
}

func unanswered() channel.Outcome {
	return channel.Outcome{Units: []channel.UnitOutcome{{Result: channel.UnitLost, At: time.Now()}}}
}

// noted keeps deadlines.
type noted struct {
	mu  sync.Mutex
	set []deadline.DeadlineSet
	err error
}

func (n *noted) Set(_ context.Context, ds ...deadline.DeadlineSet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set = append(n.set, ds...)
	return n.err
}

var errAway = errors.New("away")
