package channeltest

import (
	"testing"

	"recapito/domain/notification"
	"recapito/domain/receipt"
)

func openReceipts(t *testing.T, open Open) (Peer, *Sink) {
	t.Helper()
	p, sink := openPeer(t, open)
	if !p.Receipts {
		t.Skip("no receipts here")
	}
	return p, sink
}

func testReceipt(t *testing.T, open Open) {
	p, sink := openReceipts(t, open)
	for i, want := range []receipt.Status{receipt.Delivered, receipt.Undelivered} {
		p.Behave(Behaviour{Undelivered: want == receipt.Undelivered})
		m := p.Message(i, 1)
		out := p.Channel.Send(within(t, patience), m, always, nil)
		if len(out.Units) != 1 || out.Units[0].Fate != notification.UnitAccepted {
			t.Fatalf("outcome %+v", out)
		}
		eventually(t, "the receipt comes", func() bool { return len(sink.receipts()) > i })
		got := sink.receipts()[i]
		if got.ProviderID != out.Units[0].ProviderID || got.Status != want || got.Route == "" || got.ReceivedAt.IsZero() {
			t.Errorf("receipt of %q: id %q status %v route %q", out.Units[0].ProviderID, got.ProviderID, got.Status, got.Route)
		}
		if got.Destination != m.Destination {
			t.Error("the receipt names another destination")
		}
		if (got.Code != "") != (want == receipt.Undelivered) {
			t.Errorf("status %v has code %q", want, got.Code)
		}
	}
}

// testReceiptKeptUntilTaken: a receipt is not acknowledged while the sink has it, nor
// after it refused it: it comes again.
func testReceiptKeptUntilTaken(t *testing.T, open Open) {
	p, sink := openReceipts(t, open)
	sink.refuseNext(2)
	out := p.Channel.Send(within(t, patience), p.Message(1, 1), always, nil)
	eventually(t, "the receipt comes again", func() bool { return len(sink.receipts()) == 1 })
	if n := sink.askedFor(); n != 3 {
		t.Errorf("refused twice, it came %d times", n)
	}
	if got := sink.receipts()[0]; got.ProviderID != out.Units[0].ProviderID {
		t.Errorf("receipt of %q", got.ProviderID)
	}
	if p.Cut == nil {
		return
	}
	gate := make(chan struct{})
	sink.mu.Lock()
	sink.gate = gate
	sink.mu.Unlock()
	p.Channel.Send(within(t, patience), p.Message(2, 1), always, nil)
	eventually(t, "the sink has the second", func() bool { return sink.askedFor() == 4 })
	p.Cut() // had it been acknowledged already, it would not come again
	sink.mu.Lock()
	sink.gate = nil
	sink.mu.Unlock()
	eventually(t, "the second comes again", func() bool { return sink.askedFor() >= 5 && len(sink.receipts()) >= 2 })
	close(gate)
}

func testReceiptTwice(t *testing.T, open Open) {
	p, sink := openReceipts(t, open)
	p.Behave(Behaviour{Duplicate: true})
	p.Channel.Send(within(t, patience), p.Message(1, 1), always, nil)
	eventually(t, "both come", func() bool { return len(sink.receipts()) == 2 })
	got := sink.receipts()
	if got[0].ProviderID != got[1].ProviderID || got[0].ProviderID == "" {
		t.Errorf("receipts of %q and %q", got[0].ProviderID, got[1].ProviderID)
	}
}
