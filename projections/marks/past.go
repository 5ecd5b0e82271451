package marks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/projections"
	"recapito/readmodels"
)

// Past returns what was known before a cut, from the table events: merged tables forget.
// The tables must hold the cut. The results never change, since no event before a cut is
// ever added, and the order of all events is that of the store.
type Past struct {
	Conn  readmodels.Conn
	Codec *event.Codec // of every ledger event
}

// streamsAtOnce is how many notifications one statement reads the events of: their names, of
// 49 characters each, must fit into ClickHouse's max_query_size of 256 KiB.
const streamsAtOnce = 1000

// EDRs returns one page of attempts as they were.
func (p Past) EDRs(ctx context.Context, q readmodels.EDRQuery) (readmodels.EDRPage, error) {
	return readmodels.EDRsAsOf(ctx, p.Conn, q, p.attempts)
}

// EachEDR hands over every attempt as it was.
func (p Past) EachEDR(ctx context.Context, q readmodels.EDRQuery, visit func(readmodels.EDR) error) error {
	return readmodels.EachEDRAsOf(ctx, p.Conn, q, p.attempts, visit)
}

// Notifications returns those of a tenant's notifications that were there, by id.
func (p Past) Notifications(ctx context.Context, tenant string, ids []string, cut uint64) (map[string]readmodels.Notification, error) {
	all := make(map[string]readmodels.Notification, len(ids))
	fold := projections.NewNotificationFold(p.Codec)
	if err := p.each(ctx, tenant, ids, cut, fold.Add); err != nil {
		return nil, err
	}
	for _, n := range fold.Rows() {
		all[n.Notification] = n
	}
	return all, nil
}

// Unattempted are a person's notifications of which nothing had been scheduled, newest
// first (readmodels.Unattempted).
func (p Past) Unattempted(ctx context.Context, tenant, person string, from, to time.Time, cut uint64) ([]readmodels.Notification, error) {
	ids, err := readmodels.IDsOfPerson(ctx, p.Conn, tenant, person)
	if err != nil {
		return nil, err
	}
	were, err := p.Notifications(ctx, tenant, ids, cut)
	if err != nil {
		return nil, err
	}
	var all []readmodels.Notification
	for _, n := range were {
		at := n.RequestedAt
		if n.Attempts == 0 && (from.IsZero() || at != nil && !at.Before(from)) && (to.IsZero() || at != nil && at.Before(to)) {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b readmodels.Notification) int {
		return cmp.Or(when(b).Compare(when(a)), strings.Compare(a.Notification, b.Notification))
	})
	return all[:min(len(all), readmodels.MaxEDRLimit)], nil
}

func when(n readmodels.Notification) time.Time {
	if n.RequestedAt == nil {
		return time.Time{}
	}
	return *n.RequestedAt
}

// Events counts the events that a notification had.
func (p Past) Events(ctx context.Context, tenant, id string, cut uint64) (int, error) {
	n := 0
	err := p.each(ctx, tenant, []string{id}, cut, func(projections.LedgerEvent) error { n++; return nil })
	return n, err
}

func (p Past) attempts(ctx context.Context, tenant string, ids []string, cut uint64) ([]readmodels.EDR, error) {
	fold := projections.NewEDRFold(p.Codec)
	err := p.each(ctx, tenant, ids, cut, fold.Add)
	if err != nil {
		return nil, err
	}
	return fold.Rows(), nil
}

// each visits the events before a cut of notifications, those of each in order.
func (p Past) each(ctx context.Context, tenant string, ids []string, cut uint64, visit func(projections.LedgerEvent) error) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), streamsAtOnce)]
		ids = ids[len(some):]
		streams := make([]string, len(some))
		for i, id := range some {
			streams[i] = notification.StreamPrefix + id
		}
		err := readmodels.EventsOf(ctx, p.Conn, tenant, streams, cut, func(r readmodels.EventRow) error {
			return visit(projections.LedgerEvent{Seq: r.Seq, Recorded: event.Recorded{
				Stream: r.Stream, Revision: event.Revision(r.Revision), Position: event.Position(r.Position),
				ID: r.ID, Type: r.Type, Data: []byte(r.Data), Metadata: []byte(r.Metadata),
			}})
		})
		if err != nil {
			return fmt.Errorf("folding what was known: %w", err)
		}
	}
	return nil
}
