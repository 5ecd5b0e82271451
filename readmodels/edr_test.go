package readmodels_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	_ "recapito/domain/domaintest/seeds"
	"recapito/readmodels"
)

// tables makes the projections' tables under names of the test's, shown by their views.
func tables(t *testing.T, conn driver.Conn) (events, edr string) {
	t.Helper()
	ctx := t.Context()
	if err := readmodels.Migrate(ctx, conn); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, table := range []readmodels.Table{readmodels.EventsTable, readmodels.EDRTable} {
		name := table.Name("t")
		if err := errors.Join(table.Create(ctx, conn, name), table.Show(ctx, conn, name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names[0], names[1]
}

var start = time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)

func at(d time.Duration) *time.Time { t := start.Add(d); return &t }

func part(notification string, attempt uint16, rank int8, seq uint64, status string) readmodels.PartialEDR {
	return readmodels.PartialEDR{
		Tenant: "t1", Day: start.Truncate(24 * time.Hour), Notification: notification, Attempt: attempt,
		Dimensions: dimensions("sms", "payment", false),
		Outcome:    readmodels.Outcome{Rank: rank, Seq: seq, Status: status},
	}
}

func dimensions(channel, scenario string, test bool) readmodels.Dimensions {
	return readmodels.Dimensions{
		OfAttempt:      readmodels.OfAttempt{Channel: channel},
		OfNotification: readmodels.OfNotification{Scenario: scenario, Test: test},
	}
}

func insert(t *testing.T, conn driver.Conn, table readmodels.Table, name, token string, rows ...readmodels.Row) {
	t.Helper()
	if err := table.Insert(t.Context(), conn, name, token, rows); err != nil {
		t.Fatal(err)
	}
}

// attemptsAtOnce is how many attempts a check of the merging writes together.
const attemptsAtOnce = 25

// Partial rows in any order, in any batches, any of them repeated: one row.
func TestPartsMergeInAnyOrder(t *testing.T) {
	conn := open(t)
	_, table := tables(t, conn)
	check := 0
	rapid.Check(t, func(rt *rapid.T) {
		check++
		tenant := fmt.Sprintf("check %d", check)
		var parts []readmodels.Row
		var want []readmodels.EDR
		for i := range attemptsAtOnce {
			some, row := anAttempt(tenant, fmt.Sprintf("n%03d", attemptsAtOnce-i))
			parts, want = append(parts, some...), append(want, row)
		}
		repeated := rapid.SliceOfN(rapid.SampledFrom(parts), 0, 50).Draw(rt, "repeated")
		order := rapid.Permutation(append(parts, repeated...)).Draw(rt, "order")
		for len(order) > 0 {
			k := rapid.IntRange(1, len(order)).Draw(rt, "batch")
			insert(t, conn, readmodels.EDRTable, table, "", order[:k]...)
			order = order[k:]
		}
		page, err := readmodels.EDRs(t.Context(), conn, readmodels.EDRQuery{Tenant: tenant, EDRFilter: is("status", "undelivered")})
		if err != nil {
			rt.Fatal(err)
		}
		if d := gocmp.Diff(want, page.Rows); d != "" {
			rt.Fatal(d)
		}
	})
}

// anAttempt answers the partial rows of an attempt and what they must merge to.
func anAttempt(tenant, id string) ([]readmodels.Row, readmodels.EDR) {
	scheduled, dispatched := part(id, 1, 1, 10, "scheduled"), part(id, 1, 2, 11, "dispatched")
	sent, lost := part(id, 1, 4, 13, "sent"), part(id, 1, 3, 14, "outcome_unknown")
	failed, again := part(id, 1, 5, 15, "undelivered"), part(id, 1, 5, 16, "undelivered")
	kept := part(id, 1, 0, 0, "")
	scheduled.Times.DueAt, scheduled.Kind = at(time.Second), "first"
	dispatched.Times.DispatchedAt = at(2 * time.Second)
	sent.Times.SentAt, lost.Times.SentAt = at(3500*time.Millisecond), at(3500*time.Millisecond)
	failed.Outcome.Code, again.Outcome.Code = "first", "second"
	failed.Times.UndeliveredAt, again.Times.UndeliveredAt = at(9*time.Second), at(8*time.Second)
	var rows []readmodels.Row
	for _, p := range []readmodels.PartialEDR{scheduled, dispatched, sent, lost, failed, again, kept} {
		p.Tenant = tenant
		rows = append(rows, p)
	}
	queue, submit := int64(1000), int64(1500)
	return rows, readmodels.EDR{
		Tenant: tenant, Day: start.Truncate(24 * time.Hour), DayText: "2026-11-23", Notification: id, Attempt: 1,
		Kind: "first", Dimensions: dimensions("sms", "payment", false), Status: "undelivered", Code: "first", ErrorText: "a code of the provider's own", Billable: true,
		Times: readmodels.Times{
			DueAt: at(time.Second), DispatchedAt: at(2 * time.Second), SentAt: at(3500 * time.Millisecond),
			UndeliveredAt: at(8 * time.Second),
		},
		QueueMs: &queue, SubmitMs: &submit,
	}
}

// The views answer the same for people who ask them in their own way.
func TestViewIsMergedHoweverItIsAsked(t *testing.T) {
	conn := open(t)
	events, table := tables(t, conn)
	insert(t, conn, readmodels.EDRTable, table, "", part("a", 1, 1, 1, "scheduled"))
	insert(t, conn, readmodels.EDRTable, table, "", part("a", 1, 4, 5, "sent"), part("a", 1, 5, 6, "undelivered"))
	row := readmodels.EventRow{Tenant: "t1", Stream: "s", OccurredAt: start, RecordedAt: start}
	insert(t, conn, readmodels.EventsTable, events, "", row)
	insert(t, conn, readmodels.EventsTable, events, "", row)
	for query, want := range map[string]uint64{
		"SELECT count() FROM edr":                                                                          1,
		"SELECT count() FROM edr WHERE status = 'sent'":                                                    0,
		"SELECT count() FROM edr WHERE status = 'undelivered'":                                             1,
		"SELECT count() FROM (SELECT status FROM edr) WHERE status = 'scheduled'":                          0,
		"SELECT count() FROM edr WHERE status = 'scheduled' SETTINGS optimize_move_to_prewhere_if_final=1": 0,
		"SELECT countIf(status = 'undelivered') FROM edr GROUP BY tenant":                                  1,
		"SELECT count() FROM edr WHERE sent_at IS NULL AND day = '2026-11-23'":                             1,
		"SELECT count() FROM events":                                                                       1,
		"SELECT count() FROM edr_parts":                                                                    2, // a batch's parts merge as it is written
	} {
		var got uint64
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", query, got, err, want)
		}
	}
}

// The rows differ: equal ones are told by their content where there is no token.
func TestTokenSavesAnInsert(t *testing.T) {
	conn := open(t)
	_, table := tables(t, conn)
	for n := range uint64(3) {
		insert(t, conn, readmodels.EDRTable, table, "once", part("a", 1, 1, n+1, "scheduled"))
	}
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM edr_parts").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d parts, %v, want 1", n, err)
	}
}

