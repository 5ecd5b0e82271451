package persistent

import (
	"context"
	"strings"
	"time"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/layout"
	"recapito/commands/retry"
	"recapito/domain/event"
)

// refused is how often what the log refused is tried again.
var refused = retry.Policy{First: 500 * time.Millisecond, Most: 30 * time.Second}

// passedEvery is how many events of $all a group looks at before it takes note of those
// that its filter keeps from it.
const passedEvery = 100

// readAhead reads the source until the group ends.
func (g *group) readAhead() {
	log := retry.NewLog(g.logger, "event store: reading for a persistent subscription")
	_ = refused.Keep(g.running, log, func(ctx context.Context, working func()) error {
		begun := g.progress()
		err := g.follow(ctx)
		if ctx.Err() != nil {
			return err
		}
		if g.progress() > begun {
			working()
		}
		g.fail(err)
		return err
	})
}

func (g *group) progress() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.read
}

// fail ends the consumers with the error by which the source cannot be read.
func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		err = event.ErrUnavailable // the log was closed
	}
	g.fault = err
	g.drop(err)
}

func (g *group) follow(ctx context.Context) error {
	g.mu.Lock()
	lastRead := g.lastRead
	g.mu.Unlock()
	visit := func(e event.Recorded) error {
		m, err := g.message(ctx, e)
		if err != nil {
			return err
		}
		return g.add(ctx, m)
	}
	if g.key.Stream != All {
		return g.options.Log.FollowStream(ctx, g.key.Stream, event.Revision(lastRead+1), eventlog.Follower{
			Event:    visit,
			CaughtUp: func(event.Position) error { g.setCaughtUp(); return nil },
		})
	}
	match, passed, err := g.match()
	if err != nil {
		return err
	}
	f := eventlog.Following{Match: match, CheckpointEvery: passedEvery}
	if lastRead >= 0 {
		after := event.Position(lastRead)
		f.After = &after
	}
	return g.options.Log.Follow(ctx, f, eventlog.Follower{
		Event:      visit,
		Checkpoint: func(p event.Position) error { g.passOver(int64(p), passed()); return nil },
		CaughtUp: func(p event.Position) error {
			g.setCaughtUp()
			g.passOver(int64(p), passed())
			return nil
		},
	})
}

func (g *group) setCaughtUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.caughtUp, g.fault = true, nil
}

// match is the group's filter. passed returns how many events it kept away since it was
// last asked; what groups on $all write themselves is not counted, or they would write
// for ever.
func (g *group) match() (match eventlog.Match, passed func() int64, err error) {
	filter := func(string, string) (bool, error) { return true, nil }
	if g.settings.Filter != nil {
		if filter, err = g.options.Compile(*g.settings.Filter); err != nil {
			return nil, nil, err
		}
	}
	kept := int64(0) // followers run one after the other
	match = func(stream, typ string) (bool, error) {
		if ownStream(stream) {
			return false, nil
		}
		ok, err := filter(stream, typ)
		if !ok {
			kept++
		}
		return ok, err
	}
	return match, func() int64 { n := kept; kept = 0; return n }, nil
}

// ownStream reports whether a group on $all writes the stream.
func ownStream(stream string) bool {
	return strings.HasPrefix(stream, ownPrefix+All+"::") && (strings.HasSuffix(stream, checkpointSuffix) || strings.HasSuffix(stream, parkedSuffix))
}

// replay sends parked events again, before a revision of the parked stream or, if that
// is negative, all there are.
func (g *group) replay(before int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	end := g.parkedEnd
	if before >= 0 {
		end = min(end, before)
	}
	if g.stopped || g.replaying || g.replayNext >= end {
		return
	}
	g.replaying = true
	g.ended.Go(func() { g.readParked(end) })
}

func (g *group) readParked(end int64) {
	g.mu.Lock()
	next := g.replayNext
	g.mu.Unlock()
	var err error
	for next < end && err == nil && g.running.Err() == nil {
		batch := min(int64(g.settings.ReadBatchSize), end-next)
		found := false
		err = g.options.Log.ReadStream(g.running, event.StreamRead{Stream: g.store.parked(), From: event.Revision(next), Limit: int(batch)}, func(e event.Recorded) error {
			if int64(e.Revision) >= end {
				return nil
			}
			found, next = true, int64(e.Revision)+1
			m := &message{event: e, at: int64(e.Revision), replayed: true}
			if e.Type == layout.LinkType {
				if err := g.resolve(g.running, m); err != nil {
					return err
				}
			}
			return g.add(g.running, m)
		})
		if !found {
			break
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.replaying = false
	switch {
	case g.running.Err() != nil:
	case err != nil:
		g.logger.Warn("event store: parked messages cannot be replayed", "error", err)
	default:
		g.replayNext = max(g.replayNext, end)
	}
	g.poke()
}
