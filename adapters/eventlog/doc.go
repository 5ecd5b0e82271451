// Package eventlog is the embedded event store: commands.Store on a Pebble database
// in one folder, for one process.
//
// Promises:
//   - An append that returned nil is synced to disk in full.
//   - Nothing that is not yet synced is shown: not to a read, a subscription, an
//     idempotent or a wrong-version result. Pebble itself shows a write before its sync
//     returned, so the log keeps a durable watermark, a position in $all, and everything
//     above it does not exist for a caller.
//   - After a failed write or sync nothing more is acknowledged: appends whose fate is
//     open return event.ErrUnknownOutcome, later ones with
//     event.ErrUnavailable, Healthy returns the reason, and reads go on up to the watermark. Only a
//     new Open, which reads back what the disk really has, leaves that state.
//   - A full disk is not a failed write: what meets it waits for space, appends are
//     refused meanwhile (before that already, while less than a reserve is free), reads go
//     on, and all goes on by itself when there is space (guard/).
//   - Where Pebble would end the process because it cannot write its own log, its manifest
//     or its folder, it is stopped instead (guard/): the log is read-only as above,
//     and Close leaves Pebble as it stands. Only an inconsistency that Pebble finds in
//     itself ends the process.
//   - Every record carries a checksum over its position and content, verified when it is
//     read. A corrupt record is an error (ErrCorrupt) that names it; it is neither
//     skipped nor served.
//   - Damage to Pebble's own files, a flipped bit or a file cut short, is an error of Open,
//     or of those who come upon it, or does no harm. Where Pebble would take it for the
//     end of an unfinished write and forget what follows, the log compares with its own
//     record of what was synced (guard/).
//   - What a stream's metadata ($maxCount, $maxAge, $tb) or its deletion hide is not
//     shown by reads of the stream, from when they are durable. $all shows it until it is
//     scavenged (scavenge.go), which moves no position.
//   - Memory is bounded by the caches and the queue, whatever the number of streams and
//     events. An idle log writes nothing, but for one note within a second of its last
//     append.
//
// Not promised: to notice damage to the end of the newest write-ahead log that was synced
// within the second (guard.LookEvery) before a crash, since that cannot be distinguished from a write
// which the crash interrupted; to notice that the folder as such is an older state of itself;
// an order between appends in flight at the same time; recognising a repeated append with
// Any or StreamExists once recentIDs younger events were appended.
//
// How it is laid out (layout/): every event is one record under its position;
// an index leads from stream and revision to the position; a head for each stream
// holds its next revision and its limits. Positions are dense and start at 1
// here, but readers must not count on that: an import may set them, a scavenge leaves gaps.
//
// How appends flow: callers encode their events and queue them (append.go); one
// goroutine takes what is queued, decides each against the stream heads, gives out
// revisions and positions and applies all as one Pebble batch (writer.go, decide.go);
// another waits for its sync, moves the watermark and returns, while the next batch is
// already gathering.
package eventlog
