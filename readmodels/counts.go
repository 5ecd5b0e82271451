package readmodels

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Limits of a query of counts.
const (
	MaxCountLines     = 100_000
	countQueryTimeout = 20 * time.Second // on the server
	asOfTries         = 5                // while a rebuilt table is being shown
)

// ErrTooManyLines: a query of counts has more lines than MaxCountLines.
var ErrTooManyLines = errors.New("more lines than one response holds: group by less, or narrow the period")

// CountQuery asks for sums of one tenant's accounting or rollups.
type CountQuery struct {
	Tenant string
	// From and To bound the day, or the start: From included, To not.
	From, To time.Time
	// GroupBy names the dimensions of the lines; the others are added up. The
	// time is one of them: day, month or start.
	GroupBy []string
	// Where narrows dimensions to one of the values; of test they are true and false.
	Where map[string][]string
	// AsOf counts only the first so many ledger events, which must be in the table.
	AsOf *uint64
}

// fixedValue is the form of a grain or a basis.
var fixedValue = regexp.MustCompile(`^[a-z]{1,16}$`)

// month is a dimension that is not a column.
const month = "month"

// counts is a kind of sums that can be asked for.
type counts struct {
	view       string
	time       string // the column
	dimensions []string
	sums       []string
	fixed      []string // dimensions that must be narrowed to one value: counts of two of them do not add up
}

var (
	accountingCounts = counts{
		view: "accounting", time: "day",
		dimensions: slices.Concat([]string{"day", month}, accountingDimensions.names(), []string{"status"}),
		sums:       []string{"messages", "units", "billable", "billable_units", "unpriced"},
	}
	rollupCounts = counts{
		view: "rollups", time: "start",
		dimensions: slices.Concat([]string{"start", "grain", "basis", "measure"}, rollupDimensions.names(), []string{"detail", "bucket"}),
		sums:       []string{"n"},
		fixed:      []string{"grain", "basis"},
	}
)

// AccountingGroups and RollupGroups are what their queries may group by and be narrowed by.
func AccountingGroups() []string { return slices.Clone(accountingCounts.dimensions) }

// RollupGroups are those of the rollups.
func RollupGroups() []string { return slices.Clone(rollupCounts.dimensions) }

// AccountingLine is a line of the result: dimensions that were not asked for are empty.
type AccountingLine struct {
	AccountingCell
	DayText string `ch:"-" json:"day,omitempty"` // yyyy-mm-dd; yyyy-mm of a month
	AccountingSums
}

// RollupLine is a line of the result: dimensions that were not asked for are empty.
type RollupLine struct {
	RollupCell
	N int64 `ch:"n" json:"n"`
}

