package smpp

import (
	"context"
	"sync"

	"github.com/fiorix/go-smpp/smpp/pdu"

	"recapito/adapters/smpp/wire"
)

// handle takes what the provider delivers. It runs on the session's reader, so that
// the sink's work goes on beside it.
func (r *Route) handle(ctx context.Context, running *sync.WaitGroup, b *bind, f wire.Frame) bool {
	if f.ID != pdu.DeliverSMID && f.ID != pdu.DataSMID {
		return false
	}
	fields, err := f.Decode()
	if err != nil {
		r.o.Logger.Warn("malformed delivery refused", "route", r.o.Name, "bytes", len(f.Body))
		b.session.Respond(f, wire.StatusPermanent, nil)
		return true
	}
	if !isReceipt(fields) {
		r.o.Logger.Warn("delivery that is no receipt refused", "route", r.o.Name)
		b.session.Respond(f, wire.StatusPermanent, nil)
		return true
	}
	select {
	case b.receipts <- struct{}{}:
	default:
		b.session.Respond(f, wire.StatusTemporary, nil)
		return true
	}
	receipt := r.parseReceipt(fields)
	running.Go(func() {
		defer func() { <-b.receipts }()
		ctx, cancel := context.WithTimeout(ctx, r.o.ReceiptTimeout)
		defer cancel()
		if err := r.o.Sink.Receive(ctx, receipt); err != nil {
			r.o.Logger.Warn("receipt refused, the provider will send it again", "route", r.o.Name, "error", err)
			b.session.Respond(f, wire.StatusTemporary, nil)
			return
		}
		b.session.Respond(f, wire.StatusOK, nil)
	})
	return true
}
