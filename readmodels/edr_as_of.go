package readmodels

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// FoldEDRs folds the events before a cut of some notifications of a tenant to their
// attempts, in any order. projections.Past does it.
type FoldEDRs func(ctx context.Context, tenant string, notifications []string, cut uint64) ([]EDR, error)

// EDRsAsOf returns one page as of q.AsOf. What an attempt is filed under never changes, so
// the present table has the attempts that may be asked for; how each of them was is folded
// from the events before the cut, and then narrowed by what changes. Tables must hold the
// cut.
func EDRsAsOf(ctx context.Context, conn driver.Conn, q EDRQuery, fold FoldEDRs) (EDRPage, error) {
	now, err := q.now()
	if err != nil {
		return EDRPage{}, err
	}
	if _, err := now.prepare(); err != nil {
		return EDRPage{}, err
	}
	after, err := q.cursor()
	if err != nil {
		return EDRPage{}, err
	}
	q.Limit = now.Limit
	ctx = within(ctx, edrQueryTimeout)
	read := now.byDays
	if now.keyed() {
		read = now.byKeys
	}
	// One more than asked for shows whether another page follows.
	var page EDRPage
	for limit := q.Limit + 1; len(page.Rows) <= q.Limit; {
		some, err := read(ctx, conn, after, limit)
		if err != nil {
			return EDRPage{}, err
		}
		then, err := asTheyWere(ctx, q, some, fold)
		if err != nil {
			return EDRPage{}, err
		}
		page.Rows = append(page.Rows, then...)
		if len(some) < limit {
			break
		}
		last := some[len(some)-1]
		after = &edrCursor{last.Day, last.Notification, last.Attempt}
	}
	if len(page.Rows) > q.Limit {
		page.Rows = page.Rows[:q.Limit]
		page.Next = q.next(page.Rows[q.Limit-1])
	}
	return page, nil
}

// now is the query of the table of now for the attempts that may be asked for: by their
// filter without what of an attempt changes.
func (q EDRQuery) now() (EDRQuery, error) {
	if q.AsOf == nil {
		return q, fmt.Errorf("%w: it names no cut", ErrBadQuery)
	}
	if err := q.check(); err != nil {
		return q, err
	}
	q.AsOf, q.Cursor = nil, ""
	q.Is = maps.Clone(q.Is)
	delete(q.Is, "status")
	delete(q.Is, "code")
	q.Within = nil
	return q, nil
}

// asTheyWere returns those of the attempts that were there and fit, in the same order.
func asTheyWere(ctx context.Context, q EDRQuery, now []EDR, fold FoldEDRs) ([]EDR, error) {
	var ids []string
	for _, r := range now {
		if len(ids) == 0 || ids[len(ids)-1] != r.Notification { // they lie together
			ids = append(ids, r.Notification)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	folded, err := fold(ctx, q.Tenant, ids, *q.AsOf)
	if err != nil {
		return nil, err
	}
	type key struct {
		notification string
		attempt      uint16
	}
	were := make(map[key]EDR, len(folded))
	for _, r := range folded {
		were[key{r.Notification, r.Attempt}] = r
	}
	var fitting []EDR
	for _, r := range now {
		if then, was := were[key{r.Notification, r.Attempt}]; was && q.Fits(then) {
			fitting = append(fitting, then)
		}
	}
	return fitting, nil
}

// foldedAtOnce is how many attempts of an export are folded together.
const foldedAtOnce = 4 * MaxEDRLimit

// EachEDRAsOf hands over every attempt that q asks for as of q.AsOf, in the order of its
// pages: Limit and Cursor are not looked at. The table of now is read as EachEDR does it.
func EachEDRAsOf(ctx context.Context, conn driver.Conn, q EDRQuery, fold FoldEDRs, visit func(EDR) error) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	var some []EDR
	hand := func() error {
		then, err := asTheyWere(within(ctx, edrQueryTimeout), q, some, fold)
		if err != nil {
			return err
		}
		some = some[:0]
		for _, r := range then {
			if err := visit(r); err != nil {
				return err
			}
		}
		return nil
	}
	err = EachEDR(ctx, conn, now, func(r EDR) error {
		if some = append(some, r); len(some) < foldedAtOnce {
			return nil
		}
		return hand()
	})
	if err != nil {
		return err
	}
	return hand()
}

// EventsOf hands over the events before a cut of some streams of a tenant, by seq.
func EventsOf(ctx context.Context, conn driver.Conn, tenant string, streams []string, cut uint64, visit func(EventRow) error) error {
	keys := make([]string, len(streams))
	for i, s := range streams {
		keys[i] = literal(s)
	}
	query := "SELECT " + strings.Join(eventColumns.names(), ", ") + " FROM events WHERE tenant = {tenant:String} AND stream IN (" +
		strings.Join(keys, ",") + ") AND seq < {cut:UInt64} ORDER BY seq"
	rows, err := conn.Query(ctx, query, named("tenant", tenant), named("cut", cut))
	if err != nil {
		return fmt.Errorf("asking for the events of notifications: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r EventRow
		if err := rows.ScanStruct(&r); err != nil {
			return fmt.Errorf("reading the events of notifications: %w", err)
		}
		if err := visit(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the events of notifications: %w", err)
	}
	return nil
}
