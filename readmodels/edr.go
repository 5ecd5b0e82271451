package readmodels

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
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

// Errors of an EDR query that its caller can mend.
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
	// Channel, Scenario and Status narrow; empty ones do not.
	Channel, Scenario, Status string
	Cursor                    string // Next of the page before, of the same query
	Limit                     int    // 0 is DefaultEDRLimit; more than MaxEDRLimit is refused
}

// EDRPage is a page of attempts. Next is empty after the last.
type EDRPage struct {
	Rows []EDR  `json:"rows"`
	Next string `json:"next,omitempty"`
}

// EDR is one attempt, as the view edr shows it.
type EDR struct {
	Tenant       string    `ch:"tenant" json:"tenant"`
	Day          time.Time `ch:"day" json:"-"`
	DayText      string    `ch:"-" json:"day"` // yyyy-mm-dd, UTC
	Notification string    `ch:"notification" json:"notification"`
	Attempt      uint16    `ch:"attempt" json:"attempt"`
	Step         uint16    `ch:"step" json:"step"`
	Target       uint16    `ch:"target" json:"target"`
	Kind         string    `ch:"kind" json:"kind"`                 // first, retry, resend
	Follows      uint16    `ch:"follows" json:"follows,omitempty"` // the attempt it follows
	Channel      string    `ch:"channel" json:"channel"`
	Route        string    `ch:"route" json:"route"`
	Sender       string    `ch:"sender" json:"sender,omitempty"`
	Scenario     string    `ch:"scenario" json:"scenario"`
	Version      string    `ch:"version" json:"version"`
	Priority     string    `ch:"priority" json:"priority"`
	Country      string    `ch:"country" json:"country,omitempty"`
	Operator     string    `ch:"operator" json:"operator,omitempty"`
	Person       string    `ch:"person" json:"person"`
	Parts        uint16    `ch:"parts" json:"parts"`
	Test         bool      `ch:"test" json:"test"`
	Status       string    `ch:"status" json:"status"`
	Code         string    `ch:"code" json:"code,omitempty"`
	Times
	QueueMs    *int64 `ch:"queue_ms" json:"queue_ms,omitempty"`       // due → dispatched
	SubmitMs   *int64 `ch:"submit_ms" json:"submit_ms,omitempty"`     // dispatched → sent
	DeliveryMs *int64 `ch:"delivery_ms" json:"delivery_ms,omitempty"` // sent → delivered, by the provider's clock
}

const edrColumns = `tenant, day, notification, attempt, step, target, kind, follows, channel, route, sender,
	scenario, version, priority, country, operator, person, parts, test, status, code,
	requested_at, scheduled_at, due_at, dispatched_at, unknown_at, sent_at, undelivered_at, delivered_at,
	read_at, withdrawn_at, given_up_at, queue_ms, submit_ms, delivery_ms`

const (
	day      = 24 * time.Hour
	dayStyle = time.DateOnly
)

// The days that ClickHouse's type Date can hold.
var (
	firstDay = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(2149, 6, 6, 0, 0, 0, 0, time.UTC)
)

// EDRs answers one page. Errors: ErrBadCursor, ErrBadQuery, or that the read
// models do not answer.
func EDRs(ctx context.Context, conn driver.Conn, q EDRQuery) (EDRPage, error) {
	if q.Limit == 0 {
		q.Limit = DefaultEDRLimit
	}
	if q.Tenant == "" || q.Limit < 0 || q.Limit > MaxEDRLimit {
		return EDRPage{}, fmt.Errorf("%w: it needs a tenant and a limit of at most %d", ErrBadQuery, MaxEDRLimit)
	}
	after, err := q.cursor()
	if err != nil {
		return EDRPage{}, err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_execution_time": int(edrQueryTimeout / time.Second),
	}))
	oldest, newest, err := q.bounds(ctx, conn, after)
	if err != nil {
		return EDRPage{}, err
	}
	var page EDRPage
	for to, i := newest, 0; !to.Before(oldest); i++ {
		from := oldest
		if i < len(edrWindows) {
			from = later(oldest, to.AddDate(0, 0, 1-edrWindows[i]))
		}
		// One more than asked for tells whether another page follows.
		rows, err := q.window(ctx, conn, from, to, after, q.Limit+1-len(page.Rows))
		if err != nil {
			return EDRPage{}, err
		}
		page.Rows = append(page.Rows, rows...)
		if len(page.Rows) > q.Limit {
			page.Rows = page.Rows[:q.Limit]
			page.Next = q.next(page.Rows[q.Limit-1])
			break
		}
		to = from.AddDate(0, 0, -1)
	}
	return page, nil
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
	const query = `SELECT count() > 0, min(day), max(day) FROM edr_parts
		WHERE tenant = {tenant:String} AND day BETWEEN toDate({oldest:String}) AND toDate({newest:String})`
	var first, last time.Time
	var some bool
	err = conn.QueryRow(ctx, query,
		named("tenant", q.Tenant), named("oldest", oldest.Format(dayStyle)), named("newest", newest.Format(dayStyle)),
	).Scan(&some, &first, &last)
	if err != nil {
		return oldest, newest, fmt.Errorf("asking for the days of the EDR: %w", err)
	}
	if !some {
		return oldest, oldest.AddDate(0, 0, -1), nil
	}
	return first.UTC(), last.UTC(), nil
}

