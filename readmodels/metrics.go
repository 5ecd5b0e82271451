package readmodels

import "fmt"

// ByDay is the basis of what is counted by the UTC date that an attempt was first due,
// which never changes.
const ByDay = "day"

// Metric is a number that dashboards, reports and people shall count the same way.
type Metric struct {
	Name        string `ch:"name" json:"name"`
	Meaning     string `ch:"meaning" json:"meaning"`
	Numerator   string `ch:"numerator" json:"numerator"`
	Denominator string `ch:"denominator" json:"denominator,omitempty"` // none: the numerator itself
	Unit        string `ch:"unit" json:"unit"`                         // ratio, notifications, attempts, units, ms
	Basis       string `ch:"basis" json:"basis"`                       // ByEvent, ByRequest or ByDay
	// SQL returns one row with one Float64, value, of [{from:DateTime}, {to:DateTime}), by
	// complete hours, or days if the basis is ByDay. It is NaN while there is nothing to
	// divide by. More columns and conditions may be added to it.
	SQL string `ch:"sql" json:"sql"`

	latency string  // a quantile of this one; empty: none
	share   float64 // of what is within the quantile
}

const (
	ratio         = "ratio"
	attempts      = "attempts"
	notifications = "notifications"
)

// attempted are the attempts that a provider was given, whatever became of them.
const attempted = "dispatched + outcome_unknown + sent + undelivered + delivered + read"

// Metrics is the catalogue, in the order it is shown.
var Metrics = []Metric{
	counted("requested", "What was asked for.", "requested", notifications),
	counted("dispatched", "Given to a provider.", "dispatched", attempts),
	counted("sent", "Accepted by a provider.", "sent", attempts),
	counted("delivered", "Said to be delivered.", "delivered", attempts),
	counted("read", "Said to be read.", "read", attempts),
	counted("undelivered", "Refused, or reported as failed.", "undelivered", attempts),
	counted("replied", "Answered by the person.", "replied", notifications),
	counted("paid", "Paid by the person.", "paid", notifications),

	cohort("delivery_rate", "How much of what a provider was given has been delivered by now.", "delivered + read", attempted),
	cohort("read_rate", "How much of what was delivered has been read by now.", "read", "delivered + read"),
	cohort("failure_rate", "How much of what a provider was given has failed by now.", "undelivered", attempted),
	cohort("pending_rate", "How much of what a provider was given has no outcome yet: it falls while receipts come in.", "dispatched + outcome_unknown + sent", attempted),
	cohort("failover_rate", "How often the next step was needed, a notification.", "failed_over", "requested"),
	cohort("rejection_rate", "How many notifications were invalid.", "rejected", "requested"),
	cohort("suppression_rate", "How many notifications a policy forbade.", "suppressed", "requested"),
	cohort("expiry_rate", "How many notifications came to their end of validity.", "expired", "requested"),
	cohort("cancellation_rate", "How many notifications were cancelled.", "cancelled", "requested"),
	cohort("exhaustion_rate", "How many notifications had no step left.", "exhausted", "requested"),

	occurred("delivery_rate_of_outcomes", "Of the outcomes that came in, how many were deliveries: an alarm's number, as it does not wait for those still to come.", "delivered", "delivered + undelivered"),
	occurred("unknown_rate", "How often a provider did not respond in time.", "outcome_unknown", "dispatched"),
	occurred("retry_rate", "How often an attempt was repeated.", "retried", "dispatched"),

	quantile("queue_p95", "From when an attempt was due until it was given to a provider, 95 % within.", "queue", 0.95),
	quantile("accept_p95", "From when an attempt was due until a provider accepted it, 95 % within.", "accept", 0.95),
	quantile("delivery_p50", "From acceptance to delivery, half within.", "delivery", 0.5),
	quantile("delivery_p95", "From acceptance to delivery, 95 % within.", "delivery", 0.95),
	quantile("delivery_p99", "From acceptance to delivery, 99 % within.", "delivery", 0.99),
	quantile("reading_p50", "Until a message was read, half within.", "reading", 0.5),

	billed("billable_messages", "To be billed: accepted by a provider, and no test.", "billable", attempts),
	billed("billable_units", "Their units.", "billable_units", "units"),
	billed("unpriced_messages", "To be billed, and without a price yet.", "unpriced", attempts),
}

const inPeriod = "start >= {from:DateTime} AND start < {to:DateTime} AND NOT test"

func counted(name, meaning, column, unit string) Metric {
	return Metric{
		Name: name, Meaning: meaning, Numerator: column, Unit: unit, Basis: ByEvent,
		SQL: fmt.Sprintf("SELECT toFloat64(sum(%s)) AS value\nFROM rollup_hour\nWHERE %s", column, inPeriod),
	}
}

func cohort(name, meaning, numerator, denominator string) Metric {
	return rate(name, meaning, numerator, denominator, ByRequest, "rollup_cohort_hour")
}

func occurred(name, meaning, numerator, denominator string) Metric {
	return rate(name, meaning, numerator, denominator, ByEvent, "rollup_hour")
}

func rate(name, meaning, numerator, denominator, basis, view string) Metric {
	return Metric{
		Name: name, Meaning: meaning, Numerator: numerator, Denominator: denominator, Unit: ratio, Basis: basis,
		SQL: fmt.Sprintf("SELECT sum(%s) / sum(%s) AS value\nFROM %s\nWHERE %s", numerator, denominator, view, inPeriod),
	}
}

// quantile reads a latency off its buckets: at most an eighth too high.
func quantile(name, meaning, latency string, share float64) Metric {
	return Metric{
		Name: name, Meaning: meaning, Numerator: fmt.Sprint(share, " quantile of ", latency), Unit: "ms", Basis: ByEvent, latency: latency, share: share,
		SQL: fmt.Sprintf("SELECT toFloat64(quantileExactWeighted(%v)(to_ms, toUInt64(n))) AS value\nFROM rollup_latency\nWHERE grain = 'hour' AND latency = '%s' AND %s", share, latency, inPeriod),
	}
}

func billed(name, meaning, column, unit string) Metric {
	return Metric{
		Name: name, Meaning: meaning, Numerator: column, Unit: unit, Basis: ByDay,
		SQL: fmt.Sprintf("SELECT toFloat64(sum(accounting.%s)) AS value\nFROM accounting\nWHERE day >= toDate({from:DateTime}) AND day < toDate({to:DateTime}) AND NOT test", column),
	}
}
