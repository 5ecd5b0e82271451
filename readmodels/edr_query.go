package readmodels

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Limits of an EDR query.
const (
	DefaultEDRLimit = 100
	MaxEDRLimit     = 1000

	edrQueryTimeout = 20 * time.Second // on the server; the context may end it sooner
)

// edrWindows are how many days are looked at, one after the other, going back from the
// newest, until a page is full; the rest follows in one piece. A page of a busy tenant
// is found in the newest day; one of a quiet tenant costs a few more queries.
var edrWindows = []int{1, 8, 31, 366}

// Errors of a query that its caller can mend.
var (
	ErrBadCursor = errors.New("the cursor is not one of this query")
	ErrBadQuery  = errors.New("the query is not valid")
)

// EDRQuery asks for attempts of one tenant, newest day first: by day downwards, then
// notification downwards, then attempt upwards.
type EDRQuery struct {
	Tenant string
	// From and To bound the time an attempt was due first, From included and To not;
	// zero is open.
	From, To time.Time
	EDRFilter
	// AsOf asks for the attempts as of the first so many ledger events. The tables forget, so
	// EDRs and EachEDR refuse it: such rows are folded from events (EDRsAsOf).
	AsOf   *uint64
	Cursor string // Next of the page before, of the same query
	Limit  int    // 0 is DefaultEDRLimit; more than MaxEDRLimit is refused
}

// EDRPage is a page of attempts. Next is empty after the last.
type EDRPage struct {
	Rows []EDR  `json:"rows"`
	Next string `json:"next,omitempty"`
}

// EDRs returns one page. Errors: ErrBadCursor, ErrBadQuery, or one of the read models.
func EDRs(ctx context.Context, conn driver.Conn, q EDRQuery) (EDRPage, error) {
	after, err := q.prepare()
	if err != nil {
		return EDRPage{}, err
	}
	ctx = within(ctx, edrQueryTimeout)
	read := q.byDays
	if q.keyed() {
		read = q.byKeys
	}
	// One more than asked for shows whether another page follows.
	rows, err := read(ctx, conn, after, q.Limit+1)
	if err != nil {
		return EDRPage{}, err
	}
	page := EDRPage{Rows: rows}
	if len(rows) > q.Limit {
		page.Rows = rows[:q.Limit]
		page.Next = q.next(rows[q.Limit-1])
	}
	return page, nil
}

// prepare checks the query and reads its cursor.
func (q *EDRQuery) prepare() (*edrCursor, error) {
	if q.Limit == 0 {
		q.Limit = DefaultEDRLimit
	}
	if q.Tenant == "" || q.Limit < 0 || q.Limit > MaxEDRLimit {
		return nil, fmt.Errorf("%w: it needs a tenant and a limit of at most %d", ErrBadQuery, MaxEDRLimit)
	}
	if q.AsOf != nil {
		return nil, fmt.Errorf("%w: the tables show only what is known now", ErrBadQuery)
	}
	if err := q.EDRFilter.check(); err != nil {
		return nil, err
	}
	return q.cursor()
}

