package notification

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

var ranks = map[Status]int{
	None: 0, Scheduled: 1, Dispatched: 2, OutcomeUnknown: 3, Sent: 4, Undelivered: 5, Delivered: 6, Read: 7, Withdrawn: 8,
}

// Rank orders statuses: an attempt's status never goes to a lower rank.
func (s Status) Rank() int { return ranks[s] }

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

// Lifecycle is the state of a notification, derived from its attempts and
// from the events that end it.
type Lifecycle string

// The states of a notification (docs/architecture.md "A notification").
const (
	LifecycleRequested      Lifecycle = "requested"
	LifecycleEnriched       Lifecycle = "enriched"
	LifecycleScheduled      Lifecycle = "scheduled"
	LifecycleDispatched     Lifecycle = "dispatched"
	LifecycleSent           Lifecycle = "sent"
	LifecycleDelivered      Lifecycle = "delivered"
	LifecycleRead           Lifecycle = "read"
	LifecycleUndelivered    Lifecycle = "undelivered"
	LifecycleOutcomeUnknown Lifecycle = "outcome_unknown"
	LifecycleRejected       Lifecycle = "rejected"
	LifecycleSuppressed     Lifecycle = "suppressed"
	LifecycleExpired        Lifecycle = "expired"
	LifecycleCancelled      Lifecycle = "cancelled"
	LifecycleExhausted      Lifecycle = "exhausted"
)