// window reads at most limit rows of the days from to to, both included.
func (q EDRQuery) window(ctx context.Context, conn driver.Conn, from, to time.Time, after *edrCursor, limit int) ([]EDR, error) {
	where := []string{
		"tenant = {tenant:String}",
		"day BETWEEN toDate({oldest:String}) AND toDate({newest:String})",
	}
	args := []any{
		named("tenant", q.Tenant), named("oldest", from.Format(dayStyle)), named("newest", to.Format(dayStyle)),
		named("limit", limit),
	}
	add := func(condition, name string, value any) {
		where = append(where, condition)
		args = append(args, named(name, value))
	}
	if !q.From.IsZero() {
		add("due_at >= fromUnixTimestamp64Micro({from:Int64})", "from", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		add("due_at < fromUnixTimestamp64Micro({to:Int64})", "to", q.To.UnixMicro())
	}
	if q.Channel != "" {
		add("channel = {channel:String}", "channel", q.Channel)
	}
	if q.Scenario != "" {
		add("scenario = {scenario:String}", "scenario", q.Scenario)
	}
	if q.Status != "" {
		add("status = {status:String}", "status", q.Status)
	}
	if after != nil {
		add(`(day < toDate({cursor_day:String})
			OR day = toDate({cursor_day:String}) AND (notification < {cursor_notification:String}
			OR notification = {cursor_notification:String} AND attempt > {cursor_attempt:UInt16}))`,
			"cursor_day", after.day.Format(dayStyle))
		args = append(args, named("cursor_notification", after.notification), named("cursor_attempt", after.attempt))
	}
	query := "SELECT " + edrColumns + " FROM edr WHERE " + strings.Join(where, " AND ") +
		" ORDER BY day DESC, notification DESC, attempt LIMIT {limit:UInt32}"
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("asking for the EDR: %w", err)
	}
	return scanEDRs(rows)
}

// AllEDRs hands over every attempt of every tenant, by tenant, day, notification and
// attempt: for comparing the whole with the event store, not for the API.
func AllEDRs(ctx context.Context, conn driver.Conn) ([]EDR, error) {
	rows, err := conn.Query(ctx, "SELECT "+edrColumns+" FROM edr ORDER BY tenant, day, notification, attempt")
	if err != nil {
		return nil, fmt.Errorf("reading the EDR: %w", err)
	}
	return scanEDRs(rows)
}

func scanEDRs(rows driver.Rows) ([]EDR, error) {
	defer func() { _ = rows.Close() }()
	var all []EDR
	for rows.Next() {
		var r EDR
		if err := rows.ScanStruct(&r); err != nil {
			return nil, fmt.Errorf("reading the EDR: %w", err)
		}
		r.Day = r.Day.UTC()
		r.DayText = r.Day.Format(dayStyle)
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the EDR: %w", err)
	}
	return all, nil
}

// AllEvents hands over every row of events, by seq, to visit.
func AllEvents(ctx context.Context, conn driver.Conn, visit func(EventRow) error) error {
	rows, err := conn.Query(ctx, "SELECT "+strings.Join(eventColumns, ", ")+" FROM events ORDER BY seq, tenant, stream, revision")
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r EventRow
		if err := rows.ScanStruct(&r); err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if err := visit(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	return nil
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
