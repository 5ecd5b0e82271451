package readmodels

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// exportTimeout bounds one statement of an export on the server, slow readers included.
const exportTimeout = time.Hour

// EachEDR hands over every attempt that q asks for, in the order of its pages, however
// many there are: Limit and Cursor are not looked at. Rows are read as they are visited,
// some days at a time, so that neither side holds many. An attempt that changes meanwhile
// is handed over once, as it was when its day was read.
func EachEDR(ctx context.Context, conn driver.Conn, q EDRQuery, visit func(EDR) error) error {
	q.Cursor, q.Limit = "", MaxEDRLimit
	if _, err := q.prepare(); err != nil {
		return err
	}
	if q.keyed() {
		return q.eachPage(ctx, conn, visit)
	}
	ctx = within(ctx, exportTimeout)
	spans, err := q.spans(ctx, conn)
	if err != nil {
		return err
	}
	for _, s := range spans {
		w := q.where(s.oldest, s.newest)
		rows, err := conn.Query(ctx, "SELECT "+edrColumns+" FROM edr WHERE "+w.String()+edrOrder, w.args...)
		if err != nil {
			return fmt.Errorf("asking for the EDR: %w", err)
		}
		if err := visitEDRs(rows, visit); err != nil {
			return err
		}
	}
	return nil
}

// eachPage is for what has few rows, found by keys.
func (q EDRQuery) eachPage(ctx context.Context, conn driver.Conn, visit func(EDR) error) error {
	for {
		page, err := EDRs(ctx, conn, q)
		if err != nil {
			return err
		}
		for _, r := range page.Rows {
			if err := visit(r); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Cursor = page.Next
	}
}

// partsAtOnce is how many partial rows one statement of an export merges and sorts, if
// one day does not have more.
var partsAtOnce uint64 = 500_000 // a test lessens it

type daySpan struct{ oldest, newest time.Time }

// spans are the days in which the tenant has rows, newest first, in pieces that can be
// sorted at once.
func (q EDRQuery) spans(ctx context.Context, conn driver.Conn) ([]daySpan, error) {
	w := q.between(q.days(nil))
	rows, err := conn.Query(ctx, "SELECT day, count() FROM edr_parts WHERE "+w.String()+" GROUP BY day ORDER BY day DESC", w.args...)
	if err != nil {
		return nil, fmt.Errorf("asking for the days of the EDR: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var spans []daySpan
	var held uint64
	for rows.Next() {
		var d time.Time
		var parts uint64
		if err := rows.Scan(&d, &parts); err != nil {
			return nil, fmt.Errorf("reading the days of the EDR: %w", err)
		}
		d = d.UTC()
		if held += parts; len(spans) == 0 || held > partsAtOnce {
			spans, held = append(spans, daySpan{d, d}), parts
		}
		spans[len(spans)-1].oldest = d
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the days of the EDR: %w", err)
	}
	return spans, nil
}