// world fills two tenants with attempts over two years and answers those of each.
func world(t *testing.T, conn driver.Conn) map[string][]readmodels.EDR {
	t.Helper()
	_, table := tables(t, conn)
	random := rand.New(rand.NewPCG(1, 2))
	var rows []readmodels.Row
	all := map[string][]readmodels.EDR{}
	for i := range 3000 {
		due := start.AddDate(0, 0, -int(700*random.Float64()*random.Float64()*random.Float64())).
			Add(time.Duration(random.IntN(int(10 * time.Hour)))).Truncate(time.Microsecond)
		p := readmodels.PartialEDR{
			Tenant: "t1", Day: due.Truncate(24 * time.Hour), Notification: fmt.Sprintf("%08x", random.IntN(1200)),
			Attempt: uint16(i), Dimensions: dimensions([]string{"sms", "email"}[random.IntN(2)], []string{"payment", odd}[random.IntN(2)], random.IntN(2) == 0),
			Person: []string{"p1", "p2", odd}[random.IntN(3)], Changed: uint64(i) + 1,
			Times:   readmodels.Times{DueAt: &due},
			Outcome: readmodels.Outcome{Rank: 1, Seq: uint64(i), Status: []string{"sent", "delivered"}[random.IntN(2)]},
		}
		var queue *int64
		if ms := int64(random.IntN(3000)); ms > 0 && random.IntN(2) == 0 {
			dispatched := due.Add(time.Duration(ms) * time.Millisecond)
			p.Times.DispatchedAt, queue = &dispatched, &ms
		}
		if random.IntN(4) == 0 {
			p.Tenant = "t2"
		}
		rows = append(rows, p)
		all[p.Tenant] = append(all[p.Tenant], readmodels.EDR{
			Tenant: p.Tenant, Day: p.Day, DayText: p.Day.Format(time.DateOnly), Notification: p.Notification, Attempt: p.Attempt,
			Dimensions: p.Dimensions, Person: p.Person, Status: p.Outcome.Status, Times: p.Times,
			QueueMs: queue, Billable: !p.Test, Changed: p.Changed,
		})
	}
	insert(t, conn, readmodels.EDRTable, table, "", rows...)
	for _, rows := range all {
		slices.SortFunc(rows, func(a, b readmodels.EDR) int {
			return cmp.Or(b.Day.Compare(a.Day), strings.Compare(b.Notification, a.Notification), cmp.Compare(a.Attempt, b.Attempt))
		})
	}
	return all
}

