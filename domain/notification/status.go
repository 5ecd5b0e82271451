package notification

import "slices"

// Status of an attempt. It only rises in rank; withdrawn comes only from scheduled.
type Status string

// The statuses of an attempt, by rank.
const (
	None           Status = ""
	Scheduled      Status = "scheduled"
	Dispatched     Status = "dispatched"
	OutcomeUnknown Status = "outcome_unknown"
	Sent           Status = "sent"
	Undelivered    Status = "undelivered"
	Delivered      Status = "delivered"
	Read           Status = "read"
	Withdrawn      Status = "withdrawn"
)

// statuses by rank: the one table of them. SQL's ranks are compared with it by a test.
var statuses = []Status{None, Scheduled, Dispatched, OutcomeUnknown, Sent, Undelivered, Delivered, Read, Withdrawn}

// Statuses returns every status, by rank.
func Statuses() []Status { return slices.Clone(statuses) }

// Rank orders statuses: an attempt's status never goes to a lower rank.
func (s Status) Rank() int { return max(slices.Index(statuses, s), 0) }

// Unfinished reports whether an attempt of the status may still go on the wire, or is on
// it: while one is, the notification is not final.
func (s Status) Unfinished() bool { return s == Scheduled || s == Dispatched }

// Satisfies reports whether a status is at least the wanted one, on the ladder
// sent < delivered < read.
func (s Status) Satisfies(wanted Status) bool {
	switch s {
	case Sent:
		return wanted == Sent
	case Delivered:
		return wanted == Sent || wanted == Delivered
	case Read:
		return true
	}
	return false
}
