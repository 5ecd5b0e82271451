package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/adapters/keystore"
	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/commands/sealing"
	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/personal"
)

// people is a command side whose persons are the real ones: sealing over a key store.
type people struct {
	*commandstest.Bench
	keys    *keystore.Store
	sealing *sealing.Sealing
	side    *commandstest.Side
}

func newPeople(t *testing.T) people {
	t.Helper()
	b := commandstest.New(t)
	keys, err := keystore.Open(t.TempDir(), keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, kind := range map[string]address.Kind{"voice": address.Phone, "email": address.Email} {
		b.Routes = append(b.Routes, channel.Configured{
			Name: name, Kind: channel.Kind{Name: name, Address: kind, Content: content.SMS}, Policy: channel.DefaultPolicy(), Wire: b.Wire,
		})
	}
	p := people{Bench: b, keys: keys}
	p.restart(t)
	return p
}

// restart makes the command side anew: nothing is remembered, and no key is leased.
func (p *people) restart(t *testing.T) {
	t.Helper()
	s, err := sealing.New(p.keys, bytes.Repeat([]byte{7}, sealing.MasterKeyBytes), sealing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.Ledger.Sealer, p.sealing = s, s
	p.side = commandstest.NewSide(p.Ledger, s, commandstest.Appointments(t), p.Routes)
	t.Cleanup(p.side.CloseCaches)
}

// to is the addresses of a request: "sms=+39…".
func to(addresses ...string) map[string][]string {
	all := map[string][]string{}
	for _, a := range addresses {
		channel, value, _ := strings.Cut(a, "=")
		all[channel] = append(all[channel], value)
	}
	return all
}

// submit returns the person of an accepted request.
func (p people) submit(t *testing.T, recipient string, addresses ...string) personal.Ref {
	t.Helper()
	_, ref := p.accepted(t, "", recipient, addresses...)
	return ref
}

func (p people) accepted(t *testing.T, key, recipient string, addresses ...string) (id string, ref personal.Ref) {
	t.Helper()
	r := commandstest.Appointment()
	r.Recipient, r.To = recipient, to(addresses...)
	a, err := p.side.Submit(t.Context(), commandstest.Origin, key, r)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return a.ID, a.State.Requested.Person
}

// at returns the persons of an address, as "held", "anonymous" or "mentioned" by person.
func (p people) at(t *testing.T, kind, value string) map[string]commands.LinkKind {
	t.Helper()
	links, err := p.side.Lookup(p.sealing).Persons(t.Context(), commandstest.Tenant, intake.Whose{Kind: kind, Address: value})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]commands.LinkKind{}
	for _, l := range links {
		all[l.PersonID] = l.Kind
		if from := time.Unix(l.From, 0); time.Since(from) > time.Minute || time.Since(from) < -time.Minute || l.To != 0 {
			t.Errorf("linked from %s to %d", from, l.To)
		}
	}
	return all
}

const mailbox = "anna@example.com"

// One request over sms, voice and e-mail is one person's, and one number is one address
// over both channels.
func TestOnePersonOverChannels(t *testing.T) {
	p := newPeople(t)
	anna := p.submit(t, "anna", "sms="+commandstest.Number, "voice="+commandstest.Number, "email="+mailbox)
	if again := p.submit(t, "anna", "voice="+commandstest.Number); again != anna {
		t.Error("the recipient is another person")
	}
	if again := p.submit(t, "", "voice="+commandstest.Number, "sms="+commandstest.Number); again != anna {
		t.Error("the only holder of a number is not its person")
	}
	if again := p.submit(t, "", "email=ANNA@EXAMPLE.com"); again != anna {
		t.Error("a mailbox in another letter case is another person's")
	}
	for _, a := range []struct{ kind, value string }{{"phone", commandstest.Number}, {"sms", commandstest.Number}, {"voice", commandstest.Number}, {"email", mailbox}} {
		if at := p.at(t, a.kind, a.value); len(at) != 1 || at[anna.Person] != commands.LinkHeld {
			t.Errorf("of a %s: %v", a.kind, at)
		}
	}
	bruno := p.submit(t, "", "sms="+commandstest.Number2, "voice="+commandstest.Number2, "email=bruno@example.com")
	if at := p.at(t, "phone", commandstest.Number2); len(at) != 1 || at[bruno.Person] == 0 {
		t.Errorf("an anonymous request over two channels: %v", at)
	}
}

// Two recipients that share a number are two persons, each with a key and a history.
func TestTwoRecipientsShareANumber(t *testing.T) {
	p := newPeople(t)
	first, anna := p.accepted(t, "", "anna", "sms="+commandstest.Number)
	_, bruno := p.accepted(t, "", "bruno", "sms="+commandstest.Number)
	if anna.Person == bruno.Person || anna.Key == bruno.Key {
		t.Fatal("they are one person")
	}
	if again := p.submit(t, "anna", "sms="+commandstest.Number); again != anna {
		t.Error("the first became the second")
	}
	if at := p.at(t, "phone", commandstest.Number); len(at) != 2 || at[anna.Person] != commands.LinkHeld || at[bruno.Person] != commands.LinkHeld {
		t.Errorf("the commandstest.Number's persons: %v", at)
	}
	nobody := p.submit(t, "", "sms="+commandstest.Number)
	if nobody.Person == anna.Person || nobody.Person == bruno.Person {
		t.Error("a request without a recipient was given to one of two")
	}
	if again := p.submit(t, "", "sms="+commandstest.Number); again != nobody {
		t.Error("an address has two anonymous persons")
	}
	// Each has a key of their own: one erased, the other's values still open.
	if err := p.keys.MarkErased(t.Context(), commandstest.Tenant, bruno.Key); err != nil {
		t.Fatal(err)
	}
	p.restart(t)
	l, err := p.side.Get(t.Context(), commandstest.Tenant, first)
	if err != nil {
		t.Fatal(err)
	}
	if clear, ok := l.State.Requested.To["sms"][0].Clear(); !ok || clear != commandstest.Number {
		t.Error("the other's erasure took this one's values")
	}
	if at := p.at(t, "phone", commandstest.Number); len(at) != 2 || at[anna.Person] != commands.LinkHeld || at[nobody.Person] != commands.LinkAnonymous {
		t.Errorf("after an erasure: %v", at)
	}
}

// A recipient who changes to another's commandstest.Number, or a new one who uses it, stays who they are.
func TestRecipientTakesAnothersNumber(t *testing.T) {
	p := newPeople(t)
	anna, bruno := p.submit(t, "anna", "sms="+commandstest.Number), p.submit(t, "bruno", "sms="+commandstest.Number2)
	if again := p.submit(t, "anna", "sms="+commandstest.Number2); again != anna {
		t.Error("a known recipient became another")
	}
	if carla := p.submit(t, "carla", "sms="+commandstest.Number); carla == anna || carla == bruno {
		t.Error("a new recipient became a known one")
	}
}

// A mistyped mailbox of a request joins nobody: its owner stays apart.
func TestMistypedMailboxJoinsNobody(t *testing.T) {
	p := newPeople(t)
	owner := p.submit(t, "", "email="+mailbox)
	// The commandstest.Number's holder is a person; the mailbox of another stands next to it.
	anna := p.submit(t, "anna", "sms="+commandstest.Number)
	mistyped := p.submit(t, "", "sms="+commandstest.Number, "voice="+commandstest.Number2, "email="+mailbox)
	if mistyped != owner { // "email" is the first channel: the mailbox decides
		t.Error("the first address does not decide")
	}
	if at := p.at(t, "phone", commandstest.Number); at[anna.Person] != commands.LinkHeld || at[owner.Person] != commands.LinkMentioned {
		t.Errorf("the commandstest.Number's persons: %v", at)
	}
	if again := p.submit(t, "", "sms="+commandstest.Number); again != anna {
		t.Error("a mention moved the number to another person")
	}
	if again := p.submit(t, "", "voice="+commandstest.Number2); again == owner || again == anna {
		t.Error("a number that was only mentioned has a holder")
	}
	other := p.submit(t, "", "sms=+393331112223", "voice="+commandstest.Number)
	if again := p.submit(t, "", "sms="+commandstest.Number); again != anna || other == anna {
		t.Error("a second address joined two persons")
	}
}

// An erased person's recipient id and addresses are free for their next owner; the
// idempotency keys of its requests are not.
func TestErasedAddressIsFree(t *testing.T) {
	p := newPeople(t)
	_, anna := p.accepted(t, "order-1", "anna", "sms="+commandstest.Number)
	if err := p.keys.MarkErased(t.Context(), commandstest.Tenant, anna.Key); err != nil {
		t.Fatal(err)
	}
	p.restart(t)
	if at := p.at(t, "phone", commandstest.Number); len(at) != 0 {
		t.Errorf("the commandstest.Number's persons: %v", at)
	}
	r := commandstest.Appointment()
	r.Recipient, r.To = "anna", to("sms="+commandstest.Number)
	if _, err := p.side.Submit(t.Context(), commandstest.Origin, "order-1", r); !errors.Is(err, intake.ErrErased) {
		t.Errorf("the key of an erased person's request: %v, want ErrErased", err)
	}
	next := p.submit(t, "", "sms="+commandstest.Number)
	if next.Person == anna.Person || next.Key == anna.Key {
		t.Error("the next owner is the erased person")
	}
	if again := p.submit(t, "anna", "sms="+commandstest.Number); again.Person == anna.Person || again == next {
		t.Error("the recipient id is still the erased person's, or the next owner's")
	}
}

// Requests that come at once make one person of one new recipient, and one of one new
// address.
func TestPersonsAreMadeOnce(t *testing.T) {
	p := newPeople(t)
	const many = 32
	for name, request := range map[string]func(i int) (string, []string){
		"recipient": func(i int) (string, []string) { return "anna", []string{fmt.Sprintf("sms=+3933312345%02d", i)} },
		"address":   func(int) (string, []string) { return "", []string{"sms=" + commandstest.Number2} },
	} {
		var running sync.WaitGroup
		var refs [many]personal.Ref
		for i := range many {
			running.Go(func() {
				recipient, addresses := request(i)
				r := commandstest.Appointment()
				r.Recipient, r.To = recipient, to(addresses...)
				a, err := p.side.Submit(context.WithoutCancel(t.Context()), commandstest.Origin, "", r)
				if err != nil {
					t.Error(err)
					return
				}
				refs[i] = a.State.Requested.Person
			})
		}
		running.Wait()
		if len(slices.Compact(refs[:])) != 1 {
			t.Errorf("one %s became several persons", name)
		}
	}
}

// The look-up refuses what cannot be an address, and says nothing of it.
func TestFindPersonsRefuses(t *testing.T) {
	p := newPeople(t)
	for _, w := range []intake.Whose{
		{Kind: "phone", Address: secret}, {Kind: "phone", Address: "+4901701234567"}, {Kind: "email", Address: secret},
		{Kind: secret, Address: commandstest.Number}, {Recipient: strings.Repeat(secret, 40)},
	} {
		_, err := p.side.Lookup(p.sealing).Persons(t.Context(), commandstest.Tenant, w)
		var invalid *strictjson.Invalid
		if !errors.As(err, &invalid) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
	if links, err := p.side.Lookup(p.sealing).Persons(t.Context(), commandstest.Tenant, intake.Whose{Kind: "phone", Address: commandstest.Number}); err != nil || len(links) != 0 {
		t.Errorf("of an unknown commandstest.Number: %v, %v", links, err)
	}
}
