package persistent

import (
	"context"
	"time"

	"recapito/commands/retry"
)

// Limits of the background writer's writes.
const (
	parkedBatch   = 100              // parked messages in one append
	truncateAfter = 100              // replayed messages done with, before the rest is
	writeTimeout  = 10 * time.Second // of one write
	endTimeout    = 5 * time.Second  // of all writes when the group ends
	farAway       = time.Hour
)

// work is what the background writer has to write; negative numbers mean nothing.
type work struct {
	parks      []*message
	checkpoint int64
	number     int64
	truncate   int64
}

func (w work) empty() bool { return len(w.parks) == 0 && w.checkpoint < 0 && w.truncate < 0 }

// keep takes back messages that timed out, and writes parked messages, checkpoints and
// truncations, one after the other, until the group ends; then what is left.
func (g *group) keep() {
	timer := time.NewTimer(farAway)
	defer timer.Stop()
	log := retry.NewLog(g.logger, "event store: writing for a persistent subscription")
	for g.running.Err() == nil {
		w, next := g.look(false)
		if w.empty() {
			timer.Reset(next)
			select {
			case <-g.wake:
			case <-timer.C:
			case <-g.running.Done():
			}
			continue
		}
		_ = refused.Do(g.running, log, func(ctx context.Context) error {
			w, _ := g.look(false) // there may be more by now
			return g.write(ctx, w, writeTimeout)
		})
	}
	deadline := time.Now().Add(endTimeout)
	for {
		w, _ := g.look(true)
		if w.empty() {
			return
		}
		if err := g.write(context.Background(), w, time.Until(deadline)); err != nil {
			g.logger.Warn("event store: a persistent subscription ended before it wrote its place; messages will come again", "error", err)
			return
		}
	}
}

// look takes back what timed out and returns what to write and, if that is nothing, when
// to look again. At the end of the group everything that moved is to be written.
func (g *group) look(final bool) (work, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.options.Now()
	next := g.expire(now)
	w := work{checkpoint: -1, truncate: -1}
	w.parks = append(w.parks, g.parks[:min(len(g.parks), parkedBatch)]...)
	due, wait := g.checkpointDue(now)
	place, number := g.doneUpTo()
	if due || final && place > g.checkpoint && number > g.checkpointNumber {
		w.checkpoint, w.number = place, number
	}
	if g.watching = wait > 0; g.watching {
		next = min(next, wait)
	}
	if g.truncateDue() || final && g.replayedUpTo() > g.parkedFrom {
		w.truncate = g.replayedUpTo()
	}
	return w, next
}

// expire takes back messages that were sent too long ago, and returns when the next is.
func (g *group) expire(now time.Time) time.Duration {
	timeout := g.settings.messageTimeout()
	if timeout == 0 {
		return farAway
	}
	expired := false
	for {
		m := of(g.timed.Front())
		if m == nil || now.Sub(m.since) < timeout {
			if expired {
				g.dispatch() // they are at the end of g.timed now, with a new time
			}
			if m = of(g.timed.Front()); m == nil {
				return farAway
			}
			return max(timeout-now.Sub(m.since), time.Millisecond)
		}
		g.again(m)
		expired = true
	}
}

// doneUpTo is the newest place before which, itself included, the group is done with
// everything, and how many events that are.
func (g *group) doneUpTo() (place, number int64) {
	if m := of(g.undone.Front()); m != nil {
		return m.before, m.number - 1
	}
	return g.lastRead, g.read
}

// checkpointDue reports whether a checkpoint is due or, if it will be, when; 0 for never.
func (g *group) checkpointDue(now time.Time) (bool, time.Duration) {
	place, number := g.doneUpTo()
	moved := number - g.checkpointNumber
	if moved <= 0 || place <= g.checkpoint {
		return false, 0
	}
	if moved >= int64(max(g.settings.MaxCheckpoint, 1)) {
		return true, 0
	}
	after := g.settings.checkpointAfter()
	if after == 0 || moved < int64(g.settings.MinCheckpoint) {
		return false, 0
	}
	wait := after - now.Sub(g.checkpointTime)
	return wait <= 0, max(wait, 0)
}

// replayedUpTo is the revision of the parked stream before which all is done with.
func (g *group) replayedUpTo() int64 {
	if m := of(g.replayed.Front()); m != nil {
		return m.at
	}
	return g.replayNext
}

func (g *group) truncateDue() bool {
	done := g.replayedUpTo() - g.parkedFrom
	return done >= truncateAfter || done > 0 && g.replayed.Len() == 0 && !g.replaying
}

// write does all the work, or returns why it could not.
func (g *group) write(ctx context.Context, w work, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if len(w.parks) > 0 {
		first, err := g.store.writeParked(ctx, w.parks, g.options.Now())
		if err != nil {
			return err
		}
		g.parkedWritten(w.parks, first)
	}
	if w.checkpoint >= 0 {
		if err := g.store.writeCheckpoint(ctx, g.settings.place(w.checkpoint)); err != nil {
			return err
		}
		g.mu.Lock()
		g.checkpoint, g.checkpointNumber, g.checkpointTime = w.checkpoint, w.number, g.options.Now()
		g.mu.Unlock()
	}
	if w.truncate >= 0 {
		if err := g.store.truncateParked(ctx, w.truncate); err != nil {
			return err
		}
		g.mu.Lock()
		g.parkedFrom = w.truncate
		g.mu.Unlock()
	}
	return nil
}

func (g *group) parkedWritten(messages []*message, first int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.parkedFrom == g.parkedEnd {
		g.parkedFrom, g.replayNext = first, max(g.replayNext, first)
	}
	g.parkedEnd = first + int64(len(messages))
	g.parks = g.parks[len(messages):]
	if len(g.parks) == 0 {
		g.parks = nil
	}
	for _, m := range messages {
		g.finish(m)
	}
	g.moved()
}
