// Package eventstore is commands.Store as the client of an EventStoreDB, by its official
// client: a cluster, a single node, or `recapito eventlog serve`.
//
// Promises, besides those of commands.Store:
//   - What was acknowledged is durable at the server, as EventStoreDB promises
//     it. An append is sent again by itself only if that cannot write twice: at an exact
//     revision or NoStream, where the server recognises its events. Otherwise a lost
//     outcome is event.ErrUnknownOutcome.
//   - A call ends with its context, even where the official client would wait on: for a
//     server that is not there, it returns event.ErrUnavailable.
//   - An append over this store's limits is refused here, before it is sent, and the
//     limits are those of adapters/eventlog, so that both refuse the same.
//   - The connection is made anew, with back-off, when it was lost. A subscription
//     outlives that, and a change of the cluster's leader: it goes on after what was
//     handed over last. Reads go to the leader.
//   - A Feed shares the events of $all among instances by a persistent subscription. An
//     event that fails comes again, later and later; one that was parked for that is
//     logged and replayed by itself.
//
// Not promised: reading $all with a filter spares nothing at the server, since the
// official client sends filters for subscriptions only; they are applied here.
//
// Positions: EventStoreDB's commit position, which for events that were not written in
// an old-style transaction is the prepare position too.
package eventstore
