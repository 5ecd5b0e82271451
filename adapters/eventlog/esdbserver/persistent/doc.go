// Package persistent holds the groups of EventStoreDB's persistent subscriptions over an
// eventlog.Log: consumers that share the events of a stream, or of $all, acknowledge
// each, and find their place again after a restart. Package esdbserver serves it.
//
// Promises:
//   - At least once: an event that passes a group's filter comes to a consumer until it
//     is acknowledged, skipped, or parked. The checkpoint moves only past such events, so
//     neither a restart nor a kill loses one. What was acknowledged since the last
//     checkpoint comes again after a kill (less than the smallest checkpoint count, or
//     what came within the checkpoint interval); a proper end writes a checkpoint.
//   - A parked event is on disk, as a link in the group's parked stream, before the
//     checkpoint passes it. Replayed ones leave that stream when they are done with, not
//     when they are sent.
//   - A consumer has at most as many events unacknowledged as it asked for. What a
//     consumer leaves behind goes to the others, by place.
//   - Memory is bounded: a group reads no further than its buffer sizes, and holds no
//     more than heldBytes, unacknowledged events included.
//   - Nothing is written while nothing moves. Groups on $all do not see the checkpoints
//     and parked events of groups on $all.
//
// Not promised: an order between consumers. Pinned keeps the events of a stream with one
// consumer while that consumer stays, and moves a stream to another only when none of
// its events is unacknowledged; an event that is retried comes after younger ones.
//
// The streams it writes are those of EventStoreDB: $persistentSubscriptionConfig with
// all the groups, and $persistentsubscription-STREAM::GROUP-checkpoint and -parked.
//
// A group is a structure behind one lock. Two goroutines belong to it: one reads ahead
// (read.go), one writes and watches the time (keep.go); a third reads parked events
// while they are replayed. Manager.Close ends them all.
package persistent
