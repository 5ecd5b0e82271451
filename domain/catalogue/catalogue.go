// Package catalogue lists the modules: every aggregate and every operational category.
// What must know all of them (the codec, the ledger's readers, docs/events.md, the golden
// files) takes them from this list, so that a new one is a folder and a line here.
package catalogue

import (
	"slices"
	"strings"

	"recapito/domain/aside"
	"recapito/domain/audit"
	"recapito/domain/checkpoint"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/lease"
	"recapito/domain/mark"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// modules in the order of docs/events.md.
var modules = []event.Module{
	notification.Module,
	receipt.Module,
	tenant.Module,
	audit.Module,
	deadline.Module,
	checkpoint.Module,
	lease.Module,
	mark.Module,
	aside.Module,
}

// Modules returns every module, in the order of docs/events.md.
func Modules() []event.Module { return slices.Clone(modules) }

// NewCodec builds the codec over every event. It errs only if two definitions clash,
// which a test excludes.
func NewCodec() (*event.Codec, error) {
	var all []event.Definition
	for _, m := range modules {
		all = append(all, m.Definitions...)
	}
	return event.NewCodec(all...)
}

// LedgerPrefixes lists the stream prefixes of the ledger's modules, so that a reader can
// filter at the store.
func LedgerPrefixes() []string {
	var prefixes []string
	for _, m := range modules {
		if !m.Operational {
			prefixes = append(prefixes, m.Prefix)
		}
	}
	return prefixes
}

// IsLedger reports whether an event of this stream belongs to the ledger, that is,
// whether projections, evidence and reports may see it. The store's own `$…` streams and
// those of operational modules do not.
func IsLedger(stream string) bool {
	if strings.HasPrefix(stream, "$") {
		return false
	}
	return !slices.ContainsFunc(modules, func(m event.Module) bool { return m.Operational && strings.HasPrefix(stream, m.Prefix) })
}
