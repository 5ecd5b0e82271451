package projections

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// Rollups is the projection rollups: counts of what occurred by minute, hour and day, and
// of what has become of what was requested in an hour or day.
func Rollups(codec *event.Codec) Projection {
	return Projection{Table: readmodels.RollupsTable, Rows: func(events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
		return rollupRows(codec, events)
	}}
}

// CountRollups adds what one event counts in rollups, by cell: one number.
func CountRollups(codec *event.Codec, e LedgerEvent, add func(cell readmodels.RollupCell, sums []int64)) error {
	return eachCount(codec, e, func(cell readmodels.RollupCell, n int64) {
		for _, grain := range grainsFrom(cell.Grain) {
			add(atGrain(cell, grain), []int64{n})
		}
	})
}

// rollupRows counts the finest grains event by event and makes the others of their sums.
func rollupRows(codec *event.Codec, events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
	fine := newRollupSums()
	aside := each(events, func(e LedgerEvent) error { return eachCount(codec, e, fine.add) })
	fine.sumUp()
	batch := counted(events)
	rows := make([]readmodels.Row, 0, len(fine.counts.cells))
	for i, at := range fine.counts.cells {
		if n := fine.counts.sums[i]; n != 0 {
			rows = append(rows, readmodels.RollupRow{RollupCell: fine.cell(at), N: n, Counted: batch})
		}
	}
	return rows, aside
}

// rollupSums are the sums of a batch. What an event is counted under is the same in all
// of its counts, and long: it is looked up once an event.
type rollupSums struct {
	under  sums[readmodels.RollupCell, struct{}] // cells without the fields of a spot
	last   readmodels.RollupCell                 // as in the newest of counts
	lastAt int
	counts sums[rollupSpot, int64]
}

// rollupSpot is the rest of a cell.
type rollupSpot struct {
	under           int
	grain, basis    string
	start           int64 // Unix seconds
	measure, detail string
	bucket          uint16
}

func newRollupSums() *rollupSums {
	return &rollupSums{
		under: newSums[readmodels.RollupCell, struct{}](), lastAt: -1, counts: newSums[rollupSpot, int64](),
	}
}

func (s *rollupSums) add(c readmodels.RollupCell, n int64) {
	at := rollupSpot{grain: c.Grain, basis: c.Basis, start: c.Start.Unix(), measure: c.Measure, detail: c.Detail, bucket: c.Bucket}
	c.Grain, c.Basis, c.Start, c.Measure, c.Detail, c.Bucket = "", "", time.Time{}, "", "", 0
	if s.lastAt < 0 || c != s.last {
		s.last, s.lastAt = c, s.under.index(c)
	}
	at.under = s.lastAt
	*s.counts.at(at) += n
}

// sumUp adds the longer grains.
func (s *rollupSums) sumUp() {
	for i, at := range s.counts.cells {
		n := s.counts.sums[i]
		for _, grain := range grainsFrom(at.grain)[1:] {
			at.grain, at.start = grain, time.Unix(at.start, 0).Truncate(grainLength[grain]).Unix()
			*s.counts.at(at) += n
		}
	}
}

func (s *rollupSums) cell(at rollupSpot) readmodels.RollupCell {
	c := s.under.cells[at.under]
	c.Grain, c.Basis, c.Start, c.Measure, c.Detail, c.Bucket = at.grain, at.basis, time.Unix(at.start, 0).UTC(), at.measure, at.detail, at.bucket
	return c
}

func grainsFrom(finest string) []string {
	if finest == readmodels.Minute {
		return []string{readmodels.Minute, readmodels.Hour, readmodels.Day}
	}
	return []string{readmodels.Hour, readmodels.Day}
}

var grainLength = map[string]time.Duration{readmodels.Minute: time.Minute, readmodels.Hour: time.Hour, readmodels.Day: 24 * time.Hour}

// atGrain puts a cell into one of a grain that is as long, or longer.
func atGrain(cell readmodels.RollupCell, grain string) readmodels.RollupCell {
	cell.Grain, cell.Start = grain, cell.Start.Truncate(grainLength[grain])
	return cell
}

// latestStart is what a DateTime holds; a time beyond it is no time, like the epoch.
var latestStart = time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC)

func startOf(t time.Time, grain string) time.Time {
	t = storable(t)
	if !t.Before(latestStart) {
		t = earliest
	}
	return t.Truncate(grainLength[grain])
}

// eachCount calls add for the cells of the finest grains in which an event counts: minutes of what
// occurred, hours of when it was requested.
func eachCount(codec *event.Codec, e LedgerEvent, add func(readmodels.RollupCell, int64)) error {
	decoded, tenant, err := e.notification(codec)
	if decoded == nil || err != nil {
		return err
	}
	c := counter{cell: readmodels.RollupCell{Tenant: tenant}, occurred: decoded.OccurredAt(), add: add}
	if _, is := decoded.(notification.AttemptEvent); is {
		a, part, err := e.attempt(codec)
		if err != nil {
			return err
		}
		c.attempt(a, part)
		return nil
	}
	if filed, is := decoded.(notification.Filed); is {
		f := filed.FiledUnder()
		c.requested = f.RequestedAt
		c.cell.Dimensions = readmodels.Dimensions{OfNotification: dimensionsOfNotification(f.OfNotification)}.ForRollups()
	}
	c.other(decoded)
	return nil
}

