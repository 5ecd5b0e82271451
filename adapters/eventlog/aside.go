package eventlog

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// applyAside writes a synced batch of its own, while the writer writes others: of what is derived from events,
// never events. The caller has entered the log. A failure makes the log read-only, as
// the writer's does. While appends are refused to keep the reserve it goes on: it is
// little, or gives space back.
func (l *Log) applyAside(b *pebble.Batch) error {
	if err := l.readOnly(); err != nil {
		return err
	}
	if l.guard.Waiting() {
		return l.full()
	}
	if err := l.guarded(func() error { return l.db.Apply(b, pebble.Sync) }); err != nil {
		l.fail(err)
		return l.readOnly()
	}
	return nil
}

// guarded writes to Pebble, which panics, holding locks for ever, where its own log
// fails between syncs.
func (l *Log) guarded(write func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.broken.Store(true)
			err = fmt.Errorf("pebble gave up: %v", p)
		}
	}()
	return write()
}
