package event

import (
	"slices"
	"strings"
)

// Operational categories hold the system's own bookkeeping; everything else but the
// store's own `$…` streams is a ledger event. DESIGN: docs/architecture.md "Order".
var operational = []string{"checkpoint-", "deadline-", "lease-", "mark-"}

// IsLedger reports whether an event of this stream belongs to the ledger, that is,
// whether projections, evidence and reports may see it.
func IsLedger(stream string) bool {
	if strings.HasPrefix(stream, "$") {
		return false
	}
	return !slices.ContainsFunc(operational, func(p string) bool { return strings.HasPrefix(stream, p) })
}

// LedgerPrefixes lists the stream prefixes of all ledger categories, so that a
// reader can filter at the store. catalogue checks that no aggregate is missing.
var LedgerPrefixes = []string{
	"notification-", "receipt-", "scenario-", "recipient-", "tenant-", "campaign-", "tariff-", "statement-", "audit-",
}

// Passes reports whether an event of this stream and type passes the filter.
func (f Filter) Passes(stream, typ string) bool {
	return (len(f.StreamPrefixes) == 0 || slices.ContainsFunc(f.StreamPrefixes, func(p string) bool { return strings.HasPrefix(stream, p) })) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, typ))
}

// IsEmpty reports whether everything passes.
func (f Filter) IsEmpty() bool { return len(f.StreamPrefixes) == 0 && len(f.Types) == 0 }
