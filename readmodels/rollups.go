package readmodels

import (
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// What a count of the rollups is by: when something occurred, or when its notification
// was requested.
const (
	ByEvent   = "event"
	ByRequest = "request"
)

// The grains of the rollups.
const (
	Minute = "minute"
	Hour   = "hour"
	Day    = "day"
)

// RollupCell is what things are counted by.
type RollupCell struct {
	Tenant  string    `ch:"tenant" json:"tenant"`
	Grain   string    `ch:"grain" json:"grain"`
	Basis   string    `ch:"basis" json:"basis"`
	Start   time.Time `ch:"start" json:"start"`
	Measure string    `ch:"measure" json:"measure"`
	Dimensions
	Detail string `ch:"detail" json:"detail,omitempty"` // a code or reason
	Bucket uint16 `ch:"bucket" json:"bucket,omitempty"` // of a latency
}

// Texts are the cell's values, as the table writes them as texts.
func (c RollupCell) Texts() []string {
	return slices.Concat([]string{c.Tenant, c.Start.Format(time.DateTime), c.Grain, c.Basis, c.Measure},
		rollupDimensions.texts(&c.Dimensions), []string{c.Detail, strconv.Itoa(int(c.Bucket))})
}

// RollupRow is what one batch adds to a cell.
type RollupRow struct {
	RollupCell
	N int64
	Counted
}

var rollupColumns = slices.Concat(columns[RollupRow]{
	of("tenant", func(r *RollupRow) string { return r.Tenant }),
	of("grain", func(r *RollupRow) string { return r.Grain }),
	of("basis", func(r *RollupRow) string { return r.Basis }),
	sent("start", "DateTime('UTC')", func(r *RollupRow) time.Time { return r.Start }),
	of("measure", func(r *RollupRow) string { return r.Measure }),
}, dimensionColumns(rollupDimensions, func(r *RollupRow) *Dimensions { return &r.Dimensions }), columns[RollupRow]{
	of("detail", func(r *RollupRow) string { return r.Detail }),
	of("bucket", func(r *RollupRow) uint16 { return r.Bucket }),
	of("n", func(r *RollupRow) int64 { return r.N }),
	of("first_seq", func(r *RollupRow) uint64 { return r.FirstSeq }),
	of("last_seq", func(r *RollupRow) uint64 { return r.LastSeq }),
	of("first_position", func(r *RollupRow) uint64 { return r.FirstPosition }),
})

func (RollupRow) columns(rows []Row) []any { return rollupColumns.of(rows) }

// LatencyBucket files a latency under one of eight buckets an octave, so that a quantile
// read off them is wrong by 1/8 at most. A negative one, of clocks that do not agree, is 0.
func LatencyBucket(ms int64) uint16 {
	v := uint64(max(ms, 0))
	if v < 8 {
		return uint16(v)
	}
	e := bits.Len64(v) - 4
	return uint16((e+1)*8 + int(v>>e&7))
}

// latencyBucketEnd is the first millisecond after a bucket: its to_ms.
func latencyBucketEnd(bucket uint16) uint64 {
	if bucket < 8 {
		return uint64(bucket) + 1
	}
	return uint64(bucket%8+9) << (bucket/8 - 1)
}
