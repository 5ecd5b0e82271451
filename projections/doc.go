// Package projections turns the ledger events of $all into rows of the read models.
//
// Each projection (events.go, edr.go) is a pure function from an event to a row; what
// they share is here: following $all in batches (batcher.go), writing each batch under
// a checkpoint (lane.go, journal.go), starting anew when the read models are not those
// that the checkpoint speaks of, and rebuilding beside the live table (keeper.go).
//
// Promises. A table holds every ledger event up to its checkpoint, whatever crashed
// when: the checkpoint that says "done n, pending n+1" is durable before batch n+1 is
// written, and a restart writes the pending batch again, the same first and last event.
// So a batch may be written twice, and every table is right all the same. An idle
// system appends nothing. Read models that do not answer are tried again for ever. An
// event of a known type that cannot be read stops its projection, visibly, before that
// event; one of an unknown type does not. Projections hold no keys: personal values
// stay sealed.
//
// Not promised: that two tables are at the same event at the same time; that two
// processes may run the same projection (the checkpoint's revision fences them: the
// slower one starts over, again and again; a lease keeps that from happening).
package projections
