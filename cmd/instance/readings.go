package instance

import (
	"context"
	"errors"
	"time"

	"recapito/api"
	"recapito/api/reports"
	"recapito/api/reports/export"
	"recapito/projections"
	"recapito/projections/marks"
	"recapito/readmodels"
)

// readings are the queries of the API's reports.
type readings struct {
	read   readmodels.Conn
	counts marks.Counts
	past   marks.Past
	marks  *marks.Timeline
	holds  func(ctx context.Context, events uint64, projections ...string) error
}

func (l *Instance) readings() readings {
	return readings{
		read: l.Engines.Read, marks: l.marks, holds: l.Projections.Holds,
		past:   marks.Past{Conn: l.Engines.Read, Codec: l.codec},
		counts: marks.Counts{Conn: l.Engines.Read, Source: l.Engines.Events, Codec: l.codec},
	}
}

// reach waits until projections' tables hold every event before a cut.
func (r readings) reach(ctx context.Context, cut *uint64, projections ...string) error {
	if cut == nil {
		return nil
	}
	return r.holds(ctx, *cut, projections...)
}

func (r readings) EDRs(ctx context.Context, q readmodels.EDRQuery) (readmodels.EDRPage, error) {
	if q.AsOf == nil {
		return readmodels.EDRs(ctx, r.read, q)
	}
	if err := r.reachAttempts(ctx, q.AsOf); err != nil {
		return readmodels.EDRPage{}, err
	}
	return r.past.EDRs(ctx, q)
}

func (r readings) EachEDR(ctx context.Context, q readmodels.EDRQuery, visit func(readmodels.EDR) error) error {
	if q.AsOf == nil {
		return readmodels.EachEDR(ctx, r.read, q, visit)
	}
	if err := r.reachAttempts(ctx, q.AsOf); err != nil {
		return err
	}
	return r.past.EachEDR(ctx, q, visit)
}

// reachAttempts: the EDR names the attempts, and their events hold how they were.
func (r readings) reachAttempts(ctx context.Context, cut *uint64) error {
	return r.reach(ctx, cut, readmodels.EDRTable.Projection, readmodels.EventsTable.Projection)
}

func (r readings) Notifications(ctx context.Context, tenant string, ids []string, asOf *uint64) (map[string]readmodels.Notification, error) {
	if asOf == nil {
		return readmodels.NotificationsOf(ctx, r.read, tenant, ids)
	}
	if err := r.reach(ctx, asOf, readmodels.EventsTable.Projection); err != nil {
		return nil, err
	}
	return r.past.Notifications(ctx, tenant, ids, *asOf)
}

func (r readings) Unattempted(ctx context.Context, tenant, person string, from, to time.Time, asOf *uint64) ([]readmodels.Notification, error) {
	if asOf == nil {
		return readmodels.Unattempted(ctx, r.read, tenant, person, from, to)
	}
	if err := r.reach(ctx, asOf, readmodels.NotificationsTable.Projection, readmodels.EventsTable.Projection); err != nil {
		return nil, err
	}
	return r.past.Unattempted(ctx, tenant, person, from, to, *asOf)
}

func (r readings) EventsBefore(ctx context.Context, tenant, id string, cut uint64) (int, error) {
	if err := r.reach(ctx, &cut, readmodels.EventsTable.Projection); err != nil {
		return 0, err
	}
	return r.past.Events(ctx, tenant, id, cut)
}

func (r readings) Accounting(ctx context.Context, q readmodels.CountQuery) ([]readmodels.AccountingLine, error) {
	if err := r.reach(ctx, q.AsOf, readmodels.AccountingTable.Projection); err != nil {
		return nil, err
	}
	return r.counts.Accounting(ctx, q)
}

func (r readings) Rollups(ctx context.Context, q readmodels.CountQuery) ([]readmodels.RollupLine, error) {
	if err := r.reach(ctx, q.AsOf, readmodels.RollupsTable.Projection); err != nil {
		return nil, err
	}
	return r.counts.Rollups(ctx, q)
}

// Resolve returns the cut of an as-of time.
func (r readings) Resolve(ctx context.Context, asOf time.Time) (export.Cut, error) {
	cut, err := r.marks.Resolve(ctx, asOf)
	var before *marks.BeforeMarks
	switch {
	case errors.Is(err, marks.ErrFuture):
		return export.Cut{}, &reports.NoPast{}
	case errors.As(err, &before):
		return export.Cut{}, &reports.NoPast{First: before.First}
	}
	return export.Cut{Seq: cut.Seq, Time: cut.MarkTime}, err
}

// operations are those of the API, for the projection of its calls.
func operations() projections.Operations {
	all := projections.Operations{}
	for id, o := range api.Operations() {
		all[id] = projections.Operation(o)
	}
	return all
}