// byDays walks back through the days until there are enough rows.
func (q EDRQuery) byDays(ctx context.Context, conn driver.Conn, after *edrCursor, limit int) ([]EDR, error) {
	oldest, newest, err := q.bounds(ctx, conn, after)
	if err != nil {
		return nil, err
	}
	var all []EDR
	for to, i := newest, 0; !to.Before(oldest) && len(all) < limit; i++ {
		from := oldest
		if i < len(edrWindows) {
			from = later(oldest, to.AddDate(0, 0, 1-edrWindows[i]))
		}
		w := q.where(from, to)
		w.after(after)
		rows, err := w.rows(ctx, conn, limit-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		to = from.AddDate(0, 0, -1)
	}
	return all, nil
}

// keysAtOnce bounds the attempts that are named in one statement.
const keysAtOnce = MaxEDRLimit + 1

// byKeys finds attempts by an index of the partial rows (a person's, a
// notification's, those changed since), and merges only these.
func (q EDRQuery) byKeys(ctx context.Context, conn driver.Conn, after *edrCursor, limit int) ([]EDR, error) {
	var all []EDR
	// Most often every key that is found fits; then no more are read than a page has.
	for atOnce := limit; len(all) < limit; atOnce = min(4*atOnce, keysAtOnce) {
		keys, err := q.keys(ctx, conn, after, atOnce)
		if err != nil || len(keys) == 0 {
			return all, err
		}
		// Newest first: the last key is of the oldest day.
		w := q.where(keys[len(keys)-1].day, keys[0].day)
		w.among(q.Tenant, keys)
		rows, err := w.rows(ctx, conn, limit-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(keys) < atOnce {
			break
		}
		after = &keys[len(keys)-1]
	}
	return all, nil
}

// keys returns the next attempts that can fit. Each partial row has the attempt's
// key and facts, and what changed since a place has a partial row from after it,
// merged or not: so no attempt that fits is missed, though some may not fit.
func (q EDRQuery) keys(ctx context.Context, conn driver.Conn, after *edrCursor, limit int) ([]edrCursor, error) {
	oldest, newest := q.days(after)
	w := q.between(oldest, newest)
	for _, column := range edrKeyColumns {
		if v := q.Is[column]; v != "" {
			w.add(column+" = {is_"+column+":String}", "is_"+column, v)
		}
	}
	if !q.byColumn() { // else the index of those columns does it, which does not have this one
		w.add("changed > {changed_after:UInt64}", "changed_after", *q.ChangedAfter)
	}
	w.after(after)
	w.args = append(w.args, named("limit", limit))
	rows, err := conn.Query(ctx, "SELECT DISTINCT day, notification, attempt FROM edr_parts WHERE "+w.String()+edrOrder+" LIMIT {limit:UInt32}", w.args...)
	if err != nil {
		return nil, fmt.Errorf("asking for keys of the EDR: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var keys []edrCursor
	for rows.Next() {
		var k edrCursor
		if err := rows.Scan(&k.day, &k.notification, &k.attempt); err != nil {
			return nil, fmt.Errorf("reading keys of the EDR: %w", err)
		}
		k.day = k.day.UTC()
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading keys of the EDR: %w", err)
	}
	return keys, nil
}

// days are the days that q can have rows in, both included.
func (q EDRQuery) days(after *edrCursor) (oldest, newest time.Time) {
	oldest, newest = firstDay, lastDay
	if !q.From.IsZero() {
		oldest = later(oldest, q.From.UTC().Truncate(day))
	}
	if !q.To.IsZero() {
		newest = earlier(newest, q.To.UTC().Add(-time.Nanosecond).Truncate(day))
	}
	if after != nil {
		newest = earlier(newest, after.day)
	}
	return oldest, newest
}

// bounds narrows those days to the ones that the tenant has rows in, by the index and
// one column, without merging: nothing is read of a tenant's months in vain.
func (q EDRQuery) bounds(ctx context.Context, conn driver.Conn, after *edrCursor) (oldest, newest time.Time, err error) {
	oldest, newest = q.days(after)
	if newest.Before(oldest) {
		return oldest, newest, nil
	}
	w := q.between(oldest, newest)
	var first, last time.Time
	var some bool
	err = conn.QueryRow(ctx, "SELECT count() > 0, min(day), max(day) FROM edr_parts WHERE "+w.String(), w.args...).Scan(&some, &first, &last)
	if err != nil {
		return oldest, newest, fmt.Errorf("asking for the days of the EDR: %w", err)
	}
	if !some {
		return oldest, oldest.AddDate(0, 0, -1), nil
	}
	return first.UTC(), last.UTC(), nil
}

// where is a condition with what it binds.
type where struct {
	conditions []string
	args       []any
}

const edrOrder = " ORDER BY day DESC, notification DESC, attempt"

func (w *where) String() string { return strings.Join(w.conditions, " AND ") }

func (w *where) add(condition, name string, value any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, named(name, value))
}

// between is the tenant's days, both included.
func (q EDRQuery) between(oldest, newest time.Time) *where {
	w := &where{}
	w.add("tenant = {tenant:String}", "tenant", q.Tenant)
	w.add("day BETWEEN toDate({oldest:String}) AND toDate({newest:String})", "oldest", oldest.Format(dayStyle))
	w.args = append(w.args, named("newest", newest.Format(dayStyle)))
	return w
}

// where is everything that a row must be, but its place in the order.
func (q EDRQuery) where(oldest, newest time.Time) *where {
	w := q.between(oldest, newest)
	if !q.From.IsZero() {
		w.add("due_at >= fromUnixTimestamp64Micro({from:Int64})", "from", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		w.add("due_at < fromUnixTimestamp64Micro({to:Int64})", "to", q.To.UnixMicro())
	}
	q.narrow(w)
	return w
}

// after leaves out what a cursor has passed.
func (w *where) after(c *edrCursor) {
	if c == nil {
		return
	}
	w.add(`(day < toDate({cursor_day:String})
		OR day = toDate({cursor_day:String}) AND (notification < {cursor_notification:String}
		OR notification = {cursor_notification:String} AND attempt > {cursor_attempt:UInt16}))`,
		"cursor_day", c.day.Format(dayStyle))
	w.args = append(w.args, named("cursor_notification", c.notification), named("cursor_attempt", c.attempt))
}

// among names the attempts, by all of the table's key, so that the index finds them.
func (w *where) among(tenant string, keys []edrCursor) {
	var b strings.Builder
	b.WriteString("(tenant, day, notification, attempt) IN (")
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "(%s,toDate('%s'),%s,%d)", literal(tenant), k.day.Format(dayStyle), literal(k.notification), k.attempt)
	}
	b.WriteByte(')')
	w.conditions = append(w.conditions, b.String())
}

var literals = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// literal is a text as ClickHouse reads it between quotes.
func literal(s string) string { return "'" + literals.Replace(s) + "'" }

// rows reads at most limit rows in order. Days or keys have found them by then: to look at
// the index of changes too takes a tenth of the time of a page.
func (w *where) rows(ctx context.Context, conn driver.Conn, limit int) ([]EDR, error) {
	args := append(slices.Clip(w.args), named("limit", limit))
	rows, err := conn.Query(ctx, "SELECT "+edrColumns+" FROM edr WHERE "+w.String()+edrOrder+" LIMIT {limit:UInt32} SETTINGS use_skip_indexes = 0", args...)
	if err != nil {
		return nil, fmt.Errorf("asking for the EDR: %w", err)
	}
	return scanEDRs(rows)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
