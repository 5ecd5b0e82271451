package esdbserver

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// resolve reads what a link (layout.LinkType) points to. A link to nothing, to what is
// hidden or gone, or one that is malformed, is given out without its target, as
// EventStoreDB does.
func (r *reader) resolve(link event.Recorded) (event.Recorded, bool, error) {
	return resolveLink(r.ctx, r.log, link)
}

func resolveLink(ctx context.Context, log *eventlog.Log, link event.Recorded) (event.Recorded, bool, error) {
	revision, stream, ok := strings.Cut(string(link.Data), "@")
	n, err := strconv.ParseUint(revision, 10, 63)
	if !ok || err != nil {
		return event.Recorded{}, false, nil
	}
	var target event.Recorded
	found := false
	err = log.ReadStream(ctx, event.StreamRead{Stream: stream, From: event.Revision(n), Limit: 1}, func(e event.Recorded) error {
		target, found = e, e.Revision == event.Revision(n)
		return nil
	})
	if errors.Is(err, event.ErrStreamNotFound) || errors.Is(err, event.ErrStreamDeleted) || errors.Is(err, event.ErrInvalid) {
		return event.Recorded{}, false, nil
	}
	return target, found, err
}
