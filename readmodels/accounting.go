package readmodels

import (
	"slices"
	"time"
)

// AccountingCell is what attempts are counted by.
type AccountingCell struct {
	Tenant string    `ch:"tenant" json:"tenant"`
	Day    time.Time `ch:"day" json:"-"` // the attempt's: the UTC date it was first due
	Dimensions
	Status string `ch:"status" json:"status,omitempty"`
}

// Texts are the cell's values, as the table writes them as texts.
func (c AccountingCell) Texts() []string {
	return slices.Concat([]string{c.Tenant, c.Day.Format(dayStyle)}, accountingDimensions.texts(&c.Dimensions), []string{c.Status})
}

// AccountingSums are what is counted: attempts and their units, those among them that
// are billable, and those of them that have no price yet.
type AccountingSums struct {
	Messages      int64 `ch:"messages" json:"messages"`
	Units         int64 `ch:"units" json:"units"`
	Billable      int64 `ch:"billable" json:"billable"`
	BillableUnits int64 `ch:"billable_units" json:"billable_units"`
	Unpriced      int64 `ch:"unpriced" json:"unpriced"`
}

// Add adds times n, which is 1 or -1.
func (s *AccountingSums) Add(n int64, o AccountingSums) {
	s.Messages += n * o.Messages
	s.Units += n * o.Units
	s.Billable += n * o.Billable
	s.BillableUnits += n * o.BillableUnits
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

var accountingColumns = slices.Concat(columns[AccountingRow]{
	of("tenant", func(r *AccountingRow) string { return r.Tenant }),
	sent("day", "Date", func(r *AccountingRow) time.Time { return r.Day }),
}, dimensionColumns(accountingDimensions, func(r *AccountingRow) *Dimensions { return &r.Dimensions }), columns[AccountingRow]{
	of("status", func(r *AccountingRow) string { return r.Status }),
	of("messages", func(r *AccountingRow) int64 { return r.Messages }),
	of("units", func(r *AccountingRow) int64 { return r.Units }),
	of("billable", func(r *AccountingRow) int64 { return r.Billable }),
	of("billable_units", func(r *AccountingRow) int64 { return r.BillableUnits }),
	of("unpriced", func(r *AccountingRow) int64 { return r.Unpriced }),
	of("first_seq", func(r *AccountingRow) uint64 { return r.FirstSeq }),
	of("last_seq", func(r *AccountingRow) uint64 { return r.LastSeq }),
	of("first_position", func(r *AccountingRow) uint64 { return r.FirstPosition }),
})

func (AccountingRow) columns(rows []Row) []any { return accountingColumns.of(rows) }
