package readmodels

import (
	"context"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Batch is a batch of a counting table: its ends in its rows, which must all be the same,
// and the weight of what they count.
type Batch struct {
	FirstSeq      uint64 `ch:"first_seq"`
	LastSeq       uint64 `ch:"last"`
	LeastLast     uint64 `ch:"least_last"`
	FirstPosition uint64 `ch:"position"`
	LeastPosition uint64 `ch:"least_position"`
	Weight        int64  `ch:"weight"`
}

// Text of a batch: its span, whatever the spans of a test are.
func (b Batch) Text() string { return fmt.Sprint(b.FirstSeq / Span) }

// weights of the sums of a row, in the order of AccountingSums; a rollup has one. The
// weight of rows is the sum of CRC-32 of a cell × its sums by these, modulo 2^64: it adds
// up as the sums do, so that a batch or a span is compared by one number. Two that count
// otherwise have one weight in 2^32.
var weights = []int64{1, 101, 10_007, 1_000_003, 100_000_007}

func weigh(sums []int64, cell ...string) int64 {
	weight := int64(0)
	for i, n := range sums {
		weight += weights[i] * n
	}
	return weight * int64(crc32.ChecksumIEEE([]byte(strings.Join(cell, "\n"))))
}

// Weigh returns the weight of what is counted in the cell.
func (c AccountingCell) Weigh(sums []int64) int64 {
	return weigh(sums, c.Texts()...)
}

// Weigh returns the weight of what is counted in the cell.
func (c RollupCell) Weigh(sums []int64) int64 {
	return weigh(sums, c.Texts()...)
}

// weight is the expression of a table's rows.
func (c counts) weight() string {
	cell := []string{"tenant"}
	for _, d := range c.dimensions {
		if d != month {
			cell = append(cell, "toString("+d+")")
		}
	}
	var sums []string
	for i, s := range c.sums {
		sums = append(sums, fmt.Sprintf("%d * %s", weights[i], s))
	}
	return fmt.Sprintf(`sum(toInt64(CRC32(arrayStringConcat([%s], char(10)))) * (%s))`, strings.Join(cell, ", "), strings.Join(sums, " + "))
}

func countsOf(t Table) counts {
	if t.Projection == accountingCounts.view {
		return accountingCounts
	}
	return rollupCounts
}

// BatchesIn hands over the batches of a table, of a part by span, in order.
func BatchesIn(ctx context.Context, conn driver.Conn, t Table, built string, p Shard, visit func(Batch) error) error {
	if err := checkName(built); err != nil {
		return err
	}
	where, args := p.where(fmt.Sprintf("toString(intDiv(first_seq, %d))", Span))
	return scanEach(ctx, conn, "the batches of "+built, `SELECT first_seq, max(last_seq) AS last, min(last_seq) AS least_last,
		max(first_position) AS position, min(first_position) AS least_position, `+countsOf(t).weight()+` AS weight
		FROM `+built+` FINAL WHERE `+where+` GROUP BY first_seq ORDER BY first_seq`, args, visit)
}

// SpanWeights are the weights of the sums in a table's complete spans.
type SpanWeights struct {
	Complete uint64 // how many are complete: the first ones
	Weights  map[uint64]int64
}

// SpansIn returns those of a shard by span. Incomplete spans, and other runs than the one
// that queries read, are skipped: queries ignore them too.
func SpansIn(ctx context.Context, conn driver.Conn, t Table, built string, p Shard) (SpanWeights, error) {
	if err := checkName(built); err != nil {
		return SpanWeights{}, err
	}
	s := SpanWeights{Weights: map[uint64]int64{}}
	complete := "SELECT if(count() = 0, 0, max(span) + 1) AS complete FROM " + built + "_complete"
	if err := conn.QueryRow(ctx, complete).Scan(&s.Complete); err != nil {
		return s, fmt.Errorf("asking how many spans of %s are complete: %w", built, err)
	}
	where, args := p.where(fmt.Sprintf("toString(intDiv(span * %d, %d))", t.SpanEvents(), Span))
	type row struct {
		Span   uint64 `ch:"span"`
		Weight int64  `ch:"weight"`
	}
	err := scanEach(ctx, conn, "the spans of "+built, `SELECT span, `+countsOf(t).weight()+` AS weight FROM `+built+`_spans
		WHERE span < `+strconv.FormatUint(s.Complete, 10)+` AND run IN (SELECT min(run) FROM `+built+`_complete GROUP BY span) AND `+where+` GROUP BY span`, args, func(r row) error {
		s.Weights[r.Span] = r.Weight
		return nil
	})
	return s, err
}
