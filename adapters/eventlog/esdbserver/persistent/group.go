package persistent

import (
	"cmp"
	"container/list"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// group is a running group. All but the constants at the top is behind mu.
type group struct {
	options  Options
	settings Settings
	key      Key
	logger   *slog.Logger
	store    *streams

	running context.Context // ends when the group is to end
	stop    context.CancelFunc
	wake    chan struct{} // for the background writer; room for one
	ended   sync.WaitGroup
	begun   time.Time

	mu   sync.Mutex
	room *sync.Cond // broadcast when there may be room for more messages

	consumers []*Consumer
	strategy  strategy
	stopped   bool  // takes nothing more
	fault     error // why the source cannot be read

	lastRead  int64 // newest place read or passed over; -1 for none
	lastKnown int64 // place of the newest event that passed the filter; -1 for none
	read      int64 // events read or passed over since the group began
	caughtUp  bool  // has been, once
	blocked   bool  // the reader waits for room

	fresh  *list.List          // messages never sent, in order
	retry  *list.List          // messages to be sent again
	timed  *list.List          // messages sent, oldest first
	undone *list.List          // messages from the source, in order
	byID   map[string]*message // sent, or waiting to be sent again
	parks  []*message          // to be written to the parked stream
	held   int

	checkpoint       int64 // newest place written; -1 for none
	checkpointNumber int64
	checkpointTime   time.Time
	watching         bool // the background writer will look when a checkpoint is due by time

	parkedFrom int64      // first parked event that is not truncated
	parkedEnd  int64      // after the last one
	replayNext int64      // first one not replayed yet
	replayed   *list.List // messages replayed and not done with, in order
	replaying  bool

	total, totalBefore int64 // messages sent, for rates
	measured           time.Time
}

func newGroup(o Options, s Settings) *group {
	g := &group{
		options: o, settings: s, key: s.Key(),
		logger:   o.Logger.With("group", s.Key().String()),
		store:    &streams{log: o.Log, key: s.Key()},
		wake:     make(chan struct{}, 1),
		begun:    o.Now(),
		strategy: newStrategy(s.Strategy),
		fresh:    list.New(), retry: list.New(), timed: list.New(), undone: list.New(), replayed: list.New(),
		byID:       map[string]*message{},
		checkpoint: -1, lastKnown: -1,
	}
	g.room = sync.NewCond(&g.mu)
	g.checkpointTime, g.measured = g.begun, g.begun
	g.running, g.stop = context.WithCancel(context.Background())
	return g
}

// start reads where the group stands and starts it. before is the place after which it
// begins without a checkpoint.
func (g *group) start(ctx context.Context, before int64) error {
	text, err := g.store.readCheckpoint(ctx)
	if err != nil {
		return err
	}
	g.lastRead = before
	if text != "" {
		if g.checkpoint, err = g.settings.parsePlace(text); err != nil {
			return err
		}
		g.lastRead = g.checkpoint
	}
	if g.parkedFrom, g.parkedEnd, err = g.store.parkedBounds(ctx); err != nil {
		return err
	}
	g.replayNext = g.parkedFrom
	g.ended.Go(g.readAhead)
	g.ended.Go(g.keep)
	return nil
}

// end drops the consumers, writes what is to be written, and waits for the goroutines.
func (g *group) end() {
	g.mu.Lock()
	g.stopped = true
	g.drop(ErrDropped)
	g.mu.Unlock()
	g.stop()
	g.mu.Lock()
	g.room.Broadcast()
	g.mu.Unlock()
	g.ended.Wait()
}

// drop ends all consumers.
func (g *group) drop(err error) {
	for len(g.consumers) > 0 {
		c := g.consumers[0]
		c.err = err
		g.leave(c)
		c.signal()
	}
}

// join adds a consumer.
func (g *group) join(c *Consumer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped:
		return ErrNotFound
	case g.fault != nil:
		return g.fault
	case g.settings.MaxSubscribers > 0 && len(g.consumers) >= g.settings.MaxSubscribers:
		return ErrMaxSubscribers
	}
	g.consumers = append(g.consumers, c)
	g.strategy.join(c)
	g.dispatch()
	return nil
}

// leave takes a consumer out; what it did not acknowledge waits for the others.
func (g *group) leave(c *Consumer) {
	i := slices.Index(g.consumers, c)
	if i < 0 {
		return
	}
	g.consumers = slices.Delete(g.consumers, i, i+1)
	left := make([]*message, 0, c.inFlight)
	for m := range c.unacknowledged {
		left = append(left, m)
	}
	slices.SortFunc(left, func(a, b *message) int { return cmp.Compare(a.at, b.at) })
	for _, m := range left {
		g.release(m)
		g.sendAgain(m)
	}
	g.strategy.leave(c)
	g.dispatch()
}

