package receipts

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/domain/event"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// ErrUnknownRoute: a receipt names a route that is not configured.
var ErrUnknownRoute = &event.Rule{Code: "unknown_route", Message: "the receipt's route is not configured"}

// Receiver records what providers report. It implements channel.ReceiptSink: what it took is
// durable.
type Receiver struct{ c Config }

// NewReceiver binds a receiver to the command side.
func NewReceiver(c Config) *Receiver { return &Receiver{c} }

var says = map[channel.ReceiptStatus]string{
	channel.ReceiptIntermediate: "intermediate", channel.ReceiptDelivered: "delivered",
	channel.ReceiptUndelivered: "undelivered", channel.ReceiptRead: "read",
}

// Receive records one receipt on the stream of its provider id. The destination is
// kept only as tokens under the route's keys, and a sender or code only if it cannot be
// a person's number.
func (r *Receiver) Receive(ctx context.Context, p channel.ProviderReceipt) error {
	route, ok := r.c.Routes.Named(p.Route)
	if !ok {
		return ErrUnknownRoute
	}
	var tokens []receipt.Token
	if p.Destination != "" {
		var err error
		if tokens, err = r.c.Tokens.DestinationTokens(ctx, p.Route, commands.TokenForm(p.Destination), p.ReceivedAt); err != nil {
			return fmt.Errorf("making the destination's tokens: %w", err)
		}
	}
	rec := receipt.Receipt{
		Route: p.Route, ProviderID: p.ProviderID, Tokens: tokens, Sender: notPersonal(p.Sender), Says: says[p.Status], Code: notPersonal(p.Code),
		DoneAt: doneAt(p), ReceivedAt: p.ReceivedAt,
	}
	first := ""
	if len(tokens) > 0 {
		first = tokens[0].Token
	}
	rec.ID = receipt.ID(p.Route, p.ProviderID, first, rec.Says, p.Code, p.OccurredAt)
	if id, attempt, ok := receipt.ParseReference(p.Reference); ok && p.Unit > 0 {
		rec.Notification, rec.Attempt, rec.Unit = id, attempt, p.Unit
	}
	stream := receipt.Stream(p.Route, route.Form.ReceiptID(p.ProviderID))
	if p.ProviderID == "" { // nothing can match it by id: kept on a stream of its own
		stream = receipt.Stream(p.Route, "none-"+rec.ID)
	}
	o := commands.Origin{Tenant: tenant.System, Actor: commands.ActorProvider + p.Route, Correlation: rec.Notification}
	if l, err := r.c.Receipts.LoadAt(ctx, stream, 0); err == nil && len(l.State.Submissions) > 0 {
		last := l.State.Submissions[len(l.State.Submissions)-1]
		o.Tenant, o.Correlation = last.Tenant, last.Notification
	}
	if _, err := r.c.Receipts.Handle(ctx, o, stream, receipt.RecordReceipt{Receipt: rec, At: r.c.Ledger.Now()}); err != nil {
		return fmt.Errorf("recording a receipt: %w", err)
	}
	return nil
}

// notPersonal drops what could be a person's number: some providers do not swap the
// addresses in their receipts, so that the sender is the destination. A receipt without
// a sender fits whatever the sender was.
func notPersonal(told string) string {
	if numberLike.MatchString(told) {
		return ""
	}
	return told
}

// numberLike is what a phone number is at least, national ones too; short codes have
// fewer digits.
var numberLike = regexp.MustCompile(`^\+?[0-9 -]{7,}$`)

// doneAt is the moment taken for what a provider tells to the minute: the last one of
// it that is not after the receipt came. The first one would put a delivery before its
// own send. A receipt's identity holds what the provider told, so a second copy of it
// is the same receipt though it came later.
func doneAt(p channel.ProviderReceipt) time.Time {
	if p.OccurredAt.IsZero() || p.OccurredWithin <= 0 {
		return p.OccurredAt
	}
	last := p.OccurredAt.Add(p.OccurredWithin - time.Millisecond)
	if p.ReceivedAt.Before(last) {
		last = p.ReceivedAt
	}
	if last.Before(p.OccurredAt) {
		return p.OccurredAt // the provider's clock is ahead of ours
	}
	return last
}
