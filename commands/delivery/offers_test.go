package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/delivery"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// handOver runs offers to a worker of the bench until the returned func.
func handOver(b *commandstest.Bench, w *delivery.Worker) (stop func()) {
	offers := delivery.NewOffers(w)
	b.N.PlanAtOnce(b.N.Planner(), offers)
	ctx, cancel := context.WithCancel(b.T.Context())
	var running sync.WaitGroup
	running.Go(func() { offers.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// deadQueue loses every message.
type deadQueue struct{ dispatched int }

func (q *deadQueue) Dispatch(context.Context, delivery.DispatchMessage, string, string) error {
	q.dispatched++
	return errors.New("the bus is away")
}

// TestOfferedWithADeadQueue: what is offered is sent without the queue, and its watchdog is
// armed all the same.
func TestOfferedWithADeadQueue(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		stop := handOver(b, w)
		defer stop()
		queue := &deadQueue{}
		manager := delivery.NewManager(b.N.Delivery(b.Deadlines, queue))
		defer manager.Close()
		a, err := b.N.Submit(t.Context(), commandstest.Origin, "a", commandstest.Appointment())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stream := notification.Stream(a.ID)
		if got := b.Types(stream); got != "Requested Enriched Scheduled Dispatched Sent" {
			t.Errorf("events %s", got)
		}
		for _, e := range b.Store.Stream(stream) {
			if err := manager.OnEvent(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.Wire.Sent) != 1 || queue.dispatched != 1 {
			t.Errorf("sent %d times, dispatched %d times", len(b.Wire.Sent), queue.dispatched)
		}
		if len(b.Deadlines.SetDeadlines) == 0 {
			t.Error("nothing watches over the attempt")
		}
		if got := b.Types(stream); got != "Requested Enriched Scheduled Dispatched Sent" {
			t.Errorf("the process manager planned again: %s", got)
		}
	})
}

// TestOfferedAndQueued: an attempt that comes both ways at once is sent once.
func TestOfferedAndQueued(t *testing.T) {
	const notifications = 300
	b := commandstest.New(t)
	w, other := newWorker(b), delivery.NewWorker(b.Another().Delivery(b.Deadlines, nil))
	sent := map[string]int{}
	b.Wire.Answer = func(_ context.Context, m channel.Message, _ func() bool, _ func(channel.Outcome)) channel.Outcome {
		b.Wire.Mu.Lock()
		defer b.Wire.Mu.Unlock()
		sent[m.Notification]++
		return commandstest.Took("id-" + m.Notification)
	}
	stop := handOver(b, w)
	var queued sync.WaitGroup
	for i := range notifications {
		a, err := b.N.Submit(t.Context(), commandstest.Origin, fmt.Sprintf("key-%d", i), commandstest.Appointment())
		if err != nil {
			t.Fatal(err)
		}
		for _, worker := range []*delivery.Worker{w, other} {
			queued.Go(func() {
				if err := worker.Handle(t.Context(), dispatch(a.ID)); err != nil {
					t.Errorf("from the queue: %v", err)
				}
			})
		}
	}
	queued.Wait()
	stop()
	drained(t, w)
	drained(t, other)
	if len(sent) != notifications {
		t.Errorf("%d of %d were sent", len(sent), notifications)
	}
	for id, n := range sent {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
}

// TestOffersAreDropped: nobody waits for a place among the offers, and one that fails or
// panics harms nothing.
func TestOffersAreDropped(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		offers := delivery.NewOffers(w)
		for i := range 10 * delivery.OfferQueue {
			offers.Offer(commandstest.Tenant, fmt.Sprintf("n-%d", i), 1)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { offers.Run(ctx) })
		synctest.Wait() // none of them is there
		id := b.Submitted("a")
		b.Wire.AcquireErr = event.ErrUnavailable
		offers.Offer(commandstest.Tenant, id, 1)
		synctest.Wait()
		if got := b.Types(notification.Stream(id)); got != "Requested Enriched Scheduled" {
			t.Errorf("events %s", got)
		}
		b.Wire.AcquireErr = nil
		offers.Offer(commandstest.Tenant, id, 1)
		synctest.Wait()
		if len(b.Wire.Sent) != 1 {
			t.Errorf("sent %d times", len(b.Wire.Sent))
		}
		cancel()
		running.Wait()
	})
}
