// Package projections turns the ledger events of $all into rows of the read models: one
// file a projection, each a pure function from the events of a batch to rows.
//
// Packages below it use these functions: follow keeps the tables up to date, marks returns
// what was known as of a time, and reconcile compares the tables with the event store. For
// that comparison each merged table also has a fold (fold_edr.go, fold_notifications.go),
// which shares nothing with the rows but the reading of one event.
//
// Promises. The same events make the same rows. An event of a known type that cannot be
// read is an error (*event.Unreadable) that never quotes it; an event of an unknown type makes no
// row, but for the table events, which has a row of every ledger event. Projections hold no
// keys: personal values stay sealed.
package projections
