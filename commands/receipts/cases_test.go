package receipts_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/receipts"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// sent claims the first attempt of a new notification; the provider takes it under an id,
// which is registered as far as it can be.
func (o *orphans) sent(key, providerID string) string {
	o.T.Helper()
	id := o.dispatched(key)
	o.outcome(id, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: providerID, At: o.at()})
	if providerID != "" {
		o.register(id, providerID)
	}
	return id
}

// says no number in clear stands in any event.
func (o *orphans) holdsNoNumber() {
	o.T.Helper()
	for _, e := range o.Store.All() {
		if strings.HasPrefix(e.Stream, receipt.StreamPrefix) && strings.Contains(e.Stream+string(e.Data)+string(e.Metadata), "3331234567") {
			o.T.Errorf("%s holds the destination", e.Type)
		}
	}
}

// What providers do to the addresses of their receipts: by the id they are matched all
// the same, and an address of another person contradicts.
func TestAddressesOfReceipts(t *testing.T) {
	if commandstest.Number != "+393331234567" {
		t.Fatal("the cases are about another number")
	}
	for _, c := range []struct {
		name, destination, sender string
		matched                   bool
	}{
		{"as sent", "+393331234567", "Studio", true},
		{"without the plus", "393331234567", "Studio", true},
		{"masked", "39333***4567", "Studio", true},
		{"masked, with the plus", "+39333XXX4567", "Studio", true},
		{"partial", "4567", "Studio", true},
		{"national", "3331234567", "Studio", true},
		{"national, declared international", "+3331234567", "Studio", true},
		{"absent", "", "", true},
		{"not swapped", "Studio", "+393331234567", true},
		{"not swapped, a numeric sender", "+390612345678", "+393331234567", true},
		{"not swapped, a numeric sender, masked", "+390612345678", "39333***4567", true},
		{"swapped, a numeric sender", "+393331234567", "+390612345678", true},
		{"a short code as sender", "+393331234567", "40404", true},
		{"another's, complete", commandstest.Number2, "Studio", false},
		{"another's, a short code as sender", commandstest.Number2, "40404", false},
		{"another's, not known to be complete", commandstest.Number2[1:], "Studio", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrphans(t)
			id := o.sent("a", "BEEF")
			o.receive(func(r *channel.ProviderReceipt) { r.Destination, r.Sender = c.destination, c.sender })
			fits := o.observe()
			if len(fits) > 0 {
				t.Error("it is matched by fit")
			}
			if got := o.matched(receipt.ByID); c.matched != (len(got) == 1 && got[0] == id) {
				t.Errorf("matched by id to %d notifications", len(got))
			}
			o.holdsNoNumber()
		})
	}
}

// Some providers build their ids, and codes, from the number. Their receipts find the message,
// and where they come first and do not hold the number, they are matched by it or not at all.
func TestIDsThatHoldTheNumber(t *testing.T) {
	for _, raw := range []string{"393331234567-77", "3331234567-77"} {
		for _, c := range []struct {
			destination string
			early       bool
		}{{commandstest.Number, false}, {commandstest.Number, true}, {"", false}, {"39333****567", false}, {"Studio", false}} {
			o := newOrphans(t)
			token, err := o.Persons.DestinationToken(t.Context(), "main", commands.IDForm(raw), o.at())
			if err != nil {
				t.Fatal(err)
			}
			stored := commands.HashedID(token)
			id := ""
			if !c.early {
				id = o.sent("a", stored)
			}
			o.receive(func(r *channel.ProviderReceipt) {
				r.ProviderID, r.Destination, r.Code = raw, c.destination, "MSISDN-393331234567-absent"
			})
			o.observe()
			if c.early {
				id = o.sent("a", stored)
				o.observe()
			}
			if got := o.matched(receipt.ByID); len(got) != 1 || got[0] != id {
				t.Errorf("%s to %q: %d matches", raw, c.destination, len(got))
			}
			o.holdsNoNumber()
		}
	}
}

// An id may hold our own sender, which a receipt gives as such or as the destination.
func TestIDsThatHoldOurSender(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		o := newOrphans(t)
		id := o.sent("a", "390612345678-001")
		o.receive(func(r *channel.ProviderReceipt) {
			r.ProviderID, r.Destination, r.Sender = "390612345678-001", commandstest.Number, "390612345678"
			if swapped {
				r.Destination, r.Sender = r.Sender, r.Destination
			}
		})
		o.observe()
		if got := o.matched(receipt.ByID); len(got) != 1 || got[0] != id {
			t.Errorf("swapped %v: %d matches", swapped, len(got))
		}
	}
}