// odd is a value that must not end the text it stands in.
const odd = "it's \\ odd"

func is(column, value string) readmodels.EDRFilter {
	return readmodels.EDRFilter{Is: map[string]string{column: value}}
}

var aFilter = rapid.Custom(func(rt *rapid.T) (f readmodels.EDRFilter) {
	f.Is = map[string]string{}
	for column, values := range map[string][]string{
		"channel": {"", "", "sms", "email"}, "scenario": {"", "", "payment", odd}, "status": {"", "", "sent", "delivered", "read"},
		"person": {"", "", "", "p1", odd, "p4"}, "notification": {"", "", "", "", "00000101", odd}, "route": {"", "", "", "r"},
	} {
		f.Is[column] = rapid.SampledFrom(values).Draw(rt, column)
	}
	if rapid.Bool().Draw(rt, "by test") {
		f.Test = new(rapid.Bool().Draw(rt, "test"))
	}
	if rapid.IntRange(0, 3).Draw(rt, "by change") == 0 {
		f.ChangedAfter = new(rapid.Uint64Range(0, 3100).Draw(rt, "changed after"))
	}
	if rapid.Bool().Draw(rt, "by latency") {
		b := readmodels.Bounds{Least: new(rapid.Int64Range(0, 3000).Draw(rt, "least"))}
		if rapid.Bool().Draw(rt, "bounded") {
			b.Most = new(rapid.Int64Range(0, 3000).Draw(rt, "most"))
		}
		f.Within = map[string]readmodels.Bounds{"queue_ms": b}
	}
	return f
})

func fits(f readmodels.EDRFilter, r readmodels.EDR) bool {
	for column, has := range map[string]string{
		"channel": r.Channel, "scenario": r.Scenario, "status": r.Status, "person": r.Person, "notification": r.Notification, "route": r.Route,
	} {
		if f.Is[column] != "" && f.Is[column] != has {
			return false
		}
	}
	if f.Test != nil && *f.Test != r.Test || f.ChangedAfter != nil && r.Changed <= *f.ChangedAfter {
		return false
	}
	b, bounded := f.Within["queue_ms"]
	return !bounded || r.QueueMs != nil && *r.QueueMs >= *b.Least && (b.Most == nil || *r.QueueMs <= *b.Most)
}

