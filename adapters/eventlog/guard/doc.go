// Package guard is the file system that a Pebble database is given, so that a full or a
// failing disk, and damage to Pebble's own files, do no more harm than they must. It knows
// nothing of what the database holds.
//
// Promises:
//   - A call that finds no space waits and goes on where it stopped once there is space;
//     Pebble does not see the failure. Meanwhile, and before that already while less than
//     the reserve is free, Full returns the reason, and the owner refuses what is new.
//   - Any other failure of a write-ahead log, the manifest or the folder is never shown to
//     a Pebble in use, which would end the process: the call stops for ever, Options.Failed
//     is called, and Stuck is closed. Reads go on.
//   - How far the manifest and the write-ahead logs were synced is recorded in a file of its
//     own. Pebble takes the first damage in them for their end and forgets what follows;
//     Check compares them with that record before Pebble opens them, and returns ErrCorrupt.
//
// Not promised: to notice damage to what was synced to the newest write-ahead log within
// LookEvery before a crash, which cannot be distinguished from a write that the crash interrupted;
// to notice that the folder as such is an older state of itself.
//
// How to use it: New; Check, once the folder is locked and before pebble.Open; BeginNote
// after it; Watch. At the end Stop, then pebble's Close, then Close. A read-only tool calls
// Verify alone.
package guard
