// Package esdbserver serves an eventlog.Log by EventStoreDB's gRPC protocol, so that the
// official clients, and every tool that speaks it, take the embedded store for a single
// EventStoreDB node.
//
// Served: Streams.Read in all its forms (a stream or $all, forwards and backwards, from
// start, end, revision or position, limits, filters by prefix and regular expression,
// subscriptions with checkpoints and caught-up messages), Streams.Append,
// Streams.BatchAppend, Streams.Delete, Streams.Tombstone, PersistentSubscriptions (by
// package persistent), ServerFeatures and Gossip (one leader). Every other call returns
// UNIMPLEMENTED: projections, users. Of a stream's metadata (the stream $$name) $maxAge,
// $maxCount and $tb take effect; $acl does not.
//
// Promises: what the log promises holds through the protocol. An append that was
// acknowledged is durable; nothing that is not durable is shown. A deadline
// that passes while an append is written is reported as one whose outcome is open
// (ABORTED or DEADLINE_EXCEEDED), never as a failure.
//
// Without TLS and a password it listens on loopback addresses only. With a password,
// the one user is `admin`, by basic authentication; features and gossip need none, as
// clients ask for them before they log in.
package esdbserver