// Pages put together are all rows that fit, sorted, none twice, none of another tenant.
func TestPagesConcatenated(t *testing.T) {
	conn := open(t)
	all := world(t, conn)
	defer readmodels.SetPartsAtOnce(500)()
	rapid.Check(t, func(rt *rapid.T) {
		moment := rapid.Custom(func(rt *rapid.T) time.Time {
			return start.Add(-time.Duration(rapid.IntRange(-24, 720*24).Draw(rt, "hours before")) * time.Hour)
		})
		q := readmodels.EDRQuery{
			Tenant:    rapid.SampledFrom([]string{"t1", "t2", "t3", "t' OR 1=1 --"}).Draw(rt, "tenant"),
			Limit:     rapid.SampledFrom([]int{0, 7, 100, 999, 1000}).Draw(rt, "limit"),
			EDRFilter: aFilter.Draw(rt, "filter"),
		}
		if rapid.Bool().Draw(rt, "from") {
			q.From = moment.Draw(rt, "from")
		}
		if rapid.Bool().Draw(rt, "to") {
			q.To = moment.Draw(rt, "to")
		}
		var want, got []readmodels.EDR
		for _, r := range all[q.Tenant] {
			fits := fits(q.EDRFilter, r) && (q.From.IsZero() || !r.DueAt.Before(q.From)) && (q.To.IsZero() || r.DueAt.Before(q.To))
			if fits != q.Fits(r) {
				rt.Fatalf("Fits says %v of %+v", !fits, r)
			}
			if fits {
				want = append(want, r)
			}
		}
		const maxPages = 6 // of a small limit; the rest is read in large pages
		for pages := 0; ; pages++ {
			if pages == maxPages {
				q.Limit = readmodels.MaxEDRLimit
			}
			page, err := readmodels.EDRs(t.Context(), conn, q)
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, page.Rows...)
			if page.Next == "" {
				break
			}
			if q.Limit > 0 && len(page.Rows) != q.Limit {
				rt.Fatalf("a page of %d rows, want %d", len(page.Rows), q.Limit)
			}
			q.Cursor = page.Next
		}
		if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			rt.Fatal(d)
		}
		if got = got[:0]; q.Limit == 7 {
			return
		}
		if err := readmodels.EachEDR(t.Context(), conn, q, func(r readmodels.EDR) error { got = append(got, r); return nil }); err != nil {
			rt.Fatal(err)
		}
		if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			rt.Fatal("one after the other: " + d)
		}
	})
}

func TestCursorsAndLimitsAreRefused(t *testing.T) {
	conn := open(t)
	world(t, conn)
	page, err := readmodels.EDRs(t.Context(), conn, readmodels.EDRQuery{Tenant: "t1", Limit: 2})
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if r := page.Rows[0]; r.DueAt.Location() != time.UTC || r.Day.Location() != time.UTC {
		t.Errorf("times in %v and %v, want UTC", r.DueAt.Location(), r.Day.Location())
	}
	for name, q := range map[string]readmodels.EDRQuery{
		"not base64":       {Tenant: "t1", Cursor: "!!"},
		"not ours":         {Tenant: "t1", Cursor: "e30"},
		"cut":              {Tenant: "t1", Cursor: page.Next[:len(page.Next)-3]},
		"too long":         {Tenant: "t1", Cursor: strings.Repeat("A", 10_000)},
		"another tenant's": {Tenant: "t2", Cursor: page.Next},
		"another person's": {Tenant: "t1", EDRFilter: is("person", "p1"), Cursor: page.Next},
		"another query's":  {Tenant: "t1", EDRFilter: is("channel", "sms"), Cursor: page.Next},
	} {
		if _, err := readmodels.EDRs(t.Context(), conn, q); !errors.Is(err, readmodels.ErrBadCursor) {
			t.Errorf("%s: %v, want ErrBadCursor", name, err)
		}
	}
	for name, q := range map[string]readmodels.EDRQuery{
		"no tenant": {}, "too much": {Tenant: "t1", Limit: readmodels.MaxEDRLimit + 1}, "negative": {Tenant: "t1", Limit: -1},
		"no such column":  {Tenant: "t1", EDRFilter: is("1=1 OR tenant", "t2")},
		"no such latency": {Tenant: "t1", EDRFilter: readmodels.EDRFilter{Within: map[string]readmodels.Bounds{"tenant": {}}}},
	} {
		if _, err := readmodels.EDRs(t.Context(), conn, q); !errors.Is(err, readmodels.ErrBadQuery) {
			t.Errorf("%s: %v, want ErrBadQuery", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readmodels.EDRs(ctx, conn, readmodels.EDRQuery{Tenant: "t1"}); err == nil {
		t.Error("a query without an answer is not an error")
	}
}

// The view lets a query's tenant and days through to the index.
func TestPagesReadByTheIndex(t *testing.T) {
	conn := open(t)
	_, table := tables(t, conn)
	insert(t, conn, readmodels.EDRTable, table, "", part("a", 1, 1, 1, "scheduled"))
	rows, err := conn.Query(t.Context(), `EXPLAIN indexes = 1 SELECT * FROM edr
		WHERE tenant = 't1' AND day BETWEEN toDate('2026-01-01') AND toDate('2026-12-08') AND status = 'sent'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	for _, want := range []string{"FINAL: 1", "(tenant in ['t1', 't1'])", "toYYYYMM(day)"} {
		if !strings.Contains(plan.String(), want) {
			t.Errorf("the plan has no %q:\n%s", want, plan.String())
		}
	}
}