// counter counts one event.
type counter struct {
	cell      readmodels.RollupCell // without grain, basis, start and measure
	occurred  time.Time
	requested time.Time
	add       func(readmodels.RollupCell, int64)
}

// event counts what occurred.
func (c *counter) event(measure, detail string, bucket uint16) {
	cell := c.cell
	cell.Grain, cell.Basis, cell.Start = readmodels.Minute, readmodels.ByEvent, startOf(c.occurred, readmodels.Minute)
	cell.Measure, cell.Detail, cell.Bucket = measure, detail, bucket
	c.add(cell, 1)
}

// request counts among what was requested at the same time.
func (c *counter) request(measure string, n int64) {
	cell := c.cell
	cell.Grain, cell.Basis, cell.Start = readmodels.Hour, readmodels.ByRequest, startOf(c.requested, readmodels.Hour)
	cell.Measure = measure
	c.add(cell, n)
}

func (c *counter) latency(measure string, from, to time.Time) {
	if f, t := known(from), known(to); f != nil && t != nil {
		c.event(measure, "", readmodels.LatencyBucket((t.UnixMicro()-f.UnixMicro())/1000))
	}
}

func (c *counter) attempt(a notification.AttemptEvent, part *readmodels.PartialEDR) {
	f := a.AttemptFacts()
	c.requested = f.RequestedAt
	c.cell.Dimensions = part.ForRollups()
	switch a := a.(type) {
	case notification.NotificationRetried:
		c.event("retried", cmp.Or(a.Code, string(a.Why)), 0)
	case notification.NotificationGivenUp:
		c.event("given_up", "", 0)
	}
	from, to := f.From, a.Reached()
	if !raises(from, to) {
		return
	}
	c.event(string(to), part.Outcome.Code, 0)
	if from != notification.None {
		c.request(string(from), -1)
	}
	c.request(string(to), 1)
	switch to {
	case notification.Dispatched:
		c.latency("queue", f.DueAt, c.occurred)
	case notification.Sent:
		c.latency("accept", f.DueAt, c.occurred)
	case notification.Delivered:
		c.latency("delivery", f.SentAt, c.occurred)
	case notification.Read:
		c.latency("reading", f.SentAt, c.occurred)
	}
}

// other counts an event that is not of an attempt.
func (c *counter) other(e notification.Event) {
	count := func(measure, detail string) {
		c.event(measure, detail, 0)
		c.request(measure, 1)
	}
	switch e := e.(type) { //nolint:gochecksumtype // the other events are not counted
	case notification.NotificationRequested:
		count("requested", "")
	case notification.NotificationFailedOver:
		count("failed_over", string(e.Why))
	case notification.NotificationRejected:
		count("rejected", e.Code)
	case notification.NotificationSuppressed:
		count("suppressed", e.Code)
	case notification.NotificationExpired:
		count("expired", "")
	case notification.NotificationCancelled:
		count("cancelled", "")
	case notification.NotificationExhausted:
		count("exhausted", "")
	case notification.NotificationReplied:
		count("replied", "")
	case notification.NotificationPaid:
		count("paid", "")
	}
}

// occurring is an event of a notification: each has the time when it occurred.
type occurring interface {
	notification.Event
	OccurredAt() time.Time
}

// notificationEvent decodes an event of a notification; nil if it is none, or of a type
// that this binary does not know. *event.Unreadable if it is one and cannot be read.
func notificationEvent(codec *event.Codec, r event.Recorded) (occurring, string, error) {
	return notificationIn(codec, LedgerEvent{Recorded: r})
}

func notificationIn(codec *event.Codec, l LedgerEvent) (occurring, string, error) {
	r := l.Recorded
	if !strings.HasPrefix(r.Stream, notification.StreamPrefix) {
		return nil, "", nil
	}
	decoded, err := codec.Decode(context.Background(), nil, "", r)
	if errors.Is(err, event.ErrUnknownType) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", corrupt(r, "its data cannot be decoded")
	}
	e, ok := decoded.(occurring)
	if !ok {
		return nil, "", nil
	}
	m, err := l.metadata()
	if err != nil || m.Tenant == "" {
		return nil, "", corrupt(r, "its metadata name no tenant")
	}
	return e, m.Tenant, nil
}

// FoldRollups counts ledger events as the view rollups must, each grain by itself.
func FoldRollups(codec *event.Codec, events []event.Recorded) (map[readmodels.RollupCell]int64, error) {
	all := map[readmodels.RollupCell]int64{}
	for _, r := range events {
		if err := foldRollup(codec, r, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func foldRollup(codec *event.Codec, r event.Recorded, all map[readmodels.RollupCell]int64) error {
	e := LedgerEvent{Recorded: r}
	return Readable(e, func() error {
		return eachCount(codec, e, func(cell readmodels.RollupCell, n int64) {
			for _, grain := range grainsFrom(cell.Grain) {
				key := atGrain(cell, grain)
				if all[key] += n; all[key] == 0 {
					delete(all, key)
				}
			}
		})
	})
}