// Accounting returns sums, by what the query groups by. As of AsOf, rest must return the
// sums of the events from the first to the cut (projections.Counts does).
func Accounting(ctx context.Context, conn driver.Conn, q CountQuery, rest RestFunc[AccountingRow]) ([]AccountingLine, error) {
	lines := map[AccountingCell]AccountingSums{}
	err := accountingCounts.ask(ctx, conn, q, func() { clear(lines) }, func(rows driver.Rows) error {
		var r AccountingLine
		if err := rows.ScanStruct(&r); err != nil {
			return err
		}
		r.Day = r.Day.UTC()
		s := lines[r.AccountingCell]
		s.Add(1, r.AccountingSums)
		lines[r.AccountingCell] = s
		return nil
	}, func(first, position uint64) error {
		rows, err := rest(ctx, first, position, *q.AsOf)
		for _, r := range rows {
			if cell, in := line(q, r.AccountingCell, r.Tenant, r.Day, "Day"); in {
				s := lines[cell]
				s.Add(1, r.AccountingSums)
				lines[cell] = s
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]AccountingLine, 0, len(lines))
	for cell, s := range lines {
		if s == (AccountingSums{}) {
			continue
		}
		l := AccountingLine{AccountingCell: cell, AccountingSums: s}
		switch {
		case slices.Contains(q.GroupBy, "day"):
			l.DayText = cell.Day.Format(dayStyle)
		case slices.Contains(q.GroupBy, month):
			l.DayText = cell.Day.Format("2006-01")
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b AccountingLine) int { return compareCells(a.AccountingCell, b.AccountingCell) })
	return all, nil
}

// Rollups returns counts, by what the query groups by; rest as in Accounting.
func Rollups(ctx context.Context, conn driver.Conn, q CountQuery, rest RestFunc[RollupRow]) ([]RollupLine, error) {
	lines := map[RollupCell]int64{}
	err := rollupCounts.ask(ctx, conn, q, func() { clear(lines) }, func(rows driver.Rows) error {
		var r RollupLine
		if err := rows.ScanStruct(&r); err != nil {
			return err
		}
		r.Start = r.Start.UTC()
		lines[r.RollupCell] += r.N
		return nil
	}, func(first, position uint64) error {
		rows, err := rest(ctx, first, position, *q.AsOf)
		for _, r := range rows {
			if cell, in := line(q, r.RollupCell, r.Tenant, r.Start, "Start"); in {
				lines[cell] += r.N
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]RollupLine, 0, len(lines))
	for cell, n := range lines {
		if n != 0 {
			all = append(all, RollupLine{RollupCell: cell, N: n})
		}
	}
	slices.SortFunc(all, func(a, b RollupLine) int { return compareCells(a.RollupCell, b.RollupCell) })
	return all, nil
}

// RestFunc makes the sums of the ledger events from seq first, which is at position in
// the store, up to the one before cut.
type RestFunc[R Row] func(ctx context.Context, first, position, cut uint64) ([]R, error)

// ask runs a query. As of a cut it reads the complete batches, calls rest for the events after them, and
// begins anew if another table was shown meanwhile, whose batches are others.
func (c counts) ask(ctx context.Context, conn driver.Conn, q CountQuery, reset func(), scan func(driver.Rows) error, rest func(first, position uint64) error) error {
	query, args, err := c.statement(q)
	if err != nil {
		return err
	}
	ctx = within(ctx, countQueryTimeout)
	if q.AsOf == nil {
		return c.read(ctx, conn, query, args, scan)
	}
	before, err := c.cut(ctx, conn, *q.AsOf)
	for range asOfTries {
		if err != nil {
			return err
		}
		reset()
		if err := c.read(ctx, conn, query, args, scan); err != nil {
			return err
		}
		if before.some {
			if err := rest(before.first, before.position); err != nil {
				return err
			}
		}
		var after cutBatch
		if after, err = c.cut(ctx, conn, *q.AsOf); err == nil && after == before {
			return nil
		}
		before = after
	}
	return cmp.Or(err, fmt.Errorf("reading %s: its table is being exchanged again and again", c.view))
}

// cutBatch is the batch that a cut falls into, if it falls into one, of a table.
type cutBatch struct {
	built           string
	first, position uint64
	some            bool
}

func (c counts) cut(ctx context.Context, conn driver.Conn, seq uint64) (b cutBatch, err error) {
	query := fmt.Sprintf("SELECT built, some, first, position FROM %s_cut(cut = %d)", c.view, seq)
	if err := conn.QueryRow(ctx, query).Scan(&b.built, &b.some, &b.first, &b.position); err != nil {
		return b, fmt.Errorf("asking %s for the batch of a cut: %w", c.view, err)
	}
	return b, nil
}

func (c counts) read(ctx context.Context, conn driver.Conn, query string, args []any, scan func(driver.Rows) error) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.view, err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for rows.Next() {
		if n++; n > MaxCountLines {
			return ErrTooManyLines
		}
		if err := scan(rows); err != nil {
			return fmt.Errorf("reading %s: %w", c.view, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", c.view, err)
	}
	return nil
}

func (c counts) statement(q CountQuery) (string, []any, error) {
	if q.Tenant == "" {
		return "", nil, fmt.Errorf("%w: it names no tenant", ErrBadQuery)
	}
	for _, d := range c.fixed {
		if len(q.Where[d]) != 1 {
			return "", nil, fmt.Errorf("%w: it must be narrowed to one %s", ErrBadQuery, d)
		}
	}
	selected := []string{"tenant"}
	group := []string{"tenant"}
	for _, d := range q.GroupBy {
		switch {
		case !slices.Contains(c.dimensions, d):
			return "", nil, fmt.Errorf("%w: it cannot group by %q", ErrBadQuery, d)
		case d == month:
			selected, group = append(selected, "toStartOfMonth(day) AS day"), append(group, "day")
		default:
			selected, group = append(selected, d), append(group, d)
		}
	}
	if slices.Contains(q.GroupBy, month) && slices.Contains(q.GroupBy, c.time) {
		return "", nil, fmt.Errorf("%w: it cannot group by %s and by month", ErrBadQuery, c.time)
	}
	for _, s := range c.sums {
		selected = append(selected, "sum("+s+") AS "+s)
	}
	view := c.view
	if q.AsOf != nil {
		view = fmt.Sprintf("%s_as_of(cut = %d)", c.view, *q.AsOf)
	}
	where := []string{"tenant = {tenant:String}"}
	args := []any{named("tenant", q.Tenant)}
	bound := map[string]string{"day": "toDate({%s:String})", "start": "toDateTime({%s:String}, 'UTC')"}[c.time]
	style := map[string]string{"day": dayStyle, "start": time.DateTime}[c.time]
	if !q.From.IsZero() {
		where, args = append(where, "view."+c.time+" >= "+fmt.Sprintf(bound, "from")), append(args, named("from", q.From.UTC().Format(style)))
	}
	if !q.To.IsZero() {
		where, args = append(where, "view."+c.time+" < "+fmt.Sprintf(bound, "to")), append(args, named("to", q.To.UTC().Format(style)))
	}
	names := make([]string, 0, len(q.Where))
	for d := range q.Where {
		names = append(names, d)
	}
	slices.Sort(names)
	for _, d := range names {
		if !slices.Contains(c.dimensions, d) || d == month {
			return "", nil, fmt.Errorf("%w: it cannot be narrowed by %q", ErrBadQuery, d)
		}
		switch values := q.Where[d]; {
		case slices.Contains(c.fixed, d):
			if !fixedValue.MatchString(values[0]) {
				return "", nil, fmt.Errorf("%w: there is no such %s", ErrBadQuery, d)
			}
			where = append(where, "view."+d+" = '"+values[0]+"'") // a literal, for the index to be used
		case slices.Contains([]string{"day", "start", "test", "bucket"}, d):
			where, args = append(where, "toString(view."+d+") IN {"+d+":Array(String)}"), append(args, named(d, values))
		default:
			where, args = append(where, "view."+d+" IN {"+d+":Array(String)}"), append(args, named(d, values))
		}
	}
	statement := "SELECT " + strings.Join(selected, ", ") + " FROM " + view + " AS view WHERE " + strings.Join(where, " AND ") +
		" GROUP BY " + strings.Join(group, ", ") + fmt.Sprintf(" LIMIT %d", MaxCountLines+1)
	return statement, args, nil
}

// line changes a cell to that of the line of q that it belongs to, or returns that it
// belongs to none.
func line[C any](q CountQuery, cell C, tenant string, at time.Time, timeField string) (C, bool) {
	var none C
	if tenant != q.Tenant || !q.From.IsZero() && at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) {
		return none, false
	}
	v := reflect.ValueOf(&cell).Elem()
	for _, c := range columnsOf(v.Type()) {
		field := v.FieldByIndex(c.index)
		if values := q.Where[c.Name]; values != nil && !slices.Contains(values, fmt.Sprint(field.Interface())) {
			return none, false
		}
		if c.Name != "tenant" && !slices.Contains(q.GroupBy, c.Name) {
			field.SetZero()
		}
	}
	if slices.Contains(q.GroupBy, month) {
		v.FieldByName(timeField).Set(reflect.ValueOf(time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)))
	}
	return cell, true
}

// compareCells orders cells by their fields, in the order they are declared in.
func compareCells[C any](a, b C) int {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for _, column := range columnsOf(va.Type()) {
		x, y := va.FieldByIndex(column.index).Interface(), vb.FieldByIndex(column.index).Interface()
		c := 0
		switch x := x.(type) {
		case string:
			c = strings.Compare(x, y.(string))
		case time.Time:
			c = x.Compare(y.(time.Time))
		case uint16:
			c = cmp.Compare(x, y.(uint16))
		case bool:
			c = strings.Compare(fmt.Sprint(x), fmt.Sprint(y))
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
