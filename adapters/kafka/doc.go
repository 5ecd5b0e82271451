// Package kafka is the bus: Watermill over a Kafka broker, either the embedded one
// (StartEmbedded, the default) or a cluster named by its brokers. Everything else in
// the package is the same code for both: EnsureTopics, Open, NewRouter, Generation.
//
// It promises that a message is delivered at least once: Publish returns nil only when
// the broker has the message, and a message is delivered again until its handler
// has acknowledged it or NewRouter has put it on the dead-letter topic. Messages of one
// partition key arrive in the order they were published as long as nothing fails; after
// a lost connection, a crash or a rebalance they may come twice or out of order, and
// consumers must cope.
//
// It does not promise that a message outlives the broker's folder, its retention, or a
// power loss: the embedded broker writes without fsync, so a killed process loses
// nothing, a machine that loses power may. The bus can be rebuilt from the event store;
// Generation shows when it must be.
//
// Messages carry identifiers only, never personal data, so that topics and dead
// letters may be kept and looked at.
//
// Measured on two busy cores with the embedded broker: 64 callers of one publisher 40,000
// messages/s; handlers of 3 ms (a synced append) 3,200/s from one topic of 12 partitions,
// 4,200/s from three. A subscription delivers 0.1 to 1.3 s after it was made; with the
// broker away Publish fails after some 2 s and closing takes up to 7 s.
package kafka
