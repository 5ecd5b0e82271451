package event

import (
	"slices"
	"time"
)

// Module is what an aggregate exports of itself. domain/catalogue lists the modules; the
// codec, the ledger's prefixes, docs/events.md, the golden files and the checks that
// nothing is missing come from that list.
type Module struct {
	Title  string
	Prefix string // of the module's streams
	Stream string // the name of one of its streams
	About  string // a sentence on what it is for, and how its streams are named
	// Operational modules hold the system's own bookkeeping. The events of all others make
	// up the ledger.
	Operational bool
	Definitions []Definition
	// Samples returns one event of each definition, with every field filled. The golden
	// files are made of them, so a sample changes only together with a stored name.
	Samples func() []any
	// Phrase returns an event of the module as a sentence for the audit trail, without
	// personal values. An operational module has none: nobody reads its history.
	Phrase func(e any) string
}

// PhraseOf makes a module's Phrase of a function of its own events.
func PhraseOf[E any](of func(E) string) func(any) string {
	return func(e any) string {
		own, ok := e.(E)
		if !ok {
			return ""
		}
		return of(own)
	}
}

// SampleAt returns a time for samples: noon of a day in the past, and d after it.
func SampleAt(d time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d)
}

// Names returns the names under which the module's events are stored.
func (m Module) Names() []string {
	names := make([]string, len(m.Definitions))
	for i, d := range m.Definitions {
		names[i] = d.name
	}
	slices.Sort(names)
	return names
}
