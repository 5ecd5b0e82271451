package persistent

import (
	"container/list"
	"strings"
	"time"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

type state int

const (
	waiting state = iota // to be sent, for the first time or again
	sent                 // to its owner, unacknowledged
	parking              // waiting to be written to the parked stream
	done
)

// message is an event that a group has read and is not done with.
type message struct {
	event  event.Recorded  // as it stands in the source, or in the parked stream
	target *event.Recorded // what it points to, if it is a link that was resolved
	size   int

	at       int64 // its place in the source, or in the parked stream
	before   int64 // the place in the source read before it
	number   int64 // of events read until it
	replayed bool  // it comes from the parked stream
	retries  int

	state  state
	seen   bool // its owner was given it
	owner  *Consumer
	since  time.Time // sent at
	bucket int       // of Pinned; -1 if not known yet

	reason string // to park it for
	parkID string // of the link, fixed, so that a repeated append is one

	undone *list.Element // in group.undone or group.replayed
	line   *list.Element // in group.fresh or group.retry while waiting
	timed  *list.Element // in group.timed while sent
	queued *list.Element // in owner.queue until seen
}

// subject is the event that a consumer works on.
func (m *message) subject() *event.Recorded {
	if m.target != nil {
		return m.target
	}
	return &m.event
}

// source is the stream that the event comes from, also behind a link to nothing.
func (m *message) source() string {
	s := m.subject()
	if s.Type == layout.LinkType {
		if _, stream, ok := strings.Cut(string(s.Data), "@"); ok {
			return stream
		}
	}
	return s.Stream
}

// of is the message that a list's element holds; nil for no element.
func of(e *list.Element) *message {
	if e == nil {
		return nil
	}
	m, _ := e.Value.(*message)
	return m
}

// insertRetry puts a message among those to be sent again: by place, replayed ones at
// the end. It looks from the end, since messages mostly come in order.
func insertRetry(l *list.List, m *message) {
	var after *list.Element
	for e := l.Back(); e != nil && !m.replayed; e = e.Prev() {
		if of(e).replayed {
			continue
		}
		if of(e).at <= m.at {
			break
		}
		after = e
	}
	if after == nil {
		m.line = l.PushBack(m)
		return
	}
	m.line = l.InsertBefore(m, after)
}
