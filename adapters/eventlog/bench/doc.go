// Package bench measures the event log against its peers, in one run: raw Pebble, bbolt,
// a plain file with a sync for every append, and the log behind gRPC. It holds only
// benchmarks; make bench-eventlog runs them.
//
// The load is the ledger's: streams with a random name and three appends of one event
// each, 400 bytes of data and metadata that compress as JSON does. A peer commits the
// same user bytes (stream, id, type, data, metadata) as durably as the log does. What is
// compared is named engine=, so that benchstat -col /engine puts it side by side.
package bench
