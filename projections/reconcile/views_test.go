package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/projections"
	"recapito/readmodels"
)

// The measures that are a column of rollup_minute and so on.
var rollupColumns = []string{
	"requested", "scheduled", "dispatched", "outcome_unknown", "sent", "delivered", "read", "undelivered", "withdrawn",
	"retried", "given_up", "failed_over", "rejected", "suppressed", "expired", "cancelled", "exhausted", "replied", "paid",
}

// The views of counts, which BI reads, are the store's fold: made of spans that are summed
// up and of the batches after them, each once.
func TestViewsOfCountsAreTheFold(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span = 9, 64
	i.Start(clickhousetest.Database(t))
	i.Write(100)
	i.failOver(40) // histories do not
	i.Write(100)
	i.Settled()
	i.Stop()
	ledger := i.Ledger()
	counted, err := projections.FoldRollups(i.Author.Codec, ledger)
	i.Exec(err)
	edr, err := projections.FoldEDR(i.Author.Codec, ledger)
	i.Exec(err)

	want := map[string]int64{}
	for c, s := range projections.FoldAccounting(edr) {
		key := strings.Join(c.Texts(), "/")
		for name, n := range map[string]int64{
			"messages": s.Messages, "units": s.Units, "billable": s.Billable, "billable_units": s.BillableUnits, "unpriced": s.Unpriced,
		} {
			put(want, key+"/"+name, n)
		}
	}
	i.shows("accounting", "tenant, "+strings.ReplaceAll(strings.Join(readmodels.AccountingGroups(), ", "), ", month", ""),
		pivot("messages", "units", "billable", "billable_units", "unpriced"), want)

	cell := "tenant, start"
	for _, d := range readmodels.RollupDimensions() {
		cell += ", " + d.Name
	}
	for view, of := range map[string][2]string{
		"rollup_minute": {"minute", "event"}, "rollup_hour": {"hour", "event"}, "rollup_day": {"day", "event"},
		"rollup_cohort_hour": {"hour", "request"}, "rollup_cohort_day": {"day", "request"},
	} {
		clear(want)
		for c, n := range counted {
			if c.Grain == of[0] && c.Basis == of[1] && slices.Contains(rollupColumns, c.Measure) {
				put(want, cellKey(c)+"/"+c.Measure, n)
			}
		}
		i.shows(view, cell, pivot(rollupColumns...), want)
	}
	for view, of := range map[string]struct {
		measures []string
		more     string // columns
	}{
		"rollup_failures":  {[]string{"undelivered", "outcome_unknown", "rejected", "suppressed"}, "failure, code"},
		"rollup_failovers": {[]string{"failed_over"}, "'failed_over', reason"},
		"rollup_latency":   {[]string{"queue", "accept", "delivery", "reading"}, "latency, bucket, from_ms, to_ms"},
	} {
		clear(want)
		for c, n := range counted {
			if c.Basis != readmodels.ByEvent || !slices.Contains(of.measures, c.Measure) {
				continue
			}
			more := c.Detail
			if view == "rollup_latency" {
				from, to := boundsOf(c.Bucket)
				more = fmt.Sprintf("%d/%d/%d", c.Bucket, from, to)
			}
			put(want, cellKey(c)+"/"+c.Grain+"/"+c.Measure+"/"+more, n)
		}
		i.shows(view, cell+", grain, "+of.more, "[('', n)]", want)
	}
}

// boundsOf finds the latencies, in milliseconds, that a bucket is of.
func boundsOf(bucket uint16) (from, to int) {
	from = sort.Search(1<<50, func(ms int) bool { return readmodels.LatencyBucket(int64(ms)) >= bucket })
	to = sort.Search(1<<50, func(ms int) bool { return readmodels.LatencyBucket(int64(ms)) > bucket })
	return from, to
}

func put(all map[string]int64, key string, n int64) {
	if all[strings.TrimSuffix(key, "/")] += n; all[strings.TrimSuffix(key, "/")] == 0 {
		delete(all, strings.TrimSuffix(key, "/"))
	}
}

func cellKey(c readmodels.RollupCell) string {
	texts := c.Texts() // tenant, start, grain, basis, measure, dimensions, detail, bucket
	return strings.Join(slices.Concat(texts[:2], texts[5:len(texts)-2]), "/")
}

// pivot is an array of the columns' names and values.
func pivot(columns ...string) string {
	var all []string
	for _, c := range columns {
		all = append(all, fmt.Sprintf("('%s', toInt64(%s))", c, c))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// shows wants a view's numbers, by its cell and the number's name.
func (i *instance) shows(view, cell, values string, want map[string]int64) {
	i.T.Helper()
	var text []string
	for column := range strings.SplitSeq(cell, ", ") {
		text = append(text, "toString("+column+")")
	}
	query := fmt.Sprintf("SELECT arrayStringConcat([%s, v.1], '/') AS name, toInt64(v.2) AS told FROM %s ARRAY JOIN %s AS v WHERE told != 0",
		strings.Join(text, ", "), view, values)
	rows, err := i.Conn.Query(i.T.Context(), query)
	i.Exec(err)
	defer rows.Close()
	got := map[string]int64{}
	for rows.Next() {
		var key string
		var n int64
		i.Exec(rows.Scan(&key, &n))
		put(got, key, n)
	}
	i.Exec(rows.Err())
	if len(want) == 0 {
		i.T.Errorf("%s has nothing to show", view)
	}
	if d := gocmp.Diff(maps.Clone(want), got); d != "" {
		i.T.Errorf("%s: %s", view, d)
	}
}

// failOver writes failovers for three reasons.
func (i *instance) failOver(times int) {
	i.T.Helper()
	for n := range times {
		at := i.Author.From.Add(time.Duration(n) * 7 * time.Minute)
		filing := notification.Filing{OfNotification: dimension.OfNotification{Scenario: "payment", Brand: "b", Campaign: fmt.Sprint("c", n%2)}, RequestedAt: i.Author.From}
		e := notification.NotificationFailedOver{Filing: filing, FromStep: 1, ToStep: 2, Why: notification.FailedOverReason(fmt.Sprint("why", n%3)), At: at}
		_, err := i.Store.Append(context.Background(), fmt.Sprint("notification-failing", n), event.Any(), []event.New{i.Author.Event(n, at, e)})
		i.Exec(err)
	}
}
