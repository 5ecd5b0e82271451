package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/projections"
	"recapito/readmodels"
)

// shown is what a table shows of a part: its rows by key.
type shown[R any] struct {
	part  readmodels.Shard
	keep  bool // rows are kept
	rows  map[string]*shownRow[R]
	n     uint64
	found []candidate

	table string
	key   func(R) string
	text  func(R) string
}

type shownRow[R any] struct {
	sum   uint64
	row   *R // if they are kept
	text  string
	twice bool
	right bool
}

func (s *shown[R]) begin(p readmodels.Shard) {
	s.part, s.rows, s.n, s.found = p, map[string]*shownRow[R]{}, 0, nil
}

func (s *shown[R]) take(row R) error {
	s.n++
	key := s.key(row)
	if there := s.rows[key]; there != nil {
		there.twice = true
		return nil
	}
	one := &shownRow[R]{sum: fingerprint(row), text: s.text(row)}
	if s.keep {
		one.row = &row
	}
	s.rows[key] = one
	return nil
}

func (s *shown[R]) differs(key, text, what string) {
	if len(s.found) < maxDifferences {
		s.found = append(s.found, candidate{Difference{s.table, key, what}, text})
	}
}

// expect compares a row that must be shown, or, if it is of the tail, may be.
func (s *shown[R]) expect(want R, tail bool) {
	key := s.key(want)
	got := s.rows[key]
	delete(s.rows, key)
	switch {
	case got == nil && !tail:
		s.differs(key, s.text(want), "missing")
	case got == nil:
	case got.twice:
		s.differs(key, got.text, "repeated")
	case got.right || got.sum == fingerprint(want):
	case got.row != nil:
		s.differs(key, got.text, differ(want, *got.row))
	default:
		s.differs(key, got.text, "differs")
	}
}

// rest returns the differences, with the rows that nothing expected.
func (s *shown[R]) rest() ([]candidate, uint64) {
	for key, got := range s.rows {
		s.differs(key, got.text, "extra")
	}
	s.rows = nil
	return s.found, s.n
}

// rowsCompared is a table in which each row is made of one event.
type rowsCompared[R any] struct {
	shown[R]
	read func(ctx context.Context, p readmodels.Shard, visit func(R) error) error
	of   func(e projections.LedgerEvent, p readmodels.Shard) ([]R, error)
}

func (t *rowsCompared[R]) name() string { return t.table }

func (t *rowsCompared[R]) load(ctx context.Context, p readmodels.Shard, _ uint64) error {
	t.begin(p)
	return t.read(ctx, p, t.take)
}

func (t *rowsCompared[R]) add(e projections.LedgerEvent, tail bool) error {
	rows, err := t.of(e, t.part)
	for _, r := range rows {
		t.expect(r, tail)
	}
	return err
}

func (t *rowsCompared[R]) end(uint64) ([]candidate, uint64) { return t.rest() }

func eventsCompared(conn readmodels.Conn, keep bool) compared {
	return &rowsCompared[readmodels.EventRow]{
		shown: shown[readmodels.EventRow]{
			table: "events", keep: keep,
			key:  func(r readmodels.EventRow) string { return fmt.Sprintf("%s@%d", r.Stream, r.Revision) },
			text: func(r readmodels.EventRow) string { return r.Stream },
		},
		read: func(ctx context.Context, p readmodels.Shard, visit func(readmodels.EventRow) error) error {
			return readmodels.EventsIn(ctx, conn, p, visit)
		},
		of: func(e projections.LedgerEvent, p readmodels.Shard) ([]readmodels.EventRow, error) {
			if !p.Has(e.Stream) {
				return nil, nil
			}
			return []readmodels.EventRow{projections.EventRow(e)}, nil
		},
	}
}

