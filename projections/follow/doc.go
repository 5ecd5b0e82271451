// Package follow keeps the tables of projections up to date: it follows $all in batches,
// writes each batch under a checkpoint, begins anew when the read models are not those that
// the checkpoint names, and rebuilds a table in another one, which then takes its place.
//
// Promises. A table holds every ledger event up to its checkpoint, whatever crashed
// when: the checkpoint with "done n, pending n+1" is durable before batch n+1 is
// written, and a restart writes the pending batch again, the same first and last event.
// So a batch may be written twice, and every table is right all the same. An idle
// system appends nothing. While the read models do not respond, the work is tried again
// without end. A corrupt event stops its projection, visibly, before that event.
//
// Not promised: that two tables are at the same event at the same time; that two
// processes may run the same projection (the checkpoint's revision fences them: the
// slower one starts over, again and again; a lease keeps that from happening).
package follow
