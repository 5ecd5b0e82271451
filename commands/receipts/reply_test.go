package receipts_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"recapito/commands/channel"
	"recapito/commands/receipts"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// A reply is recorded once, sealed, on the message that it names by our reference or by
// the provider's id; one that names none of the route's is refused.
func TestReplies(t *testing.T) {
	o := newOrphans(t)
	id := o.dispatched("order-1")
	o.outcome(id, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "AB12", At: o.at()})
	o.register(id, "AB12")
	reply := func(change func(*channel.ProviderReply)) channel.ProviderReply {
		p := channel.ProviderReply{Route: "main", ReplyID: "r-1", Reference: receipt.Reference(id, 1), Text: "secret answer", ReceivedAt: o.at()}
		change(&p)
		return p
	}
	for _, p := range []channel.ProviderReply{
		reply(func(*channel.ProviderReply) {}),
		reply(func(*channel.ProviderReply) {}), // again
		reply(func(p *channel.ProviderReply) { p.Reference, p.ProviderID, p.ReplyID = "", "AB12", "r-2" }),
	} {
		if err := o.receiver.Reply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.State(id).Replies; len(got) != 2 || got[0] != "r-1" || got[1] != "r-2" {
		t.Errorf("replies %q", got)
	}
	for _, e := range o.Store.All() {
		if bytes.Contains(e.Data, []byte("secret")) {
			t.Errorf("%s holds the answer in clear", e.Type)
		}
	}
	for name, p := range map[string]channel.ProviderReply{
		"an unknown route":      reply(func(p *channel.ProviderReply) { p.Route = "pigeon" }),
		"nothing to find it by": reply(func(p *channel.ProviderReply) { p.Reference = "" }),
		"another notification": reply(func(p *channel.ProviderReply) {
			p.Reference = receipt.Reference("0190163d-8694-739b-aea5-966c26f8ad91", 1)
		}),
		"an attempt that is not": reply(func(p *channel.ProviderReply) { p.Reference = receipt.Reference(id, 7) }),
	} {
		if err := o.receiver.Reply(t.Context(), p); !errors.Is(err, receipts.ErrNoMessage) && !errors.Is(err, receipts.ErrUnknownRoute) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A reply to a message that may still register comes again, for a minute and no longer,
// whatever the provider says about its time.
func TestAReplyToAMessageThatIsNotKnown(t *testing.T) {
	for name, occurred := range map[string]func(now time.Time) time.Time{
		"without a time":   func(time.Time) time.Time { return time.Time{} },
		"now":              func(now time.Time) time.Time { return now },
		"in years":         func(now time.Time) time.Time { return now.AddDate(10, 0, 0) },
		"in half a minute": func(now time.Time) time.Time { return now.Add(30 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrphans(t)
			p := channel.ProviderReply{Route: "main", ReplyID: "r", ProviderID: "FFFF", OccurredAt: occurred(o.at()), ReceivedAt: o.at()}
			if err := o.receiver.Reply(t.Context(), p); !errors.Is(err, receipts.ErrTooEarly) {
				t.Errorf("the first time: %v", err)
			}
			o.now = o.now.Add(30 * time.Second)
			if err := o.receiver.Reply(t.Context(), p); !errors.Is(err, receipts.ErrTooEarly) {
				t.Errorf("30 s later: %v", err)
			}
			o.now = o.now.Add(30 * time.Second)
			if err := o.receiver.Reply(t.Context(), p); !errors.Is(err, receipts.ErrNoMessage) {
				t.Errorf("a minute later: %v", err)
			}
		})
	}
	o := newOrphans(t)
	old := channel.ProviderReply{Route: "main", ReplyID: "r", ProviderID: "FFFF", OccurredAt: o.at().Add(-time.Hour), ReceivedAt: o.at()}
	if err := o.receiver.Reply(t.Context(), old); !errors.Is(err, receipts.ErrNoMessage) {
		t.Errorf("an hour old: %v", err)
	}
}

// Ids of replies that look like addresses stay apart, and the same one stays the same.
func TestIDsOfRepliesThatHoldAddresses(t *testing.T) {
	o := newOrphans(t)
	id := o.sent("a", "BEEF")
	for _, reply := range []string{"3331234567", "3331234568", "<CAF1@mail.example>", "<CAF2@mail.example>", "3331234567", "<CAF1@mail.example>"} {
		p := channel.ProviderReply{Route: "main", ReplyID: reply, Reference: receipt.Reference(id, 1), Text: "yes", ReceivedAt: o.at()}
		if err := o.receiver.Reply(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.State(id).Replies; len(got) != 4 {
		t.Errorf("replies %q", got)
	}
	for _, e := range o.Store.All() {
		if bytes.Contains(e.Data, []byte("33312345")) && bytes.Contains([]byte(e.Type), []byte("Replied")) || bytes.Contains(e.Data, []byte("CAF1@")) {
			t.Errorf("%s holds an address", e.Type)
		}
	}
}
