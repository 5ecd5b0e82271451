package readmodels

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Shard is a part of a table, for comparing the table with the event store piece by
// piece: the rows whose text (a column of theirs, or several) has a CRC-32 that leaves
// Index when divided by Of; or, if Only is set, those whose text is one of these.
type Shard struct {
	Of, Index uint32
	Only      []string
}

// Has returns whether the rows of a text are in the shard.
func (p Shard) Has(text string) bool {
	if p.Only != nil {
		return slices.Contains(p.Only, text)
	}
	return p.Of <= 1 || crc32.ChecksumIEEE([]byte(text))%p.Of == p.Index
}

// where narrows a query to the part; text is an expression.
func (p Shard) where(text string) (string, []any) {
	switch {
	case p.Only != nil:
		return text + " IN {only:Array(String)}", []any{named("only", p.Only)}
	case p.Of <= 1:
		return "1", nil
	}
	return fmt.Sprintf("CRC32(%s) %% %d = %d", text, p.Of, p.Index), nil
}

// The texts of what is compared, as EventsIn and so on divide it.
const (
	eventText      = "stream"
	edrText        = "notification"
	callText       = "toString(seq)"
	accountingText = "concat(tenant, '/', toString(day))"
	rollupText     = "concat(tenant, '/', toString(grain), '/', toString(toUnixTimestamp(start)))"
)

// Text of a cell.
func (c AccountingCell) Text() string { return c.Tenant + "/" + c.Day.Format(dayStyle) }

// Text of a cell.
func (c RollupCell) Text() string { return fmt.Sprintf("%s/%s/%d", c.Tenant, c.Grain, c.Start.Unix()) }

// EventsIn hands over the rows of events of a part by stream, in no order.
func EventsIn(ctx context.Context, conn driver.Conn, p Shard, visit func(EventRow) error) error {
	return each(ctx, conn, "events", eventColumns.names(), p, eventText, visit)
}

// EDRsIn hands over the attempts of a part by notification, in no order.
func EDRsIn(ctx context.Context, conn driver.Conn, p Shard, visit func(EDR) error) error {
	return each(ctx, conn, "edr", []string{edrColumns}, p, edrText, func(r EDR) error {
		r.Day = r.Day.UTC()
		r.DayText = r.Day.Format(dayStyle)
		return visit(r)
	})
}

// NotificationsIn hands over the notifications of a part by id, in no order.
func NotificationsIn(ctx context.Context, conn driver.Conn, p Shard, visit func(Notification) error) error {
	return each(ctx, conn, "notifications", []string{notificationSelect}, p, edrText, visit)
}

// CallsIn hands over the rows of audit_log of a part by seq, in no order.
func CallsIn(ctx context.Context, conn driver.Conn, p Shard, visit func(AuditRow) error) error {
	return each(ctx, conn, "audit_log", auditColumns.names(), p, callText, visit)
}

func each[R any](ctx context.Context, conn driver.Conn, view string, columns []string, p Shard, text string, visit func(R) error) error {
	where, args := p.where(text)
	return scanEach(ctx, conn, view, "SELECT "+strings.Join(columns, ", ")+" FROM "+view+" WHERE "+where, args, visit)
}

func scanEach[R any](ctx context.Context, conn driver.Conn, of, query string, args []any, visit func(R) error) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("reading %s: %w", of, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r R
		if err := rows.ScanStruct(&r); err != nil {
			return fmt.Errorf("reading %s: %w", of, err)
		}
		if err := visit(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", of, err)
	}
	return nil
}

// Cut names the batch of a counting table that a number of ledger events falls into,
// if it falls into one, and the table that the view shows.
type Cut struct {
	Built string
	Some  bool
	First uint64
}

// CutOf returns the Cut of a number of ledger events.
func CutOf(ctx context.Context, conn driver.Conn, t Table, seq uint64) (Cut, error) {
	b, err := counts{view: t.Projection}.cut(ctx, conn, seq)
	return Cut{Built: b.built, Some: b.some, First: b.first}, err
}

// CountedRow is a cell and what it counts.
type CountedRow[C any] struct {
	Cell C
	Sums []int64 // in the order of AccountingSums; of a rollup n alone
}

// AccountingIn hands over the sums of the complete batches before a cut, of a shard by
// tenant and day: as readers get them, or those of the batches in a table.
func AccountingIn(ctx context.Context, conn driver.Conn, from string, p Shard, visit func(CountedRow[AccountingCell]) error) error {
	return eachCounted(ctx, conn, accountingCounts, from, p, accountingText, func(r AccountingLine) error {
		r.Day = r.Day.UTC()
		s := r.AccountingSums
		return visit(CountedRow[AccountingCell]{r.AccountingCell, []int64{s.Messages, s.Units, s.Billable, s.BillableUnits, s.Unpriced}})
	})
}

// RollupsIn does the same, by tenant, grain and start.
func RollupsIn(ctx context.Context, conn driver.Conn, from string, p Shard, visit func(CountedRow[RollupCell]) error) error {
	return eachCounted(ctx, conn, rollupCounts, from, p, rollupText, func(r RollupLine) error {
		r.Start = r.Start.UTC()
		return visit(CountedRow[RollupCell]{r.RollupCell, []int64{r.N}})
	})
}

// SumNames are the columns of a counting table that Sums are of.
func SumNames(t Table) []string {
	return countsOf(t).sums
}

// ShownBefore and BatchesBefore are where AccountingIn and RollupsIn read from: what
// readers are shown, or the batches themselves, of which some may be in spans by now.
func ShownBefore(t Table, cut uint64) string {
	return fmt.Sprintf("%s_as_of(cut = %d)", t.Projection, cut)
}

// BatchesBefore: see ShownBefore.
func BatchesBefore(built string, cut uint64) (string, error) {
	if err := checkName(built); err != nil {
		return "", err
	}
	return fmt.Sprintf("(SELECT * FROM %s FINAL WHERE last_seq < %d)", built, cut), nil
}

func eachCounted[R any](ctx context.Context, conn driver.Conn, c counts, from string, p Shard, text string, visit func(R) error) error {
	cell := []string{"tenant"}
	for _, d := range c.dimensions {
		if d != month {
			cell = append(cell, d)
		}
	}
	selected := slices.Clone(cell)
	var zero []string
	for _, s := range c.sums {
		selected = append(selected, "sum(counted."+s+") AS "+s)
		zero = append(zero, s+" != 0")
	}
	where, args := p.where(text)
	query := "SELECT " + strings.Join(selected, ", ") + " FROM " + from + " AS counted WHERE " + where +
		" GROUP BY " + strings.Join(cell, ", ") + " HAVING " + strings.Join(zero, " OR ")
	return scanEach(ctx, conn, c.view, query, args, visit)
}
