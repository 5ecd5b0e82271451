package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
)

// Config is what the intake acts on.
type Config struct {
	Ledger        *commands.Ledger
	Notifications *commands.Notifications
	Persons       commands.Persons
	Scenarios     commands.Scenarios
	Routes        channel.Routes
	Planner       Planner // nil: the process manager plans every request
	Offers        Offers  // nil: due attempts reach their workers by the queue alone
	Log           *slog.Logger
}

// Planner plans a request as it is accepted. Implemented by commands/planning.
type Planner interface {
	// AtOnce returns Enrich, Reject or Suppress; nil, or an error, leaves the plan to the
	// process manager.
	AtOnce(ctx context.Context, r notification.NotificationRequested) (notification.Command, error)
}

// Offers takes due attempts for a worker of this process, in addition to the queue. It may
// drop any. Implemented by commands/delivery.
type Offers interface {
	Offer(tenant, notification string, attempt int)
}

// Intake accepts requests, whichever listener they come from.
type Intake struct{ c Config }

// New returns an intake.
func New(c Config) *Intake { return &Intake{c} }

// Accepted is the result of a request.
type Accepted struct {
	ID       string
	State    notification.State
	Position event.Position // read models at or past it know of this command
	Created  bool           // false: the idempotency key had been used with the same request
}

// ErrErased: the idempotency key belongs to a request of a person since erased.
var ErrErased = &event.Rule{Code: "erased", Message: "the idempotency key belongs to a person whose data has been erased"}

// Submit accepts a request: when it returns, the request and the person's key are
// durable. Errors: *strictjson.Invalid, notification.ErrKeyReused, ErrErased.
func (n *Intake) Submit(ctx context.Context, o commands.Origin, key string, r Request) (Accepted, error) {
	checked, err := n.check(o.Tenant, key, r)
	if err != nil {
		return Accepted{}, err
	}
	return n.accept(ctx, o, key, checked)
}

// accept takes a request whose form has been checked.
func (n *Intake) accept(ctx context.Context, o commands.Origin, key string, checked *checkedRequest) (Accepted, error) {
	id := ""
	if key != "" {
		id = notification.IDFor(o.Tenant, key)
		if done, err := n.repeated(ctx, o, id, checked); done != nil || err != nil {
			return accepted(done), err
		}
	} else {
		v7, err := uuid.NewV7()
		if err != nil {
			return Accepted{}, fmt.Errorf("making an id: %w", err)
		}
		id = v7.String()
	}
	if err := checked.checkTimes(n.c.Ledger.Now()); err != nil {
		return Accepted{}, err
	}
	ref, mac, err := n.personOf(ctx, o.Tenant, checked)
	if err != nil {
		return Accepted{}, err
	}
	o.Correlation, o.Test = id, checked.Test
	command := checked.command(o.Tenant, key, ref, mac, n.c.Ledger.Now())
	command.Planned = n.planned(ctx, id, command)
	res, err := n.c.Notifications.HandleNew(ctx, o, notification.Stream(id), command)
	if errors.Is(err, event.ErrTooLarge) && command.Planned != nil {
		var ps problems
		ps.add("to", "too_long", "has so many addresses that the message, which is stored for each of them with its attachments, is larger than an event may be")
		return Accepted{}, &strictjson.Invalid{Problems: ps}
	}
	if err != nil {
		return Accepted{}, err
	}
	n.offer(o.Tenant, id, res.Events)
	return Accepted{ID: id, State: res.State, Position: res.Position, Created: len(res.Events) > 0}, nil
}

// planned returns the plan of a request, or its refusal; nil leaves it to the process
// manager.
func (n *Intake) planned(ctx context.Context, id string, c notification.Request) notification.Command {
	if n.c.Planner == nil {
		return nil
	}
	plan, err := n.c.Planner.AtOnce(ctx, c.Requested())
	if err != nil {
		n.c.Log.Warn("a request could not be planned as it was accepted; the process manager plans it", "notification", id, "error", err)
		return nil
	}
	return plan
}

// offer hands over what is scheduled and due.
func (n *Intake) offer(tenant, id string, events []notification.Event) {
	if n.c.Offers == nil {
		return
	}
	now := n.c.Ledger.Now()
	for _, e := range events {
		if s, ok := e.(notification.NotificationScheduled); ok && !s.Due.After(now) {
			n.c.Offers.Offer(tenant, id, s.Attempt)
		}
	}
}

// personOf returns the person of a request, and the request authenticated under that
// person's key. A person who is erased in between is not the request's any more: its
// addresses are then free, and it is resolved again.
func (n *Intake) personOf(ctx context.Context, tenant string, c *checkedRequest) (ref personal.Ref, mac []byte, err error) {
	for range 2 {
		ref, err = n.c.Persons.Resolve(ctx, tenant, c.Recipient, c.addresses())
		if err == nil {
			mac, err = n.c.Persons.RequestHMAC(ctx, tenant, ref, c.canonical)
		}
		if !errors.Is(err, commands.ErrKeyErased) {
			break
		}
	}
	if errors.Is(err, commands.ErrKeyErased) {
		return ref, nil, ErrErased
	}
	if err != nil {
		return ref, nil, fmt.Errorf("resolving the person: %w", err)
	}
	return ref, mac, nil
}

// repeated answers a request whose idempotency key was used before: nil if it was not.
func (n *Intake) repeated(ctx context.Context, o commands.Origin, id string, c *checkedRequest) (*Accepted, error) {
	l, err := n.c.Notifications.Load(ctx, notification.Stream(id))
	if err != nil || !l.Exists {
		return nil, err
	}
	mac, err := n.c.Persons.RequestHMAC(ctx, o.Tenant, l.State.Requested.Person, c.canonical)
	if errors.Is(err, commands.ErrKeyErased) {
		return nil, ErrErased
	}
	if err != nil {
		return nil, fmt.Errorf("authenticating the request: %w", err)
	}
	if _, err := notification.Decide(l.State, notification.Request{RequestHMAC: mac}); err != nil {
		return nil, err
	}
	return &Accepted{ID: id, State: l.State, Position: l.Position}, nil
}

func accepted(a *Accepted) Accepted {
	if a == nil {
		return Accepted{}
	}
	return *a
}
