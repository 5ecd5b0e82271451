// Package lease holds the events by which one of several instances claims a
// piece of work that only one needs to do. They are operational (streams lease-…): not
// part of the ledger, not carried over when a store is copied, and each holds the complete
// state, so that only the newest event of a stream is ever needed.
package lease

import "recapito/domain/event"

// StreamPrefix is the category of lease streams.
const StreamPrefix = "lease-"

// Stream names the stream of a piece of work's lease.
func Stream(work string) string { return StreamPrefix + work }

// THE NAMES AND FIELDS BELOW ARE THE STORAGE FORMAT.

// LeaseTaken records that the holder does the work from here on, until the next event.
type LeaseTaken struct {
	// Holder is the random id of an instance's folder.
	Holder string `json:"holder"`
	// Epoch counts the takings, from 1.
	Epoch uint64 `json:"epoch"`
}

// LeaseReleased records that nobody does the work: anyone may take it at once.
type LeaseReleased struct {
	Holder string `json:"holder"`
	Epoch  uint64 `json:"epoch"` // of the taking that it ends
}

// definitions registers every event under its stored name.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[LeaseTaken]("LeaseTaken",
			event.Doc("An instance does a piece of work that only one needs to do: a projection, the deadlines, the matcher, the marks.")),
		event.Define[LeaseReleased]("LeaseReleased",
			event.Doc("The instance that did it has stopped; another may begin at once.")),
	}
}
