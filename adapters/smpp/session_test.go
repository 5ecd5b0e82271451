package smpp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/smpp"
	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// sending is a Send that runs beside the test.
func sending(t *testing.T, r *smpp.Route, ctx context.Context, m channel.Message, late func(channel.Outcome)) <-chan channel.Outcome {
	t.Helper()
	got := make(chan channel.Outcome, 1)
	go func() { got <- r.Send(ctx, m, always, late) }()
	return got
}

func outcomeOf(t *testing.T, c <-chan channel.Outcome) channel.Outcome {
	t.Helper()
	select {
	case o := <-c:
		return o
	case <-time.After(patience):
		t.Fatal("no outcome")
		return channel.Outcome{}
	}
}

// TestReceiptUnderNumberOfSubmit: a deliver_sm that carries the sequence number of a
// submit_sm in flight is a receipt, not its answer.
func TestReceiptUnderNumberOfSubmit(t *testing.T) {
	s, sink := startSMSC(t), newSink()
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, Sink: sink})
	got := sending(t, r, within(t, patience), message(1, "hello"), nil)
	f := s.submit()
	f.receipt(t, f.frame.Seq, wire.ESMReceipt, "id:early stat:DELIVRD", nil)
	if a := s.answer(); a.ID != pdu.DeliverSMRespID || a.Seq != f.frame.Seq || a.Status != wire.StatusOK {
		t.Errorf("answer %+v", a)
	}
	if rs := sink.wait(t, 1); rs[0].ProviderID != "early" {
		t.Errorf("receipt of %q", rs[0].ProviderID)
	}
	// An answer of another kind under that number is not its answer either.
	f.raw(pdu.EnquireLinkRespID, 0, f.frame.Seq, nil)
	f.accept("mine")
	if out := outcomeOf(t, got); out.Units[0].Fate != notification.UnitAccepted || out.Units[0].ProviderID != "mine" {
		t.Errorf("outcome %+v", out)
	}
}

func TestStalledPeerIsLeftAndBoundAgain(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, KeepAlive: 30 * time.Millisecond, ResponseTimeout: 100 * time.Millisecond})
	s.setDeaf(true)
	begun := time.Now()
	out := r.Send(within(t, patience), message(1, "hello"), always, nil)
	if out.Units[0].Fate != notification.UnitLost {
		t.Errorf("outcome %+v", out)
	}
	if d := time.Since(begun); d > patience/2 {
		t.Errorf("told after %v", d)
	}
	eventually(t, "loss of the deaf session", func() bool { return r.State() != nil })
	s.setDeaf(false)
	eventually(t, "second bind", func() bool { return r.State() == nil && s.boundTimes() >= 2 })
}

func TestUnbindByProvider(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr})
	s.last().raw(pdu.UnbindID, 0, 99, nil)
	if a := s.answer(); a.ID != pdu.UnbindRespID || a.Seq != 99 {
		t.Errorf("answer %+v", a)
	}
	eventually(t, "second bind", func() bool { return s.boundTimes() == 2 && r.State() == nil })
}

// TestStrangePDUs: what the route does not serve is answered as the standard says,
// and the session lives on.
func TestStrangePDUs(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr})
	l := s.last()
	for i, c := range []struct {
		id     pdu.ID
		body   []byte
		want   pdu.ID
		status pdu.Status
	}{
		{0x00000777, []byte("what is this"), pdu.GenericNACKID, wire.StatusInvalidCommand},
		{pdu.QuerySMID, []byte{0, 0, 0, 0}, pdu.QuerySMRespID, wire.StatusInvalidCommand},
		{pdu.DataSMID, append(bytes.Repeat([]byte{0}, 10), "x"...), pdu.DataSMRespID, wire.StatusPermanent},
		{pdu.DeliverSMID, []byte{1, 2, 3}, pdu.DeliverSMRespID, wire.StatusPermanent},
		{pdu.DeliverSMID, make([]byte, wire.MaxFrame), pdu.DeliverSMRespID, wire.StatusInvalidLength},
		{pdu.EnquireLinkID, nil, pdu.EnquireLinkRespID, wire.StatusOK},
	} {
		seq := uint32(1000 + i)
		l.raw(pdu.AlertNotificationID, 0, seq, nil) // never answered
		l.raw(c.id, 0, seq, c.body)
		if a := s.answer(); a.ID != c.want || a.Seq != seq || a.Status != c.status {
			t.Errorf("to %08X under %d: %08X %d %s", uint32(c.id), seq, uint32(a.ID), a.Seq, wire.StatusCode(a.Status))
		}
	}
	if s.boundTimes() != 1 || r.State() != nil {
		t.Errorf("bound %d times, state %v", s.boundTimes(), r.State())
	}
	l.raw(pdu.DeliverSMID, 0, 1, make([]byte, wire.MaxSkip+1)) // this one is taken for garbage
	eventually(t, "second bind", func() bool { return s.boundTimes() == 2 && r.State() == nil })
}