func callsCompared(conn readmodels.Conn, codec *event.Codec, operations projections.Operations, keep bool) compared {
	return &rowsCompared[readmodels.AuditRow]{
		shown: shown[readmodels.AuditRow]{
			table: "audit_log", keep: keep,
			key:  func(r readmodels.AuditRow) string { return fmt.Sprintf("%s/%d/%s", r.Tenant, r.At.UnixMicro(), r.ID) },
			text: func(r readmodels.AuditRow) string { return strconv.FormatUint(r.Seq, 10) },
		},
		read: func(ctx context.Context, p readmodels.Shard, visit func(readmodels.AuditRow) error) error {
			return readmodels.CallsIn(ctx, conn, p, visit)
		},
		of: func(e projections.LedgerEvent, p readmodels.Shard) (rows []readmodels.AuditRow, err error) {
			if !p.Has(strconv.FormatUint(e.Seq, 10)) {
				return nil, nil
			}
			err = projections.Readable(e, func() (err error) {
				rows, err = projections.AuditRows(codec, operations, e)
				return err
			})
			return rows, err
		},
	}
}

// mergedCompared is a table each row of which is folded from several events. A row may
// be ahead of the cut: then it must be what the fold was at some place of the tail.
type mergedCompared[R any] struct {
	shown[R]
	read func(ctx context.Context, p readmodels.Shard, visit func(R) error) error
	// begins returns an empty fold.
	begins func() folding[R]
	fold   folding[R]
	young  map[string]bool // rows that began in the tail
}

// folding folds events to rows.
type folding[R any] interface {
	Add(e projections.LedgerEvent) error
	// Of returns the row that an event is folded into, as it is now: whether it is
	// folded at all, and whether there is a row yet.
	Of(e projections.LedgerEvent) (row R, there, folded bool, err error)
	Rows() []R
}

func (t *mergedCompared[R]) name() string { return t.table }

func (t *mergedCompared[R]) load(ctx context.Context, p readmodels.Shard, _ uint64) error {
	t.begin(p)
	t.fold, t.young = t.begins(), map[string]bool{}
	return t.read(ctx, p, t.take)
}

func (t *mergedCompared[R]) add(e projections.LedgerEvent, tail bool) error {
	id, is := strings.CutPrefix(e.Stream, notification.StreamPrefix)
	if !is || !t.part.Has(id) {
		return nil
	}
	if !tail {
		return t.fold.Add(e)
	}
	before, there, folded, err := t.fold.Of(e)
	if err != nil { // it cannot be read
		return t.fold.Add(e)
	}
	if !folded {
		return nil
	}
	if there {
		if got := t.rows[t.key(before)]; got != nil && got.sum == fingerprint(before) {
			got.right = true
		}
		return t.fold.Add(e)
	}
	if err := t.fold.Add(e); err != nil {
		return err
	}
	if after, there, _, _ := t.fold.Of(e); there {
		t.young[t.key(after)] = true
	}
	return nil
}

func (t *mergedCompared[R]) end(uint64) ([]candidate, uint64) {
	for _, want := range t.fold.Rows() {
		t.expect(want, t.young[t.key(want)])
	}
	t.fold, t.young = nil, nil
	return t.rest()
}

func edrCompared(conn readmodels.Conn, codec *event.Codec, keep bool) compared {
	return &mergedCompared[readmodels.EDR]{
		shown: shown[readmodels.EDR]{
			table: "edr", keep: keep,
			key: func(r readmodels.EDR) string {
				return fmt.Sprintf("%s/%s/%s/%d", r.Tenant, r.DayText, r.Notification, r.Attempt)
			},
			text: func(r readmodels.EDR) string { return r.Notification },
		},
		read: func(ctx context.Context, p readmodels.Shard, visit func(readmodels.EDR) error) error {
			return readmodels.EDRsIn(ctx, conn, p, visit)
		},
		begins: func() folding[readmodels.EDR] { return projections.NewEDRFold(codec) },
	}
}

func notificationsCompared(conn readmodels.Conn, codec *event.Codec, keep bool) compared {
	return &mergedCompared[readmodels.Notification]{
		shown: shown[readmodels.Notification]{
			table: "notifications", keep: keep,
			key:  func(r readmodels.Notification) string { return r.Tenant + "/" + r.Notification },
			text: func(r readmodels.Notification) string { return r.Notification },
		},
		read: func(ctx context.Context, p readmodels.Shard, visit func(readmodels.Notification) error) error {
			return readmodels.NotificationsIn(ctx, conn, p, visit)
		},
		begins: func() folding[readmodels.Notification] { return projections.NewNotificationFold(codec) },
	}
}