// add takes a message that was read. It waits for room.
func (g *group) add(ctx context.Context, m *message) error {
	m.size = messageBytes + len(m.event.Data) + len(m.event.Metadata)
	if m.target != nil {
		m.size += len(m.target.Data) + len(m.target.Metadata)
	}
	m.bucket = -1
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.roomFor(m) && ctx.Err() == nil {
		g.blocked = g.blocked || !m.replayed
		g.room.Wait()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.held += m.size
	if m.replayed {
		m.undone = g.replayed.PushBack(m)
		g.replayNext = m.at + 1
		insertRetry(g.retry, m)
	} else {
		g.blocked, g.fault = false, nil
		g.read++
		m.before, m.number, g.lastRead, g.lastKnown = g.lastRead, g.read, m.at, m.at
		m.undone = g.undone.PushBack(m)
		m.line = g.fresh.PushBack(m)
	}
	g.dispatch()
	return nil
}

// roomFor reports whether the buffers take another message. A reader that was stopped goes
// on when there is room for a batch.
func (g *group) roomFor(m *message) bool {
	limit := g.settings.HistoryBufferSize
	if g.caughtUp && !g.blocked {
		limit = max(g.settings.LiveBufferSize, 1)
	}
	if g.blocked {
		limit = max(limit-g.settings.ReadBatchSize, 1)
	}
	return g.fresh.Len()+g.retry.Len() < limit && (g.held == 0 || g.held+m.size <= heldBytes)
}

// passOver takes note that the source was read up to a place, and that n events on the
// way did not pass the filter.
func (g *group) passOver(at, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = nil
	g.lastRead = max(g.lastRead, at)
	g.read += n
	g.moved()
}

// dispatch gives waiting messages to consumers with room.
func (g *group) dispatch() {
	for _, line := range []*list.List{g.retry, g.fresh} {
		for e := line.Front(); e != nil; {
			m := of(e)
			e = e.Next()
			if other := g.byID[m.event.ID]; other != nil && other != m {
				continue // an acknowledgement could not distinguish the two
			}
			c, more := g.strategy.choose(m)
			if c == nil && !more {
				return
			}
			if c != nil {
				line.Remove(m.line)
				m.line = nil
				g.send(c, m)
			}
		}
	}
}

func (g *group) send(c *Consumer, m *message) {
	m.state, m.owner, m.since, m.seen = sent, c, g.options.Now(), false
	g.byID[m.event.ID] = m
	m.timed = g.timed.PushBack(m)
	g.total++
	c.take(m)
	g.strategy.given(m)
	if g.timed.Len() == 1 && g.settings.MessageTimeoutMS > 0 {
		g.poke()
	}
	g.room.Broadcast()
}

// release takes a message back from its consumer.
func (g *group) release(m *message) {
	g.strategy.released(m)
	m.owner.giveBack(m, g.options.Now())
	g.timed.Remove(m.timed)
	m.timed, m.owner = nil, nil
}

// again sends a message another time, or parks it if it was sent often enough. One that
// its consumer never saw is not counted.
func (g *group) again(m *message) {
	g.release(m)
	if m.seen && m.retries >= g.settings.MaxRetryCount {
		g.park(m, "Reached retry count of "+strconv.Itoa(g.settings.MaxRetryCount))
		return
	}
	g.sendAgain(m)
}

func (g *group) sendAgain(m *message) {
	if m.seen {
		m.retries++
	}
	m.state = waiting
	insertRetry(g.retry, m)
}

// park has a message written to the parked stream.
func (g *group) park(m *message, reason string) {
	m.state, m.reason = parking, reason
	delete(g.byID, m.event.ID)
	g.parks = append(g.parks, m)
	g.poke()
}

// finish is the end of a message that no consumer holds.
func (g *group) finish(m *message) {
	if m.line != nil {
		g.retry.Remove(m.line)
		m.line = nil
	}
	if g.byID[m.event.ID] == m {
		delete(g.byID, m.event.ID)
	}
	if m.replayed {
		g.replayed.Remove(m.undone)
	} else {
		g.undone.Remove(m.undone)
	}
	m.state, m.undone = done, nil
	g.held -= m.size
	g.room.Broadcast()
}

// acknowledge is done with messages. A consumer that had a message may acknowledge it, even after it was
// taken back.
func (g *group) acknowledge(ids []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		m := g.byID[id]
		if m == nil {
			continue
		}
		if m.state == sent {
			g.release(m)
		}
		g.finish(m)
	}
	g.moved()
}

// refuse does what a consumer wants done with messages it has.
func (g *group) refuse(c *Consumer, action Action, reason string, ids []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if action == Stop {
		c.err = ErrDropped
		g.leave(c)
		c.signal()
		return
	}
	for _, id := range ids {
		m := g.byID[id]
		if m == nil || m.owner != c {
			continue
		}
		switch action {
		case Park:
			g.release(m)
			g.park(m, "Client explicitly NAK'ed message.\n"+shorten(reason))
		case Skip:
			g.release(m)
			g.finish(m)
		default:
			g.again(m)
		}
	}
	g.moved()
}

// moved follows whatever finished messages.
func (g *group) moved() {
	g.dispatch()
	due, wait := g.checkpointDue(g.options.Now())
	if due || wait > 0 && !g.watching || g.truncateDue() {
		g.poke()
	}
}

// poke wakes the background writer.
func (g *group) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// message makes one of an event of the source.
func (g *group) message(ctx context.Context, e event.Recorded) (*message, error) {
	at := int64(e.Revision)
	if g.key.Stream == All {
		at = int64(e.Position)
	}
	m := &message{event: e, at: at}
	if !g.settings.ResolveLinks || e.Type != layout.LinkType {
		return m, nil
	}
	return m, g.resolve(ctx, m)
}

func (g *group) resolve(ctx context.Context, m *message) error {
	target, found, err := g.options.Resolve(ctx, m.event)
	if err == nil && found {
		m.target = &target
	}
	return err
}
