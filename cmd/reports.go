package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/api"
	"recapito/api/export"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

// reports answers what the read models tell, for the API.
type reports struct {
	read   readmodels.Conn
	counts projections.Counts
	marks  *projections.Marks
	states func() []projections.State
}

func (l *ledger) reports() reports {
	return reports{
		read: l.engines.read, marks: l.marks, states: l.projections.States,
		counts: projections.Counts{Conn: l.engines.read, Source: l.engines.events, Codec: l.codec},
	}
}

// How long a report of the past waits for a table that has not come so far.
const (
	reachTimeout = 10 * time.Second
	reachEvery   = 50 * time.Millisecond
)

// reach waits until a projection's table holds every event before a cut.
func (r reports) reach(ctx context.Context, projection string, cut *uint64) error {
	if cut == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	for {
		for _, s := range r.states() {
			if s.Projection == projection && s.Events >= *cut {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is behind the time asked for: %w", projection, event.ErrUnavailable)
		case <-time.After(reachEvery):
		}
	}
}

func (r reports) EDRs(ctx context.Context, q readmodels.EDRQuery) (readmodels.EDRPage, error) {
	return readmodels.EDRs(ctx, r.read, q)
}

func (r reports) EachEDR(ctx context.Context, q readmodels.EDRQuery, visit func(readmodels.EDR) error) error {
	return readmodels.EachEDR(ctx, r.read, q, visit)
}

func (r reports) Notifications(ctx context.Context, tenant string, ids []string, asOf *uint64) (map[string]readmodels.Notification, error) {
	if asOf != nil {
		return nil, nil // not told of the past
	}
	return readmodels.NotificationsOf(ctx, r.read, tenant, ids)
}

func (r reports) Accounting(ctx context.Context, q readmodels.CountQuery) ([]readmodels.AccountingLine, error) {
	if err := r.reach(ctx, readmodels.AccountingTable.Projection, q.AsOf); err != nil {
		return nil, err
	}
	return r.counts.Accounting(ctx, q)
}

func (r reports) Rollups(ctx context.Context, q readmodels.CountQuery) ([]readmodels.RollupLine, error) {
	if err := r.reach(ctx, readmodels.RollupsTable.Projection, q.AsOf); err != nil {
		return nil, err
	}
	return r.counts.Rollups(ctx, q)
}

// Resolve answers the cut of an as-of time.
func (r reports) Resolve(ctx context.Context, asOf time.Time) (export.Cut, error) {
	cut, err := r.marks.Resolve(ctx, asOf)
	if errors.Is(err, projections.ErrFuture) || errors.Is(err, projections.ErrBeforeMarks) {
		return export.Cut{}, api.ErrNoPast
	}
	return export.Cut{Seq: cut.Seq, Time: cut.MarkTime}, err
}