func TestReceiptByDataSM(t *testing.T) {
	s, sink := startSMSC(t), newSink()
	startRoute(t, smpp.RouteOptions{Addr: s.addr, Sink: sink})
	body := []byte("\x00\x01\x01393330000001\x00\x05\x00Recapito\x00\x04\x00\x00")
	body = append(body, "\x00\x1e\x00\x04abc\x00\x04\x27\x00\x01\x02"...)
	s.last().raw(pdu.DataSMID, 0, 5, body)
	if a := s.answer(); a.ID != pdu.DataSMRespID || a.Status != wire.StatusOK {
		t.Errorf("answer %+v", a)
	}
	if got := sink.wait(t, 1)[0]; got.ProviderID != "abc" || got.Status != receipt.Delivered {
		t.Errorf("receipt of %q, status %v", got.ProviderID, got.Status)
	}
}

// TestMessageOfAPerson: a text to us is no receipt, whatever it says.
func TestMessageOfAPerson(t *testing.T) {
	s, sink := startSMSC(t), newSink()
	startRoute(t, smpp.RouteOptions{Addr: s.addr, Sink: sink})
	s.last().receipt(t, 1, 0, "id:123 sub:001 dlvrd:001 stat:DELIVRD err:000", nil)
	if a := s.answer(); a.Status != wire.StatusPermanent {
		t.Errorf("answer %s", wire.StatusCode(a.Status))
	}
	if n := len(sink.receipts()); n != 0 {
		t.Errorf("%d receipts", n)
	}
}

func TestReceiptIsAcknowledgedAfterTheSink(t *testing.T) {
	s, sink := startSMSC(t), newSink()
	sink.block = make(chan struct{})
	startRoute(t, smpp.RouteOptions{Addr: s.addr, Sink: sink, ReceiptLimit: 2})
	for seq := range uint32(3) {
		s.last().receipt(t, seq+1, wire.ESMReceipt, "id:a stat:DELIVRD", nil)
	}
	// Two are in the sink's hands; the third is over the limit.
	if a := s.answer(); a.Seq != 3 || a.Status != wire.StatusTemporary {
		t.Errorf("answer to %d: %s", a.Seq, wire.StatusCode(a.Status))
	}
	if n := len(s.answers); n != 0 {
		t.Errorf("%d receipts were acknowledged before the sink took them", n)
	}
	sink.mu.Lock()
	sink.refuse = 1
	sink.mu.Unlock()
	close(sink.block)
	statuses := map[pdu.Status]int{s.answer().Status: 1}
	statuses[s.answer().Status]++
	if diff := cmp.Diff(map[pdu.Status]int{wire.StatusOK: 1, wire.StatusTemporary: 1}, statuses); diff != "" {
		t.Error(diff)
	}
}

func TestSinkThatHangsIsGivenUp(t *testing.T) {
	s, sink := startSMSC(t), newSink()
	sink.block = make(chan struct{})
	startRoute(t, smpp.RouteOptions{Addr: s.addr, Sink: sink, ReceiptTimeout: 20 * time.Millisecond})
	s.last().receipt(t, 1, wire.ESMReceipt, "id:a stat:DELIVRD", nil)
	if a := s.answer(); a.Status != wire.StatusTemporary {
		t.Errorf("answer %s", wire.StatusCode(a.Status))
	}
}

