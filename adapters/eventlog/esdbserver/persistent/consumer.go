package persistent

import (
	"container/list"
	"context"
	"time"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Action is what a consumer wants done with an event that it does not acknowledge.
type Action int

// Unknown is taken as Retry. Stop gives back all that the consumer has, and drops it.
const (
	Unknown Action = iota
	Park
	Retry
	Skip
	Stop
)

// Connection identifies a consumer.
type Connection struct {
	Slots                int // events it takes unacknowledged
	From, Username, Name string
}

// Delivery is an event for a consumer.
type Delivery struct {
	Event  event.Recorded  // as it stands in the source or, if replayed, in the parked stream
	Target *event.Recorded // what it points to, if it is a link that was resolved
	Link   bool            // it is a link that was to be resolved
	// Retries is how often it was given to a consumer before.
	Retries int
}

// Consumer is a member of a group. Next is for one goroutine, the rest for any.
type Consumer struct {
	Connection
	group *group
	ready chan struct{} // room for one

	// Behind the group's lock.
	err            error // why it was dropped
	queue          *list.List
	unacknowledged map[*message]struct{}
	inFlight       int

	total, totalBefore int64
	times              measurements
}

func newConsumer(g *group, c Connection) *Consumer {
	return &Consumer{Connection: c, group: g, ready: make(chan struct{}, 1), queue: list.New(), unacknowledged: map[*message]struct{}{}}
}

// Next waits for an event. It ends with ErrDropped, or the error by which the group
// cannot go on, or ctx's.
func (c *Consumer) Next(ctx context.Context) (Delivery, error) {
	for {
		c.group.mu.Lock()
		if c.err != nil {
			defer c.group.mu.Unlock()
			return Delivery{}, c.err
		}
		if e := c.queue.Front(); e != nil {
			defer c.group.mu.Unlock()
			m := of(e)
			c.queue.Remove(e)
			m.queued, m.seen = nil, true
			link := m.event.Type == layout.LinkType && (m.replayed || c.group.settings.ResolveLinks)
			return Delivery{Event: m.event, Target: m.target, Link: link, Retries: m.retries}, nil
		}
		c.group.mu.Unlock()
		select {
		case <-c.ready:
		case <-ctx.Done():
			return Delivery{}, context.Cause(ctx)
		}
	}
}

// Acknowledge records that events, named by the ids of Delivery.Event, are done with.
func (c *Consumer) Acknowledge(ids []string) { c.group.acknowledge(ids) }

// Refuse gives events back, with what to do with them.
func (c *Consumer) Refuse(action Action, reason string, ids []string) {
	c.group.refuse(c, action, reason, ids)
}

// Leave takes the consumer out of its group.
func (c *Consumer) Leave() {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	c.group.leave(c)
}

func (c *Consumer) free() bool { return c.inFlight < c.Slots }

func (c *Consumer) take(m *message) {
	c.inFlight++
	c.total++
	c.unacknowledged[m] = struct{}{}
	m.queued = c.queue.PushBack(m)
	c.signal()
}

func (c *Consumer) giveBack(m *message, now time.Time) {
	c.inFlight--
	delete(c.unacknowledged, m)
	if m.queued != nil {
		c.queue.Remove(m.queued)
		m.queued = nil
	}
	if c.group.settings.ExtraStatistics && m.seen {
		c.times.add(now.Sub(m.since))
	}
}

func (c *Consumer) signal() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}
