package receipt

import "slices"

// Status is what a receipt reports. Its values are the storage format.
type Status string

// The statuses that a receipt can report.
const (
	Intermediate Status = "intermediate" // not final: under way, accepted, not known
	Undelivered  Status = "undelivered"
	Delivered    Status = "delivered"
	Read         Status = "read"
)

// Rank orders what is known of a unit, which only rises: nothing, intermediate,
// undelivered, delivered, read.
func (s Status) Rank() int {
	return slices.Index([]Status{"", Intermediate, Undelivered, Delivered, Read}, s)
}

// Known reports whether it is one of the statuses above.
func (s Status) Known() bool { return s.Rank() > 0 }