func TestBindRefused(t *testing.T) {
	s := startSMSC(t)
	s.bindStatus = wire.StatusInvalidPassword
	var logs bytes.Buffer
	r := routeOf(t, smpp.RouteOptions{Addr: s.addr, SystemID: "us", Password: "geheim", Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	stop := runUntilEnd(t, r.Run)
	eventually(t, "reason", func() bool {
		err := r.State()
		return errors.Is(err, channel.ErrRouteDown) && strings.Contains(err.Error(), "0x0000000E")
	})
	if _, err := r.Acquire(within(t, time.Second), 1); !errors.Is(err, channel.ErrRouteDown) {
		t.Errorf("acquire: %v", err)
	}
	stop()
	if strings.Contains(logs.String(), "geheim") || logs.Len() == 0 {
		t.Error("the log holds the password, or nothing")
	}
}

// TestSubmitFields: what stands in a submit_sm.
func TestSubmitFields(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, SendReference: true})
	m := message(1, "Ciao [perché] €")
	m.ValidUntil = time.Date(2026, 12, 1, 9, 30, 5, 0, time.FixedZone("", 3600))
	got := sending(t, r, within(t, patience), m, nil)
	f := s.submit()
	f.accept("1")
	outcomeOf(t, got)
	if string(f.fields.Bytes(pdufield.ShortMessage)) != "Ciao \x1b<perch\x05\x1b> \x1be" {
		t.Errorf("text %x", f.fields.Bytes(pdufield.ShortMessage))
	}
	for name, want := range map[pdufield.Name]byte{
		pdufield.SourceAddrTON: 5, pdufield.SourceAddrNPI: 0, pdufield.DestAddrTON: 1, pdufield.DestAddrNPI: 1,
		pdufield.RegisteredDelivery: 1, pdufield.DataCoding: 0, pdufield.ESMClass: 0,
	} {
		if b := f.fields.Byte(name); b != want {
			t.Errorf("%s is %d, not %d", name, b, want)
		}
	}
	if f.fields.Text(pdufield.DestinationAddr) != strings.TrimPrefix(m.Destination, "+") || f.fields.Text(pdufield.SourceAddr) != m.Sender {
		t.Error("wrong addresses")
	}
	if v := f.fields.Text(pdufield.ValidityPeriod); v != "261201083005000+" {
		t.Errorf("valid until %q", v)
	}
	if f.fields.TLVText(wire.TagReference) != m.Reference {
		t.Errorf("reference %q", f.fields.TLVText(wire.TagReference))
	}

	m.Sender, m.ValidUntil = "+393200000000", time.Time{}
	got = sending(t, r, within(t, patience), m, nil)
	f = s.submit()
	f.accept("2")
	outcomeOf(t, got)
	if f.fields.Byte(pdufield.SourceAddrTON) != 1 || f.fields.Text(pdufield.SourceAddr) != "393200000000" || f.fields.Text(pdufield.ValidityPeriod) != "" {
		t.Error("wrong sender or validity")
	}
}

func TestInvalidAddresses(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr})
	for _, c := range []struct{ sender, destination, code string }{
		{"", "+393330000001", "invalid_sender"},
		{"TwelveLetters", "+393330000001", "invalid_sender"},
		{"Città", "+393330000001", "invalid_sender"},
		{"a\x00b", "+393330000001", "invalid_sender"},
		{"Recapito", "", "invalid_destination"},
		{"Recapito", "+39 333", "invalid_destination"},
		{"Recapito", "+3933300000011111111", "invalid_destination"},
	} {
		m := message(1, "hello")
		m.Sender, m.Destination = c.sender, c.destination
		out := r.Send(within(t, patience), m, always, nil)
		if len(out.Units) != 1 || out.Units[0].Fate != notification.UnitRefused || out.Units[0].Code != c.code || out.Units[0].Transient {
			t.Errorf("%s: outcome %+v", c.code, out)
		}
	}
	if n := len(s.submits); n != 0 {
		t.Errorf("%d went out", n)
	}
}

func TestReceiptTLVsFirst(t *testing.T) {
	s, sink := startSMSC(t), newSink()
	startRoute(t, smpp.RouteOptions{Addr: s.addr, Sink: sink})
	s.last().receipt(t, 1, wire.ESMReceipt, "id:text stat:DELIVRD err:005 done date:2612010930", map[pdutlv.Tag]any{
		pdutlv.TagReceiptedMessageID: "tlv\x00", pdutlv.TagMessageStateOption: wire.StateExpired, pdutlv.TagNetworkErrorCode: []byte{3, 1, 2},
		wire.TagReference: "not asked for",
	})
	got := sink.wait(t, 1)[0]
	got.ReceivedAt = time.Time{}
	want := channel.ProviderReceipt{
		Route: "test", ProviderID: "tlv", Destination: "+393330000001", Sender: "Recapito",
		Status: receipt.Undelivered, Code: "3/258", OccurredAt: time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC), OccurredWithin: time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPartsOfSeveralSends: the parts of a text belong together (one reference in their
// headers), whichever call sends them.
func TestPartsOfSeveralSends(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr})
	m := message(1, strings.Repeat("x", 153*3))
	var headers [][]byte
	for _, units := range [][]int{{1, 2}, {3}} {
		m.Units = units
		got := sending(t, r, within(t, patience), m, nil)
		for range units {
			f := s.submit()
			headers = append(headers, f.fields.Bytes(pdufield.ShortMessage)[:6])
			f.accept("1")
		}
		outcomeOf(t, got)
	}
	reference := headers[0][3]
	for i, h := range headers {
		if want := []byte{5, 0, 3, reference, 3, byte(i + 1)}; !bytes.Equal(h, want) {
			t.Errorf("part %d has the header %v, want %v", i+1, h, want)
		}
	}
}
