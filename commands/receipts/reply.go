package receipts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

// ErrNoMessage: a reply names no message of ours. Its channel refuses it.
var ErrNoMessage = &event.Rule{Code: "no_such_message", Message: "the reply names no message that was sent over this route"}

// registering is how long a reply's message may still be without its submission: its worker
// has the provider's answer, and the events that follow are not all stored. It counts from
// when the reply came first, in this process.
const registering = time.Minute

// long is how long ago the provider must date a reply for it not to be waited for at all: its
// clock may be slow.
const long = time.Hour

// ErrTooEarly: the message of a reply may still be registering. The same reply is taken
// later, or then refused for good.
var ErrTooEarly = errors.New("the message of the reply is not known yet")

// Reply records a person's answer on the notification that it is about: the one of our
// reference, else the newest submission under the provider's id. It implements
// channel.ReplySink: what it took is durable, its text sealed under the person's key, and
// the same id is the same reply.
func (r *Receiver) Reply(ctx context.Context, p channel.ProviderReply) error {
	route, ok := r.c.Routes.Named(p.Route)
	if !ok {
		return ErrUnknownRoute
	}
	id, attempt, ok := receipt.ParseReference(p.Reference)
	if !ok {
		if p.ProviderID == "" {
			return ErrNoMessage
		}
		newest, err := r.newest(ctx, route, p)
		if err != nil {
			return err
		}
		id, attempt = newest.Notification, newest.Attempt
	}
	l, err := r.c.Notifications.Load(ctx, notification.Stream(id))
	if err != nil {
		return fmt.Errorf("loading the notification of a reply: %w", err)
	}
	a, ok := l.State.Attempt(attempt)
	if !ok || a.Route != route.Name {
		return ErrNoMessage
	}
	o := commands.Origin{
		Tenant: l.State.Requested.Tenant, Actor: commands.ActorProvider + route.Name, Correlation: id, Test: l.State.Requested.Test,
	}
	c := notification.RecordReply{
		Attempt: attempt, Channel: route.Kind.Name, ReplyID: p.ReplyID,
		Text: personal.New(l.State.Requested.Person, p.Text), DoneAt: storable(p.OccurredAt), At: r.c.Ledger.Now(),
	}
	if commands.WithoutAddresses(p.ReplyID) != p.ReplyID {
		ids, err := r.tokensOf(ctx, p.Route, p.ReplyID, p.ReceivedAt)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(l.State.Replies, id) }) {
			return nil // under an older key
		}
		if c.ReplyID = commands.WithoutAddresses(p.ReplyID); len(ids) > 0 {
			c.ReplyID = ids[0]
		}
	}
	_, err = r.c.Notifications.Handle(ctx, o, notification.Stream(id), c)
	if errors.Is(err, commands.ErrKeyErased) {
		return nil // the person's data has been erased: a reply of it is not kept
	}
	if err != nil {
		return fmt.Errorf("recording a reply: %w", err)
	}
	return nil
}

// newest returns the newest submission under the id of a reply's message.
func (r *Receiver) newest(ctx context.Context, route channel.Configured, p channel.ProviderReply) (receipt.Submission, error) {
	ids, err := r.ids(ctx, route.Name, p.ProviderID, p.ReceivedAt, nil)
	if err != nil {
		return receipt.Submission{}, err
	}
	for _, id := range ids {
		l, err := r.c.Receipts.Load(ctx, receipt.Stream(route.Name, route.Form.ReceiptID(id)))
		if err != nil {
			return receipt.Submission{}, fmt.Errorf("looking up the message of a reply: %w", err)
		}
		if n := len(l.State.Submissions); n > 0 {
			return l.State.Submissions[n-1], nil
		}
	}
	now := r.c.Ledger.Now()
	old := !p.OccurredAt.IsZero() && now.Sub(p.OccurredAt) >= long
	if !old && r.unknown.since(p.Route+"\n"+p.ProviderID+"\n"+p.ReplyID, now) < registering {
		return receipt.Submission{}, ErrTooEarly
	}
	return receipt.Submission{}, ErrNoMessage
}
