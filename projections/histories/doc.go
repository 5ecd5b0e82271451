// Package histories makes ledger events of notifications as they could have been, for
// tests and benchmarks of what reads the ledger.
//
// Each history is what the real deciders and the real process manager decide when a
// made-up provider responds to them: sent, delivered, read, refused, retried, failed over,
// unknown, cancelled, expired, with receipts that are early, late, double or contradict.
// A few hundred of them are made so (story.go), encoded by the real codec and kept as
// templates (template.go); the generator (generator.go) writes them down again and again
// under other ids, persons and times, which costs less than a microsecond an event.
//
// Promises. The same options give the same events. They come in the order of the time
// they were recorded, the histories interleaved; revisions of a stream have no gaps; an
// attempt event comes From the status that its notification's fold has. Personal values
// are noise of the size that real ones have, sealed under keys that never were: nothing
// opens them. The ids of receipts are random, not derived from what they say.
package histories
