package receipts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// ErrUnknownRoute: a receipt names a route that is not configured.
var ErrUnknownRoute = &event.Rule{Code: "unknown_route", Message: "the receipt's route is not configured"}

// Receiver records what providers report. It implements channel.ReceiptSink: what it took is
// durable.
type Receiver struct {
	c       Config
	unknown firstSeen // replies
}

// NewReceiver binds a receiver to the command side.
func NewReceiver(c Config) *Receiver { return &Receiver{c: c} }

// Receive records one receipt on the stream of its provider id. Its addresses are kept
// only as tokens under the route's keys: a provider may send them swapped or not, so the
// destination may be either. The id, the code and the sender are kept without what is an
// address in them.
func (r *Receiver) Receive(ctx context.Context, p channel.ProviderReceipt) error {
	route, ok := r.c.Routes.Named(p.Route)
	if !ok {
		return ErrUnknownRoute
	}
	p.OccurredAt = storable(p.OccurredAt)
	rec := receipt.Receipt{
		Route: p.Route, Status: cmp.Or(p.Status, receipt.Intermediate), Code: commands.WithoutAddresses(p.Code), DoneAt: doneAt(p), ReceivedAt: p.ReceivedAt,
	}
	kind := route.Kind.Address
	if read := kind.Reported(p.Sender); read == (address.Reported{}) {
		rec.Sender = commands.WithoutAddresses(p.Sender)
	}
	ids, err := r.readAddresses(ctx, kind, p, &rec)
	if err != nil {
		return err
	}
	stream, loaded := r.place(ctx, route, &rec, ids)
	first := ""
	if len(rec.Tokens) > 0 {
		first = rec.Tokens[0].Token
	}
	rec.ID = receipt.ID(p.Route, receipt.MessageOf(rec.ProviderID, p.Reference, p.Unit), first, rec.Status, rec.Code, p.OccurredAt)
	if p.ProviderID == "" { // nothing can match it by id: kept on a stream of its own
		stream = receipt.Stream(p.Route, "none-"+rec.ID)
	}
	id, attempt, referred := receipt.ParseReference(p.Reference)
	if referred && p.Unit > 0 {
		if referred, err = r.sentOver(ctx, p.Route, id, attempt); err != nil {
			return err
		}
	}
	if referred && p.Unit > 0 {
		rec.Notification, rec.Attempt, rec.Unit = id, attempt, p.Unit
	}
	o := commands.Origin{Tenant: tenant.System, Actor: commands.ActorProvider + p.Route, Correlation: rec.Notification}
	if n := len(loaded.Submissions); n > 0 {
		o.Tenant, o.Correlation = loaded.Submissions[n-1].Tenant, loaded.Submissions[n-1].Notification
	}
	c := receipt.RecordReceipt{Receipt: rec, Window: route.Window(), At: r.c.Ledger.Now()}
	if _, err := r.c.Receipts.Handle(ctx, o, stream, c); err != nil {
		return fmt.Errorf("recording a receipt: %w", err)
	}
	return nil
}

// sentOver returns whether an attempt goes over a route: a receipt of another route shows
// nothing about it, whatever its reference says.
func (r *Receiver) sentOver(ctx context.Context, route, id string, attempt int) (bool, error) {
	l, err := r.c.Notifications.Load(ctx, notification.Stream(id))
	if err != nil {
		return false, fmt.Errorf("loading the notification of a receipt: %w", err)
	}
	a, ok := l.State.Attempt(attempt)
	return ok && a.Route == route, nil
}

// storable is a provider's time, or zero where it is none that JSON has (RFC 3339, section
// 5.6): a year from 0 to 9999.
func storable(t time.Time) time.Time {
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return time.Time{}
	}
	return t
}

// readAddresses sets the tokens of a receipt's addresses, and whether they are complete, and
// takes the addresses out of its code. It returns the ids that its submission may be under.
func (r *Receiver) readAddresses(ctx context.Context, kind address.Kind, p channel.ProviderReceipt, rec *receipt.Receipt) (ids []string, err error) {
	partial := false
	var addresses []string
	for _, text := range []string{p.Destination, p.Sender} {
		read := kind.Reported(text)
		partial = partial || read.Partial
		rec.Complete = rec.Complete || read.Complete
		if read.Normal == "" {
			continue
		}
		addresses = append(addresses, read.Normal)
		rec.Code = commands.StorableCode(rec.Code, read.Normal)
		tokens, err := r.c.Tokens.DestinationTokens(ctx, p.Route, commands.TokenForm(read.Normal), p.ReceivedAt)
		if err != nil {
			return nil, fmt.Errorf("making the destination's tokens: %w", err)
		}
		rec.Tokens = append(rec.Tokens, tokens...)
	}
	rec.Complete = rec.Complete && !partial
	return r.ids(ctx, p.Route, p.ProviderID, p.ReceivedAt, addresses)
}

// ids returns what a submission under a provider's id may be stored under: the id, or what
// stands for it where the worker hid it (commands.HidesID), under each key of the route,
// newest first. The first is where the receipt is kept if there is no submission. A report
// may hold neither the destination nor anything of it, so both are looked at; and what it
// calls the destination may be our own sender, which the worker does not hide.
func (r *Receiver) ids(ctx context.Context, route, id string, at time.Time, addresses []string) ([]string, error) {
	if id == "" {
		return []string{""}, nil
	}
	hashed, err := r.tokensOf(ctx, route, id, at)
	switch {
	case err != nil:
		return nil, err
	case commands.HoldsAddress(id):
		return hashed, nil
	case slices.ContainsFunc(addresses, func(a string) bool { return commands.HidesID(id, a) }):
		return append(hashed, id), nil
	}
	return append([]string{id}, hashed...), nil
}

// tokensOf returns what stands for an id under each key of the route, newest first.
func (r *Receiver) tokensOf(ctx context.Context, route, id string, at time.Time) (ids []string, err error) {
	tokens, err := r.c.Tokens.DestinationTokens(ctx, route, commands.IDForm(id), at)
	if err != nil {
		return nil, fmt.Errorf("making the tokens of an id: %w", err)
	}
	for _, t := range tokens {
		ids = append(ids, commands.HashedID(t))
	}
	return ids, nil
}

// place returns the stream that a receipt is recorded on, and what is on it: that of the
// first of its ids that a submission is registered under, or of the first.
func (r *Receiver) place(ctx context.Context, route channel.Configured, rec *receipt.Receipt, ids []string) (stream string, s receipt.State) {
	for i, id := range ids {
		at := receipt.Stream(route.Name, route.Form.ReceiptID(id))
		l, err := r.c.Receipts.LoadAt(ctx, at, 0)
		if i == 0 || err == nil && len(l.State.Submissions) > 0 {
			rec.ProviderID, stream, s = id, at, l.State
		}
		if err == nil && len(l.State.Submissions) > 0 {
			break
		}
	}
	return stream, s
}

// doneAt is the moment taken for what a provider reports to the minute: the last one of
// it that is not after the receipt came. The first one would put a delivery before its
// own send. A receipt's identity holds what the provider reported, so a second copy of it
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
