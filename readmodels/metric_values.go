package readmodels

import (
	"math"
	"slices"
	"strings"
)

// MetricValue is a metric with what it is of a period.
type MetricValue struct {
	Metric
	// Value is nil if there is none: nothing to divide by or to take a quantile of, no
	// complete days where they are what is counted, or what only attempts have asked of a metric
	// of notifications.
	Value *float64 `ch:"value" json:"value"`
}

// Catalogue is the metrics without a period, and so without values.
func Catalogue() []MetricValue {
	all := make([]MetricValue, len(Metrics))
	for i, m := range Metrics {
		all[i].Metric = m
	}
	return all
}

// MetricSums is what the values of metrics are made from: lines that name a measure, and
// a bucket where there is one, by each basis. Days is nil if the period is not one of complete
// days. Narrowed: the lines are only those of a channel, an operator or a country,
// which notifications do not have.
type MetricSums struct {
	Event, Request []RollupLine
	Days           *AccountingSums
	Narrowed       bool
}

// ofNotifications are the measures that are not of attempts.
var ofNotifications = []string{"requested", "failed_over", "rejected", "suppressed", "expired", "cancelled", "exhausted", "replied", "paid"}

func (m Metric) ofNotifications() bool {
	for name := range strings.SplitSeq(m.Numerator+" + "+m.Denominator, " + ") {
		if slices.Contains(ofNotifications, name) {
			return true
		}
	}
	return false
}

// Values returns the values of the complete catalogue. Each is that of the metric's SQL.
func (s MetricSums) Values() []MetricValue {
	byBasis := map[string]map[string]int64{ByEvent: measures(s.Event), ByRequest: measures(s.Request)}
	if d := s.Days; d != nil {
		byBasis[ByDay] = map[string]int64{"billable": d.Billable, "billable_units": d.BillableUnits, "unpriced": d.Unpriced}
	}
	all := make([]MetricValue, 0, len(Metrics))
	for _, m := range Metrics {
		v := MetricValue{Metric: m}
		counts, known := byBasis[m.Basis]
		switch {
		case !known, s.Narrowed && m.ofNotifications():
		case m.latency != "":
			v.Value = quantileOf(s.Event, m.latency, m.share)
		case m.Denominator == "":
			v.Value = new(float64(sumOf(m.Numerator, counts)))
		default:
			if below := sumOf(m.Denominator, counts); below != 0 {
				v.Value = new(float64(sumOf(m.Numerator, counts)) / float64(below))
			}
		}
		all = append(all, v)
	}
	return all
}

func measures(lines []RollupLine) map[string]int64 {
	all := map[string]int64{}
	for _, l := range lines {
		all[l.Measure] += l.N
	}
	return all
}

// sumOf adds up what an expression of the catalogue names.
func sumOf(expression string, counts map[string]int64) (sum int64) {
	for name := range strings.SplitSeq(expression, " + ") {
		sum += counts[name]
	}
	return sum
}

// quantileOf is ClickHouse's quantileExactWeighted over the ends of a latency's buckets.
func quantileOf(lines []RollupLine, latency string, share float64) *float64 {
	lines = slices.DeleteFunc(slices.Clone(lines), func(l RollupLine) bool { return l.Measure != latency || l.N <= 0 })
	slices.SortFunc(lines, func(a, b RollupLine) int { return int(a.Bucket) - int(b.Bucket) })
	var all, below int64
	for _, l := range lines {
		all += l.N
	}
	rank := int64(math.Ceil(float64(all) * share))
	for _, l := range lines {
		if below += l.N; below >= rank {
			return new(float64(latencyBucketEnd(l.Bucket)))
		}
	}
	return nil
}