// A reference to a message of another route shows nothing: its callback could confirm what
// it never sent.
func TestAReferenceToAMessageOfAnotherRoute(t *testing.T) {
	o := newOrphans(t)
	id := o.sent("a", "BEEF")
	both := o.N.Receiving()
	other := both.Routes[0]
	other.Name = "other"
	both.Routes = append(slices.Clone(both.Routes), other)
	for _, route := range []string{"main", "other"} {
		if err := receipts.NewReceiver(both).Receive(t.Context(), channel.ProviderReceipt{
			Route: route, ProviderID: "CAFE-" + route, Reference: receipt.Reference(id, 1), Unit: 1, Status: receipt.Delivered, ReceivedAt: o.at(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	var referred []string
	for _, e := range o.Store.All() {
		if e.Type == "ReceiptRecorded" && strings.Contains(string(e.Data), id) {
			referred = append(referred, e.Stream)
		}
	}
	if len(referred) != 1 || !strings.HasPrefix(referred[0], "receipt-main-") {
		t.Errorf("the message is named on %q", referred)
	}
}

// A time that no JSON can hold costs no receipt.
func TestTimesThatCannotBeStored(t *testing.T) {
	for _, occurred := range []time.Time{
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), time.Date(0, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)),
	} {
		o := newOrphans(t)
		id := o.sent("a", "BEEF")
		o.receive(func(r *channel.ProviderReceipt) { r.OccurredAt = occurred })
		o.observe()
		if got := o.matched(receipt.ByID); len(got) != 1 || got[0] != id {
			t.Errorf("%v: %d matches", occurred, len(got))
		}
		reply := channel.ProviderReply{Route: "main", ReplyID: "r", Reference: receipt.Reference(id, 1), Text: "yes", OccurredAt: occurred, ReceivedAt: o.at()}
		if err := o.receiver.Reply(t.Context(), reply); err != nil {
			t.Errorf("a reply of %v: %v", occurred, err)
		}
	}
}

// Ids that are an address, whoever's, are kept as a token, and match all the same, with and
// without the destination, before and after the submission.
func TestIDsThatAreAddresses(t *testing.T) {
	for _, raw := range []string{commandstest.Number, "%2B393331234567", "anna.3331234567@example.org", "mid-anna%403331234567.example.org", "%zz%252B393331234567", "anna＠3331234567.example.org"} {
		for _, destination := range []string{"", commandstest.Number} {
			for _, early := range []bool{false, true} {
				o := newOrphans(t)
				token, err := o.Persons.DestinationToken(t.Context(), "main", commands.IDForm(raw), o.at())
				if err != nil {
					t.Fatal(err)
				}
				id := ""
				if !early {
					id = o.sent("a", commands.HashedID(token))
				}
				o.receive(func(r *channel.ProviderReceipt) { r.ProviderID, r.Destination = raw, destination })
				o.observe()
				if early {
					id = o.sent("a", commands.HashedID(token))
					o.observe()
				}
				if got := o.matched(receipt.ByID); len(got) != 1 || got[0] != id {
					t.Errorf("%s, early %v: %d matches", raw, early, len(got))
				}
				o.holdsNoNumber()
			}
		}
	}
}

// The provider gave no id: its receipt is matched if it fits that attempt and no other.
func TestSentUnderNoID(t *testing.T) {
	o := newOrphans(t)
	id := o.sent("a", "")
	o.receive(nil)
	if fits := o.observe(); len(fits) != 1 || fits[0] != id {
		t.Errorf("%d fits", len(fits))
	}
	o = newOrphans(t)
	o.sent("a", "")
	o.sent("b", "")
	o.receive(nil)
	if fits := o.observe(); len(fits) != 0 {
		t.Errorf("%d fits, and either may be meant", len(fits))
	}
}

// A receipt waits while another attempt to its destination may still register: the id
// may be that one's too.
func TestAReceiptWaitsForWhatMayStillRegister(t *testing.T) {
	for name, settle := range map[string]func(o *orphans, other string){
		"until it is registered": func(o *orphans, other string) {
			o.outcome(other, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "1", At: o.at()})
			if o.observe(); len(o.matched(receipt.ByID)) != 0 {
				o.T.Error("its id is known, and not registered yet")
			}
			o.register(other, "1")
		},
		"until it is refused": func(o *orphans, other string) { o.outcome(other, refusedPart(o)) },
		"until its outcome is unknown": func(o *orphans, other string) {
			o.outcome(other, notification.UnitOutcome{Fate: notification.UnitLost, At: o.at()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrphans(t)
			id := o.sent("a", "BEEF")
			other := o.dispatched("b")
			o.receive(nil)
			if o.observe(); len(o.matched(receipt.ByID)) != 0 {
				t.Fatal("it does not wait")
			}
			if _, held := o.matcher.Open(); held != 1 {
				t.Errorf("%d receipts wait", held)
			}
			settle(o, other)
			o.observe()
			if got := o.matched(receipt.ByID); len(got) != 1 || got[0] != id {
				t.Errorf("%d matches", len(got))
			}
			if _, held := o.matcher.Open(); held != 0 {
				t.Errorf("%d receipts wait still", held)
			}
		})
	}
	t.Run("one that was dispatched after it does not count", func(t *testing.T) {
		o := newOrphans(t)
		o.sent("a", "BEEF")
		at := o.at()
		o.now = o.now.Add(time.Minute)
		o.dispatched("b")
		o.receive(func(r *channel.ProviderReceipt) { r.ReceivedAt = at })
		if o.observe(); len(o.matched(receipt.ByID)) != 1 {
			t.Error("it waits")
		}
	})
}

// The provider gives an id again within the window: from then on its route's receipts
// need an equal address, also for a matcher that begins at the horizon.
func TestIDsThatComeBackOnARoute(t *testing.T) {
	o := newOrphans(t)
	first := o.sent("a", "BEEF")
	o.now = o.now.Add(time.Hour)
	second := o.dispatched("b")
	o.outcome(second, notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: "BEEF", At: o.at()})
	o.registerTo(second, "BEEF", commandstest.Number2)
	third := o.sent("c", "CAFE")
	o.observe()
	if got := o.matcher.Reused(); len(got) != 1 || got[0] != "main" {
		t.Fatalf("routes whose ids come back: %v", got)
	}
	for range 2 {
		o.receive(func(r *channel.ProviderReceipt) { r.ProviderID, r.Destination = "CAFE", "39333***4567" })
		o.receive(func(r *channel.ProviderReceipt) { r.Destination = "39333***4567" })
		if o.observe(); len(o.matched(receipt.ByID)) != 0 {
			t.Fatal("matched without an equal address")
		}
		reused := o.matcher.Reused()
		from := o.matcher.Horizon(o.Store.All()[len(o.Store.All())-1].Position)
		o.matcher = receipts.NewMatcher(o.N.Receiving())
		o.matcher.Knows(reused)
		o.shown = int(from) + 1
		o.now = o.now.Add(time.Second)
	}
	o.receive(nil)
	o.receive(func(r *channel.ProviderReceipt) { r.Destination = commandstest.Number2 })
	o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = "CAFE" })
	o.observe()
	if got := o.matched(receipt.ByID); len(got) != 3 || got[0] != first || got[1] != second || got[2] != third {
		t.Errorf("%d matches", len(got))
	}
}

