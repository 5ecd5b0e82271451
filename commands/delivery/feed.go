package delivery

import (
	"context"

	"recapito/domain/event"
)

// SharedFeed gives the events of $all to several instances, each to one of them.
// Implemented by adapters/eventstore over persistent subscriptions.
type SharedFeed interface {
	// Consume hands over the events of a group that pass the filter, many at a time,
	// until ctx ends (nil). An event is done with when handle returns nil; else it comes
	// again, here or elsewhere. Each comes at least once, those of one stream mostly in
	// order. A group that is not there yet begins after sub.After.
	Consume(ctx context.Context, group string, sub event.Subscription, handle func(context.Context, event.Recorded) error) error
}
