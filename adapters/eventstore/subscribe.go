package eventstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

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

// Subscribe implements commands.Store. It needs a server that tells when a subscription
// has caught up (EventStoreDB from 23.10).
func (s *Store) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	options := esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: serverFilter(sub.Filter)}
	f := &follower{handler: h, filter: sub.Filter}
	if sub.After != nil {
		if *sub.After > event.PositionEnd {
			return fmt.Errorf("%w: after position %d", event.ErrInvalid, *sub.After)
		}
		options.From, f.at = position(*sub.After), *sub.After
	}
	if options.Filter != nil {
		options.MaxSearchWindow, options.CheckpointInterval = checkpointAfter, 1
	}
	f.handling = ctx
	err := received(ctx, s, func(ctx context.Context, c *esdb.Client, emit func(delivery) error) error {
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
	if f.refused != nil {
		return f.refused
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w: the subscription is lost: %w", event.ErrUnavailable, err)
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
// types, where a prefix lets through more than it should. The whole is applied here.
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
	at       event.Position // looked at so far
	quiet    int            // events looked at here since something was delivered or told
	refused  error          // of the handler
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
		f.at = d.event.Position
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
		f.at = max(f.at, *d.checkpoint)
		return f.checkpoint()
	case d.caughtUp:
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
