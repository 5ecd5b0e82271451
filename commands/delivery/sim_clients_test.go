package delivery_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"recapito/commands"
	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/domain/address"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

func (w *world) startAPI(p *process) {
	if w.set.offers {
		w.startOffers(p)
	}
}

var origin = commands.Origin{Tenant: simTenant, Actor: "key:test"}

// call runs one call of a client in the API's process, again while that breaks or the
// store does not answer; so long as a client has patience.
func (w *world) call(name string, do func(n *commandstest.Side) error) error {
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
		var invalid *strictjson.Invalid
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
	submit := func(name string, in intake.Request) error {
		return w.call(name, func(n *commandstest.Side) error {
			a, err := n.Submit(context.Background(), origin, key, in)
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
			var invalid *strictjson.Invalid
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
				err := w.call("cancel", func(n *commandstest.Side) error {
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
	if r.withdrawAfter > 0 {
		s.spawn(nil, "withdrawer", func() { w.withdraw(id, r.withdrawAfter) })
	}
	if r.person != "" {
		s.spawn(nil, "person", func() { w.person(id, r) })
	}
}

// withdraw withdraws a person's consent, and acknowledges it.
func (w *world) withdraw(id string, after time.Duration) {
	s := w.s
	s.wait(func() bool { return w.check.notifications[id] != nil })
	s.sleep(after)
	person := w.check.notifications[id].state.Requested.Person.Person
	e := withdrawal(w.newID())
	for {
		if _, err := w.store.Append(context.Background(), consentPrefix+person, event.Any(), []event.New{e}); err == nil {
			break
		}
		s.sleep(s.between(0, 3*time.Second))
	}
	s.log("the consent of %s is withdrawn", short(person))
	w.check.withdrew(person)
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
		err := w.call("person", func(n *commandstest.Side) error {
			_, err := n.Tell(context.Background(), origin, id, c)
			return err
		})
		s.log("person on attempt %d: %s: %v", held, r.person, err)
	}
}

// simPersons makes keyed hashes without keys. A route's key changes each half hour.
type simPersons struct{ w *world }

func (p simPersons) Resolve(_ context.Context, _, _ string, addresses []address.Address) (personal.Ref, error) {
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
