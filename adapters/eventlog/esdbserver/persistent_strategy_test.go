package esdbserver_test

import (
	"fmt"
	"testing"
	"time"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

func TestDispatchToSingleStaysWithOneWhileItHasRoom(t *testing.T) {
	f := newFixture(t)
	f.create(onStream("s", standard(strategy(persistent.DispatchToSingle))))
	a, b := f.connect("s", 2), f.connect("s", 2)
	f.fill("s", types(3)...)
	got := a.want("s@0", "s@1")
	b.want("s@2") // a was full; now it is b's turn
	a.ack(got...)
	f.eventually("a is free", "s", func(i *subscriptions.SubscriptionInfo) bool { return i.GetTotalInFlightMessages() == 1 })
	f.fill("s", "A", "A")
	b.want("s@3")
	a.want("s@4")
}

func TestRoundRobinPassesOverWhoIsFull(t *testing.T) {
	f := newFixture(t)
	f.create(onStream("s", standard()))
	a, b := f.connect("s", 1), f.connect("s", 3)
	f.fill("s", types(4)...)
	a.want("s@0")
	b.want("s@1", "s@2", "s@3")
}

// sources are what a consumer was given, by stream of the event.
type pinnedTo map[string]*consumer

// note reports whether the stream has been with that consumer only.
func (p pinnedTo) note(t *testing.T, c *consumer, stream string) {
	t.Helper()
	if before, ok := p[stream]; ok && before != c {
		t.Errorf("%s went to another consumer", stream)
	}
	p[stream] = c
}

func TestPinnedKeepsAStreamWithOneConsumer(t *testing.T) {
	f := newFixture(t)
	const streams = 40
	fill := func() {
		for i := range streams {
			f.fill(fmt.Sprintf("x-%d", i), "A")
		}
	}
	f.create(onStream("$ce-x", standard(strategy(persistent.Pinned), func(s *groupSettings) { s.ResolveLinks = true })))
	a := f.connect("$ce-x", 1000)
	fill()
	first, _ := a.next(streams)
	b := f.connect("$ce-x", 1000) // takes half of the streams, when a is done with them
	fill()
	b.quiet()
	if f.info("$ce-x").GetConnections()[1].GetTotalItems() != 0 {
		t.Error("streams went to b while a had events of them")
	}
	a.ack(first...)
	to := pinnedTo{}
	counts := map[*consumer]int{}
	take := func(n int) map[*consumer][]*subscriptions.ReadResp_ReadEvent {
		taken := map[*consumer][]*subscriptions.ReadResp_ReadEvent{}
		for deadline := time.After(patience); n > 0; n-- {
			var e *subscriptions.ReadResp_ReadEvent
			var c *consumer
			select {
			case e = <-a.got:
				c = a
			case e = <-b.got:
				c = b
			case <-deadline:
				t.Fatalf("%d did not come", n)
			}
			if got, want := string(e.GetLink().GetStreamIdentifier().GetStreamName()), "$ce-x"; got != want {
				t.Fatalf("a link of %q", got)
			}
			to.note(t, c, string(e.GetEvent().GetStreamIdentifier().GetStreamName()))
			counts[c]++
			taken[c] = append(taken[c], e)
		}
		return taken
	}
	for c, events := range take(streams) {
		c.ack(events...)
	}
	fill()
	for c, events := range take(streams) {
		c.ack(events...)
	}
	if counts[a] < streams/2 || counts[b] < streams/2 { // of twice as many
		t.Errorf("a has %d, b %d events", counts[a], counts[b])
	}
	// When one leaves, the other has all.
	a.leave(f, "$ce-x", 1)
	fill()
	if _, got := b.next(streams); len(got) != streams {
		t.Errorf("b has %q", got)
	}
}

func TestPinnedByCorrelation(t *testing.T) {
	f := newFixture(t)
	f.create(onAll(standard(strategy(persistent.PinnedByCorrelation), func(s *groupSettings) { s.MaxCheckpointCount = 1000 })))
	consumers := []*consumer{f.connect(persistent.All, 1000), f.connect(persistent.All, 1000)}
	const n, correlations = 60, 15
	for i := range n {
		e := event.New{ID: uuid.NewString(), Type: "A", Data: []byte(`{}`), Metadata: fmt.Appendf(nil, `{"x":1,"$correlationId":"c%d"}`, i%correlations)}
		if _, err := f.log.Append(f.ctx, fmt.Sprintf("s-%d", i), event.Any(), []event.New{e}); err != nil {
			t.Fatal(err)
		}
	}
	to, total := pinnedTo{}, 0
	counts := make([]int, len(consumers))
	for deadline := time.After(patience); total < n; {
		var e *subscriptions.ReadResp_ReadEvent
		i := 0
		select {
		case e = <-consumers[0].got:
		case e = <-consumers[1].got:
			i = 1
		case <-deadline:
			t.Fatalf("%d of %d came", total, n)
		}
		if c := string(e.GetEvent().GetCustomMetadata()); c != "" && e.GetEvent().GetMetadata()["type"] == "A" {
			to.note(t, consumers[i], c)
			counts[i]++
			total++
		}
	}
	if counts[0] == 0 || counts[1] == 0 {
		t.Errorf("they have %v", counts)
	}
}

// A message that is given back goes before those not sent yet, and after those of lower
// places that were given back.
func TestRetriedEventsComeFirstInOrder(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(6)...)
	f.create(onStream("s", standard()))
	c := f.connect("s", 3)
	got := c.want(words("s", 0, 3)...)
	c.call.CloseSend() // says no more: it leaves
	for range c.got {
	}
	f.eventually("it left", "s", func(i *subscriptions.SubscriptionInfo) bool {
		return len(i.GetConnections()) == 0 && i.GetRetryBufferCount() == 3
	})
	c = f.connect("s", 6)
	c.want("s@0 again 1", "s@1 again 1", "s@2 again 1", "s@3", "s@4", "s@5")
	c.ack(got...) // the ids are the same
	f.eventually("done", "s", func(i *subscriptions.SubscriptionInfo) bool { return i.GetLastCheckpointedEventPosition() == "2" })
	if diff := cmp.Diff(int32(3), f.info("s").GetTotalInFlightMessages()); diff != "" {
		t.Error(diff)
	}
}
