// Package maintenance looks at the files of an event log that no process has open: Check
// finds what is not as it was written, Stats counts what there is and the room it takes.
// It changes nothing, and knows the log by its format (package layout) alone.
//
// Import, scavenge and backup need the log's writer: they are eventlog.Log's Import,
// Scavenge and Checkpoint (package backup).
package maintenance
