package readmodels

import "time"

// AccountingCell is what attempts are counted by.
type AccountingCell struct {
	Tenant   string    `ch:"tenant" json:"tenant"`
	Day      time.Time `ch:"day" json:"-"` // the attempt's: the UTC date it was first due
	Channel  string    `ch:"channel" json:"channel,omitempty"`
	Scenario string    `ch:"scenario" json:"scenario,omitempty"`
	Brand    string    `ch:"brand" json:"brand,omitempty"`
	Segment  string    `ch:"segment" json:"segment,omitempty"`
	Campaign string    `ch:"campaign" json:"campaign,omitempty"`
	Route    string    `ch:"route" json:"route,omitempty"`
	Operator string    `ch:"operator" json:"operator,omitempty"`
	Country  string    `ch:"country" json:"country,omitempty"`
	Test     bool      `ch:"test" json:"test,omitempty"`
	Status   string    `ch:"status" json:"status,omitempty"`
}

// AccountingSums are what is counted: attempts and their parts, those among them that
// are billable, and those of them that have no price yet.
type AccountingSums struct {
	Messages      int64 `ch:"messages" json:"messages"`
	Parts         int64 `ch:"parts" json:"parts"`
	Billable      int64 `ch:"billable" json:"billable"`
	BillableParts int64 `ch:"billable_parts" json:"billable_parts"`
	Unpriced      int64 `ch:"unpriced" json:"unpriced"`
}

// Add adds times n, which is 1 or -1.
func (s *AccountingSums) Add(n int64, o AccountingSums) {
	s.Messages += n * o.Messages
	s.Parts += n * o.Parts
	s.Billable += n * o.Billable
	s.BillableParts += n * o.BillableParts
	s.Unpriced += n * o.Unpriced
}

// Counted names the batch that sums were made from. Its position is where reading the
// store again begins for a part of it.
type Counted struct {
	FirstSeq      uint64
	LastSeq       uint64
	FirstPosition uint64
}

// AccountingRow is what one batch adds to a cell.
type AccountingRow struct {
	AccountingCell
	AccountingSums
	Counted
}

var accountingColumns = []string{
	"tenant", "day", "channel", "scenario", "brand", "segment", "campaign", "route", "operator", "country", "test", "status",
	"messages", "parts", "billable", "billable_parts", "unpriced", "first_seq", "last_seq", "first_position",
}

func (r AccountingRow) values() []any {
	return []any{
		r.Tenant, r.Day, r.Channel, r.Scenario, r.Brand, r.Segment, r.Campaign, r.Route, r.Operator, r.Country, r.Test, r.Status,
		r.Messages, r.Parts, r.Billable, r.BillableParts, r.Unpriced, r.FirstSeq, r.LastSeq, r.FirstPosition,
	}
}
