package instance

import (
	"context"
	"strings"

	"recapito/domain/event"
	"recapito/domain/notification"
)

// Watch shows every event of a notification from now on, until ctx or the instance ends.
func (l *Instance) Watch(ctx context.Context, show func(id string, m event.Metadata, eventType string)) {
	after, err := l.Engines.Events.State(ctx)
	if err != nil {
		l.log.Warn("events are not shown: the event store does not return its position", "error", err)
		return
	}
	_ = l.Engines.Events.Subscribe(ctx, event.Subscription{ // it ends with ctx, or with the instance
		After: &after, Filter: event.Filter{StreamPrefixes: []string{notification.StreamPrefix}},
	}, event.Handler{Event: func(e event.Recorded) error {
		m, err := event.DecodeMetadata(e.Metadata)
		if err != nil {
			return err
		}
		show(strings.TrimPrefix(e.Stream, notification.StreamPrefix), m, e.Type)
		return nil
	}})
}
