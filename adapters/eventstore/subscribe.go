package eventstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"recapito/commands/retry"
	"recapito/domain/event"
)

// checkpointAfter is how many events a filtered subscription looks at between two
// checkpoints: at the server, and here where the rest of a filter is applied.
const checkpointAfter = 1000

// delivery is what a subscription emits: one of its members.
type delivery struct {
	event      *event.Recorded
	checkpoint *event.Position
	caughtUp   bool
}

// Subscribe implements commands.Store. It outlives a lost connection and a change of the
// cluster's leader: it is taken up again after what was handed over last, for as long as
// ctx lasts; only what asking again cannot mend ends it. It needs a server that reports
// when a subscription has caught up (EventStoreDB from 23.10).
func (s *Store) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	if sub.After != nil && *sub.After > event.PositionEnd {
		return fmt.Errorf("%w: after position %d", event.ErrInvalid, *sub.After)
	}
	f := &follower{handler: h, filter: sub.Filter, handling: ctx}
	if sub.After != nil {
		f.at, f.some = *sub.After, true
	}
	log := retry.NewLog(s.logger, "event store: a subscription")
	return reconnecting.Keep(ctx, log, func(ctx context.Context, working func()) error {
		f.caughtUp = working
		err := s.follow(ctx, f)
		switch {
		case f.refused != nil:
			return retry.Permanent(f.refused)
		case ctx.Err() != nil:
			return err
		case s.ctx.Err() != nil:
			return retry.Permanent(errClosed)
		case final(err):
			return retry.Permanent(fmt.Errorf("%w: the subscription is lost: %w", event.ErrUnavailable, err))
		}
		return fmt.Errorf("lost after position %d: %w", f.at, err)
	})
}

// final reports whether asking again would end the same.
func final(err error) bool {
	switch codeOf(err) {
	case esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated, esdb.ErrorCodeUnsupportedFeature:
		return true
	}
	return status.Code(unwrapped(err)) == codes.InvalidArgument
}

// follow is one subscription, after what the follower has looked at.
func (s *Store) follow(ctx context.Context, f *follower) error {
	options := esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: serverFilter(f.filter)}
	if f.some {
		options.From = position(f.at)
	}
	if options.Filter != nil {
		options.MaxSearchWindow, options.CheckpointInterval = checkpointAfter, 1
	}
	return received(ctx, s, func(ctx context.Context, c *esdb.Client, emit func(delivery) error) error {
		live, err := c.SubscribeToAll(ctx, options)
		if err != nil {
			return err
		}
		defer func() { _ = live.Close() }()
		for {
			if err := emitNext(live.Recv(), emit); err != nil {
				return err
			}
		}
	}, f.handle)
}

func emitNext(next *esdb.SubscriptionEvent, emit func(delivery) error) error {
	switch {
	case next.SubscriptionDropped != nil:
		return next.SubscriptionDropped.Error
	case next.EventAppeared != nil:
		e := recorded(next.EventAppeared)
		return emit(delivery{event: &e})
	case next.CheckPointReached != nil:
		p := event.Position(next.CheckPointReached.Commit)
		return emit(delivery{checkpoint: &p})
	case next.CaughtUp != nil:
		return emit(delivery{caughtUp: true})
	}
	return nil
}

// serverFilter is the part of a filter that the server applies: on streams, or else on
// types, where a prefix lets through more than it should. The full filter is applied here.
func serverFilter(f event.Filter) *esdb.SubscriptionFilter {
	switch {
	case len(f.StreamPrefixes) > 0 && !slices.Contains(f.StreamPrefixes, ""):
		return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: f.StreamPrefixes}
	case len(f.Types) > 0:
		return &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: f.Types}
	}
	return nil
}

// follower hands deliveries to the handler.
type follower struct {
	handling context.Context // of Subscribe: nothing is handled once it has ended
	handler  event.Handler
	filter   event.Filter
	at       event.Position // looked at so far, if
	some     bool           // there is such a position
	quiet    int            // events looked at here since something was delivered or reported
	refused  error          // of the handler
	caughtUp func()         // called when the subscription has caught up
}

func (f *follower) handle(d delivery) error {
	if f.handling.Err() != nil {
		return context.Cause(f.handling)
	}
	f.refused = f.pass(d)
	return f.refused
}

func (f *follower) pass(d delivery) error {
	switch {
	case d.event != nil:
		f.at, f.some = d.event.Position, true
		if !f.filter.Passes(d.event.Stream, d.event.Type) {
			if f.quiet++; f.quiet < checkpointAfter {
				return nil
			}
			return f.checkpoint()
		}
		f.quiet = 0
		if f.handler.Event != nil {
			return f.handler.Event(*d.event)
		}
	case d.checkpoint != nil:
		f.at, f.some = max(f.at, *d.checkpoint), true
		return f.checkpoint()
	case d.caughtUp:
		f.caughtUp()
		if f.handler.CaughtUp != nil {
			return f.handler.CaughtUp(f.at)
		}
	}
	return nil
}

func (f *follower) checkpoint() error {
	f.quiet = 0
	if f.handler.Checkpoint == nil {
		return nil
	}
	return f.handler.Checkpoint(f.at)
}