// Where the provider echoes our reference, no matcher is needed.
func TestReferencesAreMatchedAtOnce(t *testing.T) {
	o := newOrphans(t)
	id := o.dispatched("a")
	o.receive(func(r *channel.ProviderReceipt) { r.Reference, r.Unit = receipt.Reference(id, 1), 1 })
	if got := o.matched(receipt.ByReference); len(got) != 1 || got[0] != id {
		t.Errorf("%d matches", len(got))
	}
}

// Without ids, receipts of several messages to one person are told apart by the reference.
func TestReferencesWithoutIDs(t *testing.T) {
	o := newOrphans(t)
	first, second := o.dispatched("a"), o.dispatched("b")
	done := o.at()
	for _, id := range []string{first, second, first} {
		o.receive(func(r *channel.ProviderReceipt) {
			r.ProviderID, r.Reference, r.Unit, r.OccurredAt = "", receipt.Reference(id, 1), 1, done
		})
	}
	if got := o.matched(receipt.ByReference); len(got) != 2 || got[0] != first || got[1] != second {
		t.Errorf("%d matches", len(got))
	}
}

// A submission is open for the route's own window; the same report after it is a new one.
func TestTheWindowIsTheRoutes(t *testing.T) {
	o := newOrphans(t)
	o.sent("a", "BEEF")
	at := o.now
	same := func(r *channel.ProviderReceipt) { r.OccurredAt = at }
	o.receive(same)
	o.observe()
	o.now = at.Add(receipt.Window)
	o.receive(same)
	if got := o.Types("receipt-main-48879"); strings.Count(got, "ReceiptRecorded") != 1 {
		t.Errorf("a repeat is recorded: %s", got)
	}
	o.now = at.Add(receipt.Window + time.Second)
	o.receive(func(r *channel.ProviderReceipt) { same(r); r.Destination = "" })
	o.observe()
	if got := o.Types("receipt-main-48879"); strings.Count(got, "ReceiptRecorded") != 2 || strings.Count(got, "ReceiptMatched") != 1 {
		t.Errorf("events %s", got)
	}
}

// Receipts that match nothing within a minute are counted by route and reason, once.
func TestUnmatchedReceiptsAreCounted(t *testing.T) {
	o := newOrphans(t)
	o.sent("a", "BEEF")
	o.dispatched("b")
	o.receive(nil)                                                                                          // waits
	o.receive(func(r *channel.ProviderReceipt) { r.ProviderID = "1" })                                      // waits too
	o.receive(func(r *channel.ProviderReceipt) { r.Destination = commandstest.Number2 })                    // contradicts
	o.receive(func(r *channel.ProviderReceipt) { r.ProviderID, r.Destination = "2", "" })                   // no submission
	o.receive(func(r *channel.ProviderReceipt) { r.ProviderID, r.Destination, r.Code = "BEEF", "", "001" }) // matched
	o.observe()
	if got := o.matcher.Unmatched(); len(got) != 0 {
		t.Errorf("counted before a minute: %v", got)
	}
	o.now = o.now.Add(time.Minute)
	for range 2 {
		got := o.matcher.Unmatched()
		for reason, n := range map[receipt.Reason]uint64{"waits": 2, receipt.Contradicts: 1, receipt.NoSubmission: 1} {
			if got[receipts.Unmatched{Route: "main", Reason: reason}] != n || len(got) != 3 {
				t.Errorf("%s: %v, want %d", reason, got, n)
			}
		}
	}
}
