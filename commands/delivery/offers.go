package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Limits of offers. They are small: an offer spares an idle system its wait for the queue,
// and in a busy one the queue's order of priorities must stand.
const (
	offerHands = 8
	offerQueue = 256
	offerLimit = 15 * time.Second // for one attempt to be claimed
)

// Offers hands due attempts to a worker of this process without the queue. An offer is
// no claim: the worker takes it as it takes a message of the queue. An offer is dropped
// where too many wait, where it fails, and when Run ends: the queue has the attempt too,
// and its watchdog after that.
type Offers struct {
	handle func(context.Context, DispatchMessage) error
	log    *slog.Logger
	wait   chan DispatchMessage
}

// NewOffers returns offers to a worker.
func NewOffers(w *Worker) *Offers {
	return &Offers{handle: w.Handle, log: w.c.Log, wait: make(chan DispatchMessage, offerQueue)}
}

// Offer offers an attempt. It never waits.
func (o *Offers) Offer(tenant, notification string, attempt int) {
	select {
	case o.wait <- DispatchMessage{Tenant: tenant, Notification: notification, Attempt: attempt}:
	default:
	}
}

// Run hands offers over until ctx ends, and finishes those in hand. It comes before the
// worker's Drain.
func (o *Offers) Run(ctx context.Context) {
	var hands sync.WaitGroup
	for range offerHands {
		hands.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case d := <-o.wait:
					o.take(ctx, d)
				}
			}
		})
	}
	hands.Wait()
}

// take hands one attempt over. A claim that has begun is not cut short by a shutdown.
func (o *Offers) take(ctx context.Context, d DispatchMessage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offerLimit)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			o.log.Error("an offered attempt panicked; the queue has it too", "notification", d.Notification, "attempt", d.Attempt, "panic", fmt.Sprintf("%T", v))
		}
	}()
	if err := o.handle(ctx, d); err != nil {
		o.log.Debug("an offered attempt was not taken; the queue has it too", "notification", d.Notification, "attempt", d.Attempt, "error", err)
	}
}
